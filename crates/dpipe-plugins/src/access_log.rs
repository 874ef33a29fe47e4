//! The lines of web servers in the common and the combined log format, cut into their parts.
//!
//! ```text
//! host ident user [time] "request" code size "referer" "agent" …
//! ```
//!
//! <https://httpd.apache.org/docs/2.4/logs.html#combined>. The common format ends at the size.

use dpipe_plugin::DecodeError;
use memchr::{memchr, memchr2, memmem};

/// The parts of a line as they stand in it. Texts are without their quotes and brackets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AccessLine<'a> {
    pub(crate) remote_addr: &'a [u8],
    pub(crate) ident: &'a [u8],
    pub(crate) user: &'a [u8],
    pub(crate) time: &'a [u8],
    pub(crate) request: Quoted<'a>,
    pub(crate) code: &'a [u8],
    pub(crate) size: &'a [u8],
    pub(crate) referer: Option<Quoted<'a>>,
    pub(crate) agent: Option<Quoted<'a>>,
    /// What follows, without the space before it.
    pub(crate) rest: &'a [u8],
}

/// What stands between two quotes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quoted<'a> {
    pub(crate) text: &'a [u8],
    /// Whether there is a backslash in it.
    pub(crate) is_escaped: bool,
}

impl<'a> AccessLine<'a> {
    /// Cuts a line.
    ///
    /// # Errors
    /// `missing_field` and `unclosed_quote`.
    #[inline]
    pub(crate) fn cut(line: &'a [u8]) -> Result<Self, DecodeError> {
        let missing = |what: &'static str| move || DecodeError::new("missing_field", what);
        let (remote_addr, rest) = word(line).ok_or_else(missing("there is no host"))?;
        let (ident, rest) = word(rest).ok_or_else(missing("there is no ident"))?;
        // Names of users may hold spaces.
        let end = end_of_user(rest).ok_or_else(missing("there is no time in brackets"))?;
        let (user, rest) = (&rest[..end], &rest[end + 2..]);
        let end = memchr(b']', rest).ok_or_else(missing("the time has no end"))?;
        let time = &rest[..end];
        let rest = rest[end + 1..].strip_prefix(b" \"");
        let rest = rest.ok_or_else(missing("there is no request in quotes"))?;
        let (request, rest) = Quoted::cut(rest).ok_or_else(|| unclosed("request"))?;
        let (code, rest) = word_or_rest(rest);
        let (size, rest) = word_or_rest(rest);
        if code.is_empty() || size.is_empty() {
            return Err(missing("there is no status code and size")());
        }
        let (referer, rest) = optional(rest, "referer")?;
        let (agent, rest) = if referer.is_some() { optional(rest, "agent")? } else { (None, rest) };
        Ok(AccessLine { remote_addr, ident, user, time, request, code, size, referer, agent, rest })
    }
}

impl<'a> Quoted<'a> {
    /// Cuts what follows a quote at the next one that a space or the end of the line follows; gives
    /// what follows that space, too.
    #[inline]
    pub(crate) fn cut(text: &'a [u8]) -> Option<(Quoted<'a>, &'a [u8])> {
        let mut is_escaped = false;
        let mut at = 0;
        loop {
            at += memchr2(b'"', b'\\', text.get(at..)?)?;
            if text[at] == b'\\' {
                is_escaped = true;
                at += 2;
                continue;
            }
            let quoted = Quoted { text: &text[..at], is_escaped };
            match text[at + 1..] {
                [] => return Some((quoted, &[])),
                [b' ', ref rest @ ..] => return Some((quoted, rest)),
                _ => at += 1,
            }
        }
    }

    /// Appends the text without its escapes: those of Apache (`\"`, `\\`, `\t`, `\xhh`), which
    /// nginx writes as well.
    pub(crate) fn unescape(&self, out: &mut Vec<u8>) {
        let mut rest = self.text;
        while let Some(at) = memchr(b'\\', rest) {
            out.extend_from_slice(&rest[..at]);
            let (byte, len) = match rest[at + 1..] {
                [b'x', high, low, ..] if let Some(byte) = hex(high, low) => (byte, 4),
                [b'n', ..] => (b'\n', 2),
                [b'r', ..] => (b'\r', 2),
                [b't', ..] => (b'\t', 2),
                [b'v', ..] => (0x0b, 2),
                [b'b', ..] => (0x08, 2),
                [byte @ (b'"' | b'\\'), ..] => (byte, 2),
                _ => (b'\\', 1),
            };
            out.push(byte);
            rest = &rest[at + len..];
        }
        out.extend_from_slice(rest);
    }
}

fn hex(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    Some((digit(high)? << 4 | digit(low)?) as u8)
}

fn unclosed(what: &str) -> DecodeError {
    DecodeError::new("unclosed_quote", format!("the {what} has no closing quote"))
}

/// A quoted text, if one stands here.
#[inline]
fn optional<'a>(rest: &'a [u8], what: &str) -> Result<(Option<Quoted<'a>>, &'a [u8]), DecodeError> {
    match rest {
        [b'"', text @ ..] => {
            let (quoted, rest) = Quoted::cut(text).ok_or_else(|| unclosed(what))?;
            Ok((Some(quoted), rest))
        }
        _ => Ok((None, rest)),
    }
}

/// Up to the next space, which is there; not empty.
#[inline]
fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    // Most are a few bytes long, for which a call of memchr is too much.
    let end = text.iter().position(|byte| *byte == b' ').filter(|end| *end > 0)?;
    Some((&text[..end], &text[end + 1..]))
}

/// Up to the next space or the end.
#[inline]
pub(crate) fn word_or_rest(text: &[u8]) -> (&[u8], &[u8]) {
    match text.iter().position(|byte| *byte == b' ') {
        Some(end) => (&text[..end], &text[end + 1..]),
        None => (text, &[]),
    }
}

/// Where ` [` follows.
#[inline]
fn end_of_user(text: &[u8]) -> Option<usize> {
    match text {
        [b'-', b' ', b'[', ..] => Some(1),
        _ => memmem::find(text, b" ["),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_ends_a_text_only_before_a_space_or_the_end() {
        let cut = |text: &str| {
            let (quoted, rest) = Quoted::cut(text.as_bytes())?;
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            Some((text(quoted.text), quoted.is_escaped, text(rest)))
        };
        assert_eq!(cut(r#"a" b"#), Some(("a".into(), false, "b".into())));
        assert_eq!(cut(r#"a\" b" c"#), Some((r#"a\" b"#.into(), true, "c".into())));
        assert_eq!(cut(r#"a"b"c""#), Some((r#"a"b"c"#.into(), false, String::new())));
        assert_eq!(cut(r#""#), None);
        assert_eq!(cut(r#"a\"#), None);
        assert_eq!(cut(r#"a\\""#), Some((r"a\\".into(), true, String::new())));
    }

    #[test]
    fn escapes_of_apache_and_of_nginx_are_undone() {
        let undone = |text: &str| {
            let mut out = Vec::new();
            Quoted { text: text.as_bytes(), is_escaped: true }.unescape(&mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(undone(r#"a\x22b\"c\\d\te\xc3\xA9"#), "a\"b\"c\\d\te\u{e9}");
        assert_eq!(undone(r"\xg1\q\x2"), r"\xg1\q\x2");
        assert_eq!(undone("\\"), "\\");
    }
}
