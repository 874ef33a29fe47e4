//! JSON objects, one a line.
//!
//! Decoding: the whole line is the body. Keys keep their order and numbers their digits. Of a key
//! that stands twice in an object the last one counts. Every line is checked, also one that nobody
//! will look into.
//!
//! The event's time is when it was received, because no key for it is like any other. Where a field
//! has it, the step `timestamp` makes it the event's time, and so the one of `%Y-%m-%d` in the path of
//! an output. An output writes it with `metadata: [_time]`.
//!
//! Decode errors: `bad_json`, `invalid_utf8`, `json_too_deep`, `json_too_many_fields`,
//! `line_too_long` (the line was cut to the input's limit). Flagged: `invalid_utf8`, where that was
//! repaired; `duplicate_key`, where an object has a key twice.
//!
//! Encoding: the body, edits merged in; plain text becomes `{"message":"…"}`. What an event has of
//! the metadata that the option `metadata` names is added as the last members, so that it counts
//! even if the body has fields of the same names. `_time` and `_received` are written in RFC 3339,
//! UTC, to the millisecond; `_offset` and `_original_bytes` are numbers, the others are strings.
//!
//! JSON is UTF-8: of text that is not, each wrong sequence is written as U+FFFD. With
//! `invalid_utf8: raw_b64`, such an event gets its whole line as it was read besides, in base64, as
//! its last member `raw_b64`.
//!
//! ```yaml
//! type: json
//! ```

use std::io::Write;

use dpipe_event::{
    Batch, Builder, EventRef, Frame, JsonLimits, Meta, RecordWriter, Timestamp, write_base64,
};
use dpipe_plugin::{
    BuildContext, BuildError, DecodeError, Decoder, DecoderConfig, DecoderSpec, EncodeError,
    Encoder, EncoderConfig, EncoderSpec, Parsed, Parser,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::json_body::{self, InvalidUtf8, JsonBody};

/// How to read JSON objects.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Decode {
    /// What becomes of a line that is not UTF-8.
    invalid_utf8: InvalidUtf8,
    /// The nesting at which a line is refused; at most 128.
    #[serde(deserialize_with = "json_body::depth_max")]
    depth_max: u32,
    /// The most values in a line, array elements included.
    fields_max: u32,
}

/// How to write JSON objects.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Encode {
    /// The metadata to add, such as `[_time, _area]`.
    metadata: Vec<Metadata>,
    /// What becomes of bytes that are not UTF-8.
    invalid_utf8: Unwritable,
}

/// What becomes of bytes that JSON cannot hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Unwritable {
    /// Each wrong sequence is written as U+FFFD.
    #[default]
    Replace,
    /// The same, and the line as it was read is added in base64, as `raw_b64`.
    RawB64,
}

impl Default for Decode {
    fn default() -> Self {
        let JsonLimits { depth, fields } = JsonLimits::default();
        Decode { invalid_utf8: InvalidUtf8::default(), depth_max: depth, fields_max: fields }
    }
}

/// A piece of metadata, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
enum Metadata {
    /// When the event happened.
    #[serde(rename = "_time")]
    Time,
    /// When dpipe read it.
    #[serde(rename = "_received")]
    Received,
    /// The region or shard of an als line.
    #[serde(rename = "_area")]
    Area,
    /// The product or team that owns it.
    #[serde(rename = "_tenant")]
    Tenant,
    /// The name under which its batch is published.
    #[serde(rename = "_tag")]
    Tag,
    /// The input that read it.
    #[serde(rename = "_input")]
    Input,
    /// The file or peer it came from.
    #[serde(rename = "_file")]
    File,
    /// Its first byte within that stream.
    #[serde(rename = "_offset")]
    Offset,
    /// The machine it came from.
    #[serde(rename = "_host")]
    Host,
    /// Its deterministic id.
    #[serde(rename = "_id")]
    Id,
    /// How long its line was before it was cut to the input's limit.
    #[serde(rename = "_original_bytes")]
    OriginalBytes,
    /// The file's name without its date, number and suffix.
    #[serde(rename = "logfile")]
    Logfile,
}

