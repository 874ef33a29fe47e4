//! Finds consecutive tokens in a text.

use memchr::{memchr, memchr2_iter, memmem};

use crate::tokens::{Text, Token, is_token_char};

/// Consecutive tokens to look for.
#[derive(Clone, Debug)]
pub(crate) struct Phrase {
    tokens: Box<[Token]>,
    landmark: Option<Landmark>,
}

/// The rarest ASCII letter or digit of how the first token must begin. Looking for this byte, in
/// both cases, skips most of a text.
#[derive(Clone, Copy, Debug)]
struct Landmark {
    lower: u8,
    upper: u8,
    offset: usize,
}

/// Letters and digits, the most usual in logs first.
const USUAL: &[u8] = b"etaoin0srh1ld2cum3f4p5g6w7y8b9vkxjqz";

impl Phrase {
    /// At least one token.
    pub(crate) fn new(tokens: Box<[Token]>) -> Phrase {
        let beginning = tokens[0].beginning();
        let rarity = |byte: u8| USUAL.iter().position(|b| *b == byte);
        let landmark = beginning.bytes().enumerate().max_by_key(|(_, byte)| rarity(*byte));
        let landmark = landmark.filter(|_| beginning.is_ascii()).map(|(offset, lower)| Landmark {
            lower,
            upper: lower.to_ascii_uppercase(),
            offset,
        });
        Phrase { tokens, landmark }
    }

    /// Whether the text has these tokens, one after the other.
    pub(crate) fn is_in(&self, text: Text<'_>) -> bool {
        let spelled_out = text.escaped && memmem::find(text.bytes, b"\\u").is_some();
        match self.landmark {
            Some(landmark) if !spelled_out => self.is_at_a_landmark(text, landmark),
            _ => self.is_at_a_token(text),
        }
    }

    fn is_at_a_landmark(&self, text: Text<'_>, landmark: Landmark) -> bool {
        memchr2_iter(landmark.lower, landmark.upper, text.bytes).any(|found| {
            found
                .checked_sub(landmark.offset)
                .is_some_and(|start| is_token_start(text, start) && self.is_at(text, start))
        })
    }

    fn is_at(&self, text: Text<'_>, start: usize) -> bool {
        let mut reader = text.reader(start);
        self.tokens
            .iter()
            .enumerate()
            .all(|(i, token)| (i == 0 || reader.find_token()) && token.matches(&mut reader))
    }

    fn is_at_a_token(&self, text: Text<'_>) -> bool {
        let mut reader = text.reader(0);
        while reader.find_token() {
            let mut ahead = reader;
            let found = self
                .tokens
                .iter()
                .enumerate()
                .all(|(i, token)| (i == 0 || ahead.find_token()) && token.matches(&mut ahead));
            if found {
                return true;
            }
            reader.skip_token();
        }
        false
    }
}

/// Whether no letter or digit stands before `at`. There must be no `\u` in an escaped text.
fn is_token_start(text: Text<'_>, at: usize) -> bool {
    let before = &text.bytes[..at];
    let Some(&last) = before.last() else { return true };
    if text.escaped {
        if is_escaping(before) {
            return false; // `at` is the letter of an escape
        }
        if last.is_ascii_alphabetic() && is_escaping(&before[..at - 1]) {
            return true; // `last` is one: a control character
        }
    }
    if last.is_ascii() {
        return !last.is_ascii_alphanumeric();
    }
    let from = (1..=4.min(at)).find(|n| before[at - n] & 0xc0 != 0x80).unwrap_or(1);
    match std::str::from_utf8(&before[at - from..]) {
        Ok(c) => !c.chars().all(is_token_char),
        Err(_) => true,
    }
}

/// Whether a backslash at the end of these bytes escapes what follows.
fn is_escaping(bytes: &[u8]) -> bool {
    bytes.iter().rev().take_while(|b| **b == b'\\').count() % 2 == 1
}

/// The text of a JSON document: keys and values.
pub(crate) fn json_text(bytes: &[u8]) -> Text<'_> {
    Text { bytes, escaped: memchr(b'\\', bytes).is_some() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ast::Glyph;
    use crate::tokens::tokens_of;

    fn phrase(words: &str) -> Phrase {
        let glyph = |c| if c == '*' { Glyph::Many } else { Glyph::Char(c) };
        Phrase::new(tokens_of(&words.chars().map(glyph).collect::<Vec<_>>()).unwrap())
    }

    fn plain(words: &str, text: impl AsRef<[u8]>) -> bool {
        phrase(words).is_in(Text { bytes: text.as_ref(), escaped: false })
    }

    fn escaped(words: &str, text: &str) -> bool {
        phrase(words).is_in(Text { bytes: text.as_bytes(), escaped: true })
    }

    #[test]
    fn a_token_is_found_whole_and_in_any_case() {
        assert!(plain("error", "an ERROR occurred"));
        assert!(plain("error", "error"));
        assert!(plain("error", "code=Error."));
        assert!(!plain("error", "errors terror error5 éerror errorß"));
        assert!(plain("error", b"\xe9error\xe9"));
    }

    #[test]
    fn a_phrase_is_consecutive_tokens() {
        assert!(plain("out of memory", "OOM: out-of  memory!"));
        assert!(!plain("out memory", "out of memory"));
        assert!(plain("a b", "a a b"));
        assert!(!plain("a b c", "a b"));
    }

    #[test]
    fn a_prefix_may_be_followed_by_more_tokens() {
        assert!(plain("conn* refused", "Connection refused"));
        assert!(!plain("conn* refused", "Connection was refused"));
    }

    #[test]
    fn other_alphabets_have_lower_case_too() {
        assert!(plain("ошибка", "Ошибка: нет памяти"));
        assert!(!plain("ошибка", "Ошибками"));
        assert!(plain("a ошибка", "A ОШИБКА"));
    }

    #[test]
    fn letters_of_escapes_are_no_letters_of_tokens() {
        assert!(escaped("word", r"line\nword"));
        assert!(!escaped("nword", r"line\nword"));
        assert!(escaped("nword", r"line\\nword"));
        assert!(!escaped("word", r"line\\nword"));
        assert!(escaped("line", r#"\"line\""#));
        assert!(escaped("line next", r"line\tnext"));
    }

    #[test]
    fn characters_that_are_spelled_out_are_read() {
        assert!(escaped("error", r"\u0045rror"));
        assert!(escaped("café", r"caf\u00E9"));
        assert!(!escaped("caf", r"caf\u00E9"));
        assert!(!escaped("u0045rror", r"\u0045rror"));
    }
}
