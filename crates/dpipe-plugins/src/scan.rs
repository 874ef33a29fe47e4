//! Scanners for what is known by name in texts: digits, addresses, quotes.
//!
//! Each finds the next match at or after a position, in time linear in what it passes over, so that
//! a whole text takes linear time whatever it holds.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;

/// Appends the text with everything that `find` finds replaced; or nothing and `false`, if it finds
/// nothing. `find` gets the text and where to start; what it finds is never empty.
#[inline]
pub(crate) fn replace(
    text: &[u8],
    out: &mut Vec<u8>,
    placeholder: &[u8],
    mut find: impl FnMut(&[u8], usize) -> Option<Range<usize>>,
) -> bool {
    let mut at = 0;
    let mut any = false;
    while let Some(found) = find(text, at) {
        any = true;
        out.extend_from_slice(&text[at..found.start]);
        out.extend_from_slice(placeholder);
        at = found.end;
    }
    if any {
        out.extend_from_slice(&text[at..]);
    }
    any
}

/// A run of digits.
pub(crate) fn digits(text: &[u8], at: usize) -> Option<Range<usize>> {
    let start = next_digit(text, at)?;
    Some(start..end_of(text, start + 1, |byte| byte.is_ascii_digit()))
}

/// `0x` and hexadecimal digits, or 8 or more of them with both a letter and a digit.
pub(crate) fn hex(text: &[u8], mut at: usize) -> Option<Range<usize>> {
    loop {
        let word = around(text, at, next_digit(text, at)?, is_word);
        let bytes = &text[word.clone()];
        let found = match bytes {
            [b'0', b'x' | b'X', digits @ ..] => !digits.is_empty() && all_hex(digits),
            _ => bytes.len() >= 8 && all_hex(bytes) && bytes.iter().any(u8::is_ascii_alphabetic),
        };
        if found {
            return Some(word);
        }
        at = word.end;
    }
}

/// 8-4-4-4-12 hexadecimal digits that are no part of a longer word.
pub(crate) fn uuid(text: &[u8], at: usize) -> Option<Range<usize>> {
    const LEN: usize = 36;
    memchr::memchr_iter(b'-', text.get(at..)?).find_map(|hyphen| {
        let start = (at + hyphen).checked_sub(8).filter(|start| *start >= at)?;
        let bytes = text.get(start..start + LEN)?;
        let groups = [8, 13, 18, 23];
        let fits = groups.iter().all(|group| bytes[*group] == b'-')
            && bytes.iter().enumerate().all(|(i, b)| groups.contains(&i) || b.is_ascii_hexdigit());
        let stands_alone = !word_before(text, start) && !text.get(start + LEN).is_some_and(is_word);
        (fits && stands_alone).then_some(start..start + LEN)
    })
}

/// An IPv4 or IPv6 address. It may stand before or after a colon (`host:10.0.0.1:80`) and before a
/// full stop.
pub(crate) fn ip(text: &[u8], mut at: usize) -> Option<Range<usize>> {
    loop {
        let token = around(text, at, next_digit(text, at)?, is_address_byte);
        at = token.end;
        if let Some(found) = address_in(text, token) {
            return Some(found);
        }
    }
}

fn address_in(text: &[u8], token: Range<usize>) -> Option<Range<usize>> {
    let count = |wanted: u8| text[token.clone()].iter().filter(|byte| **byte == wanted).count();
    let stands_alone = |range: &Range<usize>| {
        !word_before(text, range.start) && !text.get(range.end).is_some_and(is_word)
    };
    if count(b':') >= 2 {
        let end = token.start + text[token.clone()].trim_suffix_byte(b'.').len();
        for end in [end, end - usize::from(text[end - 1] == b':')] {
            let range = token.start..end;
            if stands_alone(&range) && parse::<IpAddr>(&text[range.clone()]) {
                return Some(range);
            }
        }
    }
    if count(b'.') < 3 {
        return None;
    }
    let mut start = token.start;
    text[token].split(|byte| *byte == b':').find_map(|piece| {
        let range = start..start + piece.trim_suffix_byte(b'.').len();
        start += piece.len() + 1;
        (stands_alone(&range) && parse::<Ipv4Addr>(&text[range.clone()])).then_some(range)
    })
}

trait TrimSuffix {
    fn trim_suffix_byte(&self, suffix: u8) -> &Self;
}

impl TrimSuffix for [u8] {
    fn trim_suffix_byte(&self, suffix: u8) -> &[u8] {
        match self {
            [rest @ .., last] if *last == suffix => rest,
            _ => self,
        }
    }
}

