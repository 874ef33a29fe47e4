//! W7: ten thousand files are followed and ten of them are written to. What does it cost to wait,
//! and how soon is a new line in the output?

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use wait4::Wait4 as _;

use super::measure::Sample;
use super::pipelines::following;
use super::report::{Row, Verdict};
use super::stage::Stage;

const FOLDERS: usize = 100;
const FILES_A_FOLDER: usize = 100;
const ACTIVE: usize = 10;
const LINES: usize = 500;
const LINE_BYTES: usize = 500;
const SETTLE: Duration = Duration::from_secs(3);
const IDLE: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(120);
/// How exact latencies are.
const GLANCE: Duration = Duration::from_micros(500);

pub(super) fn w7(stage: &Stage) -> Result<Vec<Row>> {
    Ok(vec![follow(stage, false)?, follow(stage, true)?])
}

fn follow(stage: &Stage, polling: bool) -> Result<Row> {
    let folder = stage.folder()?;
    let files = write_files(&folder)?;
    let config = folder.join("dpipe.yaml");
    let glob = folder.join("logs/*/*.log").display().to_string();
    fs::write(&config, following(&glob, polling))?;
    let mut dpipe = Running::start(&mut stage.dpipe(&config), &folder)?;
    let mut output = Output::open(&folder.join("0.out"))?;
    output.wait_for(files.len())?;

    thread::sleep(SETTLE);
    let before = dpipe.cpu()?;
    thread::sleep(IDLE);
    let idle = dpipe.cpu()? - before;

    let before = dpipe.cpu()?;
    let start = Instant::now();
    let active: Vec<PathBuf> =
        files.iter().step_by(files.len() / ACTIVE).take(ACTIVE).cloned().collect();
    let writer = thread::spawn(move || append(&active));
    let arrived = output.arrivals()?;
    let wall = start.elapsed();
    let cpu = dpipe.cpu()? - before;
    let sent = writer.join().expect("the writer does not panic")?;
    let mut delays: Vec<Duration> =
        arrived.iter().zip(&sent).map(|(arrived, sent)| arrived.duration_since(*sent)).collect();
    delays.sort_unstable();
    let rss_bytes = dpipe.end()?;

    let percentile = |share: f64| {
        let at = ((delays.len() - 1) as f64 * share).round() as usize;
        delays[at].as_secs_f64() * 1e3
    };
    let idle_percent = idle.as_secs_f64() / IDLE.as_secs_f64() * 100.0;
    let (idle_max, delay_max) = if polling { (2.0, 2000.0) } else { (1.0, 300.0) };
    let how = if polling { "polling" } else { "inotify" };
    Ok(Row {
        workload: "W7",
        what: format!("{how}, {} files; a line after {:.1} ms (p50)", files.len(), percentile(0.5)),
        events: LINES as u64,
        bytes: (LINES * LINE_BYTES) as u64,
        sample: Sample { wall, cpu, rss_bytes },
        compared: None,
        verdicts: vec![
            Verdict::at_most("idle CPU", idle_percent, idle_max, " % of a core"),
            Verdict::at_most("p99", percentile(0.99), delay_max, " ms"),
        ],
    })
}

/// Files with a line each.
fn write_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for number in 0..FOLDERS {
        let folder = folder.join(format!("logs/{number}"));
        fs::create_dir_all(&folder)?;
        for number in 0..FILES_A_FOLDER {
            let file = folder.join(format!("{number}.log"));
            fs::write(&file, line(0))?;
            files.push(file);
        }
    }
    Ok(files)
}

fn line(number: usize) -> String {
    let mut line = format!("{{\"number\":{number},\"fill\":\"");
    let end = "\"}\n";
    line.extend(std::iter::repeat_n('x', LINE_BYTES - line.len() - end.len()));
    line + end
}

