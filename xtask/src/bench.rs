//! Measures the release binary as a user would run it, checks what came out, and compares with bare
//! loops in the same run. `docs/performance.md` says how to read the figures.

mod follow;
mod loghub;
mod measure;
mod pipelines;
mod report;
mod stage;
mod workloads;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::ci::cargo;
use crate::tidy;
use report::Row;
use stage::Stage;

type Workload = fn(&Stage) -> Result<Vec<Row>>;

const WORKLOADS: &[(&str, Workload)] = &[
    ("w0", workloads::w0),
    ("w1", workloads::w1),
    ("w2", workloads::w2),
    ("w4", workloads::w4),
    ("w6", workloads::w6),
    ("w7", follow::w7),
    ("w8", workloads::w8),
    ("child", workloads::child),
];

/// What the arguments ask for.
struct Options {
    workloads: Vec<(&'static str, Workload)>,
    micro: bool,
    events: u64,
    runs: usize,
    json: Option<PathBuf>,
}

/// `cargo xtask bench [WORKLOAD…] [--quick] [--runs N] [--json FILE]`, or `bench loghub --data DIR [--debug]`.
pub(crate) fn run(args: &[&str]) -> Result<()> {
    if let ["loghub", args @ ..] = args {
        return loghub::run(args);
    }
    let options = Options::parse(args)?;
    cargo(&["build", "--release", "-p", "dpipe", "-p", "dpipe-yardstick"])?;
    let target = target()?;
    if !options.workloads.is_empty() {
        race(&options, &target)?;
    }
    if options.micro {
        let status = std::process::Command::new(target.join("release/dpipe-yardstick"))
            .arg("micro")
            .status()?;
        if !status.success() {
            bail!("the micro-benchmarks: {status}");
        }
    }
    Ok(())
}

fn race(options: &Options, target: &Path) -> Result<()> {
    let stage = Stage::set(target, tidy::root(), options.events, options.runs)?;
    println!(
        "{}\n{} events, medians of {} runs in turns, input in the page cache, output in {}\n",
        machine(),
        options.events,
        options.runs,
        stage.output_folder().display()
    );
    println!("{}", report::HEAD);
    let mut rows = Vec::new();
    for (_, workload) in &options.workloads {
        for row in workload(&stage)? {
            println!("{}", report::line(&row));
            rows.push(row);
        }
    }
    if let Some(path) = &options.json {
        let report = report::json(&machine(), options.runs, &rows);
        fs::write(path, serde_json::to_string_pretty(&report)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

impl Options {
    fn parse(args: &[&str]) -> Result<Self> {
        let mut options =
            Options { workloads: Vec::new(), micro: false, events: 1_000_000, runs: 3, json: None };
        let mut args = args.iter();
        while let Some(&arg) = args.next() {
            let mut value = || args.next().with_context(|| format!("{arg} wants a value"));
            match arg {
                "--quick" => (options.events, options.runs) = (100_000, 1),
                "--runs" => options.runs = value()?.parse().context("--runs wants a number")?,
                "--json" => options.json = Some(value()?.into()),
                "micro" => options.micro = true,
                name => match WORKLOADS.iter().find(|(known, _)| *known == name) {
                    Some(workload) => options.workloads.push(*workload),
                    None => {
                        let known: Vec<&str> = WORKLOADS.iter().map(|(name, _)| *name).collect();
                        bail!("`{name}` is none of {}, micro", known.join(", "));
                    }
                },
            }
        }
        if options.workloads.is_empty() && !options.micro {
            options.workloads = WORKLOADS.to_vec();
            options.micro = true;
        }
        Ok(options)
    }
}

/// Where cargo puts what it builds: this very program is there.
fn target() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program.parent().and_then(Path::parent).context("xtask lies in no folder")?;
    Ok(target.to_owned())
}

/// The processor and how many of it there are.
fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let name = name.map_or("unknown processor", |(_, name)| name);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{name}, {cores} cores")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_names_everything_is_measured() {
        let options = Options::parse(&["--runs", "5"]).unwrap();
        assert_eq!((options.workloads.len(), options.micro, options.runs), (8, true, 5));
        let options = Options::parse(&["w2", "--quick"]).unwrap();
        assert_eq!(options.workloads.len(), 1);
        assert_eq!((options.micro, options.events, options.runs), (false, 100_000, 1));
    }

    #[test]
    fn an_unknown_workload_is_refused_with_the_known_ones() {
        let error = Options::parse(&["w3"]).err().unwrap().to_string();
        assert_eq!(error, "`w3` is none of w0, w1, w2, w4, w6, w7, w8, child, micro");
    }
}
