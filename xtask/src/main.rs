//! The project's own tools: `cargo xtask COMMAND`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool talks to its terminal")]

mod bench;
mod ci;
mod docs;
mod new_plugin;
mod services;
mod tidy;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  ci     everything CI runs: test, then lint
  test   every test of the workspace, documentation examples included
  lint   formatting, clippy, licences and sources of dependencies, tidy
  tidy   the rules of the house that no other tool knows
  docs   writes docs/reference from the types; a test says when it is due
  new-plugin input|codec|step|output NAME
         a plugin that compiles, with its test and its line in the list
  services up [NAME]...
         installs what is missing of the programs that tests run: all, or those named
  bench  [w0|w1|w2|w6|w7|w8|micro]... [--quick] [--runs N] [--json FILE]
         speed and memory of the release binary, beside bare loops; see docs/performance.md
  bench  loghub --data DIR [--debug]
         what the configurations of examples/loghub make of the data set's logs: 100 %, or it fails";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match args.as_slice() {
        ["ci"] => ci::ci(),
        ["test"] => ci::test(),
        ["lint"] => ci::lint(),
        ["tidy"] => tidy::run(),
        ["docs"] => docs::write(),
        ["new-plugin", role, name] => new_plugin::make(tidy::root(), role, name),
        ["services", "up", names @ ..] => services::up(names),
        ["bench", args @ ..] => bench::run(args),
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(())
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
