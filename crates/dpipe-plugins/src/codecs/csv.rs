//! Rows of a table, their fields separated by commas (RFC 4180) or something else.
//!
//! Decoding: each row is an event, with a member for each column. The columns are named by `columns`,
//! or by the first line of the stream, where `header` is true; with both, that line is only skipped.
//! Values are texts, but for those of `types`; of these an empty one is `null`. A field in quotes may
//! hold delimiters, and quotes that are doubled. A row is a line; to read one whose quotes hold line
//! ends, let the input join lines by `multiline`.
//!
//! The first line is known as long as the stream is read. A file that is read on after a restart has
//! it no longer, and its rows are refused (`no_header`): name the `columns` where that may happen.
//!
//! Decode errors: `uneven_row`, `unclosed_quote`, `text_after_quote`, `no_header`. Flagged:
//! `unconvertible`, a value that is not of its column's type; it stays a text.
//!
//! Encoding: a row of the fields in `columns`, those that are missing or `null` empty, objects and
//! lists as JSON. Line ends in a value are written as `\n` and `\r`, so that an event stays one line.
//!
//! ```yaml
//! type: csv
//! columns: [time, user, amount]
//! ```

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;

use dpipe_event::EventRef;
use dpipe_plugin::settings::Problem;
use dpipe_plugin::{
    BuildContext, BuildError, DecodeError, Decoder, DecoderConfig, DecoderSpec, EncodeError,
    Encoder, EncoderConfig, EncoderSpec, FieldPath, Parser,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error;
use serde::{Deserialize, Deserializer};

use crate::columns::{Cut, Layout, Uneven};
use crate::types::Type;

/// How to read rows.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Decode {
    /// What stands between two fields: one character.
    delimiter: Delimiter,
    /// What stands around a field that holds a delimiter: one character, or nothing.
    quote: Quote,
    /// The names of the columns, in order.
    columns: Vec<String>,
    /// Whether the first line of each stream names the columns.
    header: bool,
    /// The types of columns whose values are no texts: `{ amount: float }`.
    types: BTreeMap<String, Type>,
    /// What becomes of a row that has more or fewer fields than there are columns.
    uneven: Uneven,
}

/// How to write rows.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Encode {
    /// What stands between two fields: one character.
    #[serde(default)]
    delimiter: Delimiter,
    /// The fields of a row, in order.
    columns: Vec<FieldPath>,
}

/// What separates fields.
#[derive(Clone, Copy, Debug)]
struct Delimiter(u8);

/// What holds a field together, if anything does.
#[derive(Clone, Copy, Debug)]
struct Quote(Option<u8>);

impl Default for Delimiter {
    fn default() -> Self {
        Delimiter(b',')
    }
}

impl Default for Quote {
    fn default() -> Self {
        Quote(Some(b'"'))
    }
}

impl<'de> Deserialize<'de> for Delimiter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match character(&Cow::<str>::deserialize(deserializer)?)? {
            Some(byte) => Ok(Delimiter(byte)),
            None => Err(D::Error::custom("the delimiter is empty")),
        }
    }
}

impl<'de> Deserialize<'de> for Quote {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        character(&Cow::<str>::deserialize(deserializer)?).map(Quote)
    }
}

fn character<E: Error>(text: &str) -> Result<Option<u8>, E> {
    match text.as_bytes() {
        [] => Ok(None),
        [b'\n' | b'\r'] => Err(E::custom("a line end ends a row, it can be nothing else")),
        [byte] => Ok(Some(*byte)),
        _ => Err(E::custom(format_args!("{text:?} is not one character of ASCII"))),
    }
}

impl JsonSchema for Delimiter {
    fn schema_name() -> Cow<'static, str> {
        "Delimiter".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let what = "What stands between two fields: one character.";
        json_schema!({ "type": "string", "minLength": 1, "maxLength": 1, "description": what })
    }
}

impl JsonSchema for Quote {
    fn schema_name() -> Cow<'static, str> {
        "Quote".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let what = "What stands around a field that holds a delimiter: one character, or nothing.";
        json_schema!({ "type": "string", "maxLength": 1, "description": what })
    }
}

impl Decode {
    fn layout(&self) -> Layout<'_> {
        let Decode { columns, header, types, uneven, .. } = self;
        Layout { columns, header: *header, types, uneven: *uneven }
    }

    fn cut(&self) -> Csv {
        Csv { delimiter: self.delimiter.0, quote: self.quote.0, plain: Vec::new() }
    }
}

