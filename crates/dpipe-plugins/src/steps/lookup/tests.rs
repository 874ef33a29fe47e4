use dpipe_testkit::{Mmdb, StepCheck, mmdb, step_mistake};

use super::Config;

const CSV: &[u8] = b"\xef\xbb\xbfcode,name, continent\nDE,Germany,Europe\nfr,\"France, \"\"FR\"\"\",\n7,Seven,None\n";

#[track_caller]
fn check(settings: &str, file: (&str, &[u8]), input: &str, expected: &[&str]) {
    let found = StepCheck::new::<Config>(settings, &[file]).run(input);
    assert_eq!(found, expected.join("\n"), "{settings}");
}

fn refused(settings: &str, file: (&str, &[u8])) -> String {
    StepCheck::try_new::<Config>(settings, &[file]).err().expect("the table is no good")
}

#[test]
fn columns_of_the_row_go_into_their_fields() {
    check(
        "lookup: { field: a.code, table: t.csv, into: { name: b.name, continent: a.c } }",
        ("t.csv", CSV),
        r#"
        {"a":{"code":"DE"}}
        {"a":{"code":"\u0066r"}}
        {"a":{"code":7}}
        {"a":{"code":"XX"}}
        {"a":{"code":null}}
        {"x":1}
        {"a":{"code":"DE"},"b":1}
        "#,
        &[
            r#"{"a":{"code":"DE","c":"Europe"},"b":{"name":"Germany"}}"#,
            r#"{"a":{"code":"\u0066r"},"b":{"name":"France, \"FR\""}}"#,
            r#"{"a":{"code":7,"c":"None"},"b":{"name":"Seven"}}"#,
            r#"{"a":{"code":"XX"}}"#,
            r#"{"a":{"code":null}}"#,
            r#"{"x":1}"#,
            r#"{"a":{"code":"DE","c":"Europe"},"b":1}"#,
            "flagged unknown_key 1",
            "flagged unwritable 1",
        ],
    );
}

#[test]
fn defaults_stand_in_for_rows_and_cells_that_are_missing() {
    check(
        "lookup: { field: c, table: t.csv, key: code, ignore_case: true, into: { name: n, continent: k }, defaults: { continent: [0] } }",
        ("t.csv", CSV),
        r#"
        {"c":"FR"}
        {"c":"xx"}
        "#,
        &[
            r#"{"c":"FR","n":"France, \"FR\"","k":[0]}"#,
            r#"{"c":"xx","k":[0]}"#,
            "flagged unknown_key 1",
        ],
    );
}

#[test]
fn a_whole_row_may_go_into_one_field() {
    check(
        "lookup: { field: c, table: t.csv, key: name, into: row, defaults: { code: '?' }, when: 'NOT x:1' }",
        ("t.csv", CSV),
        r#"
        {"c":"Germany"}
        {"c":"Germany","x":1}
        {"c":"Nowhere"}
        "#,
        &[
            r#"{"c":"Germany","row":{"code":"DE","name":"Germany","continent":"Europe"}}"#,
            r#"{"c":"Germany","x":1}"#,
            r#"{"c":"Nowhere","row":{"code":"?"}}"#,
            "flagged unknown_key 1",
        ],
    );
}

