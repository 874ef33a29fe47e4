//! Lines of the form `area,timestamp,{json}`, one event each.
//!
//! Decoding: the area is not empty, holds no comma and is at most 255 bytes long. The timestamp is a
//! whole number of seconds or of milliseconds since 1970; its magnitude tells which of the two. It
//! is kept to the millisecond and never changed. What follows the second comma is the body, one JSON
//! object. Every line is checked, also one that nobody will look into.
//!
//! Decode errors: `missing_field`, `empty_area`, `area_too_long`, `area_not_utf8`, `bad_timestamp`,
//! `time_out_of_range` (not within 2000 to 2099), `bad_json`, `invalid_utf8`, `json_too_deep`,
//! `json_too_many_fields`, `line_too_long` (the line was cut to the input's limit). Flagged:
//! `invalid_utf8`, where that was repaired.
//!
//! Encoding: an event that was read as such a line keeps its area and timestamp as they were
//! written, and an untouched event its whole line. Any other event gets its time in milliseconds;
//! one without an area gets that of the option `area`, and is refused if there is none.
//!
//! ```yaml
//! type: als
//! ```

use std::io::Write;

use dpipe_event::{Batch, Builder, EventRef, Frame, JsonLimits, RecordWriter, Timestamp};
use dpipe_plugin::{
    BuildContext, BuildError, DecodeError, Decoder, DecoderConfig, DecoderSpec, EncodeError,
    Encoder, EncoderConfig, EncoderSpec, Parsed, Parser,
};
use schemars::JsonSchema;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use crate::json_body::{self, InvalidUtf8, JsonBody};

/// How to read lines of the form `area,timestamp,{json}`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Decode {
    /// What becomes of a body that is not UTF-8.
    invalid_utf8: InvalidUtf8,
    /// The nesting at which a body is refused; at most 128.
    #[serde(deserialize_with = "json_body::depth_max")]
    depth_max: u32,
    /// The most values in a body, array elements included.
    fields_max: u32,
}

/// How to write lines of the form `area,timestamp,{json}`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Encode {
    /// The area of events that have none; they are refused without this option.
    #[serde(deserialize_with = "area")]
    area: Option<String>,
}

impl Default for Decode {
    fn default() -> Self {
        let JsonLimits { depth, fields } = JsonLimits::default();
        Decode { invalid_utf8: InvalidUtf8::default(), depth_max: depth, fields_max: fields }
    }
}

fn area<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let area = String::deserialize(deserializer)?;
    if area.is_empty() || area.len() > AREA_BYTES_MAX || area.contains([',', '\n', '\r']) {
        let wanted = "an area is 1 to 255 bytes long and holds no comma and no line end";
        return Err(D::Error::custom(wanted));
    }
    Ok(Some(area))
}

impl DecoderConfig for Decode {
    const NAME: &'static str = "als";
}

impl DecoderSpec for Decode {
    fn build(&self, _: &BuildContext<'_>) -> Result<Box<dyn Decoder>, BuildError> {
        Ok(Box::new(AlsDecoder { body: self.body() }))
    }

    fn parser(&self, _: &BuildContext<'_>) -> Result<Box<dyn Parser>, BuildError> {
        Ok(Box::new(AlsDecoder { body: self.body() }))
    }
}

impl Decode {
    fn body(&self) -> JsonBody {
        let limits = JsonLimits { depth: self.depth_max, fields: self.fields_max };
        JsonBody { limits, invalid_utf8: self.invalid_utf8 }
    }
}

impl EncoderConfig for Encode {
    const NAME: &'static str = "als";
}

impl EncoderSpec for Encode {
    fn build(&self, _: &BuildContext<'_>) -> Result<Box<dyn Encoder>, BuildError> {
        Ok(Box::new(AlsEncoder { area: self.area.clone() }))
    }
}

struct AlsDecoder {
    body: JsonBody,
}

impl Decoder for AlsDecoder {
    fn decode(&mut self, frame: &Frame<'_>, events: &mut Builder) -> Result<(), DecodeError> {
        let head = Head::of(frame.bytes)?;
        let body = head.len..frame.bytes.len();
        self.body.push(frame, body, events)?.time(head.time).area_len(head.area_len);
        Ok(())
    }
}

impl Parser for AlsDecoder {
    fn parse(
        &mut self,
        text: &[u8],
        _: Timestamp,
        record: &mut RecordWriter<'_>,
    ) -> Result<Parsed, DecodeError> {
        let head = Head::of(text)?;
        let flag = self.body.write(&text[head.len..], record)?;
        Ok(Parsed { time: Some(head.time), flag })
    }
}

