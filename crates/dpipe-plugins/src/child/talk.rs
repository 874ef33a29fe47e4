//! Talking to a child by somebody who blocks: a step, on its lane.
//!
//! A question is written and its answer read at the same time, so that neither side can wait for
//! the other with full pipes, and both within a time.

use std::io::{self, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dpipe_plugin::settings::ByteSize;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::Signal;
use tokio::runtime::{Handle, RuntimeFlavor};

use super::{Failure, Greeting};
use crate::process::{Group, Launch, Pauses};

/// Runs what waits so that the runtime can let others have this thread's work meanwhile.
pub(crate) fn blocking<T>(wait: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(wait),
        // On a runtime of one thread nobody else could do it, and without one there is nobody.
        _ => wait(),
    }
}

/// The weight of failures in a row at which a child is left alone for a while. A death weighs 1; a
/// timeout, for which the lane waits, 3.
const FAILURES_MAX: u32 = 10;
/// How much is read at a time.
const READ_BYTES: usize = 64 << 10;

/// A child that is started when it is needed, and anew when it failed.
pub(crate) struct Partner {
    pub(crate) node: Arc<str>,
    pub(crate) launch: Launch,
    /// The first line that it gets.
    pub(crate) hello: Vec<u8>,
    /// How long it may take to start.
    pub(crate) start_timeout: Duration,
    /// How long an answer may take.
    pub(crate) timeout: Duration,
    /// The longest answer.
    pub(crate) answer_max: ByteSize,
    pub(crate) state: State,
}

/// What is known of a child.
pub(crate) struct State {
    talk: Option<Talk>,
    failures: u32,
    pauses: Pauses,
    /// When it may be started again.
    not_before: Option<Instant>,
}

impl State {
    pub(crate) fn new() -> State {
        State { talk: None, failures: 0, pauses: Pauses::new(), not_before: None }
    }

    fn rests(&self) -> bool {
        self.not_before.is_some_and(|at| Instant::now() < at)
    }
}

impl Partner {
    /// Asks a question, and reads an answer of so many lines; `greeted` is told who a child is that
    /// had to be started.
    ///
    /// # Errors
    /// The child is gone then.
    pub(crate) fn ask(
        &mut self,
        question: &[u8],
        lines: usize,
        greeted: impl FnOnce(&Greeting),
    ) -> Result<&[u8], Failure> {
        let answered = self.ask_once(question, lines, greeted);
        match answered {
            Ok(()) => {
                self.state.failures = 0;
                self.state.pauses.reset();
            }
            Err(failure) => {
                self.fail(&failure);
                return Err(failure);
            }
        }
        Ok(self.state.talk.as_ref().map_or(&[], Talk::answer))
    }

    /// Says that the last answer was none: the child is of no use any more.
    pub(crate) fn reject(&mut self, why: String) -> Failure {
        let failure = Failure::BrokeProtocol(format!("`{}`: {why}", self.launch.name()));
        self.fail(&failure);
        failure
    }

    fn ask_once(
        &mut self,
        question: &[u8],
        lines: usize,
        greeted: impl FnOnce(&Greeting),
    ) -> Result<(), Failure> {
        let max = self.answer_max.bytes() as usize;
        if self.state.talk.is_none() {
            let talk = self.start(greeted)?;
            self.state.talk = Some(talk);
        }
        let talk = self.state.talk.as_mut().expect("it was started");
        talk.exchange(question, lines, self.timeout, max).map_err(|failure| self.named(failure))
    }

    fn start(&mut self, greeted: impl FnOnce(&Greeting)) -> Result<Talk, Failure> {
        let name = self.launch.name();
        if self.state.rests() {
            return Err(Failure::Unavailable(format!("`{name}` failed too often, and rests")));
        }
        let unavailable =
            |what: &str, why: String| Failure::Unavailable(format!("{what} `{name}`: {why}"));
        let mut talk = Talk::start(&self.launch)
            .map_err(|error| unavailable("cannot start", error.to_string()))?;
        let greeting = talk
            .exchange(&self.hello, 1, self.start_timeout, READ_BYTES)
            .map_err(|failure| unavailable("no answer from", failure.to_string()))
            .and_then(|()| {
                Greeting::parse(talk.answer()).map_err(|why| unavailable("cannot talk to", why))
            })?;
        let (node, version) = (&*self.node, &*greeting.version);
        tracing::info!(node, name = &*greeting.name, version, "a child has started");
        greeted(&greeting);
        Ok(talk)
    }

    fn named(&self, failure: Failure) -> Failure {
        let name = self.launch.name();
        match failure {
            Failure::Died(why) => Failure::Died(format!("`{name}` {why}")),
            Failure::TimedOut(why) => Failure::TimedOut(format!("`{name}` {why}")),
            Failure::BrokeProtocol(why) => Failure::BrokeProtocol(format!("`{name}`: {why}")),
            unavailable @ Failure::Unavailable(_) => unavailable,
        }
    }

    fn fail(&mut self, failure: &Failure) {
        let state = &mut self.state;
        let ran = state.talk.take().is_some();
        if !ran && state.rests() {
            // That was said when it began to.
            return;
        }
        let weight = if matches!(failure, Failure::TimedOut(_)) { 3 } else { 1 };
        state.failures = state.failures.saturating_add(weight);
        let node = &*self.node;
        if !ran || state.failures >= FAILURES_MAX {
            let pause = state.pauses.pause().max(Duration::from_secs(1));
            state.not_before = Some(Instant::now() + pause);
            tracing::error!(node, again_in = ?pause, "a child failed: {failure}");
        } else {
            tracing::warn!(node, "a child failed, and is started anew: {failure}");
        }
    }