impl DecoderConfig for Decode {
    const NAME: &'static str = "csv";
}

impl DecoderSpec for Decode {
    fn build(&self, _: &BuildContext<'_>) -> Result<Box<dyn Decoder>, BuildError> {
        Ok(Box::new(self.layout().table(self.cut())))
    }

    fn parser(&self, _: &BuildContext<'_>) -> Result<Box<dyn Parser>, BuildError> {
        Ok(Box::new(self.layout().rows(self.cut())?))
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = self.layout().check();
        if self.quote.0 == Some(self.delimiter.0) {
            problems.push(Problem::error("`quote` and `delimiter` are the same"));
        }
        problems
    }
}

impl EncoderConfig for Encode {
    const NAME: &'static str = "csv";
}

impl EncoderSpec for Encode {
    fn build(&self, _: &BuildContext<'_>) -> Result<Box<dyn Encoder>, BuildError> {
        let columns = self.columns.clone().into();
        Ok(Box::new(CsvEncoder { delimiter: self.delimiter.0, columns }))
    }
}

struct Csv {
    delimiter: u8,
    quote: Option<u8>,
    /// A field without its doubled quotes.
    plain: Vec<u8>,
}

impl Cut for Csv {
    #[inline]
    fn cut(
        &mut self,
        row: &[u8],
        mut take: impl FnMut(&[u8]) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        let mut rest = row;
        loop {
            let after = match (self.quote, rest) {
                (Some(quote), [first, inner @ ..]) if *first == quote => {
                    let (field, after) = quoted(inner, quote, &mut self.plain)?;
                    take(field)?;
                    after
                }
                _ => {
                    // Most fields are short, for which a call of memchr is too much.
                    let end = rest.iter().position(|byte| *byte == self.delimiter);
                    let (field, after) = rest.split_at(end.unwrap_or(rest.len()));
                    take(field)?;
                    after
                }
            };
            rest = match after {
                [] => return Ok(()),
                [byte, rest @ ..] if *byte == self.delimiter => rest,
                _ => {
                    let reason = "there is text between a closing quote and the next delimiter";
                    return Err(DecodeError::new("text_after_quote", reason));
                }
            };
        }
    }
}

/// What stands before the closing quote, quotes that were doubled once, and what follows the quote.
#[inline]
fn quoted<'t: 'v, 'v>(
    text: &'t [u8],
    quote: u8,
    plain: &'v mut Vec<u8>,
) -> Result<(&'v [u8], &'t [u8]), DecodeError> {
    let mut rest = text;
    plain.clear();
    loop {
        let end = memchr::memchr(quote, rest).ok_or_else(|| {
            DecodeError::new("unclosed_quote", "a field has no closing quote in this line")
        })?;
        let (field, after) = (&rest[..end], &rest[end + 1..]);
        if after.first() != Some(&quote) {
            if rest.len() == text.len() {
                return Ok((field, after));
            }
            plain.extend_from_slice(field);
            return Ok((plain, after));
        }
        plain.extend_from_slice(&rest[..=end]);
        rest = &after[1..];
    }
}

struct CsvEncoder {
    delimiter: u8,
    columns: Box<[FieldPath]>,
}

impl Encoder for CsvEncoder {
    fn encode(&self, event: &EventRef<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let mut text = Vec::new();
        for (at, column) in self.columns.iter().enumerate() {
            if at > 0 {
                out.push(self.delimiter);
            }
            text.clear();
            match event.get(column) {
                None | Some(dpipe_event::Value::Null) => {}
                Some(value) => value.write_text(&mut text),
            }
            self.write(&text, out);
        }
        Ok(())
    }
}

impl CsvEncoder {
    fn write(&self, text: &[u8], out: &mut Vec<u8>) {
        let asks = |byte: &u8| *byte == self.delimiter || matches!(byte, b'"' | b'\n' | b'\r');
        // A row of one empty field would be a blank line.
        let is_blank = text.is_empty() && self.columns.len() == 1;
        if !is_blank && !text.iter().any(asks) {
            return out.extend_from_slice(text);
        }
        out.push(b'"');
        for byte in text {
            match byte {
                b'"' => out.extend_from_slice(b"\"\""),
                b'\n' => out.extend_from_slice(b"\\n"),
                b'\r' => out.extend_from_slice(b"\\r"),
                byte => out.push(*byte),
            }
        }
        out.push(b'"');
    }
}
