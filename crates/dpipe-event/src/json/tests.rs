//! The scanner against `serde_json`: same documents accepted, same values seen, by every
//! implementation of the index, in place and copied.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::Value;

use super::find::children;
use super::*;

const UNLIMITED: Limits = Limits { depth: 128, fields: u32::MAX };

fn scanners() -> [Scanner; 2] {
    [Scanner::default(), Scanner::with_steps(portable::STEPS)]
}

/// Scans `document` with every index, alone and between hostile neighbors, and insists on one
/// result.
fn scan_with(document: &[u8], limits: &Limits) -> Result<Vec<Node>, JsonError> {
    let before = b"\"\\[{\"a\":1,";
    let between = [before, document, b"\n", &b"\"}\\]:,1{".repeat(9)].concat();
    let mut results = Vec::new();
    for mut scanner in scanners() {
        for (bytes, start) in [(document, 0), (&between, before.len())] {
            let mut tape = vec![ANOTHER];
            let end = start + document.len();
            let result = scanner.scan(bytes, start, end, limits, &mut tape);
            assert_eq!(tape[0], ANOTHER);
            assert!(result.is_ok() || tape.len() == 1, "nodes were appended on error");
            results.push(result.map(|twice| {
                let tape = tape.split_off(1);
                assert_eq!(twice, tape.iter().any(Node::has_key_twice));
                tape
            }));
        }
    }
    let first = results.swap_remove(0);
    for other in results {
        assert_eq!(first, other, "{}", document.escape_ascii());
    }
    first
}

/// No object.
const NONE: [usize; 0] = [];
const ANOTHER: Node = Node { key: 1, value: 2, end: 3, next: 4 };

fn scan(document: &[u8]) -> Result<Vec<Node>, JsonError> {
    scan_with(document, &UNLIMITED)
}

fn message(document: &str) -> String {
    scan(document.as_bytes()).expect_err(document).to_string()
}

/// The document as the tape tells it.
fn value(tape: &[Node], document: &[u8], at: u32) -> Value {
    let node = &tape[at as usize];
    let span = &document[node.value_at()..node.end as usize];
    let text = |raw: &[u8], flag: u32| {
        assert_eq!(flag & Node::ESCAPED != 0, raw.contains(&b'\\'));
        Value::String(String::from_utf8(unescape(raw).into_owned()).unwrap())
    };
    match span[0] {
        b'{' => Value::Object(
            children(tape, at)
                .map(|(at, child)| {
                    let key = text(child.raw_key(document), child.key);
                    (key.as_str().unwrap().to_owned(), value(tape, document, at))
                })
                .collect(),
        ),
        b'[' => children(tape, at).map(|(at, _)| value(tape, document, at)).collect(),
        b'"' => text(&span[1..span.len() - 1], node.value),
        _ => {
            assert_eq!(node.next, at + 1);
            serde_json::from_slice(span).unwrap()
        }
    }
}

fn find_text(tape: &[Node], document: &[u8], object: u32, key: &str) -> Option<u32> {
    find(tape, document, object, Key::new(key.as_bytes()), &Hint::new())
}

/// The objects that are marked.
fn with_key_twice(tape: &[Node]) -> Vec<usize> {
    (0..tape.len()).filter(|&at| tape[at].has_key_twice()).collect()
}

/// The same, found out by comparing all keys.
fn objects_with_key_twice(tape: &[Node], document: &[u8]) -> Vec<usize> {
    let twice = |&at: &usize| {
        let mut keys: Vec<_> = children(tape, at as u32)
            .filter(|(_, child)| child.key != 0)
            .map(|(_, child)| unescape(child.raw_key(document)))
            .collect();
        let all = keys.len();
        keys.sort();
        keys.dedup();
        keys.len() < all
    };
    (0..tape.len()).filter(twice).collect()
}

