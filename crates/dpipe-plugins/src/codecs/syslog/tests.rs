use proptest::prelude::*;

use super::*;
use crate::codecs::tests::{Lines, body, decode_lines, encode, parse, parse_any, refuse};

fn read(text: &str) -> String {
    parse(&mut Syslog::new(&Decode::default()), text.as_bytes())
}

fn read_in(zone: &str, text: &str) -> String {
    let decode = Decode { timezone: Zone::parse(zone).unwrap() };
    parse(&mut Syslog::new(&decode), text.as_bytes())
}

fn decoder() -> Lines<Syslog> {
    Lines(Syslog::new(&Decode::default()))
}

/// What the encoder makes of what the decoder makes of a message.
fn again(options: &str, text: &str) -> String {
    let config: Encode = serde_json::from_str(options).unwrap();
    let (batch, errors) = decode_lines(&mut decoder(), text.as_bytes());
    assert_eq!(errors, []);
    String::from_utf8(encode(&SyslogEncoder::new(&config), &batch).unwrap()).unwrap()
}

#[test]
fn a_message_of_rfc_5424_has_all_its_parts() {
    assert_eq!(
        read(
            "<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog 12 ID47 \
             [exampleSDID@32473 iut=\"3\" eventSource=\"Appli\\\"ca\\\\ti\\]on\\n\"]\
             [examplePriority@32473 class=\"high\"][empty] \u{feff}An application event"
        ),
        r#"@2003-10-11T22:14:15.003Z {"facility":"local4","severity":5,"level":"notice","#
            .to_owned()
            + r#""host":"mymachine.example.com","app":"evntslog","pid":12,"msgid":"ID47","#
            + r#""sd":{"exampleSDID@32473":{"iut":"3","eventSource":"Appli\"ca\\ti]on\\n"},"#
            + r#""examplePriority@32473":{"class":"high"},"empty":{}},"#
            + r#""message":"An application event"}"#
    );
}

