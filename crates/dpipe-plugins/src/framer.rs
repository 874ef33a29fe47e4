//! Framing of byte streams that come in pieces of any size: connections, pipes.
//!
//! What was read of a frame whose end has not come is carried over to the next read. A line over
//! the limit is not held: its beginning is kept, the rest is looked through for its end. A frame
//! that announces a length over the limit cannot be passed like that, and is an error.

use std::sync::Arc;

use dpipe_event::{Buffer, Pool, Room};
use dpipe_plugin::{Chunk, Cut, Multiline, Part};
use memchr::{memchr, memrchr};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a stream of bytes falls apart into frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Framing {
    /// A line is a frame; it ends with `\n` or `\r\n`.
    #[default]
    Newline,
    /// Each frame ends with a zero byte.
    Nul,
    /// Each frame comes after its length in decimal digits and a space (RFC 6587).
    OctetCount,
    /// Each frame comes after its length in two bytes, the most significant first.
    LengthU16,
    /// Each frame comes after its length in four bytes, the most significant first.
    LengthU32,
}

/// Why a stream cannot be framed on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FramingError {
    /// It announces a frame that is longer than allowed.
    #[error("a frame of {len} bytes is announced, the limit is {max}")]
    TooLong { len: u64, max: usize },
    /// What stands where a length should is none.
    #[error("expected the length of a frame, found {found:?}")]
    NoLength { found: String },
}

impl FramingError {
    /// The reason as a word.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            FramingError::TooLong { .. } => "frame_too_long",
            FramingError::NoLength { .. } => "bad_frame_length",
        }
    }
}

/// Puts what is read together to chunks of whole frames.
pub(crate) struct Framer {
    framing: Framing,
    multiline: Option<Arc<Multiline>>,
    frame_bytes_max: usize,
    /// The position up to which frames were given out.
    offset: u64,
    /// What was read from there on; of a line over the limit, its beginning.
    carry: Vec<u8>,
    /// How much of a line over the limit was read.
    long: Option<usize>,
    /// How many bytes the first frame of the carry has with its length, as far as that is known.
    wanted: usize,
    fault: Option<FramingError>,
}

/// The least room there is to read into, after what is there already.
const READ_BYTES_MIN: usize = 4 << 10;
/// The digits of an octet count: more than enough for any limit.
const DIGITS_MAX: usize = 10;

impl Framer {
    /// A framer at the start of a stream. Joining lines makes sense with lines only.
    pub(crate) fn new(
        framing: Framing,
        frame_bytes_max: usize,
        multiline: Option<Arc<Multiline>>,
    ) -> Framer {
        Framer {
            framing,
            multiline: multiline.filter(|_| framing == Framing::Newline),
            frame_bytes_max,
            offset: 0,
            carry: Vec::new(),
            long: None,
            wanted: 0,
            fault: None,
        }
    }

    /// The position up to which frames were given out.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Why nothing after the frames that were given out can be framed.
    pub(crate) fn fault(&self) -> Option<&FramingError> {
        self.fault.as_ref()
    }

    /// The bytes that it keeps of a frame without its end.
    pub(crate) fn kept(&self) -> usize {
        self.carry.len()
    }

    /// Whether it holds the beginning of a frame; whole lines that may be continued are none.
    pub(crate) fn has_open_frame(&self) -> bool {
        let is_between = self.multiline.is_some() && self.carry.last() == Some(&b'\n');
        self.long.is_some() || !(self.carry.is_empty() || is_between)
    }

    /// Whether it holds whole lines that a further one may continue.
    pub(crate) fn has_open_event(&self) -> bool {
        self.multiline.is_some() && memchr(b'\n', &self.carry).is_some()
    }

    /// How many bytes of memory the next read of about `bytes` takes, for which there is to be credit
    /// before [`Framer::room`] makes it.
    pub(crate) fn wants(&self, pool: &Pool, bytes: usize) -> usize {
        // The beginning of a long line is a chunk of its own when its end comes.
        let beginning = if self.long.is_some() { self.carry.len() } else { 0 };
        self.room_len(pool, bytes) + beginning
    }

    /// A room for about `bytes`, and where in it to read to: after the beginning of a frame that is
    /// there already. It has no space for a line over the limit, so chunks hold none.
    pub(crate) fn room(&self, pool: &Pool, bytes: usize) -> (Room, usize) {
        let from = self.from();
        let len = self.room_len(pool, bytes);
        // A small read is no reason to hold a large room as long as what it read is in flight.
        let mut room = if len < pool.room_bytes() { Vec::new() } else { pool.room() };
        room.resize(len, 0);
        room[..from].copy_from_slice(&self.carry[..from]);
        (room, from)
    }

