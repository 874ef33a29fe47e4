//! Step 1: from bytes to marks, 64 bytes at a time.
//!
//! The method is that of Langdale and Lemire, *Parsing Gigabytes of JSON per Second* (2019): a
//! 64-byte block becomes a handful of 64-bit masks with one bit a byte, and what is inside of a
//! string is the prefix xor of the quotes.
#![allow(unsafe_code)]

use super::error::{JsonError, JsonErrorKind};
use super::keys::WORD;

/// Bytes per block.
pub(super) const BLOCK: usize = 64;
/// Marks that are readable after the last one.
pub(super) const LOOK_AHEAD: usize = 8;

/// A document between readable bytes: [`WORD`] of them before it, and at least [`BLOCK`] after it,
/// the first of which can neither be part of a token nor continue one.
#[derive(Clone, Copy)]
pub(super) struct Padded<'a> {
    bytes: &'a [u8],
}

impl<'a> Padded<'a> {
    /// The document `bytes[start..end]`, in place if what lies around it serves as the padding,
    /// else copied into `scratch`.
    pub(super) fn new(bytes: &'a [u8], start: usize, end: usize, scratch: &'a mut Vec<u8>) -> Self {
        if start >= WORD
            && let Some(bytes) = bytes.get(start - WORD..end + BLOCK)
            && bytes[WORD + end - start] <= b' '
        {
            return Self { bytes };
        }
        scratch.clear();
        scratch.resize(WORD, b' ');
        scratch.extend_from_slice(&bytes[start..end]);
        scratch.resize(WORD + end - start + BLOCK, b' ');
        Self { bytes: scratch }
    }

    pub(super) fn len(self) -> usize {
        self.bytes.len() - WORD - BLOCK
    }

    /// The document without its padding.
    pub(super) fn document(self) -> &'a [u8] {
        &self.bytes[WORD..self.bytes.len() - BLOCK]
    }

    /// The document's first byte; the padding may be reached from there.
    pub(super) fn as_ptr(self) -> *const u8 {
        // SAFETY: there are as many bytes.
        unsafe { self.bytes.as_ptr().add(WORD) }
    }
}

/// Ascending positions of interest in one document, followed by sentinels that point at its end.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// Valid up to `len + LOOK_AHEAD`; the rest is old or unwritten.
    at: Vec<u32>,
    len: usize,
}

impl Marks {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The first mark; `len` of them and `LOOK_AHEAD` sentinels are readable.
    pub(super) fn as_ptr(&self) -> *const u32 {
        self.at.as_ptr()
    }

    /// Makes room for a mark on each of `bytes` bytes, the overrun of one [`Simd::emit`] and the
    /// sentinels.
    fn reserve(&mut self, bytes: usize) -> *mut u32 {
        let room = bytes + BLOCK + LOOK_AHEAD;
        if self.at.len() < room {
            self.at.resize(room, 0);
        }
        self.at.as_mut_ptr()
    }
}

/// What the index saw and did not settle.
#[derive(Clone, Copy, Debug)]
pub(super) struct Suspects {
    /// First control character inside of a string.
    control: u32,
    /// The bytes that are not ASCII lie in `first..end`; empty if there are none.
    non_ascii: (u32, u32),
}

impl Suspects {
    /// The first control character in a string or the first byte that is not UTF-8.
    #[inline]
    pub(super) fn first_fault(self, text: Padded<'_>) -> Option<JsonError> {
        let (first, end) = self.non_ascii;
        let utf8 = if first < end { invalid_utf8(text.document(), first, end) } else { None };
        if utf8.is_none() && self.control == u32::MAX {
            return None;
        }
        let control = JsonError { kind: JsonErrorKind::ControlCharacter, at: self.control };
        Some(utf8.filter(|utf8| utf8.at < control.at).unwrap_or(control))
    }
}

/// Checks the part of a document that is not ASCII. Its neighbours are, so it starts and ends
/// between characters if it is valid.
fn invalid_utf8(document: &[u8], first: u32, end: u32) -> Option<JsonError> {
    let fault = std::str::from_utf8(&document[first as usize..end as usize]).err()?;
    Some(JsonError { kind: JsonErrorKind::InvalidUtf8, at: first + fault.valid_up_to() as u32 })
}

