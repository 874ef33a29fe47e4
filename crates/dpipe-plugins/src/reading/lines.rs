//! Cuts the content of a file into chunks of whole lines.
//!
//! What was read of a line whose end is not there yet is carried over to the next read. A line over
//! the limit is not held: its beginning is kept, the rest is looked through for its end.

use std::io;
use std::sync::Arc;

use dpipe_env::{File, Stat};
use dpipe_event::{Buffer, Pool, Room};
use dpipe_plugin::{Chunk, Cut, Multiline};
use memchr::{memchr, memrchr};

use super::content::{Content, Decompression, Fault};
use super::identity::PRINT_BYTES;

/// The lines of a file from a position on.
pub(crate) struct Lines {
    content: Content,
    line_bytes_max: usize,
    /// Where the first line that was not given out starts.
    offset: u64,
    /// What was read from there on.
    carry: Vec<u8>,
    /// Which lines are joined to one event.
    multiline: Option<Arc<Multiline>>,
    /// How much of a line over the limit was read; its beginning is in the carry, or has to be read
    /// again if that is empty.
    long: Option<u64>,
    /// The first bytes of the content.
    head: Vec<u8>,
    /// The last bytes before the offset, or before what was looked through of a long line.
    recent: Vec<u8>,
}

/// What a read came to.
pub(crate) enum Step {
    /// Lines.
    Chunk(Chunk),
    /// Nothing yet; there is more to read.
    More,
    /// The end of the content, for now.
    End,
}

impl Lines {
    /// The lines of a file from its start.
    pub(crate) fn new(
        file: Box<dyn File>,
        line_bytes_max: usize,
        limits: Decompression,
    ) -> io::Result<Self> {
        Ok(Lines {
            content: Content::new(file, limits)?,
            line_bytes_max,
            offset: 0,
            carry: Vec::new(),
            multiline: None,
            long: None,
            head: Vec::new(),
            recent: Vec::new(),
        })
    }

    /// The same, with lines joined to events.
    pub(crate) fn joined_by(self, multiline: Option<Arc<Multiline>>) -> Self {
        Lines { multiline, ..self }
    }

    /// The file itself.
    pub(crate) fn file(&self) -> &dyn File {
        self.content.file()
    }

    /// The same, to be read from its start again.
    pub(crate) fn into_file(self) -> Box<dyn File> {
        self.content.into_file()
    }

    pub(crate) fn is_plain(&self) -> bool {
        self.content.is_plain()
    }

    pub(crate) fn stat(&self) -> io::Result<Stat> {
        self.content.stat()
    }

    pub(crate) fn read_ahead(&self) {
        self.content.read_ahead();
    }

    /// Whether the content ended amid a member or frame.
    pub(crate) fn torn(&self) -> Option<Fault> {
        self.content.torn()
    }

    /// Where the first line that was not given out starts.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// How much of the file itself was read.
    pub(crate) fn file_position(&self) -> u64 {
        self.content.file_position()
    }

    /// Whether it holds whole lines that a further one may continue.
    pub(crate) fn has_open_event(&self) -> bool {
        self.multiline.is_some() && memchr(b'\n', &self.carry).is_some()
    }

    /// Whether it holds a part of a line, or of an event.
    pub(crate) fn has_rest(&self) -> bool {
        !self.carry.is_empty() || self.long.is_some()
    }

    /// The last bytes before the offset.
    pub(crate) fn recent(&self) -> &[u8] {
        &self.recent
    }

    /// The first bytes of the content, as far as they were read or passed.
    pub(crate) fn head(&mut self) -> io::Result<&[u8]> {
        if self.is_plain() && self.head.len() < PRINT_BYTES {
            let mut head = vec![0; PRINT_BYTES];
            let filled = self.content.read_at(&mut head, 0)?;
            head.truncate(filled);
            self.head = head;
        }
        Ok(&self.head)
    }

    /// Moves on to a position, of lines that none were taken from yet, without giving out anything,
    /// by one read. Returns whether it is there; `None` if the content ends before.
    pub(crate) fn pass(&mut self, position: u64, pool: &Pool) -> Result<Option<bool>, Fault> {
        debug_assert!(!self.has_rest(), "lines were taken already");
        if self.is_plain() {
            let len = self.stat()?.len;
            let (to, is_there) = (position.min(len), position <= len);
            self.recent.resize(PRINT_BYTES.min(usize::try_from(to).unwrap_or(PRINT_BYTES)), 0);
            let start = to - self.recent.len() as u64;
            let filled = self.content.read_at(&mut self.recent, start)?;
            self.recent.truncate(filled);
            self.offset = to;
            self.content.seek(to);
            return Ok(is_there.then_some(true));
        }
        let left = usize::try_from(position.saturating_sub(self.offset)).unwrap_or(usize::MAX);
        if left == 0 {
            return Ok(Some(true));
        }
        let mut room = pool.room();
        let wanted = room.len().min(left);
        let result = self.content.read(&mut room[..wanted]);
        if let Ok(filled) = result {
            self.note(&room[..filled]);
            self.offset += filled as u64;
        }
        pool.give_back(room);
        Ok(match result? {
            0 => None,
            filled => Some(filled == left),
        })
    }

