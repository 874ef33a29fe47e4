//! The workloads. Each gives its contenders, lets them race, and says what must be reached.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::measure::{Sample, difference_in, median, race, turns};
use super::pipelines::{Outputs, Pipeline, Steps};
use super::report::{Row, Verdict};
use super::stage::{Expected, Stage};

/// The most memory that W0 to W6 may take.
const RSS_MIB_MAX: f64 = 100.0;
const COUNTS: [usize; 2] = [1, 8];
const PER_SECOND_A_LANE: f64 = 450_000.0;
const PER_SECOND_WITH_8_FILES: f64 = 800_000.0;
const PER_SECOND_BY_PYTHON: f64 = 50_000.0;
const TENANTS: usize = 1000;

/// Raw lines, file to file; beside it `cp`.
pub(super) fn w0(stage: &Stage) -> Result<Vec<Row>> {
    let expected = stage.expected(Steps::None)?;
    let mut rows = Vec::new();
    for files in COUNTS {
        let inputs = stage.inputs(&format!("json-{files}"), files)?;
        let glob = stage.glob(&format!("json-{files}/*.log"));
        let pipeline = Pipeline {
            files: &glob,
            codec: "text",
            tenants: false,
            steps: Steps::None,
            outputs: Outputs::Files(1),
        };
        let copy = stage.command(|folder| {
            let mut copy = Command::new("cp");
            copy.args(&inputs).arg(folder);
            copy
        });
        let samples = race(&[copy, stage.pipeline(pipeline, files, &expected)], stage.runs)?;
        let made = Made { stage, workload: "W0", bytes: bytes(&inputs)? };
        rows.push(made.row(format!("cp, {}", count(files)), samples[0]));
        let mut row = made.row(count(files), samples[1]).against("cp", samples[0]);
        row.cpu_at_most(2.0);
        let megabytes = row.bytes_per_second() / 1e6;
        row.verdicts.push(Verdict::at_least("MB/s", megabytes, 1000.0, ""));
        row.memory_at_most(RSS_MIB_MAX);
        rows.push(row);
    }
    Ok(rows)
}

/// Every line decoded and checked, then dropped; JSON and ALS.
pub(super) fn w1(stage: &Stage) -> Result<Vec<Row>> {
    let expected = stage.expected(Steps::None)?;
    let mut rows = Vec::new();
    for codec in ["json", "als"] {
        for files in COUNTS {
            let inputs = stage.inputs(&format!("{codec}-{files}"), files)?;
            let glob = stage.glob(&format!("{codec}-{files}/*.log"));
            let pipeline = Pipeline {
                files: &glob,
                codec,
                tenants: false,
                steps: Steps::None,
                outputs: Outputs::Blackholes(1),
            };
            let bare = stage.command(|_| {
                let mut parse = stage.yardstick();
                parse.arg("parse").args(&inputs).args((codec == "als").then_some("--als"));
                parse
            });
            let samples = race(&[bare, stage.pipeline(pipeline, files, &expected)], stage.runs)?;
            let made = Made { stage, workload: "W1", bytes: bytes(&inputs)? };
            let what = format!("{codec}, {}", count(files));
            rows.push(made.row(format!("bare loop, {what}"), samples[0]));
            let mut row = made.row(what, samples[1]).against("bare", samples[0]);
            row.cpu_at_most(1.2);
            row.memory_at_most(RSS_MIB_MAX);
            rows.push(row);
        }
    }
    Ok(rows)
}

/// The events edited, and those decorated as well, into a file.
pub(super) fn w2(stage: &Stage) -> Result<Vec<Row>> {
    let (edited, decorated) = (stage.expected(Steps::Edit)?, stage.expected(Steps::Decorate)?);
    let mut rows = Vec::new();
    for files in COUNTS {
        let inputs = stage.inputs(&format!("json-{files}"), files)?;
        let glob = stage.glob(&format!("json-{files}/*.log"));
        let edit = to_files(&glob, Steps::Edit, 1);
        let decorate = to_files(&glob, Steps::Decorate, 1);
        let bare = stage.command(|folder| {
            let mut parse = stage.yardstick();
            parse.arg("parse").args(&inputs).arg("--into").arg(folder.join("0.out"));
            parse
        });
        let contenders = [
            bare,
            stage.pipeline(edit, files, &edited),
            stage.pipeline(decorate, files, &decorated),
        ];
        let samples = race(&contenders, stage.runs)?;
        let made = Made { stage, workload: "W2", bytes: bytes(&inputs)? };
        rows.push(made.row(format!("bare loop, {}", count(files)), samples[0]));
        let mut row = made.row(count(files), samples[1]).against("bare", samples[0]);
        let (per_second, limit) = match files {
            1 => ("events/s a lane", PER_SECOND_A_LANE),
            _ => ("events/s", PER_SECOND_WITH_8_FILES),
        };
        row.cpu_at_most(2.0);
        row.verdicts.push(Verdict::at_least(per_second, row.events_per_second(), limit, ""));
        row.memory_at_most(RSS_MIB_MAX);
        rows.push(row);
        let made = Made { workload: "W2+", ..made };
        let mut row = made.row(count(files), samples[2]).against("W2", samples[1]);
        row.cpu_at_most(1.6);
        row.memory_at_most(RSS_MIB_MAX);
        rows.push(row);
    }
    Ok(rows)
}