#[test]
fn json_tables_keep_the_types_of_their_values() {
    check(
        "lookup: { field: c, table: t.json, into: { n: n, l: l } }",
        ("t.json", br#"{"a":{"n":1.50,"l":[true]},"b":{"n":null}}"#),
        "{\"c\":\"a\"}\n{\"c\":\"b\"}",
        &[r#"{"c":"a","n":1.50,"l":[true]}"#, r#"{"c":"b","n":null}"#],
    );
    check(
        "lookup: { field: c, table: t.json, key: id, into: row }",
        ("t.json", br#"[{"id":7,"n":1},{"id":"x"}]"#),
        "{\"c\":7}\n{\"c\":\"x\"}",
        &[r#"{"c":7,"row":{"id":7,"n":1}}"#, r#"{"c":"x","row":{"id":"x"}}"#],
    );
    check(
        "lookup: { field: c, table: t.json, into: name }",
        ("t.json", br#"{"DE":"Germany"}"#),
        r#"{"c":"DE"}"#,
        &[r#"{"c":"DE","name":"Germany"}"#],
    );
}

#[test]
fn a_maxmind_database_is_looked_up_by_address() {
    let record = Mmdb::map([
        ("country", Mmdb::map([("iso_code", Mmdb::text("DE"))])),
        ("asn", Mmdb::Number(3320)),
    ]);
    let database = mmdb(&[("81.2.69.0/24", record)]);
    let events = r#"
        {"ip":"81.2.69.142"}
        {"ip":"::ffff:81.2.69.142"}
        {"ip":"8.8.8.8"}
        {"ip":"none"}
        {"ip":"81.2.69.142"}
        "#;
    check(
        "lookup: { field: ip, table: t.mmdb, into: { country.iso_code: c, asn: n, no.such: x }, cache_max: 2 }",
        ("t.mmdb", &database),
        events,
        &[
            r#"{"ip":"81.2.69.142","c":"DE","n":3320}"#,
            r#"{"ip":"::ffff:81.2.69.142","c":"DE","n":3320}"#,
            r#"{"ip":"8.8.8.8"}"#,
            r#"{"ip":"none"}"#,
            r#"{"ip":"81.2.69.142","c":"DE","n":3320}"#,
            "flagged unknown_key 2",
        ],
    );
    check(
        "lookup: { field: ip, table: t.mmdb, into: all }",
        ("t.mmdb", &database),
        r#"{"ip":"81.2.69.1"}"#,
        &[r#"{"ip":"81.2.69.1","all":{"country":{"iso_code":"DE"},"asn":3320}}"#],
    );
}

#[test]
fn a_changed_table_is_read_again_and_a_bad_one_is_not_taken() {
    let settings = "lookup: { field: c, table: t.csv, into: { n: n } }";
    let mut step = StepCheck::new::<Config>(settings, &[("t.csv", b"c,n\na,1\n")]);
    assert_eq!(step.run(r#"{"c":"a"}"#), r#"{"c":"a","n":"1"}"#);
    step.replace("t.csv", b"c,n\na,2\n");
    assert_eq!(step.tick(), "");
    assert_eq!(step.run(r#"{"c":"a"}"#), r#"{"c":"a","n":"2"}"#);
    step.replace("t.csv", b"c,m\na,3\n");
    assert_eq!(
        step.tick(),
        "complaint: cannot load /etc/dpipe/t.csv, so the table read before stays in force: it has \
         no column `n`, but `c`, `m`"
    );
    assert_eq!(step.run(r#"{"c":"a"}"#), r#"{"c":"a","n":"2"}"#);
}

#[test]
fn two_ways_to_read_one_file_do_not_get_in_each_others_way() {
    let one = "lookup: { field: c, table: t.csv, into: { n: n } }";
    let step = StepCheck::new::<Config>(one, &[("t.csv", b"c,n,m\na,1,2\n")]);
    let mut other =
        step.with_settings::<Config>("lookup: { field: c, table: t.csv, into: { m: n } }");
    assert_eq!(other.run(r#"{"c":"a"}"#), r#"{"c":"a","n":"2"}"#);
}

#[test]
fn a_table_that_is_no_good_is_refused_with_the_place() {
    let csv = |options: &str, text: &[u8]| {
        let settings = format!("lookup: {{ field: c, table: t.csv, into: {{ n: n }}{options} }}");
        let refused = refused(&settings, ("t.csv", text));
        refused.strip_prefix("cannot load /etc/dpipe/t.csv: ").unwrap().to_owned()
    };
    assert_eq!(csv("", b"c,n\na,1\na,2\n"), "line 3: the key `a` came before");
    assert_eq!(csv(", ignore_case: true", b"c,n\na,1\nA,2\n"), "line 3: the key `a` came before");
    assert_eq!(csv("", b"c,n\n,2\n"), "line 2: the key is empty");
    assert_eq!(csv(", key: k", b"c,n\n"), "it has no column `k`, but `c`, `n`");
    assert!(csv("", b"c,n\na\n").contains("line: 2"));
    assert!(csv("", b"c,n\na,\xff\n").contains("UTF-8"));
    assert_eq!(csv(", table_bytes_max: 3B", b"c,n\na,1\n"), "it is larger than 3B");

    let json = |options: &str, text: &[u8]| {
        let settings = format!("lookup: {{ field: c, table: t.json, into: {{ n: n }}{options} }}");
        let refused = refused(&settings, ("t.json", text));
        refused.strip_prefix("cannot load /etc/dpipe/t.json: ").unwrap().to_owned()
    };
    assert_eq!(json("", b"7"), "it is neither an object nor an array");
    assert_eq!(json("", br#"{"a":7}"#), "`a`: it is no object, so it has no columns");
    assert!(json("", b"[]").starts_with("it is an array, so `key` has to say"));
    assert!(json(", key: k", b"{}").starts_with("it is an object, whose names are the keys"));
    assert_eq!(json(", key: k", br#"[{"k":1},{"n":1}]"#), "row 1: it has no key `k`");
    assert_eq!(json(", key: k", br#"[{"k":1},{"k":"1"}]"#), "row 1: the key `1` came before");
    assert!(
        refused("lookup: { field: c, table: t.mmdb, into: d }", ("t.mmdb", b"no"))
            .contains("t.mmdb")
    );
}

#[test]
fn settings_that_do_not_fit_are_mistakes() {
    let mistake = step_mistake::<Config>;
    assert!(mistake("lookup: { field: c, table: t.xls, into: d }").contains("ends in none of"));
    assert!(mistake("lookup: { field: c, table: t.mmdb, key: k, into: d }").contains("no meaning"));
    assert!(
        mistake("lookup: { field: c, table: t.csv, into: { a: b }, defaults: { c: 1 } }")
            .contains("`defaults` names `c`, which `into` does not")
    );
    assert!(
        mistake("lookup: { field: c, table: t.csv, into: d, delimiter: 'é' }").contains("of ASCII")
    );
    assert!(mistake("lookup: { field: c, table: t.csv, into: _time }").contains("is metadata"));
    assert!(mistake("lookup: { field: c, table: t.csv, into: {} }").contains("no entries"));
}
