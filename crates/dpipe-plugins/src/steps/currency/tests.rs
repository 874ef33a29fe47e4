use dpipe_testkit::{StepCheck, step_mistake};

use super::Config;

const RATES: &[u8] = b"date,currency,usd
2024-01-01,USD,1
2024-01-01,EUR,1.10
2024-06-01,EUR,1.08
2024-01-01,JPY,0.0067
";

const SETTINGS: &str = "currency: { amount: data.amount, currency: data.currency, into: _usd }";

#[track_caller]
fn check(settings: &str, input: &str, expected: &[&str]) {
    let found = StepCheck::new::<Config>(settings, &[("rates.csv", RATES)]).run(input);
    assert_eq!(found, expected.join("\n"), "{settings}");
}

#[test]
fn amounts_become_cents_at_the_rate_of_the_events_date() {
    check(
        SETTINGS,
        r#"
        @2024-05-31 {"data":{"amount":19.99,"currency":"EUR"}}
        @2024-06-01 {"data":{"amount":19.99,"currency":"EUR"}}
        @2025-01-01 {"data":{"amount":"-500","currency":"jpy"}}
        @2024-06-01 {"data":{"amount":0.1,"currency":"USD"}}
        "#,
        &[
            r#"{"data":{"amount":19.99,"currency":"EUR"},"_usd":2199}"#,
            r#"{"data":{"amount":19.99,"currency":"EUR"},"_usd":2159}"#,
            r#"{"data":{"amount":"-500","currency":"jpy"},"_usd":-335}"#,
            r#"{"data":{"amount":0.1,"currency":"USD"},"_usd":10}"#,
        ],
    );
}

#[test]
fn an_unknown_currency_or_one_without_a_rate_yet_is_flagged_and_the_event_lives() {
    check(
        SETTINGS,
        r#"
        @2024-06-01 {"data":{"amount":1,"currency":"XXX"}}
        @2023-12-31 {"data":{"amount":1,"currency":"EUR"}}
        @2024-06-01 {"data":{"amount":1,"currency":7}}
        "#,
        &[
            r#"{"data":{"amount":1,"currency":"XXX"}}"#,
            r#"{"data":{"amount":1,"currency":"EUR"}}"#,
            r#"{"data":{"amount":1,"currency":7}}"#,
            "flagged unknown_currency 3",
        ],
    );
}

#[test]
fn missing_fields_are_nothing_and_bad_amounts_are_flagged() {
    check(
        "currency: { amount: a, currency: c, into: b.usd }",
        r#"
        @2024-06-01 {"a":1}
        @2024-06-01 {"c":"EUR"}
        @2024-06-01 {"a":null,"c":"EUR"}
        @2024-06-01 {"a":"much","c":"EUR"}
        @2024-06-01 {"a":[1],"c":"EUR"}
        @2024-06-01 {"a":12345678901234567890,"c":"EUR"}
        @2024-06-01 {"a":1,"c":"EUR","b":2}
        "#,
        &[
            r#"{"a":1}"#,
            r#"{"c":"EUR"}"#,
            r#"{"a":null,"c":"EUR"}"#,
            r#"{"a":"much","c":"EUR"}"#,
            r#"{"a":[1],"c":"EUR"}"#,
            r#"{"a":12345678901234567890,"c":"EUR"}"#,
            r#"{"a":1,"c":"EUR","b":2}"#,
            "flagged bad_amount 3",
            "flagged unwritable 1",
        ],
    );
}

#[test]
fn an_amount_may_count_hundredths() {
    check(
        "currency: { amount: a, currency: c, into: usd, scale: 2 }",
        r#"@2024-06-01 {"a":1999,"c":"EUR"}"#,
        &[r#"{"a":1999,"c":"EUR","usd":2159}"#],
    );
    assert_eq!(
        step_mistake::<Config>("currency: { amount: a, currency: c, into: d, scale: 10 }"),
        "error: `scale` is 10, but at most 9"
    );
}

#[test]
fn only_selected_events_are_converted() {
    check(
        "currency: { amount: a, currency: c, into: usd, when: 'x:1' }",
        r#"
        @2024-06-01 {"a":1,"c":"USD","x":1}
        @2024-06-01 {"a":1,"c":"USD","x":2}
        "#,
        &[r#"{"a":1,"c":"USD","x":1,"usd":100}"#, r#"{"a":1,"c":"USD","x":2}"#],
    );
}

#[test]
fn a_changed_table_is_read_again_and_a_bad_one_is_not_taken() {
    let mut step = StepCheck::new::<Config>(SETTINGS, &[("rates.csv", RATES)]);
    let event = r#"@2024-06-02 {"data":{"amount":1,"currency":"EUR"}}"#;
    assert!(step.run(event).contains(r#""_usd":108"#));

    step.replace("rates.csv", b"date,currency,usd\n2024-06-02,EUR,1.20\n");
    assert_eq!(step.tick(), "");
    assert!(step.run(event).contains(r#""_usd":120"#));

    step.replace("rates.csv", b"date,currency,usd\n2024-06-02,EUR,free\n");
    assert_eq!(
        step.tick(),
        "complaint: cannot load /etc/dpipe/rates.csv, so the table read before stays in force: \
         line 2: `free` is not a rate above 0"
    );
    assert_eq!(step.tick(), "");
    assert!(step.run(event).contains(r#""_usd":120"#));
}

#[test]
fn the_rates_of_the_examples_are_a_table() {
    let rates: &[u8] = include_bytes!("../../../../../examples/data/rates.csv");
    let mut step = StepCheck::new::<Config>(SETTINGS, &[("rates.csv", rates)]);
    for code in ["USD", "EUR", "GBP", "JPY", "CNY", "BRL", "SEK", "PHP"] {
        let event = format!(r#"@2014-06-01 {{"data":{{"amount":1,"currency":"{code}"}}}}"#);
        assert!(step.run(&event).contains("_usd"), "{code}");
    }
}
