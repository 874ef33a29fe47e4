//! GELF, the log format of Graylog: a JSON object, one a frame.
//!
//! Decoding: `host` and `full_message` stay, `short_message` becomes `message`, `level` is a number as
//! syslog counts it, and `timestamp`, seconds since 1970 with a fraction, becomes the event's time.
//! Further members lose the underscore in front, unless they would get the name of one of these; a
//! `version` is not kept. A null byte at the end, as over TCP, does not count. Chunks and compression
//! are the input's affair.
//!
//! Decode errors: those of `json` (`bad_json`, `invalid_utf8`, `json_too_deep`,
//! `json_too_many_fields`), and `missing_field`, without a host or a short message. Flagged:
//! `bad_timestamp`; the time is then that of the arrival.
//!
//! Encoding: the same the other way round, as version 1.1. Further members get an underscore. GELF
//! knows only texts and numbers: `true` and `false` are written as texts, objects and lists as JSON in
//! a text, `null` is left out. What a name cannot hold is written as `_`. An event without `message`
//! has its JSON as the short message; one without `host` has that of its origin, the option's, or `-`.
//!
//! ```yaml
//! type: gelf
//! ```

use std::io::Write;

use dpipe_event::{EventRef, Meta, Path, Record, RecordKey, RecordWriter, Text, Timestamp, Value};
use dpipe_plugin::{
    BuildContext, BuildError, DecodeError, DecoderConfig, DecoderSpec, EncodeError, Encoder,
    EncoderConfig, EncoderSpec, Parsed, Parser,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::json_body::JsonBody;
use crate::times::{TimeFormat, Zone};

/// Reads GELF; there is nothing to configure.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Decode {}

/// How to write GELF.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Encode {
    /// The host of events that have none.
    host: Option<String>,
}

impl DecoderConfig for Decode {
    const NAME: &'static str = "gelf";
}

impl DecoderSpec for Decode {
    fn parser(&self, _: &BuildContext<'_>) -> Result<Box<dyn Parser>, BuildError> {
        Ok(Box::new(Gelf::new()))
    }
}

impl EncoderConfig for Encode {
    const NAME: &'static str = "gelf";
}

impl EncoderSpec for Encode {
    fn build(&self, _: &BuildContext<'_>) -> Result<Box<dyn Encoder>, BuildError> {
        Ok(Box::new(GelfEncoder::new(self.host.clone())))
    }
}

/// Members that decoding gives names to.
const NAMED: [&[u8]; 4] = [b"host", b"message", b"full_message", b"level"];

struct Gelf {
    body: JsonBody,
    /// The object as it was sent.
    sent: Record,
    message: RecordKey,
    unix: TimeFormat,
}

impl Gelf {
    fn new() -> Self {
        Gelf {
            body: JsonBody::default(),
            sent: Record::new(),
            message: RecordKey::new("message"),
            unix: TimeFormat::parse_config("unix").expect("unix is a format"),
        }
    }
}

impl Parser for Gelf {
    fn parse(
        &mut self,
        text: &[u8],
        now: Timestamp,
        record: &mut RecordWriter<'_>,
    ) -> Result<Parsed, DecodeError> {
        let Gelf { body, sent, message, unix } = self;
        let text = text.strip_suffix(b"\0").unwrap_or(text);
        sent.fill(|record| body.write(text, record))?;
        let (mut has_host, mut has_message) = (false, false);
        let mut parsed = Parsed::default();
        for (key, value) in sent.entries() {
            let Some(key) = key else { continue };
            match &*key.bytes() {
                b"version" => {}
                b"timestamp" => {
                    let moment =
                        value.as_text().and_then(|text| unix.read(&text, now, &Zone::UTC).ok());
                    match moment {
                        Some(moment) => parsed.time = Some(moment.time),
                        None => parsed.flag = Some("bad_timestamp"),
                    }
                }
                b"short_message" => {
                    has_message = true;
                    let text = value.as_text();
                    record.string(message, text.as_deref().unwrap_or_default());
                }
                key => {
                    has_host |= key == b"host";
                    let bare = key.strip_prefix(b"_").filter(|bare| !NAMED.contains(bare));
                    write(bare.unwrap_or(key), &value, body, record);
                }
            }
        }
        let missing = match (has_host, has_message) {
            (true, true) => return Ok(parsed),
            (false, _) => "the message has no `host`",
            (true, false) => "the message has no `short_message`",
        };
        Err(DecodeError::new("missing_field", missing))
    }
}

