//! Where runs take place: the programs, the files that go in, a folder for what comes out.

use std::cell::Cell;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::measure::{self, Contender, Run, Sample};
use super::pipelines::{Outputs, Pipeline, Steps};

/// Everything that a workload needs.
pub(super) struct Stage {
    dpipe: PathBuf,
    yardstick: PathBuf,
    files: PathBuf,
    tables: PathBuf,
    scratch: Scratch,
    pub(super) events: u64,
    pub(super) runs: usize,
}

/// What a pipeline must deliver.
pub(super) struct Expected {
    hashes: PathBuf,
    pub(super) events: u64,
}

/// A folder that is gone in the end.
struct Scratch {
    folder: PathBuf,
    runs: Cell<usize>,
}

const SEED: u64 = 42;
/// Before the number of the process.
const SCRATCH: &str = "dpipe-bench-";

impl Stage {
    /// Writes the files, unless an earlier run did.
    pub(super) fn set(target: &Path, root: &Path, events: u64, runs: usize) -> Result<Self> {
        let stage = Stage {
            dpipe: target.join("release/dpipe"),
            yardstick: target.join("release/dpipe-yardstick"),
            files: target.join("bench").join(events.to_string()),
            tables: root.join("examples/data"),
            scratch: Scratch::new(target)?,
            events,
            runs,
        };
        eprintln!(
            "── writing {events} events into {}, if they are not there",
            stage.files.display()
        );
        stage.ask(
            stage
                .yardstick()
                .arg("files")
                .arg(&stage.files)
                .arg(format!("--events={events}"))
                .arg(format!("--seed={SEED}")),
        )?;
        Ok(stage)
    }

    /// Where output goes, for the report.
    pub(super) fn output_folder(&self) -> &Path {
        &self.scratch.folder
    }

    pub(super) fn yardstick(&self) -> Command {
        Command::new(&self.yardstick)
    }

    pub(super) fn dpipe(&self, config: &Path) -> Command {
        let mut command = Command::new(&self.dpipe);
        command.arg("run").arg(config).env("RUST_LOG", "warn");
        command
    }

    /// The files of a workload, in order, read once so that they lie in the page cache.
    pub(super) fn inputs(&self, folder: &str, count: usize) -> Result<Vec<PathBuf>> {
        let paths = (0..count).map(|number| self.files.join(folder).join(format!("{number}.log")));
        let paths: Vec<PathBuf> = paths.collect();
        for path in &paths {
            std::io::copy(&mut File::open(path)?, &mut std::io::sink())?;
        }
        Ok(paths)
    }

    /// A glob below the files.
    pub(super) fn glob(&self, glob: &str) -> String {
        self.files.join(glob).display().to_string()
    }

    /// What must come out of the events by these steps, found by serde_json.
    pub(super) fn expected(&self, steps: Steps) -> Result<Expected> {
        let name = match steps {
            // In blackholes, where only their number counts.
            Steps::None | Steps::Child => "raw",
            Steps::Edit => "edited",
            Steps::Decorate => "decorated",
        };
        self.expect(name, "json-1/0.log")
    }

    /// What access logs must become, found by splitting.
    pub(super) fn expected_of_access_logs(&self) -> Result<Expected> {
        self.expect("access", "access-1/0.log")
    }

    fn expect(&self, name: &str, events: &str) -> Result<Expected> {
        let hashes = self.files.join(format!("{name}.hashes"));
        let events = self.files.join(events);
        let mut command = self.yardstick();
        command.args(["expect", name]).arg(events).arg(&hashes).arg("--tables").arg(&self.tables);
        let events = self.ask(&mut command)?.trim().parse()?;
        Ok(Expected { hashes, events })
    }

    /// An empty folder for one run.
    pub(super) fn folder(&self) -> Result<PathBuf> {
        self.scratch.next()
    }

    /// A command of the yardstick, or another that goes without a pipeline.
    pub(super) fn command<'a>(&'a self, make: impl Fn(&Path) -> Command + 'a) -> Contender<'a> {
        Contender::new(move || {
            let folder = self.folder()?;
            Ok(measure::run(&mut make(&folder), &folder)?.sample)
        })
    }