impl From<Metadata> for Meta {
    fn from(metadata: Metadata) -> Meta {
        match metadata {
            Metadata::Time => Meta::Time,
            Metadata::Received => Meta::Received,
            Metadata::Area => Meta::Area,
            Metadata::Tenant => Meta::Tenant,
            Metadata::Tag => Meta::Tag,
            Metadata::Input => Meta::Input,
            Metadata::File => Meta::File,
            Metadata::Offset => Meta::Offset,
            Metadata::Host => Meta::Host,
            Metadata::Id => Meta::Id,
            Metadata::OriginalBytes => Meta::OriginalBytes,
            Metadata::Logfile => Meta::Logfile,
        }
    }
}

impl DecoderConfig for Decode {
    const NAME: &'static str = "json";
}

impl DecoderSpec for Decode {
    fn build(&self, _: &BuildContext<'_>) -> Result<Box<dyn Decoder>, BuildError> {
        Ok(Box::new(JsonDecoder { body: self.body() }))
    }

    fn parser(&self, _: &BuildContext<'_>) -> Result<Box<dyn Parser>, BuildError> {
        Ok(Box::new(JsonDecoder { body: self.body() }))
    }
}

impl Decode {
    fn body(&self) -> JsonBody {
        let limits = JsonLimits { depth: self.depth_max, fields: self.fields_max };
        JsonBody { limits, invalid_utf8: self.invalid_utf8 }
    }
}

impl EncoderConfig for Encode {
    const NAME: &'static str = "json";
}

impl EncoderSpec for Encode {
    fn build(&self, _: &BuildContext<'_>) -> Result<Box<dyn Encoder>, BuildError> {
        let metadata = self.metadata.iter().copied().map(Meta::from).collect();
        let raw_b64 = self.invalid_utf8 == Unwritable::RawB64;
        Ok(Box::new(JsonEncoder { metadata, raw_b64 }))
    }
}

#[derive(Default)]
pub(super) struct JsonDecoder {
    body: JsonBody,
}

impl Decoder for JsonDecoder {
    fn decode(&mut self, frame: &Frame<'_>, events: &mut Builder) -> Result<(), DecodeError> {
        self.body.push(frame, 0..frame.bytes.len(), events)?;
        Ok(())
    }
}

impl Parser for JsonDecoder {
    fn parse(
        &mut self,
        text: &[u8],
        _: Timestamp,
        record: &mut RecordWriter<'_>,
    ) -> Result<Parsed, DecodeError> {
        let flag = self.body.write(text, record)?;
        Ok(Parsed { time: None, flag })
    }
}

#[derive(Default)]
pub(super) struct JsonEncoder {
    metadata: Vec<Meta>,
    raw_b64: bool,
}

impl Encoder for JsonEncoder {
    fn encode(&self, event: &EventRef<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        event.write_json(out);
        let raw = if self.raw_b64 { changed_line(event) } else { None };
        if !self.metadata.is_empty() || raw.is_some() {
            self.add_members(event, raw, out);
        }
        Ok(())
    }

    fn is_verbatim(&self, batch: &Batch) -> bool {
        self.metadata.is_empty() && batch.bodies_are_lines()
    }
}

impl JsonEncoder {
    /// Adds members to the object at the end of `out`.
    fn add_members(&self, event: &EventRef<'_>, raw: Option<&[u8]>, out: &mut Vec<u8>) {
        cut_back(out, |byte| byte != b'}');
        out.pop();
        cut_back(out, |byte| byte.is_ascii_whitespace());
        let mut separator: &[u8] = if out.last() == Some(&b'{') { b"\"" } else { b",\"" };
        for &meta in &self.metadata {
            let Some(value) = event.meta(meta) else { continue };
            out.extend_from_slice(separator);
            out.extend_from_slice(meta.name().as_bytes());
            out.extend_from_slice(b"\":");
            // Writing to a vector cannot fail.
            let _ = match meta {
                Meta::Time => write!(out, "\"{}\"", event.time()),
                Meta::Received => write!(out, "\"{}\"", event.received()),
                _ => {
                    value.write_json(out);
                    Ok(())
                }
            };
            separator = b",\"";
        }
        if let Some(raw) = raw {
            out.extend_from_slice(separator);
            out.extend_from_slice(b"raw_b64\":\"");
            write_base64(out, raw);
            out.push(b'"');
        }
        out.push(b'}');
    }
}