/// Writes the marks of a document.
pub(super) type Index = fn(Padded<'_>, &mut Marks) -> Suspects;

/// One block, one bit a byte, the first byte lowest.
pub(super) struct Block {
    pub(super) backslash: u64,
    pub(super) quote: u64,
    /// `{ } [ ] : ,`
    pub(super) bracket: u64,
    /// Space, tab, line feed, carriage return.
    pub(super) space: u64,
    /// Below 0x20.
    pub(super) control: u64,
    /// Above 0x7f.
    pub(super) non_ascii: u64,
}

/// What differs from processor to processor.
pub(super) trait Simd {
    /// Sorts the bytes of one block.
    ///
    /// # Safety
    /// [`BLOCK`] bytes are readable, and the processor has what the implementation needs.
    unsafe fn classify(block: *const u8) -> Block;

    /// Each bit becomes the xor of itself and all lower ones.
    ///
    /// # Safety
    /// The processor has what the implementation needs.
    unsafe fn prefix_xor(bits: u64) -> u64;

    /// Writes `base` plus the place of each set bit, lowest first, and says how many.
    ///
    /// # Safety
    /// [`BLOCK`] marks are writable, and the processor has what the implementation needs.
    unsafe fn emit(bits: u64, base: u32, out: *mut u32) -> usize;

    /// The lowest `count` bytes of a word, all of it if that is 8; if it is more, bytes that are
    /// the same for each count.
    ///
    /// # Safety
    /// The processor has what the implementation needs.
    unsafe fn low_bytes(word: u64, count: u32) -> u64;
}

/// The state that one block hands to the next: each is 0 or 1, but for `in_string`.
#[derive(Default)]
struct Carry {
    /// The first byte is escaped by a backslash in the block before.
    escaped: u64,
    /// All ones if the block starts inside of a string.
    in_string: u64,
    /// The block before ended in a scalar.
    scalar: u64,
}

/// Writes the marks of `text` and the sentinels.
///
/// # Safety
/// The processor has what `S` needs.
#[inline(always)]
pub(super) unsafe fn index<S: Simd>(text: Padded<'_>, marks: &mut Marks) -> Suspects {
    let len = text.len();
    let first = marks.reserve(len);
    let mut out = first;
    let mut carry = Carry::default();
    let mut suspects = Suspects { control: u32::MAX, non_ascii: (u32::MAX, 0) };
    // The marks of one block are written while the next one is classified: either alone is a
    // chain of dependent instructions too long for a processor to see past.
    let (mut pending, mut pending_base) = (0, 0);

    for base in (0..len).step_by(BLOCK) {
        let left = len - base;
        let valid = if left < BLOCK { (1 << left) - 1 } else { u64::MAX };
        // SAFETY: base < len, and BLOCK bytes follow the document.
        let block = unsafe { S::classify(text.as_ptr().add(base)) };

        let (escape, escaped) = escapes(block.backslash, &mut carry.escaped);
        let quote = block.quote & !escaped;
        // SAFETY: as this function.
        let in_string = unsafe { S::prefix_xor(quote) } ^ carry.in_string;
        carry.in_string = (in_string as i64 >> 63) as u64;

        let scalar = !(block.bracket | block.space | quote);
        let scalar_start = scalar & !(scalar << 1 | carry.scalar);
        carry.scalar = scalar >> 63;

        let outside = (block.bracket | scalar_start) & !in_string;
        // SAFETY: at most one mark was written per byte so far, and there is room for one per
        // byte and BLOCK more.
        out = unsafe { out.add(S::emit(pending, pending_base, out)) };
        pending = (outside | quote | escape & in_string) & valid;
        pending_base = base as u32;

        let control = block.control & in_string & valid;
        if control != 0 && suspects.control == u32::MAX {
            suspects.control = base as u32 + control.trailing_zeros();
        }
        let non_ascii = block.non_ascii & valid;
        if non_ascii != 0 {
            let (first, end) = &mut suspects.non_ascii;
            *first = (*first).min(base as u32 + non_ascii.trailing_zeros());
            *end = base as u32 + 64 - non_ascii.leading_zeros();
        }
    }

    // SAFETY: as above, and there is room for the sentinels after the last mark.
    unsafe {
        out = out.add(S::emit(pending, pending_base, out));
        marks.len = out.offset_from_unsigned(first);
        std::slice::from_raw_parts_mut(out, LOOK_AHEAD).fill(len as u32);
    }
    suspects
}

/// The backslashes that start an escape, and the bytes that one escapes. Every second backslash
/// of a run is itself escaped, so the subtraction's carry runs through each run of backslashes
/// and its parity against the odd bits tells which.
#[inline(always)]
fn escapes(backslash: u64, carry: &mut u64) -> (u64, u64) {
    const ODD: u64 = 0xaaaa_aaaa_aaaa_aaaa;
    let first_escaped = *carry;
    let candidate = backslash & !first_escaped;
    let parity = ((candidate << 1 | ODD).wrapping_sub(candidate)) ^ ODD;
    let escape = parity & backslash;
    *carry = escape >> 63;
    (escape, parity ^ (backslash | first_escaped))
}
