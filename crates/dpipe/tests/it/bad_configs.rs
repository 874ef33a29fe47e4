//! Mistakes in configurations: each `tests/bad_configs/NAME.{yaml,json,toml}` is refused with exactly
//! what `NAME.txt` says, and with the exit code for it. `DPIPE_BLESS=1` writes what is said now.

use std::fs;

use crate::process::{dpipe, root, text};

#[test]
fn every_mistake_is_one_clear_message_with_its_place() {
    let folder = root().join("tests/bad_configs");
    let mut names: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.ends_with(".txt"))
        .collect();
    names.sort();
    assert!(!names.is_empty());
    let mut failures = Vec::new();
    for name in names {
        let output = dpipe().args(["check", &name]).current_dir(&folder).output().unwrap();
        let said = text(&output.stderr);
        let stem = name.rsplit_once('.').unwrap().0;
        let expected = folder.join(format!("{stem}.txt"));
        if std::env::var_os("DPIPE_BLESS").is_some() {
            fs::write(&expected, &said).unwrap();
        }
        let wanted = fs::read_to_string(&expected).unwrap_or_default();
        if output.status.code() != Some(2) || said != wanted {
            failures.push(format!(
                "{name} ended with {} and said\n{said}but should say\n{wanted}",
                output.status
            ));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
