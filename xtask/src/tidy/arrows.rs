//! Which crate may know which: the layers of `ARCHITECTURE.md`, as a table.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Problem;

/// Every crate of the workspace, highest first, and what it may depend on.
const ALLOWED: &[(&str, &[&str])] = &[
    (
        "dpipe",
        &[
            "dpipe-admin",
            "dpipe-config",
            "dpipe-engine",
            "dpipe-env",
            "dpipe-event",
            "dpipe-plugin",
            "dpipe-plugins",
            "dpipe-query",
        ],
    ),
    (
        "dpipe-yardstick",
        &["dpipe-env", "dpipe-event", "dpipe-plugin", "dpipe-plugins", "dpipe-query"],
    ),
    ("dpipe-admin", &["dpipe-config", "dpipe-engine", "dpipe-index", "dpipe-query"]),
    (
        "dpipe-engine",
        &[
            "dpipe-config",
            "dpipe-durable",
            "dpipe-env",
            "dpipe-event",
            "dpipe-plugin",
            "dpipe-query",
        ],
    ),
    (
        "dpipe-plugins",
        &["dpipe-durable", "dpipe-env", "dpipe-event", "dpipe-plugin", "dpipe-query"],
    ),
    ("dpipe-testkit", &["dpipe-config", "dpipe-env", "dpipe-event", "dpipe-plugin"]),
    ("dpipe-config", &["dpipe-event", "dpipe-plugin", "dpipe-query"]),
    ("dpipe-plugin", &["dpipe-env", "dpipe-event", "dpipe-query"]),
    ("dpipe-durable", &["dpipe-env", "dpipe-event"]),
    ("dpipe-query", &["dpipe-event"]),
    ("dpipe-event", &[]),
    ("dpipe-env", &[]),
    ("xtask", &[]),
];

/// What tests may depend on besides.
const ALLOWED_IN_TESTS: &[(&str, &[&str])] = &[("dpipe-plugins", &["dpipe-testkit"])];

/// A crate of the workspace.
pub(super) struct Crate {
    name: String,
    /// Of the folder that holds its manifest.
    folder: String,
    arrows: Vec<Arrow>,
}

/// A dependency of one crate of the workspace on another.
struct Arrow {
    to: String,
    in_tests: bool,
}

/// The crates of the workspace and the arrows between them, as cargo sees them.
pub(super) fn crates(root: &Path) -> Result<Vec<Crate>> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(program)
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(root)
        .output()
        .context("cannot start cargo metadata")?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cargo metadata: {}", complaint.trim());
    let metadata = serde_json::from_slice(&output.stdout).context("cargo metadata is not JSON")?;
    read(&metadata).context("cargo metadata has another shape than it used to")
}

fn read(metadata: &Value) -> Option<Vec<Crate>> {
    let text = |value: &Value, key: &str| Some(value.get(key)?.as_str()?.to_owned());
    let mut crates = Vec::new();
    for package in metadata.get("packages")?.as_array()? {
        let manifest = text(package, "manifest_path")?;
        let folder = Path::new(&manifest).parent()?.file_name()?.to_str()?.to_owned();
        let mut arrows = Vec::new();
        for dependency in package.get("dependencies")?.as_array()? {
            // Only a crate of this workspace is named by path.
            if dependency.get("path").is_some_and(|path| !path.is_null()) {
                let in_tests = dependency.get("kind")?.as_str() == Some("dev");
                arrows.push(Arrow { to: text(dependency, "name")?, in_tests });
            }
        }
        crates.push(Crate { name: text(package, "name")?, folder, arrows });
    }
    Some(crates)
}

