//! Runs a command and reads what it prints.
//!
//! By default the command is kept running: when it ends, it is started again after a pause that grows
//! from 0.1 to 30 seconds. With `every` it runs on a schedule; a run that is due while the one before
//! is still going is left out. With `mode: once` it runs once, and the input ends with it.
//!
//! Each run is a stream of its own. It ends when the command and everything that it started have
//! closed their output. What was printed and not delivered is lost in a crash, because nobody can
//! read it again: the level is `memory`. When the pipeline is full, nothing is read, and the command
//! waits in its next `write`.
//!
//! The command runs in a process group of its own. The whole group is asked to end (SIGTERM) and
//! then killed when dpipe stops, when a run takes longer than `timeout`, and when dpipe itself is
//! killed. Lines of standard error are logged as warnings, at most 20 a second.
//!
//! Counted in `dpipe_noted_total`: `run_succeeded`, `run_failed` (it ended with another code than
//! 0), `run_killed` (a signal ended it), `run_timed_out`; in `dpipe_skipped_total`: `run_overdue`.
//!
//! ```yaml
//! type: exec
//! command: "df -P | tail -n +2"
//! every: 1m
//! ```

use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use dpipe_event::StreamId;
use dpipe_plugin::settings::{Period, Problem};
use dpipe_plugin::{
    BoxFuture, BuildContext, BuildError, Ended, Input, InputConfig, InputContext, InputError,
    InputSpec, Level, Shutdown, Stream, StreamStart,
};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::{Instant, sleep, sleep_until};

use crate::arrival::wait_for_arrival;
use crate::piped_lines::{PipedLines, Read};
use crate::process::{CommandLine, Launch, Pauses, Process, Variables};

/// What to run, and when.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The program and its arguments as a list, or a line for `sh -c`.
    command: CommandLine,
    /// What happens when the command ends; `keep_running` unless there is a schedule.
    mode: Option<Mode>,
    /// Runs the command on a schedule: at once, and then this often.
    every: Option<Period>,
    /// How long a run may take, without the time in which it waits for the pipeline; for ever, if
    /// left out.
    timeout: Option<Period>,
    /// The folder it runs in, relative to that of the configuration.
    #[serde(default = "here")]
    folder: String,
    /// Environment variables, beside those of dpipe.
    #[serde(default)]
    env: Variables,
}

fn here() -> String {
    ".".into()
}

/// What happens when the command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Mode {
    /// It is started again.
    KeepRunning,
    /// The input ends.
    Once,
}

impl InputConfig for Config {
    const NAME: &'static str = "exec";
}

impl InputSpec for Config {
    fn build(&self, context: &BuildContext<'_>) -> Result<Box<dyn Input>, BuildError> {
        let launch = Launch::new(context, &self.command, &self.folder, &self.env);
        let when = match (self.every, self.mode) {
            (Some(every), _) => When::Every(every.duration()),
            (None, Some(Mode::Once)) => When::Once,
            (None, Some(Mode::KeepRunning) | None) => When::Always,
        };
        Ok(Box::new(Exec { launch, when, timeout: self.timeout.map(Period::duration) }))
    }

    fn level(&self) -> Level {
        Level::Memory
    }

    fn reads_lines(&self) -> bool {
        true
    }

    fn ends(&self) -> bool {
        self.mode == Some(Mode::Once)
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.every.is_some() && self.mode.is_some() {
            let message = "`every` is a schedule, so there is nothing left for `mode` to say";
            problems.push(Problem::error(message).help("leave out one of them"));
        }
        for (name, period) in [("every", self.every), ("timeout", self.timeout)] {
            if period.is_some_and(|period| period.duration() < Duration::from_millis(1)) {
                problems.push(Problem::error(format!("`{name}` is less than a millisecond")));
            }
        }
        problems
    }
}

struct Exec {
    launch: Launch,
    when: When,
    timeout: Option<Duration>,
}

