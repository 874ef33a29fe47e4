//! Appends encoded events to files, one a line; the path may depend on the event.
//!
//! The path is a template: `{data_dir}/copy/{_tenant}/%Y-%m-%d.jsonl`. Relative paths start at the
//! folder of the configuration. The text before the first place that an event fills is the base:
//! missing folders are created, and nothing is ever written outside the base's folder, whatever
//! events say. What could lead out of it (`/`, `..`, control characters) is percent-encoded in
//! names, and no symbolic link below the base is followed.
//!
//! Rotation by time is the template's own affair: `%Y-%m-%d` starts a file a day, by the events'
//! time. With `rotate_size`, files get a number before their ending, `2024-06-01.1.jsonl`,
//! `2024-06-01.2.jsonl`, …, and the next one is begun before the size would be exceeded (a batch
//! larger than that goes into a file of its own). Nothing is ever renamed or overwritten, and the
//! highest number is the newest. Other programs may move or remove files at any time; within a second
//! a new one is begun.
//!
//! With `compression`, what comes in is collected until `flush_size` or `flush_after`, compressed,
//! and appended as one whole gzip member or zstd frame; every tool for such files reads them. Events
//! count as delivered when that is written, and with `fsync: batch` when the disk has it.
//!
//! A file that is written to is locked. When one is opened, what a crash left half written at its
//! end is cut off: bytes after the last newline, or a frame that is not whole. To find that out,
//! plain files are read backwards to the last newline; of compressed ones the lengths of all frames
//! are read, some bytes each, and the last one is unpacked as a proof. A file that was compressed
//! by another program is left alone, and said to be in the way (for gzip; zstd frames tell their
//! length, whoever wrote them).
//!
//! New files can be read by their owner and its group (`mode: "0640"`), so that those who look into
//! logs need not be root; what lies below `{data_dir}` can be reached by the owner only, whatever
//! `mode` says, because that folder is.
//!
//! If a write fails (the disk is full), everything since the last success is cut off again and then
//! tried anew, so that no line is there half or twice.
//!
//! Events are refused (dead letters) as `bad_name` if their path cannot be: a name longer than 255
//! bytes, a symbolic link or a folder in the way; and as `new_files` if the fields of a tenant's
//! events name more than `new_files_per_hour` files that are not there yet.
//!
//! ```yaml
//! type: file
//! match: [decorated]
//! path: "{data_dir}/copy/{_tenant}/%Y-%m-%d.jsonl.zst"
//! compression: zstd
//! rotate_size: 1GiB
//! fsync: batch
//! ```

mod ending;
mod frame;
mod keys;
mod mode;
mod new_files;
mod place;
mod stage;
mod targets;

use std::sync::Arc;

use dpipe_env::Env;
use dpipe_plugin::settings::{ByteSize, Period, Problem};
use dpipe_plugin::template::Template;
use dpipe_plugin::{
    BoxFuture, BuildContext, BuildError, Flush, Output, OutputConfig, OutputSpec, Parcel, Refusal,
    Written,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::runtime::{Handle, RuntimeFlavor};

use frame::{Format, Framer};
use keys::Keys;
use mode::Mode;
use new_files::NewFiles;
use place::Place;
use stage::Stage;
use targets::{Failure, Targets};

/// Where and how files are written.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The path of the file, which may depend on the event: `{data_dir}/copy/%Y-%m-%d.jsonl`.
    path: Template,
    /// The size at which the next, numbered file is begun; without it files grow.
    #[serde(default)]
    rotate_size: Option<ByteSize>,
    /// How files are compressed.
    #[serde(default)]
    compression: Compression,
    /// How hard to compress: 1 to 9 for gzip (6 if nothing is said), 1 to 19 for zstd (3).
    #[serde(default)]
    compression_level: Option<u32>,
    /// When what was written is made to survive a power failure.
    #[serde(default)]
    fsync: Fsync,
    /// With compression or `fsync: batch`: after how many bytes to write a frame or to sync.
    #[serde(default = "flush_size")]
    flush_size: ByteSize,
    /// With compression or `fsync: batch`: how long an event waits for that at most.
    #[serde(default = "flush_after")]
    flush_after: Period,
    /// How many files are kept open at most; the one that was not used for longest is closed first.
    #[serde(default = "open_files_max")]
    open_files_max: usize,
    /// How long a file is kept open that nothing is written to.
    #[serde(default = "close_after")]
    close_after: Period,
    /// Who may read new files, in octal digits; their folders can be entered by the same. The umask of
    /// the process takes away from it.
    #[serde(default)]
    mode: Mode,
    /// How many new files the fields of events may name in an hour, per tenant. Names that are made
    /// of the tenant, the input and the time only do not count.
    #[serde(default = "new_files_per_hour")]
    new_files_per_hour: u64,
}

