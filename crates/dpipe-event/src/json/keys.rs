//! Whether an object has a key twice, asked at each key of the walk.
//!
//! A key is mixed with the object it stands in; the result names a place in a table of nodes. A
//! place that no node of this document has taken settles it: the key is new. If there is one, the
//! two are compared, and if they differ the key goes to the next place, as in any hash table; so
//! the answer is exact. Equal keys have equal places, however they are spelled. Documents that make
//! this long, which takes keys chosen for it, get their keys sorted instead, after the walk.
#![allow(unsafe_code)]

use std::borrow::Cow;

use super::Node;
use super::find::{children, is_at};
use super::index::Simd;
use super::text::unescape;

/// Bytes that are readable before a document, which the last word of its first key may take.
pub(super) const WORD: usize = 8;
/// Far more than most documents have keys, so that few keys find their place taken; and so few that
/// all fit into a first cache.
const PLACES: usize = 1 << PLACE_BITS;
const PLACE_BITS: u32 = 12;
/// Places looked at beyond the first in one document, and siblings passed.
const STEPS_MAX: u32 = 4096;
/// Odd, without a pattern: 2^64 divided by the golden ratio.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// The keys that the document at hand has had so far.
#[derive(Debug)]
pub(super) struct Keys {
    /// The nodes whose keys belong there, counted over all documents.
    places: [u32; PLACES],
    multiplier: u64,
    /// The number of this document's first node; all before it are of the past.
    base: u32,
    /// The number of the next document's first node, or less.
    next_base: u32,
    steps: u32,
    /// An object has a key twice.
    twice: bool,
}

impl Default for Keys {
    fn default() -> Self {
        Keys {
            places: [0; PLACES],
            multiplier: MULTIPLIER,
            base: 0,
            next_base: 1,
            steps: 0,
            twice: false,
        }
    }
}

impl Keys {
    /// Starts on a document with at most so many nodes.
    #[inline]
    pub(super) fn begin(&mut self, nodes_max: usize) {
        let nodes_max = nodes_max as u32;
        self.base = self.next_base;
        self.next_base = match self.base.checked_add(nodes_max) {
            Some(next) => next,
            None => self.begin_anew(nodes_max),
        };
        self.steps = STEPS_MAX;
        self.twice = false;
    }

    /// Goes on as if there had been so many nodes.
    #[cfg(test)]
    pub(super) fn pass(&mut self, nodes: u32) {
        self.next_base = self.next_base.max(nodes);
    }

    /// Counts nodes from the start again; says the number of the next document's first.
    #[cold]
    fn begin_anew(&mut self, nodes_max: u32) -> u32 {
        self.places.fill(0);
        self.base = 1;
        self.base + nodes_max
    }

    /// The place of a key that starts behind the quote at `open` and ends before the quote at
    /// `close`, in an object that is told by its node from the others of the document.
    ///
    /// # Safety
    /// `open < close`, and [`WORD`] bytes are readable before `text` and from `open`.
    #[inline(always)]
    pub(super) unsafe fn place<S: Simd>(
        &self,
        text: *const u8,
        open: u32,
        close: u32,
        object: u32,
    ) -> usize {
        // With the opening quote, so that no length is 0.
        let len = close - open;
        // SAFETY: the caller's promise, and `close` is not before `text`.
        let (first, last) = unsafe {
            let first = text.add(open as usize).cast::<u64>().read_unaligned();
            let last = text.add(close as usize).sub(WORD).cast::<u64>().read_unaligned();
            (u64::from_le(first), u64::from_le(last))
        };
        // SAFETY: the caller is compiled for `S`.
        let first = unsafe { S::low_bytes(first, len) };
        // Of a short key, the same bytes; of a longer one, those at its end, as many as there are
        // beyond a multiple of eight. So each of up to 15 bytes counts, and most of others.
        let last = last >> (len.wrapping_mul(8).wrapping_neg() & 63);
        let digest = first.wrapping_add(last << 1).wrapping_add(u64::from(object));
        (digest.wrapping_mul(self.multiplier) >> (64 - PLACE_BITS)) as usize
    }

