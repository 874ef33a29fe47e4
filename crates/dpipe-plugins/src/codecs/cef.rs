//! CEF, the Common Event Format of ArcSight: `CEF:0|vendor|product|version|id|name|severity|key=value …`.
//!
//! Decoding gives the members `cef_version`, `device_vendor`, `device_product`, `device_version`,
//! `signature_id`, `name`, `severity` (a number, where it is one) and `extension`, an object of the
//! pairs. Values of pairs are texts and may hold spaces; a `=` that no key stands before is part of the
//! value. Text before `CEF:`, such as a header of syslog, becomes `prefix`. The time of `rt`,
//! milliseconds since 1970 or a date (`Mar 01 2014 12:00:00`), becomes the event's time.
//!
//! With `labels`, a value whose key has a label (`cs1=x cs1Label=rule`) stands under its label
//! (`rule`).
//!
//! Decode errors: `not_cef`, `missing_field` (fewer than seven parts in the header),
//! `too_many_fields`. Flagged: `bad_timestamp`, an `rt` that is no time.
//!
//! ```yaml
//! type: cef
//! labels: true
//! ```

use std::ops::Range;

use dpipe_event::{RecordKey, RecordWriter, Timestamp};
use dpipe_plugin::{
    BuildContext, BuildError, DecodeError, DecoderConfig, DecoderSpec, Parsed, Parser,
};
use memchr::{memchr, memchr2, memmem};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::times::{TimeFormat, Zone};

/// How to read CEF.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Decode {
    /// Whether values stand under their labels.
    labels: bool,
    /// The most pairs in a message.
    fields_max: usize,
}

impl Default for Decode {
    fn default() -> Self {
        Decode { labels: false, fields_max: 500 }
    }
}

impl DecoderConfig for Decode {
    const NAME: &'static str = "cef";
}

impl DecoderSpec for Decode {
    fn parser(&self, _: &BuildContext<'_>) -> Result<Box<dyn Parser>, BuildError> {
        Ok(Box::new(Cef::new(self)))
    }
}

/// The parts of the header, in order.
const HEADER: [&str; 7] = [
    "cef_version",
    "device_vendor",
    "device_product",
    "device_version",
    "signature_id",
    "name",
    "severity",
];

struct Cef {
    labels: bool,
    fields_max: usize,
    header: [RecordKey; HEADER.len()],
    prefix: RecordKey,
    extension: RecordKey,
    times: [TimeFormat; 2],
    pairs: Vec<Pair>,
    /// Texts without their escapes.
    plain: Vec<u8>,
    label: Vec<u8>,
}

/// Where a key and its value lie.
#[derive(Clone)]
struct Pair {
    key: Range<usize>,
    value: Range<usize>,
}

impl Cef {
    fn new(config: &Decode) -> Self {
        let format = |name| TimeFormat::parse_config(name).expect("the format has a name");
        Cef {
            labels: config.labels,
            fields_max: config.fields_max,
            header: HEADER.map(RecordKey::new),
            prefix: RecordKey::new("prefix"),
            extension: RecordKey::new("extension"),
            times: [format("unix_ms"), format("syslog")],
            pairs: Vec::new(),
            plain: Vec::new(),
            label: Vec::new(),
        }
    }
}

impl Parser for Cef {
    fn parse(
        &mut self,
        text: &[u8],
        now: Timestamp,
        record: &mut RecordWriter<'_>,
    ) -> Result<Parsed, DecodeError> {
        let start = memmem::find(text, b"CEF:")
            .ok_or_else(|| DecodeError::new("not_cef", "there is no `CEF:` in the text"))?;
        let prefix = text[..start].trim_ascii();
        if !prefix.is_empty() {
            record.string(&self.prefix, prefix);
        }
        let mut rest = &text[start + b"CEF:".len()..];
        for (at, key) in self.header.iter().enumerate() {
            let end = bar(rest);
            if end.is_none() && at + 1 < HEADER.len() {
                let reason = format!("the header ends before `{}`", HEADER[at + 1]);
                return Err(DecodeError::new("missing_field", reason));
            }
            let part = &rest[..end.unwrap_or(rest.len())];
            rest = end.map_or(&[], |end| &rest[end + 1..]);
            let part = unescaped(part, &mut self.plain);
            match at {
                0 | 6 => record.number(key, part),
                _ => record.string(key, part),
            }
        }
        self.extension(rest, now, record)
    }
}

