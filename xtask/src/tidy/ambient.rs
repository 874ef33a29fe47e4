//! The core asks `Env` for files and time, and tokio for tasks and timers: what goes around them
//! cannot be simulated.

use super::{Problem, Tree};

/// Crates that run under a simulated world.
const CORE: &[&str] =
    &["dpipe-event", "dpipe-query", "dpipe-plugin", "dpipe-durable", "dpipe-engine"];

/// What goes around. `Instant` and `SystemTime` are tokio's where they are not the system's.
const AROUND: &[&str] = &[
    "std::time::Instant",
    "std::time::SystemTime",
    "std::fs",
    "tokio::fs",
    "thread::spawn",
    "thread::sleep",
];

pub(super) fn check(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for name in CORE {
        let folder = format!("crates/{name}/src/");
        for source in tree.ending(".rs").filter(|source| source.path.starts_with(&folder)) {
            for (line, text) in source.shipped() {
                for what in AROUND.iter().filter(|what| names(text, what)) {
                    let message = format!("`{what}` goes around the `Env`");
                    problems.push(Problem::line(&source.path, line, message));
                }
            }
        }
    }
    problems
}

/// Whether the line names the item, by its whole path or in braces: `std::time::{Duration, Instant}`.
fn names(line: &str, what: &str) -> bool {
    let (module, item) = what.rsplit_once("::").expect("a path has two parts");
    let in_braces = || {
        let (_, list) = line.split_once(&format!("{module}::{{"))?;
        let mut items = list.split([',', '}']).map(|item| item.split("::").next());
        items.find(|first| first.is_some_and(|first| first.trim() == item))
    };
    line.contains(what) || in_braces().is_some()
}

#[cfg(test)]
mod tests {
    use super::super::tests::said;
    use super::*;

    const CLOCK: &str = "//! `std::fs` is not for us.\nuse std::time::{Duration, Instant};\n";

    #[test]
    fn the_core_does_not_go_around_the_env() {
        let expected =
            "crates/dpipe-engine/src/lane.rs:2: `std::time::Instant` goes around the `Env`";
        assert_eq!(said(check, &[("crates/dpipe-engine/src/lane.rs", CLOCK)]), expected);
    }

    #[test]
    fn the_clock_of_tokio_can_be_paused_and_is_fine() {
        let text = "use std::time::Duration;\nlet now = tokio::time::Instant::now();\n";
        assert_eq!(said(check, &[("crates/dpipe-engine/src/lane.rs", text)]), "");
    }

    #[test]
    fn tests_and_other_crates_may() {
        let in_tests = format!("fn a() {{}}\n\n#[cfg(test)]\nmod tests {{\n{CLOCK}}}\n");
        let files = [
            ("crates/dpipe-engine/src/lane.rs", in_tests.as_str()),
            ("crates/dpipe-engine/tests/it.rs", CLOCK),
            ("crates/dpipe-env/src/real.rs", CLOCK),
        ];
        assert_eq!(said(check, &files), "");
    }
}
