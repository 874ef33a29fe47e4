use proptest::prelude::*;

use super::*;
use crate::codecs::json::JsonDecoder;
use crate::codecs::tests::{decode_lines, encode, parse, parse_any, refuse};

fn msgpack() -> MsgPack {
    MsgPack::new(&Decode::default())
}

fn read(bytes: &[u8]) -> String {
    parse(&mut msgpack(), bytes)
}

/// `{"a": …}` with these bytes for the value.
fn with(value: &[u8]) -> Vec<u8> {
    [b"\x81\xa1a", value].concat()
}

fn value(bytes: &[u8]) -> String {
    let read = read(&with(bytes));
    read.strip_prefix("{\"a\":").and_then(|read| read.strip_suffix('}')).unwrap().to_owned()
}

fn encoded(json: &str) -> Vec<u8> {
    let (batch, errors) = decode_lines(&mut JsonDecoder::default(), json.as_bytes());
    assert_eq!(errors, []);
    let mut bytes = encode(&MsgPackEncoder, &batch).unwrap();
    bytes.pop();
    bytes
}

#[test]
fn every_form_of_a_value_is_read() {
    for (bytes, json) in [
        (&b"\x05"[..], "5"),
        (b"\xff", "-1"),
        (b"\xc0", "null"),
        (b"\xc2", "false"),
        (b"\xc3", "true"),
        (b"\xcc\xff", "255"),
        (b"\xcd\x01\x00", "256"),
        (b"\xce\xff\xff\xff\xff", "4294967295"),
        (b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", "18446744073709551615"),
        (b"\xd0\x80", "-128"),
        (b"\xd1\x80\x00", "-32768"),
        (b"\xd2\x80\x00\x00\x00", "-2147483648"),
        (b"\xd3\x80\x00\x00\x00\x00\x00\x00\x00", "-9223372036854775808"),
        (b"\xca\x3f\xc0\x00\x00", "1.5"),
        (b"\xca\x3d\xcc\xcc\xcd", "0.1"),
        (b"\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00", "1.5"),
        (b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00", "null"),
        (b"\xa2x\"", r#""x\"""#),
        (b"\xd9\x01x", r#""x""#),
        (b"\xda\x00\x01x", r#""x""#),
        (b"\xdb\x00\x00\x00\x01\xff", "\"\u{fffd}\""),
        (b"\xc4\x02hi", r#""hi""#),
        (b"\xc4\x02h\xff", r#""aP8=""#),
        (b"\xc5\x00\x01\xff", r#""/w==""#),
        (b"\xc6\x00\x00\x00\x03\xff\xfe\xfd", r#""//79""#),
        (b"\x92\x01\x90", "[1,[]]"),
        (b"\xdc\x00\x01\x80", "[{}]"),
        (b"\xdd\x00\x00\x00\x01\xc0", "[null]"),
        (b"\x82\xa1b\x01\x07\x02", r#"{"b":1,"7":2}"#),
        (b"\xde\x00\x01\xc2\x01", r#"{"false":1}"#),
        (b"\xdf\x00\x00\x00\x01\xc4\x01k\x01", r#"{"k":1}"#),
        (b"\xd6\xff\x53\x11\xca\x80", r#""2014-03-01T11:54:40.000Z""#),
        (b"\xd7\x00\x53\x11\xca\x80\x0e\xe6\xb2\x80", r#""2014-03-01T11:54:40.250Z""#),
        (b"\xd7\xff\x00\x00\x00\x04\x53\x11\xca\x80", r#""2014-03-01T11:54:40.000000001Z""#),
        (
            b"\xc7\x0c\xff\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff",
            r#""1969-12-31T23:59:59.000Z""#,
        ),
        (
            b"\xc7\x0c\xff\x00\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff",
            r#"{"type":-1,"data":"AAAAAH//////////"}"#,
        ),
        (b"\xd4\x05\x01", r#"{"type":5,"data":"AQ=="}"#),
    ] {
        assert_eq!(value(bytes), json, "{bytes:x?}");
    }
}

#[test]
fn binary_values_can_all_be_base64() {
    let mut parser = MsgPack::new(&Decode { binary: Binary::Base64, ..Decode::default() });
    assert_eq!(parse(&mut parser, &with(b"\xc4\x02hi")), r#"{"a":"aGk="}"#);
}

#[test]
fn what_is_announced_and_not_there_is_refused_without_room_for_it() {
    let refusal = |bytes: &[u8]| refuse(&mut msgpack(), bytes);
    for bytes in [
        &b"\xdb\xff\xff\xff\xff"[..],
        b"\xc6\xff\xff\xff\xffx",
        b"\xdd\xff\xff\xff\xff\x01",
        b"\xdf\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff\x01",
        b"\xcf\x01",
        b"",
    ] {
        assert!(refusal(&with(bytes)).starts_with("truncated: "), "{bytes:x?}");
    }
    assert_eq!(refusal(b"\x81\xa5a"), "truncated: 5 more bytes are announced, and 1 are there");
}

#[test]
fn each_broken_map_is_refused_for_its_reason() {
    let refusal = |bytes: &[u8]| refuse(&mut msgpack(), bytes);
    assert_eq!(refusal(b"\x90"), "not_a_map: the value is not a map");
    assert_eq!(refusal(b"\x80\x80"), "trailing_bytes: 1 bytes follow the map");
    assert_eq!(refusal(b"\x81\x90\x01"), "bad_key: a key is neither a text nor a number");
    assert_eq!(refusal(&with(b"\xc1")), "unknown_byte: the byte 0xc1 starts no value");
    let deep = [&b"\x91".repeat(64)[..], b"\x01"].concat();
    assert_eq!(refusal(&with(&deep)), "too_deep: the map is nested more than 64 deep");
    assert!(value(&deep[1..]).starts_with("[[[["));
    let bomb = [&b"\xdd\xff\xff\xff\xff"[..], &b"\x01".repeat(10_001)].concat();
    assert_eq!(refusal(&with(&bomb)), "too_many_fields: the map has more than 10000 values");
}

#[test]
fn options_that_cannot_be_are_refused() {
    let why = serde_json::from_str::<Decode>(r#"{"depth_max":65}"#).unwrap_err().to_string();
    assert!(why.contains("65 is not between 1 and 64"), "{why}");
}

#[test]
fn a_value_is_written_in_its_shortest_form() {
    assert_eq!(
        encoded(r#"{"a":[1,-1,200,null,true,"x",1.5]}"#),
        [&b"\x81\xa1a\x97\x01\xff\xcc\xc8\xc0\xc3\xa1x\xcb\x3f\xf8"[..], &[0; 6],].concat()
    );
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        (-300..300_i64).prop_map(Into::into),
        any::<f64>().prop_filter("JSON has no other", |n| n.is_finite()).prop_map(Into::into),
        ".{0,40}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 40, 20, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..20).prop_map(Into::into),
            prop::collection::btree_map(".{0,6}", inner, 0..20)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_was_encoded_decodes_to_the_same(value in json()) {
        let object = serde_json::json!({ "v": value });
        let read = read(&encoded(&object.to_string()));
        let read: serde_json::Value = serde_json::from_str(&read).unwrap();
        prop_assert_eq!(by_value(read), by_value(object));
    }

    #[test]
    fn any_bytes_are_refused_or_become_json(
        bytes in prop::collection::vec(any::<u8>(), 0..60),
        small in prop::collection::vec(prop_oneof![0x80..0xa4_u8, 0xc0..0xe0_u8, 0..4_u8], 0..40),
    ) {
        for bytes in [&bytes, &small] {
            parse_any(&mut msgpack(), bytes);
            parse_any(&mut msgpack(), &with(bytes));
        }
    }
}

/// Numbers by their value instead of their digits.
fn by_value(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::Number(number) if number.as_i64().is_none() && number.as_u64().is_none() => {
            Value::String(format!("{:?}", number.as_f64().unwrap()))
        }
        Value::Array(list) => list.into_iter().map(by_value).collect::<Vec<_>>().into(),
        Value::Object(map) => {
            Value::Object(map.into_iter().map(|(k, v)| (k, by_value(v))).collect())
        }
        other => other,
    }
}
