//! What is refused, and the character that the error points at.

use dpipe_query::Query;

/// The error of a query, drawn: `query`, a line of carets, the message.
fn drawn(query: &str) -> String {
    let error = Query::parse(query).expect_err(query);
    format!("{}\n{}", error.caret(), error.message)
}

#[track_caller]
fn refused(query: &str, carets: &str, message: &str) {
    assert_eq!(drawn(query), format!("{query}\n{carets}\n{message}"));
}

#[test]
fn parentheses_must_pair() {
    refused("a AND (b OR c", "      ^", "this `(` is never closed");
    refused("a b) c", "   ^", "this `)` closes nothing");
    refused("a ()", "  ^^", "nothing in the parentheses");
    refused("(a OR )", "      ^", "expected a term before `)`");
}

#[test]
fn operators_must_stand_between_terms() {
    refused("AND a", "^^^", "expected a term before `AND`");
    refused("a OR OR b", "     ^^", "expected a term before `OR`");
    refused("a AND", "     ^", "expected a term");
    refused("a NOT", "     ^", "expected a term");
    refused("a || && b", "     ^^", "expected a term before `&&`");
    refused("a - b", "  ^", "`-` stands alone; write it right before a term, or quote it");
    refused(
        "+a OR b",
        "^",
        "`+` asks for a term that `OR` makes optional; use `AND` and parentheses",
    );
}

