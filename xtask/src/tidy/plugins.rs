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
        for (name, source) in &plugins {
            file(name, source, &mut problems);
            neighbors(role, name, source, &plugins, &mut problems);
        }
        if let Some(source) = tree.source(&format!("{SRC}/{role}.rs")) {
            list(role, source, &plugins, &mut problems);
        }
    }
    problems
}

fn file(name: &str, source: &Source, problems: &mut Vec<Problem>) {
    if !source.text.starts_with("//!") {
        problems
            .push(Problem::file(&source.path, "a plugin's file starts with what it does: `//!`"));
    }
    let names: Vec<(usize, &str)> =
        source.shipped().filter_map(|(line, text)| Some((line, declared_name(text)?))).collect();
    if names.is_empty() {
        problems.push(Problem::file(&source.path, "declares no `NAME`"));
    }
    // A codec has two: its decoder's and its encoder's.
    for (line, declared) in names.into_iter().filter(|(_, declared)| *declared != name) {
        let message = format!("the plugin is named `{declared}` and its file `{name}`");
        problems.push(Problem::line(&source.path, line, message));
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

fn list(role: &str, source: &Source, plugins: &[(&str, &Source)], problems: &mut Vec<Problem>) {
    let text: String = source.shipped().flat_map(|(_, line)| [line, "\n"]).collect();
    let mut report = |message| problems.push(Problem::file(&source.path, message));
    let mut listed = Vec::new();
    // A file may hold several lists: codecs have one of decoders and one of encoders.
    for list in text.split("const ") {
        let entries: Vec<(&str, &str)> = list.split("Entry::").skip(1).filter_map(entry).collect();
        for (name, file) in &entries {
            if *file != format!("{role}/{name}.rs") {
                report(format!("`{name}` is listed with the documentation of `{file}`"));
            }
        }
        for pair in entries.windows(2) {
            if pair[0].0 >= pair[1].0 {
                report(format!("`{}` stands before `{}`; sort the list", pair[0].0, pair[1].0));
            }
        }
        listed.extend(entries);
    }
    for (name, _) in plugins.iter().filter(|(name, _)| listed.iter().all(|(l, _)| l != name)) {
        report(format!("`{name}` is not in the list"));
    }
}

/// Module and file of an entry: `input::<tcp::Config>(include_str!("inputs/tcp.rs"))`.
fn entry(text: &str) -> Option<(&str, &str)> {
    let (_, rest) = text.split_once("::<")?;
    let (module, rest) = rest.split_once("::")?;
    let (_, rest) = rest.split_once("include_str!")?;
    Some((module, rest.split('"').nth(1)?))
}

#[cfg(test)]
mod tests {
    use super::super::tests::said;
    use super::*;

    const TCP: &str =
        "//! Reads.\nimpl X for Config {\n    const NAME: &'static str = \"tcp\";\n}\n";

    fn listed(entries: &[(&str, &str)]) -> String {
        let entry = |(module, file): &(&str, &str)| {
            format!("    Entry::input::<{module}::Config>(include_str!(\"inputs/{file}.rs\")),\n")
        };
        let entries: String = entries.iter().map(entry).collect();
        format!("mod tcp;\nconst INPUTS: &[Entry<dyn InputSpec>] = &[\n{entries}];\n")
    }

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
        assert_eq!(plugins(&listed(&[("tcp", "tcp")]), TCP), "");
    }

    #[test]
    fn the_name_is_the_name_of_the_file() {
        let expected = "crates/dpipe-plugins/src/inputs/tcp.rs:3: \
                        the plugin is named `socket` and its file `tcp`";
        assert_eq!(
            plugins(&listed(&[("tcp", "tcp")]), &TCP.replace("\"tcp\"", "\"socket\"")),
            expected
        );
        let expected = "crates/dpipe-plugins/src/inputs/tcp.rs: declares no `NAME`";
        assert_eq!(plugins(&listed(&[("tcp", "tcp")]), "//! Reads.\n"), expected);
    }

    #[test]
    fn a_plugin_says_first_what_it_does() {
        let expected = "crates/dpipe-plugins/src/inputs/tcp.rs: \
                        a plugin's file starts with what it does: `//!`";
        assert_eq!(plugins(&listed(&[("tcp", "tcp")]), &format!("use x;\n{TCP}")), expected);
    }

    #[test]
    fn a_plugin_that_is_not_listed_is_found() {
        let expected = "crates/dpipe-plugins/src/inputs.rs: `tcp` is not in the list";
        assert_eq!(plugins(&listed(&[]), TCP), expected);
    }

    #[test]
    fn an_entry_carries_the_documentation_of_its_own_file() {
        let expected = "crates/dpipe-plugins/src/inputs.rs: \
                        `tcp` is listed with the documentation of `inputs/udp.rs`";
        assert_eq!(plugins(&listed(&[("tcp", "udp")]), TCP), expected);
    }

    #[test]
    fn the_list_is_sorted() {
        let expected = "crates/dpipe-plugins/src/inputs.rs: \
                        `tcp` stands before `stdin`; sort the list";
        assert_eq!(plugins(&listed(&[("tcp", "tcp"), ("stdin", "stdin")]), TCP), expected);
    }

    #[test]
    fn a_plugin_does_not_use_its_neighbor() {
        let udp = TCP.replace("tcp", "udp") + "use super::tcp::Frame;\n";
        let files = [
            ("crates/dpipe-plugins/src/inputs.rs", &*listed(&[("tcp", "tcp"), ("udp", "udp")])),
            ("crates/dpipe-plugins/src/inputs/tcp.rs", TCP),
            ("crates/dpipe-plugins/src/inputs/udp.rs", &udp),
        ];
        let expected = "crates/dpipe-plugins/src/inputs/udp.rs:5: `udp` uses its neighbor `tcp`";
        assert_eq!(said(check, &files), expected);
    }
}