pub(super) fn check(crates: &[Crate]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut report = |message| problems.push(Problem::file("Cargo.toml", message));
    for Crate { name, folder, arrows } in crates {
        if name != folder {
            report(format!("the crate `{name}` lies in a folder named `{folder}`"));
        }
        let Some(allowed) = targets(ALLOWED, name) else {
            report(format!("`{name}` is not in the list of xtask/src/tidy/arrows.rs"));
            continue;
        };
        let in_tests = targets(ALLOWED_IN_TESTS, name).unwrap_or_default();
        for arrow in arrows {
            let to = arrow.to.as_str();
            let may = allowed.contains(&to) || (arrow.in_tests && in_tests.contains(&to));
            if !may {
                let what = if arrow.in_tests { "the tests of " } else { "" };
                report(format!("{what}`{name}` may not depend on `{to}`"));
            }
        }
    }
    problems
}

fn targets(
    table: &[(&str, &'static [&'static str])],
    name: &str,
) -> Option<&'static [&'static str]> {
    table.iter().find(|(from, _)| *from == name).map(|(_, to)| *to)
}

#[cfg(test)]
mod tests {
    use super::super::tests::shown;
    use super::*;

    fn krate(name: &str, arrows: &[(&str, bool)]) -> Crate {
        let arrow = |&(to, in_tests): &(&str, bool)| Arrow { to: to.into(), in_tests };
        let arrows = arrows.iter().map(arrow).collect();
        Crate { name: name.into(), folder: name.into(), arrows }
    }

    #[test]
    fn an_arrow_up_is_refused_and_both_ends_are_named() {
        let crates = [krate("dpipe-plugins", &[("dpipe-plugin", false), ("dpipe-engine", false)])];
        let expected = "Cargo.toml: `dpipe-plugins` may not depend on `dpipe-engine`";
        assert_eq!(shown(&check(&crates)), expected);
    }

    #[test]
    fn what_only_tests_may_see_does_not_ship() {
        assert_eq!(check(&[krate("dpipe-plugins", &[("dpipe-testkit", true)])]), []);
        let expected = "Cargo.toml: `dpipe-plugins` may not depend on `dpipe-testkit`";
        assert_eq!(shown(&check(&[krate("dpipe-plugins", &[("dpipe-testkit", false)])])), expected);
        let expected = "Cargo.toml: the tests of `dpipe-event` may not depend on `dpipe-engine`";
        assert_eq!(shown(&check(&[krate("dpipe-event", &[("dpipe-engine", true)])])), expected);
    }

    #[test]
    fn a_new_crate_must_be_given_its_place() {
        let expected = "Cargo.toml: `dpipe-new` is not in the list of xtask/src/tidy/arrows.rs";
        assert_eq!(shown(&check(&[krate("dpipe-new", &[])])), expected);
    }

    #[test]
    fn a_crate_is_named_like_its_folder() {
        let crates = [Crate { folder: "event".into(), ..krate("dpipe-event", &[]) }];
        let expected = "Cargo.toml: the crate `dpipe-event` lies in a folder named `event`";
        assert_eq!(shown(&check(&crates)), expected);
    }

    #[test]
    fn the_table_itself_points_down() {
        for (place, (from, targets)) in ALLOWED.iter().enumerate() {
            for to in *targets {
                let below = ALLOWED[place..].iter().any(|(name, _)| name == to);
                // The index has its place in the layers and comes later.
                assert!(below || *to == "dpipe-index", "`{from}` → `{to}` points up");
            }
        }
    }

    #[test]
    fn arrows_are_read_from_metadata_and_registry_crates_are_not_arrows() {
        let metadata = serde_json::json!({ "packages": [{
            "name": "a", "manifest_path": "/x/crates/a/Cargo.toml", "dependencies": [
                { "name": "b", "kind": null, "path": "/x/crates/b" },
                { "name": "c", "kind": "dev", "path": "/x/crates/c" },
                { "name": "serde", "kind": null },
            ],
        }]});
        let crates = read(&metadata).unwrap();
        assert_eq!((crates[0].name.as_str(), crates[0].folder.as_str()), ("a", "a"));
        let arrows: Vec<_> = crates[0].arrows.iter().map(|a| (a.to.as_str(), a.in_tests)).collect();
        assert_eq!(arrows, [("b", false), ("c", true)]);
    }
}
