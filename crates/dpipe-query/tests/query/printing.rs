//! A query prints in its plainest form, and that parses to an equal query.

use dpipe_query::Query;
use proptest::prelude::*;

#[test]
fn a_query_prints_in_its_plainest_form() {
    for (query, printed) in [
        ("", "*"),
        ("a  b", "a AND b"),
        ("a b OR -c", "a AND b OR NOT c"),
        ("(a OR b) AND ((c))", "(a OR b) AND c"),
        ("!(a b)", "NOT (a AND b)"),
        ("_area:(us OR de)", "_area:us OR _area:de"),
        ("n:>5 n:<=6", "n:{5 TO *] AND n:[* TO 6]"),
        ("u:=/health", "u:=\"/health\""),
        (r"u:/a\/b\d/", r"u:/a\/b\d/"),
        ("f:*", "_exists_:f"),
        ("f:[\"\" TO b]", "f:[\"\" TO b]"),
        (r#""a b".c[0]:"x \"y\"""#, r#""a b".c[0]:"x \"y\"""#),
        (r"\OR a\-b c*d?", r"\OR AND a\-b AND c*d?"),
        ("t:[2014-03-01 TO \"a b\"]", "t:[2014-03-01 TO \"a b\"]"),
        (
            r#""_time":x _time:2014-03 "_exists_":y"#,
            r#""_time":x AND _time:2014\-03 AND "_exists_":y"#,
        ),
    ] {
        assert_eq!(Query::parse(query).unwrap().to_string(), printed, "{query}");
    }
}

#[test]
fn every_query_in_the_table_of_the_documentation_parses() {
    let page = include_str!("../../../../docs/query-language.md");
    let table = page.lines().skip_while(|line| !line.starts_with("| write")).skip(2);
    let queries: Vec<&str> = table
        .take_while(|line| line.starts_with('|'))
        .filter_map(|line| line.split(" | ").next())
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect();
    assert!(queries.len() > 25, "{queries:?}");
    for query in queries {
        assert!(Query::parse(query).is_ok(), "{query}");
    }
}

/// What queries are made of, well or not.
const PIECES: &[&str] = &[
    "a",
    "foo",
    "b-c",
    "é",
    "*",
    "?",
    "x*",
    " ",
    " ",
    " ",
    "AND",
    "OR",
    "NOT",
    "&&",
    "||",
    "!",
    "+",
    "-",
    "(",
    ")",
    "f:",
    "a.b[0]:",
    "\"k k\".x:",
    "_time:",
    "_exists_:",
    "\"",
    "\"p q\"",
    "=",
    "=x",
    "/r/",
    "/",
    "\\",
    "\\:",
    "[",
    "]",
    "{",
    "}",
    " TO ",
    "[1 TO 5}",
    "{* TO b]",
    ">5",
    ">=",
    "<2014-03-01",
    "~",
    "^",
    ":",
    "|",
    "\n",
    ".",
    "5",
    "\u{1f600}",
];

fn any_query() -> impl Strategy<Value = String> {
    proptest::collection::vec(proptest::sample::select(PIECES), 0..12)
        .prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 4000,
        rng_seed: proptest::test_runner::RngSeed::Fixed(7),
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_text_parses_to_what_prints_and_parses_again_or_to_a_placed_error(text in any_query()) {
        match Query::parse(&text) {
            Ok(query) => {
                let printed = query.to_string();
                let again = Query::parse(&printed);
                prop_assert_eq!(again.as_ref(), Ok(&query), "{} printed as {}", text, printed);
                prop_assert_eq!(again.unwrap().to_string(), printed);
            }
            Err(error) => {
                let length = text.chars().count();
                prop_assert!(error.at + error.length <= length, "{} {:?}", text, error);
                prop_assert!(error.caret().lines().count() == 2);
            }
        }
    }
}
