//! Tokens of a text: runs of letters and digits (Unicode's Alphabetic and Numeric), in lower case.
//!
//! Texts are read where they lie, without a copy: plain bytes, or JSON with its escapes.

use memchr::memchr;

use crate::ast::Glyph;

/// The bytes of a text, and whether JSON's escapes are in them. A whole JSON body is such a text
/// too: its punctuation separates tokens as any other does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) escaped: bool,
}

impl<'a> Text<'a> {
    /// The characters from byte `at` on, which must be the start of one.
    pub(crate) fn reader(self, at: usize) -> Reader<'a> {
        Reader { text: self, at }
    }

    /// The text with its escapes decoded; for those who cannot read it character by character.
    pub(crate) fn decoded(self) -> String {
        let mut decoded = String::with_capacity(self.bytes.len());
        let mut reader = self.reader(0);
        loop {
            // What stands between two escapes is taken as a whole.
            let rest = self.bytes.get(reader.at..).unwrap_or_default();
            let escape = self.escaped.then(|| memchr(b'\\', rest)).flatten();
            let plain = &rest[..escape.unwrap_or(rest.len())];
            let valid = plain.utf8_chunks().next().map_or("", |chunk| chunk.valid());
            decoded.push_str(valid);
            reader.at += valid.len();
            match reader.next() {
                Some(c) => decoded.push(c),
                None => return decoded,
            }
        }
    }
}

/// Reads a text by its characters. Bytes that are not UTF-8 and lone surrogates are U+FFFD.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    text: Text<'a>,
    at: usize,
}

impl Iterator for Reader<'_> {
    type Item = char;

    #[inline]
    fn next(&mut self) -> Option<char> {
        let byte = *self.text.bytes.get(self.at)?;
        if byte == b'\\' && self.text.escaped {
            return Some(self.escape());
        }
        if byte.is_ascii() {
            self.at += 1;
            return Some(char::from(byte));
        }
        let length = utf8_length(byte);
        let encoded = self.text.bytes.get(self.at..self.at + length);
        match encoded.and_then(|bytes| std::str::from_utf8(bytes).ok()?.chars().next()) {
            Some(c) => {
                self.at += length;
                Some(c)
            }
            None => {
                self.at += 1;
                Some(char::REPLACEMENT_CHARACTER)
            }
        }
    }
}

impl Reader<'_> {
    /// The character that the escape at hand stands for.
    #[cold]
    fn escape(&mut self) -> char {
        let letter = self.text.bytes.get(self.at + 1).copied();
        self.at += 2;
        match letter {
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => self.unicode_escape(),
            Some(other) => char::from(other),
            None => char::REPLACEMENT_CHARACTER,
        }
    }

    fn unicode_escape(&mut self) -> char {
        let Some(first) = self.four_digits() else { return char::REPLACEMENT_CHARACTER };
        if (0xd800..0xdc00).contains(&first) && self.text.bytes[self.at..].starts_with(b"\\u") {
            let mut ahead = Reader { at: self.at + 2, ..*self };
            if let Some(second @ 0xdc00..0xe000) = ahead.four_digits() {
                self.at = ahead.at;
                let c = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return char::from_u32(c).unwrap_or(char::REPLACEMENT_CHARACTER);
            }
        }
        char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER)
    }

    fn four_digits(&mut self) -> Option<u32> {
        let digits = self.text.bytes.get(self.at..self.at + 4)?;
        self.at += 4;
        u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    }

    /// The next character of the token, folded; `None`, and nothing read, at its end.
    #[inline]
    fn token_char(&mut self) -> Option<char> {
        let byte = *self.text.bytes.get(self.at)?;
        if byte.is_ascii_alphanumeric() {
            self.at += 1;
            return Some(char::from(byte.to_ascii_lowercase()));
        }
        if byte.is_ascii() && byte != b'\\' {
            return None;
        }
        let mut ahead = *self;
        let c = ahead.next().filter(|c| is_token_char(*c))?;
        *self = ahead;
        Some(fold(c))
    }

    /// Goes to the start of the next token, from outside of one; whether there is one.
    pub(crate) fn find_token(&mut self) -> bool {
        loop {
            let mut ahead = *self;
            match ahead.next() {
                None => return false,
                Some(c) if is_token_char(c) => return true,
                Some(_) => *self = ahead,
            }
        }
    }

    /// Goes to the end of the token.
    pub(crate) fn skip_token(&mut self) {
        while self.token_char().is_some() {}
    }
}

