//! On any query and any document the matcher agrees with the reference.

use proptest::prelude::*;
use serde_json::{Map, Number, Value};

use crate::event::{matches, matches_edited};
use crate::reference::Q;

/// Few words that are close to each other, so that queries often match, and often nearly.
const WORDS: [&str; 18] = [
    "foo", "Foo", "fo", "foobar", "bar", "nfoo", "42", "1.5", "-5", "é", "ÉÀ", "\u{212a}", "İ",
    "x", "true", "null", "b", "1e2",
];
const BETWEEN: [&str; 9] = [" ", "-", "\n", "\"", "\\", "/", ", ", "\u{1f600}", "\t"];
const NUMBERS: [&str; 11] = [
    "0",
    "-0.0",
    "42",
    "42.0",
    "4.2e1",
    "1.5",
    "-5",
    "100",
    "9007199254740993",
    "9007199254740992",
    "123456789012345678901234",
];
const KEYS: [&str; 5] = ["message", "a", "b", "o", "list"];
const FIELDS: [&str; 7] = ["message", "a", "b", "o.x", "o", "list", "list[1]"];
const REGEXES: [&str; 6] = ["fo+", "^foo", "bar$", r"\d+", "^[^ ]*$", "(?i)É"];

fn text() -> impl Strategy<Value = String> {
    let piece = (proptest::sample::select(&WORDS[..]), proptest::sample::select(&BETWEEN[..]));
    (proptest::collection::vec(piece, 0..4), any::<bool>()).prop_map(|(pieces, trimmed)| {
        let text: String = pieces.iter().flat_map(|(word, between)| [*word, *between]).collect();
        if trimmed { text.trim_end_matches(|c: char| !c.is_alphanumeric()).into() } else { text }
    })
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => text().prop_map(Value::String),
        2 => proptest::sample::select(&NUMBERS[..])
            .prop_map(|digits| Value::Number(digits.parse::<Number>().unwrap())),
        1 => any::<bool>().prop_map(Value::Bool),
        1 => Just(Value::Null),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
            (inner.clone(), inner).prop_map(|(x, other)| {
                Value::Object(Map::from_iter([("x".into(), x), ("foo-é".into(), other)]))
            }),
        ]
    })
}

fn document() -> impl Strategy<Value = Value> {
    proptest::collection::vec(proptest::option::weighted(0.8, value()), KEYS.len()).prop_map(
        |values| {
            let members = KEYS.iter().zip(values);
            Value::Object(members.filter_map(|(k, v)| Some(((*k).to_owned(), v?))).collect())
        },
    )
}

/// Text that has a token and is not just stars, which the language refuses or reads otherwise.
fn searchable(text: String) -> String {
    if text.contains(|c: char| c.is_alphanumeric()) { text } else { text + "foo" }
}

fn term() -> impl Strategy<Value = String> {
    let wild = (
        proptest::sample::select(&WORDS[..]),
        0..12_usize,
        proptest::sample::select(&["*", "?"][..]),
    )
        .prop_map(|(word, at, wildcard)| {
            let mut chars: Vec<char> = word.chars().collect();
            let at = at.min(chars.len());
            chars.splice(at..(at + 1).min(chars.len()), wildcard.chars());
            searchable(chars.into_iter().collect())
        });
    prop_oneof![
        2 => proptest::sample::select(&WORDS[..]).prop_map(str::to_owned),
        1 => text().prop_map(searchable),
        1 => proptest::sample::select(&NUMBERS[..]).prop_map(str::to_owned),
        2 => wild,
    ]
}

