//! One plugin, one file: its name is the file's name, and one line of its role's list takes it in.

use super::{Problem, Source, Tree};

const SRC: &str = "crates/dpipe-plugins/src";
const ROLES: &[&str] = &["inputs", "codecs", "steps", "outputs"];

pub(super) fn check(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for role in ROLES {
        let folder = format!("{SRC}/{role}/");
        let plugins: Vec<(&str, &Source)> = tree
            .ending(".rs")
            .filter_map(|source| {
                let name = source.path.strip_prefix(&folder)?.strip_suffix(".rs")?;
                (!name.contains('/')).then_some((name, source))
            })
            .collect();
        if plugins.is_empty() {
            continue;
        }
        let list_path = format!("{SRC}/{role}.rs");
        let Some(list) = tree.source(&list_path) else {
            problems.push(Problem::file(&list_path, format!("the list of {role} is missing")));
            continue;
        };
        for (name, source) in &plugins {
            file(name, source, &mut problems);
            neighbors(role, name, source, &plugins, &mut problems);
            listed(name, list, &mut problems);
        }
    }
    problems
}

fn file(name: &str, source: &Source, problems: &mut Vec<Problem>) {
    if !source.text.starts_with("//!") {
        problems
            .push(Problem::file(&source.path, "a plugin's file starts with what it does: `//!`"));
    }
    let named = source.shipped().find_map(|(line, text)| Some((line, declared_name(text)?)));
    match named {
        None => problems.push(Problem::file(&source.path, "declares no `NAME`")),
        Some((line, declared)) if declared != name => {
            let message = format!("the plugin is named `{declared}` and its file `{name}`");
            problems.push(Problem::line(&source.path, line, message));
        }
        Some(_) => {}
    }
}

/// The string of `const NAME: &str = "…"`.
fn declared_name(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("const NAME:")?;
    rest.split('"').nth(1)
}

/// What two plugins share has a module of its own: a plugin can be taken out alone.
fn neighbors(
    role: &str,
    name: &str,
    source: &Source,
    plugins: &[(&str, &Source)],
    problems: &mut Vec<Problem>,
) {
    for (line, text) in source.shipped() {
        for (other, _) in plugins.iter().filter(|(other, _)| *other != name) {
            let paths = [format!("super::{other}::"), format!("{role}::{other}::")];
            if paths.iter().any(|path| text.contains(path)) {
                let message = format!("`{name}` uses its neighbor `{other}`");
                problems.push(Problem::line(&source.path, line, message));
            }
        }
    }
}

fn listed(name: &str, list: &Source, problems: &mut Vec<Problem>) {
    let used = format!("{name}::");
    if !list.shipped().any(|(_, text)| text.contains(&used)) {
        problems.push(Problem::file(&list.path, format!("`{name}` is not in the list")));
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::said;
    use super::*;

    const LIST: &str = "mod tcp;\nmod udp;\nconst LIST: &[Entry] = &[\n    tcp::ENTRY,\n];\n";
    const TCP: &str =
        "//! Reads.\nimpl Input for Config {\n    const NAME: &'static str = \"tcp\";\n}\n";

    fn plugins(list: &str, tcp: &str) -> String {
        let files = [
            ("crates/dpipe-plugins/src/inputs.rs", list),
            ("crates/dpipe-plugins/src/inputs/tcp.rs", tcp),
            ("crates/dpipe-plugins/src/inputs/tcp/frame.rs", "part of tcp\n"),
        ];
        said(check, &files)
    }

    #[test]
    fn a_plugin_with_name_summary_and_line_is_fine() {
        assert_eq!(plugins(LIST, TCP), "");
    }

    #[test]
    fn the_name_is_the_name_of_the_file() {
        let expected = "crates/dpipe-plugins/src/inputs/tcp.rs:3: \
                        the plugin is named `socket` and its file `tcp`";
        assert_eq!(plugins(LIST, &TCP.replace("\"tcp\"", "\"socket\"")), expected);
        let expected = "crates/dpipe-plugins/src/inputs/tcp.rs: declares no `NAME`";
        assert_eq!(plugins(LIST, "//! Reads.\n"), expected);
    }

    #[test]
    fn a_plugin_says_first_what_it_does() {
        let expected = "crates/dpipe-plugins/src/inputs/tcp.rs: \
                        a plugin's file starts with what it does: `//!`";
        assert_eq!(plugins(LIST, &format!("use x;\n{TCP}")), expected);
    }

    #[test]
    fn a_plugin_that_is_not_listed_is_found() {
        let expected = "crates/dpipe-plugins/src/inputs.rs: `tcp` is not in the list";
        assert_eq!(plugins("mod tcp;\n// tcp::ENTRY\n", TCP), expected);
    }

    #[test]
    fn a_plugin_does_not_use_its_neighbor() {
        let udp = TCP.replace("tcp", "udp") + "use super::tcp::Frame;\n";
        let files = [
            ("crates/dpipe-plugins/src/inputs.rs", "tcp::ENTRY,\nudp::ENTRY,\n"),
            ("crates/dpipe-plugins/src/inputs/tcp.rs", TCP),
            ("crates/dpipe-plugins/src/inputs/udp.rs", &udp),
        ];
        let expected = "crates/dpipe-plugins/src/inputs/udp.rs:5: `udp` uses its neighbor `tcp`";
        assert_eq!(said(check, &files), expected);
    }
}