fn utf8_length(first: u8) -> usize {
    match first {
        0xf0.. => 4,
        0xe0.. => 3,
        _ => 2,
    }
}

pub(crate) fn is_token_char(c: char) -> bool {
    c.is_alphanumeric()
}

/// The character in lower case, one for one: the few that have no single lower case, or an ASCII
/// one (`İ`, the Kelvin sign), stay as they are. So ASCII matches nothing but ASCII, and a search
/// for it may look at bytes.
pub(crate) fn fold(c: char) -> char {
    if c.is_ascii() {
        return c.to_ascii_lowercase();
    }
    let mut lower = c.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(one), None) if !one.is_ascii() => one,
        _ => c,
    }
}

/// What a token has to look like.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token {
    /// These characters, folded.
    Word(Box<str>),
    /// These characters, folded, and any more.
    Prefix(Box<str>),
    /// A pattern of folded characters.
    Pattern(Box<[Glyph]>),
}

impl Token {
    fn new(glyphs: &[Glyph]) -> Token {
        let word = |glyphs: &[Glyph]| {
            glyphs.iter().map(|g| if let Glyph::Char(c) = g { Some(*c) } else { None }).collect()
        };
        if let Some(word) = word(glyphs) {
            return Token::Word(String::into_boxed_str(word));
        }
        if let Some((Glyph::Many, Some(prefix))) = glyphs.split_last().map(|(l, f)| (l, word(f))) {
            return Token::Prefix(String::into_boxed_str(prefix));
        }
        Token::Pattern(glyphs.into())
    }

    /// The longest text that it surely has; and whether it begins with it.
    pub(crate) fn literal(&self) -> (String, bool) {
        match self {
            Token::Word(word) | Token::Prefix(word) => (word.to_string(), true),
            Token::Pattern(glyphs) => {
                let runs = glyphs.split(|glyph| !matches!(glyph, Glyph::Char(_)));
                let run = runs.max_by_key(|run| run.len()).unwrap_or_default();
                let text = run.iter().filter_map(|glyph| match glyph {
                    Glyph::Char(c) => Some(*c),
                    _ => None,
                });
                (text.collect(), false)
            }
        }
    }

    /// Whether the token at hand looks like it; if so, the reader is at its end afterwards.
    pub(crate) fn matches(&self, reader: &mut Reader<'_>) -> bool {
        match self {
            Token::Word(word) => {
                word.chars().all(|c| reader.token_char() == Some(c))
                    && reader.token_char().is_none()
            }
            Token::Prefix(prefix) => {
                let begins = prefix.chars().all(|c| reader.token_char() == Some(c));
                if begins {
                    reader.skip_token();
                }
                begins
            }
            Token::Pattern(glyphs) => glob(glyphs, reader, Reader::token_char),
        }
    }
}

/// The tokens of a term: `foo-b*r` has two. A `*` alone at either end stands for anything and asks
/// for nothing, so it is left out; `None` if a term has no token at all.
pub(crate) fn tokens_of(glyphs: &[Glyph]) -> Option<Box<[Token]>> {
    let is_inside = |glyph: &Glyph| !matches!(glyph, Glyph::Char(c) if !is_token_char(*c));
    let folded: Vec<Glyph> = glyphs.iter().map(|g| fold_glyph(*g)).collect();
    let mut pieces: Vec<&[Glyph]> =
        folded.split(|g| !is_inside(g)).filter(|piece| !piece.is_empty()).collect();
    let is_anything = |piece: &&[Glyph]| piece.iter().all(|g| *g == Glyph::Many);
    while pieces.len() > 1 && pieces.last().is_some_and(is_anything) {
        pieces.pop();
    }
    while pieces.len() > 1 && pieces.first().is_some_and(is_anything) {
        pieces.remove(0);
    }
    (!pieces.is_empty()).then(|| pieces.into_iter().map(Token::new).collect())
}