#[test]
fn nothing_is_a_hyphen_and_a_message_need_not_be_there() {
    let head = r#"{"facility":"kern","severity":0,"level":"emerg""#;
    assert_eq!(read("<0>1 - - - - - -"), format!("{head}}}"));
    assert_eq!(read("<0>1 - - - - -"), format!("{head}}}"));
    assert_eq!(read("<0>1 - - - - - - \n\0"), format!("{head}}}"));
    assert_eq!(
        read("<0>1 - h - x1 - - m"),
        format!(r#"{head},"host":"h","pid":"x1","message":"m"}}"#)
    );
}

#[test]
fn structured_data_that_is_none_is_part_of_the_message() {
    for text in [
        "[",
        "[]",
        "[a",
        "[a b]",
        "[a b=c]",
        "[a b=\"c]",
        "[a b=\"c\"",
        "[a b=\"\\",
        "[a]x",
        "[1 2 3] x",
    ] {
        let read = read(&format!("<0>1 - - - - - {text}"));
        let message = serde_json::Value::from(text).to_string();
        assert!(read.ends_with(&format!("\"message\":{message}}} !bad_structured_data")), "{read}");
    }
    let read = read("<0>1 - - - - - no structured data");
    assert!(read.ends_with("\"message\":\"no structured data\"}"), "{read}");
}

#[test]
fn a_time_that_is_none_is_flagged_and_the_message_lives() {
    let new = read("<0>1 2003-99-11T22:14:15Z h a 1 - - m");
    assert!(
        new.ends_with(r#""host":"h","app":"a","pid":1,"message":"m"} !bad_timestamp"#),
        "{new}"
    );
    let old = read("<0>Foo 31 12:00:00 host app: m");
    assert!(old.ends_with(r#""message":"Foo 31 12:00:00 host app: m"} !bad_timestamp"#), "{old}");
}

#[test]
fn a_message_of_rfc_3164_has_all_its_parts() {
    assert_eq!(
        read("<34>Oct 11 22:14:15 mymachine su[12]: 'su root' failed"),
        r#"@2013-10-11T22:14:15.000Z {"facility":"auth","severity":2,"level":"crit","#.to_owned()
            + r#""host":"mymachine","app":"su","pid":12,"message":"'su root' failed"}"#
    );
}

#[test]
fn each_part_of_an_old_message_may_be_missing() {
    // Texts arrive on 2014-03-01.
    for (text, expected) in [
        (
            "Mar  1 12:00:00 h a: m",
            r#"@2014-03-01T12:00:00.000Z {"host":"h","app":"a","message":"m"}"#,
        ),
        (
            "Mar 1 12:00:00 h a[x1] m",
            r#"@2014-03-01T12:00:00.000Z {"host":"h","app":"a","pid":"x1","message":"m"}"#,
        ),
        (
            "Mar  1 12:00:00 a[1]: m",
            r#"@2014-03-01T12:00:00.000Z {"app":"a","pid":1,"message":"m"}"#,
        ),
        ("Mar  1 12:00:00 a: m", r#"@2014-03-01T12:00:00.000Z {"app":"a","message":"m"}"#),
        (
            "Mar  1 12:00:00 h last message repeated",
            r#"@2014-03-01T12:00:00.000Z {"host":"h","message":"last message repeated"}"#,
        ),
        (
            "Mar  1 12:00:00 h http://x: y",
            r#"@2014-03-01T12:00:00.000Z {"host":"h","message":"http://x: y"}"#,
        ),
        (
            "Mar  1 12:00:00 h kernel: [1.5] m",
            r#"@2014-03-01T12:00:00.000Z {"host":"h","app":"kernel","message":"[1.5] m"}"#,
        ),
        (
            "Mar  1 12:00:00 h postfix/smtpd[1]: m",
            r#"@2014-03-01T12:00:00.000Z {"host":"h","app":"postfix/smtpd","pid":1,"message":"m"}"#,
        ),
        ("Mar  1 12:00:00 hello", r#"@2014-03-01T12:00:00.000Z {"message":"hello"}"#),
        ("Mar  1 12:00:00", r#"@2014-03-01T12:00:00.000Z {}"#),
        (
            "Mar  1 2013 12:00:00.5 h a: m",
            r#"@2013-03-01T12:00:00.500Z {"host":"h","app":"a","message":"m"}"#,
        ),
        (
            "2013-03-01T12:00:00+01:00 h a: m",
            r#"@2013-03-01T11:00:00.000Z {"host":"h","app":"a","message":"m"}"#,
        ),
        (
            "<0>a[1]: m",
            r#"{"facility":"kern","severity":0,"level":"emerg","app":"a","pid":1,"message":"m"}"#,
        ),
        (
            "<0>just a text",
            r#"{"facility":"kern","severity":0,"level":"emerg","message":"just a text"}"#,
        ),
        ("a: text", r#"{"message":"a: text"} !no_header"#),
        ("<x>a", r#"{"message":"<x>a"} !no_header"#),
        ("<>a", r#"{"message":"<>a"} !no_header"#),
    ] {
        assert_eq!(read(text), expected, "{text}");
    }
}

#[test]
fn switches_count_their_messages_and_doubt_their_clocks() {
    for stamp in
        ["*Mar  1 18:46:11.123 UTC: ", "Mar  1 18:46:11.123: ", ".Mar 1 2014 18:46:11.123 UTC: "]
    {
        let read = read(&format!("<189>29: {stamp}%SYS-5-CONFIG_I: Configured"));
        assert_eq!(
            read,
            r#"@2014-03-01T18:46:11.123Z {"facility":"local7","severity":5,"level":"notice","#
                .to_owned()
                + r#""sequence":29,"app":"%SYS-5-CONFIG_I","message":"Configured"}"#
        );
    }
}

#[test]
fn the_year_is_the_nearest_and_the_zone_the_configured_one() {
    let time = |text: &str| read_in("Europe/Berlin", text).split(' ').next().unwrap().to_owned();
    assert_eq!(time("Mar  1 12:00:00 h m"), "@2014-03-01T11:00:00.000Z");
    assert_eq!(time("Dec 31 23:59:59 h m"), "@2013-12-31T22:59:59.000Z");
    assert_eq!(time("Aug 29 12:00:00 h m"), "@2014-08-29T10:00:00.000Z");
    let twice = read_in("Europe/Berlin", "Oct 27 02:30:00 h m");
    assert_eq!(twice, r#"@2013-10-27T00:30:00.000Z {"host":"h","message":"m"} !ambiguous_time"#);
    let never = read_in("Europe/Berlin", "Mar 30 02:30:00 h m");
    assert_eq!(never, r#"@2014-03-30T01:30:00.000Z {"host":"h","message":"m"} !nonexistent_time"#);
}

#[test]
fn a_priority_beyond_the_facilities_is_refused() {
    let refusal = |text: &str| refuse(&mut Syslog::new(&Decode::default()), text.as_bytes());
    assert_eq!(refusal("<192>m"), "bad_priority: the priority is 192, the highest is 191");
    assert_eq!(
        refusal("<999>1 - - - - - -"),
        "bad_priority: the priority is 999, the highest is 191"
    );
    assert_eq!(refusal("\0\n"), "empty: the message is empty");
}

#[test]
fn events_of_other_codecs_become_messages_with_the_defaults_given() {
    let config = r#"{"facility":"local0","level":"err","app":"game"}"#;
    let encoder = SyslogEncoder::new(&serde_json::from_str(config).unwrap());
    let text = "{\"a\":1}\n{\"message\":\"x\\ny\",\"level\":\"WARN\",\"host\":\"a b\\u00e9\"}\n{\"facility\":4,\"severity\":9,\"message\":1}\n";
    let (batch, _) =
        decode_lines(&mut crate::codecs::json::JsonDecoder::default(), text.as_bytes());
    assert_eq!(
        String::from_utf8(encode(&encoder, &batch).unwrap()).unwrap(),
        "<131>1 2014-03-01T12:00:00.250Z - game - - - {\"a\":1}\n\
         <132>1 2014-03-01T12:00:00.250Z a_b__ game - - - x\\ny\n\
         <35>1 2014-03-01T12:00:00.250Z - game - - - 1\n"
    );
}

#[test]
fn old_messages_are_written_in_the_zone_given() {
    let text = "<34>Oct  1 22:14:15 mymachine su[12]: failed\n";
    assert_eq!(again(r#"{"format":"rfc3164"}"#, text), text);
    let berlin = again(r#"{"format":"rfc3164","timezone":"Europe/Berlin"}"#, text);
    assert_eq!(berlin, "<34>Oct  2 00:14:15 mymachine su[12]: failed\n");
    assert_eq!(
        again(r#"{"format":"rfc3164"}"#, "<13>Oct  1 22:14:15 h a b c\n"),
        "<13>Oct  1 22:14:15 h a b c\n"
    );
}

fn word() -> impl Strategy<Value = String> {
    "-|[!-~]{1,12}"
}

fn element() -> impl Strategy<Value = String> {
    let param = ("[a-z@.]{1,8}", r#"([^"\\\]\p{Cc}]|\\"|\\\\|\\\]){0,8}"#);
    (("[a-z]{1,8}"), prop::collection::vec(param, 0..3)).prop_map(|(id, params)| {
        let params: Vec<_> = params.iter().map(|(k, v)| format!(" {k}=\"{v}\"")).collect();
        format!("[{id}{}]", params.concat())
    })
}

proptest! {
    #[test]
    fn what_was_encoded_decodes_to_the_same(
        priority in 0..192_u8,
        words in prop::collection::vec(word(), 4),
        sd in prop::collection::vec(element(), 0..3),
        message in "[^\\p{Cc}\u{feff}]{0,20}",
    ) {
        let sd = if sd.is_empty() { "-".to_owned() } else { sd.concat() };
        let space = if message.is_empty() { "" } else { " " };
        let text = format!(
            "<{priority}>1 2014-03-01T12:00:00.250Z {} {sd}{space}{message}",
            words.join(" "),
        );
        let (first, _) = decode_lines(&mut decoder(), text.as_bytes());
        let encoded = again("{}", &text);
        let (second, errors) = decode_lines(&mut decoder(), encoded.as_bytes());
        prop_assert_eq!(errors, []);
        prop_assert_eq!(body(&first.get(0)), body(&second.get(0)));
        prop_assert_eq!(first.get(0).time(), second.get(0).time());
    }

    #[test]
    fn any_bytes_are_refused_or_become_json(
        text in prop_oneof![
            "<[0-9]{0,4}>1? ?.{0,60}",
            "(<34>)?(Oct 1[0-9]|Mar  1|[A-Z][a-z]{2} [0-9 ]{0,3}) ?([0-9 ]{0,5})[0-9:]{0,8}.{0,40}",
            "<34>1 - - - - - (\\[a( b=\"[^\"]{0,3}\")?\\]|[\\[\\] =\"\\\\a-c]){0,20}",
        ],
        bytes in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let mut parser = Syslog::new(&Decode::default());
        parse_any(&mut parser, text.as_bytes());
        parse_any(&mut parser, &bytes);
    }
}