struct AlsEncoder {
    area: Option<String>,
}

impl Encoder for AlsEncoder {
    fn encode(&self, event: &EventRef<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if let Some(head) = head_as_written(event) {
            out.extend_from_slice(&event.raw()[..head.len]);
        } else {
            let area = match (event.area(), &self.area) {
                ("", Some(area)) => area,
                ("", None) => return Err(EncodeError { reason: "the event has no area".into() }),
                (area, _) => area,
            };
            out.extend_from_slice(area.as_bytes());
            // Writing to a vector cannot fail.
            let _ = write!(out, ",{},", event.time().millis());
        }
        event.write_json(out);
        Ok(())
    }

    fn is_verbatim(&self, batch: &Batch) -> bool {
        batch.iter().all(|event| {
            let whole = |head: Head| head.len + event.body_text().len() == event.raw().len();
            event.is_untouched() && head_as_written(&event).is_some_and(whole)
        })
    }
}

/// The head of the raw line, if it was read as an als line and still says what the event says.
fn head_as_written(event: &EventRef<'_>) -> Option<Head> {
    if event.area().is_empty() {
        return None;
    }
    let head = Head::of(event.raw()).ok()?;
    (event.area().len() == usize::from(head.area_len) && event.time() == head.time).then_some(head)
}

const AREA_BYTES_MAX: usize = 255;

/// Seconds since 1970 of 2000-01-01 and of 2100-01-01. As the first times 1000 is more than the
/// second, a number cannot mean both seconds and milliseconds.
const TIMES: std::ops::Range<i64> = 946_684_800..4_102_444_800;

/// What stands before the body: `area,timestamp,`.
struct Head {
    len: usize,
    area_len: u16,
    time: Timestamp,
}

impl Head {
    #[inline]
    fn of(line: &[u8]) -> Result<Head, DecodeError> {
        match Head::usual(line) {
            Some(head) => Ok(head),
            None => Head::any(line),
        }
    }

    /// The head of nearly every line: a short area in ASCII, a time of up to 15 digits, and enough
    /// behind it to be read by words.
    #[inline]
    fn usual(line: &[u8]) -> Option<Head> {
        const AREA_BYTES: usize = 24;
        let area_len = line.iter().take(AREA_BYTES).position(|&byte| byte == b',')?;
        let (area, rest) = line.split_at(area_len);
        let (number, digits) = digits(rest[1..].first_chunk()?);
        let body = area_len + 1 + digits + 1;
        if area.is_empty() || !area.is_ascii() || digits == 0 || line.get(body - 1) != Some(&b',') {
            return None;
        }
        let time = time_of(number)?;
        Some(Head { len: body, area_len: area_len as u16, time })
    }

    #[cold]
    fn any(line: &[u8]) -> Result<Head, DecodeError> {
        let missing = |what: &'static str| DecodeError::new("missing_field", what);
        let area_len = memchr::memchr(b',', line)
            .ok_or_else(|| missing("no comma: expected `area,timestamp,{json}`"))?;
        let area = &line[..area_len];
        if area.is_empty() {
            return Err(DecodeError::new("empty_area", "the area is empty"));
        }
        if area.len() > AREA_BYTES_MAX {
            let reason =
                format!("the area is {area_len} bytes long, the limit is {AREA_BYTES_MAX}");
            return Err(DecodeError::new("area_too_long", reason));
        }
        if !area.is_ascii() && std::str::from_utf8(area).is_err() {
            return Err(DecodeError::new("area_not_utf8", "the area is not UTF-8"));
        }
        let rest = &line[area_len + 1..];
        let digits = memchr::memchr(b',', rest)
            .ok_or_else(|| missing("only one comma: expected `area,timestamp,{json}`"))?;
        let time = timestamp(&rest[..digits])?;
        Ok(Head { len: area_len + 1 + digits + 1, area_len: area_len as u16, time })
    }
}

fn timestamp(text: &[u8]) -> Result<Timestamp, DecodeError> {
    // More than 18 digits would overflow, and mean no time in this millennium.
    let number = (1..=18).contains(&text.len()) && text.iter().all(u8::is_ascii_digit);
    if !number {
        let shown = String::from_utf8_lossy(&text[..text.len().min(40)]).into_owned();
        let reason = format!(
            "the timestamp {shown:?} is not a whole number of seconds or milliseconds since 1970"
        );
        return Err(DecodeError::new("bad_timestamp", reason));
    }
    let number = text.iter().fold(0i64, |n, digit| n * 10 + i64::from(digit - b'0'));
    time_of(number).ok_or_else(|| {
        let reason = format!("the timestamp {number} is not within the years 2000 to 2099");
        DecodeError::new("time_out_of_range", reason)
    })
}

