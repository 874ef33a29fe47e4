//! The grammar of numbers.
//!
//! Whole numbers of up to 16 digits, which are most, are checked by masks, because a loop over digits
//! ends unpredictably. So are decimals and negative numbers of up to 16 characters, and whole
//! numbers of up to 32, in a function of their own. The rest go byte by byte.
#![allow(unsafe_code)]

/// The bytes that [`is_number`] may read past the end of the number.
pub(super) const OVERRUN: usize = 17;
/// The bytes that are looked at together.
const WIDTH: u32 = 16;

/// Whether the `len` bytes from `at`, of which `first` is the first, are a number.
///
/// # Safety
/// `len` is not 0, and `len + OVERRUN` bytes are readable from `at`.
#[inline(always)]
pub(super) unsafe fn is_number(at: *const u8, len: u32, first: u8) -> bool {
    // SAFETY: 16 bytes are within the overrun.
    let (digits, _) = unsafe { classify(at.cast()) };
    // A minus is no digit, and there are no more than 16 at the start.
    let whole = digits.trailing_ones() >= len && (first != b'0' || len == 1);
    // SAFETY: the caller's promise.
    whole || unsafe { is_unusual(at, len) }
}

/// The same, for all numbers.
///
/// # Safety
/// As [`is_number`].
#[cold]
#[inline(never)]
unsafe fn is_unusual(at: *const u8, len: u32) -> bool {
    // SAFETY: `len` is not 0, and 16 bytes from the second are within the overrun.
    let (unsigned, digits, points, zero, len_unsigned) = unsafe {
        let minus = u32::from(*at == b'-');
        let unsigned = at.add(minus as usize);
        let (digits, points) = classify(unsigned.cast());
        (unsigned, digits, points, *unsigned == b'0', len - minus)
    };
    if len_unsigned > WIDTH && len_unsigned <= 2 * WIDTH && !zero && digits == low_bits(WIDTH) {
        // SAFETY: `len` is more than 16, so that 33 bytes are within the overrun.
        let (digits, _) = unsafe { classify(unsigned.add(WIDTH as usize).cast()) };
        if !digits & low_bits(len_unsigned - WIDTH) == 0 {
            return true;
        }
    }
    let all = low_bits(len_unsigned);
    let ends = 1 | all ^ (all >> 1);
    let other = !digits & all;
    let leading_zero = zero & (len_unsigned > 1) & (other != 2);
    let common = (len_unsigned.wrapping_sub(1) < WIDTH)
        & (other & !points == 0)
        & (other & other.wrapping_sub(1) == 0)
        & (other & ends == 0)
        & !leading_zero;
    // SAFETY: `len` bytes are readable.
    common || by_grammar(unsafe { std::slice::from_raw_parts(at, len as usize) })
}

/// As many ones as that, up to 31; some number of ones beyond.
#[inline(always)]
fn low_bits(count: u32) -> u32 {
    (1 << (count & 31)) - 1
}

/// Whether the text is a number as JSON writes it.
#[inline]
pub(crate) fn is_json_number(text: &[u8]) -> bool {
    match text {
        [b'0'] => true,
        [b'1'..=b'9', rest @ ..] if rest.iter().all(u8::is_ascii_digit) => true,
        _ => by_grammar(text),
    }
}

/// Which of 16 bytes are digits, and which are points, the first in the lowest bit.
///
/// # Safety
/// The bytes are readable.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn classify(bytes: *const [u8; 16]) -> (u32, u32) {
    use std::arch::x86_64::*;
    // SAFETY: the bytes are readable, and every x86-64 processor has SSE2.
    unsafe {
        let bytes = _mm_loadu_si128(bytes.cast());
        let from_zero = _mm_sub_epi8(bytes, _mm_set1_epi8(b'0' as i8));
        let nine = _mm_set1_epi8(9);
        let digits = _mm_cmpeq_epi8(_mm_max_epu8(from_zero, nine), nine);
        let points = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'.' as i8));
        (_mm_movemask_epi8(digits) as u32, _mm_movemask_epi8(points) as u32)
    }
}

/// Which of 16 bytes are digits, and which are points, the first in the lowest bit.
///
/// # Safety
/// The bytes are readable.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
unsafe fn classify(bytes: *const [u8; 16]) -> (u32, u32) {
    // SAFETY: the bytes are readable.
    let bytes = unsafe { &*bytes };
    let mask = |test: fn(u8) -> bool| {
        bytes.iter().rev().fold(0, |mask, &byte| mask << 1 | u32::from(test(byte)))
    };
    (mask(|byte| byte.is_ascii_digit()), mask(|byte| byte == b'.'))
}

/// `-? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?`
#[cold]
fn by_grammar(number: &[u8]) -> bool {
    let unsigned = number.strip_prefix(b"-").unwrap_or(number);
    let (whole, mut rest) = split_digits(unsigned);
    if whole.is_empty() || whole.len() > 1 && whole[0] == b'0' {
        return false;
    }
    if let [b'.', after @ ..] = rest {
        let fraction;
        (fraction, rest) = split_digits(after);
        if fraction.is_empty() {
            return false;
        }
    }
    if let [b'e' | b'E', after @ ..] = rest {
        let exponent;
        (exponent, rest) = split_digits(match after {
            [b'+' | b'-', unsigned @ ..] => unsigned,
            unsigned => unsigned,
        });
        if exponent.is_empty() {
            return false;
        }
    }
    rest.is_empty()
}

fn split_digits(bytes: &[u8]) -> (&[u8], &[u8]) {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    bytes.split_at(digits)
}