enum When {
    Always,
    Once,
    Every(Duration),
}

impl Input for Exec {
    fn run(
        self: Box<Self>,
        context: InputContext,
    ) -> BoxFuture<'static, Result<Ended, InputError>> {
        let Exec { launch, when, timeout } = *self;
        // Offsets begin anew with every run, so the run is part of its identity.
        let start = context.env.random();
        let runs = Runs { launch, timeout, context, start, number: 0, sent: Vec::new() };
        Box::pin(runs.run(when))
    }
}

/// How long a command that was asked to end may take before it is killed.
const PATIENCE: Duration = Duration::from_secs(2);

/// The runs of a command, one after the other.
struct Runs {
    launch: Launch,
    timeout: Option<Duration>,
    context: InputContext,
    start: u64,
    number: u64,
    /// What has not arrived yet: streams and their ends.
    sent: Vec<(Arc<dyn Stream>, u64)>,
}

impl Runs {
    async fn run(mut self, when: When) -> Result<Ended, InputError> {
        let mut shutdown = self.context.shutdown.clone();
        let mut pauses = Pauses::new();
        let mut due = Instant::now();
        let ended = loop {
            pauses.started();
            let status = self.one(&mut shutdown).await?;
            let wait = match when {
                _ if shutdown.is_given() => break Ended::Stopped,
                When::Once => break Ended::Exhausted,
                When::Always => {
                    let pause = pauses.pause();
                    let (node, command) = (&*self.context.node, self.launch.name());
                    let ended = status.map_or("timed out".into(), |status| status.to_string());
                    tracing::warn!(node, command, again_in = ?pause, "the command ended: {ended}");
                    Instant::now() + pause
                }
                When::Every(period) => {
                    let (next, overdue) = next_due(due, period, Instant::now());
                    self.context.door.skipped("run_overdue", overdue);
                    due = next;
                    due
                }
            };
            tokio::select! {
                () = sleep_until(wait) => {}
                () = shutdown.given() => break Ended::Stopped,
            }
            self.forget_what_arrived()?;
        };
        for (stream, end) in &self.sent {
            wait_for_arrival(&*self.context.door, &**stream, *end, &mut shutdown).await?;
        }
        Ok(ended)
    }

    /// One run; nothing is returned of one that timed out or was told to stop.
    async fn one(&mut self, shutdown: &mut Shutdown) -> Result<Option<ExitStatus>, InputError> {
        let cannot = |what: &str, error: std::io::Error| {
            InputError::caused(format!("cannot {what} `{}`", self.launch.name()), error)
        };
        let stream = self.context.door.open(StreamStart {
            file: String::new(),
            host: String::new(),
            id: self.stream_id(),
            position: 0,
        })?;
        let mut process = self
            .launch
            .start(Stdio::null(), Stdio::piped())
            .map_err(|error| cannot("start", error))?;
        let stdout = process.child.stdout.take().expect("standard output is a pipe");
        let line_bytes_max = self.context.line_bytes_max;
        let piped = stdout
            .into_owned_fd()
            .and_then(|pipe| PipedLines::new(pipe, line_bytes_max, self.context.multiline.clone()));
        let mut piped = piped.map_err(|error| cannot("read from", error))?;
        let mut deadline = Deadline::after(self.timeout);
        let read = read(&self.context, &mut piped, &*stream, &mut deadline, shutdown).await;
        self.number += 1;
        if piped.offset() > 0 {
            self.sent.push((stream, piped.offset()));
        }
        let over = read.map_err(|error| cannot("read from", error))?;
        let status = match over {
            Over::Printed => wait(&mut process, deadline, shutdown).await,
            over => Err(over),
        };
        let noted = |what| self.context.door.noted(what, 1);
        match status {
            Ok(status) => {
                let status = status.map_err(|error| cannot("wait for", error))?;
                noted(match (status.success(), status.signal()) {
                    (true, _) => "run_succeeded",
                    (false, None) => "run_failed",
                    (false, Some(_)) => "run_killed",
                });
                if !status.success() {
                    let (node, command) = (&*self.context.node, self.launch.name());
                    tracing::warn!(node, command, "the command failed: {status}");
                }
                Ok(Some(status))
            }
            Err(over) => {
                if over == Over::TimedOut {
                    noted("run_timed_out");
                    let (node, command) = (&*self.context.node, self.launch.name());
                    tracing::warn!(node, command, timeout = ?self.timeout, "the command takes too long");
                }
                tokio::select! {
                    () = process.end(PATIENCE) => {}
                    () = shutdown.abandoned() => {}
                }
                Ok(None)
            }
        }
    }