/// The time that a number means, if that is within this century.
fn time_of(number: i64) -> Option<Timestamp> {
    let millis = if number < TIMES.end { number * 1000 } else { number };
    (TIMES.start * 1000..TIMES.end * 1000)
        .contains(&millis)
        .then_some(Timestamp::from_millis(millis))
}

/// The number that the digits at the start of a text are, and how many they are. If all are digits,
/// it says that there are none.
#[inline]
fn digits(text: &[u8; 16]) -> (i64, usize) {
    let (words, _) = text.as_chunks::<8>();
    let [first, last] = [words[0], words[1]].map(|word| u64::from_le_bytes(word) ^ ZEROS);
    match (digit_count(first), digit_count(last)) {
        (8, 8) => (0, 0),
        (8, count) => {
            let last = value_of(last, count);
            (value_of(first, 8) * 10_i64.pow(count as u32) + last, 8 + count)
        }
        (count, _) => (value_of(first, count), count),
    }
}

const ZEROS: u64 = u64::from_le_bytes([b'0'; 8]);

/// How many of 8 bytes are below 10 before the first that is not.
#[inline]
fn digit_count(bytes: u64) -> usize {
    // What is carried from a byte that is not below 10 does not reach those before it.
    let others = (bytes.wrapping_add(0x7676_7676_7676_7676) | bytes) & 0x8080_8080_8080_8080;
    others.trailing_zeros() as usize / 8
}

