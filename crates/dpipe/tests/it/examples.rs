//! Every example is checked, and those that end by themselves are run.

use std::fs;
use std::path::{Path, PathBuf};

use crate::process::{dpipe, root, text, wait_until};

/// The configurations below `examples`, without their tests.
pub(crate) fn examples() -> Vec<PathBuf> {
    fn find(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.to_string_lossy();
            if path.is_dir() {
                find(&path, found);
            } else if name.ends_with(".yaml") && !name.ends_with(".test.yaml") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    find(&root().join("examples"), &mut found);
    assert!(found.len() >= 2);
    found
}

#[test]
fn every_example_is_fine() {
    for path in examples() {
        let output = dpipe().arg("check").arg(&path).output().unwrap();
        assert!(output.status.success(), "{}: {}", path.display(), text(&output.stderr));
        assert!(!text(&output.stdout).contains("warning"), "{}", text(&output.stdout));
    }
}

#[test]
fn every_example_passes_tests_of_its_own() {
    let output = dpipe().arg("test").args(examples()).output().unwrap();
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    for path in examples() {
        let name = path.to_string_lossy().into_owned();
        let its = said.lines().skip_while(|line| *line != name).nth(1);
        assert!(its.is_some_and(|line| line.starts_with("  ok    ")), "{name} has no test: {said}");
    }
}

/// A copy of the examples, so that running one leaves nothing behind.
fn copy_of_examples() -> tempfile::TempDir {
    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let target = to.join(entry.file_name());
            match entry.file_type().unwrap().is_dir() {
                true => copy(&entry.path(), &target),
                false => drop(fs::copy(entry.path(), target).unwrap()),
            }
        }
    }
    let dir = tempfile::tempdir().unwrap();
    copy(&root().join("examples"), dir.path());
    dir
}

#[test]
fn the_als_example_decorates_real_logs() {
    let dir = copy_of_examples();
    let config = dir.path().join("als.yaml");
    let mut child = dpipe()
        .arg("run")
        .arg(&config)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let copies = dir.path().join("dpipe-data/copy");
    let all = || -> String {
        let mut all = String::new();
        for tenant in fs::read_dir(&copies).into_iter().flatten().flatten() {
            for file in fs::read_dir(tenant.path()).into_iter().flatten().flatten() {
                all.push_str(&fs::read_to_string(file.path()).unwrap_or_default());
            }
        }
        all
    };
    let wanted = ["_cntry", "_usd", "level_rg", "message_norm"];
    wait_until("every decoration has been seen", || {
        let all = all();
        wanted.iter().all(|word| all.contains(word))
    });
    assert!(!all().contains("\"trace\""));
    rustix::process::kill_process(
        rustix::process::Pid::from_child(&child),
        rustix::process::Signal::TERM,
    )
    .unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn the_quick_start_shows_events_of_three_tenants_and_ends_in_order() {
    let dir = copy_of_examples();
    let out = tempfile::NamedTempFile::new().unwrap();
    let child = dpipe()
        .arg("run")
        .arg(dir.path().join("quickstart.yaml"))
        .stdout(out.reopen().unwrap())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let shown = || fs::read_to_string(out.path()).unwrap_or_default();
    wait_until("events of three tenants were shown", || {
        let shown = shown();
        ["rs", "ff", "de"].iter().all(|tenant| shown.contains(&format!("{tenant}/")))
    });
    rustix::process::kill_process(
        rustix::process::Pid::from_child(&child),
        rustix::process::Signal::INT,
    )
    .unwrap();
    let output = child.wait_with_output().unwrap();
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("the books balance"), "{said}");
}
