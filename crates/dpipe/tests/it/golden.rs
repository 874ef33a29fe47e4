//! Golden pipelines: each folder of `tests/golden` is a case. `pipeline.yaml`
//! (or `.json`, `.toml`) reads `in.*` and writes
//! into `got/`; each `out.NAME` says what `got/NAME` must be, each `dead.TENANT.jsonl` which dead
//! letters there must be (the fields that it names). A new case needs no Rust.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::process::{dpipe, root, text};

#[test]
fn every_golden_pipeline_gives_what_it_should() {
    let mut cases: Vec<_> = fs::read_dir(root().join("tests/golden"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    cases.sort();
    for format in ["yaml", "json", "toml"] {
        let name = format!("pipeline.{format}");
        assert!(cases.iter().any(|case| case.join(&name).exists()), "no case is in {format}");
    }
    let failures: Vec<String> = cases.iter().filter_map(|case| check(case).err()).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

fn check(case: &Path) -> Result<(), String> {
    let name = case.file_name().unwrap().to_string_lossy().into_owned();
    let dir = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(case).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
    }
    let named = ["pipeline.yaml", "pipeline.json", "pipeline.toml"];
    let pipeline = named.map(|name| dir.path().join(name)).into_iter().find(|path| path.exists());
    let output = dpipe()
        .args(["run", "--batch"])
        .arg(pipeline.ok_or_else(|| format!("{name}: there is no pipeline"))?)
        .env("GOLDEN_DATA", root().join("examples/data"))
        .output()
        .unwrap();
    let said = text(&output.stderr);
    if !output.status.success() || !said.contains("the books balance") {
        return Err(format!("{name}: it ended with {}\n{said}", output.status));
    }
    for entry in fs::read_dir(case).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        let wanted = fs::read_to_string(&path).unwrap_or_default();
        if let Some(out) = file.strip_prefix("out.") {
            let got = fs::read_to_string(dir.path().join("got").join(out)).unwrap_or_default();
            if got != wanted {
                return Err(format!("{name}: got/{out} is\n{got}but should be\n{wanted}"));
            }
        } else if let Some(tenant) = file.strip_prefix("dead.") {
            let got = fs::read_to_string(dir.path().join("dpipe-data/dead").join(tenant));
            same_letters(&wanted, &got.unwrap_or_default())
                .map_err(|why| format!("{name}: {why}"))?;
        }
    }
    Ok(())
}

/// Each wanted letter names some fields of the letter at its place.
fn same_letters(wanted: &str, got: &str) -> Result<(), String> {
    let parse = |text: &str| -> Vec<Value> {
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let (wanted, letters) = (parse(wanted), parse(got));
    let same = |(wanted, got): (&Value, &Value)| {
        wanted.as_object().unwrap().iter().all(|(key, value)| got[key] == *value)
    };
    if wanted.len() == letters.len() && wanted.iter().zip(&letters).all(same) {
        return Ok(());
    }
    Err(format!("the dead letters are\n{got}"))
}
