//! Feeds encoded events, one a line, to the standard input of a command that is kept running.
//!
//! Delivered means that the pipe to the command has taken the bytes: what the command has not read,
//! or has read and not finished, is lost if it dies. (A command that is to say when it is done is
//! written as an output `child`.) A command that does not read holds up this output.
//!
//! When the command ends, it is started again with the next events, after a pause that grows from
//! 0.1 to 30 seconds. Events that it was being given then are given to the new one from the
//! beginning of their batch, so some may come twice.
//!
//! At the end its standard input is closed; it has `patience` to finish, and is killed then. It runs
//! in a process group of its own, which is also killed when dpipe itself is. Lines of standard error
//! are logged as warnings, at most 20 a second; its standard output is thrown away.
//!
//! ```yaml
//! type: exec
//! match: [logs]
//! command: ["sh", "-c", "exec gzip > copy.gz"]
//! ```

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use dpipe_plugin::settings::Period;
use dpipe_plugin::{
    BoxFuture, BuildContext, BuildError, Output, OutputConfig, OutputSpec, Parcel, Written,
};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::io::AsyncWriteExt;
use tokio::process::ChildStdin;
use tokio::time::{Instant, timeout};

use crate::process::{CommandLine, Launch, Pauses, Process, Variables};

/// What to feed.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The program and its arguments as a list, or a line for `sh -c`.
    command: CommandLine,
    /// The folder it runs in, relative to that of the configuration.
    #[serde(default = "here")]
    folder: String,
    /// Environment variables, beside those of dpipe.
    #[serde(default)]
    env: Variables,
    /// How long it may take to finish at the end.
    #[serde(default = "patience")]
    patience: Period,
}

fn here() -> String {
    ".".into()
}

fn patience() -> Period {
    Period::seconds(5)
}

impl OutputConfig for Config {
    const NAME: &'static str = "exec";
}

impl OutputSpec for Config {
    fn build(&self, context: &BuildContext<'_>) -> Result<Box<dyn Output>, BuildError> {
        Ok(Box::new(Exec {
            node: context.node.into(),
            launch: Launch::new(context, &self.command, &self.folder, &self.env),
            patience: self.patience.duration(),
            running: None,
            pauses: Pauses::new(),
            not_before: None,
        }))
    }

    fn default_encoder(&self) -> Option<&'static str> {
        Some("json")
    }

    fn receipt_means(&self) -> String {
        format!("written to the pipe that `{}` reads, but perhaps not read", self.command.name())
    }
}

struct Exec {
    node: Arc<str>,
    launch: Launch,
    patience: Duration,
    running: Option<Running>,
    pauses: Pauses,
    /// When it may be started again.
    not_before: Option<Instant>,
}

struct Running {
    process: Process,
    stdin: ChildStdin,
}

impl Output for Exec {
    fn write<'a>(&'a mut self, parcel: &'a Parcel) -> BoxFuture<'a, Written> {
        Box::pin(async move {
            match self.feed(parcel.bytes()).await {
                Ok(()) => Written::Delivered,
                Err(reason) => {
                    let left =
                        self.not_before.map(|at| at.saturating_duration_since(Instant::now()));
                    Written::Retry { after: left, reason }
                }
            }
        })
    }

    fn tick(&mut self) -> BoxFuture<'_, ()> {
        // One that ended while there was nothing to do is not left a zombie.
        Box::pin(async { self.notice_its_end() })
    }

    fn close(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let Some(Running { mut process, stdin }) = self.running.take() else { return };
            drop(stdin);
            let (node, command) = (&*self.node, self.launch.name());
            match timeout(self.patience, process.ended()).await {
                Ok(Ok(status)) if status.success() => {}
                Ok(Ok(status)) => tracing::warn!(node, command, "the command failed: {status}"),
                Ok(Err(error)) => tracing::warn!(node, command, %error, "it cannot be waited for"),
                Err(_) => tracing::warn!(node, command, "the command did not finish; it is killed"),
            }
        })
    }
}

impl Exec {
    async fn feed(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.notice_its_end();
        let running = match &mut self.running {
            Some(running) => running,
            None => self.start()?,
        };
        let written = running.stdin.write_all(bytes).await;
        written.map_err(|error| {
            self.running = None;
            self.rest();
            format!("cannot write to `{}`: {error}", self.launch.name())
        })
    }

