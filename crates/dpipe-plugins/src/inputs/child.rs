//! Takes events from a program in any language, and tells it when they have arrived.
//!
//! The program is a child process that is kept running; how to write one is told in
//! `docs/child-plugins.md`. It hands over batches of lines, which go through the codec of this
//! input, and is told up to which batch everything is settled. When the pipeline is full, nothing is
//! read, and the child waits in its next `write`.
//!
//! With `replayable`, each batch has a position: whatever the child needs to know to go on after it.
//! dpipe keeps the one up to which everything is settled, through crashes, and hands it to the child
//! at the start; the level is `end_to_end`. A child that then sends the same lines again gives their
//! events the same ids. Without it, the level is `memory`.
//!
//! If the child ends or breaks the protocol, it is started anew when what it sent is settled, with
//! growing pauses. With `ends`, an end without error (exit code 0) is the end of the input.
//!
//! To stop, its standard input is closed; it has `patience` to end then. It runs in a process group
//! of its own, which is killed when dpipe ends, however it does. Lines of standard error are logged
//! as warnings, at most 20 a second.
//!
//! ```yaml
//! type: child
//! command: ["python3", "children/numbers.py"]
//! config: { to: 1000 }
//! replayable: true
//! ends: true
//! codec: json
//! ```

mod framing;

use std::process::Stdio;
use std::sync::Arc;

use dpipe_event::StreamId;
use dpipe_plugin::settings::{ByteSize, Period};
use dpipe_plugin::{
    BoxFuture, BuildContext, BuildError, Credit, Ended, Input, InputConfig, InputContext,
    InputError, InputSpec, Level, Shutdown, Stream, StreamStart,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::net::unix::pipe::Sender;
use tokio::time::{Instant, timeout};

use crate::arrival::wait_for_arrival;
use crate::child::{ChildConfig, hello_input};
use crate::piped_lines::{PipedLines, Read};
use crate::process::{CommandLine, Launch, Process, Variables};
use crate::rhythm::Keeper;
use framing::Framing;

/// Whom to take events from.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The program and its arguments as a list, or a line for `sh -c`.
    command: CommandLine,
    /// What the child is told of its configuration: any value.
    #[serde(default)]
    config: ChildConfig,
    /// Whether the child gives positions, and can go on after one.
    #[serde(default)]
    replayable: bool,
    /// Whether the input ends with the child.
    #[serde(default)]
    ends: bool,
    /// How long it may take to start.
    #[serde(default = "start_timeout")]
    start_timeout: Period,
    /// How long it may take to end.
    #[serde(default = "patience")]
    patience: Period,
    /// The most address space that each of its processes may take; no bound, if left out.
    memory_max: Option<ByteSize>,
    /// The folder it runs in, relative to that of the configuration.
    #[serde(default = "here")]
    folder: String,
    /// Environment variables, beside those of dpipe.
    #[serde(default)]
    env: Variables,
}

fn start_timeout() -> Period {
    Period::seconds(10)
}

fn patience() -> Period {
    Period::seconds(5)
}

fn here() -> String {
    ".".into()
}

impl InputConfig for Config {
    const NAME: &'static str = "child";
}

impl InputSpec for Config {
    fn build(&self, context: &BuildContext<'_>) -> Result<Box<dyn Input>, BuildError> {
        let launch = Launch::new(context, &self.command, &self.folder, &self.env);
        let launch = launch.with_memory_max(self.memory_max);
        Ok(Box::new(Child { config: self.clone(), launch }))
    }

    fn level(&self) -> Level {
        if self.replayable { Level::EndToEnd } else { Level::Memory }
    }

    fn ends(&self) -> bool {
        self.ends
    }

    fn default_codec(&self) -> &'static str {
        "json"
    }
}

struct Child {
    config: Config,
    launch: Launch,
}