/// The scanner accepts what `serde_json` accepts, and sees the same in it.
fn agrees(document: &[u8]) {
    let expected = serde_json::from_slice::<Value>(document);
    match (scan(document), expected) {
        (Ok(tape), Ok(expected)) => {
            assert_eq!(value(&tape, document, 0), expected);
            let mut unmarked = tape.clone();
            unmarked.iter_mut().for_each(Node::unmark_key_twice);
            Scanner::default().mark_keys_twice(document, &mut unmarked);
            assert_eq!(unmarked, tape, "looked through, {}", document.escape_ascii());
            assert_eq!(with_key_twice(&tape), objects_with_key_twice(&tape, document));
            assert_eq!(tape[0].next as usize, tape.len());
            assert_eq!(tape[0].key, 0);
        }
        (Err(error), Err(_)) => assert!(error.at as usize <= document.len()),
        (ours, theirs) => panic!("{}: {ours:?} but {theirs:?}", document.escape_ascii()),
    }
}

fn spaced(token: impl Strategy<Value = String> + Clone) -> impl Strategy<Value = String> + Clone {
    (prop::sample::select(&["", "", "", " ", "\t\n", "\r  "][..]), token)
        .prop_map(|(s, t)| s.to_owned() + &t)
}

fn string() -> impl Strategy<Value = String> + Clone {
    let piece = prop_oneof![
        4 => "[ -!#-\\[\\]-~]{0,40}",
        1 => prop::sample::select(&["\\\"", "\\\\", "\\/", "\\b\\f\\n\\r\\t", "\\u0041", "\\uD83d\\uDE00", "é", "日本", "😀", "\u{7f}"][..]).prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..5).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

fn scalar() -> impl Strategy<Value = String> + Clone {
    prop_oneof![
        string(),
        "-?(0|[1-9][0-9]{0,24})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,4})?",
        "-?(0|[1-9][0-9]{0,8})",
        prop::sample::select(&["true", "false", "null"][..]).prop_map(str::to_owned),
    ]
}

fn document() -> impl Strategy<Value = String> {
    spaced(scalar()).prop_recursive(5, 64, 8, |inner| {
        let value = spaced(inner);
        let field = (spaced(string()), spaced(Just(":".to_owned())), value.clone())
            .prop_map(|(key, colon, value)| key + &colon + &value);
        prop_oneof![
            prop::collection::vec(value, 0..8).prop_map(|all| format!("[{} ]", all.join(" ,"))),
            prop::collection::vec(field, 0..8).prop_map(|all| format!("{{{}}}", all.join(","))),
        ]
    })
}

/// Keys of which many are equal, and many more nearly so: in length, at their start, at their end.
fn key_text() -> impl Strategy<Value = String> + Clone {
    prop_oneof![
        "[ab]{0,3}",
        "[ab]{6,9}",
        "[ab]client_bytes_[ab]",
        "[ab]{1,2}a_very_long_and_usual_part[ab]{1,2}",
        "[aé]{1,20}",
    ]
}

/// A key in JSON: plain, or with some or all of its characters by number.
fn spelled(key: &str, spelling: u8) -> String {
    let one = |(place, c): (usize, char)| match (spelling, place % 3) {
        (2, 0) | (3, _) if (c as u32) < 0x1_0000 => format!("\\u{:04X}", c as u32),
        _ => c.to_string(),
    };
    format!("\"{}\"", key.chars().enumerate().map(one).collect::<String>())
}

/// Bytes that matter to JSON, and some that should not be there.
fn soup_byte() -> impl Strategy<Value = u8> {
    prop_oneof![
        8 => prop::sample::select(&b"\"\\{}[]:,-+.0123456789eEutfnrl/ \t\n\r"[..]),
        1 => any::<u8>(),
    ]
}

proptest! {
    #[test]
    fn valid_documents_are_seen_as_serde_sees_them(document in document()) {
        prop_assert!(scan(document.as_bytes()).is_ok());
        agrees(document.as_bytes());
    }

    #[test]
    fn damaged_documents_are_judged_as_serde_judges_them(
        document in document(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), soup_byte(), 0..3), 1..4),
    ) {
        let mut document = document.into_bytes();
        for (place, byte, kind) in damage {
            let at = place.index(document.len() + 1);
            match kind {
                0 if at < document.len() => document[at] = byte,
                1 if at < document.len() => drop(document.remove(at)),
                _ => document.insert(at, byte),
            }
        }
        agrees(&document);
    }

    #[test]
    fn truncated_documents_are_judged_as_serde_judges_them(
        document in document(),
        place in any::<prop::sample::Index>(),
    ) {
        agrees(&document.as_bytes()[..place.index(document.len() + 1)]);
    }

    #[test]
    fn soup_is_judged_as_serde_judges_it(soup in prop::collection::vec(soup_byte(), 0..40)) {
        agrees(&soup);
    }

    #[test]
    fn strings_of_soup_are_judged_as_serde_judges_them(
        soup in prop::collection::vec(soup_byte(), 0..150),
    ) {
        agrees(&[b"[\"", soup.as_slice(), b"\"]"].concat());
    }

    #[test]
    fn fields_are_found_as_serde_finds_them(
        keys in prop::collection::vec("[ab]{0,2}|[a-c\"\\\\é]{6,10}", 0..9),
        wanted in "[ab]{0,2}|[a-c\"\\\\é]{6,10}",
        hints in prop::collection::vec(0..12usize, 10),
    ) {
        let fields: Vec<_> = keys.iter().enumerate()
            .map(|(place, key)| format!("{}:{place}", Value::from(key.as_str())))
            .collect();
        let document = format!("{{{}}}", fields.join(","));
        let tape = scan(document.as_bytes()).unwrap();
        for (key, before) in keys.iter().chain([&wanted]).zip(hints) {
            let (hint, prepared) = (Hint::new(), Key::new(key.as_bytes()));
            hint.set(before);
            let last = keys.iter().rposition(|other| other == key);
            for _ in 0..2 {
                let found = find(&tape, document.as_bytes(), 0, prepared, &hint);
                prop_assert_eq!(found, last.map(|place| place as u32 + 1));
                prop_assert_eq!(find_key(&tape, document.as_bytes(), 0, prepared), found);
            }
        }
    }

    #[test]
    fn a_key_that_stands_twice_is_seen_however_it_is_spelled(
        keys in prop::collection::vec(key_text(), 0..40),
        spellings in prop::collection::vec(0..4u8, 40),
        nested in prop::collection::vec(0..6u8, 40),
    ) {
        let mut document = String::from("{");
        for ((key, spelling), nesting) in keys.iter().zip(spellings).zip(nested) {
            if !document.ends_with('{') {
                document.push_str(", ");
            }
            document.push_str(&spelled(key, spelling));
            document.push_str(match nesting {
                0 => ":{",
                1 => " : [1,{}]",
                2 => ":\"x\"}",
                _ => ": 1",
            });
            if nesting == 2 {
                let open = document.matches('{').count() - document.matches('}').count();
                if open == 0 {
                    document.pop();
                }
            }
        }
        let open = document.matches('{').count() - document.matches('}').count();
        document.push_str(&"}".repeat(open));
        prop_assert!(scan(document.as_bytes()).is_ok(), "{document}");
        agrees(document.as_bytes());
    }

    #[test]
    fn text_is_escaped_as_serde_escapes_it(text in any::<String>(), soup in "[ -~\u{0}-\u{1f}\"\\\\é\u{7f}]{0,40}") {
        for text in [text, soup] {
            let mut escaped = Vec::new();
            write_escaped(&mut escaped, text.as_bytes());
            let expected = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(std::str::from_utf8(&escaped), Ok(&expected[1..expected.len() - 1]));
            prop_assert_eq!(unescape(&escaped).into_owned(), text.as_bytes());
        }
    }

    #[test]
    fn bytes_that_are_not_text_are_escaped_as_replacement_characters(
        bytes in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let mut escaped = Vec::new();
        write_escaped(&mut escaped, &bytes);
        let text = String::from_utf8_lossy(&bytes);
        prop_assert_eq!(unescape(&escaped).into_owned(), text.as_bytes());
    }
}

