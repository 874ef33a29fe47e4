//! Both steps with AVX2, carry-less multiplication and bit manipulation instructions.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::index::{self, Block, Marks, Padded, Simd, Suspects};
use super::keys::Keys;
use super::{JsonError, Limits, Node, Steps, walk};

/// Both steps, if this processor can run them.
pub(super) fn detect() -> Option<Steps> {
    let able = is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("lzcnt")
        && is_x86_feature_detected!("pclmulqdq")
        && is_x86_feature_detected!("popcnt");
    able.then_some(Steps {
        // SAFETY: the processor has what the function names.
        index: |text, marks| unsafe { index_avx2(text, marks) },
        // SAFETY: the same.
        walk: |text, marks, limits, keys, tape| unsafe {
            walk_avx2(text, marks, limits, keys, tape)
        },
    })
}

#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,pclmulqdq,popcnt")]
fn index_avx2(text: Padded<'_>, marks: &mut Marks) -> Suspects {
    // SAFETY: this function's features are those that `Avx2` needs.
    unsafe { index::index::<Avx2>(text, marks) }
}

#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,pclmulqdq,popcnt")]
fn walk_avx2(
    text: Padded<'_>,
    marks: &Marks,
    limits: &Limits,
    keys: &mut Keys,
    tape: &mut Vec<Node>,
) -> Result<bool, JsonError> {
    // SAFETY: this function's features are those that `Avx2` needs.
    unsafe { walk::walk::<Avx2>(text, marks, limits, keys, tape) }
}

struct Avx2;

/// The white space byte that ends in each low nibble, or one that does not.
const SPACE: [u8; 16] = [b' ', 0, 0, 0, 0, 0, 0, 0, 0, b'\t', b'\n', 0, 0, b'\r', 0, 0];
/// The same for brackets, with bit 5 set, which is all that tells `[` from `{` and `]` from `}`.
const BRACKET: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, b':', b'{', b',', b'}', 0, 0];

impl Simd for Avx2 {
    #[inline(always)]
    unsafe fn classify(block: *const u8) -> Block {
        // SAFETY: the caller's promise.
        unsafe { classify(&*block.cast()) }
    }

    #[inline(always)]
    unsafe fn prefix_xor(bits: u64) -> u64 {
        // SAFETY: the caller's promise.
        unsafe { prefix_xor(bits) }
    }

    #[inline(always)]
    unsafe fn emit(bits: u64, base: u32, out: *mut u32) -> usize {
        // SAFETY: the caller's promise.
        unsafe { emit(bits, base, out) }
    }

    #[inline(always)]
    unsafe fn low_bytes(word: u64, count: u32) -> u64 {
        // SAFETY: the caller's promise.
        unsafe { _bzhi_u64(word, 8 * count) }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn classify(block: &[[u8; 32]; 2]) -> Block {
    // SAFETY: 32 readable bytes.
    let load = |half: &[u8; 32]| unsafe { _mm256_loadu_si256(half.as_ptr().cast()) };
    // SAFETY: 16 readable bytes.
    let table = |bytes: &[u8; 16]| unsafe {
        _mm256_broadcastsi128_si256(_mm_loadu_si128(bytes.as_ptr().cast()))
    };
    let (low, high) = (load(&block[0]), load(&block[1]));
    let mask = |low: __m256i, high: __m256i| {
        let [low, high] = [low, high].map(|test| _mm256_movemask_epi8(test) as u32);
        u64::from(low) | u64::from(high) << 32
    };
    let equal = |byte: u8| {
        let byte = _mm256_set1_epi8(byte as i8);
        mask(_mm256_cmpeq_epi8(low, byte), _mm256_cmpeq_epi8(high, byte))
    };
    let (spaces, brackets) = (table(&SPACE), table(&BRACKET));
    let is_space = |half| _mm256_cmpeq_epi8(_mm256_shuffle_epi8(spaces, half), half);
    let is_bracket = |half| {
        let folded = _mm256_or_si256(half, _mm256_set1_epi8(0x20));
        _mm256_cmpeq_epi8(_mm256_shuffle_epi8(brackets, half), folded)
    };
    let is_control = |half| {
        let highest = _mm256_set1_epi8(0x1f);
        _mm256_cmpeq_epi8(_mm256_max_epu8(half, highest), highest)
    };
    let control = mask(is_control(low), is_control(high));
    Block {
        backslash: equal(b'\\'),
        quote: equal(b'"'),
        // 0x0c and 0x1a look like `,` and `:` when bit 5 is set.
        bracket: mask(is_bracket(low), is_bracket(high)) & !control,
        space: mask(is_space(low), is_space(high)),
        control,
        non_ascii: mask(low, high),
    }
}

/// The carry-less product with all ones.
#[inline]
#[target_feature(enable = "pclmulqdq")]
fn prefix_xor(bits: u64) -> u64 {
    let bits = _mm_set_epi64x(0, bits as i64);
    _mm_cvtsi128_si64(_mm_clmulepi64_si128(bits, _mm_set1_epi8(-1), 0)) as u64
}

/// Eight bits at a time by table, always all eight bytes: the number of marks in a block is
/// unpredictable, and a branch on it costs more than the work saved.
///
/// # Safety
/// 64 marks are writable.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn emit(bits: u64, base: u32, out: *mut u32) -> usize {
    // How many bits are set in each byte, and by the product, in it and all lower ones.
    let pairs = bits - (bits >> 1 & 0x5555_5555_5555_5555);
    let fours = (pairs & 0x3333_3333_3333_3333) + (pairs >> 2 & 0x3333_3333_3333_3333);
    let counts = (fours + (fours >> 4)) & 0x0f0f_0f0f_0f0f_0f0f;
    let so_far = counts.wrapping_mul(0x0101_0101_0101_0101);
    let before = so_far << 8;
    let mut bases = _mm256_set1_epi32(base as i32);
    for byte in 0..8 {
        let places = &PLACES[(bits >> (8 * byte)) as usize & 0xff];
        let offset = (before >> (8 * byte)) as usize & 0xff;
        // SAFETY: offset ≤ 8 × byte, so that the eight marks lie within the first 64.
        unsafe {
            let places = _mm256_cvtepu8_epi32(_mm_loadl_epi64(places.as_ptr().cast()));
            let marks = _mm256_add_epi32(places, bases);
            _mm256_storeu_si256(out.add(offset).cast(), marks);
        }
        bases = _mm256_add_epi32(bases, _mm256_set1_epi32(8));
    }
    (so_far >> 56) as usize
}

/// The places of the set bits of each byte, lowest first.
static PLACES: [[u8; 8]; 256] = {
    let mut table = [[0; 8]; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut bit, mut count) = (0, 0);
        while bit < 8 {
            if byte >> bit & 1 == 1 {
                table[byte][count] = bit;
                count += 1;
            }
            bit += 1;
        }
        byte += 1;
    }
    table
};
