//! `dpipe test`: runs the tests that stand beside configurations.

mod compare;
mod script;
mod stage;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use dpipe_engine::{Read, Script, rehearse};
use dpipe_plugins::terminal::write_clean;

use crate::loading::{self, CONFIG_IS_WRONG};
use crate::logging::say;
use compare::{Difference, Shown, compare};
use script::{Lines, Test};
use stage::Stage;

/// What comes before the extension of a file of tests.
const MARK: &str = ".test";

/// Why a test did not pass.
enum Failure {
    /// Something is not as it says.
    Differences(Vec<Difference>),
    /// It could not be run.
    NotRun(String),
}

pub(crate) fn run(named: &[PathBuf], filter: Option<&str>) -> anyhow::Result<ExitCode> {
    let mut suites: Vec<(PathBuf, PathBuf)> = Vec::new();
    for path in named {
        let suite = suite(path);
        // `*.yaml` names both the configuration and its tests.
        if !suites.contains(&suite) {
            suites.push(suite);
        }
    }
    let mut report = Report::to_terminal();
    let mut wrong = false;
    for (config, tests) in &suites {
        match read(config, tests) {
            Ok(tests) => report.suite(config, &tests, filter)?,
            Err(()) => wrong = true,
        }
    }
    if wrong {
        return Ok(ExitCode::from(CONFIG_IS_WRONG));
    }
    if let Some(filter) = filter
        && report.passed + report.failed == 0
    {
        say(&format!("no test has `{filter}` in its name"));
        return Ok(ExitCode::from(CONFIG_IS_WRONG));
    }
    report.end()?;
    Ok(if report.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The configuration and the tests that a path of either of them means.
fn suite(path: &Path) -> (PathBuf, PathBuf) {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let beside = |stem: &str, extension: &str| path.with_file_name(format!("{stem}.{extension}"));
    let Some(config) = stem.strip_suffix(MARK) else {
        return (path.to_owned(), beside(&format!("{stem}{MARK}"), "yaml"));
    };
    let candidates = ["yaml", "yml", "json", "toml"].map(|extension| beside(config, extension));
    let there = candidates.iter().find(|candidate| candidate.exists());
    (there.unwrap_or(&candidates[0]).clone(), path.to_owned())
}

/// The tests of a configuration; what is wrong with either is said.
fn read(config: &Path, tests: &Path) -> Result<Vec<Test>, ()> {
    let (plan, _) = loading::plan(config).map_err(drop)?;
    script::read(tests, &plan).map_err(|problems| say(&problems.render()))
}

fn run_one(config: &Path, test: &Test) -> Result<(), Failure> {
    // Each test gets a pipeline of its own: what one leaves behind must not decide the next.
    let (plan, _) = loading::plan(config)
        .map_err(|_| Failure::NotRun("the configuration has changed meanwhile".into()))?;
    let read = match &test.lines {
        Lines::Text(text) => Read::Lines(text.as_bytes()),
        Lines::Frames(frames) => Read::Frames(frames),
    };
    let script = Script { input: &test.input, file: &test.file, read };
    let stage = Arc::new(Stage::at(test.now.map(|now| now.0)));
    let got = rehearse(plan, stage, script)
        .map_err(|error| Failure::NotRun(format!("{:#}", anyhow::Error::from(error))))?;
    let differences = compare(test, &got);
    if differences.is_empty() { Ok(()) } else { Err(Failure::Differences(differences)) }
}

/// What is said of the tests, on standard output.
struct Report {
    out: std::io::Stdout,
    color: bool,
    passed: usize,
    failed: usize,
}

const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[31m";
const DIM: &str = "\x1b[2m";

impl Report {
    fn to_terminal() -> Report {
        let out = std::io::stdout();
        let color =
            out.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Report { out, color, passed: 0, failed: 0 }
    }

    fn suite(&mut self, config: &Path, tests: &[Test], filter: Option<&str>) -> anyhow::Result<()> {
        let asked_for = |test: &&Test| filter.is_none_or(|filter| test.name.contains(filter));
        let mut tests = tests.iter().filter(asked_for).peekable();
        if tests.peek().is_some() {
            self.line("", "", &config.display().to_string())?;
        }
        for test in tests {
            match run_one(config, test) {
                Ok(()) => {
                    self.passed += 1;
                    self.line(GREEN, "  ok    ", &test.name)?;
                }
                Err(failure) => {
                    self.failed += 1;
                    self.failure(test, &failure)?;
                }
            }
        }
        Ok(())
    }

    fn failure(&mut self, test: &Test, failure: &Failure) -> anyhow::Result<()> {
        let place = test.place.as_ref().map(|place| format!(" ({place})")).unwrap_or_default();
        self.line(RED, "  FAIL  ", &format!("{}{place}", test.name))?;
        let differences = match failure {
            Failure::NotRun(why) => return self.line("", "        ", why),
            Failure::Differences(differences) => differences,
        };
        for Difference { about, lines } in differences {
            self.line("", "        ", about)?;
            for line in lines {
                match line {
                    Shown::Same(text) => self.line(DIM, "            ", text)?,
                    Shown::Missing(text) => self.line(RED, "          - ", text)?,
                    Shown::Extra(text) => self.line(GREEN, "          + ", text)?,
                }
            }
        }
        Ok(())
    }

    fn end(&mut self) -> anyhow::Result<()> {
        let color = if self.failed > 0 { RED } else { GREEN };
        let summary = format!("{} passed, {} failed", self.passed, self.failed);
        self.line(color, "", &summary)
    }

    /// Writes a line; events are whatever somebody wrote into a log, and it is read on a terminal.
    fn line(&mut self, color: &str, mark: &str, text: &str) -> anyhow::Result<()> {
        let mut shown = Vec::new();
        let is_colored = self.color && !color.is_empty();
        if is_colored {
            shown.extend_from_slice(color.as_bytes());
        }
        shown.extend_from_slice(mark.as_bytes());
        write_clean(text.as_bytes(), usize::MAX, &mut shown);
        if is_colored {
            shown.extend_from_slice(b"\x1b[0m");
        }
        shown.push(b'\n');
        self.out.lock().write_all(&shown)?;
        Ok(())
    }
}
