//! Finds consecutive tokens in a text.

use memchr::{memchr, memchr2_iter, memmem};

use crate::tokens::{Reader, Text, Token, is_token_char};

/// Consecutive tokens to look for.
#[derive(Clone, Debug)]
pub(crate) struct Phrase {
    tokens: Box<[Token]>,
    landmark: Option<Landmark>,
}

/// ASCII letters and digits that the first token surely has. Looking for the rarest of them, in
/// both cases, skips most of a text.
#[derive(Clone, Debug)]
struct Landmark {
    literal: Box<[u8]>,
    /// Where the rarest one is in `literal`, and its two cases.
    rarest: usize,
    lower: u8,
    upper: u8,
    /// Whether the token begins with them.
    begins: bool,
}

/// Letters and digits, the most usual in logs first.
const USUAL: &[u8] = b"etaoin0srh1ld2cum3f4p5g6w7y8b9vkxjqz";

impl Phrase {
    /// At least one token.
    pub(crate) fn new(tokens: Box<[Token]>) -> Phrase {
        let landmark = Landmark::of(&tokens[0]);
        Phrase { tokens, landmark }
    }

    /// Whether the text has these tokens, one after the other.
    pub(crate) fn is_in(&self, text: Text<'_>) -> bool {
        let spelled_out = text.escaped && memmem::find(text.bytes, b"\\u").is_some();
        match &self.landmark {
            Some(landmark) if !spelled_out => {
                let mut places = landmark.places(text.bytes);
                if landmark.begins {
                    places.any(|at| is_token_start(text, at) && self.is_at(text.reader(at)))
                } else {
                    places.next().is_some() && self.is_at_a_token(text)
                }
            }
            _ => self.is_at_a_token(text),
        }
    }

    fn is_at_a_token(&self, text: Text<'_>) -> bool {
        let mut reader = text.reader(0);
        while reader.find_token() {
            if self.is_at(reader) {
                return true;
            }
            reader.skip_token();
        }
        false
    }

    /// Whether the tokens are there from the start of the one at hand.
    fn is_at(&self, mut reader: Reader<'_>) -> bool {
        self.tokens
            .iter()
            .enumerate()
            .all(|(i, token)| (i == 0 || reader.find_token()) && token.matches(&mut reader))
    }
}

impl Landmark {
    fn of(token: &Token) -> Option<Landmark> {
        let (literal, begins) = token.literal();
        if !literal.is_ascii() {
            return None;
        }
        let rarity = |byte: u8| USUAL.iter().position(|usual| *usual == byte);
        let (rarest, lower) = literal.bytes().enumerate().max_by_key(|(_, b)| rarity(*b))?;
        let upper = lower.to_ascii_uppercase();
        Some(Landmark { literal: literal.into_bytes().into(), rarest, lower, upper, begins })
    }

    /// Where these letters and digits are in a text, in any case.
    fn places<'a>(&'a self, text: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
        memchr2_iter(self.lower, self.upper, text).filter_map(|found| {
            let start = found.checked_sub(self.rarest)?;
            let there = text.get(start..start + self.literal.len())?;
            there.eq_ignore_ascii_case(&self.literal).then_some(start)
        })
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
    fn a_wildcard_may_stand_anywhere_in_a_token() {
        assert!(plain("*fus*", "was REFUSED"));
        assert!(plain("r*fu*d", "ref refused"));
        assert!(plain("*é*", "a caFÉs"));
        assert!(!plain("*fus*", "ref-used"));
        assert!(!plain("a*z", "a z az1"));
        assert!(escaped("*fus*", r"\u0052e\u0046used"));
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
