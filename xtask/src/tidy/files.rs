//! Form: names of modules, length of files, blanks at the ends of lines.

use super::{Problem, Source, Tree};

/// Lines of a Rust file that need no reason.
const LINES_MAX: usize = 800;

/// How far down the reason for a longer file may stand.
const REASON_WITHIN_LINES: usize = 20;

/// Names that say nothing of what is inside, so that everything ends up there.
const EMPTY_NAMES: &[&str] = &["util", "utils", "common", "helper", "helpers", "misc"];

/// Files that people write; sample data and golden files may look as they like.
const WRITTEN: &[&str] = &[".rs", ".md", ".toml", ".yaml", ".yml", ".sh", ".ci/run", ".gitignore"];

pub(super) fn check(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for source in tree.ending(".rs") {
        names(source, &mut problems);
        length(source, &mut problems);
    }
    one_test_binary(tree, &mut problems);
    for source in &tree.sources {
        if WRITTEN.iter().any(|suffix| source.path.ends_with(suffix)) {
            blanks(source, &mut problems);
        }
    }
    problems
}

fn names(source: &Source, problems: &mut Vec<Problem>) {
    let path = &source.path;
    if source.name() == "mod.rs" {
        problems.push(Problem::file(path, "a module `name` is `name.rs`, beside its folder"));
    }
    for part in path.trim_end_matches(".rs").split('/') {
        if EMPTY_NAMES.contains(&part) {
            problems.push(Problem::file(path, format!("`{part}` does not say what is inside")));
        }
    }
    for (line, text) in (1..).zip(source.text.lines()) {
        let opened = text.trim().strip_suffix('{').and_then(|text| text.split_once("mod "));
        if let Some((_, name)) = opened
            && EMPTY_NAMES.contains(&name.trim())
        {
            let name = name.trim();
            problems.push(Problem::line(
                path,
                line,
                format!("`{name}` does not say what is inside"),
            ));
        }
    }
}

fn length(source: &Source, problems: &mut Vec<Problem>) {
    let lines = source.text.lines().count();
    let mut top = source.text.lines().take(REASON_WITHIN_LINES);
    let has_reason = top
        .any(|line| line.strip_prefix("// long:").is_some_and(|reason| !reason.trim().is_empty()));
    if lines > LINES_MAX && !has_reason {
        let message = format!("{lines} lines need a `// long: reason` on top, or a split");
        problems.push(Problem::file(&source.path, message));
    }
}

/// Each integration-test binary is linked anew: one a crate, with modules.
fn one_test_binary(tree: &Tree, problems: &mut Vec<Problem>) {
    let mut last = "";
    for source in tree.ending(".rs") {
        let Some((folder, file)) = source.path.split_once("/tests/") else { continue };
        if file.contains('/') {
            continue;
        }
        if folder == last {
            let message = format!("`{folder}` has another test binary; be a module of that one");
            problems.push(Problem::file(&source.path, message));
        }
        last = folder;
    }
}

fn blanks(source: &Source, problems: &mut Vec<Problem>) {
    let Source { path, text } = source;
    for (line, text) in (1..).zip(text.split('\n')) {
        if text.ends_with([' ', '\t', '\r']) {
            problems.push(Problem::line(path, line, "blanks at the end of the line"));
        }
        if text.contains('\t') {
            problems.push(Problem::line(path, line, "a tab; write spaces, or `\\t` in a string"));
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        problems.push(Problem::file(path, "the last line has no end"));
    }
    if text.ends_with("\n\n") {
        problems.push(Problem::file(path, "empty lines at the end"));
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::said;
    use super::*;

    #[test]
    fn a_name_that_says_nothing_is_refused() {
        let files = [
            ("crates/a/src/util.rs", "\n"),
            ("crates/a/src/common/x.rs", "\n"),
            ("crates/a/src/lib.rs", "x\npub mod helpers {\n}\nmod command {\n}\n"),
        ];
        let expected = "\
crates/a/src/util.rs: `util` does not say what is inside
crates/a/src/common/x.rs: `common` does not say what is inside
crates/a/src/lib.rs:2: `helpers` does not say what is inside";
        assert_eq!(said(check, &files), expected);
    }

    #[test]
    fn a_module_stands_beside_its_folder() {
        let expected = "src/a/mod.rs: a module `name` is `name.rs`, beside its folder";
        assert_eq!(said(check, &[("src/a/mod.rs", "x\n")]), expected);
    }

    #[test]
    fn a_long_file_gives_its_reason_on_top() {
        let long = "x\n".repeat(LINES_MAX + 1);
        let expected = "a.rs: 801 lines need a `// long: reason` on top, or a split";
        assert_eq!(said(check, &[("a.rs", &long)]), expected);
        assert_eq!(said(check, &[("a.rs", &"x\n".repeat(LINES_MAX))]), "");
        assert_eq!(said(check, &[("a.rs", &format!("//! A.\n// long: one table\n{long}"))]), "");
        let late = format!("{long}// long: one table\n");
        assert!(said(check, &[("a.rs", &late)]).contains("802 lines"));
    }

    #[test]
    fn a_crate_has_one_test_binary() {
        let files = [
            ("crates/a/tests/it.rs", "\n"),
            ("crates/a/tests/it/files.rs", "\n"),
            ("crates/a/tests/more.rs", "\n"),
            ("crates/b/tests/it.rs", "\n"),
        ];
        let expected =
            "crates/a/tests/more.rs: `crates/a` has another test binary; be a module of that one";
        assert_eq!(said(check, &files), expected);
    }

    #[test]
    fn blanks_are_refused_in_what_people_write_and_left_in_data() {
        let text = "a \nb\tc\nd\r\ne";
        let expected = "\
x.md:1: blanks at the end of the line
x.md:2: a tab; write spaces, or `\\t` in a string
x.md:3: blanks at the end of the line
x.md: the last line has no end";
        assert_eq!(said(check, &[("x.md", text), ("tests/golden/a/in.log", text)]), expected);
        assert_eq!(said(check, &[("x.md", "a\n\n")]), "x.md: empty lines at the end");
    }
}