impl Cef {
    fn extension(
        &mut self,
        text: &[u8],
        now: Timestamp,
        record: &mut RecordWriter<'_>,
    ) -> Result<Parsed, DecodeError> {
        let Cef { labels, fields_max, extension, times, pairs, plain, label, .. } = self;
        cut(text, *fields_max, pairs)?;
        if pairs.is_empty() {
            return Ok(Parsed::default());
        }
        record.object(extension, |record| {
            for pair in pairs.iter() {
                let mut key = &text[pair.key.clone()];
                if *labels {
                    if let Some(base) = key.strip_suffix(b"Label")
                        && pairs.iter().any(|pair| text[pair.key.clone()] == *base)
                    {
                        continue;
                    }
                    let is_label = |pair: &&Pair| {
                        let other = &text[pair.key.clone()];
                        other.strip_suffix(b"Label") == Some(key) && !pair.value.is_empty()
                    };
                    if let Some(found) = pairs.iter().find(is_label) {
                        key = unescaped(&text[found.value.clone()], label);
                    }
                }
                record.string_named(key, unescaped(&text[pair.value.clone()], plain));
            }
        });
        let mut parsed = Parsed::default();
        if let Some(pair) = pairs.iter().find(|pair| text[pair.key.clone()] == *b"rt") {
            let value = &text[pair.value.clone()];
            let moment = times.iter().find_map(|format| format.read(value, now, &Zone::UTC).ok());
            parsed.time = moment.map(|moment| moment.time);
            parsed.flag = if moment.is_none() { Some("bad_timestamp") } else { None };
        }
        Ok(parsed)
    }
}

/// Where the next bar is that no backslash stands before.
fn bar(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr2(b'|', b'\\', text.get(at..)?)?;
        if text[at] == b'|' {
            return Some(at);
        }
        at += 2;
    }
}

/// Cuts `key=value key=value`: a key is a word before `=`, after a space or at the start.
fn cut(text: &[u8], fields_max: usize, pairs: &mut Vec<Pair>) -> Result<(), DecodeError> {
    pairs.clear();
    let (mut word, mut is_key, mut at) = (0, true, 0);
    while let Some(byte) = text.get(at) {
        match byte {
            b'\\' => (is_key, at) = (false, at + 1),
            b' ' => (word, is_key) = (at + 1, true),
            b'=' if is_key && at > word => {
                if let Some(before) = pairs.last_mut() {
                    before.value.end = word - 1;
                }
                if pairs.len() == fields_max {
                    let reason = format!("the message has more than {fields_max} pairs");
                    return Err(DecodeError::new("too_many_fields", reason));
                }
                pairs.push(Pair { key: word..at, value: at + 1..text.len() });
                is_key = false;
            }
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-' | b'[' | b']' => {}
            _ => is_key = false,
        }
        at += 1;
    }
    // The value of a pair starts where it does, even if nothing but space follows.
    for Pair { value, .. } in pairs.iter_mut() {
        let spaces = text[value.clone()].iter().rev().take_while(|byte| **byte == b' ').count();
        value.end -= spaces;
    }
    Ok(())
}

