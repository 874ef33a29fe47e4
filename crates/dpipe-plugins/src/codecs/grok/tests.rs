use std::cell::Cell;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::json;

use super::*;
use crate::codecs::tests::{parse, parse_any, refuse};

fn config(options: serde_json::Value) -> Decode {
    serde_json::from_value(options).unwrap()
}

fn grok(options: serde_json::Value) -> Grok {
    let config = config(options);
    assert_eq!(config.check(), []);
    config.grok().unwrap()
}

fn legacy(expression: &str, text: &str) -> String {
    let options = json!({ "match": expression, "ecs_compatibility": "disabled" });
    parse(&mut grok(options), text.as_bytes())
}

fn ecs(expression: &str, text: &str) -> String {
    parse(&mut grok(json!({ "match": expression })), text.as_bytes())
}

fn problem(options: serde_json::Value) -> String {
    config(options).check().iter().map(ToString::to_string).collect()
}

const LINE: &str = r#"127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /a.gif HTTP/1.0" 200 2326 "http://example.com/" "Mozilla/4.08 [en]""#;

#[test]
fn every_pattern_compiles_in_both_of_its_forms() {
    for entry in table::all() {
        for names in ["v8", "disabled"] {
            let expression = format!("^%{{{}}}$", entry.name);
            let options = json!({ "match": expression, "ecs_compatibility": names });
            let config = config(options);
            let checked = config.check();
            assert_eq!(checked, [], "{}", entry.name);
        }
        assert_eq!(table::all().filter(|other| other.name == entry.name).count(), 1);
    }
}