fn clause() -> impl Strategy<Value = Q> {
    let field = || proptest::sample::select(&FIELDS[..]);
    let some_field = || proptest::option::weighted(0.6, field());
    let bound = || {
        let text = prop_oneof![
            3 => proptest::sample::select(&NUMBERS[..]).prop_map(str::to_owned),
            1 => proptest::sample::select(&WORDS[..]).prop_map(str::to_owned),
        ];
        proptest::option::weighted(0.8, text)
    };
    prop_oneof![
        4 => (some_field(), term()).prop_map(|(field, term)| Q::Term(field, term)),
        2 => (some_field(), text().prop_map(searchable)).prop_map(|(f, text)| Q::Phrase(f, text)),
        2 => (field(), prop_oneof![text(), term()]).prop_map(|(field, text)| Q::Exact(field, text)),
        1 => (field(), proptest::sample::select(&REGEXES[..])).prop_map(|(f, r)| Q::Regex(Some(f), r)),
        2 => (field(), bound(), bound(), any::<bool>(), any::<bool>())
            .prop_map(|(f, lower, upper, l, u)| Q::Range(f, lower, upper, l, u)),
        1 => field().prop_map(Q::Exists),
        1 => Just(Q::All),
    ]
}

fn query() -> impl Strategy<Value = Q> {
    clause().prop_recursive(3, 12, 3, |inner| {
        let several = || proptest::collection::vec(inner.clone(), 1..4);
        prop_oneof![
            several().prop_map(Q::And),
            several().prop_map(Q::Or),
            inner.clone().prop_map(|q| Q::Not(Box::new(q))),
        ]
    })
}

/// The document as JSON; every `nth` character of a string is spelled out, none if it is 0.
fn json(value: &Value, nth: usize, out: &mut String) {
    let string = |text: &str, out: &mut String| {
        if nth == 0 {
            out.push_str(&serde_json::to_string(text).unwrap());
            return;
        }
        out.push('"');
        for (i, c) in text.chars().enumerate() {
            if i % nth == 0 {
                let mut units = [0; 2];
                c.encode_utf16(&mut units)
                    .iter()
                    .for_each(|u| out.push_str(&format!("\\u{u:04X}")));
            } else if c == '/' {
                out.push_str("\\/");
            } else {
                let quoted = serde_json::to_string(&c).unwrap();
                out.push_str(&quoted[1..quoted.len() - 1]);
            }
        }
        out.push('"');
    };
    match value {
        Value::String(text) => string(text, out),
        Value::Array(list) => {
            out.push('[');
            for (i, inner) in list.iter().enumerate() {
                out.push_str(if i > 0 { " , " } else { "" });
                json(inner, nth, out);
            }
            out.push(']');
        }
        Value::Object(map) => {
            out.push('{');
            for (i, (key, inner)) in map.iter().enumerate() {
                out.push_str(if i > 0 { "," } else { "" });
                string(key, out);
                out.push(':');
                json(inner, nth, out);
            }
            out.push('}');
        }
        other => out.push_str(&other.to_string()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 3000,
        rng_seed: proptest::test_runner::RngSeed::Fixed(11),
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_matcher_agrees_with_the_reference(
        query in query(),
        document in document(),
        spelled_out in 0..5_usize,
    ) {
        let mut body = String::new();
        json(&document, spelled_out.saturating_sub(2), &mut body);
        let text = query.text();
        prop_assert_eq!(matches(&text, &body), query.matches(&document), "{} on {}", text, body);
    }
    #[test]
    fn the_matcher_reads_an_edited_event_as_the_reference_reads_the_result(
        query in query(),
        document in document(),
        edits in proptest::collection::vec((0..KEYS.len(), proptest::option::of(value())), 1..4),
    ) {
        let body = document.to_string();
        let mut result = document;
        let map = result.as_object_mut().expect("documents are objects");
        let mut written = Vec::new();
        for (key, value) in edits {
            written.push((KEYS[key], value.as_ref().map(Value::to_string)));
            match value {
                Some(value) => map.insert(KEYS[key].into(), value),
                None => map.shift_remove(KEYS[key]),
            };
        }
        let text = query.text();
        prop_assert_eq!(
            matches_edited(&text, &body, &written),
            query.matches(&result),
            "{} on {} after {:?}", text, body, written
        );
    }
}
