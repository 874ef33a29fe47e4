//! Step 2: from marks to the tape.
//!
//! The walk reads the bytes under the marks and takes them for tokens. The innermost open
//! container is kept in the tape itself: while it is open, its `next` points at its parent.
#![allow(unsafe_code)]

use std::marker::PhantomData;

use super::error::{JsonError, JsonErrorKind};
use super::index::{BLOCK, LOOK_AHEAD, Marks, Padded, Simd};
use super::keys::Keys;
use super::number::{self, is_number};
use super::{Limits, Node};

/// Checks the grammar of a document and appends its nodes to `tape`, none on error; says whether
/// an object has a key twice.
pub(super) type Walk =
    fn(Padded<'_>, &Marks, &Limits, &mut Keys, &mut Vec<Node>) -> Result<bool, JsonError>;

/// A [`Walk`].
///
/// # Safety
/// The processor has what `S` needs.
#[inline(always)]
pub(super) unsafe fn walk<S: Simd>(
    text: Padded<'_>,
    marks: &Marks,
    limits: &Limits,
    keys: &mut Keys,
    tape: &mut Vec<Node>,
) -> Result<bool, JsonError> {
    // Each node has a mark of its own, so that the memory is bounded by the document. The key of
    // a node is written before it is known whether the node may be, so there is one more.
    let room = (marks.len() + 1).min(limits.fields as usize);
    tape.reserve(room + 1);
    keys.begin(room);
    let first = tape.len();
    // SAFETY: there is room for the nodes, and the caller's promise.
    let count = unsafe {
        let out = Out { slot: tape.as_mut_ptr().add(first), count: 0 };
        nodes::<S>(text, marks, limits, keys, out, room)?
    };
    // SAFETY: `nodes` wrote so many.
    unsafe { tape.set_len(first + count) };
    Ok(keys.finish(text.document(), &mut tape[first..]))
}

/// Writes the nodes of the whole document and says how many.
///
/// Its time is that of its instructions, of which most would move its state between registers and
/// memory if there was more of it, or if what is rare was not in functions of its own.
///
/// # Safety
/// `room + 1` nodes can be written to `out`, and the processor has what `S` needs.
#[inline(always)]
unsafe fn nodes<S: Simd>(
    text: Padded<'_>,
    marks: &Marks,
    limits: &Limits,
    keys: &mut Keys,
    mut out: Out,
    room: usize,
) -> Result<usize, JsonError> {
    let mut cursor = Cursor::new(text, marks);
    let mut depth = 0;
    let mut open = Open::NONE;
    // SAFETY: fewer than `room + 1` nodes were written, here and wherever a key is written: there
    // is one before each node, and `room` is compared before each.
    unsafe { out.key(0) };
    loop {
        let at = cursor.mark(0);
        if out.count == room {
            return fail(JsonErrorKind::TooManyFields(limits.fields), at);
        }
        let byte = cursor.byte(at);
        if byte == b'"' {
            let close = cursor.mark(1);
            let (mut value, mut end) = (at, close + 1);
            if cursor.byte(close) == b'"' {
                cursor.advance(2);
            } else {
                (cursor, end) = cursor.escaped_string()?;
                value |= Node::ESCAPED;
            }
            // SAFETY: fewer than `room` nodes were written.
            unsafe { out.value(value, end) };
        } else if byte.is_ascii_digit() {
            let end = cursor.scalar_end();
            if !cursor.is_number(byte, at, end) {
                return fail(JsonErrorKind::InvalidNumber, at);
            }
            cursor.advance(1);
            // SAFETY: as above.
            unsafe { out.value(at, end) };
        } else if byte | 0x20 == b'{' {
            cursor.advance(1);
            depth += 1;
            if depth >= limits.depth {
                return fail(JsonErrorKind::TooDeep(limits.depth), at);
            }
            let node = out.count;
            // SAFETY: as above.
            unsafe { out.open(at, open) };
            open = Open::new(node, byte);
            if cursor.byte(cursor.mark(0)) != open.closer() {
                // SAFETY: as with the first key, and an object is open.
                unsafe {
                    if open.is_object() {
                        cursor.key::<S>(keys, &out, open)?;
                    } else {
                        out.key(0);
                    }
                }
                continue;
            }
        } else {
            let end = cursor.other_end(byte, at)?;
            cursor.advance(1);
            // SAFETY: as above.
            unsafe { out.value(at, end) };
        }

        // After a value: the next one, or the end of any number of containers.
        loop {
            let at = cursor.mark(0);
            let byte = cursor.byte(at);
            if byte == b',' {
                // SAFETY: as with the first key, and an object is open.
                unsafe {
                    if open.is_object() {
                        cursor.advance(1);
                        cursor.key::<S>(keys, &out, open)?;
                        break;
                    }
                    if open != Open::NONE {
                        cursor.advance(1);
                        out.key(0);
                        break;
                    }
                }
            }
            if byte != open.closer() || open == Open::NONE {
                if open == Open::NONE && cursor.is_at_end() {
                    return Ok(out.count);
                }
                return fail(JsonErrorKind::Expected(open.after_value()), at);
            }
            cursor.advance(1);
            depth -= 1;
            // SAFETY: it is open, so its node was written.
            open = unsafe { out.close(open, at + 1) };
        }
    }
}

/// A container that is not closed yet: its node, and in the lowest bit whether it is an object.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Open(u32);

impl Open {
    /// What the root is in; like an array, it holds no keys.
    const NONE: Open = Open(u32::MAX - 1);

    #[inline(always)]
    fn new(node: usize, bracket: u8) -> Self {
        Open((node as u32) << 1 | u32::from(bracket >> 5 & 1))
    }

    #[inline(always)]
    fn node(self) -> usize {
        (self.0 >> 1) as usize
    }

    #[inline(always)]
    fn is_object(self) -> bool {
        self.0 & 1 == 1
    }

    /// `}` or `]`, which differ in one bit.
    #[inline(always)]
    fn closer(self) -> u8 {
        b']' | ((self.0 & 1) << 5) as u8
    }

    fn after_value(self) -> &'static str {
        match self {
            Open::NONE => "the end of the document",
            _ if self.is_object() => "`,` or `}`",
            _ => "`,` or `]`",
        }
    }
}

