//! What matches what, rule by rule.

use crate::event::{matches, matches_cut_line, matches_line};

/// Asserts that each query of `yes` matches the body, and none of `no`.
#[track_caller]
fn check(json: &str, yes: &[&str], no: &[&str]) {
    for query in yes {
        assert!(matches(query, json), "`{query}` should match {json}");
    }
    for query in no {
        assert!(!matches(query, json), "`{query}` should not match {json}");
    }
}

#[test]
fn an_empty_query_and_a_star_match_everything() {
    check(r#"{}"#, &["", "  ", "*", "*:*", "**", "(*)"], &["NOT *"]);
}

#[test]
fn a_term_matches_one_token_in_any_case() {
    check(
        r#"{"level":"ERROR","uri":"/api/v1/pay_in?x=1"}"#,
        &["level:error", "level:Error", "uri:api", "uri:V1", "uri:pay", "level: error"],
        &["level:err", "level:errors", "uri:ap", "level:warn"],
    );
}

#[test]
fn a_term_with_other_characters_is_a_phrase_of_its_tokens() {
    check(
        r#"{"ip":"from 10.0.0.1 port 22","id":"foo-bar"}"#,
        &["ip:10.0.0.1", "ip:0.1", "id:foo-bar", "id:foo_bar", r"id:foo\:bar", "ip:a.b OR id:bar"],
        &["ip:10.0.1", "id:bar-foo"],
    );
}

#[test]
fn a_phrase_matches_consecutive_tokens() {
    check(
        r#"{"m":"Out of memory: killed"}"#,
        &[r#"m:"out of memory""#, r#"m:"memory killed""#, r#"m:"of, memory!""#],
        &[r#"m:"out memory""#, r#"m:"memory of""#, r#"m:"out of mem""#],
    );
}

#[test]
fn bare_terms_search_message_if_there_is_one() {
    check(
        r#"{"message":"disk full","level":"error"}"#,
        &["disk", "full", r#""disk full""#, "/sk fu/"],
        &["error", "message", "level"],
    );
}

#[test]
fn bare_terms_search_the_whole_body_if_there_is_no_message() {
    check(
        r#"{"lvl":"error","n":{"code":-12.5,"ok":true},"text":"a\nb"}"#,
        &["error", "lvl", "12", "true", r#""lvl error""#, "code-12", r#""a b""#, "b", "/co.e/"],
        &["err", "nb", "message"],
    );
    check(r#"{"message":null,"level":"error"}"#, &["error"], &["warn"]);
}

#[test]
fn a_line_of_text_is_its_own_message() {
    assert!(matches_line("message:error AND disk", b"ERROR: disk \xff full"));
    assert!(matches_line("nb", r"a\nb"), "a backslash in a line is no escape");
    assert!(!matches_line("error", "no errors"));
    assert!(!matches_line("level:error", "level: error"));
}

#[test]
fn a_missing_field_never_matches_and_its_not_does() {
    for clause in ["f:x", "f:\"x\"", "f:=x", "f:/x/", "f:[1 TO 2]", "f:>0", "f:*", "f:x*"] {
        for body in [r#"{"g":1}"#, r#"{"f":null}"#] {
            check(body, &[&format!("NOT {clause}"), &format!("-{clause}")], &[clause]);
        }
    }
}

#[test]
fn exists_asks_for_a_value_that_is_not_null() {
    check(
        r#"{"a":0,"b":"","c":[],"d":{},"e":false,"n":null,"o":{"x":1}}"#,
        &[
            "_exists_:a",
            "_exists_:b",
            "_exists_:c",
            "_exists_:d",
            "_exists_:e",
            "_exists_:o.x",
            "a:*",
            "o:*",
            "a:[* TO *]",
            r#"_exists_:"a""#,
        ],
        &["_exists_:n", "_exists_:z", "_exists_:o.y", "n:*", "z:[* TO *]"],
    );
}

#[test]
fn an_exact_value_is_the_whole_string_byte_by_byte() {
    check(
        r#"{"uri":"/health","e":"","q":"a\"b","s":"x y","w":"a*","true":"true","t":true}"#,
        &[
            r#"uri:="/health""#,
            "uri:=/health",
            r#"e:="""#,
            r#"q:="a\"b""#,
            r#"s:="x y""#,
            r"s:=x\ y",
            "w:=a*",
            "true:=true",
            "t:=true",
        ],
        &["uri:=/Health", "uri:=health", "uri:=/healt", "s:=x", "w:=ab", "t:=True", r#"q:="ab""#],
    );
}

#[test]
fn an_exact_number_is_equal_by_value() {
    check(
        r#"{"n":200,"f":1.50,"s":"200","big":9007199254740993,"e":1e3}"#,
        &["n:=200", "n:=200.0", "n:=2e2", "f:=1.5", "s:=200", "big:=9007199254740993", "e:=1000"],
        &["n:=201", "s:=200.0", "big:=9007199254740992", "f:=1.51", "n:=abc"],
    );
}

#[test]
fn a_term_matches_a_number_as_a_whole_and_a_string_by_token() {
    check(
        r#"{"n":200,"f":21.5,"neg":-5,"s":"HTTP 200","v":"1.5"}"#,
        &[
            "n:200",
            "n:200.0",
            r#"n:"200""#,
            "f:21.5",
            "neg:-5",
            "s:200",
            "v:1.5",
            "v:5",
            "n:2*",
            "f:21.*",
            "n:2??",
        ],
        &["n:20", "f:5", "f:21", "neg:5", "s:20", "n:3*", "n:2?"],
    );
}

#[test]
fn wildcards_stand_for_characters_of_one_token() {
    check(
        r#"{"m":"Connection refused by db-42"}"#,
        &["m:conn*", "m:*fused", "m:c*n", "m:ref?sed", "m:d?-4?", "m:conn*-refused", "m:by-*-42"],
        &["m:conn", "m:con?", "m:connection*refused", "m:refused-*-42", "m:?????-refused"],
    );
    check(r#"{"uri":"/api/x"}"#, &["uri:*/api/*", "uri:*api*"], &["uri:*apis*"]);
    check(r#"{"m":"what? 5*5"}"#, &[r"m:what\?", r"m:5\*5"], &[r"m:wha\?"]);
}

#[test]
fn tokens_are_letters_and_digits_of_any_alphabet() {
    check(
        r#"{"m":"Ошибка: CAFÉ наконец","u":"caf\u00e9 \ud83d\ude00 x"}"#,
        &["m:ошибка", "m:café", "m:НАК*", "u:CAFÉ", r#"u:"café x""#, "m:caf?"],
        &["m:caf", "u:caf", "m:ошибк"],
    );
}

#[test]
fn a_regex_searches_the_whole_value_unanchored_and_in_case() {
    check(
        r#"{"u":"/api/v2/users","n":1234,"t":true,"e":"a\tb","z":null}"#,
        &[
            r"u:/v\d/",
            r"u:/^\/api/",
            "u:/users$/",
            "n:/^12/",
            "t:/true/",
            r"e:/a\tb/",
            "u:/(?i)API/",
        ],
        &["u:/API/", "u:/^users/", "n:/^2/", "z:/null/", r"e:/a\\tb/"],
    );
}

#[test]
fn ranges_of_numbers_match_numbers_and_numeric_strings() {
    check(
        r#"{"n":5,"f":0.75,"s":" 5 ","t":"\t\u0035\n","neg":-2.5,"big":18446744073709551617,"w":"5 apples","b":true}"#,
        &[
            "n:[1 TO 5]",
            "n:[5 TO *]",
            "n:>4",
            "n:>=5",
            "n:<=5",
            "n:<5.5",
            "f:>0.5",
            "f:{0.5 TO 1}",
            "s:[1 TO 5]",
            "s:>=5",
            "t:[1 TO 5]",
            "neg:<0",
            "neg:[-3 TO -2]",
            "big:>18446744073709551616",
            "n:{* TO 5]",
            "n:(>1 AND <9)",
            "n:> 4",
            r#"n:["1" TO "5"]"#,
        ],
        &[
            "n:[1 TO 5}",
            "n:{5 TO 9]",
            "n:>5",
            "n:<5",
            "w:>1",
            "b:>0",
            "n:[6 TO 9]",
            "s:<5",
            "big:>18446744073709551617",
            "n:[5 TO 1]",
        ],
    );
}

#[test]
fn ranges_of_other_bounds_compare_strings() {
    check(
        r#"{"v":"b","d":"2014-03-05","n":5,"e":"b\nc"}"#,
        &["v:[a TO c]", "v:>a", "v:{a TO b]", "d:[2014-03 TO 2014-04}", "e:>b", "v:[1 TO b]"],
        &["v:[a TO b}", "v:[C TO Z]", "d:>2014-03-05", "n:[a TO z]", "e:<b", "v:>5"],
    );
}

#[test]
fn event_time_compares_with_dates_moments_and_milliseconds() {
    check(
        r#"{"_time":"never"}"#,
        &[
            "_time:2014-03-01",
            "_time:2014-03",
            "_time:[2014-03-01 TO 2014-03-01]",
            "_time:>=2014-03-01T12:00:00.25Z",
            "_time:>2014-02",
            "_time:<2014-03-02",
            "_time:<=2014-03-01",
            "_time:[2014-03-01T13:00+01:00 TO *}",
            "_time:1393675200250",
            "_time:=1393675200250",
            "_time:>1393675200249",
            r#"_time:"2014-03-01T12:00""#,
            r#""_time":never"#,
            "_exists_:_time",
        ],
        &[
            "_time:>2014-03-01",
            "_time:<2014-03-01",
            "_time:2014-02",
            "_time:>2014-03-01T12:00:00.25Z",
            "_time:1393675200251",
            "_time:{2014-03-01 TO 2014-03-02}",
        ],
    );
}

#[test]
fn metadata_is_read_like_fields() {
    check(
        r#"{"_tenant":"other"}"#,
        &[
            "_tenant:rs",
            "logfile:pv",
            "_file:pv",
            "_tag:=logs",
            "_offset:0",
            "_id:/^[0-9a-f]{32}$/",
        ],
        &["_tenant:other", "_host:*", "_area:*"],
    );
}

#[test]
fn lines_that_were_cut_are_told_by_the_length_that_they_had() {
    let cut = |query| matches_cut_line(query, "the start of it", 2_000_000);
    assert!(cut("_original_bytes:*") && cut("_exists_:_original_bytes"));
    assert!(cut("_original_bytes:2000000") && cut("_original_bytes:>1048576 AND start"));
    assert!(!cut("_original_bytes:<2000000") && !cut("NOT _original_bytes:*"));
    assert!(!matches_line("_original_bytes:*", "whole"));
    check(r#"{"_original_bytes":1}"#, &[r#""_original_bytes":1"#], &["_original_bytes:*"]);
}

#[test]
fn an_array_matches_if_an_element_does() {
    check(
        r#"{"a":["x y",7,null,[true]],"o":[{"k":"deep"}]}"#,
        &[
            "a:x",
            "a:7",
            "a:=7",
            "a:=\"x y\"",
            "a:/x.y/",
            "a:>6",
            "a:true",
            "a:=true",
            "o:deep",
            "a[1]:7",
        ],
        &["a:\"y 7\"", "a:=x", "a:8", "o:=deep", "o:/deep/", "o:k", "a[0]:7"],
    );
}

#[test]
fn a_term_searches_the_scalars_inside_of_an_object() {
    check(
        r#"{"o":{"a":"one two","b":{"c":5,"n":null}}}"#,
        &["o:one", "o:5", r#"o:"one two""#, "o.b:5", "o.b.c:5"],
        &["o:a", "o:null", "o:=5", "o:>1", r#"o:"two 5""#],
    );
}

#[test]
fn fields_are_paths_and_keys_may_be_quoted() {
    check(
        r#"{"a":{"b":[1,{"c":"x"}]},"k.d":"y","sp ace":"z","a:b":"w","-m":"v"}"#,
        &[
            "a.b[0]:1",
            "a.b[1].c:x",
            r#""k.d":y"#,
            r"k\.d:y",
            r#""sp ace":z"#,
            r"sp\ ace:z",
            r#""a:b":w"#,
            r"a\:b:w",
            r#""-m":v"#,
            r#"_exists_:"sp ace""#,
            r#"a."b"[0]:1"#,
        ],
        &["a.b:x AND a.b[0]:x", "k.d:y"],
    );
}

#[test]
fn adjacency_is_and_and_binds_over_or() {
    let body = r#"{"a":1,"b":2}"#;
    check(
        body,
        &[
            "a:1 b:2",
            "a:1 AND b:2",
            "a:1 && b:2",
            "a:1&&b:2",
            "a:9 OR b:2",
            "a:9 || b:2",
            "a:9||b:2",
        ],
        &["a:1 b:9", "a:9 AND b:2", "a:9 OR b:9"],
    );
    check(body, &["a:1 OR b:9 AND a:9", "a:1 OR b:9 a:9"], &["(a:1 OR b:9) AND a:9"]);
}

#[test]
fn not_binds_to_the_next_clause_only() {
    let body = r#"{"a":1,"b":2}"#;
    check(
        body,
        &[
            "NOT a:9 b:2",
            "a:1 NOT b:9",
            "-a:9 +b:2",
            "!a:9",
            "NOT NOT a:1",
            "a:9 OR NOT b:9",
            "! a:9",
        ],
        &["NOT a:1 b:2", "-a:1 OR b:9", "!(a:1 b:2)", "-(a:1)"],
    );
}

#[test]
fn a_group_takes_the_field_before_it() {
    check(
        r#"{"area":"us","n":5}"#,
        &[
            "area:(us OR de)",
            "area:(-de)",
            "n:(>1 <9)",
            "area:(us AND n:5)",
            "area:(/u/)",
            "area:(*)",
        ],
        &["area:(fr OR de)", "n:(>1 AND <5)", "area:(us AND de)", "zone:(*)"],
    );
}

#[test]
fn operators_are_words_only_when_quoted_or_escaped_or_small() {
    let body = r#"{"message":"this and that OR nothing"}"#;
    check(body, &[r"\AND", r#""and""#, "and", r#""OR""#, "ANDROID OR that"], &[r"\NOT"]);
}
