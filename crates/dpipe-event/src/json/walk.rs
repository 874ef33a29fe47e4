//! Step 2: from marks to the tape.
//!
//! The walk reads the bytes under the marks and takes them for tokens. The innermost open
//! container is kept in the tape itself: while it is open, its `next` points at its parent.
#![allow(unsafe_code)]

use std::marker::PhantomData;
use std::mem::MaybeUninit;

use super::error::{JsonError, JsonErrorKind};
use super::index::{BLOCK, LOOK_AHEAD, Marks, Padded};
use super::number::{self, is_number};
use super::{Limits, Node};

/// The parent of the root, and what closes it: no index, and no byte.
const NONE: u32 = u32::MAX;

/// Checks the grammar of a document and appends its nodes to `tape`; none on error.
#[inline]
pub(super) fn walk(
    text: Padded<'_>,
    marks: &Marks,
    limits: &Limits,
    tape: &mut Vec<Node>,
) -> Result<(), JsonError> {
    // Each node has a mark of its own, so that the memory is bounded by the document.
    let room = (marks.len() + 1).min(limits.fields as usize);
    tape.reserve(room);
    let count = nodes(text, marks, limits, &mut tape.spare_capacity_mut()[..room])?;
    // SAFETY: `nodes` wrote the first `count` nodes of the spare capacity.
    unsafe { tape.set_len(tape.len() + count) };
    Ok(())
}

/// Writes the nodes of the whole document and says how many.
fn nodes(
    text: Padded<'_>,
    marks: &Marks,
    limits: &Limits,
    nodes: &mut [MaybeUninit<Node>],
) -> Result<usize, JsonError> {
    let mut cursor = Cursor::new(text, marks);
    let mut count = 0;
    let mut depth = 0;
    let mut open = NONE;
    let mut closer = NONE;
    let mut key = 0;
    loop {
        let value = cursor.mark(0);
        let Some(slot) = nodes.get_mut(count) else {
            return fail(JsonErrorKind::TooManyFields(limits.fields), value);
        };
        count += 1;
        let next = count as u32;
        match cursor.byte(value) {
            b'"' => {
                let close = cursor.mark(1);
                if cursor.byte(close) == b'"' {
                    cursor.advance(2);
                    slot.write(Node { key, value, end: close + 1, next });
                } else {
                    let end;
                    (cursor, end) = cursor.escaped_string()?;
                    slot.write(Node { key, value: value | Node::ESCAPED, end, next });
                }
            }
            bracket @ (b'{' | b'[') => {
                cursor.advance(1);
                depth += 1;
                if depth >= limits.depth {
                    return fail(JsonErrorKind::TooDeep(limits.depth), value);
                }
                slot.write(Node { key, value, end: 0, next: open });
                open = next - 1;
                closer = closer_of(bracket);
                if u32::from(cursor.byte(cursor.mark(0))) != closer {
                    key = if bracket == b'{' { cursor.key()? } else { 0 };
                    continue;
                }
            }
            b'-' | b'0'..=b'9' => {
                let end = cursor.scalar_end();
                if !cursor.is_number(value, end) {
                    return fail(JsonErrorKind::InvalidNumber, value);
                }
                cursor.advance(1);
                slot.write(Node { key, value, end, next });
            }
            b't' | b'f' | b'n' => {
                let end = cursor.scalar_end();
                if !matches!(cursor.slice(value, end), b"true" | b"false" | b"null") {
                    return fail(JsonErrorKind::Expected("a value"), value);
                }
                cursor.advance(1);
                slot.write(Node { key, value, end, next });
            }
            _ => return fail(JsonErrorKind::Expected("a value"), value),
        }

        // After a value: the next one, or the end of any number of containers.
        loop {
            let at = cursor.mark(0);
            let byte = cursor.byte(at);
            if byte == b',' && closer != NONE {
                cursor.advance(1);
                key = if closer == u32::from(b'}') { cursor.key()? } else { 0 };
                break;
            }
            if u32::from(byte) != closer {
                if open == NONE && cursor.is_at_end() {
                    return Ok(count);
                }
                return fail(JsonErrorKind::Expected(after_value(closer)), at);
            }
            cursor.advance(1);
            depth -= 1;
            // SAFETY: `open` is the index of a node that was written.
            let container = unsafe { nodes[open as usize].assume_init_mut() };
            open = std::mem::replace(&mut container.next, count as u32);
            container.end = at + 1;
            closer = match nodes.get(open as usize) {
                // SAFETY: as above.
                Some(parent) => closer_of(cursor.byte(unsafe { parent.assume_init_ref() }.value)),
                None => NONE,
            };
        }
    }
}

/// `}` of `{`, `]` of `[`.
#[inline(always)]
fn closer_of(bracket: u8) -> u32 {
    u32::from(bracket) + 2
}

fn after_value(closer: u32) -> &'static str {
    match u8::try_from(closer) {
        Ok(b'}') => "`,` or `}`",
        Ok(_) => "`,` or `]`",
        Err(_) => "the end of the document",
    }
}

#[cold]
fn fail<T>(kind: JsonErrorKind, at: u32) -> Result<T, JsonError> {
    Err(JsonError { kind, at })
}

/// A place among the marks of a document.
///
/// Nothing is checked on the way. What makes it safe: a mark is only passed after its byte was
/// recognized as a token, the sentinels point at a byte that is none, and so the cursor never
/// passes the first sentinel. From there, `LOOK_AHEAD` marks and `BLOCK` bytes are readable.
///
/// What is not inlined takes the cursor by value and returns it, so that it stays in registers.
#[derive(Clone, Copy)]
struct Cursor<'a> {
    text: *const u8,
    mark: *const u32,
    end: *const u32,
    document: PhantomData<&'a u8>,
}