    /// A pipeline whose output is checked after each run: every event of it, in blackholes by
    /// their number.
    pub(super) fn pipeline<'a>(
        &'a self,
        pipeline: Pipeline<'a>,
        files: usize,
        expected: &'a Expected,
    ) -> Contender<'a> {
        Contender::new(move || self.run_pipeline(&pipeline, files, expected))
    }

    /// The size of a pipeline's first output.
    pub(super) fn output_bytes(
        &self,
        pipeline: Pipeline<'_>,
        files: usize,
        expected: &Expected,
    ) -> Result<u64> {
        self.run_pipeline(&pipeline, files, expected)?;
        Ok(fs::metadata(self.scratch.current().join("0.out"))?.len())
    }

    fn run_pipeline(
        &self,
        pipeline: &Pipeline<'_>,
        files: usize,
        expected: &Expected,
    ) -> Result<Sample> {
        let folder = self.folder()?;
        let config = folder.join("dpipe.yaml");
        fs::write(&config, pipeline.config(&self.tables))?;
        let Run { sample, said } = measure::run(self.dpipe(&config).arg("--batch"), &folder)?;
        let (Outputs::Blackholes(outputs) | Outputs::Files(outputs)) = pipeline.outputs;
        for number in 0..outputs {
            let delivered = delivered(&said, &format!("out{number}"));
            ensure!(
                delivered == expected.events,
                "out{number} got {delivered} events instead of {}\n{said}",
                expected.events
            );
        }
        if let Outputs::Files(outputs) = pipeline.outputs {
            for number in 0..outputs {
                let output = folder.join(format!("{number}.out"));
                let mut check = self.yardstick();
                check.arg("check").arg(&expected.hashes).arg(output);
                self.ask(check.arg(format!("--files={files}")))?;
            }
        }
        Ok(sample)
    }

    /// What a command prints.
    fn ask(&self, command: &mut Command) -> Result<String> {
        let output = command.output().context("cannot start the yardstick")?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8(output.stdout)?)
    }
}

impl Scratch {
    /// In memory, if the machine has such a place.
    fn new(target: &Path) -> Result<Self> {
        let memory = Path::new("/dev/shm");
        let base = if memory.is_dir() { memory } else { target };
        Self::remove_left_over(base)?;
        let folder = base.join(format!("{SCRATCH}{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        Ok(Scratch { folder, runs: Cell::new(0) })
    }

    /// Folders of runs that were interrupted; they hold memory.
    fn remove_left_over(base: &Path) -> Result<()> {
        for entry in fs::read_dir(base)? {
            let entry = entry?;
            let name = entry.file_name();
            let process = name.to_str().and_then(|name| name.strip_prefix(SCRATCH));
            if process.is_some_and(|id| !Path::new("/proc").join(id).exists()) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }

    /// A new folder in the place of the one before.
    fn next(&self) -> Result<PathBuf> {
        if self.runs.get() > 0 {
            fs::remove_dir_all(self.current())?;
        }
        self.runs.set(self.runs.get() + 1);
        fs::create_dir(self.current())?;
        Ok(self.current())
    }

    fn current(&self) -> PathBuf {
        self.folder.join(format!("run-{}", self.runs.get()))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            eprintln!("cannot remove {}: {error}", self.folder.display());
        }
    }
}

/// What the books say an output delivered, over all tenants.
fn delivered(books: &str, output: &str) -> u64 {
    let column = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        match columns.as_slice() {
            // An output publishes nothing, so that column is empty.
            [node, _tenant, _in, delivered, ..] if *node == output => {
                delivered.replace(',', "").parse::<u64>().ok()
            }
            _ => None,
        }
    };
    books.lines().filter_map(column).sum()
}

#[cfg(test)]
mod tests {
    use super::delivered;

    #[test]
    fn the_books_tell_what_an_output_delivered_to_all_tenants() {
        let books = "\
node    tenant   in         published  delivered  otherwise
events  default  1,000,000  1,000,000
out1    t1       500,000               500,000
out1    t2       500,000               499,999    dead: disk_full 1
out10   t2       7                     7
1,000,000 events in 1.1 s, 900,000 a second
";
        assert_eq!(delivered(books, "out1"), 999_999);
        assert_eq!(delivered(books, "out2"), 0);
    }
}