    /// The place of a key that has escapes: that of its text.
    #[cold]
    pub(super) fn place_of_text<S: Simd>(&self, text: &[u8], object: u32) -> usize {
        let mut padded = vec![0; WORD];
        padded.push(b'"');
        padded.extend_from_slice(text);
        let close = padded.len();
        padded.resize(close + WORD, 0);
        // SAFETY: a word before the quote, and one behind the text.
        unsafe { self.place::<S>(padded.as_ptr(), WORD as u32, close as u32, object) }
    }

    /// Gives a place to a node of this document; false if it is taken already.
    #[inline(always)]
    pub(super) fn take(&mut self, place: usize, node: u32) -> bool {
        debug_assert!(place < self.places.len());
        // SAFETY: a place has only so many bits.
        let entry = unsafe { self.places.get_unchecked_mut(place) };
        let is_free = *entry < self.base;
        if is_free {
            *entry = self.base + node;
        }
        is_free
    }

    /// Finds a place for a key, given as in a node, whose own is taken. `nodes` are those of the
    /// document so far, `object` among them; the next one has the key.
    #[cold]
    #[inline(never)]
    pub(super) fn settle(
        &mut self,
        mut place: usize,
        document: &[u8],
        nodes: &mut [Node],
        object: usize,
        key: u32,
    ) {
        let text = text_of(document, key);
        while self.places[place] >= self.base {
            let other = self.places[place] - self.base;
            if has_key(document, &nodes[other as usize], key, &text)
                && self.is_member(nodes, other, object)
            {
                nodes[object].value |= Node::TWICE;
                self.twice = true;
                return;
            }
            if self.steps == 0 {
                return;
            }
            self.steps -= 1;
            place = (place + 1) % PLACES;
        }
        self.places[place] = self.base + nodes.len() as u32;
    }

    /// Whether a node is a member of an object.
    fn is_member(&mut self, nodes: &[Node], node: u32, object: usize) -> bool {
        let mut member = object as u32 + 1;
        while member < node && self.steps > 0 {
            self.steps -= 1;
            member = nodes[member as usize].next;
        }
        member == node
    }

    /// Whether any object of the document, which is complete, has a key twice. Those that do are
    /// marked.
    #[inline]
    pub(super) fn finish(&mut self, document: &[u8], tape: &mut [Node]) -> bool {
        if self.steps == 0 {
            self.sort(document, tape);
        }
        self.twice
    }

    #[cold]
    fn sort(&mut self, document: &[u8], tape: &mut [Node]) {
        let mut keys = Vec::new();
        for object in 0..tape.len() {
            if document[tape[object].value_at()] != b'{' {
                continue;
            }
            keys.clear();
            let members = children(tape, object as u32);
            keys.extend(members.map(|(_, member)| text_of(document, member.key)));
            keys.sort_unstable();
            if keys.array_windows().any(|[one, other]| one == other) {
                tape[object].value |= Node::TWICE;
                self.twice = true;
            }
        }
    }
}

/// Whether a node has a key, given as in a node and as a text.
fn has_key(document: &[u8], node: &Node, key: u32, text: &[u8]) -> bool {
    match (node.key | key) & Node::ESCAPED {
        0 => is_at(document, node.key_at(), text),
        _ => *text_of(document, node.key) == *text,
    }
}

/// The text of a key, given as in a node.
pub(super) fn text_of(document: &[u8], key: u32) -> Cow<'_, [u8]> {
    let node = Node { key, value: 0, end: 0, next: 0 };
    let raw = node.raw_key(document);
    if key & Node::ESCAPED == 0 { Cow::Borrowed(raw) } else { unescape(raw) }
}