fn write(key: &[u8], value: &Value<'_>, body: &JsonBody, record: &mut RecordWriter<'_>) {
    match value {
        Value::String(text) => record.string_named(key, &text.bytes()),
        Value::Number(digits) => record.number_named(key, digits.as_bytes()),
        Value::Bool(yes) => record.bool_named(key, *yes),
        Value::Object(json) | Value::Array(json) => {
            // It was read within the same limits.
            let _ = record.json_named(key, json, &body.limits);
        }
        _ => record.null_named(key),
    }
}

struct GelfEncoder {
    host: Option<String>,
    paths: [Path; 2],
}

impl GelfEncoder {
    fn new(host: Option<String>) -> Self {
        let path = |name: &str| name.parse().expect("a plain word is a path");
        GelfEncoder { host, paths: [path("host"), path("message")] }
    }
}

impl Encoder for GelfEncoder {
    fn encode(&self, event: &EventRef<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let [host, message] = &self.paths;
        let text = |path: &Path| event.get(path).and_then(|value| value.as_text());
        out.extend_from_slice(b"{\"version\":\"1.1\",\"host\":");
        match (text(host), event.meta(Meta::Host), &self.host) {
            (Some(host), ..) if !host.is_empty() => string(&host, out),
            (_, Some(Value::String(host)), _) => host.write_json(out),
            (_, _, host) => string(host.as_deref().unwrap_or("-").as_bytes(), out),
        }
        out.extend_from_slice(b",\"short_message\":");
        let has_message = match text(message) {
            Some(message) => {
                string(&message, out);
                true
            }
            None => {
                let mut json = Vec::new();
                event.write_json(&mut json);
                string(&json, out);
                false
            }
        };
        let ms = event.time().millis();
        let (seconds, fraction) = (ms.div_euclid(1000), ms.rem_euclid(1000));
        // Writing to a vector cannot fail.
        let _ = write!(out, ",\"timestamp\":{seconds}.{fraction:03}");
        for (key, value) in event.body().entries() {
            let Some(key) = key else { continue };
            match (&*key.bytes(), &value) {
                (b"host", _) => {}
                (b"message", _) if has_message => {}
                (_, Value::Null) => {}
                (b"level", Value::Number(_)) | (b"full_message", Value::String(_)) => {
                    out.push(b',');
                    key.write_json(out);
                    out.push(b':');
                    value.write_json(out);
                }
                _ => further(&key, &value, out),
            }
        }
        out.push(b'}');
        Ok(())
    }
}

/// A member of the sender's own.
fn further(key: &Text<'_>, value: &Value<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"_");
    let key = key.bytes();
    if *key == *b"id" {
        // Graylog keeps that name for itself.
        out.push(b'_');
    }
    let can_be = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    out.extend(key.iter().map(|byte| if can_be(*byte) { *byte } else { b'_' }));
    out.extend_from_slice(b"\":");
    match value {
        Value::String(_) | Value::Number(_) => value.write_json(out),
        value => {
            let mut text = Vec::new();
            value.write_text(&mut text);
            string(&text, out);
        }
    }
}