    fn from(&self) -> usize {
        if self.long.is_some() { 0 } else { self.carry.len() }
    }

    fn room_len(&self, pool: &Pool, bytes: usize) -> usize {
        let from = self.from();
        // A length that is announced is not believed at once: the room grows with what has come.
        let least = (from + READ_BYTES_MIN).max(self.wanted.min(from * 2 + READ_BYTES_MIN));
        let wanted = (from + bytes).max(least).min(pool.room_bytes().max(least));
        let longest = match self.framing {
            Framing::Newline | Framing::Nul => self.frame_bytes_max.saturating_add(1),
            _ => usize::MAX,
        };
        wanted.min(longest).max(from + 1)
    }

    /// The whole frames of a room that was filled up to here. There may be a [`Framer::fault`] then.
    pub(crate) fn take(&mut self, room: Room, filled: usize, pool: &Pool) -> Option<Chunk> {
        match self.framing {
            Framing::Newline => self.take_delimited(room, filled, pool, b'\n'),
            Framing::Nul => self.take_delimited(room, filled, pool, 0),
            _ => self.take_counted(room, filled, pool),
        }
    }

    fn take_delimited(
        &mut self,
        room: Room,
        filled: usize,
        pool: &Pool,
        delimiter: u8,
    ) -> Option<Chunk> {
        if let Some(passed) = self.long {
            let Some(at) = memchr(delimiter, &room[..filled]) else {
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
        if let Some((end, cut)) = self.whole(&room[..filled], delimiter) {
            self.carry.extend_from_slice(&room[end..filled]);
            return Some(self.give(pool.freeze(room, end), end, cut));
        }
        self.carry.extend_from_slice(&room[..filled]);
        pool.give_back(room);
        if filled > self.frame_bytes_max {
            self.carry.truncate(self.frame_bytes_max);
            self.long = Some(filled);
        }
        None
    }

    /// How much of what was read is whole frames, and their cut; nothing, if there are none.
    fn whole(&self, bytes: &[u8], delimiter: u8) -> Option<(usize, Cut)> {
        let end = memrchr(delimiter, bytes)? + 1;
        let Some(multiline) = &self.multiline else {
            let cut = if delimiter == b'\n' { Cut::Lines } else { Cut::Delimiter(delimiter) };
            return Some((end, cut));
        };
        let mut parts = Vec::new();
        let lines = &bytes[..end];
        let whole = multiline.cut(lines, 0, self.frame_bytes_max, false, &mut parts);
        if !parts.is_empty() {
            return Some((whole, Cut::Parts(parts.into())));
        }
        // An event at the limit is not held until its next line has come.
        (bytes.len() > self.frame_bytes_max).then(|| (end, self.all(lines)))
    }

    /// The cut of lines of which no further one is waited for.
    fn all(&self, lines: &[u8]) -> Cut {
        match (&self.multiline, self.framing) {
            (Some(multiline), _) => {
                let mut parts = Vec::new();
                multiline.cut(lines, 0, self.frame_bytes_max, true, &mut parts);
                Cut::Parts(parts.into())
            }
            (None, Framing::Nul) => Cut::Delimiter(0),
            (None, _) => Cut::Lines,
        }
    }

    fn take_counted(&mut self, room: Room, filled: usize, pool: &Pool) -> Option<Chunk> {
        let mut parts = Vec::new();
        let mut at = 0;
        self.wanted = 0;
        loop {
            match self.counted(&room[at..filled]) {
                Ok(Some((head, len))) if at + head + len <= filled => {
                    parts.push(Part { start: (at + head) as u32, len: len as u32 });
                    at += head + len;
                }
                Ok(Some((head, len))) => {
                    self.wanted = head + len;
                    break;
                }
                Ok(None) => break,
                Err(fault) => {
                    self.fault = Some(fault);
                    break;
                }
            }
        }
        self.carry.clear();
        self.carry.extend_from_slice(&room[at..filled]);
        if parts.is_empty() {
            pool.give_back(room);
            return None;
        }
        Some(self.give(pool.freeze(room, at), at, Cut::Parts(parts.into())))
    }

    /// The lengths of the head and the frame at the start of these bytes, if the head is whole.
    fn counted(&self, bytes: &[u8]) -> Result<Option<(usize, usize)>, FramingError> {
        let (head, len) = match self.framing {
            Framing::LengthU16 => match bytes.first_chunk::<2>() {
                Some(len) => (2, u64::from(u16::from_be_bytes(*len))),
                None => return Ok(None),
            },
            Framing::LengthU32 => match bytes.first_chunk::<4>() {
                Some(len) => (4, u64::from(u32::from_be_bytes(*len))),
                None => return Ok(None),
            },
            _ => match octet_count(bytes)? {
                Some(found) => found,
                None => return Ok(None),
            },
        };
        match usize::try_from(len).ok().filter(|len| *len <= self.frame_bytes_max) {
            Some(len) => Ok(Some((head, len))),
            None => Err(FramingError::TooLong { len, max: self.frame_bytes_max }),
        }
    }

    /// What is left at the end of the stream. A line need not have its end; a frame that announced
    /// its length is void without its last byte.
    pub(crate) fn rest(&mut self) -> Option<Chunk> {
        if let Some(passed) = self.long {
            return Some(self.give_long(passed, 0));
        }
        if !matches!(self.framing, Framing::Newline | Framing::Nul) {
            return None;
        }
        let rest = std::mem::take(&mut self.carry);
        let (len, cut) = (rest.len(), self.all(&rest));
        (len > 0).then(|| self.give(rest.into(), len, cut))
    }

    /// The event that further lines could have continued, if there is one. They begin another then.
    pub(crate) fn open_event(&mut self) -> Option<Chunk> {
        if !self.has_open_event() {
            return None;
        }
        let end = memrchr(b'\n', &self.carry)? + 1;
        let rest = self.carry.split_off(end);
        let event = std::mem::replace(&mut self.carry, rest);
        let cut = self.all(&event);
        Some(self.give(event.into(), end, cut))
    }

    fn give_long(&mut self, frame: usize, end: usize) -> Chunk {
        self.long = None;
        let beginning = std::mem::take(&mut self.carry);
        self.give(beginning.into(), frame + end, Cut::Long(frame))
    }

    fn give(&mut self, buffer: Buffer, len: usize, cut: Cut) -> Chunk {
        let offset = self.offset;
        self.offset += len as u64;
        Chunk { buffer, offset, end: self.offset, cut }
    }
}

/// An octet count with its space, and what it says; nothing, if more has to come.
fn octet_count(bytes: &[u8]) -> Result<Option<(usize, u64)>, FramingError> {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let wrong = |len: usize| FramingError::NoLength {
        found: String::from_utf8_lossy(&bytes[..len.min(bytes.len())]).into_owned(),
    };
    if digits > DIGITS_MAX {
        return Err(wrong(digits));
    }
    match bytes.get(digits) {
        None => Ok(None),
        Some(b' ') if digits > 0 => {
            let len =
                bytes[..digits].iter().fold(0, |len, digit| len * 10 + u64::from(digit - b'0'));
            Ok(Some((digits + 1, len)))
        }
        Some(_) => Err(wrong(digits + 1)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Everything that a stream has, read in pieces of these sizes: frames, and what was cut.
    fn read(framer: &mut Framer, bytes: &[u8], piece: usize) -> Result<Vec<String>, FramingError> {
        let pool = Pool::new(64, 2);
        let (mut frames, mut at) = (Vec::new(), 0);
        let mut note = |chunk: Chunk| {
            for frame in chunk.frames() {
                frames.push(String::from_utf8_lossy(frame.bytes).into_owned());
                if frame.original_len != frame.bytes.len() {
                    frames.push(format!("cut from {}", frame.original_len));
                }
            }
        };
        while at < bytes.len() {
            let (mut room, from) = framer.room(&pool, piece);
            let read = piece.min(room.len() - from).min(bytes.len() - at);
            room[from..from + read].copy_from_slice(&bytes[at..at + read]);
            at += read;
            if let Some(chunk) = framer.take(room, from + read, &pool) {
                note(chunk);
            }
            if let Some(fault) = framer.fault() {
                return Err(fault.clone());
            }
        }
        if let Some(chunk) = framer.rest() {
            note(chunk);
        }
        Ok(frames)
    }

    fn frames(framing: Framing, bytes: &[u8]) -> Result<Vec<String>, FramingError> {
        let whole = read(&mut Framer::new(framing, 20, None), bytes, usize::MAX / 2);
        for piece in [1, 2, 3, 7, 19] {
            assert_eq!(read(&mut Framer::new(framing, 20, None), bytes, piece), whole, "{piece}");
        }
        whole
    }

    #[test]
    fn lines_and_zero_bytes_end_frames() {
        let lines = frames(Framing::Newline, b"one\r\n\ntwo\nlast").unwrap();
        assert_eq!(lines, ["one", "", "two", "last"]);
        let frames = frames(Framing::Nul, b"one\n\0two\0").unwrap();
        assert_eq!(frames, ["one\n", "two"]);
    }

    #[test]
    fn a_line_over_the_limit_is_cut_and_the_next_one_is_whole() {
        let text = format!("{}\nnext\n{}", "x".repeat(100), "y".repeat(30));
        let (x, y) = ("x".repeat(20), "y".repeat(20));
        let expected = [&*x, "cut from 100", "next", &y, "cut from 30"];
        assert_eq!(frames(Framing::Newline, text.as_bytes()).unwrap(), expected);
    }

    #[test]
    fn frames_that_announce_their_length_may_hold_anything() {
        let counted = frames(Framing::OctetCount, b"3 a\nb0 10 0123456789").unwrap();
        assert_eq!(counted, ["a\nb", "", "0123456789"]);
        let short = frames(Framing::LengthU16, b"\0\x02ab\0\0\0\x01c").unwrap();
        assert_eq!(short, ["ab", "", "c"]);
        let long = frames(Framing::LengthU32, b"\0\0\0\x02ab\0\0\0\x01c\0\0\0\x05unfi").unwrap();
        assert_eq!(long, ["ab", "c"]);
    }

    #[test]
    fn a_length_that_is_none_or_too_much_ends_the_stream_after_what_was_whole() {
        let mut framer = Framer::new(Framing::OctetCount, 20, None);
        let pool = Pool::new(64, 2);
        let (mut room, from) = framer.room(&pool, 64);
        room[from..from + 7].copy_from_slice(b"1 a21 b");
        let chunk = framer.take(room, from + 7, &pool).unwrap();
        assert_eq!(chunk.frames().count(), 1);
        assert_eq!(framer.fault(), Some(&FramingError::TooLong { len: 21, max: 20 }));
        let fault = frames(Framing::OctetCount, b"x").unwrap_err();
        assert_eq!(fault, FramingError::NoLength { found: "x".into() });
        assert!(frames(Framing::OctetCount, b"99999999999 ").is_err());
        assert!(frames(Framing::LengthU32, b"\xff\xff\xff\xff").is_err());
    }

    #[test]
    fn lines_of_one_event_are_joined() {
        let rule = serde_json::json!({ "continuation": "^ " });
        let rule: Arc<Multiline> = Arc::new(serde_json::from_value(rule).unwrap());
        for piece in [1, 5, 100] {
            let mut framer = Framer::new(Framing::Newline, 100, Some(rule.clone()));
            let events = read(&mut framer, b"a\n b\nc\n d\n e", piece).unwrap();
            assert_eq!(events, ["a\n b", "c\n d\n e"]);
        }
        let mut framer = Framer::new(Framing::Newline, 100, Some(rule));
        let pool = Pool::new(64, 2);
        let (mut room, from) = framer.room(&pool, 64);
        room[from..from + 5].copy_from_slice(b"a\n b\n");
        assert!(framer.take(room, from + 5, &pool).is_none());
        assert!(framer.has_open_event());
        let chunk = framer.open_event().unwrap();
        assert_eq!((chunk.frames().count(), framer.kept(), framer.offset()), (1, 0, 5));
    }

    #[test]
    fn a_length_that_is_announced_takes_no_memory_before_its_bytes_come() {
        let mut framer = Framer::new(Framing::LengthU32, 1 << 20, None);
        let pool = Pool::new(64 << 10, 2);
        let (mut room, from) = framer.room(&pool, 4096);
        assert_eq!((room.capacity(), from, framer.wants(&pool, 4096)), (4096, 0, 4096));
        room[..4].copy_from_slice(&(1u32 << 20).to_be_bytes());
        assert!(framer.take(room, 4, &pool).is_none());
        assert!(framer.wants(&pool, 4096) < 10_000);
    }

    #[test]
    fn the_beginning_of_a_long_line_needs_credit_too() {
        let mut framer = Framer::new(Framing::Newline, 10_000, None);
        let pool = Pool::new(64 << 10, 2);
        for _ in 0..2 {
            let (mut room, _) = framer.room(&pool, 64 << 10);
            room.fill(b'x');
            let filled = room.len();
            assert!(framer.take(room, filled, &pool).is_none());
        }
        assert!(framer.has_open_frame());
        assert_eq!(framer.wants(&pool, 100), 10_000 + READ_BYTES_MIN);
    }

    proptest! {
        #[test]
        fn a_stream_falls_apart_alike_however_it_comes(
            bytes in prop::collection::vec(prop_oneof![Just(b'\n'), Just(0), Just(b' '), b'0'..=b'9', any::<u8>()], 0..200),
            piece in 1usize..50,
            framing in prop_oneof![
                Just(Framing::Newline), Just(Framing::Nul), Just(Framing::OctetCount),
                Just(Framing::LengthU16), Just(Framing::LengthU32)
            ]
        ) {
            let whole = read(&mut Framer::new(framing, 20, None), &bytes, bytes.len().max(1));
            let pieces = read(&mut Framer::new(framing, 20, None), &bytes, piece);
            prop_assert_eq!(whole, pieces);
        }
    }
}