impl Input for Child {
    fn run(
        self: Box<Self>,
        context: InputContext,
    ) -> BoxFuture<'static, Result<Ended, InputError>> {
        Box::pin(async move { Run::start(*self, context)?.run().await })
    }
}

/// Where a child goes on: its position, and the bytes of the events before it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Saved {
    position: Option<Box<RawValue>>,
    offset: u64,
}

/// The only key of the checkpoints.
const KEY: &str = "position";

struct Run {
    config: Config,
    launch: Launch,
    context: InputContext,
    stream: Arc<dyn Stream>,
    process: Process,
    stdin: Option<Sender>,
    piped: PipedLines,
    framing: Framing,
    /// What has arrived, and what of it is on disk.
    saved: Saved,
    keeper: Keeper,
    /// The last batch that has arrived, and the last one that the child was told of.
    settled: u64,
    told: u64,
}

/// How reading came to its end.
enum Over {
    /// The child has closed its output.
    Closed,
    Stopped,
    Broken(String),
}

impl Run {
    fn start(child: Child, context: InputContext) -> Result<Run, InputError> {
        let Child { config, launch } = child;
        let checkpoints = context.checkpoints.load();
        let saved = checkpoints.iter().find(|(key, _)| config.replayable && key == KEY);
        let saved: Saved =
            saved.and_then(|(_, json)| serde_json::from_str(json).ok()).unwrap_or_default();
        // What cannot come again has its place in this run only.
        let start = context.env.random().to_le_bytes();
        let run = if config.replayable { &[][..] } else { &start };
        let stream = context.door.open(StreamStart {
            file: String::new(),
            host: String::new(),
            id: StreamId::derive(&context.id_key, &[b"child", context.node.as_bytes(), run]),
            position: saved.offset,
        })?;
        let cannot = |error: std::io::Error| {
            InputError::caused(format!("cannot start `{}`", launch.name()), error)
        };
        let mut process = launch.start(Stdio::piped(), Stdio::piped()).map_err(cannot)?;
        let stdin = process.child.stdin.take().expect("standard input is a pipe");
        let stdout = process.child.stdout.take().expect("standard output is a pipe");
        let stdin = stdin.into_owned_fd().and_then(Sender::from_owned_fd).map_err(cannot)?;
        let line_bytes_max = context.line_bytes_max;
        let piped =
            stdout.into_owned_fd().and_then(|pipe| PipedLines::new(pipe, line_bytes_max, None));
        let piped = piped.map_err(cannot)?;
        Ok(Run {
            framing: Framing::new(saved.offset, config.replayable),
            stdin: Some(stdin),
            piped,
            process,
            stream,
            saved,
            keeper: Keeper::new(),
            settled: 0,
            told: 0,
            config,
            launch,
            context,
        })
    }

    async fn run(mut self) -> Result<Ended, InputError> {
        let mut shutdown = self.context.shutdown.clone();
        let over = match self.greet(&mut shutdown).await {
            Ok(()) => self.read(&mut shutdown).await?,
            Err(over) => over,
        };
        // Also before it is started anew: it goes on after what has arrived.
        let (door, end) = (self.context.door.clone(), self.framing.offset());
        let arrived = wait_for_arrival(&*door, &*self.stream, end, &mut shutdown).await;
        self.report();
        self.save(true)?;
        arrived?;
        self.stdin = None;
        let failed = |message: String| Err(InputError { message, source: None });
        let name = self.launch.name();
        match over {
            Over::Broken(why) => {
                self.context.door.noted("child_broke_protocol", 1);
                failed(format!("`{name}` {why}"))
            }
            Over::Stopped => {
                tokio::select! {
                    _ = timeout(self.config.patience.duration(), self.process.ended()) => {}
                    () = shutdown.abandoned() => {}
                }
                Ok(Ended::Stopped)
            }
            Over::Closed => {
                let patience = self.config.patience.duration();
                match timeout(patience, self.process.ended()).await {
                    Ok(Ok(status)) if self.config.ends && status.success() => Ok(Ended::Exhausted),
                    Ok(Ok(status)) => failed(format!("`{name}` ended: {status}")),
                    Ok(Err(error)) => failed(format!("`{name}` cannot be waited for: {error}")),
                    Err(_) => failed(format!("`{name}` closed its output, and did not end")),
                }
            }
        }
    }

