use proptest::prelude::*;

use super::*;
use crate::codecs::json::JsonDecoder;
use crate::codecs::tests::{Lines, body, decode_lines, encode, parse, parse_any, refuse};

fn logfmt(options: &str) -> Logfmt {
    Logfmt::new(&serde_json::from_str(options).unwrap())
}

fn read(text: &str) -> String {
    parse(&mut logfmt("{}"), text.as_bytes())
}

fn encoded(json: &str) -> String {
    let (batch, errors) = decode_lines(&mut JsonDecoder::default(), json.as_bytes());
    assert_eq!(errors, []);
    let mut text = String::from_utf8(encode(&LogfmtEncoder, &batch).unwrap()).unwrap();
    text.pop();
    text
}

#[test]
fn pairs_are_read_with_their_quotes_and_escapes() {
    assert_eq!(
        read(
            r#"at=info method=GET path="/a b" msg="say \"hi\"\n\u00e9\ud83d\ude00\q" empty= e="" fwd=1.2.3.4 host=h:80"#
        ),
        r#"{"at":"info","method":"GET","path":"/a b","msg":"say \"hi\"\né😀\\q","empty":"","e":"","fwd":"1.2.3.4","host":"h:80"}"#
    );
}

#[test]
fn words_have_the_type_that_they_look_like() {
    assert_eq!(
        read(
            r#"a=1 b=-1.50 c=true d=false e=null f="1" g=007 h=12e45 i=1e-7 j=1.5E+3 k=5ms l=- bare m=--"#
        ),
        r#"{"a":1,"b":-1.50,"c":true,"d":false,"e":null,"f":"1","g":"007","h":"12e45","i":1e-7,"j":1.5E+3,"k":"5ms","l":"-","bare":true,"m":"--"}"#
    );
    let none = parse(&mut logfmt(r#"{"types":"none"}"#), b"a=1 b=true c");
    assert_eq!(none, r#"{"a":"1","b":"true","c":true}"#);
}

#[test]
fn types_can_be_given_by_key() {
    let mut typed = logfmt(r#"{"types":{"status":"int","took":"float","ok":"bool"}}"#);
    let text = br#"status="0200" took=1.5 ok=yes n=1"#;
    assert_eq!(parse(&mut typed, text), r#"{"status":200,"took":1.5,"ok":true,"n":"1"}"#);
    assert_eq!(parse(&mut typed, b"status=x n=1"), r#"{"status":"x","n":"1"} !unconvertible"#);
}

#[test]
fn odd_spacing_and_lost_keys_do_no_harm() {
    assert_eq!(read("  a=1\t\tb=2 = =3 c=\"x\"d=4 "), r#"{"a":1,"b":2,"3":true,"c":"x","d":4}"#);
}

#[test]
fn what_has_no_pairs_or_too_many_is_refused() {
    let refusal = |options: &str, text: &str| refuse(&mut logfmt(options), text.as_bytes());
    assert_eq!(refusal("{}", "hello world"), "no_pair: there is no `key=value` in the text");
    assert_eq!(refusal("{}", ""), "no_pair: there is no `key=value` in the text");
    for text in ["a=\"", "a=\"x", "a=\"x\\", "a=\"x\\\"", "a=\"\\u00"] {
        assert_eq!(refusal("{}", text), "unclosed_quote: a value has no closing quote", "{text}");
    }
    let few = refusal(r#"{"fields_max":2}"#, "a=1 b c");
    assert_eq!(few, "too_many_fields: the text has more than 2 pairs");
}

#[test]
fn options_that_cannot_be_are_refused() {
    let why = |text: &str| serde_json::from_str::<Decode>(text).unwrap_err().to_string();
    assert!(why(r#"{"types":"some"}"#).contains("expected `auto` or `none`"));
    assert!(why(r#"{"types":{"a":"integer"}}"#).contains("unknown variant `integer`"));
    assert!(why(r#"{"types":1}"#).contains("`auto`, `none`, or a map of keys to types"));
}

#[test]
fn an_event_is_written_as_pairs_on_one_line() {
    assert_eq!(
        encoded(
            r#"{"a":{"b":1,"c":{"d":"x y"}},"e":[1,"z"],"f":{},"g":null,"h":true,"k\n =":"\n","s":"5","t":"true","u":"","":"v","n":1e5}"#
        ),
        r#"a.b=1 a.c.d="x y" e="[1,\"z\"]" f={} g=null h=true k___="\n" s="5" t="true" u="" _=v n=1e+5"#
    );
}

proptest! {
    #[test]
    fn what_was_encoded_decodes_to_the_same(
        members in prop::collection::btree_map(
            "[^\\p{Cc} =\"]{1,8}",
            prop_oneof![
                any::<i64>().prop_map(serde_json::Value::from),
                any::<bool>().prop_map(serde_json::Value::from),
                Just(serde_json::Value::Null),
                "\\PC{0,12}".prop_map(serde_json::Value::from),
                "[0-9e+.-]{0,6}|true|null|\n\\\\\"".prop_map(serde_json::Value::from),
                (any::<i32>(), 1..999_u32)
                    .prop_map(|(a, b)| serde_json::from_str(&format!("{a}.{b}")).unwrap()),
            ],
            1..6,
        ),
    ) {
        let object = serde_json::Value::Object(members.into_iter().collect());
        let text = encoded(&object.to_string());
        let (batch, errors) = decode_lines(&mut Lines(logfmt("{}")), text.as_bytes());
        prop_assert_eq!(errors, []);
        let seen: serde_json::Value = serde_json::from_str(&body(&batch.get(0))).unwrap();
        prop_assert_eq!(seen, object);
    }

    #[test]
    fn any_bytes_are_refused_or_become_json(
        text in "[a-c=\" \\\\ntu0-9de+.-]{0,40}",
        bytes in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        parse_any(&mut logfmt("{}"), text.as_bytes());
        parse_any(&mut logfmt(r#"{"types":{"a":"int"}}"#), text.as_bytes());
        parse_any(&mut logfmt("{}"), &bytes);
    }
}