#[test]
fn quotes_ranges_and_expressions_must_be_closed() {
    refused(r#"m:"abc"#, "  ^", "this quote is never closed");
    refused("n:[1 TO 5", "  ^", "this range is never closed");
    refused(
        "uri:/health",
        "    ^",
        "this regular expression is never closed; a text with slashes needs quotes",
    );
    refused("a\\", " ^", "a backslash with nothing behind it");
}

#[test]
fn a_range_is_two_ends_with_to_between() {
    refused("n:[1 to 5]", "     ^^", "expected `TO` between the ends of a range");
    refused("n:[1 5]", "     ^", "expected `TO` between the ends of a range");
    refused("n:[1 TO ]", "        ^", "expected a value");
    refused("n:[1 TO 5 6]", "          ^", "expected `]` or `}` at the end of a range");
    refused("[1 TO 5]", "^", "a range needs a field before it, as in `field:…`");
    refused(">5", "^", "a comparison needs a field before it, as in `field:…`");
    refused("=5", "^", "an exact value needs a field before it, as in `field:…`");
    refused("n:>", "   ^", "expected a value");
}

#[test]
fn what_lucene_has_and_this_language_has_not_is_named() {
    refused(
        "roam~1",
        "    ^",
        "fuzzy and proximity searches (`~`) are not supported; write `\\~` for the character",
    );
    assert!(drawn(r#""a b"~5"#).contains("proximity"));
    refused(
        "a^2 b",
        " ^",
        "boosts (`^`) are not supported: nothing is ranked; write `\\^` for the character",
    );
    assert!(drawn("(a b)^2").contains("boosts"));
    refused("*:x", "^^", "a search in any field has no field: leave out `*:`");
    refused("lo*:x", "  ^", "the name of a field takes no wildcard; quote it if it is meant so");
}

#[test]
fn characters_with_a_meaning_must_be_escaped_in_terms() {
    refused("a[b", " ^", "`[` in a term: write `\\[`, or quote the term");
    refused("a|b", " ^", "`|` in a term: write `\\|`, or quote the term");
    refused("a\"b\"", " ^", "`\"` in a term: write `\\\"`, or quote the term");
    refused("a\"b\":x", " ^", "`\"` in a term: write `\\\"`, or quote the term");
    refused("a:b:c", "   ^", "unexpected `:`; write `\\:`, or quote the term");
    refused(":a", "^", "unexpected `:`; write `\\:`, or quote the term");
    refused(
        "\"a\"b",
        "   ^",
        "expected a space; a text with quotes or slashes in it needs quotes around it",
    );
}

#[test]
fn a_field_needs_a_name_and_a_value() {
    refused("level:", "      ^", "expected a value for the field");
    refused(
        "level: AND x",
        "       ^^^",
        "expected a value for the field; quote the word if it is one",
    );
    refused(
        "level:!error",
        "      ^",
        "write this before the name of the field; or quote the value",
    );
    refused(
        "level:-error",
        "      ^",
        "write this before the name of the field; or quote the value",
    );
    refused("a..b:x", "  ^", "expected a key in the name of a field");
    refused("a[x]:1", "  ^", "expected a whole number in brackets in the name of a field");
    refused("_exists_:", "         ^", "expected the name of a field");
}

#[test]
fn a_search_needs_a_letter_or_a_digit() {
    refused("a --- b", "    ^", "`-` stands alone; write it right before a term, or quote it");
    refused("m:###", "  ^^^", "a search needs a letter or a digit; see `:=` and `:/regex/`");
    refused(r#"m:"...""#, "  ^^^^^", "a search needs a letter or a digit; see `:=` and `:/regex/`");
}

#[test]
fn time_compares_with_moments_only() {
    let message =
        "a time is milliseconds since 1970, a date, or RFC 3339 like 2014-03-01T12:30:00Z";
    refused("_time:>yesterday", "      ^^^^^^^^^^", message);
    refused("_time:[2014-13-01 TO *]", "      ^^^^^^^^^^^^^^^^^", message);
    refused("_received:2014*", "          ^^^^^", message);
}

#[test]
fn a_fault_in_a_regular_expression_is_placed_inside_it() {
    refused("u:/a(b/", "    ^", "in the regular expression: unclosed group");
    refused(
        r"u:/\/x[z-a]/",
        "       ^^^",
        "in the regular expression: invalid character class range, the start must be <= the end",
    );
    refused(
        r"u:/(\w{100}){100}/",
        "   ^^^^^^^^^^^^^^",
        "in the regular expression: it takes more than 1024 KiB when compiled",
    );
}

#[test]
fn the_place_is_counted_in_characters() {
    let error = Query::parse("ошибка AND )").unwrap_err();
    assert_eq!((error.at, error.length), (11, 1));
    let error = Query::parse("a AND ").unwrap_err();
    assert_eq!((error.at, error.length), (6, 0));
}

#[test]
fn a_query_that_nests_too_deep_is_an_error() {
    for deep in ["(", "NOT ", "!", "-", "a:("] {
        let query = format!("{}x{}", deep.repeat(10_000), ")".repeat(10_000));
        let error = Query::parse(&query).unwrap_err();
        assert_eq!(error.message, "a query nests at most 100 deep", "{deep}");
    }
    assert!(Query::parse(&"(x) -y ".repeat(200)).is_ok(), "side by side is not deep");
}

#[test]
fn a_query_that_is_too_large_is_an_error() {
    let message = |query: String| Query::parse(&query).unwrap_err().message;
    assert_eq!(message("x".repeat(70_000)), "a query takes at most 64 KiB");
    assert_eq!(message("x ".repeat(1025)), "a query takes at most 1024 terms");
    assert_eq!(message("/x/ ".repeat(65)), "a query takes at most 64 regular expressions");
    assert!(Query::parse(&"x ".repeat(1024)).is_ok());
}

#[test]
fn small_operators_between_terms_are_pointed_out() {
    let notes = |query: &str| -> Vec<(usize, String)> {
        let query = Query::parse(query).unwrap();
        query.warnings().iter().map(|w| (w.at, w.message.clone())).collect()
    };
    let note = |word: &str, meant: &str| {
        format!("`{word}` is searched as a word; did you mean `{meant}`?")
    };
    assert_eq!(notes("a and b or c"), [(2, note("and", "AND")), (8, note("or", "OR"))]);
    assert_eq!(notes("a:(x or y)"), [(5, note("or", "OR"))]);
    assert_eq!(notes("not a"), [(0, note("not", "NOT"))]);
    assert_eq!(notes("and OR not OR f:and"), []);
}
