//! What dpipe tells of itself: figures, and the lines of its own log.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// What an input may know of the engine that runs it.
pub trait Telemetry: Send + Sync {
    /// The figures as they are now.
    fn readings(&self) -> Vec<Reading>;

    /// The log.
    fn log(&self) -> &LogRing;

    /// Whether a line tells of a node that this input's own events pass through. Made into an event,
    /// it could lead to the next such line, and so on for ever.
    fn is_of_own_way(&self, line: &LogLine) -> bool;
}

/// Figures of one thing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// What it is: `node`, `queue`, `engine`.
    pub kind: &'static str,
    /// Which one.
    pub names: Vec<(&'static str, Arc<str>)>,
    /// What only grows, since the start.
    pub counters: Vec<(&'static str, u64)>,
    /// What goes up and down.
    pub gauges: Vec<(&'static str, u64)>,
    /// Counts by reason.
    pub tallies: Vec<(&'static str, Vec<(&'static str, u64)>)>,
}

/// A line of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct LogLine {
    /// When, in milliseconds since 1970.
    pub time_millis: i64,
    /// `error`, `warn` or `info`.
    pub level: LogLevel,
    /// The part of dpipe that says it.
    pub target: String,
    /// What it says.
    pub message: String,
    /// Its keys and values.
    pub fields: Vec<(&'static str, String)>,
}

/// How important a line is; the most important first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Something does not work.
    Error,
    /// Something is odd.
    Warn,
    /// Something happened.
    Info,
}

impl LogLevel {
    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            LogLevel::Error => "error",
            LogLevel::Warn => "warn",
            LogLevel::Info => "info",
        }
    }
}

/// The last lines of the log: as many as there is room for, the oldest make room. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LogRing {
    ring: Arc<Ring>,
}

#[derive(Debug)]
struct Ring {
    lines_max: usize,
    state: Mutex<Lines>,
    written: Notify,
}

#[derive(Debug, Default)]
struct Lines {
    lines: VecDeque<Arc<LogLine>>,
    /// The number of the first of them.
    first: u64,
}

/// Lines that were read.
#[derive(Clone, Debug, Default)]
pub struct LogLines {
    /// In their order.
    pub lines: Vec<Arc<LogLine>>,
    /// How many made room before they were read.
    pub lost: u64,
    /// Where to read on.
    pub next: u64,
}

impl LogRing {
    /// A ring with room for so many lines.
    #[must_use]
    pub fn new(lines_max: usize) -> Self {
        let (state, written) = (Mutex::default(), Notify::new());
        LogRing { ring: Arc::new(Ring { lines_max: lines_max.max(1), state, written }) }
    }

    /// Adds a line.
    pub fn write(&self, line: LogLine) {
        {
            let mut state = self.ring.state.lock();
            state.lines.push_back(Arc::new(line));
            if state.lines.len() > self.ring.lines_max {
                state.lines.pop_front();
                state.first += 1;
            }
        }
        self.ring.written.notify_waiters();
    }

    /// The lines from the number `from` on, counted since the start, at most `most`.
    #[must_use]
    pub fn read(&self, from: u64, most: usize) -> LogLines {
        let state = self.ring.state.lock();
        let lost = state.first.saturating_sub(from);
        let skip = usize::try_from(from.saturating_sub(state.first)).unwrap_or(usize::MAX);
        let lines: Vec<_> = state.lines.iter().skip(skip).take(most).cloned().collect();
        let next = from.max(state.first) + lines.len() as u64;
        LogLines { lines, lost, next }
    }

    /// Waits until there are lines from the number `from` on.
    pub async fn written(&self, from: u64) {
        loop {
            let written = self.ring.written.notified();
            let end = {
                let state = self.ring.state.lock();
                state.first + state.lines.len() as u64
            };
            if end > from {
                return;
            }
            written.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(message: &str) -> LogLine {
        LogLine {
            time_millis: 0,
            level: LogLevel::Info,
            target: "test".into(),
            message: message.into(),
            fields: Vec::new(),
        }
    }

    #[tokio::test]
    async fn the_oldest_lines_make_room_and_are_counted() {
        let ring = LogRing::new(2);
        for message in ["a", "b", "c"] {
            ring.write(line(message));
        }
        let texts = |read: &LogLines| -> Vec<String> {
            read.lines.iter().map(|line| line.message.clone()).collect()
        };
        let read = ring.read(0, 10);
        assert_eq!((texts(&read), read.lost, read.next), (vec!["b".into(), "c".into()], 1, 3));
        let read = ring.read(1, 1);
        assert_eq!((texts(&read), read.lost, read.next), (vec!["b".into()], 0, 2));
        assert_eq!(ring.read(3, 10).next, 3);
        let (_, ()) = tokio::join!(ring.written(3), async { ring.write(line("d")) });
        assert_eq!(texts(&ring.read(3, 10)), ["d"]);
    }
}
