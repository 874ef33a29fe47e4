//! Rows of a table, their fields separated by tabs.
//!
//! Decoding: each row is an event, with a member for each column. The columns are named by `columns`,
//! or by the first line of the stream, where `header` is true; with both, that line is only skipped.
//! Values are texts, but for those of `types`; of these an empty one is `null`. There are no quotes:
//! a tab, a line end or a backslash in a value is written `\t`, `\n`, `\r` or `\\`.
//!
//! The first line is known as long as the stream is read. A file that is read on after a restart has
//! it no longer, and its rows are refused (`no_header`): name the `columns` where that may happen.
//!
//! Decode errors: `uneven_row`, `no_header`. Flagged: `unconvertible`, a value that is not of its
//! column's type; it stays a text.
//!
//! Encoding: a row of the fields in `columns`, those that are missing or `null` empty, objects and
//! lists as JSON.
//!
//! ```yaml
//! type: tsv
//! columns: [time, user, amount]
//! ```

use std::collections::BTreeMap;

use dpipe_event::{EventRef, Value};
use dpipe_plugin::settings::Problem;
use dpipe_plugin::{
    BuildContext, BuildError, DecodeError, Decoder, DecoderConfig, DecoderSpec, EncodeError,
    Encoder, EncoderConfig, EncoderSpec, FieldPath, Parser,
};
use memchr::memchr;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::columns::{Cut, Layout, Uneven};
use crate::types::Type;

/// How to read rows.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Decode {
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
    /// The fields of a row, in order.
    columns: Vec<FieldPath>,
}

impl Decode {
    fn layout(&self) -> Layout<'_> {
        let Decode { columns, header, types, uneven } = self;
        Layout { columns, header: *header, types, uneven: *uneven }
    }
}

impl DecoderConfig for Decode {
    const NAME: &'static str = "tsv";
}

impl DecoderSpec for Decode {
    fn build(&self, _: &BuildContext<'_>) -> Result<Box<dyn Decoder>, BuildError> {
        Ok(Box::new(self.layout().table(Tsv::default())))
    }

    fn parser(&self, _: &BuildContext<'_>) -> Result<Box<dyn Parser>, BuildError> {
        Ok(Box::new(self.layout().rows(Tsv::default())?))
    }

    fn check(&self) -> Vec<Problem> {
        self.layout().check()
    }
}

impl EncoderConfig for Encode {
    const NAME: &'static str = "tsv";
}

impl EncoderSpec for Encode {
    fn build(&self, _: &BuildContext<'_>) -> Result<Box<dyn Encoder>, BuildError> {
        Ok(Box::new(TsvEncoder { columns: self.columns.clone().into() }))
    }
}

#[derive(Default)]
struct Tsv {
    /// A field without its escapes.
    plain: Vec<u8>,
}

impl Cut for Tsv {
    #[inline]
    fn cut(
        &mut self,
        row: &[u8],
        mut take: impl FnMut(&[u8]) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        let is_escaped = memchr(b'\\', row).is_some();
        for field in row.split(|byte| *byte == b'\t') {
            if is_escaped {
                self.plain.clear();
                unescape(field, &mut self.plain);
                take(&self.plain)?;
            } else {
                take(field)?;
            }
        }
        Ok(())
    }
}

/// Appends a field without its escapes. A backslash before anything else is one.
fn unescape(mut field: &[u8], plain: &mut Vec<u8>) {
    while let Some(at) = memchr(b'\\', field) {
        plain.extend_from_slice(&field[..at]);
        let (byte, len) = match field.get(at + 1) {
            Some(b't') => (b'\t', 2),
            Some(b'n') => (b'\n', 2),
            Some(b'r') => (b'\r', 2),
            Some(b'\\') => (b'\\', 2),
            _ => (b'\\', 1),
        };
        plain.push(byte);
        field = &field[at + len..];
    }
    plain.extend_from_slice(field);
}

struct TsvEncoder {
    columns: Box<[FieldPath]>,
}

impl Encoder for TsvEncoder {
    fn encode(&self, event: &EventRef<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let mut text = Vec::new();
        for (at, column) in self.columns.iter().enumerate() {
            if at > 0 {
                out.push(b'\t');
            }
            text.clear();
            match event.get(column) {
                None | Some(Value::Null) => {}
                Some(value) => value.write_text(&mut text),
            }
            for byte in &text {
                match byte {
                    b'\t' => out.extend_from_slice(b"\\t"),
                    b'\n' => out.extend_from_slice(b"\\n"),
                    b'\r' => out.extend_from_slice(b"\\r"),
                    b'\\' => out.extend_from_slice(b"\\\\"),
                    byte => out.push(*byte),
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codecs::json::JsonDecoder;
    use crate::codecs::tests::{body, decode_at, decode_lines, encode, parse, parse_any, refuse};
    use crate::columns::Table;

    fn table(options: &str) -> Table<Tsv> {
        let config: Decode = serde_json::from_str(options).unwrap();
        assert_eq!(config.check(), []);
        config.layout().table(Tsv::default())
    }

    #[test]
    fn fields_are_cut_at_tabs_and_have_no_quotes() {
        let mut table = table(r#"{"columns":["a","b","c"],"types":{"c":"int"}}"#);
        assert_eq!(parse(&mut table, b"\"x\ty,z\t5"), r#"{"a":"\"x","b":"y,z","c":5}"#);
        assert_eq!(
            parse(&mut table, b"a\\tb\\\\\tc\\q\\\t"),
            r#"{"a":"a\tb\\","b":"c\\q\\","c":null}"#
        );
        let why = "uneven_row: the row has 1 fields, and there are 3 columns";
        assert_eq!(refuse(&mut table, b"x"), why);
    }

    #[test]
    fn the_first_line_of_a_stream_names_the_columns() {
        let (batch, errors) = decode_at(&mut table(r#"{"header":true}"#), 0, b"a\tb\n1\t2\n");
        assert_eq!(errors, []);
        assert_eq!(body(&batch.get(0)), r#"{"a":"1","b":"2"}"#);
    }

    proptest! {
        #[test]
        fn what_was_encoded_decodes_to_the_same(a in "\\PC{0,8}|[\t\r\n\\\\tn]{0,6}", b in "[a\\\\\t]{0,4}") {
            let text = serde_json::json!({ "a": a, "b": b }).to_string();
            let (batch, _) = decode_lines(&mut JsonDecoder::default(), text.as_bytes());
            let columns = vec![FieldPath("a".parse().unwrap()), FieldPath("b".parse().unwrap())];
            let mut encoded = encode(&TsvEncoder { columns: columns.into() }, &batch).unwrap();
            encoded.pop();
            let read = parse(&mut table(r#"{"columns":["a","b"]}"#), &encoded);
            let seen: serde_json::Value = serde_json::from_str(&read).unwrap();
            prop_assert_eq!(seen, serde_json::json!({ "a": a, "b": b }));
        }

        #[test]
        fn any_bytes_are_refused_or_become_json(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            parse_any(&mut table(r#"{"columns":["a","b"],"uneven":"allow"}"#), &bytes);
        }
    }
}