    /// Bytes of a plain file of this length that were not read.
    pub(crate) fn unread(&self, len: u64) -> u64 {
        len.saturating_sub(self.content.file_position())
    }

    /// Whether a plain file has these bytes before the position.
    pub(crate) fn has_before(&self, position: u64, bytes: &[u8]) -> io::Result<bool> {
        let Some(start) = position.checked_sub(bytes.len() as u64) else { return Ok(false) };
        let mut there = vec![0; bytes.len()];
        Ok(self.content.read_at(&mut there, start)? == bytes.len() && there == bytes)
    }

    /// The position after the last whole line of a plain file; its end if that is far from it.
    pub(crate) fn last_line_end(&self) -> io::Result<u64> {
        let len = self.stat()?.len;
        let lowest = len.saturating_sub(self.line_bytes_max as u64);
        let mut bytes = vec![0; 16 << 10];
        let mut end = len;
        while end > lowest {
            let start = end.saturating_sub(bytes.len() as u64);
            let filled = self.content.read_at(&mut bytes[..(end - start) as usize], start)?;
            if let Some(at) = memrchr(b'\n', &bytes[..filled]) {
                return Ok(start + at as u64 + 1);
            }
            end = start;
        }
        Ok(if lowest == 0 { 0 } else { len })
    }

    /// The position before which nothing has to be read again.
    pub(crate) fn passed(&self) -> u64 {
        self.offset + self.long.unwrap_or(0)
    }

    /// Whether the bytes before the offset are still those that were read; of plain files.
    pub(crate) fn is_intact(&self) -> io::Result<bool> {
        let len = self.recent.len();
        let mut now = [0; PRINT_BYTES];
        let filled = self.content.read_at(&mut now[..len], self.passed() - len as u64)?;
        Ok(now[..filled] == self.recent[..])
    }

    /// The most bytes that the next chunk can have, if the file has so many more.
    pub(crate) fn wants(&self, pool: &Pool, more: u64) -> usize {
        let more = usize::try_from(more).unwrap_or(usize::MAX);
        match self.long {
            Some(_) => self.line_bytes_max,
            None => {
                let most = pool.room_bytes().max(self.carry.len() * 2);
                self.carry.len().saturating_add(more).min(most).min(self.window()).max(1)
            }
        }
    }

    /// A line at the limit, and its end.
    fn window(&self) -> usize {
        self.line_bytes_max.saturating_add(1)
    }

    /// Reads once, at most so many bytes that the chunk has no more than `most`.
    pub(crate) fn next(&mut self, pool: &Pool, most: usize) -> Result<Step, Fault> {
        if let Some(passed) = self.long {
            return self.next_of_long(pool, passed);
        }
        let kept = self.carry.len();
        let limit = most.max(kept + 1).min(self.window());
        let mut room = room_of(pool, limit);
        room[..kept].copy_from_slice(&self.carry);
        let read = match self.content.read(&mut room[kept..limit]) {
            Ok(read) => read,
            Err(fault) => {
                pool.give_back(room);
                return Err(fault);
            }
        };
        let filled = kept + read;
        if let Some((end, cut)) = self.whole(&room[..filled]) {
            self.carry.clear();
            self.carry.extend_from_slice(&room[end..filled]);
            self.note(&room[..end]);
            return Ok(Step::Chunk(self.give(pool.freeze(room, end), end as u64, cut)));
        }
        self.carry.extend_from_slice(&room[kept..filled]);
        if filled == self.window() {
            self.carry.truncate(self.line_bytes_max);
            self.long = Some(filled as u64);
            self.note(&room[..filled]);
        }
        pool.give_back(room);
        Ok(if read == 0 { Step::End } else { Step::More })
    }

    /// How much of what was read is whole frames, and their cut; nothing, if there are none.
    fn whole(&self, bytes: &[u8]) -> Option<(usize, Cut)> {
        let end = memrchr(b'\n', bytes)? + 1;
        let Some(multiline) = &self.multiline else { return Some((end, Cut::Lines)) };
        let mut parts = Vec::new();
        let lines = &bytes[..end];
        let whole = multiline.cut(lines, 0, self.line_bytes_max, false, &mut parts);
        if !parts.is_empty() {
            return Some((whole, Cut::Parts(parts.into())));
        }
        // An event at the limit is not held until its next line has come.
        (bytes.len() == self.window()).then(|| self.all(lines))
    }