fn parse<T: std::str::FromStr>(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| text.parse::<T>().is_ok())
}

/// Text in quotes. It remembers which kind of quote is open to the end of the text, so that many
/// of them do not each look for the other one.
#[derive(Default)]
pub(crate) struct Quoted {
    no_more_double: bool,
    no_more_single: bool,
}

impl Quoted {
    /// The next text in quotes.
    pub(crate) fn find(&mut self, text: &[u8], at: usize) -> Option<Range<usize>> {
        let quotes = memchr::memchr2_iter(b'"', b'\'', text.get(at..)?).map(|i| at + i);
        for open in quotes {
            let close = match text[open] {
                b'"' if !self.no_more_double => {
                    let close = closing_double(text, open + 1);
                    self.no_more_double = close.is_none();
                    close
                }
                b'\'' if !self.no_more_single && !word_before(text, open) => {
                    let close = closing_single(text, open + 1);
                    self.no_more_single = close.is_none();
                    close
                }
                _ => None,
            };
            if let Some(close) = close {
                return Some(open..close + 1);
            }
        }
        None
    }
}

/// The next double quote without a backslash before it.
fn closing_double(text: &[u8], from: usize) -> Option<usize> {
    let mut quotes = memchr::memchr_iter(b'"', &text[from..]).map(|i| from + i);
    quotes.find(|quote| *quote == from || text[quote - 1] != b'\\')
}

/// The next single quote at the end of a word.
fn closing_single(text: &[u8], from: usize) -> Option<usize> {
    let mut quotes = memchr::memchr_iter(b'\'', &text[from..]).map(|i| from + i);
    quotes.find(|quote| !text.get(quote + 1).is_some_and(is_word))
}

fn is_word(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || *byte == b'_'
}

fn is_address_byte(byte: &u8) -> bool {
    byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':')
}

fn all_hex(bytes: &[u8]) -> bool {
    bytes.iter().all(u8::is_ascii_hexdigit)
}

fn word_before(text: &[u8], at: usize) -> bool {
    at > 0 && is_word(&text[at - 1])
}

/// The longest piece around `inside`, not before `at`, of bytes that are `wanted`.
fn around(text: &[u8], at: usize, inside: usize, wanted: fn(&u8) -> bool) -> Range<usize> {
    let before = text[at..inside].iter().rev().take_while(|byte| wanted(byte)).count();
    inside - before..end_of(text, inside + 1, wanted)
}

fn end_of(text: &[u8], from: usize, wanted: impl Fn(&u8) -> bool) -> usize {
    let rest = text[from..].iter();
    from + rest.take_while(|byte| wanted(byte)).count()
}