/// Access logs of a web server, their fields into a file as JSON.
pub(super) fn w4(stage: &Stage) -> Result<Vec<Row>> {
    const CPU_MICROS_MAX: f64 = 1.0;
    let expected = stage.expected_of_access_logs()?;
    let mut rows = Vec::new();
    for files in COUNTS {
        let inputs = stage.inputs(&format!("access-{files}"), files)?;
        let glob = stage.glob(&format!("access-{files}/*.log"));
        let pipeline = Pipeline {
            files: &glob,
            codec: "combined",
            tenants: false,
            steps: Steps::None,
            outputs: Outputs::Files(1),
        };
        let bare = stage.command(|folder| {
            let mut access = stage.yardstick();
            access.arg("access").args(&inputs).arg("--into").arg(folder.join("0.out"));
            access
        });
        let samples = race(&[bare, stage.pipeline(pipeline, files, &expected)], stage.runs)?;
        let made = Made { stage, workload: "W4", bytes: bytes(&inputs)? };
        rows.push(made.row(format!("bare loop, {}", count(files)), samples[0]));
        let mut row = made.row(count(files), samples[1]).against("bare", samples[0]);
        let micros = row.cpu_micros();
        row.verdicts.push(Verdict::at_most("CPU", micros, CPU_MICROS_MAX, " µs an event"));
        if files > 1 {
            let per_second = row.events_per_second();
            let limit = PER_SECOND_WITH_8_FILES;
            row.verdicts.push(Verdict::at_least("events/s", per_second, limit, ""));
        }
        row.memory_at_most(RSS_MIB_MAX);
        rows.push(row);
    }
    Ok(rows)
}

/// The decorated events to more and more outputs.
pub(super) fn w6(stage: &Stage) -> Result<Vec<Row>> {
    let expected = stage.expected(Steps::Decorate)?;
    let mut rows = to_blackholes(stage, &expected)?;
    rows.extend(to_more_files(stage, &expected)?);
    for row in rows.iter_mut().filter(|row| !row.what.starts_with("a plain")) {
        row.memory_at_most(RSS_MIB_MAX);
    }
    Ok(rows)
}

fn to_blackholes(stage: &Stage, expected: &Expected) -> Result<Vec<Row>> {
    const HOLES: [usize; 3] = [1, 4, 16];
    let inputs = stage.inputs("json-8", 8)?;
    let glob = stage.glob("json-8/*.log");
    let contenders = HOLES.map(|holes| {
        let outputs = Outputs::Blackholes(holes);
        let pipeline = Pipeline { outputs, ..to_files(&glob, Steps::Decorate, 1) };
        stage.pipeline(pipeline, 8, expected)
    });
    let samples = race(&contenders, stage.runs)?;
    let made = Made { stage, workload: "W6", bytes: bytes(&inputs)? };
    let one = samples[0];
    let mut rows = vec![made.row("1 blackhole".into(), one)];
    for (holes, &sample) in HOLES.into_iter().zip(&samples).skip(1) {
        let mut row = made.row(format!("{holes} blackholes"), sample).against("1 blackhole", one);
        let more = sample.cpu.saturating_sub(one.cpu).as_secs_f64() / (holes - 1) as f64;
        let percent = more / one.cpu.as_secs_f64() * 100.0;
        row.verdicts.push(Verdict::at_most("one more costs", percent, 3.0, " %"));
        rows.push(row);
    }
    Ok(rows)
}

/// What a file costs that gets what another one gets as well. It is the difference of two runs, and
/// small beside what either takes. So it is that of many files; and a run with one, a run with all
/// and a plain write of as many bytes in blocks of the same size follow each other closely, some
/// times.
fn to_more_files(stage: &Stage, expected: &Expected) -> Result<Vec<Row>> {
    const MORE: usize = 8;
    const TURNS_MIN: usize = 7;
    /// What a file input reads at a time; each read becomes a write.
    const READ_BYTES: u64 = 256 << 10;
    let inputs = stage.inputs("json-8", 8)?;
    let glob = stage.glob("json-8/*.log");
    let input_bytes = bytes(&inputs)?;
    let one_file = to_files(&glob, Steps::Decorate, 1);
    let output_bytes = stage.output_bytes(one_file, 8, expected)?;
    let block = (READ_BYTES * output_bytes).div_ceil(input_bytes);
    let write = stage.command(|folder| {
        let mut write = stage.yardstick();
        write.arg("write").arg(folder).arg(format!("--files={MORE}"));
        write.arg(format!("--bytes={output_bytes}")).arg(format!("--block={block}"));
        write
    });
    let contenders = [
        stage.pipeline(one_file, 8, expected),
        stage.pipeline(to_files(&glob, Steps::Decorate, 1 + MORE), 8, expected),
        write,
    ];
    let samples = turns(&contenders, stage.runs.max(TURNS_MIN))?;
    let [few, many, write] = samples.as_slice() else { unreachable!("there are three") };
    let made = Made { stage, workload: "W6", bytes: input_bytes };
    let plain = made.row(format!("a plain write of {MORE} outputs"), median(write));
    let one = made.row("1 file".into(), median(few));
    let mut all = made.row(format!("{} files, one codec", 1 + MORE), median(many));
    all = all.against("1 file", one.sample);
    let ratio = difference_in(write, few, many);
    all.verdicts.push(Verdict::at_most("one more costs", ratio, 1.2, " × a plain write"));
    Ok(vec![plain, one, all])
}