/// How files are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Compression {
    /// Not at all.
    #[default]
    None,
    /// As gzip members; the path should end in `.gz`.
    Gzip,
    /// As zstd frames; the path should end in `.zst`.
    Zstd,
}

/// When what was written is made to survive a power failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Fsync {
    /// When the system does it; what was delivered survives a crash of dpipe, but not of the machine.
    #[default]
    None,
    /// Before events count as delivered, as many of them at a time as there are.
    Batch,
}

fn flush_size() -> ByteSize {
    ByteSize::mib(1)
}

fn flush_after() -> Period {
    Period::seconds(1)
}

fn open_files_max() -> usize {
    256
}

fn close_after() -> Period {
    Period::seconds(60)
}

fn new_files_per_hour() -> u64 {
    1000
}

impl OutputConfig for Config {
    const NAME: &'static str = "file";
}

impl OutputSpec for Config {
    fn build(&self, context: &BuildContext<'_>) -> Result<Box<dyn Output>, BuildError> {
        let env = context.env.clone();
        let keys = Keys::new(&self.path.bind(context));
        let place = Place::new(&self.path, context, self.format(), self.rotate_size.is_some());
        let new_files = keys.vary().then(|| NewFiles::new(context.node, self.new_files_per_hour));
        let limits = targets::Limits {
            open_files: self.open_files_max,
            bytes: self.rotate_size.map(ByteSize::bytes),
            idle: self.close_after.duration(),
            sync: self.fsync == Fsync::Batch,
            mode: self.mode.bits(),
        };
        let framer = Framer::new(self.format(), self.compression_level)
            .map_err(|error| BuildError::caused("zstd cannot be set up", error))?;
        let targets = Targets::new(env.clone(), place, self.format(), limits);
        let holds = self.holds();
        Ok(Box::new(File { env, keys, new_files, targets, framer, stage: Stage::default(), holds }))
    }

    fn default_encoder(&self) -> Option<&'static str> {
        Some("json")
    }

    fn receipt_means(&self) -> String {
        let what = match self.compression {
            Compression::None => "written to the file",
            Compression::Gzip => "written to the file in a whole gzip member",
            Compression::Zstd => "written to the file in a whole zstd frame",
        };
        match self.fsync {
            Fsync::None => format!("{what}; a power failure may undo the last seconds"),
            Fsync::Batch => format!("{what} and synced to disk"),
        }
    }

    fn writes(&self) -> Option<&Template> {
        Some(&self.path)
    }

    fn flush_policy(&self) -> Option<Flush> {
        self.holds().then(|| Flush {
            bytes: usize::try_from(self.flush_size.bytes()).unwrap_or(usize::MAX),
            age: self.flush_after.duration(),
            // Frames get better with size, a sync does not.
            when_idle: self.compression == Compression::None,
        })
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = place::mistakes(&self.path);
        let mut wrong = |message: &str| problems.push(Problem::error(message));
        if self.rotate_size.is_some_and(|size| size.bytes() == 0) {
            wrong("`rotate_size` must be more than 0");
        }
        if self.flush_size.bytes() == 0 {
            wrong("`flush_size` must be more than 0");
        }
        if self.open_files_max == 0 {
            wrong("`open_files_max` must be at least 1");
        }
        match (self.compression, self.compression_level) {
            (Compression::None, Some(_)) => wrong("`compression_level` without `compression`"),
            (Compression::Gzip, Some(level)) if !(1..=9).contains(&level) => {
                wrong("the `compression_level` of gzip is 1 to 9");
            }
            (Compression::Zstd, Some(level)) if !(1..=19).contains(&level) => {
                wrong("the `compression_level` of zstd is 1 to 19");
            }
            _ => {}
        }
        problems.extend(self.ending_mismatch());
        problems
    }
}

impl Config {
    fn format(&self) -> Format {
        match self.compression {
            Compression::None => Format::Lines,
            Compression::Gzip => Format::Gzip,
            Compression::Zstd => Format::Zstd,
        }
    }

    fn holds(&self) -> bool {
        self.compression != Compression::None || self.fsync == Fsync::Batch
    }