/// The next digit: eight bytes at a time, as most text has few.
fn next_digit(text: &[u8], at: usize) -> Option<usize> {
    const HIGH: u64 = 0x8080_8080_8080_8080;
    const LOW_BITS: u64 = !HIGH;
    const ZEROS: u64 = 0x3030_3030_3030_3030;
    /// Carries a byte of 10 or more into its high bit.
    const FROM_TEN: u64 = 0x7676_7676_7676_7676;

    let mut chunks = text.get(at..)?.chunks_exact(8);
    let mut start = at;
    for chunk in &mut chunks {
        let bytes = u64::from_le_bytes(chunk.try_into().expect("chunks of eight"));
        // `0`-`9` become 0 to 9, and everything else 10 or more.
        let from_zero = bytes ^ ZEROS;
        let others = ((from_zero & LOW_BITS) + FROM_TEN) | from_zero;
        let digits = !others & HIGH;
        if digits != 0 {
            return Some(start + digits.trailing_zeros() as usize / 8);
        }
        start += 8;
    }
    let rest = chunks.remainder();
    rest.iter().position(u8::is_ascii_digit).map(|i| start + i)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The text with each match in brackets.
    fn marked(text: &str, mut find: impl FnMut(&[u8], usize) -> Option<Range<usize>>) -> String {
        let mut out = String::new();
        let mut at = 0;
        while let Some(found) = find(text.as_bytes(), at) {
            out += &format!("{}[{}]", &text[at..found.start], &text[found.clone()]);
            at = found.end;
        }
        out + &text[at..]
    }

    #[test]
    fn digits_are_found_wherever_they_stand() {
        assert_eq!(marked("", digits), "");
        assert_eq!(marked("no", digits), "no");
        assert_eq!(marked("7", digits), "[7]");
        assert_eq!(marked("user42 took 1.50s: /:9", digits), "user[42] took [1].[50]s: /:[9]");
    }

    #[test]
    fn hexadecimal_words_have_a_prefix_or_are_long_and_mixed() {
        assert_eq!(marked("at 0xDEADbeef, 0x, 0xfg", hex), "at [0xDEADbeef], 0x, 0xfg");
        assert_eq!(
            marked("deadbee1 deadbeef 12345678 dead1", hex),
            "[deadbee1] deadbeef 12345678 dead1"
        );
        assert_eq!(marked("x_deadbee1 key=0a1b2c3d4e5f.", hex), "x_deadbee1 key=[0a1b2c3d4e5f].");
    }

    #[test]
    fn uuids_stand_alone() {
        let uuid_text = "0b2f6c1e-7d5c-4b0e-9d0a-1f0c5d2b3a49";
        assert_eq!(marked(uuid_text, uuid), format!("[{uuid_text}]"));
        let two = format!("a-{uuid_text},{uuid_text}-b");
        assert_eq!(marked(&two, uuid), format!("a-[{uuid_text}],[{uuid_text}]-b"));
        for text in [format!("x{uuid_text}"), format!("{uuid_text}f"), uuid_text.replace('c', "g")]
        {
            assert_eq!(marked(&text, uuid), text);
        }
    }

    #[test]
    fn addresses_are_found_with_ports_and_at_the_end_of_sentences() {
        assert_eq!(marked("from 10.0.0.1.", ip), "from [10.0.0.1].");
        assert_eq!(marked("10.0.0.1:8080, ip:10.0.0.2:", ip), "[10.0.0.1]:8080, ip:[10.0.0.2]:");
        assert_eq!(marked("[2a01:e0a::1]:80 fe80::1: x", ip), "[[2a01:e0a::1]]:80 [fe80::1]: x");
        assert_eq!(marked("::ffff:1.2.3.4 1::", ip), "[::ffff:1.2.3.4] [1::]");
    }

    #[test]
    fn what_only_looks_like_an_address_is_none() {
        for text in [
            "12:30:45",
            "1.2.3",
            "1.2.3.4.5",
            "256.1.1.1",
            "v1.2.3.4",
            "1.2.3.4x",
            "std::vec",
            "ab::cd",
            "2024-06-01T10:00:00.000",
        ] {
            assert_eq!(marked(text, ip), text);
        }
    }

    #[test]
    fn quotes_come_in_pairs_and_apostrophes_are_none() {
        let quoted = |text: &str| {
            let mut quoted = Quoted::default();
            marked(text, |text, at| quoted.find(text, at))
        };
        assert_eq!(quoted(r#"say "hi" and 'bye'."#), r#"say ["hi"] and ['bye']."#);
        assert_eq!(quoted(r#"don't "x \" y" can't"#), r#"don't ["x \" y"] can't"#);
        assert_eq!(quoted(r#"an 'isn't it' one"#), r#"an ['isn't it'] one"#);
        assert_eq!(quoted(r#"open " and 'open"#), r#"open " and 'open"#);
        assert_eq!(quoted(r#""" 'a "b"#), r#"[""] 'a "b"#);
    }

    #[test]
    fn a_text_of_open_quotes_is_read_in_linear_time() {
        // Quadratic, this would take minutes.
        let text = r#"'a "b" "#.repeat(200_000);
        let mut quoted = Quoted::default();
        let mut out = Vec::new();
        assert!(replace(text.as_bytes(), &mut out, b"", |text, at| quoted.find(text, at)));
    }

    proptest! {
        #[test]
        fn the_next_digit_is_the_one_a_loop_finds(
            text in proptest::collection::vec(any::<u8>(), 0..40), at in 0..45_usize,
        ) {
            let naive = (at..text.len()).find(|&i| text[i].is_ascii_digit());
            prop_assert_eq!(next_digit(&text, at), naive);
        }

        #[test]
        fn every_scanner_moves_on_within_any_text(text in "[0-9a-fx:.'\" -]{0,60}") {
            let mut quoted = Quoted::default();
            let bytes = text.as_bytes();
            for find in [digits, hex, uuid, ip] {
                let mut at = 0;
                while let Some(found) = find(bytes, at) {
                    prop_assert!(at <= found.start && found.start < found.end);
                    at = found.end;
                }
            }
            let mut at = 0;
            while let Some(found) = quoted.find(bytes, at) {
                prop_assert!(at <= found.start && found.start < found.end);
                at = found.end;
            }
        }
    }
}
