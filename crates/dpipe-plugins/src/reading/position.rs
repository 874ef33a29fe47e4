//! How far a stream was sent, how far that has arrived, and what its checkpoint says.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use dpipe_plugin::Stream;

use super::identity::{Done, PRINT_BYTES, Print, Saved};
use super::lines::Lines;

/// The position of a stream.
pub(crate) struct Position {
    /// Opened when there is something to send.
    pub(crate) stream: Option<Arc<dyn Stream>>,
    /// The position up to which it was sent.
    pub(crate) sent: u64,
    /// The bytes before that.
    pub(crate) mark: Print,
    /// The same of each chunk that is not settled.
    open: VecDeque<(u64, Print)>,
    /// Whether everything in the file was read, and nothing more is expected.
    pub(crate) done: Option<Done>,
    /// What its checkpoint says, or shall say.
    pub(crate) saved: Saved,
    /// Whether it shall say so and does not yet.
    pub(crate) stale: bool,
}

impl Position {
    /// The position that the checkpoint tells of.
    pub(crate) fn new(saved: Saved) -> Self {
        Position {
            stream: None,
            sent: saved.offset,
            mark: saved.mark,
            open: VecDeque::new(),
            done: saved.done,
            saved,
            stale: false,
        }
    }

    /// Whether nothing was ever sent.
    pub(crate) fn is_untouched(&self) -> bool {
        self.sent == 0 && self.saved.head.len == 0
    }

    /// Whether the lines, which have been passed to this position, are those of the stream.
    pub(crate) fn is_of(&self, key: &[u8; 32], lines: &mut Lines) -> io::Result<bool> {
        Ok(lines.offset() == self.sent
            && self.mark.ends(key, lines.recent())
            && self.saved.head.starts(key, lines.head()?))
    }

    /// Remembers that the lines were sent up to their offset. Returns the print of their beginning
    /// if more of that is known now.
    pub(crate) fn note(&mut self, key: &[u8; 32], lines: &mut Lines) -> io::Result<Option<Print>> {
        self.sent = lines.offset();
        self.mark = Print::of(key, lines.recent());
        self.open.push_back((self.sent, self.mark));
        self.done = None;
        let known = self.sent.min(PRINT_BYTES as u64) as usize;
        if known.checked_ilog2() == self.saved.head.len.checked_ilog2() {
            return Ok(None);
        }
        let head = lines.head()?;
        Ok(Some(Print::of_head(key, &head[..head.len().min(known)])))
    }

    /// Moves the checkpoint to what has arrived.
    pub(crate) fn settle(&mut self) {
        let settled = self.stream.as_ref().map_or(0, |stream| stream.settled());
        while let Some(&(end, mark)) = self.open.front()
            && end <= settled
        {
            (self.saved.offset, self.saved.mark) = (end, mark);
            self.stale = true;
            self.open.pop_front();
        }
        // Until everything has arrived, there may be something to read again.
        let done = self.done.filter(|_| self.open.is_empty());
        if done != self.saved.done {
            self.saved.done = done;
            self.stale = true;
        }
    }

    /// Whether everything that was sent has arrived.
    pub(crate) fn is_settled(&self) -> bool {
        self.open.is_empty()
    }

    /// Whether something got lost on the way: the checkpoint comes no further.
    pub(crate) fn is_lost(&self) -> bool {
        !self.open.is_empty()
            && self.stream.as_ref().is_some_and(|stream| stream.progress().lost_receipts() > 0)
    }

    /// Goes back to what has arrived, to send the rest again.
    pub(crate) fn go_back(&mut self) {
        self.settle();
        self.stream = None;
        self.open.clear();
        self.done = None;
        (self.sent, self.mark) = (self.saved.offset, self.saved.mark);
    }

    /// The checkpoint as it is kept.
    pub(crate) fn json(&self) -> String {
        serde_json::to_string(&self.saved).expect("plain values have a JSON form")
    }
}