pub(crate) fn fold_glyph(glyph: Glyph) -> Glyph {
    match glyph {
        Glyph::Char(c) => Glyph::Char(fold(c)),
        other => other,
    }
}

/// Whether the pattern matches all of the (folded) characters that `next` takes from `reader`.
/// Goes back to the last `*` only, so it takes at most pattern × text steps.
pub(crate) fn glob<R: Copy>(
    pattern: &[Glyph],
    reader: &mut R,
    next: impl Fn(&mut R) -> Option<char>,
) -> bool {
    let mut at = 0;
    // Behind the last `*`: the place in the pattern, and the text that it has not taken yet.
    let mut retry: Option<(usize, R)> = None;
    loop {
        let here = *reader;
        let Some(c) = next(reader) else {
            return pattern[at..].iter().all(|glyph| *glyph == Glyph::Many);
        };
        match pattern.get(at) {
            Some(Glyph::Many) => {
                at += 1;
                retry = Some((at, here));
                *reader = here;
            }
            Some(Glyph::One) => at += 1,
            Some(Glyph::Char(wanted)) if *wanted == c => at += 1,
            _ => {
                let Some((after, mut text)) = retry else { return false };
                next(&mut text);
                *reader = text;
                at = after;
                retry = Some((after, text));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glyphs(text: &str) -> Vec<Glyph> {
        text.chars()
            .map(|c| match c {
                '*' => Glyph::Many,
                '?' => Glyph::One,
                c => Glyph::Char(c),
            })
            .collect()
    }

    fn read(bytes: &[u8], escaped: bool) -> String {
        Text { bytes, escaped }.decoded()
    }

    #[test]
    fn escapes_are_decoded_only_where_there_are_any() {
        assert_eq!(read(br#"a\n\"\\\/\u00e9\ud83d\ude00"#, true), "a\n\"\\/é😀");
        assert_eq!(read(br"a\n", false), r"a\n");
    }

    #[test]
    fn what_is_no_text_is_the_replacement_character() {
        assert_eq!(read(b"a\xffb\xe2\x82", false), "a\u{fffd}b\u{fffd}\u{fffd}");
        assert_eq!(read(br"\ud800x\udc00\ud800\u0041", true), "\u{fffd}x\u{fffd}\u{fffd}A");
        assert_eq!(read(br"\uzz", true), "\u{fffd}zz");
        assert_eq!(read(b"\\", true), "\u{fffd}");
    }

    #[test]
    fn a_term_splits_into_the_tokens_of_its_letters_and_digits() {
        let words = |text: &str| {
            let tokens = tokens_of(&glyphs(text));
            tokens.map(|t| t.iter().map(|t| t.literal().0).collect::<Vec<_>>())
        };
        assert_eq!(words("Foo-BAR.1").unwrap(), ["foo", "bar", "1"]);
        assert_eq!(words("ÀÉ_x").unwrap(), ["àé", "x"]);
        assert_eq!(words("-/-"), None);
    }

    #[test]
    fn a_lone_star_at_either_end_of_a_term_asks_for_nothing() {
        assert_eq!(tokens_of(&glyphs("*/api/*")), tokens_of(&glyphs("api")));
        assert_eq!(tokens_of(&glyphs("a-*-b")).unwrap().len(), 3);
        assert_eq!(tokens_of(&glyphs("*")).unwrap().len(), 1);
    }

    #[test]
    fn a_pattern_matches_the_whole_token() {
        let matches = |pattern: &str, text: &str| {
            let mut chars = (text, 0);
            glob(&glyphs(pattern), &mut chars, |(text, at)| {
                let c = text[*at..].chars().next()?;
                *at += c.len_utf8();
                Some(c)
            })
        };
        for (pattern, text) in
            [("a?c", "abc"), ("*", ""), ("*", "x"), ("a*b*c", "axbxbxc"), ("*é?", "xéy")]
        {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("a?c", "ac"), ("a*b", "abx"), ("?", ""), ("*a*b", "b"), ("", "x")]
        {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn folding_is_one_for_one_and_never_leads_into_ascii() {
        assert_eq!("ÀΣẞ".chars().map(fold).collect::<String>(), "àσß");
        assert!(('\u{80}'..=char::MAX).all(|c| !fold(c).is_ascii()));
    }
}
