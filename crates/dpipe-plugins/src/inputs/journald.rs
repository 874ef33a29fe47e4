//! Follows the systemd journal of this machine, through `journalctl`.
//!
//! The cursor of what has arrived is kept, so that nothing is lost and hardly anything comes twice,
//! through restarts and crashes: the level is `end_to_end`. Entries that the journal has thrown away
//! meanwhile are gone. An entry that comes again has the same id.
//!
//! At the very first start, `read_from` says where to begin. With `units`, `current_boot_only` and
//! `include_kernel: false` fewer entries are read; `directory` or `files` name another journal than
//! this machine's own. Fields are named by the codec `journald`, which is the default here. Who may
//! read the journal is up to the system: the groups `systemd-journal` or `adm`, usually.
//!
//! When the pipeline is full, nothing is read, and the journal keeps what comes. If journalctl ends,
//! it is started again with growing pauses. It runs in a process group of its own, which is killed
//! when dpipe ends, however it does.
//!
//! ```yaml
//! type: journald
//! units: [nginx.service]
//! ```

use std::collections::VecDeque;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use dpipe_event::StreamId;
use dpipe_plugin::settings::Problem;
use dpipe_plugin::{
    BoxFuture, BuildContext, BuildError, Ended, Input, InputConfig, InputContext, InputError,
    InputSpec, Level, Shutdown, Stream, StreamStart,
};
use memchr::memmem;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;

use crate::arrival::wait_for_arrival;
use crate::piped_lines::{PipedLines, Read};
use crate::process::{CommandLine, Launch, Process, Variables};
use crate::rhythm::Keeper;

/// Which journal, and what of it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// The units whose entries are read, such as `[nginx.service, "shop-*"]`; all, if left out.
    units: Vec<String>,
    /// Leaves out what was logged before the machine was last started.
    current_boot_only: bool,
    /// Whether the kernel's entries are read.
    include_kernel: bool,
    /// Where to begin at the very first start.
    read_from: ReadFrom,
    /// Whether the input waits for new entries, or ends with the last one.
    follow: bool,
    /// The folder of another journal.
    directory: Option<String>,
    /// The files of another journal.
    files: Vec<String>,
    /// The program that reads journals.
    program: String,
}

/// Where to begin at the very first start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum ReadFrom {
    /// With the first entry that there is.
    Beginning,
    /// With the next entry.
    End,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            units: Vec::new(),
            current_boot_only: false,
            include_kernel: true,
            read_from: ReadFrom::Beginning,
            follow: true,
            directory: None,
            files: Vec::new(),
            program: "journalctl".into(),
        }
    }
}

impl InputConfig for Config {
    const NAME: &'static str = "journald";
}

impl InputSpec for Config {
    fn build(&self, context: &BuildContext<'_>) -> Result<Box<dyn Input>, BuildError> {
        let command = CommandLine::Arguments(self.arguments(context));
        let launch = Launch::new(context, &command, ".", &Variables::new());
        Ok(Box::new(Journald { launch, read_from: self.read_from, follow: self.follow }))
    }

    fn level(&self) -> Level {
        Level::EndToEnd
    }

    fn ends(&self) -> bool {
        !self.follow
    }

    fn default_codec(&self) -> &'static str {
        "journald"
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.directory.is_some() && !self.files.is_empty() {
            problems.push(Problem::error("`directory` and `files` name two journals"));
        }
        let empty = |text: &String| text.trim().is_empty();
        if self.units.iter().any(empty) {
            problems.push(Problem::error("a name in `units` is empty"));
        }
        if empty(&self.program) {
            problems.push(Problem::error("`program` is empty"));
        }
        problems
    }
}

impl Config {
    /// How journalctl is called, apart from where it begins.
    fn arguments(&self, context: &BuildContext<'_>) -> Vec<String> {
        let resolve = |path: &String| context.resolve(path).to_string_lossy().into_owned();
        let mut arguments: Vec<String> =
            [&*self.program, "--output=json", "--all", "--quiet", "--no-pager"]
                .map(str::to_owned)
                .into();
        if self.current_boot_only {
            arguments.push("--boot".into());
        }
        arguments.extend(self.units.iter().map(|unit| format!("--unit={unit}")));
        arguments
            .extend(self.directory.iter().map(|path| format!("--directory={}", resolve(path))));
        arguments.extend(self.files.iter().map(|path| format!("--file={}", resolve(path))));
        if !self.include_kernel {
            let others = ["audit", "driver", "journal", "stdout", "syslog"];
            arguments.extend(others.map(|transport| format!("_TRANSPORT={transport}")));
        }
        arguments
    }
}

