//! Both steps for every processor. Step 1: classes from a table, gathered eight bytes at a time.
#![allow(unsafe_code)]

use super::index::{self, BLOCK, Block, Simd};
use super::{Steps, walk};

const BACKSLASH: u8 = 1;
const QUOTE: u8 = 2;
const BRACKET: u8 = 4;
const SPACE: u8 = 8;
const CONTROL: u8 = 16;
const NON_ASCII: u8 = 32;

/// The classes of each byte.
const CLASS: [u8; 256] = {
    let mut class = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        class[byte] = match byte as u8 {
            b'\\' => BACKSLASH,
            b'"' => QUOTE,
            b'{' | b'}' | b'[' | b']' | b':' | b',' => BRACKET,
            b' ' => SPACE,
            b'\t' | b'\n' | b'\r' => SPACE | CONTROL,
            0..0x20 => CONTROL,
            0x80.. => NON_ASCII,
            _ => 0,
        };
        byte += 1;
    }
    class
};

/// Both steps.
pub(super) const STEPS: Steps = Steps {
    // SAFETY: `Portable` needs nothing of the processor.
    index: |text, marks| unsafe { index::index::<Portable>(text, marks) },
    // SAFETY: the same.
    walk: |text, marks, limits, keys, tape| unsafe {
        walk::walk::<Portable>(text, marks, limits, keys, tape)
    },
};

pub(super) struct Portable;

impl Simd for Portable {
    #[inline(always)]
    unsafe fn classify(block: *const u8) -> Block {
        // SAFETY: the caller promises BLOCK readable bytes.
        let bytes = unsafe { &*block.cast::<[u8; BLOCK]>() };
        let mut masks = [0; 6];
        for (word, eight) in bytes.as_chunks::<8>().0.iter().enumerate() {
            let classes = u64::from_le_bytes(eight.map(|byte| CLASS[byte as usize]));
            for (class, mask) in masks.iter_mut().enumerate() {
                *mask |= gather(classes >> class) << (8 * word);
            }
        }
        let [backslash, quote, bracket, space, control, non_ascii] = masks;
        Block { backslash, quote, bracket, space, control, non_ascii }
    }

    #[inline(always)]
    unsafe fn prefix_xor(mut bits: u64) -> u64 {
        for shift in [1, 2, 4, 8, 16, 32] {
            bits ^= bits << shift;
        }
        bits
    }

    #[inline(always)]
    unsafe fn emit(mut bits: u64, base: u32, out: *mut u32) -> usize {
        let count = bits.count_ones() as usize;
        for place in 0..count {
            // SAFETY: count ≤ BLOCK, and the caller promises room for BLOCK marks.
            unsafe { out.add(place).write(base + bits.trailing_zeros()) };
            bits &= bits - 1;
        }
        count
    }

    #[inline(always)]
    unsafe fn low_bytes(word: u64, count: u32) -> u64 {
        if count < 8 { word & ((1 << (8 * count)) - 1) } else { word }
    }
}

/// The lowest bit of each byte, in the lowest byte: the product moves the bit of byte `i` to
/// place `56 + i`, and no two of its terms meet.
#[inline(always)]
fn gather(bytes: u64) -> u64 {
    (bytes & 0x0101_0101_0101_0101).wrapping_mul(0x0102_0408_1020_4080) >> 56
}