/// The same files of a thousand folders as one tenant and as a thousand.
pub(super) fn w8(stage: &Stage) -> Result<Vec<Row>> {
    let expected = stage.expected(Steps::Edit)?;
    let glob = stage.glob("tenants/*/game.log");
    let inputs: Vec<PathBuf> = (0..TENANTS)
        .map(|tenant| stage.glob(&format!("tenants/t{tenant}/game.log")).into())
        .collect();
    let one = to_files(&glob, Steps::Edit, 1);
    let many = Pipeline { tenants: true, ..one };
    let contenders =
        [stage.pipeline(one, TENANTS, &expected), stage.pipeline(many, TENANTS, &expected)];
    let samples = race(&contenders, stage.runs)?;
    let made = Made { stage, workload: "W8", bytes: bytes(&inputs)? };
    let mut row = made.row("1,000 tenants".into(), samples[1]).against("1 tenant", samples[0]);
    row.cpu_at_most(1.2);
    let more = samples[1].rss_bytes.saturating_sub(samples[0].rss_bytes) as f64;
    let kilobytes = more / 1e3 / TENANTS as f64;
    row.verdicts.push(Verdict::at_most("a tenant takes", kilobytes, 200.0, " KB"));
    Ok(vec![made.row("1 tenant".into(), samples[0]), row])
}

/// Every event taken apart, edited and written anew by a program in Python; a blackhole behind it.
pub(super) fn child(stage: &Stage) -> Result<Vec<Row>> {
    let expected = stage.expected(Steps::Child)?;
    let mut rows = Vec::new();
    for files in COUNTS {
        let inputs = stage.inputs(&format!("json-{files}"), files)?;
        let glob = stage.glob(&format!("json-{files}/*.log"));
        let outputs = Outputs::Blackholes(1);
        let pipeline = Pipeline { outputs, steps: Steps::Child, ..to_files(&glob, Steps::None, 1) };
        let samples = race(&[stage.pipeline(pipeline, files, &expected)], stage.runs)?;
        let made = Made { stage, workload: "child", bytes: bytes(&inputs)? };
        let mut row = made.row(format!("Python, {}", count(files)), samples[0]);
        let per_second = row.events_per_second();
        row.verdicts.push(Verdict::at_least("events/s", per_second, PER_SECOND_BY_PYTHON, ""));
        row.memory_at_most(RSS_MIB_MAX);
        rows.push(row);
    }
    Ok(rows)
}

fn to_files(glob: &str, steps: Steps, outputs: usize) -> Pipeline<'_> {
    let outputs = Outputs::Files(outputs);
    Pipeline { files: glob, codec: "json", tenants: false, steps, outputs }
}

fn count(files: usize) -> String {
    if files == 1 { "1 file".into() } else { format!("{files} files") }
}

fn bytes(inputs: &[PathBuf]) -> Result<u64> {
    let mut sum = 0;
    for input in inputs {
        sum += std::fs::metadata(input)?.len();
    }
    Ok(sum)
}

/// What the rows of a workload have in common.
#[derive(Clone, Copy)]
struct Made<'a> {
    stage: &'a Stage,
    workload: &'static str,
    bytes: u64,
}

impl Made<'_> {
    fn row(&self, what: String, sample: Sample) -> Row {
        Row {
            workload: self.workload,
            what,
            events: self.stage.events,
            bytes: self.bytes,
            sample,
            compared: None,
            verdicts: Vec::new(),
        }
    }
}

impl Row {
    fn against(self, name: &'static str, other: Sample) -> Row {
        // A program that took no measurable time would make every ratio endless.
        let cpu = other.cpu.max(Duration::from_micros(1));
        Row { compared: Some((name, cpu)), ..self }
    }

    fn cpu_at_most(&mut self, limit: f64) {
        if let (Some(ratio), Some((name, _))) = (self.ratio(), self.compared) {
            self.verdicts.push(Verdict::at_most("CPU", ratio, limit, &format!(" × {name}")));
        }
    }

    fn memory_at_most(&mut self, limit: f64) {
        let mib = self.sample.rss_bytes as f64 / f64::from(1 << 20);
        self.verdicts.push(Verdict::at_most("RSS", mib, limit, " MiB"));
    }
}