/// Appends lines to the files in turns, at an uneven pace; tells when.
fn append(files: &[PathBuf]) -> Result<Vec<Instant>> {
    let mut files: Vec<File> = files
        .iter()
        .map(|file| OpenOptions::new().append(true).open(file))
        .collect::<Result<_, _>>()?;
    let mut sent = Vec::with_capacity(LINES);
    for number in 0..LINES {
        // From 5 to 35 ms; 17 and 31 have no divisor in common.
        thread::sleep(Duration::from_millis(5 + (number * 17 % 31) as u64));
        let at = number % files.len();
        sent.push(Instant::now());
        files[at].write_all(line(number).as_bytes())?;
    }
    Ok(sent)
}

/// A dpipe that runs until it is told to end.
struct Running(Option<Child>);

impl Running {
    fn start(command: &mut Command, folder: &Path) -> Result<Self> {
        let said = File::create(folder.join("said.txt"))?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
        Ok(Running(Some(command.spawn().context("cannot start dpipe")?)))
    }

    fn id(&self) -> u32 {
        self.0.as_ref().expect("it runs until its end").id()
    }

    /// What it took so far, in the program and in the kernel, to a hundredth of a second.
    fn cpu(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id()))?;
        let (_, stat) = stat.rsplit_once(") ").context("/proc/PID/stat has no name in it")?;
        // Fields 14 and 15 of proc(5), of which the name was the second.
        let ticks = stat.split(' ').skip(11).take(2).map(str::parse::<u64>);
        Ok(Duration::from_millis(10 * ticks.sum::<Result<u64, _>>()?))
    }

    /// Ends it in order; gives the most memory that it had.
    fn end(&mut self) -> Result<u64> {
        let id = self.id().to_string();
        Command::new("kill").args(["-TERM", &id]).status().context("cannot start kill")?;
        let used = self.0.take().expect("it runs until its end").wait4()?;
        ensure!(used.status.success(), "dpipe: {}", used.status);
        Ok(used.rusage.maxrss)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // It may have ended by itself; then there is nothing to kill.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The file that dpipe writes, read as it grows.
struct Output {
    file: File,
    rest: Vec<u8>,
}

impl Output {
    fn open(path: &Path) -> Result<Self> {
        let start = Instant::now();
        while !path.exists() {
            ensure!(start.elapsed() < PATIENCE, "dpipe writes nothing");
            thread::sleep(GLANCE);
        }
        Ok(Output { file: File::open(path)?, rest: Vec::new() })
    }

    /// Waits until there are so many lines, and passes over them.
    fn wait_for(&mut self, lines: usize) -> Result<()> {
        let start = Instant::now();
        let mut found = 0;
        while found < lines {
            ensure!(start.elapsed() < PATIENCE, "{found} lines arrived instead of {lines}");
            thread::sleep(GLANCE);
            found += self.new_lines()?.len();
        }
        self.file.seek(SeekFrom::End(0))?;
        Ok(())
    }

    /// When each appended line arrived.
    fn arrivals(&mut self) -> Result<Vec<Instant>> {
        let start = Instant::now();
        let mut arrived = vec![None; LINES];
        let mut missing = LINES;
        while missing > 0 {
            ensure!(start.elapsed() < PATIENCE, "{missing} lines did not arrive");
            thread::sleep(GLANCE);
            let lines = self.new_lines()?;
            let now = Instant::now();
            for number in lines {
                ensure!(arrived[number].replace(now).is_none(), "line {number} arrived twice");
                missing -= 1;
            }
        }
        Ok(arrived.into_iter().flatten().collect())
    }

    /// The numbers of the lines that were written since the last call.
    fn new_lines(&mut self) -> Result<Vec<usize>> {
        self.file.read_to_end(&mut self.rest)?;
        let mut numbers = Vec::new();
        let end = self.rest.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        for line in self.rest[..end].split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            let event: serde_json::Value = serde_json::from_slice(line)?;
            let number = event["number"].as_u64().context("a line has no number")?;
            numbers.push(usize::try_from(number)?);
        }
        self.rest.drain(..end);
        Ok(numbers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_as_long_as_said_and_tells_its_number() {
        assert_eq!(line(499).len(), LINE_BYTES);
        let event: serde_json::Value = serde_json::from_str(&line(499)).unwrap();
        assert_eq!(event["number"], 499);
    }
}