const _: () = assert!(number::OVERRUN <= BLOCK && LOOK_AHEAD > 4);

impl<'a> Cursor<'a> {
    fn new(text: Padded<'a>, marks: &'a Marks) -> Self {
        let mark = marks.as_ptr();
        Self {
            text: text.as_ptr(),
            mark,
            // SAFETY: `marks` has that many.
            end: unsafe { mark.add(marks.len()) },
            document: PhantomData,
        }
    }

    fn is_at_end(&self) -> bool {
        self.mark == self.end
    }

    /// The position of the mark `ahead` of this one.
    #[inline(always)]
    fn mark(&self, ahead: usize) -> u32 {
        debug_assert!(self.mark <= self.end && ahead < LOOK_AHEAD);
        // SAFETY: the sentinels.
        unsafe { *self.mark.add(ahead) }
    }

    #[inline(always)]
    fn advance(&mut self, marks: usize) {
        // SAFETY: the marks were recognized, so the sentinels were not reached.
        self.mark = unsafe { self.mark.add(marks) };
        debug_assert!(self.mark <= self.end);
    }

    /// The byte at a mark or less than `BLOCK` after one.
    #[inline(always)]
    fn byte(&self, at: u32) -> u8 {
        // SAFETY: the padding.
        unsafe { *self.text.add(at as usize) }
    }

    #[inline(always)]
    fn slice(&self, start: u32, end: u32) -> &'a [u8] {
        debug_assert!(start <= end);
        // SAFETY: both are marks, or follow one closely, and `start` is not after `end`.
        unsafe { std::slice::from_raw_parts(self.text.add(start as usize), (end - start) as usize) }
    }

    #[inline(always)]
    fn is_number(&self, start: u32, end: u32) -> bool {
        debug_assert!(start < end);
        // SAFETY: a scalar is not empty, and the padding is longer than the overrun.
        unsafe { is_number(self.text.add(start as usize), (end - start) as usize) }
    }

    /// Where the scalar at this mark ends: at the next mark, but for white space.
    #[inline(always)]
    fn scalar_end(&self) -> u32 {
        let mut end = self.mark(1);
        while matches!(self.byte(end - 1), b' ' | b'\t' | b'\n' | b'\r') {
            end -= 1;
        }
        end
    }

    /// Passes a key and its colon, and says where the key starts.
    #[inline(always)]
    fn key(&mut self) -> Result<u32, JsonError> {
        let [open, close, colon] = [self.mark(0), self.mark(1), self.mark(2)];
        if (self.byte(open) == b'"') & (self.byte(close) == b'"') & (self.byte(colon) == b':') {
            self.advance(3);
            return Ok(open + 1);
        }
        let key;
        (*self, key) = self.unusual_key()?;
        Ok(key)
    }

    /// A key with escapes, or something else.
    #[cold]
    fn unusual_key(mut self) -> Result<(Self, u32), JsonError> {
        let open = self.mark(0);
        if self.byte(open) != b'"' {
            return fail(JsonErrorKind::Expected("a key"), open);
        }
        let key = match self.byte(self.mark(1)) {
            b'"' => {
                self.advance(2);
                open + 1
            }
            _ => {
                (self, _) = self.escaped_string()?;
                (open + 1) | Node::ESCAPED
            }
        };
        let colon = self.mark(0);
        if self.byte(colon) != b':' {
            return fail(JsonErrorKind::Expected("`:`"), colon);
        }
        self.advance(1);
        Ok((self, key))
    }

    /// Passes a string that has escapes, or no end, and says where it ends.
    #[cold]
    fn escaped_string(mut self) -> Result<(Self, u32), JsonError> {
        let open = self.mark(0);
        self.advance(1);
        loop {
            let at = self.mark(0);
            match self.byte(at) {
                b'"' => {
                    self.advance(1);
                    return Ok((self, at + 1));
                }
                b'\\' => self.escape(at)?,
                _ => return fail(JsonErrorKind::UnterminatedString, open),
            }
        }
    }

    /// Passes the escape at `at`, or both of a surrogate pair.
    fn escape(&mut self, at: u32) -> Result<(), JsonError> {
        self.advance(1);
        match self.byte(at + 1) {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(()),
            b'u' => match self.hex4(at)? {
                0xd800..0xdc00 => {
                    let low = at + 6;
                    if self.mark(0) != low || self.byte(low) != b'\\' || self.byte(low + 1) != b'u'
                    {
                        return fail(JsonErrorKind::LoneSurrogate, at);
                    }
                    self.advance(1);
                    match self.hex4(low)? {
                        0xdc00..0xe000 => Ok(()),
                        _ => fail(JsonErrorKind::LoneSurrogate, at),
                    }
                }
                0xdc00..0xe000 => fail(JsonErrorKind::LoneSurrogate, at),
                _ => Ok(()),
            },
            _ => fail(JsonErrorKind::InvalidEscape, at),
        }
    }

    /// The number of the `\uXXXX` at `at`.
    fn hex4(&self, at: u32) -> Result<u32, JsonError> {
        super::text::hex4(self.slice(at + 2, at + 6))
            .ok_or(JsonError { kind: JsonErrorKind::InvalidEscape, at })
    }
}