#[test]
fn every_byte_is_judged_as_serde_judges_it_inside_and_outside_of_a_string() {
    for byte in 0..=255 {
        for (before, after) in [
            ("", ""),
            ("\"", "\""),
            ("[1", "2]"),
            ("[", "]"),
            ("{\"a\"", "1}"),
            ("\"\\", "\""),
            ("[true", "]"),
            ("[1", "]"),
            ("[\"", "\\u00e9\"]"),
        ] {
            agrees(&[before.as_bytes(), &[byte], after.as_bytes()].concat());
        }
    }
}

#[test]
fn strings_and_escapes_may_cross_a_block_anywhere() {
    let tails = [
        "a\"",
        "\\\"\"",
        "\\\\\"",
        "\\\\\\\"\"",
        "\\\\\\\\\"",
        "\\\\\\\\\\\"",
        "\\u00e9\"",
        "\\ud83d\\ude00\"",
        "\\ud83d\"",
        "\\ude00\"",
        "\\ud83dx\"",
        "\\ud83d\\n\"",
        "\\u12\"",
        "\\x\"",
        "\\",
        "é\"",
        "😀\"",
        "\u{1}\"",
        "\",\"b\"",
        "\":\"",
        "\"x",
        "\"\"",
    ];
    for tail in tails {
        for offset in 0..=130 {
            let text = "x".repeat(offset);
            agrees(format!("[\"{text}{tail}]").as_bytes());
            agrees(format!("{{\"{text}{tail}:1}}").as_bytes());
            agrees(format!("{}[\"{tail},12.5 ,null]", " ".repeat(offset)).as_bytes());
        }
    }
}

