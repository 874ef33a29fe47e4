//! Looking up fields on a tape.

use super::Node;
use super::text::unescape;

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
        self.at = node.next;
        Some((at, node))
    }
}

impl Node {
    /// The key's bytes as they stand in the document.
    pub(crate) fn raw_key<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        let rest = bytes.get(self.key_at()..).unwrap_or_default();
        let mut end = 0;
        while end < rest.len() && rest[end] != b'"' {
            end += if rest[end] == b'\\' { 2 } else { 1 };
        }
        &rest[..end.min(rest.len())]
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
        let mut word = [0; 8];
        let shown = key.len().min(8);
        word[..shown].copy_from_slice(&key[..shown]);
        if let Some(quote) = word.get_mut(key.len()) {
            *quote = b'"';
        }
        let mask = if key.len() < 7 { (1 << (8 * (key.len() + 1))) - 1 } else { u64::MAX };
        Self { key, word: u64::from_le_bytes(word), mask }
    }

    #[inline]
    fn is_of(&self, node: &Node, bytes: &[u8]) -> bool {
        if node.key & Node::ESCAPED != 0 {
            return self.is_of_escaped(node, bytes);
        }
        let start = node.key_at();
        let Some(word) = bytes.get(start..).and_then(|rest| rest.first_chunk()) else {
            return self.is_at(bytes, start);
        };
        (u64::from_le_bytes(*word) ^ self.word) & self.mask == 0
            && (self.key.len() < 8 || self.is_at(bytes, start))
    }

    fn is_at(&self, bytes: &[u8], start: usize) -> bool {
        let end = start + self.key.len();
        bytes.get(start..end) == Some(self.key) && bytes.get(end) == Some(&b'"')
    }

    #[cold]
    fn is_of_escaped(&self, node: &Node, bytes: &[u8]) -> bool {
        *unescape(node.raw_key(bytes)) == *self.key
    }
}
