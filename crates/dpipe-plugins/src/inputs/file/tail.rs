//! What is known of a file, and of the stream that it holds.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use dpipe_env::{FileId, Stat};
use dpipe_plugin::Stream;
use tokio::time::Instant;

use crate::reading::identity::{Identity, Print, Saved};
use crate::reading::lines::Lines;

/// A file.
pub(super) struct Tail {
    /// Its name, or the last one that it had.
    pub(super) path: PathBuf,
    /// Whether that is its name now. A file without one is read to its end and let go.
    pub(super) named: bool,
    pub(super) state: State,
    pub(super) queue: Queue,
    /// Open, if it is; the position is that of the stream, or on the way there.
    pub(super) lines: Option<Lines>,
    /// Whether the open file was found to hold what was read of the stream.
    pub(super) verified: bool,
    /// Its length and time of change when it was last looked at.
    pub(super) seen: (u64, i128),
    /// When that was found to have changed.
    pub(super) changed: Instant,
    /// Whether everything was read when it was last looked at.
    pub(super) at_end: bool,
    /// Whether something is kept back: a last line without its end.
    pub(super) has_rest: bool,
    /// Whether that line shall be given out now.
    pub(super) flush: bool,
    /// The file that had the name before: it is finished first.
    pub(super) after: Option<FileId>,
    /// Whether it was said that the end of a compressed file is missing.
    pub(super) torn: bool,
    /// Whether it could not be read, which was said.
    pub(super) troubled: bool,
    /// The number of its last turn.
    pub(super) turn: u64,
}

/// What to do with a file.
pub(super) enum State {
    /// It is new: find out whether its content is known.
    New,
    /// Its beginning is known: compare it with streams that begin so.
    Compared(Compared),
    /// It has what this stream has, and another file that still exists has it too.
    Copy(Identity),
    /// It holds this stream.
    Followed(Identity),
    /// It is left out.
    Ignored,
}

/// How far a file was compared with the streams that it may hold.
#[derive(Clone, Debug, Default)]
pub(super) struct Compared {
    /// Those that begin like it, the shortest first.
    pub(super) claims: Vec<Identity>,
    pub(super) next: usize,
    /// The longest one that it has.
    pub(super) best: Option<Identity>,
}

/// Where a file waits for its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Queue {
    /// Nowhere: there is nothing to read.
    No,
    /// Among those that can be read.
    Ready,
    /// Among those whose tenant has no credit.
    Blocked,
}

impl Tail {
    pub(super) fn new(path: PathBuf, state: State) -> Self {
        Tail {
            path,
            named: true,
            state,
            queue: Queue::No,
            lines: None,
            verified: false,
            seen: (0, 0),
            changed: Instant::now(),
            at_end: false,
            has_rest: false,
            flush: false,
            after: None,
            torn: false,
            troubled: false,
            turn: 0,
        }
    }

    /// Takes note of what is known of the file; whether it changed since the last time.
    pub(super) fn look(&mut self, stat: &Stat) -> bool {
        let now = (stat.len, stat.modified_nanos);
        let changed = self.seen != now;
        if changed {
            self.seen = now;
            self.changed = Instant::now();
        }
        changed
    }
}

/// A stream: what was read of a file, whichever file holds it now.
pub(super) struct Track {
    /// Opened when there is something to send.
    pub(super) stream: Option<Arc<dyn Stream>>,
    /// The position up to which it was sent.
    pub(super) sent: u64,
    /// The bytes before that.
    pub(super) mark: Print,
    /// The same of each chunk that is not settled.
    pub(super) open: VecDeque<(u64, Print)>,
    /// Whether there is nothing more to read, ever.
    pub(super) done: bool,
    /// What its checkpoint says, or shall say.
    pub(super) saved: Saved,
    /// Whether it shall say so and does not yet.
    pub(super) stale: bool,
    /// The file that holds it.
    pub(super) owner: Option<FileId>,
    /// When its file was cut off.
    pub(super) cut: Option<Instant>,
}

impl Track {
    /// A stream as its checkpoint tells of it, or a new one.
    pub(super) fn new(saved: Saved) -> Self {
        Track {
            stream: None,
            sent: saved.offset,
            mark: saved.mark,
            open: VecDeque::new(),
            done: saved.done,
            saved,
            stale: false,
            owner: None,
            cut: None,
        }
    }

    /// Moves the checkpoint to what is settled.
    pub(super) fn settle(&mut self) {
        let settled = self.stream.as_ref().map_or(0, |stream| stream.settled());
        while let Some(&(end, mark)) = self.open.front()
            && end <= settled
        {
            (self.saved.offset, self.saved.mark) = (end, mark);
            self.stale = true;
            self.open.pop_front();
        }
        if self.done && !self.saved.done && self.open.is_empty() {
            self.saved.done = true;
            self.stale = true;
        }
    }

    /// Whether its checkpoint can come no further: all of it has arrived, or something was lost.
    pub(super) fn is_decided(&self) -> bool {
        let lost = |stream: &Arc<dyn Stream>| stream.progress().lost_receipts() > 0;
        self.open.is_empty() || self.stream.as_ref().is_none_or(lost)
    }
}
