//! The content of strings: from JSON and to JSON.

use std::borrow::Cow;

/// The text of a string's content as it stands in a valid document, between its quotes.
pub(crate) fn unescape(raw: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr::memchr(b'\\', raw) else { return Cow::Borrowed(raw) };
    let mut text = Vec::with_capacity(raw.len());
    let (mut plain, mut rest) = raw.split_at(first);
    loop {
        text.extend_from_slice(plain);
        rest = unescape_one(rest, &mut text);
        match memchr::memchr(b'\\', rest) {
            Some(next) => (plain, rest) = rest.split_at(next),
            None => {
                text.extend_from_slice(rest);
                return Cow::Owned(text);
            }
        }
    }
}

/// Appends what the escape at the start of `raw` stands for, and returns what follows it. What
/// no valid document contains becomes U+FFFD.
fn unescape_one<'a>(raw: &'a [u8], text: &mut Vec<u8>) -> &'a [u8] {
    let (byte, rest) = match raw {
        [_, b'u', rest @ ..] => return unescape_unicode(rest, text),
        [_, b'b', rest @ ..] => (0x08, rest),
        [_, b'f', rest @ ..] => (0x0c, rest),
        [_, b'n', rest @ ..] => (b'\n', rest),
        [_, b'r', rest @ ..] => (b'\r', rest),
        [_, b't', rest @ ..] => (b'\t', rest),
        [_, byte, rest @ ..] => (*byte, rest),
        _ => (b'\\', [].as_slice()),
    };
    text.push(byte);
    rest
}

fn unescape_unicode<'a>(digits: &'a [u8], text: &mut Vec<u8>) -> &'a [u8] {
    let mut rest = digits.get(4..).unwrap_or_default();
    let mut code = digits.get(..4).and_then(hex4).unwrap_or(u32::from(char::REPLACEMENT_CHARACTER));
    if let 0xd800..0xdc00 = code
        && let [b'\\', b'u', low @ ..] = rest
        && let Some(half @ 0xdc00..0xe000) = low.get(..4).and_then(hex4)
    {
        code = 0x10000 + ((code - 0xd800) << 10) + (half - 0xdc00);
        rest = &low[4..];
    }
    let char = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
    text.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
    rest
}

/// The value of four hexadecimal digits.
pub(super) fn hex4(digits: &[u8]) -> Option<u32> {
    let mut value = 0;
    for &digit in digits {
        value = value << 4 | char::from(digit).to_digit(16)?;
    }
    Some(value)
}

/// Appends `bytes` as the content of a JSON string, without quotes. Escaped is what must be, as
/// `serde_json` does it; what is not UTF-8 becomes U+FFFD.
///
/// # Examples
/// ```
/// let mut out = Vec::new();
/// dpipe_event::write_escaped(&mut out, b"say \"hi\"\n");
/// assert_eq!(out, br#"say \"hi\"\n"#);
/// ```
pub fn write_escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    if is_plain(bytes) {
        out.extend_from_slice(bytes);
        return;
    }
    if std::str::from_utf8(bytes).is_ok() {
        return write_escaped_utf8(out, bytes);
    }
    for chunk in bytes.utf8_chunks() {
        write_escaped_utf8(out, chunk.valid().as_bytes());
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

fn write_escaped_utf8(out: &mut Vec<u8>, mut bytes: &[u8]) {
    loop {
        let (plain, rest) = bytes.split_at(plain_len(bytes));
        out.extend_from_slice(plain);
        let [byte, rest @ ..] = rest else { return };
        let short = match byte {
            0x08 => b'b',
            0x0c => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            b'"' | b'\\' => *byte,
            _ => {
                let digit = |nibble: u8| b"0123456789abcdef"[usize::from(nibble)];
                out.extend_from_slice(&[
                    b'\\',
                    b'u',
                    b'0',
                    b'0',
                    digit(byte >> 4),
                    digit(byte & 15),
                ]);
                bytes = rest;
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', short]);
        bytes = rest;
    }
}

/// Whether bytes are ASCII and need no escape, as most are; found out eight at a time.
#[inline]
fn is_plain(bytes: &[u8]) -> bool {
    let is_plain = |word: u64| {
        let special = equal(word, b'"') | equal(word, b'\\') | below(word, 0x20);
        (special | word) & (ONES << 7) == 0
    };
    // What does not fill a word is looked at together with bytes that were looked at before.
    if let Some(last) = bytes.last_chunk() {
        let (words, _) = bytes.as_chunks::<8>();
        return words.iter().chain([last]).all(|word| is_plain(u64::from_le_bytes(*word)));
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        let [first, last] = [first, last].map(|half| u64::from(u32::from_le_bytes(*half)));
        return is_plain(first | last << 32);
    }
    let spaces = ONES * u64::from(b' ');
    is_plain(bytes.iter().fold(spaces, |word, &byte| word << 8 | u64::from(byte)))
}

/// How many bytes at the start need no escape, found eight at a time.
fn plain_len(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    for (place, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let special = equal(word, b'"') | equal(word, b'\\') | below(word, 0x20);
        if special != 0 {
            return place * 8 + special.trailing_zeros() as usize / 8;
        }
    }
    let is_special = |byte: &u8| matches!(byte, 0..0x20 | b'"' | b'\\');
    bytes.len() - rest.len() + rest.iter().position(is_special).unwrap_or(rest.len())
}

const ONES: u64 = u64::MAX / 255;

/// Sets the high bit of the first byte of `word` that is below `limit` (at most 0x80). Bytes
/// after it may be flagged by mistake, bytes before it are not.
fn below(word: u64, limit: u8) -> u64 {
    word.wrapping_sub(ONES * u64::from(limit)) & !word & (ONES << 7)
}

/// The same for the first byte that is `byte`.
pub(super) fn equal(word: u64, byte: u8) -> u64 {
    below(word ^ (ONES * u64::from(byte)), 1)
}
