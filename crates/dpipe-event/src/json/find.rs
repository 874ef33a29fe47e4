//! Looking up fields on a tape.

use std::hint::black_box;

use super::Node;
use super::text::{equal, unescape};

/// The child of the object `node` that has `key`. Of duplicates the last one counts.
#[inline]
pub(crate) fn find(tape: &[Node], bytes: &[u8], node: u32, key: &[u8]) -> Option<u32> {
    let key = Key::new(key);
    find_by(tape, node, |child| key.is_of(child, bytes))
}

/// As [`find`], and whether the key has duplicates.
#[inline]
pub(crate) fn find_flagged(
    tape: &[Node],
    bytes: &[u8],
    node: u32,
    key: &[u8],
) -> (Option<u32>, bool) {
    let key = Key::new(key);
    let mut matches = 0;
    let found = find_by(tape, node, |child| {
        let is_match = key.is_of(child, bytes);
        matches += u32::from(is_match);
        is_match
    });
    (found, matches > 1)
}

/// The last child of `node` that passes `test`; none if `node` has no children.
#[inline(always)]
fn find_by(tape: &[Node], node: u32, mut test: impl FnMut(&Node) -> bool) -> Option<u32> {
    let mut found = None;
    for (at, child) in children(tape, node) {
        if test(child) {
            found = Some(at);
        }
    }
    found
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

/// A key to compare with: it and the quote that follows it, the first 8 bytes of that as a word.
struct Key<'a> {
    key: &'a [u8],
    word: u64,
    mask: u64,
}

impl<'a> Key<'a> {
    #[inline]
    fn new(key: &'a [u8]) -> Self {
        let len = key.len();
        if let Some(first) = key.first_chunk() {
            return Self { key, word: u64::from_le_bytes(*first), mask: u64::MAX };
        }
        let text = match (key.first_chunk(), key.last_chunk()) {
            // Both halves, which overlap below 8 bytes.
            (Some(first), Some(last)) => {
                u64::from(u32::from_le_bytes(*first))
                    | u64::from(u32::from_le_bytes(*last)) << (8 * (len - 4))
            }
            _ => key.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)),
        };
        let word = text | u64::from(b'"') << (8 * len);
        if equal(word, b'"').trailing_zeros() as usize / 8 < len {
            // A key that contains a quote is none without escapes; nor does any contain NUL.
            return Self { key, word: 0, mask: u64::MAX };
        }
        Self { key, word, mask: u64::MAX >> (8 * (7 - len)) }
    }

    #[inline(always)]
    fn is_of(&self, node: &Node, bytes: &[u8]) -> bool {
        // The flags make the start of an escaped key lie far outside of any document.
        let start = node.key as usize;
        match bytes.get(start..start + 8).and_then(|word| word.first_chunk()) {
            Some(word) => {
                (u64::from_le_bytes(*word) ^ self.word) & self.mask == 0
                    && (self.key.len() < 8 || is_at(bytes, start, self.key))
            }
            None => is_unusual(node, bytes, self.key),
        }
    }
}

/// Whether the key at `start`, which has no escapes, is `key`. One that contains a quote is not.
#[inline]
fn is_at(bytes: &[u8], start: usize, key: &[u8]) -> bool {
    let end = start + key.len();
    bytes.get(start..end) == Some(key) && bytes.get(end) == Some(&b'"') && !key.contains(&b'"')
}

/// Whether a node's key, which has escapes or lies in the document's last bytes, is `key`.
#[cold]
#[inline(never)]
fn is_unusual(node: &Node, bytes: &[u8], key: &[u8]) -> bool {
    match node.key & Node::ESCAPED {
        0 => is_at(bytes, node.key_at(), key),
        _ => *unescape(node.raw_key(bytes)) == *key,
    }
}
