//! What is known of a file, and of the stream that it holds.

use std::path::PathBuf;

use dpipe_env::{FileId, Stat};
use tokio::time::Instant;

use crate::reading::identity::{Identity, Saved};
use crate::reading::lines::Lines;
use crate::reading::position::Position;

/// A file.
pub(super) struct Tail {
    /// Its name, or the last one that it had.
    pub(super) path: PathBuf,
    /// Where that really is, if links lead there.
    pub(super) real: Option<PathBuf>,
    /// Whether that is its name now. A file without one is read to its end and let go.
    pub(super) named: bool,
    pub(super) state: State,
    pub(super) queue: Queue,
    /// Open, if it is; the position is that of the stream, or on the way there.
    pub(super) lines: Option<Box<Lines>>,
    /// Whether the open file was found to hold what was read of the stream.
    pub(super) verified: bool,
    /// Whether it was found to be as it was when it was read to its end.
    pub(super) sealed: bool,
    /// Its length and time of change when it was last looked at.
    pub(super) seen: (u64, i128),
    /// When that was found to have changed.
    pub(super) changed: Instant,
    /// Whether everything was read when it was last looked at.
    pub(super) at_end: bool,
    /// Whether something is kept back: a last line without its end, or an event that its lines may
    /// not be all of.
    pub(super) has_rest: bool,
    /// Whether that begins with whole lines of an event.
    pub(super) has_open_event: bool,
    /// What of it shall be given out now.
    pub(super) flush: Option<Flush>,
    /// The credit that it did not get.
    pub(super) wanted: Option<usize>,
    /// The file that had the name before: it is finished first.
    pub(super) after: Option<FileId>,
    /// Whether it was said that the end of a compressed file is missing.
    pub(super) torn: bool,
    /// Whether it could not be read, which was said.
    pub(super) troubled: bool,
    /// The number of its last turn.
    pub(super) turn: u64,
}

/// What to give out although more may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flush {
    /// The event whose lines have come.
    Event,
    /// That, and a last line without its end.
    All,
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
    pub(super) fn new(path: PathBuf, real: Option<PathBuf>, state: State) -> Self {
        Tail {
            path,
            real,
            named: true,
            state,
            queue: Queue::No,
            lines: None,
            verified: false,
            sealed: false,
            seen: (0, 0),
            changed: Instant::now(),
            at_end: false,
            has_rest: false,
            has_open_event: false,
            flush: None,
            wanted: None,
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
    /// How far it came.
    pub(super) at: Position,
    /// The file that holds it.
    pub(super) owner: Option<FileId>,
    /// When its file was cut off.
    pub(super) cut: Option<Instant>,
}

impl Track {
    /// A stream as its checkpoint tells of it, or a new one.
    pub(super) fn new(saved: Saved) -> Self {
        Track { at: Position::new(saved), owner: None, cut: None }
    }

    /// Whether its checkpoint can come no further.
    pub(super) fn is_decided(&self) -> bool {
        self.at.is_settled() || self.at.is_lost()
    }
}