    /// The cut of whole lines of which no further one is waited for.
    fn all(&self, lines: &[u8]) -> (usize, Cut) {
        let Some(multiline) = &self.multiline else { return (lines.len(), Cut::Lines) };
        let mut parts = Vec::new();
        let end = multiline.cut(lines, 0, self.line_bytes_max, true, &mut parts);
        (end, Cut::Parts(parts.into()))
    }

    /// Looks on for the end of a line over the limit.
    fn next_of_long(&mut self, pool: &Pool, passed: u64) -> Result<Step, Fault> {
        // What follows the line is carried over, so it may not be more than the window.
        let limit = pool.room_bytes().min(self.window());
        let mut room = room_of(pool, limit);
        let read = match self.content.read(&mut room[..limit]) {
            Ok(read) => read,
            Err(fault) => {
                pool.give_back(room);
                return Err(fault);
            }
        };
        let step = match memchr(b'\n', &room[..read]) {
            None => {
                self.long = Some(passed + read as u64);
                self.note(&room[..read]);
                Ok(if read == 0 { Step::End } else { Step::More })
            }
            Some(at) => {
                self.note(&room[..=at]);
                let line = passed + at as u64;
                self.give_long(line, line + 1, &room[at + 1..read]).map(Step::Chunk)
            }
        };
        pool.give_back(room);
        step
    }

    fn give_long(&mut self, line: u64, len: u64, after: &[u8]) -> Result<Chunk, Fault> {
        let mut start = std::mem::replace(&mut self.carry, after.to_vec());
        if start.is_empty() {
            start.resize(self.line_bytes_max, 0);
            let filled = self.content.read_at(&mut start, self.offset)?;
            start.truncate(filled);
        }
        self.long = None;
        let line = usize::try_from(line).unwrap_or(usize::MAX);
        Ok(self.give(start.into(), len, Cut::Long(line)))
    }

    fn give(&mut self, buffer: Buffer, len: u64, cut: Cut) -> Chunk {
        let offset = self.offset;
        self.offset += len;
        Chunk { buffer, offset, end: self.offset, cut }
    }

    /// The event that further lines could have continued, if there is one. They begin another then.
    pub(crate) fn open_event(&mut self) -> Option<Chunk> {
        if !self.has_open_event() {
            return None;
        }
        let end = memrchr(b'\n', &self.carry)? + 1;
        let rest = self.carry.split_off(end);
        let event = std::mem::replace(&mut self.carry, rest);
        let (_, cut) = self.all(&event);
        self.note(&event);
        Some(self.give(event.into(), end as u64, cut))
    }

    /// What is left: the last line, which has no end, and the event it belongs to. Nothing more is expected of the content.
    pub(crate) fn rest(&mut self) -> Result<Option<Chunk>, Fault> {
        if let Some(passed) = self.long {
            return self.give_long(passed, passed, &[]).map(Some);
        }
        let rest = std::mem::take(&mut self.carry);
        if rest.is_empty() {
            return Ok(None);
        }
        self.note(&rest);
        let len = rest.len() as u64;
        let (_, cut) = self.all(&rest);
        Ok(Some(self.give(rest.into(), len, cut)))
    }

    /// Lets go of memory until there is more to read; a part of a line is read again then. For
    /// plain files only.
    pub(crate) fn park(&mut self) {
        self.carry = Vec::new();
        self.content.seek(self.passed());
    }

    /// Keeps the last bytes that were passed or given out.
    fn note(&mut self, bytes: &[u8]) {
        if self.head.len() < PRINT_BYTES && !self.is_plain() {
            let missing = PRINT_BYTES - self.head.len();
            self.head.extend_from_slice(&bytes[..bytes.len().min(missing)]);
        }
        let keep = PRINT_BYTES.saturating_sub(bytes.len()).min(self.recent.len());
        self.recent.drain(..self.recent.len() - keep);
        self.recent.extend_from_slice(&bytes[bytes.len().saturating_sub(PRINT_BYTES)..]);
    }
}

