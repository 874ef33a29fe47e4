use dpipe_testkit::{StepCheck, step_mistake};

use super::Config;

const SETTINGS: &str = "dns: { field: c.ip, into: c.name, ttl: 1h, negative_ttl: 1m }";

fn step(settings: &str) -> StepCheck {
    let step = StepCheck::new::<Config>(settings, &[]);
    step.env().set_name("192.0.2.1", "one.example.");
    step.env().set_name("2001:db8::2", "two.example");
    step
}

/// Runs the step until every question has its answer.
fn answered(step: &mut StepCheck, events: &str) -> String {
    loop {
        let found = step.run(events);
        if !found.contains("dns_pending") {
            return found;
        }
        std::thread::yield_now();
    }
}

#[test]
fn an_event_before_the_answer_goes_on_and_those_after_it_get_it() {
    let mut step = step(SETTINGS);
    let event = r#"{"c":{"ip":"192.0.2.1"}}"#;
    assert_eq!(step.run(event), format!("{event}\nflagged dns_pending 1"));
    let expected = r#"{"c":{"ip":"192.0.2.1","name":"one.example"}}"#;
    assert_eq!(answered(&mut step, event), expected);
    assert_eq!(step.another_lane().run(event), expected);
    assert_eq!(step.env().names_asked(), 1);
}

#[test]
fn what_has_no_answer_is_flagged() {
    let mut step = step(SETTINGS);
    let events = r#"
        {"c":{"ip":" ::ffff:192.0.2.1"}}
        {"c":{"ip":"2001:DB8::2"}}
        {"c":{"ip":"192.0.2.9"}}
        {"c":{"ip":"nothing"}}
        {"c":{"ip":7}}
        {"c":{"ip":null}}
        {"x":1}
        {"c":{"ip":"192.0.2.1","name":{"x":1}}}
        "#;
    assert_eq!(
        answered(&mut step, events),
        r#"{"c":{"ip":" ::ffff:192.0.2.1","name":"one.example"}}
{"c":{"ip":"2001:DB8::2","name":"two.example"}}
{"c":{"ip":"192.0.2.9"}}
{"c":{"ip":"nothing"}}
{"c":{"ip":7}}
{"c":{"ip":null}}
{"x":1}
{"c":{"ip":"192.0.2.1","name":"one.example"}}
flagged dns_unknown 1
flagged bad_ip 2"#
    );
}

#[test]
fn the_addresses_of_a_name_are_a_list() {
    let settings = "dns: { field: host, into: ips.v, ask: addresses, when: 'NOT x:1' }";
    let mut step = step(settings);
    step.env().set_name("192.0.2.3", "two.example");
    let events = r#"
        {"host":"two.example"}
        {"host":"no.example"}
        {"host":"a b"}
        {"host":"two.example","x":1}
        {"host":"two.example","ips":1}
        "#;
    assert_eq!(
        answered(&mut step, events),
        r#"{"host":"two.example","ips":{"v":["192.0.2.3","2001:db8::2"]}}
{"host":"no.example"}
{"host":"a b"}
{"host":"two.example","x":1}
{"host":"two.example","ips":1}
flagged dns_unknown 1
flagged bad_name 1
flagged unwritable 1"#
    );
}

#[test]
fn an_old_answer_is_given_until_there_is_a_new_one() {
    let mut step = step(SETTINGS);
    let event = r#"{"c":{"ip":"192.0.2.1"}}"#;
    answered(&mut step, event);
    step.env().set_name("192.0.2.1", "new.example");
    step.set_now_millis(3_599_999);
    assert!(step.run(event).contains("one.example"));
    assert_eq!(step.env().names_asked(), 1);
    step.set_now_millis(3_600_000);
    assert!(step.run(event).contains("one.example"));
    while !step.run(event).contains("new.example") {
        std::thread::yield_now();
    }
    assert_eq!(step.env().names_asked(), 2);
}

#[test]
fn a_failure_is_asked_again_soon_and_leaves_what_was_known() {
    let mut step = step(SETTINGS);
    let event = r#"{"c":{"ip":"192.0.2.1"}}"#;
    step.env().set_names_fail(true);
    assert_eq!(answered(&mut step, event), format!("{event}\nflagged dns_failed 1"));
    step.set_now_millis(59_999);
    step.env().set_names_fail(false);
    assert!(step.run(event).contains("dns_failed"));
    step.set_now_millis(60_000);
    while !step.run(event).contains("one.example") {
        std::thread::yield_now();
    }
    step.set_now_millis(4_000_000);
    step.env().set_names_fail(true);
    let asked = step.env().names_asked();
    while step.env().names_asked() == asked {
        assert!(step.run(event).contains("one.example"));
    }
    assert!(step.run(event).contains("one.example"));
}

#[test]
fn no_more_questions_wait_than_there_may() {
    let mut step = step("dns: { field: c.ip, into: c.name, outstanding_max: 2, cache_max: 100 }");
    step.env().set_names_held(true);
    let events = r#"
        {"c":{"ip":"192.0.2.1"}}
        {"c":{"ip":"192.0.2.2"}}
        {"c":{"ip":"192.0.2.3"}}
        "#;
    for _ in 0..2 {
        assert!(step.run(events).ends_with("flagged dns_pending 3"));
    }
    step.env().set_names_held(false);
    let first_two = "{\"c\":{\"ip\":\"192.0.2.1\"}}\n{\"c\":{\"ip\":\"192.0.2.2\"}}";
    answered(&mut step, first_two);
    assert_eq!(step.env().names_asked(), 2);
    assert!(answered(&mut step, events).ends_with("flagged dns_unknown 2"));
    assert_eq!(step.env().names_asked(), 3);
}

#[test]
fn limits_of_nothing_are_mistakes() {
    let mistake =
        |option: &str| step_mistake::<Config>(&format!("dns: {{ field: a, into: b, {option} }}"));
    assert_eq!(mistake("cache_max: 0"), "error: `cache_max` is 0");
    assert_eq!(mistake("outstanding_max: 0"), "error: `outstanding_max` is 0");
    assert_eq!(mistake("threads: 65"), "error: `threads` is not between 1 and 64");
    assert!(mistake("ask: names").contains("did you mean `name`?"));
}
