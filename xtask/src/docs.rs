//! Writes the reference. The binary knows the plugins, so it does; a test of its own compares.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::tidy::root;

const FOLDER: &str = "docs/reference";

pub(crate) fn write() -> Result<()> {
    cargo(&["build", "--quiet", "--package", "dpipe"])?;
    let folder = root().join(FOLDER);
    if folder.exists() {
        // A page of a plugin that is gone must go.
        std::fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {FOLDER}"))?;
    }
    cargo(&["run", "--quiet", "--package", "dpipe", "--", "reference", FOLDER])?;
    println!("{FOLDER} is written");
    Ok(())
}

fn cargo(arguments: &[&str]) -> Result<()> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(program).args(arguments).current_dir(root()).status();
    ensure!(status.context("cannot start cargo")?.success(), "the reference could not be written");
    Ok(())
}