/// The line as it was read, if it is not UTF-8, so that JSON cannot say what it said.
fn changed_line<'a>(event: &EventRef<'a>) -> Option<&'a [u8]> {
    // JSON that lies in the read buffer was found to be UTF-8 when it was decoded.
    let was_checked = event.is_untouched() && !event.is_text();
    let raw = event.raw();
    (!was_checked && std::str::from_utf8(raw).is_err()).then_some(raw)
}

fn cut_back(out: &mut Vec<u8>, cut: impl Fn(u8) -> bool) {
    while out.last().is_some_and(|&byte| cut(byte)) {
        out.pop();
    }
}

#[cfg(test)]
mod tests {
    use dpipe_event::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::codecs::tests::{batch_of, body, decode_lines, encode, errors_of, origin, verbatim};

    fn encoded(encoder: &JsonEncoder, batch: &Batch) -> String {
        String::from_utf8(encode(encoder, batch).unwrap()).unwrap()
    }

    fn kind(line: &[u8]) -> &'static str {
        errors_of(&mut JsonDecoder::default(), line)[0].kind
    }

    #[test]
    fn an_object_is_kept_to_the_byte() {
        let text =
            "{\"b\":1, \"a\":1.50,\"a\":123456789012345678901234567890,\"s\":\"\\u0041\\/\"}\n";
        let batch = batch_of(&mut JsonDecoder::default(), text);
        assert_eq!(encoded(&JsonEncoder::default(), &batch), text);
        assert!(JsonEncoder::default().is_verbatim(&batch));
        assert_eq!(verbatim(&batch), text);
        let a = batch.get(0).get(&"a".parse().unwrap()).unwrap().as_text().unwrap();
        assert_eq!(&*a, b"123456789012345678901234567890");
    }

    #[test]
    fn what_is_no_object_is_refused_for_its_reason() {
        for line in ["[1]", "1", "null", "", "{\"a\":01}", "{\"a\":+1}", "{\"a\":NaN}", "{} {}"] {
            assert_eq!(kind(format!("{line}\n").as_bytes()), "bad_json", "{line:?}");
        }
        assert_eq!(kind(b"{\"a\":\"\xc3(\"}"), "invalid_utf8");
        let deep = format!("{}{}", "{\"a\":".repeat(200), "}".repeat(200));
        assert_eq!(kind(deep.as_bytes()), "json_too_deep");
        let wide = format!("{{\"a\":[{}0]}}", "0,".repeat(10_000));
        assert_eq!(kind(wide.as_bytes()), "json_too_many_fields");
    }

    #[test]
    fn the_end_of_a_line_may_be_that_of_windows() {
        let batch = batch_of(&mut JsonDecoder::default(), "{\"a\":1}\r\n{\"a\":2}\r\n");
        assert_eq!(body(&batch.get(0)), "{\"a\":1}");
        assert!(batch.verbatim().is_none());
        assert_eq!(encoded(&JsonEncoder::default(), &batch), "{\"a\":1}\n{\"a\":2}\n");
    }

    #[test]
    fn metadata_comes_last_and_so_wins_over_the_body() {
        let metadata = vec![Meta::Time, Meta::Area, Meta::Tenant, Meta::Offset];
        let encoder = JsonEncoder { metadata, raw_b64: false };
        let text = "{}\n{ }\n{\"_tenant\":\"forged\" } \n";
        let batch = batch_of(&mut JsonDecoder::default(), text);
        assert!(!encoder.is_verbatim(&batch));
        let meta = |at| {
            format!("\"_time\":\"2014-03-01T12:00:00.250Z\",\"_tenant\":\"rs\",\"_offset\":{at}}}")
        };
        assert_eq!(
            encoded(&encoder, &batch),
            format!(
                "{{{}\n{{{}\n{{\"_tenant\":\"forged\",{}\n",
                meta(1000),
                meta(1003),
                meta(1007)
            )
        );
    }

    #[test]
    fn what_json_cannot_say_is_added_as_it_was_read() {
        let mut decoder = JsonDecoder::default();
        decoder.body.invalid_utf8 = InvalidUtf8::Replace;
        let lines = b"{\"raw_b64\":\"forged\",\"a\":\"x\xffy\"}\n{\"a\":\"\xc3\xa9\"}\n";
        let (mut batch, errors) = decode_lines(&mut decoder, lines);
        assert!(errors.is_empty());
        let encoder: Encode = serde_json::from_str(r#"{"invalid_utf8":"raw_b64"}"#).unwrap();
        assert_eq!(encoder.invalid_utf8, Unwritable::RawB64);
        let encoder = JsonEncoder { metadata: vec![Meta::Tenant], raw_b64: true };
        let raw = "eyJyYXdfYjY0IjoiZm9yZ2VkIiwiYSI6Inj/eSJ9";
        let expected = format!(
            "{{\"raw_b64\":\"forged\",\"a\":\"x\u{fffd}y\",\"_tenant\":\"rs\",\"raw_b64\":\"{raw}\"}}\n\
             {{\"a\":\"\u{e9}\",\"_tenant\":\"rs\"}}\n"
        );
        assert_eq!(encoded(&encoder, &batch), expected);
        // An edit does not make the line another one.
        for index in 0..2 {
            batch.edit(index).remove(&"a".parse().unwrap());
            batch.edit(index).remove(&"raw_b64".parse().unwrap());
        }
        let encoder = JsonEncoder { metadata: Vec::new(), raw_b64: true };
        assert_eq!(encoded(&encoder, &batch), format!("{{\"raw_b64\":\"{raw}\"}}\n{{}}\n"));
    }

    #[test]
    fn text_that_is_not_utf8_is_added_as_it_was_read() {
        let lines = b"caf\xe9\nok\n";
        let (batch, _) = decode_lines(&mut crate::codecs::text::TextDecoder, lines);
        let encoder = JsonEncoder { metadata: Vec::new(), raw_b64: true };
        assert_eq!(
            encoded(&encoder, &batch),
            "{\"message\":\"caf\u{fffd}\",\"raw_b64\":\"Y2Fm6Q==\"}\n{\"message\":\"ok\"}\n"
        );
        assert_eq!(
            encoded(&JsonEncoder::default(), &batch),
            "{\"message\":\"caf\u{fffd}\"}\n{\"message\":\"ok\"}\n"
        );
    }

    #[test]
    fn the_length_of_a_line_before_it_was_cut_is_metadata_of_that_line_only() {
        let encoder =
            JsonEncoder { metadata: vec![Meta::OriginalBytes, Meta::Offset], raw_b64: false };
        let mut events = Builder::new();
        events.begin(b"cut off\nwhole\n".to_vec().into(), 0, Timestamp::default());
        events.push_text(&Frame { bytes: b"cut off", start: 0, original_len: 3_000_000_000 });
        events.push_text(&Frame { bytes: b"whole", start: 8, original_len: 5 });
        let batch = events.finish(origin(), "in".into());
        assert_eq!(
            encoded(&encoder, &batch),
            "{\"message\":\"cut off\",\"_original_bytes\":3000000000,\"_offset\":0}\n\
             {\"message\":\"whole\",\"_offset\":8}\n"
        );
    }

    #[test]
    fn every_piece_of_metadata_can_be_named() {
        for meta in Meta::ALL {
            let name = serde_json::Value::from(meta.name());
            let named: Metadata = serde_json::from_value(name).unwrap();
            assert_eq!(Meta::from(named), meta);
        }
    }

    #[test]
    fn plain_text_becomes_a_message() {
        let batch = batch_of(&mut crate::codecs::text::TextDecoder, "say \"hi\"\t\u{1b}[0m\n");
        assert!(!JsonEncoder::default().is_verbatim(&batch));
        assert_eq!(
            encoded(&JsonEncoder::default(), &batch),
            "{\"message\":\"say \\\"hi\\\"\\t\\u001b[0m\"}\n"
        );
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            ".{0,12}".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                prop::collection::btree_map(".{0,6}", inner, 0..4)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_was_encoded_decodes_to_the_same(value in json(), set in ".{0,12}") {
            let line = serde_json::json!({ "v": value }).to_string();
            let mut batch = batch_of(&mut JsonDecoder::default(), &line);
            batch.edit(0).set(
                &"set".parse().unwrap(),
                dpipe_event::NewValue::String(set.as_bytes()),
            );
            let encoded = encode(&JsonEncoder::default(), &batch).unwrap();
            let (again, errors) = decode_lines(&mut JsonDecoder::default(), &encoded);
            prop_assert_eq!(errors, vec![]);
            let seen: serde_json::Value = serde_json::from_str(&body(&again.get(0))).unwrap();
            prop_assert_eq!(seen, serde_json::json!({ "v": value, "set": set }));
        }
    }
}