/// A text without its escapes: `\|`, `\=`, `\\`, `\n` and `\r`. Any other backslash is one.
fn unescaped<'a>(text: &'a [u8], plain: &'a mut Vec<u8>) -> &'a [u8] {
    if memchr(b'\\', text).is_none() {
        return text;
    }
    plain.clear();
    let mut rest = text;
    while let Some(at) = memchr(b'\\', rest) {
        plain.extend_from_slice(&rest[..at]);
        let (byte, len) = match rest.get(at + 1) {
            Some(byte @ (b'|' | b'=' | b'\\')) => (*byte, 2),
            Some(b'n') => (b'\n', 2),
            Some(b'r') => (b'\r', 2),
            _ => (b'\\', 1),
        };
        plain.push(byte);
        rest = &rest[at + len..];
    }
    plain.extend_from_slice(rest);
    plain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codecs::tests::{parse, parse_any, refuse};

    const HEAD: &str = "CEF:0|Security|threatmanager|1.0|100|worm stopped|10|";

    fn read(extension: &str) -> String {
        let text = format!("{HEAD}{extension}");
        let read = parse(&mut Cef::new(&Decode::default()), text.as_bytes());
        let (time, json) = read.split_once('{').unwrap();
        let members = json.split_once(r#""severity":10"#).unwrap().1;
        format!("{time}{}", members.trim_start_matches(','))
    }

    #[test]
    fn the_header_has_seven_parts_with_their_escapes() {
        let text = r"Sep 19 08:26:10 host CEF:0|a\|b|c\\d|1.0||n=1|Very-High|";
        assert_eq!(
            parse(&mut Cef::new(&Decode::default()), text.as_bytes()),
            r#"{"prefix":"Sep 19 08:26:10 host","cef_version":0,"device_vendor":"a|b","device_product":"c\\d","device_version":"1.0","signature_id":"","name":"n=1","severity":"Very-High"}"#
        );
        let bare = "CEF:0|a|b|c|d|e|5";
        assert!(
            parse(&mut Cef::new(&Decode::default()), bare.as_bytes()).ends_with(r#""severity":5}"#)
        );
    }

    #[test]
    fn values_hold_spaces_escapes_and_equal_signs() {
        assert_eq!(
            read(
                r"src=10.0.0.1 msg=a b\=c \\ d\nnext  line request=http://a/?b=c&d=e f= act=x | y "
            ),
            r#""extension":{"src":"10.0.0.1","msg":"a b=c \\ d\nnext  line","request":"http://a/?b=c&d=e","f":"","act":"x | y"}}"#
        );
        assert_eq!(read("no pairs"), "}");
        assert_eq!(read("=1 a=2"), r#""extension":{"a":"2"}}"#);
        assert_eq!(read("ad.x[0]=1"), r#""extension":{"ad.x[0]":"1"}}"#);
    }

    #[test]
    fn the_receipt_gives_the_time() {
        let time = |rt: &str| read(&format!("rt={rt} a=1")).split('"').next().unwrap().to_owned();
        assert_eq!(time("1393675200250"), "@2014-03-01T12:00:00.250Z ");
        assert_eq!(time("Mar 01 2014 12:00:00"), "@2014-03-01T12:00:00.000Z ");
        assert!(read("rt=soon").ends_with("!bad_timestamp"));
    }

    #[test]
    fn values_can_stand_under_their_labels() {
        let mut labeled = Cef::new(&Decode { labels: true, ..Decode::default() });
        let text =
            format!("{HEAD}cs1=x y cs1Label=the \\= rule cn1=5 cn2Label=lost cs2=z cs2Label=");
        let read = parse(&mut labeled, text.as_bytes());
        let members = r#""extension":{"the = rule":"x y","cn1":"5","cn2Label":"lost","cs2":"z"}}"#;
        assert!(read.ends_with(members), "{read}");
    }

    #[test]
    fn each_broken_message_is_refused_for_its_reason() {
        let refusal = |text: &str| refuse(&mut Cef::new(&Decode::default()), text.as_bytes());
        assert_eq!(refusal("LEEF:1.0|a"), "not_cef: there is no `CEF:` in the text");
        assert_eq!(
            refusal("CEF:0|a|b\\|c"),
            "missing_field: the header ends before `device_version`"
        );
        let many = format!("{HEAD}{}", "a=1 ".repeat(501));
        assert_eq!(refusal(&many), "too_many_fields: the message has more than 500 pairs");
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_become_json(
            extension in r"[a-cL =\\|n]{0,30}",
            bytes in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let mut labeled = Cef::new(&Decode { labels: true, ..Decode::default() });
            let text = format!("{HEAD}aLabel=b {extension}");
            prop_assert!(parse_any(&mut labeled, text.as_bytes()).is_some());
            parse_any(&mut labeled, &bytes);
            parse_any(&mut labeled, &[b"CEF:", &bytes[..]].concat());
        }
    }
}