#[test]
fn runs_of_backslashes_of_any_length_may_cross_a_block_anywhere() {
    for length in 0..70 {
        for offset in 56..=66 {
            let run = "\\".repeat(length);
            agrees(format!("[\"{}{run}\",1]", "x".repeat(offset)).as_bytes());
            agrees(format!("[\"{}{run}n\"]", "x".repeat(offset)).as_bytes());
        }
    }
}

#[test]
fn numbers_are_judged_as_serde_judges_them() {
    let parts = [
        "",
        "-",
        "0",
        "7",
        "00",
        "01",
        "10",
        ".",
        ".0",
        "5.",
        "e",
        "E5",
        "e+",
        "e-07",
        "+",
        "12345678901234",
        "1e400",
        " ",
        "x",
        "\0",
    ];
    for first in parts {
        for second in parts {
            for third in parts {
                let number = [first, second, third].concat();
                agrees(number.as_bytes());
                agrees(format!("[{number},{number}]").as_bytes());
            }
        }
    }
    for length in 1..40 {
        for point in 0..=length {
            let digits = "1234567890".repeat(4);
            agrees(format!("{}.{}", &digits[..point], &digits[point..length]).as_bytes());
            agrees(format!("[-{}.{}]", &digits[..point], &digits[point..length]).as_bytes());
            agrees(&digits.as_bytes()[..length]);
        }
    }
}

#[test]
fn nesting_is_limited_as_in_serde() {
    for depth in [1, 2, 126, 127, 128, 129, 5000] {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            for inner in ["1", "[]", "{}", "\"x\"", ""] {
                agrees((open.repeat(depth) + inner + &close.repeat(depth)).as_bytes());
            }
        }
    }
    let nested = "[".repeat(128) + &"]".repeat(128);
    assert_eq!(message(&nested), "nesting reaches the limit of 128 at byte 127");
}

