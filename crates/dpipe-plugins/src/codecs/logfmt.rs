//! Lines of `key=value` pairs, as Go programs and Heroku write them.
//!
//! Decoding: pairs are separated by space. A value is a word, or a text in double quotes with the
//! escapes of JSON; a key without `=` is `true`. By `types`, words become numbers, `true`, `false`
//! and `null` (what is quoted stays a text); or the types of some keys are given, and all others are
//! texts. Numbers keep their digits; those with an exponent stay texts, as they are rather parts of
//! a hash.
//!
//! Decode errors: `unclosed_quote`, `no_pair` (a text without any `=`), `too_many_fields`. Flagged:
//! `unconvertible`, a value that is not of the type given for its key; it stays a text.
//!
//! Encoding: a pair for each value, those within objects under keys joined by points, lists as JSON
//! in quotes. What a key cannot hold is written as `_`. Texts that would be read as something else
//! are quoted.
//!
//! ```yaml
//! type: logfmt
//! ```

mod encode;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use dpipe_event::{RecordKey, RecordWriter, Timestamp};
use dpipe_plugin::{
    BuildContext, BuildError, DecodeError, DecoderConfig, DecoderSpec, Encoder, EncoderConfig,
    EncoderSpec, Parsed, Parser,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use self::encode::LogfmtEncoder;
use crate::types::Type;

/// How to read `key=value` pairs.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Decode {
    /// Which values become something else than texts.
    types: Types,
    /// The most pairs in a text.
    fields_max: usize,
}

/// Writes `key=value` pairs; there is nothing to configure.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Encode {}

/// Which values become something else than texts.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Types {
    By(Guess),
    /// Those of some keys.
    Of(BTreeMap<String, Type>),
}

/// Whether types are guessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Guess {
    /// Words that look like numbers, `true`, `false` or `null` become them.
    Auto,
    /// Every value is a text.
    None,
}

impl Default for Decode {
    fn default() -> Self {
        Decode { types: Types::By(Guess::Auto), fields_max: 1000 }
    }
}

impl<'de> Deserialize<'de> for Types {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TypesVisitor)
    }
}

struct TypesVisitor;

impl<'de> Visitor<'de> for TypesVisitor {
    type Value = Types;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`auto`, `none`, or a map of keys to types")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Types, E> {
        Guess::deserialize(StrDeserializer::new(text)).map(Types::By)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Types, A::Error> {
        BTreeMap::deserialize(MapAccessDeserializer::new(map)).map(Types::Of)
    }
}

impl JsonSchema for Types {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TypesOfPairs".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let of = generator.subschema_for::<BTreeMap<String, Type>>();
        json_schema!({
            "description": "`auto`: words that look like numbers, `true`, `false` or `null` become \
                            them. `none`: every value is a text. Or the types of some keys.",
            "anyOf": [{ "enum": ["auto", "none"] }, of]
        })
    }
}

impl DecoderConfig for Decode {
    const NAME: &'static str = "logfmt";
}

impl DecoderSpec for Decode {
    fn parser(&self, _: &BuildContext<'_>) -> Result<Box<dyn Parser>, BuildError> {
        Ok(Box::new(Logfmt::new(self)))
    }
}

impl EncoderConfig for Encode {
    const NAME: &'static str = "logfmt";
}

impl EncoderSpec for Encode {
    fn build(&self, _: &BuildContext<'_>) -> Result<Box<dyn Encoder>, BuildError> {
        Ok(Box::new(LogfmtEncoder))
    }
}

struct Logfmt {
    guess: Guess,
    /// A handful at most, so looking through them takes less than a hash.
    typed: Box<[Typed]>,
    fields_max: usize,
    /// A text without its escapes.
    plain: Vec<u8>,
}

struct Typed {
    key: RecordKey,
    name: Box<[u8]>,
    to: Type,
}

impl Logfmt {
    fn new(config: &Decode) -> Self {
        let typed = |(name, to): (&String, &Type)| Typed {
            key: RecordKey::new(name),
            name: name.as_bytes().into(),
            to: *to,
        };
        let (guess, typed) = match &config.types {
            Types::By(guess) => (*guess, Box::default()),
            Types::Of(types) => (Guess::None, types.iter().map(typed).collect()),
        };
        Logfmt { guess, typed, fields_max: config.fields_max, plain: Vec::new() }
    }
}