fn string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    dpipe_event::write_escaped(out, text);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codecs::json::JsonDecoder;
    use crate::codecs::tests::{Lines, body, decode_lines, encode, parse, parse_any, refuse};

    fn read(text: &str) -> String {
        parse(&mut Gelf::new(), text.as_bytes())
    }

    fn encoded(text: &str) -> String {
        let encoder = GelfEncoder::new(None);
        let (batch, errors) = decode_lines(&mut JsonDecoder::default(), text.as_bytes());
        assert_eq!(errors, []);
        String::from_utf8(encode(&encoder, &batch).unwrap()).unwrap()
    }

    #[test]
    fn a_message_has_its_time_its_text_and_what_the_sender_added() {
        let text = "{\"version\":\"1.1\",\"host\":\"h\",\"short_message\":\"a\\nb\",\"full_message\":\"f\",\
                    \"timestamp\":1385053862.3072,\"level\":1,\"_user_id\":9001,\"_a\\u0062\":\"x\",\
                    \"_host\":\"other\",\"facility\":\"f\",\"_l\":[1],\"_b\":true,\"_n\":null}\0";
        assert_eq!(
            read(text),
            r#"@2013-11-21T17:11:02.307Z {"host":"h","message":"a\nb","full_message":"f","level":1,"user_id":9001,"ab":"x","_host":"other","facility":"f","l":[1],"b":true,"n":null}"#
        );
    }

    #[test]
    fn a_time_may_be_a_text_and_one_that_is_none_is_flagged() {
        let with = |time: &str| {
            read(&format!("{{\"host\":\"h\",\"short_message\":\"m\",\"timestamp\":{time}}}"))
        };
        let members = r#"{"host":"h","message":"m"}"#;
        assert_eq!(with("\"1385053862\""), format!("@2013-11-21T17:11:02.000Z {members}"));
        assert_eq!(with("1.385053862e9"), format!("@2013-11-21T17:11:02.000Z {members}"));
        for wrong in ["\"now\"", "null", "[1]", "{}", "1e300"] {
            assert_eq!(with(wrong), format!("{members} !bad_timestamp"));
        }
    }

    #[test]
    fn each_broken_message_is_refused_for_its_reason() {
        let refusal = |text: &str| refuse(&mut Gelf::new(), text.as_bytes());
        assert_eq!(refusal(r#"{"short_message":"m"}"#), "missing_field: the message has no `host`");
        assert_eq!(refusal(r#"{"host":"h"}"#), "missing_field: the message has no `short_message`");
        assert!(refusal("[1]").starts_with("bad_json: "));
        assert!(refusal("\0").starts_with("bad_json: "));
    }

    #[test]
    fn an_event_is_written_with_what_the_format_can_hold() {
        assert_eq!(
            encoded(
                r#"{"message":"m","host":"h","level":3,"a":{"b":1},"c":true,"d":null,"e f":"x","id":1,"l":[1,"y"]}"#
            ),
            "{\"version\":\"1.1\",\"host\":\"h\",\"short_message\":\"m\",\"timestamp\":1393675200.250,\
             \"level\":3,\"_a\":\"{\\\"b\\\":1}\",\"_c\":\"true\",\"_e_f\":\"x\",\"__id\":1,\
             \"_l\":\"[1,\\\"y\\\"]\"}\n"
        );
        assert_eq!(
            encoded(r#"{"level":"warn"}"#),
            "{\"version\":\"1.1\",\"host\":\"-\",\"short_message\":\"{\\\"level\\\":\\\"warn\\\"}\",\
             \"timestamp\":1393675200.250,\"_level\":\"warn\"}\n"
        );
    }

    proptest! {
        #[test]
        fn what_was_encoded_decodes_to_the_same(
            message in ".{0,12}",
            full in ".{0,6}",
            level in 0..8_u8,
            more in prop::collection::btree_map("[a-z.-]{1,6}", ".{0,6}", 0..4),
            number in any::<i64>(),
        ) {
            let mut text = serde_json::json!({ "host": "h", "message": message });
            text["full_message"] = full.into();
            text["level"] = level.into();
            for (key, value) in more.into_iter().filter(|(key, _)| key != "id") {
                text[format!("x{key}")] = value.into();
            }
            text["number"] = number.into();
            let encoded = encoded(&text.to_string());
            let (batch, errors) = decode_lines(&mut Lines(Gelf::new()), encoded.as_bytes());
            prop_assert_eq!(errors, []);
            let event = batch.get(0);
            let seen: serde_json::Value = serde_json::from_str(&body(&event)).unwrap();
            prop_assert_eq!(seen, text);
            prop_assert_eq!(event.time(), event.received());
        }

        #[test]
        fn any_bytes_are_refused_or_become_json(
            text in r#"\{("(host|_host|short_message|timestamp|_x)":("a\\n"|1\.5|\[1,\{"a":2\}\]|null),){0,5}"z":1\}"#,
            bytes in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            parse_any(&mut Gelf::new(), text.as_bytes());
            parse_any(&mut Gelf::new(), &bytes);
        }
    }
}