/// The value of the first `count` of 8 decimal digits, the first of which is the highest: pairs are
/// added up, then pairs of pairs, then those.
#[inline]
fn value_of(digits: u64, count: usize) -> i64 {
    if count == 0 {
        return 0;
    }
    let digits = digits << (64 - 8 * count);
    let pairs = (digits.wrapping_mul(10) + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs.wrapping_mul(100) + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    (fours.wrapping_mul(10_000) + (fours >> 32)) as u32 as i64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codecs::tests::{batch_of, body, decode_lines, encode, errors_of, verbatim};

    const LINE: &str = r#"us,1393675200250,{"uri":"/a","n":12345678901234567890,"s":"\u00e9\n"}"#;

    fn decoder() -> AlsDecoder {
        AlsDecoder { body: JsonBody::default() }
    }

    fn encoder() -> AlsEncoder {
        AlsEncoder { area: None }
    }

    fn refusal(line: impl AsRef<[u8]>) -> String {
        let errors = errors_of(&mut decoder(), line.as_ref());
        assert_eq!(errors.len(), 1, "{errors:?}");
        format!("{}: {}", errors[0].kind, errors[0].reason)
    }

    fn time(digits: &str) -> Result<i64, &'static str> {
        timestamp(digits.as_bytes()).map(Timestamp::millis).map_err(|error| error.kind)
    }

    #[test]
    fn options_that_cannot_be_are_refused() {
        let decode = |text| serde_json::from_str::<Decode>(text).map_err(|e| e.to_string());
        assert_eq!(decode(r#"{"depth_max":20}"#).unwrap().depth_max, 20);
        assert!(decode(r#"{"depth_max":129}"#).unwrap_err().contains("between 1 and 128"));
        assert!(decode(r#"{"depth":1}"#).unwrap_err().contains("unknown field"));
        for area in ["", "a,b", "a\\n"] {
            let text = format!("{{\"area\":\"{area}\"}}");
            let error = serde_json::from_str::<Encode>(&text).unwrap_err().to_string();
            assert!(error.contains("an area is 1 to 255 bytes long"), "{area:?}: {error}");
        }
    }

    #[test]
    fn area_time_and_body_are_read_as_written() {
        let batch = batch_of(&mut decoder(), LINE);
        let event = batch.get(0);
        assert!(Head::usual(LINE.as_bytes()).is_some());
        assert_eq!(event.area(), "us");
        assert_eq!(event.time().to_string(), "2014-03-01T12:00:00.250Z");
        assert_eq!(body(&event), LINE.split_once(",{").map(|(_, b)| format!("{{{b}")).unwrap());
    }

    #[test]
    fn the_magnitude_tells_seconds_from_milliseconds() {
        assert_eq!(time("1393675200"), Ok(1_393_675_200_000));
        assert_eq!(time("1393675200250"), Ok(1_393_675_200_250));
        assert_eq!(time("946684800"), Ok(946_684_800_000));
        assert_eq!(time("946684800000"), Ok(946_684_800_000));
        assert_eq!(time("4102444799"), Ok(4_102_444_799_000));
        assert_eq!(time("4102444799999"), Ok(4_102_444_799_999));
    }

    #[test]
    fn a_time_outside_of_this_century_is_refused_with_its_number() {
        for digits in ["0", "946684799", "4102444800", "946684799999", "4102444800000"] {
            assert_eq!(time(digits), Err("time_out_of_range"), "{digits}");
        }
        assert_eq!(
            refusal(r#"us,12,{"a":1}"#),
            "time_out_of_range: the timestamp 12 is not within the years 2000 to 2099"
        );
    }

    #[test]
    fn any_other_form_of_number_is_refused() {
        for digits in
            ["", " 1393675200", "1393675200.5", "-1", "+1393675200", "1.4e9", "0x5311", "٣", "1_0"]
        {
            assert_eq!(time(digits), Err("bad_timestamp"), "{digits}");
        }
        assert_eq!(time(&"9".repeat(18)), Err("time_out_of_range"));
        assert_eq!(time(&"9".repeat(19)), Err("bad_timestamp"));
        assert_eq!(
            refusal("us,soon,{}"),
            "bad_timestamp: the timestamp \"soon\" is not a whole number of seconds or \
             milliseconds since 1970"
        );
    }

    #[test]
    fn each_broken_line_is_refused_for_its_reason() {
        for (line, kind) in [
            ("", "missing_field"),
            ("us", "missing_field"),
            ("us,1393675200", "missing_field"),
            ("{\"a\":1}", "missing_field"),
            (",1393675200,{}", "empty_area"),
            ("us,1393675200,", "bad_json"),
            ("us,1393675200,[1]", "bad_json"),
            ("us,1393675200,\"x\"", "bad_json"),
            ("us,1393675200,{\"a\":1", "bad_json"),
            ("us,1393675200,{\"a\":1}{}", "bad_json"),
        ] {
            // An empty line is no frame by itself: it needs its end.
            let refused = refusal(format!("{line}\n"));
            assert!(refused.starts_with(&format!("{kind}: ")), "{line:?} gave {refused}");
        }
        let long = format!("{},1393675200,{{}}", "a".repeat(256));
        assert_eq!(refusal(long), "area_too_long: the area is 256 bytes long, the limit is 255");
        assert_eq!(refusal(b"u\xff,1393675200,{}"), "area_not_utf8: the area is not UTF-8");
    }

    #[test]
    fn broken_lines_do_not_affect_their_neighbors() {
        let good = |n| format!("us,139367520{n},{{\"n\":{n}}}\n");
        let text = format!("{}broken\n{}", good(1), good(2));
        let (batch, errors) = decode_lines(&mut decoder(), text.as_bytes());
        assert_eq!((batch.len(), errors.len()), (2, 1));
        assert_eq!(body(&batch.get(1)), "{\"n\":2}");
    }

    #[test]
    fn a_body_that_is_not_utf8_is_refused_or_repaired() {
        let line = b"us,1393675200,{\"a\":\"x\xffy\"}";
        assert!(refusal(line).starts_with("invalid_utf8: "));
        let mut repairing = decoder();
        repairing.body.invalid_utf8 = InvalidUtf8::Replace;
        let mut events = Builder::new();
        events.begin(line.to_vec().into(), 0, Timestamp::default());
        let frame = Frame { bytes: line, start: 0, original_len: line.len() };
        repairing.decode(&frame, &mut events).unwrap();
        assert_eq!(events.flagged(), [("invalid_utf8", 1)]);
        let (batch, errors) = decode_lines(&mut repairing, line);
        assert!(errors.is_empty());
        assert_eq!(body(&batch.get(0)), "{\"a\":\"x\u{fffd}y\"}");
        assert_eq!(batch.get(0).raw(), line);
        assert!(!encoder().is_verbatim(&batch));
        let encoded = encode(&encoder(), &batch).unwrap();
        assert_eq!(encoded, "us,1393675200,{\"a\":\"x\u{fffd}y\"}\n".as_bytes());
    }

    #[test]
    fn a_line_that_was_cut_is_refused_as_such() {
        let mut events = Builder::new();
        let bytes = LINE.as_bytes();
        events.begin(bytes.to_vec().into(), 0, Timestamp::default());
        let frame = Frame { bytes: &bytes[..30], start: 0, original_len: bytes.len() };
        let error = decoder().decode(&frame, &mut events).unwrap_err();
        assert_eq!(error.kind, "line_too_long");
        assert!(events.is_empty());
    }

    #[test]
    fn an_untouched_batch_is_written_as_it_was_read() {
        let text = format!("{LINE}\nde,1393675200,{{\"a\" : 1}}\n");
        let batch = batch_of(&mut decoder(), &text);
        assert!(encoder().is_verbatim(&batch));
        assert_eq!(verbatim(&batch), text);
        assert_eq!(encode(&encoder(), &batch).unwrap(), text.as_bytes());
    }

    #[test]
    fn an_edited_event_keeps_its_head_and_one_with_another_time_gets_milliseconds() {
        let mut batch = batch_of(&mut decoder(), "de,1393675200,{\"a\":1,\"b\":2}\n");
        batch.edit(0).remove(&"a".parse().unwrap());
        assert!(!encoder().is_verbatim(&batch));
        assert_eq!(encode(&encoder(), &batch).unwrap(), b"de,1393675200,{\"b\":2}\n");
        batch.edit(0).set_time(Timestamp::from_millis(1_393_675_200_001));
        assert_eq!(encode(&encoder(), &batch).unwrap(), b"de,1393675200001,{\"b\":2}\n");
    }

    #[test]
    fn a_changed_time_alone_keeps_a_batch_from_being_verbatim() {
        let mut batch = batch_of(&mut decoder(), LINE);
        batch.edit(0).set_time(Timestamp::from_millis(1_393_675_200_001));
        assert!(!encoder().is_verbatim(&batch));
    }

    #[test]
    fn an_event_without_area_needs_the_option() {
        // This line is one of text, though it looks like an als line.
        let mut text = crate::codecs::text::TextDecoder;
        let batch = batch_of(&mut text, LINE);
        assert!(!encoder().is_verbatim(&batch));
        assert!(encode(&encoder(), &batch).unwrap_err().reason.contains("no area"));
        let encoded = encode(&AlsEncoder { area: Some("eu".into()) }, &batch).unwrap();
        assert!(encoded.starts_with(b"eu,"), "{}", String::from_utf8_lossy(&encoded));
    }

    proptest! {
        #[test]
        fn what_was_encoded_decodes_to_the_same(
            area in "[^,\r\n]{1,60}",
            millis in TIMES.start * 1000..TIMES.end * 1000,
            key in ".{0,8}",
            text in ".{0,40}",
            number in any::<i64>(),
        ) {
            let json = serde_json::json!({ key: text, "n": number }).to_string();
            let mut plain = crate::codecs::json::JsonDecoder::default();
            let mut batch = batch_of(&mut plain, &json);
            batch.edit(0).set_time(Timestamp::from_millis(millis));
            let encoded = encode(&AlsEncoder { area: Some(area.clone()) }, &batch).unwrap();
            let (again, errors) = decode_lines(&mut decoder(), &encoded);
            prop_assert_eq!(errors, vec![]);
            let event = again.get(0);
            prop_assert_eq!(event.area(), area.as_str());
            prop_assert_eq!(event.time().millis(), millis);
            prop_assert_eq!(body(&event), json);
            prop_assert_eq!(encode(&encoder(), &again).unwrap(), encoded);
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(line in any::<Vec<u8>>()) {
            let _ = Head::of(&line);
        }

        #[test]
        fn a_usual_head_is_what_any_head_is(
            area in "[a-z,é]{0,30}",
            number in "[0-9]{0,20}|13[0-9]{8}|13[0-9]{11}|[0-9]{0,14}[:/\\x00a]",
            rest in ",?[{}0-9]{0,20}",
        ) {
            let line = format!("{area},{number}{rest}");
            let shown = |head: Head| (head.len, head.area_len, head.time);
            if let Some(head) = Head::usual(line.as_bytes()) {
                prop_assert_eq!(Head::any(line.as_bytes()).map(shown).unwrap(), shown(head));
            }
        }

        #[test]
        fn digits_are_read_by_words_as_one_by_one(text in "[0-9]{0,15}[^0-9]?.{0,15}") {
            let mut bytes = text.into_bytes();
            bytes.resize(16, b'x');
            let count = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let expected = match count {
                16 => (0, 0),
                0 => (0, 0),
                _ => (std::str::from_utf8(&bytes[..count]).unwrap().parse().unwrap(), count),
            };
            prop_assert_eq!(digits(bytes[..16].try_into().unwrap()), expected);
        }
    }
}
