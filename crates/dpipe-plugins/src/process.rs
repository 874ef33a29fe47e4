//! Child processes: how they are named in configurations, started, listened to and ended.
//!
//! Each is started in a process group of its own ([`group`]), which is killed when dpipe lets go of
//! it, and also when dpipe itself is killed. What it says on standard error becomes log lines
//! ([`murmur`]).

mod command_line;
mod group;
mod murmur;
mod pauses;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use dpipe_plugin::BuildContext;
use dpipe_plugin::settings::{ByteSize, Secret};
use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};

pub(crate) use command_line::CommandLine;
pub(crate) use group::Group;
pub(crate) use pauses::Pauses;

/// Environment variables by name; their values are never shown.
pub(crate) type Variables = BTreeMap<String, Secret>;

/// What to start, and how.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    node: Arc<str>,
    command: CommandLine,
    folder: PathBuf,
    env: Variables,
    memory_max: Option<ByteSize>,
}

impl Launch {
    /// Starts the command in a folder, which is relative to that of the configuration.
    pub(crate) fn new(
        context: &BuildContext<'_>,
        command: &CommandLine,
        folder: &str,
        env: &Variables,
    ) -> Launch {
        Launch {
            node: context.node.into(),
            command: command.resolved(context),
            folder: context.resolve(folder),
            env: env.clone(),
            memory_max: None,
        }
    }

    /// The same with a bound on the memory that each of its processes may map.
    pub(crate) fn with_memory_max(self, memory_max: Option<ByteSize>) -> Launch {
        Launch { memory_max, ..self }
    }

    /// The same with more arguments.
    pub(crate) fn with_arguments(&self, more: &[String]) -> Launch {
        Launch { command: self.command.with(more), ..self.clone() }
    }

    /// The program's name, for messages.
    pub(crate) fn name(&self) -> &str {
        self.command.name()
    }

    /// Starts it for somebody who waits by blocking.
    ///
    /// # Errors
    /// If there is no such program or folder, or the system has no room for it.
    pub(crate) fn start_blocking(
        &self,
        stdin: Stdio,
        stdout: Stdio,
    ) -> io::Result<(Group, std::process::Child)> {
        let group = Group::new()?;
        let child = self.command(&group, stdin, stdout)?.spawn()?;
        self.bound(child.id());
        Ok((group, child))
    }

    /// Starts it.
    ///
    /// # Errors
    /// If there is no such program or folder, or the system has no room for it.
    pub(crate) fn start(&self, stdin: Stdio, stdout: Stdio) -> io::Result<Process> {
        let group = Group::new()?;
        let command = self.command(&group, stdin, stdout)?;
        let child = tokio::process::Command::from(command).spawn()?;
        if let Some(id) = child.id() {
            self.bound(id);
        }
        Ok(Process { child, group })
    }

    fn command(&self, group: &Group, stdin: Stdio, stdout: Stdio) -> io::Result<Command> {
        let (stderr, writer) = io::pipe()?;
        let mut command = self.command.to_command();
        command.current_dir(&self.folder).stdin(stdin).stdout(stdout).stderr(writer);
        command.envs(self.env.iter().map(|(name, value)| (name, value.expose())));
        group.take_in(&mut command);
        murmur::log(stderr, self.node.clone())?;
        Ok(command)
    }

    /// Holds it to its memory. It runs already, but for a few microseconds, in which no program gets
    /// far.
    fn bound(&self, id: u32) {
        let Some(bytes) = self.memory_max.map(ByteSize::bytes) else { return };
        let limit = Rlimit { current: Some(bytes), maximum: Some(bytes) };
        let pid = i32::try_from(id).ok().and_then(Pid::from_raw);
        if let Err(error) = prlimit(pid, Resource::As, limit) {
            tracing::warn!(node = &*self.node, %error, "the child's memory cannot be bounded");
        }
    }
}

/// A child process. When it is dropped, everything in its group is killed.
pub(crate) struct Process {
    pub(crate) child: tokio::process::Child,
    group: Group,
}

impl Process {
    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// How it ended, if it has.
    pub(crate) fn has_ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Asks it to end, and kills it if it has not after a while.
    pub(crate) async fn end(mut self, patience: Duration) {
        self.group.signal(Signal::TERM);
        let _ = tokio::time::timeout(patience, self.child.wait()).await;
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Whether a process is there and alive.
    pub(crate) fn is_alive(id: &str) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        state.is_some_and(|state| state != 'Z')
    }

    /// Waits, on the real clock, until something is so.
    pub(crate) fn wait_until(mut is_so: impl FnMut() -> bool) {
        while !is_so() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn launch(command: &str) -> Launch {
        Launch {
            node: "test".into(),
            command: CommandLine::Shell(command.into()),
            folder: "/".into(),
            env: [("GREETING".to_owned(), Secret::new("hello"))].into(),
            memory_max: None,
        }
    }

    fn output(launch: &Launch) -> String {
        let (_group, mut child) = launch.start_blocking(Stdio::null(), Stdio::piped()).unwrap();
        io::read_to_string(child.stdout.take().unwrap()).unwrap()
    }

    #[test]
    fn a_child_has_its_folder_and_its_environment() {
        assert_eq!(output(&launch("pwd; echo $GREETING")), "/\nhello\n");
    }

    #[test]
    fn memory_is_bounded_where_it_is_asked_for() {
        let limit = "read _; ulimit -v";
        let bounded = launch(limit).with_memory_max(Some(ByteSize::mib(64)));
        let (_group, mut child) = bounded.start_blocking(Stdio::piped(), Stdio::piped()).unwrap();
        drop(child.stdin.take());
        assert_eq!(io::read_to_string(child.stdout.take().unwrap()).unwrap(), "65536\n");
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error() {
        let command = CommandLine::Arguments(vec!["no-such-program".into()]);
        let launch = Launch { command, ..launch("") };
        let error = launch.start_blocking(Stdio::null(), Stdio::null()).map(drop).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn one_that_does_not_want_to_end_is_killed() {
        let mut process =
            launch("trap '' TERM; echo on; while :; do sleep 1; done").start_piped().unwrap();
        let id = process.child.id().unwrap().to_string();
        let mut stdout = process.child.stdout.take().unwrap();
        tokio::io::AsyncReadExt::read_exact(&mut stdout, &mut [0; 3]).await.unwrap();
        process.end(Duration::from_millis(1)).await;
        wait_until(|| !is_alive(&id));
    }

    impl Launch {
        fn start_piped(&self) -> io::Result<Process> {
            self.start(Stdio::null(), Stdio::piped())
        }
    }
}