struct Journald {
    launch: Launch,
    read_from: ReadFrom,
    follow: bool,
}

impl Input for Journald {
    fn run(
        self: Box<Self>,
        context: InputContext,
    ) -> BoxFuture<'static, Result<Ended, InputError>> {
        Box::pin(async move {
            let (mut run, mut piped) = Run::start(*self, context).await?;
            run.run(&mut piped).await
        })
    }
}

/// Where it goes on: after an entry, and the bytes up to it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Saved {
    cursor: Option<String>,
    offset: u64,
}

/// The only key of the checkpoints.
const KEY: &str = "cursor";
/// How long journalctl may take to end.
const PATIENCE: Duration = Duration::from_secs(2);
/// The most that is read of the newest entry to find its cursor.
const ENTRY_BYTES_MAX: u64 = 16 << 20;

struct Run {
    name: String,
    follow: bool,
    context: InputContext,
    stream: Arc<dyn Stream>,
    process: Process,
    /// Cursors of chunks that are not known to have arrived, by the chunks' ends.
    sent: VecDeque<(u64, String)>,
    saved: Saved,
    keeper: Keeper,
}

impl Run {
    async fn start(
        journald: Journald,
        context: InputContext,
    ) -> Result<(Run, PipedLines), InputError> {
        let Journald { launch, read_from, follow } = journald;
        let checkpoints = context.checkpoints.load();
        let saved = checkpoints.iter().find(|(key, _)| key == KEY);
        let saved = saved.and_then(|(_, json)| serde_json::from_str::<Saved>(json).ok());
        let is_first = saved.is_none();
        let mut saved = saved.unwrap_or_default();
        if is_first && read_from == ReadFrom::End {
            // Saved before anything is read, so that what comes until then is not lost by a restart.
            saved.cursor = newest(&launch).await?;
        }
        let mut arguments = Vec::new();
        if follow {
            arguments.extend(["--follow".to_owned(), "--no-tail".to_owned()]);
        }
        arguments.extend(saved.cursor.iter().map(|cursor| format!("--after-cursor={cursor}")));
        let id = StreamId::derive(&context.id_key, &[b"journald", context.node.as_bytes()]);
        let (file, host) = (String::new(), String::new());
        let stream = context.door.open(StreamStart { file, host, id, position: saved.offset })?;
        let cannot = |error| cannot("start", &launch, error);
        let mut process = launch
            .with_arguments(&arguments)
            .start(Stdio::null(), Stdio::piped())
            .map_err(cannot)?;
        let stdout = process.child.stdout.take().expect("standard output is a pipe");
        let stdout = stdout.into_owned_fd().map_err(cannot)?;
        let piped = PipedLines::new(stdout, context.line_bytes_max, None).map_err(cannot)?;
        let mut keeper = Keeper::new();
        if is_first && saved.cursor.is_some() {
            keeper.moved();
        }
        let mut run = Run {
            name: launch.name().to_owned(),
            follow,
            context,
            stream,
            process,
            sent: VecDeque::new(),
            saved,
            keeper,
        };
        run.save(true)?;
        Ok((run, piped))
    }