/// Where nodes are written to.
struct Out {
    /// The next node, of which only the key may have been written.
    slot: *mut Node,
    /// The nodes before it.
    count: usize,
}

impl Out {
    /// Writes the key of the next node.
    ///
    /// # Safety
    /// There is one.
    #[inline(always)]
    unsafe fn key(&self, key: u32) {
        // SAFETY: the caller's promise.
        unsafe { (*self.slot).key = key };
    }

    /// Writes the rest of the next node.
    ///
    /// # Safety
    /// There is one.
    #[inline(always)]
    unsafe fn value(&mut self, value: u32, end: u32) {
        self.count += 1;
        // SAFETY: the caller's promise.
        unsafe {
            (*self.slot).value = value;
            (*self.slot).end = end;
            (*self.slot).next = self.count as u32;
            self.slot = self.slot.add(1);
        }
    }

    /// Writes the rest of the next node, a container, and what it stands in.
    ///
    /// # Safety
    /// There is one.
    #[inline(always)]
    unsafe fn open(&mut self, value: u32, parent: Open) {
        self.count += 1;
        // SAFETY: the caller's promise.
        unsafe {
            (*self.slot).value = value;
            (*self.slot).end = 0;
            (*self.slot).next = parent.0;
            self.slot = self.slot.add(1);
        }
    }

    /// Ends a container, and says what it stands in.
    ///
    /// # Safety
    /// It was written by [`Out::open`] and not closed since.
    #[inline(always)]
    unsafe fn close(&mut self, container: Open, end: u32) -> Open {
        // SAFETY: the caller's promise.
        let node = unsafe { &mut *self.slot.sub(self.count - container.node()) };
        node.end = end;
        Open(std::mem::replace(&mut node.next, self.count as u32))
    }

    /// All nodes that were written. They may be changed as long as they are not borrowed.
    fn nodes(&self) -> *mut [Node] {
        std::ptr::slice_from_raw_parts_mut(self.slot.wrapping_sub(self.count), self.count)
    }
}