    fn stream_id(&self) -> StreamId {
        let (node, start) = (self.context.node.as_bytes(), self.start.to_le_bytes());
        let parts = [b"exec", node, &start, &self.number.to_le_bytes()];
        StreamId::derive(&self.context.id_key, &parts)
    }

    fn forget_what_arrived(&mut self) -> Result<(), InputError> {
        self.sent.retain(|(stream, end)| stream.settled() < *end);
        if self.sent.iter().any(|(stream, _)| stream.progress().lost_receipts() > 0) {
            let message = "events were lost on their way to an output".into();
            return Err(InputError { message, source: None });
        }
        Ok(())
    }
}

/// How reading came to its end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Over {
    /// Everything was read.
    Printed,
    TimedOut,
    Stopped,
}

/// Reads lines until there are no more, or until it is time to stop.
async fn read(
    context: &InputContext,
    piped: &mut PipedLines,
    stream: &dyn Stream,
    deadline: &mut Deadline,
    shutdown: &mut Shutdown,
) -> std::io::Result<Over> {
    let pool = &context.pool;
    loop {
        tokio::select! {
            biased;
            () = shutdown.given() => return Ok(Over::Stopped),
            ready = piped.readable() => ready?,
            () = piped.event_is_due() => {
                let credit = tokio::select! {
                    credit = stream.reserve(piped.kept()) => credit,
                    () = shutdown.given() => return Ok(Over::Stopped),
                };
                if let Some(event) = piped.open_event() {
                    stream.send(event, credit).await;
                }
                piped.was_sent();
                continue;
            }
            () = deadline.passed() => return Ok(Over::TimedOut),
        }
        let bytes = piped.wants(pool);
        let before = Instant::now();
        let mut credit = tokio::select! {
            credit = stream.reserve(bytes) => credit,
            () = shutdown.given() => return Ok(Over::Stopped),
        };
        deadline.put_off(before.elapsed());
        let (chunk, is_end) = match piped.read(pool)? {
            Read::Nothing => continue,
            Read::Some(chunk) => (chunk, false),
            Read::End(chunk) => (chunk, true),
        };
        if let Some(chunk) = chunk {
            credit.shrink(chunk.buffer.len());
            stream.send(chunk, credit).await;
            piped.was_sent();
        }
        if is_end {
            return Ok(Over::Printed);
        }
    }
}

/// Waits for the end of a command that has closed its output.
async fn wait(
    process: &mut Process,
    deadline: Deadline,
    shutdown: &mut Shutdown,
) -> Result<std::io::Result<ExitStatus>, Over> {
    tokio::select! {
        biased;
        status = process.ended() => Ok(status),
        () = deadline.passed() => Err(Over::TimedOut),
        () = shutdown.given() => Err(Over::Stopped),
    }
}

/// When a run has taken too long.
#[derive(Clone, Copy)]
struct Deadline(Option<Instant>);

impl Deadline {
    fn after(timeout: Option<Duration>) -> Deadline {
        Deadline(timeout.map(|timeout| Instant::now() + timeout))
    }

    fn put_off(&mut self, by: Duration) {
        self.0 = self.0.map(|at| at + by);
    }