impl Parser for Logfmt {
    fn parse(
        &mut self,
        text: &[u8],
        _: Timestamp,
        record: &mut RecordWriter<'_>,
    ) -> Result<Parsed, DecodeError> {
        let Logfmt { guess, typed, fields_max, plain } = self;
        let (mut rest, mut fields, mut has_value) = (text, 0, false);
        let mut parsed = Parsed::default();
        // A value without a key has lost it.
        let is_key = |byte: &u8| !is_space(byte) && *byte != b'=';
        while let Some(start) = rest.iter().position(is_key) {
            rest = &rest[start..];
            let end = rest.iter().position(|byte| !is_key(byte)).unwrap_or(rest.len());
            let (key, after) = rest.split_at(end);
            fields += 1;
            if fields > *fields_max {
                let reason = format!("the text has more than {fields_max} pairs");
                return Err(DecodeError::new("too_many_fields", reason));
            }
            let [b'=', after @ ..] = after else {
                record.bool_named(key, true);
                rest = after;
                continue;
            };
            has_value = true;
            let (value, is_word);
            (value, is_word, rest) = match after {
                [b'"', after @ ..] => {
                    let (value, rest) = quoted(after, plain)?;
                    (value, false, rest)
                }
                _ => {
                    let end = after.iter().position(is_space).unwrap_or(after.len());
                    (&after[..end], true, &after[end..])
                }
            };
            if let Some(typed) = typed.iter().find(|typed| *typed.name == *key) {
                if !typed.to.write(&typed.key, value, record) {
                    parsed.flag = Some("unconvertible");
                }
            } else if is_word && *guess == Guess::Auto {
                write_word(key, value, record);
            } else {
                record.string_named(key, value);
            }
        }
        if !has_value {
            return Err(DecodeError::new("no_pair", "there is no `key=value` in the text"));
        }
        Ok(parsed)
    }
}

#[inline]
fn is_space(byte: &u8) -> bool {
    *byte <= b' '
}

#[inline]
fn write_word(key: &[u8], word: &[u8], record: &mut RecordWriter<'_>) {
    match word {
        // Texts all the same, if JSON has no such numbers.
        [b'0'..=b'9' | b'-', ..] if is_numeric(word) => record.number_named(key, word),
        b"true" => record.bool_named(key, true),
        b"false" => record.bool_named(key, false),
        b"null" => record.null_named(key),
        _ => record.string_named(key, word),
    }
}

/// Digits, perhaps with a point, or with an exponent that no hexadecimal number can be mistaken for.
#[inline]
fn is_numeric(word: &[u8]) -> bool {
    let plain = word.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-'));
    plain || word.windows(2).any(|two| matches!(two, [b'e' | b'E', b'+' | b'-']))
}

/// What stands before the closing quote, without escapes, and what follows the quote.
#[inline]
fn quoted<'t: 'v, 'v>(
    text: &'t [u8],
    plain: &'v mut Vec<u8>,
) -> Result<(&'v [u8], &'t [u8]), DecodeError> {
    let unclosed = || DecodeError::new("unclosed_quote", "a value has no closing quote");
    let first = memchr::memchr2(b'"', b'\\', text).ok_or_else(unclosed)?;
    if text[first] == b'"' {
        return Ok((&text[..first], &text[first + 1..]));
    }
    plain.clear();
    let (mut before, mut rest) = text.split_at(first);
    loop {
        plain.extend_from_slice(before);
        rest = match rest {
            [b'"', rest @ ..] => return Ok((plain, rest)),
            escape => unescape(escape, plain).ok_or_else(unclosed)?,
        };
        (before, rest) = rest.split_at(memchr::memchr2(b'"', b'\\', rest).ok_or_else(unclosed)?);
    }
}

/// Appends what the escape at the front stands for, and gives what follows it. A backslash before
/// anything else is one.
fn unescape<'t>(text: &'t [u8], plain: &mut Vec<u8>) -> Option<&'t [u8]> {
    let (byte, rest) = match text {
        [_, b'n', rest @ ..] => (b'\n', rest),
        [_, b'r', rest @ ..] => (b'\r', rest),
        [_, b't', rest @ ..] => (b'\t', rest),
        [_, b'b', rest @ ..] => (0x08, rest),
        [_, b'f', rest @ ..] => (0x0c, rest),
        [_, byte @ (b'"' | b'\\' | b'/'), rest @ ..] => (*byte, rest),
        [_, b'u', digits @ ..] if let Some((char, rest)) = unicode(digits) => {
            plain.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
            return Some(rest);
        }
        [_, rest @ ..] => (b'\\', rest),
        [] => return None,
    };
    plain.push(byte);
    Some(rest)
}

/// The character of four hexadecimal digits, or of twice four, where UTF-16 takes two.
fn unicode(digits: &[u8]) -> Option<(char, &[u8])> {
    let hex4 = |digits: &[u8]| {
        let digits = digits.get(..4)?.iter();
        digits.map(|digit| char::from(*digit).to_digit(16)).try_fold(0, |n, d| Some(n << 4 | d?))
    };
    let code = hex4(digits)?;
    if let 0xd800..0xdc00 = code {
        let low = digits[4..].strip_prefix(b"\\u")?;
        let half = hex4(low).filter(|half| (0xdc00..0xe000).contains(half))?;
        let code = 0x10000 + ((code - 0xd800) << 10) + (half - 0xdc00);
        return Some((char::from_u32(code)?, &low[4..]));
    }
    Some((char::from_u32(code)?, &digits[4..]))
}