    /// A warning if the file would be taken for what it is not.
    fn ending_mismatch(&self) -> Option<Problem> {
        let path = self.path.to_string();
        let looks_like = |ending: &str| path.ends_with(ending);
        let (is, help) = match self.compression {
            Compression::None if looks_like(".gz") => {
                ("not compressed", "set `compression` to `gzip`")
            }
            Compression::None if looks_like(".zst") => {
                ("not compressed", "set `compression` to `zstd`")
            }
            Compression::Gzip if !looks_like(".gz") => ("gzip", "let the path end in `.gz`"),
            Compression::Zstd if !looks_like(".zst") => ("zstd", "let the path end in `.zst`"),
            _ => return None,
        };
        Some(Problem::warning(format!("the file `{path}` is {is}, unlike its name")).help(help))
    }
}

/// Events are refused because their file cannot be.
const BAD_NAME: &str = "bad_name";
/// Events are refused because there would be too many files.
const NEW_FILES: &str = "new_files";

struct File {
    env: Arc<dyn Env>,
    keys: Keys,
    /// The bound on names that events make, if they make any.
    new_files: Option<NewFiles>,
    targets: Targets,
    framer: Framer,
    stage: Stage,
    /// Events are held until the next flush.
    holds: bool,
}

impl Output for File {
    fn write<'a>(&'a mut self, parcel: &'a Parcel) -> BoxFuture<'a, Written> {
        Box::pin(async move {
            match self.take(parcel) {
                Ok(()) if self.holds => Written::Held,
                Ok(()) => self.store(),
                Err(reason) => self.go_back(reason),
            }
        })
    }

    fn flush(&mut self) -> BoxFuture<'_, Written> {
        Box::pin(async move {
            if self.stage.is_empty() { Written::Delivered } else { blocking(|| self.store()) }
        })
    }

    fn tick(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async move { self.targets.close_idle() })
    }

    fn close(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async move { self.targets.close_all() })
    }
}

impl File {
    /// Writes a parcel, or stages it: to be held, or to gather what goes to the same file where
    /// events of a parcel alternate.
    fn take(&mut self, parcel: &Parcel) -> Result<(), String> {
        let stages = self.holds || self.keys.vary();
        let (targets, stage) = (&mut self.targets, &mut self.stage);
        let (new_files, env) = (&mut self.new_files, &self.env);
        self.keys.runs(parcel, |events, key| {
            let key = match key {
                Ok(key) => key,
                Err(error) => {
                    stage.refuse(parcel, events, BAD_NAME, &error.to_string());
                    return Ok(());
                }
            };
            if let Some(new_files) = new_files
                && !stage.has(key)
                && !targets.has(key)
                && !new_files.take(key, &parcel.batch().origin().tenant, env.now_millis())
            {
                stage.refuse(parcel, events, NEW_FILES, new_files::REFUSED);
                return Ok(());
            }
            if stages {
                stage.add(key, parcel, events);
                return Ok(());
            }
            match targets.append(key, parcel.run_bytes(events.clone())) {
                Err(Failure::Refuse(reason)) => {
                    stage.refuse(parcel, events, BAD_NAME, &reason);
                    Ok(())
                }
                Err(Failure::Retry(reason)) => Err(reason),
                Ok(()) => Ok(()),
            }
        })?;
        self.stage.count(parcel);
        Ok(())
    }

    /// Writes what is staged, and makes it safe.
    fn store(&mut self) -> Written {
        let mut refused = self.stage.take_refused();
        for (key, staged) in self.stage.drain() {
            let appended = match self.framer.frame(&staged.bytes) {
                Ok(frame) => self.targets.append(&key, frame),
                Err(error) => Err(Failure::Retry(format!("cannot compress: {error}"))),
            };
            match appended {
                Ok(()) => {}
                Err(Failure::Refuse(reason)) => {
                    let refusal = |index| Refusal { index, kind: BAD_NAME, reason: reason.clone() };
                    refused.extend(staged.events.into_iter().flatten().map(refusal));
                }
                Err(Failure::Retry(reason)) => return self.go_back(reason),
            }
        }
        if let Err(reason) = self.targets.commit() {
            return self.go_back(reason);
        }
        if let Some(new_files) = &mut self.new_files {
            new_files.commit();
        }
        if refused.is_empty() {
            return Written::Delivered;
        }
        refused.sort_by_key(|refusal| refusal.index);
        Written::Refused(refused)
    }

    /// Undoes everything since the last success.
    fn go_back(&mut self, reason: String) -> Written {
        self.stage.clear();
        self.targets.undo();
        Written::Retry { after: None, reason }
    }
}

/// Does what may take long without keeping other tasks of this thread waiting.
fn blocking<T>(work: impl FnOnce() -> T) -> T {
    let flavor = Handle::try_current().map(|handle| handle.runtime_flavor());
    match flavor {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

#[cfg(test)]
mod tests;
