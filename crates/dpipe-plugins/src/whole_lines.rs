//! Whole lines out of what comes through a pipe in pieces of any size.

use dpipe_event::{Buffer, Pool, Room};
use dpipe_plugin::{Chunk, Cut};
use memchr::{memchr, memrchr};

/// Puts what was read together to whole lines.
pub(crate) struct WholeLines {
    line_bytes_max: usize,
    /// The position up to which lines were given out.
    offset: u64,
    /// What was read from there on; of a line over the limit, its beginning.
    carry: Vec<u8>,
    /// How much of a line over the limit was read.
    long: Option<usize>,
}

impl WholeLines {
    pub(crate) fn new(line_bytes_max: usize) -> WholeLines {
        WholeLines { line_bytes_max, offset: 0, carry: Vec::new(), long: None }
    }

    /// The position up to which lines were given out.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// A room, and where in it to read to: after the beginning of a line that is there already. It
    /// has no space for a line over the limit, so chunks hold none.
    pub(crate) fn room(&self, pool: &Pool) -> (Room, usize) {
        let from = if self.long.is_some() { 0 } else { self.carry.len() };
        let longest = self.line_bytes_max.saturating_add(1);
        let mut room = pool.room();
        room.resize(room.len().max(from + READ_BYTES_MIN).min(longest).max(from + 1), 0);
        room[..from].copy_from_slice(&self.carry[..from]);
        (room, from)
    }

    /// The whole lines of a room that was filled up to here.
    pub(crate) fn take(&mut self, room: Room, filled: usize, pool: &Pool) -> Option<Chunk> {
        if let Some(passed) = self.long {
            let Some(at) = memchr(b'\n', &room[..filled]) else {
                self.long = Some(passed + filled);
                pool.give_back(room);
                return None;
            };
            let chunk = self.give_long(passed + at, 1);
            self.carry.extend_from_slice(&room[at + 1..filled]);
            pool.give_back(room);
            return Some(chunk);
        }
        self.carry.clear();
        if let Some(last) = memrchr(b'\n', &room[..filled]) {
            self.carry.extend_from_slice(&room[last + 1..filled]);
            return Some(self.give(pool.freeze(room, last + 1), last + 1, Cut::Lines));
        }
        self.carry.extend_from_slice(&room[..filled]);
        pool.give_back(room);
        if filled > self.line_bytes_max {
            self.carry.truncate(self.line_bytes_max);
            self.long = Some(filled);
        }
        None
    }

    /// What is left at the end of the input, which need not end its last line.
    pub(crate) fn rest(&mut self) -> Option<Chunk> {
        if let Some(passed) = self.long {
            return Some(self.give_long(passed, 0));
        }
        let rest = std::mem::take(&mut self.carry);
        let len = rest.len();
        (len > 0).then(|| self.give(rest.into(), len, Cut::Lines))
    }

    fn give_long(&mut self, line: usize, end: usize) -> Chunk {
        self.long = None;
        let beginning = std::mem::take(&mut self.carry);
        self.give(beginning.into(), line + end, Cut::Long(line))
    }

    fn give(&mut self, buffer: Buffer, len: usize, cut: Cut) -> Chunk {
        let offset = self.offset;
        self.offset += len as u64;
        Chunk { buffer, offset, end: self.offset, cut }
    }
}

/// The least room there is to read into, after what is there already.
const READ_BYTES_MIN: usize = 16 << 10;