    async fn run(&mut self, piped: &mut PipedLines) -> Result<Ended, InputError> {
        let mut shutdown = self.context.shutdown.clone();
        let start = self.saved.offset;
        let read = self.read(piped, &mut shutdown).await;
        let door = self.context.door.clone();
        let end = start + piped.offset();
        let arrived = wait_for_arrival(&*door, &*self.stream, end, &mut shutdown).await;
        self.notice();
        self.save(true)?;
        arrived?;
        if shutdown.is_given() {
            return Ok(Ended::Stopped);
        }
        let name = &self.name;
        read.map_err(|error| InputError::caused(format!("cannot read from `{name}`"), error))?;
        let failed = |message: String| Err(InputError { message, source: None });
        match tokio::time::timeout(PATIENCE, self.process.ended()).await {
            Ok(Ok(status)) if status.success() && !self.follow => Ok(Ended::Exhausted),
            Ok(Ok(status)) => failed(format!("`{name}` ended: {status}")),
            Ok(Err(error)) => failed(format!("`{name}` cannot be waited for: {error}")),
            Err(_) => failed(format!("`{name}` closed its output, and did not end")),
        }
    }

    /// Reads until the end, or until it is time to stop.
    async fn read(
        &mut self,
        piped: &mut PipedLines,
        shutdown: &mut Shutdown,
    ) -> std::io::Result<()> {
        let (door, pool) = (self.context.door.clone(), self.context.pool.clone());
        let stream = self.stream.clone();
        let start = self.saved.offset;
        loop {
            tokio::select! {
                biased;
                () = shutdown.given() => return Ok(()),
                ready = piped.readable() => ready?,
                () = door.freed(), if !self.sent.is_empty() || !self.keeper.is_saved() => {
                    self.keep().map_err(std::io::Error::other)?;
                    continue;
                }
            }
            let bytes = piped.wants(&pool);
            let mut credit = tokio::select! {
                credit = stream.reserve(bytes) => credit,
                () = shutdown.given() => return Ok(()),
            };
            let (chunk, is_end) = match piped.read(&pool)? {
                Read::Nothing => continue,
                Read::Some(chunk) => (chunk, false),
                Read::End(chunk) => (chunk, true),
            };
            if let Some(mut chunk) = chunk {
                chunk.offset += start;
                chunk.end += start;
                self.sent.extend(cursor(&chunk.buffer).map(|cursor| (chunk.end, cursor)));
                credit.shrink(chunk.buffer.len());
                stream.send(chunk, credit).await;
            }
            if is_end {
                return Ok(());
            }
            self.keep().map_err(std::io::Error::other)?;
        }
    }

    /// Notices what has arrived, and saves it from time to time.
    fn keep(&mut self) -> Result<(), InputError> {
        self.notice();
        self.save(false)
    }

    fn notice(&mut self) {
        let settled = self.stream.settled();
        while let Some((offset, cursor)) = self.sent.pop_front_if(|(end, _)| *end <= settled) {
            self.saved = Saved { cursor: Some(cursor), offset };
            self.keeper.moved();
        }
    }

    fn save(&mut self, now: bool) -> Result<(), InputError> {
        let json = || serde_json::to_string(&self.saved).expect("texts and numbers are JSON");
        let failed = |error| InputError::caused("cannot save a checkpoint", error);
        self.keeper.keep(now, &*self.context.checkpoints, KEY, json).map_err(failed)
    }
}

fn cannot(what: &str, launch: &Launch, error: std::io::Error) -> InputError {
    InputError::caused(format!("cannot {what} `{}`", launch.name()), error)
}

/// The cursor of the newest entry, if there is any.
async fn newest(launch: &Launch) -> Result<Option<String>, InputError> {
    let failed = |error| cannot("ask", launch, error);
    let last = launch.with_arguments(&["--lines=1".to_owned()]);
    let mut process = last.start(Stdio::null(), Stdio::piped()).map_err(failed)?;
    let stdout = process.child.stdout.take().expect("standard output is a pipe");
    let mut entry = Vec::new();
    stdout.take(ENTRY_BYTES_MAX).read_to_end(&mut entry).await.map_err(failed)?;
    Ok(cursor(&entry))
}

/// The cursor of the last entry in a text. In JSON, quotes within texts have backslashes before them,
/// so what looks like the field is the field.
fn cursor(entries: &[u8]) -> Option<String> {
    const FIELD: &[u8] = b"\"__CURSOR\":\"";
    let start = memmem::rfind(entries, FIELD)? + FIELD.len();
    let len = memchr::memchr(b'"', &entries[start..])?;
    String::from_utf8(entries[start..start + len].to_vec()).ok()
}

#[cfg(test)]
mod tests;
