//! The core asks `Env` for time, files and tasks, and takes none on its own: what goes around the
//! `Env` cannot be simulated.

use super::{Problem, Tree};

/// Crates that run under a simulated world.
const CORE: &[&str] =
    &["dpipe-event", "dpipe-query", "dpipe-plugin", "dpipe-durable", "dpipe-engine"];

/// What reaches around the `Env`.
const AROUND: &[&str] = &[
    "Instant::now",
    "SystemTime::now",
    "std::fs",
    "tokio::fs",
    "thread::spawn",
    "thread::sleep",
    "tokio::spawn",
    "tokio::time",
];

pub(super) fn check(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for name in CORE {
        let folder = format!("crates/{name}/src/");
        for source in tree.ending(".rs").filter(|source| source.path.starts_with(&folder)) {
            for (line, text) in source.shipped() {
                for what in AROUND.iter().filter(|what| text.contains(**what)) {
                    let message = format!("`{what}` goes around the `Env`");
                    problems.push(Problem::line(&source.path, line, message));
                }
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::super::tests::said;
    use super::*;

    const CLOCK: &str = "//! `std::fs` is not for us.\nlet now = Instant::now();\n";

    #[test]
    fn the_core_does_not_go_around_the_env() {
        let expected = "crates/dpipe-engine/src/lane.rs:2: `Instant::now` goes around the `Env`";
        assert_eq!(said(check, &[("crates/dpipe-engine/src/lane.rs", CLOCK)]), expected);
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
