//! Looking up fields on a tape.

use std::hint::black_box;
use std::sync::atomic::{AtomicU16, Ordering};

use super::Node;
use super::text::unescape;

/// Which child of its object had a key last, counted from 0: in documents alike it is the same
/// one. A wrong hint costs a look.
#[derive(Debug)]
pub(crate) struct Hint(AtomicU16);

impl Hint {
    pub(crate) const fn new() -> Self {
        Hint(AtomicU16::new(0))
    }

    #[inline]
    fn get(&self) -> usize {
        // It is checked against the tape, so nothing has to be seen in order.
        usize::from(self.0.load(Ordering::Relaxed))
    }

    pub(super) fn set(&self, place: usize) {
        if let Ok(place) = u16::try_from(place) {
            self.0.store(place, Ordering::Relaxed);
        }
    }
}

/// The member of the object `node` that has `key`; none if it is no object. Of duplicates the last
/// one counts.
#[inline]
pub(crate) fn find(
    tape: &[Node],
    bytes: &[u8],
    node: u32,
    key: Key<'_>,
    hint: &Hint,
) -> Option<u32> {
    let object = tape.get(node as usize)?;
    if !object.has_key_twice()
        && let Some((at, member)) = children(tape, node).nth(hint.get())
        && key.is_of(member, bytes)
    {
        return Some(at);
    }
    let (place, at) = search(tape, bytes, node, key)?;
    hint.set(place);
    Some(at)
}

/// The same, without a hint.
pub(crate) fn find_key(tape: &[Node], bytes: &[u8], node: u32, key: Key<'_>) -> Option<u32> {
    search(tape, bytes, node, key).map(|(_, at)| at)
}

/// The same: which child it is, and its node.
fn search(tape: &[Node], bytes: &[u8], node: u32, key: Key<'_>) -> Option<(usize, u32)> {
    let mut members = children(tape, node).enumerate();
    let mut found = members.find(|(_, (_, member))| key.is_of(member, bytes))?;
    if tape[node as usize].has_key_twice() {
        found = members.filter(|(_, (_, member))| key.is_of(member, bytes)).last().unwrap_or(found);
    }
    Some((found.0, found.1.0))
}

/// The child of the array `node` at `place`, counted from 0.
#[inline]
pub(crate) fn element(tape: &[Node], node: u32, place: usize) -> Option<u32> {
    children(tape, node).nth(place).map(|(at, _)| at)
}

/// The children of an object or array, in order; none of a scalar.
#[inline]
pub(super) fn children(tape: &[Node], node: u32) -> Children<'_> {
    let end = tape.get(node as usize).map_or(0, |node| node.next);
    Children { tape, at: node + 1, end }
}

/// See [`children`].
#[derive(Clone, Debug)]
pub(super) struct Children<'a> {
    tape: &'a [Node],
    at: u32,
    end: u32,
}

impl<'a> Iterator for Children<'a> {
    type Item = (u32, &'a Node);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.end {
            return None;
        }
        let at = self.at;
        let node = self.tape.get(at as usize)?;
        // Most children are scalars. To foresee that is faster than to wait for `next` to arrive
        // from memory, but a compiler that understands the branch removes it.
        self.at = if node.next > at + 1 { black_box(node.next) } else { at + 1 };
        Some((at, node))
    }
}

impl Node {
    /// The key's bytes as they stand in the document.
    pub(crate) fn raw_key<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        let rest = bytes.get(self.key_at()..).unwrap_or_default();
        let mut end = 0;
        while let Some(step) = memchr::memchr2(b'"', b'\\', rest.get(end..).unwrap_or_default()) {
            end += step;
            if rest[end] == b'"' {
                return &rest[..end];
            }
            end += 2;
        }
        rest
    }
}

/// A key to compare with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key<'a> {
    text: &'a [u8],
    start: KeyStart,
}

/// The first 8 bytes of a key and the quote that follows it, as a word, and which of them there are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyStart {
    word: u64,
    mask: u64,
}

impl KeyStart {
    pub(crate) fn of(key: &[u8]) -> Self {
        if memchr::memchr(b'"', key).is_some() {
            // A key that contains a quote is none without escapes; nor does any contain NUL.
            return KeyStart { word: 0, mask: u64::MAX };
        }
        let mut start = [0; 8];
        start.iter_mut().zip(key.iter().chain(b"\"")).for_each(|(to, from)| *to = *from);
        let mask = u64::MAX >> (8 * 7usize.saturating_sub(key.len()));
        KeyStart { word: u64::from_le_bytes(start), mask }
    }
}

impl<'a> Key<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Key { text, start: KeyStart::of(text) }
    }

    /// A key whose start was prepared.
    #[inline]
    pub(crate) fn prepared(text: &'a [u8], start: KeyStart) -> Self {
        Key { text, start }
    }

    #[inline(always)]
    fn is_of(&self, node: &Node, bytes: &[u8]) -> bool {
        // The flag makes the start of an escaped key lie far outside of any document. An element
        // of an array has no key, and says 0.
        let at = node.key as usize;
        match bytes.get(at..at + 8).and_then(|word| word.first_chunk()) {
            Some(word) => {
                (u64::from_le_bytes(*word) ^ self.start.word) & self.start.mask == 0
                    && at != 0
                    && (self.text.len() < 8 || is_at(bytes, at, self.text))
            }
            None => is_unusual(node, bytes, self.text),
        }
    }
}

/// Whether the key at `start`, which has no escapes, is `key`, which has no quote.
#[inline]
pub(super) fn is_at(bytes: &[u8], start: usize, key: &[u8]) -> bool {
    let end = start + key.len();
    bytes.get(start..end) == Some(key) && bytes.get(end) == Some(&b'"')
}

/// Whether a node's key, which has escapes or lies in the document's last bytes, is `key`.
#[cold]
#[inline(never)]
fn is_unusual(node: &Node, bytes: &[u8], key: &[u8]) -> bool {
    match node.key & Node::ESCAPED {
        0 => node.key != 0 && is_at(bytes, node.key_at(), key) && !key.contains(&b'"'),
        _ => *unescape(node.raw_key(bytes)) == *key,
    }
}