    fn start(&mut self) -> Result<&mut Running, String> {
        if self.not_before.is_some_and(|at| Instant::now() < at) {
            return Err(format!("`{}` has ended", self.launch.name()));
        }
        self.pauses.started();
        match self.launch.start(Stdio::piped(), Stdio::null()) {
            Ok(mut process) => {
                let stdin = process.child.stdin.take().expect("standard input is a pipe");
                Ok(self.running.insert(Running { process, stdin }))
            }
            Err(error) => {
                self.rest();
                Err(format!("cannot start `{}`: {error}", self.launch.name()))
            }
        }
    }

    /// What it had read, or could have, is gone with it.
    fn notice_its_end(&mut self) {
        let Some(running) = &mut self.running else { return };
        let ended = match running.process.has_ended() {
            Ok(None) => return,
            Ok(Some(status)) => status.to_string(),
            Err(error) => error.to_string(),
        };
        let (node, command) = (&*self.node, self.launch.name());
        tracing::warn!(node, command, "the command ended: {ended}");
        self.running = None;
        self.rest();
    }

    fn rest(&mut self) {
        self.not_before = Some(Instant::now() + self.pauses.pause());
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use dpipe_testkit::{MemoryEnv, OutputCheck, output_mistake};

    use super::*;

    fn output(settings: &str, folder: &Path) -> OutputCheck {
        let settings = format!("type: exec\nmatch: [logs]\n{settings}");
        OutputCheck::new::<Config>(&settings, MemoryEnv::new(), folder)
    }

    /// Writes until it is taken; returns why it was not before.
    fn write(output: &mut OutputCheck, event: &str) -> Vec<String> {
        let mut reasons = Vec::new();
        loop {
            match output.write(event) {
                Written::Delivered => return reasons,
                Written::Retry { reason, .. } => reasons.push(reason),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn each_event_is_a_line_and_the_end_of_them_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let settings = "command: 'cat > got; echo $END >> got'\nenv: { END: done }\npatience: 1m\n";
        let mut output = output(settings, dir.path());
        assert_eq!(output.write("{\"a\":1}\nplain"), Written::Delivered);
        assert_eq!(output.write("{\"a\":2}"), Written::Delivered);
        output.close();
        let got = fs::read_to_string(dir.path().join("got")).unwrap();
        assert_eq!(got, "{\"a\":1}\n{\"message\":\"plain\"}\n{\"a\":2}\ndone\n");
    }

    #[test]
    fn a_command_that_ends_is_started_again_with_the_next_events() {
        let dir = tempfile::tempdir().unwrap();
        let mut output = output("command: 'head -n 1 >> got'\npatience: 1m\n", dir.path());
        let got = || fs::read_to_string(dir.path().join("got")).unwrap_or_default();
        let mut reasons = Vec::new();
        for n in 1..=3 {
            reasons.extend(write(&mut output, &format!("{{\"a\":{n}}}")));
            crate::process::tests::wait_until(|| got().contains(&format!("{{\"a\":{n}}}")));
            // Only when it is known to have ended is nothing given to it any more.
            crate::process::tests::wait_until(|| {
                output.tick();
                matches!(output.write(""), Written::Retry { .. })
            });
        }
        output.close();
        assert_eq!(got(), "{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n");
        assert!(reasons.iter().all(|reason| reason == "`head` has ended"), "{reasons:?}");
        assert!(!reasons.is_empty());
    }

    #[test]
    fn a_program_that_is_not_there_is_tried_again_and_named() {
        let mut output = output("command: [no-such-program]", Path::new("/"));
        let written = output.write("{}");
        let Written::Retry { after: Some(_), reason } = written else { panic!("{written:?}") };
        assert!(reason.starts_with("cannot start `no-such-program`: "), "{reason}");
    }

    #[test]
    fn a_command_that_does_not_finish_is_killed() {
        let dir = tempfile::tempdir().unwrap();
        let settings = "command: 'echo $$ > pid; exec sleep 1000'\npatience: 10ms\n";
        let mut output = output(settings, dir.path());
        assert_eq!(output.write("{}"), Written::Delivered);
        let id = || fs::read_to_string(dir.path().join("pid")).unwrap_or_default();
        crate::process::tests::wait_until(|| id().ends_with('\n'));
        output.close();
        crate::process::tests::wait_until(|| !crate::process::tests::is_alive(id().trim()));
    }

    #[test]
    fn a_mistake_is_placed_where_it_stands() {
        assert_eq!(
            output_mistake::<Config>("type: exec\nmatch: [logs]\ncommand: []\n"),
            "output.yaml:3:10: error: the command names no program"
        );
    }
}
