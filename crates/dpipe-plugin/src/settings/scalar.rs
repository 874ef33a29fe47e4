//! Single values, kept as their text.

use std::borrow::Cow;
use std::fmt;

use super::{Node, NodeValue};

/// What a scalar was taken for where it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScalarKind {
    /// Nothing.
    Null,
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Integer,
    /// A number with a fraction, an exponent, or none (`.inf`, `.nan`).
    Float,
    /// Anything else.
    String,
}

/// A single value, kept as its text: numbers lose no digit before somebody asks for a number.
#[derive(Clone, PartialEq, Eq)]
pub struct Scalar {
    /// What it was taken for.
    pub kind: ScalarKind,
    /// The text, after unquoting and substitution.
    pub text: String,
    /// Whether it stood in quotes (or in a block), and so is a string for certain.
    pub quoted: bool,
    /// The pieces of the text that were put in for a `${…}`.
    pub substituted: Vec<Substituted>,
}

/// A piece of a text that came from the environment or from a file, and so may be a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Substituted {
    /// The `${…}` as written.
    pub written: String,
    /// What was put in its place.
    pub value: String,
}

impl fmt::Debug for Substituted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

/// Never shows what was substituted.
impl fmt::Debug for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}(", self.kind)?;
        if self.substituted.is_empty() {
            write!(f, "{:?})", self.text)
        } else {
            write!(f, "{:?})", self.substituted)
        }
    }
}

impl Scalar {
    /// A string that stood in quotes.
    #[must_use]
    pub fn quoted(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { kind: ScalarKind::String, text, quoted: true, substituted: Vec::new() }
    }

    /// A scalar whose kind is known from its notation.
    #[must_use]
    pub fn of_kind(kind: ScalarKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into(), quoted: false, substituted: Vec::new() }
    }

    /// A scalar without quotes, taken for what it looks like by the core schema of YAML 1.2.
    #[must_use]
    pub fn plain(text: impl Into<String>) -> Self {
        let text = text.into();
        let kind = match text.as_str() {
            "" | "~" | "null" | "Null" | "NULL" => ScalarKind::Null,
            "true" | "True" | "TRUE" | "false" | "False" | "FALSE" => ScalarKind::Bool,
            _ if is_integer(&text) => ScalarKind::Integer,
            _ if is_float(&text) => ScalarKind::Float,
            _ => ScalarKind::String,
        };
        Self::of_kind(kind, text)
    }

    /// Whether any part of the text came from outside of the file.
    #[must_use]
    pub fn is_substituted(&self) -> bool {
        !self.substituted.is_empty()
    }

    pub(super) fn as_bool(&self) -> Option<bool> {
        // What was substituted counts as what it reads like, even in quotes.
        let counts = self.kind == ScalarKind::Bool || self.is_substituted();
        match self.text.trim() {
            text if counts && text.eq_ignore_ascii_case("true") => Some(true),
            text if counts && text.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        }
    }

    /// Sign and magnitude, if this is a whole number of a size that computers count in.
    pub(super) fn as_integer(&self) -> Option<(bool, u128)> {
        (self.kind == ScalarKind::Integer || self.is_substituted())
            .then(|| integer(self.text.trim()))
            .flatten()
    }

    pub(super) fn as_float(&self) -> Option<f64> {
        match self.kind {
            ScalarKind::Integer | ScalarKind::Float => float(&self.text),
            ScalarKind::String if self.is_substituted() => float(self.text.trim()),
            _ => None,
        }
    }

    /// The text, if this can be read as a string: numbers can, as they were written (`1.10`).
    pub(super) fn as_text(&self) -> Option<&str> {
        match self.kind {
            ScalarKind::Null => None,
            ScalarKind::Bool => self.is_substituted().then_some(&self.text),
            ScalarKind::Integer | ScalarKind::Float | ScalarKind::String => Some(&self.text),
        }
    }
}

fn is_integer(text: &str) -> bool {
    let digits = |text: &str, radix| !text.is_empty() && text.chars().all(|c| c.is_digit(radix));
    match text.as_bytes() {
        [b'0', b'x', ..] => digits(&text[2..], 16),
        [b'0', b'o', ..] => digits(&text[2..], 8),
        [b'+' | b'-', ..] => digits(&text[1..], 10),
        _ => digits(text, 10),
    }
}

fn is_float(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    // What Rust takes for a float and YAML does not are `inf`, `nan` and `infinity`.
    unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && unsigned.bytes().any(|byte| byte.is_ascii_digit())
        && text.parse::<f64>().is_ok()
}

fn integer(text: &str) -> Option<(bool, u128)> {
    let (negative, digits) = match text.as_bytes() {
        [b'-', ..] => (true, &text[1..]),
        [b'+', ..] => (false, &text[1..]),
        _ => (false, text),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x', ..] => (16, &digits[2..]),
        [b'0', b'o', ..] => (8, &digits[2..]),
        [b'0', b'b', ..] => (2, &digits[2..]),
        _ => (10, digits),
    };
    // `from_str_radix` would take a second sign.
    let plain = digits.starts_with(|c: char| c.is_ascii_alphanumeric());
    let magnitude = plain.then(|| u128::from_str_radix(digits, radix).ok()).flatten()?;
    Some((negative, magnitude))
}

