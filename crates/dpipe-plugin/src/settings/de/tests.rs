use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::Visitor;

use super::super::{
    ByteSize, Entry, Node, NodeValue, Period, Scalar, Secret, SourceFile, Substituted, deserialize,
    deserialize_knowing, error_in_text,
};

/// A value to be written in flow style and read back with its places.
enum Tree {
    Plain(&'static str),
    Quoted(&'static str),
    /// `${…}` as written, and its value; in quotes or not.
    From(&'static str, &'static str, bool),
    List(Vec<Tree>),
    Map(Vec<(&'static str, Tree)>),
}
use Tree::{From as Sub, List, Map, Plain, Quoted};

impl Tree {
    fn write(&self, out: &mut String) {
        match self {
            Plain(text) | Sub(text, _, false) => out.push_str(text),
            Quoted(text) | Sub(text, _, true) => *out += &format!("\"{text}\""),
            List(items) => {
                out.push('[');
                for (n, item) in items.iter().enumerate() {
                    out.push_str(if n > 0 { ", " } else { "" });
                    item.write(out);
                }
                out.push(']');
            }
            Map(entries) => {
                out.push_str("{ ");
                for (n, (key, value)) in entries.iter().enumerate() {
                    out.push_str(if n > 0 { ", " } else { "" });
                    *out += &format!("{key}: ");
                    value.write(out);
                }
                out.push_str(" }");
            }
        }
    }

    fn node(&self, file: &std::sync::Arc<SourceFile>, at: usize) -> Node {
        let mut own = String::new();
        self.write(&mut own);
        let value = match self {
            Plain(text) => NodeValue::Scalar(Scalar::plain(*text)),
            Quoted(text) => NodeValue::Scalar(Scalar::quoted(*text)),
            Sub(written, value, quoted) => {
                let mut scalar =
                    if *quoted { Scalar::quoted(*value) } else { Scalar::plain(*value) };
                let piece =
                    Substituted { written: (*written).to_owned(), value: (*value).to_owned() };
                scalar.substituted.push(piece);
                NodeValue::Scalar(scalar)
            }
            List(items) => {
                let mut next = at + 1;
                let place = |item: &Tree| {
                    let node = item.node(file, next);
                    next = node.span.end as usize + 2;
                    node
                };
                NodeValue::List(items.iter().map(place).collect())
            }
            Map(entries) => {
                let mut next = at + 2;
                let place = |(key, value): &(&'static str, Tree)| {
                    let mut value = value.node(file, next + key.len() + 2);
                    value.key_span = Some(file.span(next..next + key.len()));
                    next = value.span.end as usize + 2;
                    Entry { key: (*key).to_owned(), value }
                };
                NodeValue::Map(entries.iter().map(place).collect())
            }
        };
        Node::new(file.span(at..at + own.len()), value)
    }

    fn root(&self) -> Node {
        let mut text = String::new();
        self.write(&mut text);
        self.node(&SourceFile::new("a.yaml", text), 0)
    }
}

fn read<T: serde::de::DeserializeOwned>(tree: &Tree) -> T {
    deserialize(&tree.root()).unwrap()
}

/// The text pointed at, the message, and the help.
fn mistake<T: serde::de::DeserializeOwned + fmt::Debug>(tree: &Tree) -> (String, String, String) {
    let problem = deserialize::<T>(&tree.root()).unwrap_err();
    let span = problem.span.expect("every mistake has a place");
    (span.text().to_owned(), problem.message, problem.help.unwrap_or_default())
}

fn said(mistake: &(String, String, String)) -> (&str, &str, &str) {
    (&mistake.0, &mistake.1, &mistake.2)
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    port: u16,
    ratio: f64,
    path: String,
    on: bool,
    size: ByteSize,
    every: Option<Period>,
    fields: Vec<String>,
    labels: BTreeMap<u32, String>,
    mode: Mode,
    bounds: Option<(i64, i64)>,
    token: Secret,
    delimiter: Option<char>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    #[default]
    Beginning,
    End,
    At {
        offset: u64,
    },
    Named(String),
}

#[test]
fn a_configuration_is_read_from_its_derived_type() {
    let config: Config = read(&Map(vec![
        ("port", Plain("0x1F90")),
        ("ratio", Plain("1")),
        ("path", Plain("1.10")),
        ("on", Plain("true")),
        ("size", Plain("64MiB")),
        ("every", Plain("1h30m")),
        ("fields", List(vec![Plain("a"), Quoted("b")])),
        ("labels", Map(vec![("7", Plain("seven"))])),
        ("mode", Map(vec![("at", Map(vec![("offset", Plain("3"))]))])),
        ("bounds", List(vec![Plain("-1"), Plain("2")])),
        ("token", Quoted("t")),
        ("delimiter", Quoted(";")),
    ]));
    let expected = Config {
        port: 8080,
        ratio: 1.0,
        path: "1.10".to_owned(),
        on: true,
        size: ByteSize::mib(64),
        every: Some("1h30m".parse().unwrap()),
        fields: vec!["a".to_owned(), "b".to_owned()],
        labels: BTreeMap::from([(7, "seven".to_owned())]),
        mode: Mode::At { offset: 3 },
        bounds: Some((-1, 2)),
        token: Secret::new("t"),
        delimiter: Some(';'),
    };
    assert_eq!(config, expected);
}

#[test]
fn nothing_is_an_empty_map_and_an_absent_option() {
    assert_eq!(read::<Config>(&Plain("")), Config::default());
    assert_eq!(read::<Config>(&Map(vec![("every", Plain("~"))])), Config::default());
}

#[test]
fn an_unknown_key_is_pointed_at_and_the_nearest_is_proposed() {
    let wrong = mistake::<Config>(&Map(vec![("port", Plain("1")), ("pth", Plain("/tmp"))]));
    assert_eq!(said(&wrong), ("pth", "unknown key `pth`", "did you mean `path`?"));
}

#[test]
fn an_unknown_key_may_have_meant_one_that_was_read_before() {
    let node = Map(vec![("tenat", Plain("rs"))]).root();
    let problem = deserialize_knowing::<Config>(&node, &["tenant", "type"]).unwrap_err();
    assert_eq!(problem.help.as_deref(), Some("did you mean `tenant`?"));
}

#[test]
fn a_wrong_type_is_pointed_at_where_it_is_nested() {
    let wrong = mistake::<Config>(&Map(vec![("port", Plain("abc"))]));
    assert_eq!(said(&wrong), ("abc", "expected a whole number, found the string `abc`", ""));
    let list = List(vec![Plain("a"), List(vec![])]);
    let wrong = mistake::<Config>(&Map(vec![("fields", list)]));
    assert_eq!(said(&wrong), ("[]", "expected a string, found a list", ""));
    let labels = Map(vec![("x", Plain("seven"))]);
    let wrong = mistake::<Config>(&Map(vec![("labels", labels)]));
    assert_eq!(said(&wrong), ("x", "expected a whole number, found the string `x`", ""));
    let wrong = mistake::<Config>(&Map(vec![("bounds", List(vec![Plain("1")]))]));
    assert_eq!(said(&wrong), ("[1]", "expected a list of 2 items, found 1", ""));
    let wrong = mistake::<Config>(&List(vec![Plain("1")]));
    assert_eq!(said(&wrong), ("[1]", "expected a map, found a list", ""));
}

#[test]
fn a_number_out_of_range_says_the_range() {
    let wrong = mistake::<Config>(&Map(vec![("port", Plain("70000"))]));
    let message = "expected a whole number from 0 to 65535, found the number `70000`";
    assert_eq!(said(&wrong), ("70000", message, ""));
    let wrong = mistake::<Config>(&Map(vec![("port", Plain("-1"))]));
    assert!(wrong.1.starts_with("expected a whole number from 0 to 65535"));
}

#[test]
fn common_slips_get_the_right_spelling() {
    let help = |key, value| mistake::<Config>(&Map(vec![(key, value)])).2;
    assert_eq!(help("port", Quoted("80")), "write 80 without quotes");
    assert_eq!(help("on", Plain("yes")), "write `true`");
    assert_eq!(help("on", Quoted("false")), "write false without quotes");
    assert_eq!(help("fields", Plain("trace")), "write `[trace]`");
    let wrong = mistake::<Config>(&Map(vec![("every", Plain("5"))]));
    assert_eq!(said(&wrong), ("5", "duration `5` has no unit, write `5s` or `5ms`", ""));
    let wrong = mistake::<Config>(&Map(vec![("size", List(vec![]))]));
    assert_eq!(said(&wrong), ("[]", "expected a size such as `64MiB`, found a list", ""));
}

#[test]
fn a_missing_key_is_pointed_at_by_its_map() {
    #[derive(Debug, Deserialize)]
    struct Strict {
        #[allow(dead_code)]
        path: String,
    }
    let wrong = mistake::<Vec<Strict>>(&List(vec![Map(vec![("a", Plain("1"))])]));
    assert_eq!(said(&wrong), ("{ a: 1 }", "missing key `path`", ""));
}

#[test]
fn a_missing_key_of_a_map_over_several_lines_is_pointed_at_by_the_key_of_the_map() {
    #[derive(Debug, Deserialize)]
    struct Strict {
        #[allow(dead_code)]
        path: String,
    }
    let file = SourceFile::new("a.yaml", "copy:\n  a: 1\n  b: 2\n");
    let mut node = Node::new(file.span(8..20), NodeValue::Map(Vec::new()));
    node.key_span = Some(file.span(0..4));
    let problem = deserialize::<Strict>(&node).unwrap_err();
    assert_eq!(problem.span.unwrap().text(), "copy");
}

#[test]
fn enums_are_names_or_maps_with_one_entry() {
    assert_eq!(read::<Mode>(&Plain("end")), Mode::End);
    assert_eq!(read::<Mode>(&Map(vec![("end", Plain(""))])), Mode::End);
    assert_eq!(read::<Mode>(&Map(vec![("named", Plain("x"))])), Mode::Named("x".to_owned()));
    let wrong = mistake::<Mode>(&Plain("ende"));
    assert_eq!(said(&wrong), ("ende", "unknown name `ende`", "did you mean `end`?"));
    let wrong = mistake::<Mode>(&Map(vec![("ta", Plain("1"))]));
    assert_eq!(said(&wrong), ("ta", "unknown name `ta`", "did you mean `at`?"));
    let wrong = mistake::<Mode>(&List(vec![]));
    assert_eq!(wrong.1, "expected one of `beginning`, `end`, `at`, `named`, found a list");
    let wrong = mistake::<Mode>(&Map(vec![("end", Plain("1"))]));
    assert_eq!(said(&wrong), ("1", "`end` takes no settings", ""));
    let wrong = mistake::<Mode>(&Plain("named"));
    assert!(wrong.1.contains("needs settings"), "{}", wrong.1);
}

#[test]
fn untagged_and_flattened_types_are_read() {
    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(untagged)]
    enum Fields {
        Short(Vec<String>),
        Long { fields: Vec<String>, count: Option<u64> },
    }
    #[derive(Debug, PartialEq, Deserialize)]
    struct Inner {
        a: i64,
    }
    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[serde(flatten)]
        inner: Inner,
        b: Option<bool>,
    }
    let fields = || vec!["x".to_owned()];
    let list = || List(vec![Plain("x")]);
    assert_eq!(read::<Fields>(&list()), Fields::Short(fields()));
    let long = Map(vec![("fields", list()), ("count", Plain("2"))]);
    assert_eq!(read::<Fields>(&long), Fields::Long { fields: fields(), count: Some(2) });
    let wrong = mistake::<Fields>(&Plain("7"));
    assert_eq!(wrong.1, "the number `7` has none of the forms that are allowed here");

    let outer = Map(vec![("a", Plain("-1")), ("b", Plain("true"))]);
    assert_eq!(read::<Outer>(&outer), Outer { inner: Inner { a: -1 }, b: Some(true) });
    let wrong = mistake::<Outer>(&Map(vec![("a", Plain("1")), ("c", Plain("1"))]));
    assert_eq!((wrong.0.as_str(), wrong.1.as_str()), ("c", "unknown key `c`"));
}

#[test]
fn a_substituted_value_is_what_is_wanted_quoted_or_not() {
    for quoted in [false, true] {
        let config: Config = read(&Map(vec![
            ("port", Sub("${PORT}", "8080", quoted)),
            ("ratio", Sub("${RATIO}", "0.5", quoted)),
            ("on", Sub("${ON}", "true", quoted)),
            ("path", Sub("${PATH}", "true", quoted)),
            ("token", Sub("${TOKEN}", "0123", quoted)),
        ]));
        assert_eq!((config.port, config.ratio, config.on), (8080, 0.5, true));
        assert_eq!((config.path.as_str(), config.token.expose()), ("true", "0123"));
    }
}

#[test]
fn a_mistake_in_a_substituted_value_does_not_show_it() {
    let wrong = mistake::<Config>(&Map(vec![("port", Sub("${PORT}", "hunter2", false))]));
    assert_eq!(
        said(&wrong),
        ("${PORT}", "expected a whole number, found the value of `${PORT}`", "")
    );
    let wrong = mistake::<Config>(&Map(vec![("every", Sub("${EVERY}", "hunter2", true))]));
    assert!(!wrong.1.contains("hunter2"), "{}", wrong.1);
    let wrong = mistake::<Config>(&Map(vec![("mode", Sub("${MODE}", "hunter2", true))]));
    assert!(wrong.1.contains("${MODE}") && !wrong.1.contains("hunter2"), "{}", wrong.1);
}

#[test]
fn a_type_that_reads_a_text_points_at_the_character() {
    #[derive(Debug)]
    struct Query;
    impl<'de> Deserialize<'de> for Query {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Reader;
            impl Visitor<'_> for Reader {
                type Value = Query;
                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("a query")
                }
                fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Query, E> {
                    let at = text.find('(').unwrap_or_default();
                    Err(error_in_text(at..at + 1, "this parenthesis is never closed"))
                }
            }
            deserializer.deserialize_str(Reader)
        }
    }
    let node = Map(vec![("when", Quoted("a AND (b"))]).root();
    let problem = deserialize::<BTreeMap<String, Query>>(&node).unwrap_err();
    assert_eq!(problem.to_string(), "a.yaml:1:16: error: this parenthesis is never closed");
}

#[test]
fn whole_numbers_beyond_64_bits_are_not_rounded() {
    assert_eq!(read::<u128>(&Plain("18446744073709551617")), (1 << 64) + 1);
    assert_eq!(read::<i128>(&Plain("-18446744073709551617")), -(1 << 64) - 1);
    let wrong = mistake::<u64>(&Plain("18446744073709551617"));
    assert!(wrong.1.starts_with("expected a whole number from 0 to 18446744073709551615"));
}
