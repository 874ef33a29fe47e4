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
use super::portable::Portable;
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
    /// `close`, in an object that is told by its number from the others of the document.
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
        // SAFETY: the caller's promise, and `close` is not before `text`.
        let (first, last) = unsafe {
            let first = text.add(open as usize).cast::<u64>().read_unaligned();
            let last = text.add(close as usize).sub(WORD).cast::<u64>().read_unaligned();
            (u64::from_le(first), u64::from_le(last))
        };
        // SAFETY: the caller is compiled for `S`.
        unsafe { self.place_of::<S>(first, last, close - open, object) }
    }

    /// The place of a key by the first word and the last of its text with the quote before it.
    ///
    /// # Safety
    /// The processor has what `S` needs.
    #[inline(always)]
    unsafe fn place_of<S: Simd>(&self, first: u64, last: u64, len: u32, object: u32) -> usize {
        // SAFETY: the caller's promise.
        let first = unsafe { S::low_bytes(first, len) };
        // Of a short key, the same bytes; of a longer one, those at its end, as many as there are
        // beyond a multiple of eight. So each of up to 15 bytes counts, and most of others.
        let last = last >> (len.wrapping_mul(8).wrapping_neg() & 63);
        let digest = first.wrapping_add(last << 1).wrapping_add(u64::from(object));
        (digest.wrapping_mul(self.multiplier) >> (64 - PLACE_BITS)) as usize
    }

    /// The same for a key that lies anywhere: its text with the quote before it.
    ///
    /// # Safety
    /// The processor has what `S` needs.
    #[inline]
    unsafe fn place_anywhere<S: Simd>(&self, quoted: &[u8], object: u32) -> usize {
        let (mut first, mut last) = ([0; WORD], [0; WORD]);
        if let (Some(start), Some(end)) = (quoted.first_chunk(), quoted.last_chunk()) {
            (first, last) = (*start, *end);
        } else {
            first[..quoted.len()].copy_from_slice(quoted);
            last[WORD - quoted.len()..].copy_from_slice(quoted);
        }
        let (first, last) = (u64::from_le_bytes(first), u64::from_le_bytes(last));
        // SAFETY: the caller's promise.
        unsafe { self.place_of::<S>(first, last, quoted.len() as u32, object) }
    }

    /// The place of a key that has escapes, given as in a node: that of its text.
    ///
    /// # Safety
    /// The processor has what `S` needs.
    #[cold]
    pub(super) unsafe fn place_of_escaped<S: Simd>(
        &self,
        document: &[u8],
        key: u32,
        object: u32,
    ) -> usize {
        let quoted = [b"\"", &*text_of(document, key)].concat();
        // SAFETY: the caller's promise.
        unsafe { self.place_anywhere::<S>(&quoted, object) }
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

    /// Finds a place for a key, given as in a node, whose own is taken. It is that of the node `node`;
    /// `nodes` are those before it, `object` among them.
    #[cold]
    #[inline(never)]
    pub(super) fn settle(
        &mut self,
        mut place: usize,
        document: &[u8],
        nodes: &mut [Node],
        object: usize,
        (node, key): (u32, u32),
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
        self.places[place] = self.base + node;
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

    /// Marks the objects of a document that have a key twice, where nobody walked over it.
    pub(super) fn look_through(&mut self, document: &[u8], tape: &mut [Node]) {
        self.begin(tape.len());
        for object in 0..tape.len() {
            let mut at = object + 1;
            while at < tape[object].next as usize {
                let node = tape[at];
                if node.key == 0 {
                    break; // It is an array.
                }
                // SAFETY: `Portable` needs nothing of the processor.
                let place = unsafe {
                    match node.key & Node::ESCAPED {
                        0 => {
                            let quoted = &document[node.key_at() - 1..key_end(document, &node)];
                            self.place_anywhere::<Portable>(quoted, object as u32)
                        }
                        _ => self.place_of_escaped::<Portable>(document, node.key, object as u32),
                    }
                };
                if !self.take(place, at as u32) {
                    self.settle(place, document, tape, object, (at as u32, node.key));
                }
                at = node.next as usize;
            }
        }
        self.finish(document, tape);
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

/// Where the key of a node ends that has no escapes.
fn key_end(document: &[u8], node: &Node) -> usize {
    // As documents are written mostly; else there is space before the colon or behind it.
    match document.get(..node.value_at()) {
        Some([before @ .., b'"', b':']) => before.len(),
        _ => node.key_at() + node.raw_key(document).len(),
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