    /// Says hello. What the child answers is read with its events.
    async fn greet(&mut self, shutdown: &mut Shutdown) -> Result<(), Over> {
        let hello = hello_input(
            &self.context.node,
            &self.config.config,
            self.context.line_bytes_max,
            self.saved.position.as_deref(),
        );
        let stdin = self.stdin.as_mut().expect("it is closed at the end");
        let patience = self.config.start_timeout.duration();
        let write = tokio::io::AsyncWriteExt::write_all(stdin, &hello);
        tokio::select! {
            biased;
            () = shutdown.given() => Err(Over::Stopped),
            // Whatever it is, the child's end will tell more.
            _ = timeout(patience, write) => Ok(()),
        }
    }

    async fn read(&mut self, shutdown: &mut Shutdown) -> Result<Over, InputError> {
        let pool = self.context.pool.clone();
        let door = self.context.door.clone();
        let stream = self.stream.clone();
        let greeted_by = Instant::now() + self.config.start_timeout.duration();
        let failed =
            |name: &str, error| InputError::caused(format!("cannot read from `{name}`"), error);
        loop {
            tokio::select! {
                biased;
                () = shutdown.given() => return Ok(Over::Stopped),
                ready = self.piped.readable() => {
                    ready.map_err(|error| failed(self.launch.name(), error))?;
                }
                () = door.freed(), if self.has_news_to_wait_for() => {
                    self.report();
                    self.save(false)?;
                    continue;
                }
                () = tokio::time::sleep_until(greeted_by), if !self.framing.is_greeted() => {
                    return Ok(Over::Broken("did not say who it is in time".into()));
                }
            }
            let bytes = self.piped.wants(&pool);
            let Some(mut credit) = self.reserve(&*stream, bytes, shutdown).await? else {
                return Ok(Over::Stopped);
            };
            let read = self.piped.read(&pool);
            let (chunk, is_end) = match read.map_err(|error| failed(self.launch.name(), error))? {
                Read::Nothing => continue,
                Read::Some(chunk) => (chunk, false),
                Read::End(chunk) => (chunk, true),
            };
            if let Some(chunk) = chunk {
                match self.framing.take(chunk) {
                    Ok(Some(chunk)) => {
                        credit.shrink(chunk.buffer.len());
                        stream.send(chunk, credit).await;
                    }
                    Ok(None) => {}
                    Err(why) => return Ok(Over::Broken(why)),
                }
                if let Some(greeting) = self.framing.greeting.take() {
                    let (node, version) = (&*self.context.node, &*greeting.version);
                    tracing::info!(node, name = &*greeting.name, version, "a child has started");
                }
            }
            self.report();
            self.save(false)?;
            if is_end {
                return Ok(Over::Closed);
            }
        }
    }

    /// Waits for leave to read, and tells the child meanwhile what arrives.
    async fn reserve(
        &mut self,
        stream: &dyn Stream,
        bytes: usize,
        shutdown: &mut Shutdown,
    ) -> Result<Option<Credit>, InputError> {
        let door = self.context.door.clone();
        let mut reserve = stream.reserve(bytes);
        loop {
            tokio::select! {
                biased;
                credit = &mut reserve => return Ok(Some(credit)),
                () = shutdown.given() => return Ok(None),
                () = door.freed() => {
                    self.report();
                    self.save(false)?;
                }
            }
        }
    }

    fn has_news_to_wait_for(&self) -> bool {
        self.framing.has_open_batches() || self.told < self.settled || !self.keeper.is_saved()
    }

