//! The JSON scanner: one pass of bit masks over the bytes, one walk over what they mark.
//!
//! [`Scanner::scan`] accepts exactly the documents that RFC 8259 and `serde_json` accept and
//! leaves a *tape*: one 16-byte [`Node`] per value, in document order, each knowing where its key,
//! its value and its successor are. Nothing is copied out of the document, numbers keep their
//! digits, and fields that nobody asks for are never looked at again.
//!
//! 1. `index` reads 64 bytes at a time and writes a *mark* (a position) for each quote, each
//!    escape in a string, and each bracket, comma, colon and scalar start outside of strings.
//! 2. `walk` reads only the bytes under the marks, checks the grammar and writes the tape; `keys`
//!    finds out for it whether an object has a key twice.
//!
//! Both steps are free of recursion and nearly free of unpredictable branches, which is where the
//! time of a byte-by-byte parser goes.

mod error;
mod find;
mod index;
mod keys;
mod number;
mod portable;
mod text;
mod walk;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(test)]
mod tests;

pub use error::{JsonError, JsonErrorKind};
pub use text::write_escaped;

pub(crate) use find::{Hint, Key, KeyStart, element, find, find_key};
pub(crate) use number::is_json_number;
pub(crate) use text::unescape;

use index::{Marks, Padded};
use keys::Keys;

/// The longest document, in bytes: positions are 30 bits wide.
const LEN_MAX: usize = (1 << 30) - 1;

/// One value of a parsed document. Positions count from the document's first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Node {
    /// Where the key starts, after its quote, with the flag [`Node::ESCAPED`]; 0 for the root and
    /// for array elements.
    pub(crate) key: u32,
    /// Where the value starts, at its quote if it is a string, with the flags [`Node::ESCAPED`]
    /// and [`Node::TWICE`].
    pub(crate) value: u32,
    /// Just after the value's last byte.
    pub(crate) end: u32,
    /// Index, in this document's tape, of the node after this value and all its descendants.
    pub(crate) next: u32,
}

impl Node {
    /// Set on a key or a string that contains a backslash.
    pub(crate) const ESCAPED: u32 = 1 << 31;
    /// Set on an object that has a key twice.
    pub(super) const TWICE: u32 = 1 << 30;
    const POSITION: u32 = Self::TWICE - 1;

    /// Where the key starts, without the flag.
    #[inline]
    pub(crate) fn key_at(&self) -> usize {
        (self.key & Self::POSITION) as usize
    }

    /// Where the value starts, without the flags.
    #[inline]
    pub(crate) fn value_at(&self) -> usize {
        (self.value & Self::POSITION) as usize
    }

    #[cfg(test)]
    fn unmark_key_twice(&mut self) {
        self.value &= !Self::TWICE;
    }

    /// Whether it is an object that has a key twice.
    #[inline]
    pub(crate) fn has_key_twice(&self) -> bool {
        self.value & Self::TWICE != 0
    }
}

/// What a document may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The nesting at which a document is refused: an array or object this deep, counting the
    /// root as 1.
    pub depth: u32,
    /// The most values in a document, containers and array elements included.
    pub fields: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: 128, fields: 10_000 }
    }
}

/// Validates documents, one after the other, reusing its scratch memory.
#[derive(Debug)]
pub(crate) struct Scanner {
    marks: Marks,
    padded: Vec<u8>,
    keys: Box<Keys>,
    steps: Steps,
}

/// The two steps, as they were compiled for some processor.
#[derive(Clone, Copy, Debug)]
struct Steps {
    index: index::Index,
    walk: walk::Walk,
}

impl Steps {
    /// The best that this processor runs.
    fn fastest() -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(steps) = avx2::detect() {
            return steps;
        }
        portable::STEPS
    }
}

impl Default for Scanner {
    fn default() -> Self {
        Self::with_steps(Steps::fastest())
    }
}

impl Scanner {
    fn with_steps(steps: Steps) -> Self {
        Self { marks: Marks::default(), padded: Vec::new(), keys: Box::default(), steps }
    }

    /// The memory that it keeps for the next document, in bytes, roughly.
    pub(crate) fn memory_bytes(&self) -> usize {
        size_of::<Keys>() + self.padded.len() + self.marks.len() * size_of::<u32>()
    }

    /// Marks the objects of a document that have a key twice. For those that were not scanned.
    pub(crate) fn mark_keys_twice(&mut self, document: &[u8], tape: &mut [Node]) {
        self.keys.look_through(document, tape);
    }

    /// Validates the document `bytes[start..end]` and appends its nodes to `tape`: the root first,
    /// then preorder. Says whether an object has a key twice. Nothing is appended on error.
    ///
    /// `bytes` is the whole read buffer. What follows the document has no influence on the result,
    /// but the document is read in place, without a copy, if 8 bytes stand before it and white
    /// space and 63 more bytes behind it; that is so for every line of a buffer but the first and
    /// the last.
    ///
    /// # Panics
    /// If `start..end` is not a range of `bytes`.
    pub(crate) fn scan(
        &mut self,
        bytes: &[u8],
        start: usize,
        end: usize,
        limits: &Limits,
        tape: &mut Vec<Node>,
    ) -> Result<bool, JsonError> {
        if end - start > LEN_MAX {
            return Err(JsonError { kind: JsonErrorKind::TooLong, at: LEN_MAX as u32 });
        }
        let text = Padded::new(bytes, start, end, &mut self.padded);
        let Steps { index, walk } = self.steps;
        let suspects = index(text, &mut self.marks);
        match suspects.first_fault(text) {
            None => walk(text, &self.marks, limits, &mut self.keys, tape),
            Some(fault) => {
                // The first of two faults is the cause, the other often its consequence.
                let length = tape.len();
                let grammar = walk(text, &self.marks, limits, &mut self.keys, tape).err();
                tape.truncate(length);
                Err(grammar.filter(|grammar| grammar.at < fault.at).unwrap_or(fault))
            }
        }
    }
}