#[cold]
fn fail<T>(kind: JsonErrorKind, at: u32) -> Result<T, JsonError> {
    Err(JsonError { kind, at })
}

/// Tells the compiler that what calls it is rare.
#[cold]
fn cold() {}

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

    /// The whole document.
    fn document(&self) -> &'a [u8] {
        // SAFETY: the sentinel at the end is the length.
        unsafe { std::slice::from_raw_parts(self.text, *self.end as usize) }
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

    /// Whether a scalar that starts with this digit is a number.
    #[inline(always)]
    fn is_number(&self, first: u8, start: u32, end: u32) -> bool {
        debug_assert!(start < end);
        // SAFETY: a scalar is not empty, and the padding is longer than the overrun.
        unsafe { is_number(self.text.add(start as usize), end - start, first) }
    }

    /// Where the scalar at this mark ends, which starts with neither a quote nor a digit.
    #[inline(always)]
    fn other_end(&self, first: u8, start: u32) -> Result<u32, JsonError> {
        if !matches!(first, b'n' | b't' | b'f' | b'-') {
            return fail(JsonErrorKind::Expected("a value"), start);
        }
        let end = self.scalar_end();
        // SAFETY: the padding is longer than a word.
        let word = unsafe { self.text.add(start as usize).cast::<[u8; 4]>().read() };
        match end - start {
            4 if word == *b"null" || word == *b"true" => Ok(end),
            5 if word == *b"fals" && self.byte(start + 4) == b'e' => Ok(end),
            _ if first != b'-' => fail(JsonErrorKind::Expected("a value"), start),
            _ if self.is_number(first, start, end) => Ok(end),
            _ => fail(JsonErrorKind::InvalidNumber, start),
        }
    }

    /// Where the scalar at this mark ends: at the next mark, but for white space.
    #[inline(always)]
    fn scalar_end(&self) -> u32 {
        let mut end = self.mark(1);
        // SAFETY: there is a byte before a mark that has one before it.
        let last = |end: u32| unsafe { *self.text.add(end as usize).sub(1) };
        if last(end) <= b' ' {
            cold();
            while matches!(last(end), b' ' | b'\t' | b'\n' | b'\r') {
                end -= 1;
            }
        }
        end
    }

    /// Passes a key and its colon, and writes where the key starts. It is that of a member of
    /// `object`, which is marked if it had that key before.
    ///
    /// # Safety
    /// There is a next node, `object` is one before it, and the processor has what `S` needs.
    #[inline(always)]
    unsafe fn key<S: Simd>(
        &mut self,
        keys: &mut Keys,
        out: &Out,
        object: Open,
    ) -> Result<(), JsonError> {
        let [open, close, colon] = [self.mark(0), self.mark(1), self.mark(2)];
        if (self.byte(open) == b'"') & (self.byte(close) == b'"') & (self.byte(colon) == b':') {
            self.advance(3);
            // SAFETY: there is a next node. Both are marks, the second after the first, and there
            // is room around the document. The nodes are not borrowed.
            unsafe {
                out.key(open + 1);
                let place = keys.place::<S>(self.text, open, close, object.0);
                if !keys.take(place, out.count as u32) {
                    let key = (out.count as u32, open + 1);
                    keys.settle(place, self.document(), &mut *out.nodes(), object.node(), key);
                }
            }
            return Ok(());
        }
        // SAFETY: the caller's promise.
        *self = unsafe { self.unusual_key::<S>(keys, out.slot, out.count, object)? };
        Ok(())
    }

    /// A key with escapes, or something else.
    ///
    /// # Safety
    /// As [`Cursor::key`].
    #[cold]
    unsafe fn unusual_key<S: Simd>(
        mut self,
        keys: &mut Keys,
        slot: *mut Node,
        count: usize,
        object: Open,
    ) -> Result<Self, JsonError> {
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
        let out = Out { slot, count };
        // SAFETY: there is a next node, the nodes are not borrowed, and as this function.
        unsafe {
            out.key(key);
            let place = keys.place_of_escaped::<S>(self.document(), key, object.0);
            if !keys.take(place, count as u32) {
                let key = (count as u32, key);
                keys.settle(place, self.document(), &mut *out.nodes(), object.node(), key);
            }
        }
        Ok(self)
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