#[test]
fn a_pattern_finds_what_its_name_says() {
    let found = [
        ("INT", "-12"),
        ("NUMBER", "+1.50"),
        ("NUMBER", ".5"),
        ("BASE16NUM", "0xFf"),
        ("POSINT", "12"),
        ("WORD", "a_1"),
        ("QS", r#""a \" b""#),
        ("QS", "''"),
        ("QS", "`x y`"),
        ("UUID", "0b8d1b3e-6f0c-4f9e-8e22-7b1e5d2f3a4c"),
        ("MAC", "00:1B:44:11:3A:B7"),
        ("MAC", "001B.4411.3AB7"),
        ("MAC", "00-1B-44-11-3A-B7"),
        ("IP", "192.168.0.255"),
        ("IP", "::1"),
        ("IP", "2001:db8::ff00:42:8329"),
        ("IP", "::ffff:10.0.0.1"),
        ("IP", "fe80::1%eth0"),
        ("HOSTNAME", "a-b.example.com"),
        ("IPORHOST", "10.0.0.1"),
        ("HOSTPORT", "example.com:80"),
        ("EMAILADDRESS", "a.b+c@example.com"),
        ("UNIXPATH", "/var/log/a.log"),
        ("WINPATH", r"C:\Windows\x.txt"),
        ("URI", "https://user:pw@example.com:8443/a/b?c=d&e=%20"),
        ("URIPATHPARAM", "/a/b?c=d"),
        ("URN", "urn:isbn:0451450523"),
        ("MONTH", "September"),
        ("DAY", "Wed"),
        ("TIME", "23:59:60.123"),
        ("DATE_EU", "31.12.2014"),
        ("DATE_US", "12/31/14"),
        ("TIMESTAMP_ISO8601", "2014-03-01T12:00:00.250+01:00"),
        ("TIMESTAMP_ISO8601", "2014-03-01 12:00"),
        ("HTTPDATE", "10/Oct/2000:13:55:36 -0700"),
        ("SYSLOGTIMESTAMP", "Mar  1 12:00:00"),
        ("DATESTAMP_RFC2822", "Sat, 1 Mar 2014 12:00:00 +0100"),
        ("DATESTAMP_EVENTLOG", "20140301120000"),
        ("LOGLEVEL", "WARNING"),
        ("TTY", "/dev/pts/0"),
        ("JAVACLASS", "com.example.Main$Inner"),
        ("MAVEN_VERSION", "1.2.3-SNAPSHOT"),
        ("GREEDYDATA", "any thing"),
    ];
    for (name, text) in found {
        let mut parser = grok(json!({ "match": format!("^%{{{name}:x}}$") }));
        let expected = json!({ "x": text }).to_string();
        assert_eq!(parse(&mut parser, text.as_bytes()), expected, "{name}");
    }
    let not_found = [
        ("INT", "1.5"),
        ("POSINT", "012"),
        ("IP", "192.168.0.256"),
        ("IP", "1::2::3"),
        ("HOSTNAME", "a..b"),
        ("UUID", "0b8d1b3e"),
        ("MONTH", "Foo"),
        ("TIME", "24:00:00"),
        ("HTTPDATE", "32/Oct/2000:13:55:36 -0700"),
        ("LOGLEVEL", "loud"),
    ];
    for (name, text) in not_found {
        let mut parser = grok(json!({ "match": format!("^%{{{name}:x}}$") }));
        refuse(&mut parser, text.as_bytes());
    }
}

#[test]
fn access_logs_have_the_old_names_or_those_of_the_common_schema() {
    assert_eq!(
        legacy("%{COMBINEDAPACHELOG}", LINE),
        r#"{"clientip":"127.0.0.1","ident":"-","auth":"frank","timestamp":"10/Oct/2000:13:55:36 -0700","verb":"GET","request":"/a.gif","httpversion":"1.0","response":"200","bytes":"2326","referrer":"\"http://example.com/\"","agent":"\"Mozilla/4.08 [en]\""}"#
    );
    assert_eq!(
        ecs("%{COMBINEDAPACHELOG}", LINE),
        r#"{"source":{"address":"127.0.0.1"},"user":{"name":"frank"},"timestamp":"10/Oct/2000:13:55:36 -0700","http":{"request":{"method":"GET","referrer":"http://example.com/"},"version":"1.0","response":{"status_code":200,"body":{"bytes":2326}}},"url":{"original":"/a.gif"},"user_agent":{"original":"Mozilla/4.08 [en]"}}"#
    );
}

#[test]
fn syslog_lines_are_taken_apart() {
    let line = "Mar  1 12:00:00 h-1 sshd[42]: Accepted";
    assert_eq!(
        legacy("^%{SYSLOGLINE}", line),
        r#"{"timestamp":"Mar  1 12:00:00","logsource":"h-1","program":"sshd","pid":"42","message":"Accepted"}"#
    );
    assert_eq!(
        ecs("^%{SYSLOGLINE}", line),
        r#"{"timestamp":"Mar  1 12:00:00","host":{"hostname":"h-1"},"process":{"name":"sshd","pid":42},"message":"Accepted"}"#
    );
    let new = ecs("^%{SYSLOG5424LINE}", "<34>1 2014-03-01T12:00:00Z h su - ID47 [a b=\"c\"] m x");
    assert!(new.ends_with(r#""structured_data":"[a b=\"c\"]"}},"host":{"hostname":"h"},"process":{"name":"su"},"event":{"code":"ID47"},"timestamp":"2014-03-01T12:00:00Z","message":"m x"}"#) || new.contains(r#""message":"m x""#), "{new}");
}

#[test]
fn fields_have_types_nest_and_become_lists() {
    let options = json!({
        "match": "%{NUMBER:a.n:int} %{NUMBER:[a][f]:float} %{WORD:yes:bool} %{WORD:w} %{WORD:w} (?<own>\\w+)",
    });
    assert_eq!(
        parse(&mut grok(options), b"7 1.50 true x y z"),
        r#"{"a":{"n":7,"f":1.50},"yes":true,"w":["x","y"],"own":"z"}"#
    );
    assert_eq!(ecs("(?<__9>x) %{WORD:n}", "x y"), r#"{"__9":"x","n":"y"}"#);
    assert_eq!(ecs("%{WORD:n:int}", "x"), r#"{"n":"x"} !unconvertible"#);
}

#[test]
fn patterns_can_be_added_and_expressions_are_tried_in_order() {
    let mut parser = grok(json!({
        "match": ["^%{QUEUE:queue}: %{GREEDYDATA:message}", "^%{WORD:first}"],
        "patterns": { "QUEUE": "%{HEX}{10,11}", "HEX": "[0-9A-F]" },
    }));
    assert_eq!(parse(&mut parser, b"BEF25A72965: ok"), r#"{"queue":"BEF25A72965","message":"ok"}"#);
    assert_eq!(parse(&mut parser, b"hello you"), r#"{"first":"hello"}"#);
    assert_eq!(refuse(&mut parser, b"..."), "no_match: none of the expressions matches");
}

#[test]
fn a_field_can_give_the_time() {
    let options = json!({
        "match": ["^%{COMBINEDAPACHELOG}", "^%{WORD:only}$"],
        "time": { "field": "timestamp", "formats": ["httpd"] },
    });
    let mut parser = grok(options);
    assert!(parse(&mut parser, LINE.as_bytes()).starts_with("@2000-10-10T20:55:36.000Z {"));
    assert_eq!(parse(&mut parser, b"word"), r#"{"only":"word"}"#);
}

#[test]
fn expressions_that_cannot_be_are_refused_with_their_reason() {
    let cases = [
        ("%{WORDS:a}", "there is no pattern `WORDS`, did you mean `WORD`?"),
        ("%{WORD:a", "`%{` has no `}`"),
        ("%{WORD:}", "the name of a field is empty"),
        ("%{WORD:a:date}", "there is no type `date`; there are int, float, string and bool"),
        ("%{LOOP}", "`LOOP` names itself, or is nested too deep"),
        ("(a", "unclosed group"),
        (
            "(?<!a)b",
            "look-around (`(?=`, `(?!`, `(?<=`, `(?<!`) is not supported, as it takes more than linear time; `\\b` bounds words",
        ),
        (
            "(?>a)b",
            "atomic groups `(?>` are not supported; write `(?:`, which takes linear time here",
        ),
        (
            "a++b",
            "possessive repetitions (`++`, `*+`, `?+`) are not supported; leave the last `+` out",
        ),
        ("%{WORD:a} %{WORD:a.b}", "`a` cannot be a value and hold others"),
        ("(\\w{100}){1000}", "it takes more than 1024 KiB when compiled"),
    ];
    for (expression, why) in cases {
        let options = json!({ "match": expression, "patterns": { "LOOP": "a%{LOOP}" } });
        let expected = format!("error: in `{expression}`: {why}");
        assert_eq!(problem(options), expected);
    }
    let options = json!({ "match": "a", "time": { "field": "t", "formats": "httpd" } });
    assert_eq!(problem(options), "error: there is no part called `t`");
    let why = serde_json::from_value::<Decode>(json!({ "match": [] })).unwrap_err().to_string();
    assert!(why.contains("the list has no expression"), "{why}");
}

/// Lines of web servers, most of them odd in some place.
fn lines() -> impl Strategy<Value = String> {
    let host = prop_oneof!["127\\.0\\.0\\.1", "::1", "a-b\\.c", "[-a.:1_]{1,6}", "1\\.2\\.3\\.999"];
    let user = prop_oneof!["-", "[a-c.]{1,3}", "[a@. -]{1,4}"];
    let time = prop_oneof![
        3 => Just("10/Oct/2000:13:55:36 -0700".to_owned()),
        1 => "[0-3][0-9]/(Oct|Foo)/2000:[0-2][0-9]:55:3[0-9]\\.?[0-9]? [+-]0[0-9]{3}",
    ];
    let request = prop_oneof![
        3 => "(GET|PUT) /[a\"]{0,3}( HTTP/[12](\\.[01])?)?\"?",
        1 => "[A -]{0,3}[/\" ]{0,3}( HTTP/1\\.)?",
    ];
    let code = prop_oneof!["200", "-", "[0-9.-]{1,3}"];
    let text = prop_oneof!["-", "[a \"\\\\]{0,5}", "http://a/"];
    let rest = prop_oneof![Just(String::new()), "[ \"x.]{0,3}".boxed()];
    (host, user.clone(), user, time, request, (code.clone(), code), (text.clone(), text), rest)
        .prop_map(|(host, ident, user, time, request, (code, size), (referrer, agent), rest)| {
            format!(
                "{host} {ident} {user} [{time}] \"{request}\" {code} {size} \"{referrer}\" \
                 \"{agent}\"{rest}"
            )
        })
}

#[test]
fn plain_lines_are_found_as_the_expression_finds_them() {
    let mut expressions = Vec::new();
    for name in [
        "%{COMBINEDAPACHELOG}",
        "^%{HTTPD_COMBINEDLOG}$",
        "%{COMMONAPACHELOG}",
        "%{HTTPD_COMMONLOG}$",
    ] {
        for names in ["v8", "disabled"] {
            let options = json!({ "match": name, "ecs_compatibility": names });
            expressions.push(config(options).compile(name).unwrap().0);
        }
    }
    let mut runner = TestRunner::new(ProptestConfig::with_cases(3000));
    let plain = Cell::new(0);
    let outcome = runner.run(&lines(), |line| {
        for Expression { access, pattern, .. } in &expressions {
            let access = access.as_ref().unwrap();
            let Some(spans) = access.find(line.as_bytes()) else { continue };
            plain.set(plain.get() + 1);
            let mut found = pattern.capture_locations();
            prop_assert!(pattern.captures_read(&mut found, line.as_bytes()).is_some());
            for (group, span) in spans.iter().enumerate().take(found.len()).skip(1) {
                prop_assert_eq!(*span, found.get(group), "group {} of {}", group, line);
            }
        }
        Ok(())
    });
    outcome.unwrap();
    assert!(plain.get() > 500, "too few of the lines were plain: {}", plain.get());
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_become_json(
        line in lines(),
        at in 0..100_usize,
        bytes in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let mut parser = grok(json!({ "match": ["%{COMBINEDAPACHELOG}", "(?s)%{GREEDYDATA:x}"] }));
        let mut line = line.into_bytes();
        let at = at.min(line.len());
        line.splice(at..at, bytes);
        prop_assert!(parse_any(&mut parser, &line).is_some());
    }
}

#[test]
fn a_plain_line_needs_no_expression() {
    for line in [LINE, &LINE.replace("127.0.0.1", "2001:db8::1"), &LINE.replace("frank", "-")] {
        let (expression, _) = config(json!({ "match": "^%{COMBINEDAPACHELOG}" }))
            .compile("^%{COMBINEDAPACHELOG}")
            .unwrap();
        assert!(expression.access.unwrap().find(line.as_bytes()).is_some(), "{line}");
    }
}