    /// Tells the child that there is no more, and lets it finish.
    pub(crate) fn close(&mut self) {
        if let Some(talk) = self.state.talk.take() {
            talk.finish(self.timeout);
        }
    }
}

/// A child that runs.
struct Talk {
    group: Group,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    /// What was read.
    read: Vec<u8>,
    /// How much of it is the last answer.
    answer: usize,
}

impl Talk {
    fn start(launch: &Launch) -> io::Result<Talk> {
        let (group, mut child) = launch.start_blocking(Stdio::piped(), Stdio::piped())?;
        let stdin = child.stdin.take().expect("standard input is a pipe");
        let stdout = child.stdout.take().expect("standard output is a pipe");
        fcntl_setfl(&stdin, fcntl_getfl(&stdin)? | OFlags::NONBLOCK)?;
        fcntl_setfl(&stdout, fcntl_getfl(&stdout)? | OFlags::NONBLOCK)?;
        Ok(Talk { group, child, stdin: Some(stdin), stdout, read: Vec::new(), answer: 0 })
    }

    /// The last answer, its line ends included.
    fn answer(&self) -> &[u8] {
        &self.read[..self.answer]
    }

    /// Writes the question, and reads so many lines.
    fn exchange(
        &mut self,
        question: &[u8],
        lines: usize,
        timeout: Duration,
        answer_max: usize,
    ) -> Result<(), Failure> {
        let deadline = Instant::now() + timeout;
        self.read.clear();
        self.answer = 0;
        let mut rest = question;
        let mut found = 0;
        let broken = |error: io::Error| Failure::Died(format!("cannot be talked to: {error}"));
        while found < lines || !rest.is_empty() {
            let (readable, writable) = self.wait(!rest.is_empty(), deadline, timeout)?;
            if writable && let Some(stdin) = &mut self.stdin {
                match stdin.write(rest) {
                    Ok(written) => rest = &rest[written..],
                    Err(error) if is_for_later(&error) => {}
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                        return Err(self.died());
                    }
                    Err(error) => return Err(broken(error)),
                }
            }
            if readable {
                let from = self.read.len();
                self.read.resize(from + READ_BYTES, 0);
                let read = match self.stdout.read(&mut self.read[from..]) {
                    Ok(0) => return Err(self.died()),
                    Ok(read) => read,
                    Err(error) if is_for_later(&error) => 0,
                    Err(error) => return Err(broken(error)),
                };
                self.read.truncate(from + read);
                found += memchr::memchr_iter(b'\n', &self.read[from..]).count();
                if self.read.len() > answer_max {
                    let max = ByteSize::new(answer_max as u64);
                    return Err(Failure::BrokeProtocol(format!("it answers more than {max}")));
                }
            }
        }
        if found > lines || self.read.last() != Some(&b'\n') {
            return Err(Failure::BrokeProtocol("it says more than it was asked".into()));
        }
        self.answer = self.read.len();
        Ok(())
    }

    /// Waits until there is something to read or, if it is wanted, room to write.
    fn wait(
        &self,
        to_write: bool,
        deadline: Instant,
        timeout: Duration,
    ) -> Result<(bool, bool), Failure> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Failure::TimedOut(format!("did not answer within {timeout:?}")));
            }
            let left = Timespec::try_from(left).ok();
            let stdout = PollFd::new(&self.stdout, PollFlags::IN);
            let ready = match self.stdin.as_ref().filter(|_| to_write) {
                Some(stdin) => {
                    let mut both = [stdout, PollFd::new(stdin, PollFlags::OUT)];
                    poll(&mut both, left.as_ref())
                        .map(|_| (!both[0].revents().is_empty(), !both[1].revents().is_empty()))
                }
                None => {
                    let mut one = [stdout];
                    poll(&mut one, left.as_ref()).map(|_| (!one[0].revents().is_empty(), false))
                }
            };
            match ready {
                Ok((false, false)) | Err(rustix::io::Errno::INTR) => {}
                Ok(ready) => return Ok(ready),
                Err(error) => return Err(Failure::Died(format!("cannot be waited for: {error}"))),
            }
        }
    }

    /// How it ended. It has closed a pipe; if it still runs, that is its end as well.
    fn died(&mut self) -> Failure {
        self.group.signal(Signal::TERM);
        // What only closed its pipes gets a moment; after that the group is killed.
        let deadline = Instant::now() + Duration::from_millis(200);
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Failure::Died(format!("ended: {status}")),
                Ok(None) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                _ => return Failure::Died("closed its pipe".into()),
            }
        }
    }

    /// Closes its input, and waits for the end of its output.
    fn finish(mut self, patience: Duration) {
        self.stdin = None;
        let deadline = Instant::now() + patience;
        let mut thrown_away = [0; 4096];
        while self.wait(false, deadline, patience).is_ok() {
            match self.stdout.read(&mut thrown_away) {
                Ok(0) => break,
                Err(error) if !is_for_later(&error) => break,
                _ => {}
            }
        }
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        self.group.signal(Signal::KILL);
        let _ = self.child.wait();
    }
}

fn is_for_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
