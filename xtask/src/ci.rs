//! The steps of CI, so that a push holds no surprise.
//!
//! `.ci/run` calls the test command of the README and then `cargo xtask lint`; `cargo xtask ci` is
//! the two together.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{services, tidy};

/// Everything: the tests, then the lints.
pub(crate) fn ci() -> Result<()> {
    test()?;
    lint()
}

/// Unit, integration and documentation tests of every crate, and the planted bugs.
pub(crate) fn test() -> Result<()> {
    services::up(&[])?;
    cargo(&["test", "--workspace"])?;
    MUTANTS.iter().try_for_each(|mutant| planted(mutant))
}

/// The bugs that can be planted in the engine.
const MUTANTS: &[&str] = &[
    "lose_batch",
    "duplicate_batch",
    "deliver_twice",
    "lose_in_step",
    "panic_in_lane",
    "panic_in_runner",
];

/// Shows that the tests find a planted bug: one extra build of the engine holds all of them.
fn planted(mutant: &str) -> Result<()> {
    let args = ["test", "--package", "dpipe-engine", "--features", "mutants", "planted"];
    run(&args, &[("DPIPE_MUTANT", mutant)])
}

/// What can be said about the code without running it, cheapest first.
pub(crate) fn lint() -> Result<()> {
    tidy::run()?;
    cargo(&["fmt", "--all", "--check"])?;
    cargo(&["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"])?;
    // Advisories need a database from the network and change without us; they are not a gate.
    cargo(&["deny", "check", "licenses", "bans", "sources"])
        .context("is cargo-deny there? `cargo install cargo-deny --locked` brings it")
}

/// Runs cargo, and fails with it.
pub(crate) fn cargo(args: &[&str]) -> Result<()> {
    run(args, &[])
}

fn run(args: &[&str], variables: &[(&str, &str)]) -> Result<()> {
    let shown = args.join(" ");
    eprintln!("── cargo {shown}");
    // The variable is set when cargo runs us; it names the very toolchain that built us.
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(program)
        .args(args)
        .envs(variables.iter().copied())
        .current_dir(tidy::root())
        .status()
        .with_context(|| format!("cannot start cargo {shown}"))?;
    if !status.success() {
        bail!("cargo {shown}: {status}");
    }
    Ok(())
}