    /// Tells the child what has arrived since it was last told.
    fn report(&mut self) {
        if let Some(batch) = self.framing.settle(self.stream.settled()) {
            self.settled = batch.number;
            self.saved = Saved { position: batch.position, offset: batch.end };
            if self.config.replayable {
                self.keeper.moved();
            }
        }
        let Some(stdin) = self.stdin.as_ref().filter(|_| self.told < self.settled) else { return };
        let line = format!("{{\"settled\":{}}}\n", self.settled);
        // So short a line is written as a whole or not at all. If there is no room now, the next one
        // says more; if the child is gone, its output ends.
        if stdin.try_write(line.as_bytes()).is_ok() {
            self.told = self.settled;
        }
    }

    fn save(&mut self, now: bool) -> Result<(), InputError> {
        let json = || serde_json::to_string(&self.saved).expect("JSON and numbers are JSON");
        let failed = |error| InputError::caused("cannot save a checkpoint", error);
        self.keeper.keep(now, &*self.context.checkpoints, KEY, json).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use dpipe_env::Env;
    use dpipe_plugin::Shared;
    use dpipe_testkit::{InputWorld, MemoryEnv};

    use super::*;
    use crate::process::tests::{is_alive, wait_until};

    const CHILDREN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/children");

    async fn run(json: serde_json::Value, world: &InputWorld) -> Result<Ended, InputError> {
        let config: Config = serde_json::from_value(json).unwrap();
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
        world.run(config.build(&context).unwrap()).await
    }

    fn numbers(to: u32) -> serde_json::Value {
        serde_json::json!({
            "command": ["python3", format!("{CHILDREN}/numbers.py")],
            "config": { "to": to },
            "replayable": true,
            "ends": true
        })
    }

    /// A child in Python that has said who it is.
    fn python(lines: &str) -> serde_json::Value {
        let head = "import json, os, sys, time\nhello = json.loads(sys.stdin.readline())\n\
                    print('{\"dpipe\":1,\"name\":\"test\"}', flush=True)\n\
                    def send(*lines): print('\\n'.join(lines), flush=True)\n";
        serde_json::json!({ "command": ["python3", "-c", format!("{head}{lines}")], "ends": true })
    }

    fn expected(from: u32, to: u32) -> Vec<String> {
        (from..=to).map(|n| format!("{{\"n\": {n}}}")).collect()
    }

    #[tokio::test]
    async fn the_example_hands_over_its_numbers_and_ends_when_they_have_arrived() {
        let world = InputWorld::new();
        assert_eq!(run(numbers(250), &world).await.unwrap(), Ended::Exhausted);
        assert_eq!(world.lines(), expected(1, 250));
        assert_eq!(world.gap(), None);
        let saved = world.checkpoints().remove(KEY).unwrap();
        let bytes: usize = expected(1, 250).iter().map(|line| line.len() + 1).sum();
        assert_eq!(saved, format!("{{\"position\":250,\"offset\":{bytes}}}"));
    }

    #[tokio::test]
    async fn it_goes_on_after_what_has_arrived_and_its_offsets_with_it() {
        let world = InputWorld::new();
        run(numbers(130), &world).await.unwrap();
        run(numbers(250), &world).await.unwrap();
        assert_eq!((world.lines(), world.gap()), (expected(1, 250), None));
    }

    #[tokio::test]
    async fn what_has_not_arrived_comes_again_after_a_crash() {
        let world = InputWorld::holding_receipts();
        let running = run(numbers(150), &world);
        let crash = async {
            world.until(|world| world.lines().len() >= 150).await;
            world.stop();
            world.abandon();
        };
        let (ended, ()) = tokio::join!(running, crash);
        assert_eq!(ended.unwrap(), Ended::Stopped);
        assert!(world.checkpoints().is_empty());
        let world = InputWorld::new().with_checkpoints_of(&world);
        run(numbers(150), &world).await.unwrap();
        assert_eq!(world.lines(), expected(1, 150));
    }

    #[tokio::test]
    async fn the_child_is_told_what_has_arrived_and_nothing_else() {
        let world = InputWorld::holding_receipts();
        let lines = "send('{\"batch\":1,\"events\":1}', 'one', '{\"batch\":2,\"events\":0}')\n\
                     said = [0]\n\
                     while said[-1] < 2: said.append(json.loads(sys.stdin.readline())['settled'])\n\
                     send('{\"batch\":3,\"events\":1}', str(said[-1]))\n\
                     sys.stdin.read()";
        let running = run(python(lines), &world);
        let driving = async {
            world.sent(1).await;
            world.settle();
            world.until(|world| world.lines().len() == 2).await;
            world.settle();
            world.stop();
        };
        let (ended, ()) = tokio::join!(running, driving);
        assert_eq!(ended.unwrap(), Ended::Stopped);
        assert_eq!(world.lines(), ["one", "2"]);
        assert!(world.checkpoints().is_empty());
    }

    #[tokio::test]
    async fn without_credit_nothing_is_read() {
        let world = InputWorld::without_credit();
        let running = run(numbers(150), &world);
        let stopping = async {
            world.asked_for_credit().await;
            world.stop();
        };
        let (ended, ()) = tokio::join!(running, stopping);
        assert_eq!(ended.unwrap(), Ended::Stopped);
        assert!(world.lines().is_empty());
    }

    #[tokio::test]
    async fn a_child_that_ends_with_an_error_is_an_error_when_what_it_sent_has_arrived() {
        let world = InputWorld::new();
        let lines = "send('{\"batch\":1,\"events\":2}', 'one')\nsys.exit(3)";
        let error = run(python(lines), &world).await.unwrap_err();
        assert_eq!(error.message, "`python3` ended: exit status: 3");
        assert_eq!(world.lines(), ["one"]);
    }

    #[tokio::test]
    async fn an_end_is_an_error_where_none_is_expected() {
        let mut json = numbers(3);
        json["ends"] = false.into();
        let error = run(json, &InputWorld::new()).await.unwrap_err();
        assert_eq!(error.message, "`python3` ended: exit status: 0");
    }

    #[tokio::test]
    async fn nonsense_is_an_error_and_counted() {
        for (lines, why) in [
            ("send('hello')", "`python3` sent \"hello\" where the line before a batch belongs: "),
            ("send('{\"batch\":0,\"events\":1}')", "`python3` sent batch 0 after batch 0"),
        ] {
            let world = InputWorld::new();
            let error = run(python(lines), &world).await.unwrap_err();
            assert!(error.message.starts_with(why), "{}", error.message);
            assert_eq!(world.noted(), [("child_broke_protocol", 1)].into());
        }
        let mut json = python("send('{\"batch\":1,\"events\":1}', 'one')");
        json["replayable"] = true.into();
        let error = run(json, &InputWorld::new()).await.unwrap_err();
        assert_eq!(error.message, "`python3` sent batch 1 without a position");
        let silent = serde_json::json!({ "command": "sleep 1000", "start_timeout": "10ms" });
        let error = run(silent, &InputWorld::new()).await.unwrap_err();
        assert_eq!(error.message, "`sleep` did not say who it is in time");
    }

    #[tokio::test]
    async fn a_child_that_does_not_end_when_it_is_told_to_is_killed() {
        let world = InputWorld::new();
        let lines = "send('{\"batch\":1,\"events\":1}', str(os.getpid()))\ntime.sleep(1000)";
        let mut json = python(lines);
        json["patience"] = "10ms".into();
        let running = run(json, &world);
        let stopping = async {
            world.sent(1).await;
            world.stop();
        };
        let (ended, ()) = tokio::join!(running, stopping);
        assert_eq!(ended.unwrap(), Ended::Stopped);
        let child = world.lines().remove(0);
        wait_until(|| !is_alive(&child));
    }
}