fn float(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    match unsigned.strip_prefix('.').unwrap_or(unsigned).to_ascii_lowercase().as_str() {
        "inf" => Some(if text.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY }),
        "nan" => Some(f64::NAN),
        _ if unsigned.starts_with("0x")
            || unsigned.starts_with("0o")
            || unsigned.starts_with("0b") =>
        {
            integer(text).map(|(negative, magnitude)| {
                #[allow(clippy::cast_precision_loss, reason = "a float was asked for")]
                let magnitude = magnitude as f64;
                if negative { -magnitude } else { magnitude }
            })
        }
        _ if unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') => text.parse().ok(),
        _ => None,
    }
}

impl Substituted {
    pub(super) fn redact_in(&self, message: &mut String) {
        /// A value of a character or three keeps no secret, and would be found in any sentence.
        const HIDDEN_ANYWHERE_FROM: usize = 4;

        let value = self.value.trim();
        // A default stands in the file for all to read.
        if self.written.contains(value) {
            return;
        }
        let escaped = value.escape_debug().to_string();
        let forms = if escaped == value { vec![value] } else { vec![value, &escaped] };
        for value in forms {
            if value.len() >= HIDDEN_ANYWHERE_FROM {
                *message = message.replace(value, &self.written);
            } else if !value.is_empty() {
                for quote in ['`', '"', '\''] {
                    let (from, to) = (format!("{quote}{value}{quote}"), &self.written);
                    *message = message.replace(&from, &format!("{quote}{to}{quote}"));
                }
            }
        }
        for quote in ['`', '"', '\''] {
            let parts: Vec<&str> = message.split(quote).collect();
            let is_part = |part: &str| {
                let part = part.trim_end_matches('…');
                part.len() >= HIDDEN_ANYWHERE_FROM && value.contains(part)
            };
            if parts.iter().any(|part| is_part(part)) {
                let shown = parts.iter().map(|p| if is_part(p) { &*self.written } else { *p });
                *message = shown.collect::<Vec<_>>().join(&quote.to_string());
            }
        }
    }
}

/// Values that came from outside of the configuration's files, to be kept out of whatever is said
/// later on.
#[derive(Clone, Debug, Default)]
pub struct Secrets(Vec<Substituted>);

impl Secrets {
    /// Those in a tree.
    #[must_use]
    pub fn of(root: &Node) -> Secrets {
        fn collect(node: &Node, found: &mut Vec<Substituted>) {
            match &node.value {
                NodeValue::Scalar(scalar) => found.extend_from_slice(&scalar.substituted),
                NodeValue::List(items) => items.iter().for_each(|item| collect(item, found)),
                NodeValue::Map(entries) => {
                    entries.iter().for_each(|entry| collect(&entry.value, found));
                }
            }
        }
        let mut found = Vec::new();
        collect(root, &mut found);
        // A shorter one is a word of every day, and a default stands in the file for all to read.
        found.retain(|piece| {
            let value = piece.value.trim();
            value.len() >= Self::LENGTH_MIN && !piece.written.contains(value)
        });
        found.sort_by_key(|piece| std::cmp::Reverse(piece.value.len()));
        found.dedup();
        Secrets(found)
    }

    const LENGTH_MIN: usize = 8;

    /// The text with the `${…}` as written in the place of each.
    #[must_use]
    pub fn hidden_in<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut text = Cow::Borrowed(text);
        for piece in &self.0 {
            let value = piece.value.trim();
            for form in [value, &value.escape_debug().to_string()] {
                if text.contains(form) {
                    text = Cow::Owned(text.replace(form, &piece.written));
                }
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_are_what_the_core_schema_says() {
        let kind = |text: &str| Scalar::plain(text).kind;
        for text in ["", "~", "null", "NULL"] {
            assert_eq!(kind(text), ScalarKind::Null, "{text}");
        }
        for text in ["true", "False"] {
            assert_eq!(kind(text), ScalarKind::Bool, "{text}");
        }
        for text in ["0", "-12", "+7", "0123", "0x1F", "0o17", "123456789012345678901234567890"] {
            assert_eq!(kind(text), ScalarKind::Integer, "{text}");
        }
        for text in ["1.5", ".5", "1.", "1e3", "-1.5E-7", ".inf", "-.INF", ".nan"] {
            assert_eq!(kind(text), ScalarKind::Float, "{text}");
        }
        for text in [
            "yes", "no", "on", "1_000", "inf", "nan", "-", "+", ".", "0x", "1:30", "- 1", "e5",
            "1.2.3", "-.nan",
        ] {
            assert_eq!(kind(text), ScalarKind::String, "{text}");
        }
    }

    #[test]
    fn whole_numbers_keep_every_digit_and_know_their_radix() {
        let of = |text: &str| Scalar::plain(text).as_integer();
        assert_eq!(of("-0123"), Some((true, 123)));
        assert_eq!(of("0x1f"), Some((false, 31)));
        assert_eq!(of("0o17"), Some((false, 15)));
        assert_eq!(of("18446744073709551616"), Some((false, 1 << 64)));
        assert_eq!(of("1.5"), None);
        assert_eq!(Scalar::plain("0x10").as_float(), Some(16.0));
        assert_eq!(Scalar::plain("-.inf").as_float(), Some(f64::NEG_INFINITY));
    }
}