fn room_of(pool: &Pool, bytes: usize) -> Room {
    let mut room = pool.room();
    if room.len() < bytes {
        room.resize(bytes, 0);
    }
    room
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use dpipe_env::{Env, Open, RealEnv};

    use super::*;
    use crate::reading::content::tests::{gzip, lines as many_lines};

    fn open(path: &Path, line_bytes_max: usize) -> Lines {
        let file = RealEnv.files().open(path, Open::Read).unwrap();
        Lines::new(file, line_bytes_max, Decompression::default()).unwrap()
    }

    /// Everything up to the end for now: offset, text, and the length that it was cut from.
    fn take(lines: &mut Lines, pool: &Pool) -> Vec<(u64, String, Option<usize>)> {
        let mut all = Vec::new();
        let mut next = lines.offset();
        loop {
            let most = lines.wants(pool, u64::MAX);
            match lines.next(pool, most).unwrap() {
                Step::Chunk(chunk) => {
                    assert_eq!(chunk.offset, next);
                    next = chunk.end;
                    let text = String::from_utf8(chunk.buffer.to_vec()).unwrap();
                    all.push((chunk.offset, text, chunk.cut_from()));
                }
                Step::More => {}
                Step::End => return all,
            }
        }
    }

    fn temporary(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        fs::write(&path, bytes).unwrap();
        (dir, path)
    }

    fn append(path: &Path, bytes: &[u8]) {
        use std::io::Write as _;
        fs::OpenOptions::new().append(true).open(path).unwrap().write_all(bytes).unwrap();
    }

    #[test]
    fn chunks_are_whole_lines_whatever_the_room() {
        let text = many_lines(300);
        let (_dir, plain) = temporary(&text);
        let (_dir2, packed) = temporary(&gzip(&text));
        for path in [plain, packed] {
            for room in [1, 7, 30, 31, 1000, 100_000] {
                let mut lines = open(&path, 1000);
                let chunks = take(&mut lines, &Pool::new(room, 2));
                assert!(chunks.iter().all(|(_, text, cut)| text.ends_with('\n') && cut.is_none()));
                let all: String = chunks.into_iter().map(|(_, text, _)| text).collect();
                assert!(all.as_bytes() == text);
            }
        }
    }

    #[test]
    fn a_line_over_the_limit_is_cut_and_its_length_told() {
        for (end, last) in [("\n", None), ("", Some("z"))] {
            let text = format!("a\n{}\nb\n{}\n{}z{end}", "x".repeat(5000), "y".repeat(10), "");
            let (_dir, plain) = temporary(text.as_bytes());
            let (_dir2, packed) = temporary(&gzip(text.as_bytes()));
            for path in [plain, packed] {
                for room in [4, 11, 64, 8000] {
                    let pool = Pool::new(room, 2);
                    let mut lines = open(&path, 10);
                    let chunks = take(&mut lines, &pool);
                    let cut: Vec<_> = chunks.iter().filter(|(_, _, cut)| cut.is_some()).collect();
                    assert_eq!(cut, [&(2, "x".repeat(10), Some(5000))]);
                    assert!(
                        chunks.iter().any(|(at, text, _)| *at == 5003 && text.starts_with("b\n"))
                    );
                    assert!(chunks.iter().any(|(_, text, _)| text.contains(&"y".repeat(10))));
                    let rest = lines.rest().unwrap().map(|chunk| chunk.buffer.to_vec());
                    assert_eq!(rest.as_deref(), last.map(str::as_bytes));
                    assert_eq!(lines.offset(), text.len() as u64);
                    assert!(text.as_bytes().ends_with(lines.recent()));
                }
            }
        }
    }

    #[test]
    fn a_parked_file_holds_nothing_and_goes_on_where_it_was() {
        let (_dir, path) = temporary(b"one\ntw");
        let pool = Pool::new(64, 2);
        let mut lines = open(&path, 8);
        assert_eq!(take(&mut lines, &pool), [(0, "one\n".into(), None)]);
        assert!(lines.has_rest());
        lines.park();
        append(&path, b"o\nthree is long");
        assert_eq!(take(&mut lines, &pool), [(4, "two\n".into(), None)]);
        lines.park();
        append(&path, b"er\nend\n");
        assert!(lines.is_intact().unwrap());
        let rest = take(&mut lines, &pool);
        assert_eq!(rest, [(8, "three is".into(), Some(15)), (24, "end\n".into(), None)]);
        assert!(lines.is_intact().unwrap());
        fs::write(&path, b"one\ntwo\nthree is another one..\n").unwrap();
        assert!(!lines.is_intact().unwrap());
    }

    #[test]
    fn a_position_is_passed_to_with_the_bytes_before_it() {
        let text = many_lines(5000);
        let (_dir, plain) = temporary(&text);
        let (_dir2, packed) = temporary(&gzip(&text));
        for path in [plain, packed] {
            let pool = Pool::new(5000, 2);
            let mut lines = open(&path, 100);
            let at = text.len() / 2;
            while lines.pass(at as u64, &pool).unwrap() == Some(false) {}
            assert_eq!(lines.offset(), at as u64);
            assert_eq!(lines.recent(), &text[at - PRINT_BYTES..at]);
            assert_eq!(lines.head().unwrap(), &text[..PRINT_BYTES]);
            let after: String =
                take(&mut lines, &pool).into_iter().map(|(_, text, _)| text).collect();
            assert!(after.as_bytes() == &text[at..]);
            let mut lines = open(&path, 100);
            let beyond = text.len() as u64 + 1;
            while lines.pass(beyond, &pool).unwrap().is_some() {}
            assert_eq!(lines.offset(), text.len() as u64);
        }
    }
}