#[test]
fn a_key_that_reads_like_the_text_after_another_is_not_found() {
    for (document, key) in
        [(r#"{"a":"b","c":1}"#, r#"a":"b"#), (r#"{"a":"b","c":1}"#, r#"a":"b","c"#)]
    {
        let tape = scan(document.as_bytes()).unwrap();
        assert_eq!(find_text(&tape, document.as_bytes(), 0, key), None, "{key}");
    }
}

#[test]
fn an_element_of_an_array_has_no_key() {
    let document = br#"{"{":[1,2]}"#;
    let tape = scan(document).unwrap();
    assert_eq!(find_text(&tape, document, 1, "{"), None);
}

#[test]
fn only_the_object_with_the_key_twice_is_marked() {
    let marked = |document: &str| with_key_twice(&scan(document.as_bytes()).unwrap());
    assert_eq!(marked(r#"{"a":1,"b":2,"c":{"a":1}}"#), NONE);
    assert_eq!(marked(r#"{"a":1,"b":2,"a":3}"#), [0]);
    assert_eq!(marked(r#"{"a":1,"\u0061":3}"#), [0]);
    assert_eq!(marked(r#"{"\u0061":1,"a":3}"#), [0]);
    assert_eq!(marked(r#"{"\"":1,"\u0022":3}"#), [0]);
    assert_eq!(marked(r#"{"":1,"":3}"#), [0]);
    assert_eq!(marked(r#"{"a":{"x":1,"x":2},"b":{"x":1},"c":[{"y":1},{"y":1,"y":2}]}"#), [1, 9]);
    assert_eq!(marked(r#"[[[[[[{"a":1},{"a":1},{"a":1,"b":2,"a":3}]]]]]]"#), [10]);
    assert_eq!(marked(r#"{"a":{"a":{"a":1}},"b":{"a":1,"b":{"a":1,"b":2}}}"#), NONE);
}

#[test]
fn objects_of_any_width_are_searched_for_a_key_that_stands_twice() {
    for width in [63, 64, 65, 200, 3000, 4000, 4096, 5000, 20_000] {
        let mut members: Vec<String> = (0..width).map(|n| format!("\"key_{n}\":{n}")).collect();
        let unique = format!("{{\"o\":{{{}}}}}", members.join(","));
        assert_eq!(with_key_twice(&scan(unique.as_bytes()).unwrap()), NONE, "{width}");
        members.push(String::from("\"\\u006bey_17\":0"));
        let double = format!("{{\"o\":{{{}}}}}", members.join(","));
        assert_eq!(with_key_twice(&scan(double.as_bytes()).unwrap()), [1], "{width}");
    }
}

#[test]
fn the_same_key_in_many_objects_stands_in_each_of_them_once() {
    for objects in [10, 1000, 3000] {
        let each: Vec<String> = (0..objects).map(|n| format!("{{\"id\":{n}}}")).collect();
        let document = format!("[{}]", each.join(","));
        assert_eq!(with_key_twice(&scan(document.as_bytes()).unwrap()), NONE, "{objects}");
    }
}

#[test]
fn keys_that_were_chosen_to_meet_are_told_apart() {
    // Equal in length, in the first bytes and in the last.
    for width in [5usize, 100, 2000] {
        let mut members: Vec<String> =
            (0..width).map(|n| format!("\"aaaaaaaaaaaa{n:08}bbbbbbbbbbbb\":{n}")).collect();
        let unique = format!("{{{}}}", members.join(","));
        assert_eq!(with_key_twice(&scan(unique.as_bytes()).unwrap()), NONE, "{width}");
        members.push(members[width / 2].clone());
        let double = format!("{{{}}}", members.join(","));
        assert_eq!(with_key_twice(&scan(double.as_bytes()).unwrap()), [0], "{width}");
    }
}

#[test]
fn keys_are_told_from_those_of_documents_before_however_many_there_were() {
    for mut scanner in scanners() {
        let mut tape = Vec::new();
        for stop in [1, 20, u32::MAX - 30, u32::MAX - 2] {
            scanner.keys.pass(stop);
            for document in [r#"{"a":1,"b":2}"#, r#"{"a":1,"a":2}"#, r#"{"b":1,"a":2}"#] {
                tape.clear();
                let bytes = document.as_bytes();
                let twice = scanner.scan(bytes, 0, bytes.len(), &UNLIMITED, &mut tape).unwrap();
                assert_eq!(twice, document.contains(r#""a":1,"a""#));
            }
        }
    }
}

#[test]
fn a_scanner_forgets_the_documents_before() {
    for mut scanner in scanners() {
        let mut tape = Vec::new();
        let long = format!("[{}]", vec!["\"a\\n\""; 500].join(","));
        for (document, nodes) in [(&*long, Some(501)), ("{", None), ("[1", None), ("[1]", Some(2))]
        {
            tape.clear();
            let bytes = document.as_bytes();
            let result = scanner.scan(bytes, 0, bytes.len(), &UNLIMITED, &mut tape);
            assert_eq!(result.ok().map(|_| tape.len()), nodes, "{document:.9}");
        }
    }
}

#[test]
fn fields_are_limited() {
    let limits = Limits { fields: 4, ..UNLIMITED };
    assert!(scan_with(b"[1,2,3]", &limits).is_ok());
    let error = scan_with(b"[1,2,[]  ,4]", &limits).unwrap_err();
    assert_eq!(error.to_string(), "more than 4 fields at byte 10");
    assert_eq!(error.kind, JsonErrorKind::TooManyFields(4));
}

#[test]
fn errors_say_what_and_where() {
    let cases = [
        ("", "expected a value at byte 0"),
        ("  ", "expected a value at byte 2"),
        ("{\"a\":1 \"b\":2}", "expected `,` or `}` at byte 7"),
        ("[1 2]", "expected `,` or `]` at byte 3"),
        ("{\"a\":1,}", "expected a key at byte 7"),
        ("{\"a\" 1}", "expected `:` at byte 5"),
        ("[1,]", "expected a value at byte 3"),
        ("{} {}", "expected the end of the document at byte 3"),
        ("{\"a\":1", "expected `,` or `}` at byte 6"),
        ("[\"abc", "unterminated string at byte 1"),
        ("[\"a\tb\"]", "control character in a string at byte 3"),
        ("[\"a\\qb\"]", "invalid escape at byte 3"),
        ("[\"\\ud800\"]", "lone surrogate at byte 2"),
        ("[01]", "invalid number at byte 1"),
        ("[nul]", "expected a value at byte 1"),
        ("[x, \"\t\"]", "expected a value at byte 1"),
    ];
    for (document, expected) in cases {
        assert_eq!(message(document), expected, "{document}");
    }
    let error = scan(b"[\"abc\xff\"]").unwrap_err();
    assert_eq!(error.to_string(), "invalid UTF-8 at byte 5");
    let error = scan(b"[\"\t\", \"\xff\"]").unwrap_err();
    assert_eq!(error.kind, JsonErrorKind::ControlCharacter);
}

#[test]
fn the_tape_is_in_preorder_and_says_what_comes_after() {
    let document = br#" {"a":[1,{"b":null}],"c\n":"d\\"} "#;
    let tape = scan(document).unwrap();
    let node = |key, value, end, next| Node { key, value, end, next };
    assert_eq!(
        tape,
        [
            node(0, 1, 33, 6),
            node(3, 6, 20, 5),
            node(0, 7, 8, 3),
            node(0, 9, 19, 5),
            node(11, 14, 18, 5),
            node(22 | Node::ESCAPED, 27 | Node::ESCAPED, 32, 6),
        ]
    );
    assert_eq!(element(&tape, 1, 1), Some(3));
    assert_eq!(element(&tape, 1, 2), None);
    assert_eq!(find_text(&tape, document, 0, "c\n"), Some(5));
    assert_eq!(find_text(&tape, document, 0, "c"), None);
    assert_eq!(find_text(&tape, document, 2, "b"), None, "a number has no children");
    assert_eq!(tape[5].raw_key(document), br"c\n");
}

#[test]
fn escapes_that_no_valid_document_contains_do_not_panic() {
    let cases = BTreeMap::from([
        (r"\", "\\"),
        (r"\u", "\u{fffd}"),
        (r"\u12", "\u{fffd}"),
        (r"\ud800", "\u{fffd}"),
        (r"\ud800\n", "\u{fffd}\n"),
        (r"\udc00x", "\u{fffd}x"),
    ]);
    for (raw, expected) in cases {
        assert_eq!(unescape(raw.as_bytes()).as_ref(), expected.as_bytes(), "{raw}");
    }
}