    async fn passed(self) {
        match self.0 {
            Some(at) => sleep_until(at).await,
            None => loop {
                sleep(Duration::from_secs(3600)).await;
            },
        }
    }
}

/// When the next run is due after the one that was due at `due`, and how many were due in between.
fn next_due(due: Instant, period: Duration, now: Instant) -> (Instant, u64) {
    let late = now.saturating_duration_since(due).as_nanos();
    let passed = u32::try_from(late / period.as_nanos()).unwrap_or(u32::MAX);
    // At the very moment at which one is due, it is on time.
    let on_time = late.is_multiple_of(period.as_nanos());
    let missed = if on_time { passed.saturating_sub(1) } else { passed };
    (due + period * (missed + 1), u64::from(missed))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use dpipe_env::Env;
    use dpipe_plugin::Shared;
    use dpipe_testkit::{InputWorld, MemoryEnv};

    use super::*;
    use crate::process::tests::{is_alive, wait_until};

    fn config(json: serde_json::Value) -> Config {
        serde_json::from_value(json).unwrap()
    }

    fn build(config: &Config) -> Box<dyn Input> {
        let env: Arc<dyn Env> = Arc::new(MemoryEnv::new());
        let shared = Shared::default();
        let context = BuildContext {
            env: &env,
            node: "in",
            step: 0,
            data_dir: Path::new("/"),
            config_dir: Path::new("/"),
            shared: &shared,
            decoder: None,
        };
        config.build(&context).unwrap()
    }

    async fn run(json: serde_json::Value, world: &InputWorld) -> Result<Ended, InputError> {
        world.run(build(&config(json))).await
    }

    #[tokio::test]
    async fn what_a_command_prints_comes_line_by_line() {
        let world = InputWorld::new();
        let json = serde_json::json!({
            "command": ["sh", "-c", "pwd; echo $A; printf last"],
            "mode": "once",
            "folder": "/proc",
            "env": { "A": "b c" }
        });
        assert_eq!(run(json, &world).await.unwrap(), Ended::Exhausted);
        assert_eq!(world.lines(), ["/proc", "b c", "last"]);
        assert_eq!(world.noted(), [("run_succeeded", 1)].into());
    }

    #[tokio::test]
    async fn an_end_that_is_no_success_is_counted() {
        let world = InputWorld::new();
        run(serde_json::json!({ "command": "echo a; exit 3", "mode": "once" }), &world)
            .await
            .unwrap();
        run(serde_json::json!({ "command": "kill -9 $$", "mode": "once" }), &world).await.unwrap();
        assert_eq!(world.lines(), ["a"]);
        assert_eq!(world.noted(), [("run_failed", 1), ("run_killed", 1)].into());
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_an_error_that_names_it() {
        let world = InputWorld::new();
        let error = run(serde_json::json!({ "command": ["no-such-program"] }), &world).await;
        assert_eq!(error.unwrap_err().message, "cannot start `no-such-program`");
    }

    #[tokio::test]
    async fn a_command_that_ends_is_started_again() {
        let world = InputWorld::new();
        let running = run(serde_json::json!({ "command": "printf again" }), &world);
        let stopping = async {
            world.sent(3).await;
            world.stop();
        };
        let (ended, ()) = tokio::join!(running, stopping);
        assert_eq!(ended.unwrap(), Ended::Stopped);
        assert_eq!(world.lines()[..3], ["again", "again", "again"]);
    }

    #[tokio::test]
    async fn on_a_schedule_a_run_that_is_due_too_early_is_left_out_and_counted() {
        let world = InputWorld::new();
        let json = serde_json::json!({ "command": "echo a; sleep 0.05", "every": "20ms" });
        let running = run(json, &world);
        let stopping = async {
            world.until(|world| world.skipped().get("run_overdue") > Some(&3)).await;
            world.sent(2).await;
            world.stop();
        };
        let (ended, ()) = tokio::join!(running, stopping);
        assert_eq!(ended.unwrap(), Ended::Stopped);
    }

    #[test]
    fn a_schedule_keeps_its_beat_whatever_a_run_takes() {
        let (start, ms) = (Instant::now(), Duration::from_millis);
        let next = |now| {
            let (next, missed) = next_due(start, ms(10), start + ms(now));
            ((next - start).as_millis(), missed)
        };
        assert_eq!([next(0), next(3), next(10)], [(10, 0), (10, 0), (10, 0)]);
        assert_eq!([next(11), next(20), next(35)], [(20, 1), (20, 1), (40, 3)]);
    }

    #[tokio::test]
    async fn a_run_that_takes_too_long_is_killed_with_all_that_it_started() {
        let world = InputWorld::new();
        let json = serde_json::json!({
            "command": "sleep 1000 & echo $!; wait",
            "mode": "once",
            "timeout": "1s"
        });
        assert_eq!(run(json, &world).await.unwrap(), Ended::Exhausted);
        assert_eq!(world.noted(), [("run_timed_out", 1)].into());
        let grandchild = world.lines().remove(0);
        wait_until(|| !is_alive(&grandchild));
    }

    #[tokio::test]
    async fn when_told_to_stop_it_ends_the_command() {
        let world = InputWorld::new();
        let running = run(serde_json::json!({ "command": "echo $$; exec sleep 1000" }), &world);
        let stopping = async {
            world.sent(1).await;
            world.stop();
        };
        let (ended, ()) = tokio::join!(running, stopping);
        assert_eq!(ended.unwrap(), Ended::Stopped);
        let child = world.lines().remove(0);
        wait_until(|| !is_alive(&child));
    }

    #[tokio::test]
    async fn without_credit_nothing_is_read_and_the_command_waits() {
        let world = InputWorld::without_credit();
        let running = run(serde_json::json!({ "command": "yes" }), &world);
        let stopping = async {
            world.asked_for_credit().await;
            world.stop();
        };
        let (ended, ()) = tokio::join!(running, stopping);
        assert_eq!(ended.unwrap(), Ended::Stopped);
        assert!(world.lines().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_in_which_a_run_waits_for_the_pipeline_is_not_its_own() {
        let mut deadline = Deadline::after(Some(Duration::from_secs(5)));
        deadline.put_off(Duration::from_secs(60));
        let start = Instant::now();
        deadline.passed().await;
        assert_eq!(start.elapsed().as_secs(), 65);
    }

    #[tokio::test]
    async fn its_end_waits_for_what_it_sent() {
        let world = InputWorld::holding_receipts();
        let running = run(serde_json::json!({ "command": "echo a", "mode": "once" }), &world);
        tokio::pin!(running);
        tokio::select! {
            biased;
            ended = &mut running => panic!("it ended before: {ended:?}"),
            () = world.sent(1) => {}
        }
        world.settle();
        assert_eq!(running.await.unwrap(), Ended::Exhausted);
    }

    #[test]
    fn mistakes_are_found_before_anything_runs() {
        let wrong = |json| {
            let problems = InputSpec::check(&config(json));
            problems.into_iter().map(|problem| problem.message).collect::<Vec<_>>()
        };
        assert!(wrong(serde_json::json!({ "command": "date" })).is_empty());
        assert_eq!(
            wrong(serde_json::json!({ "command": "date", "mode": "once", "every": "0s" })),
            [
                "`every` is a schedule, so there is nothing left for `mode` to say",
                "`every` is less than a millisecond"
            ]
        );
        let bad = |json: serde_json::Value| serde_json::from_value::<Config>(json).unwrap_err();
        let empty = bad(serde_json::json!({ "command": [] }));
        assert_eq!(empty.to_string(), "the command names no program");
        assert_eq!(bad(serde_json::json!({ "command": " " })).to_string(), "the command is empty");
    }
}
