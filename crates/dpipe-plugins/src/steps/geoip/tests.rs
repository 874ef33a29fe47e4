use dpipe_testkit::{Mmdb, StepCheck, mmdb, step_mistake};

use super::Config;

const DATABASE: &[u8] = include_bytes!("../../../../../examples/data/geo.mmdb");

#[track_caller]
fn check(settings: &str, input: &str, expected: &[&str]) {
    let found = StepCheck::new::<Config>(settings, &[("geo.mmdb", DATABASE)]).run(input);
    assert_eq!(found, expected.join("\n"), "{settings}");
}

fn flat_database(country: &str) -> Vec<u8> {
    mmdb(&[("8.8.8.0/24", Mmdb::map([("country_code", Mmdb::text(country))]))])
}

#[test]
fn countries_are_found_at_any_depth_for_both_families() {
    check(
        "geoip: { field: _log_info.ip, into: geo.country }",
        r#"
        {"_log_info":{"ip":"81.2.69.142"}}
        {"_log_info":{"ip":"2a01:e0a::1"}}
        {"_log_info":{"ip":"::ffff:8.8.8.8"}}
        {"_log_info":{"ip":" 202.196.239.1 "}}
        {"_log_info":{"ip":"\u0038.8.8.8"}}
        "#,
        &[
            r#"{"_log_info":{"ip":"81.2.69.142"},"geo":{"country":"GB"}}"#,
            r#"{"_log_info":{"ip":"2a01:e0a::1"},"geo":{"country":"FR"}}"#,
            r#"{"_log_info":{"ip":"::ffff:8.8.8.8"},"geo":{"country":"US"}}"#,
            r#"{"_log_info":{"ip":" 202.196.239.1 "},"geo":{"country":"PH"}}"#,
            r#"{"_log_info":{"ip":"\u0038.8.8.8"},"geo":{"country":"US"}}"#,
        ],
    );
}

#[test]
fn city_and_network_are_set_where_the_database_has_them() {
    check(
        "geoip: { field: ip, into: c, city_into: city, asn_into: asn, organization_into: org }",
        r#"
        {"ip":"81.2.69.142"}
        {"ip":"8.8.8.8"}
        "#,
        &[
            r#"{"ip":"81.2.69.142","c":"GB","city":"London","asn":64496,"org":"Example Networks UK"}"#,
            r#"{"ip":"8.8.8.8","c":"US","asn":64498,"org":"Example Resolver"}"#,
        ],
    );
}

#[test]
fn private_networks_are_marked() {
    let private = [
        "10.1.2.3",
        "172.31.0.1",
        "192.168.0.1",
        "100.127.0.1",
        "127.0.0.1",
        "169.254.1.1",
        "::1",
        "fe80::1",
        "fd00::1",
        "::ffff:10.0.0.1",
    ];
    for ip in private {
        let event = format!(r#"{{"ip":"{ip}"}}"#);
        let marked = format!(r#"{{"ip":"{ip}","c":"private"}}"#);
        check("geoip: { field: ip, into: c }", &event, &[&marked]);
    }
    let label = "geoip: { field: ip, into: c, private: '--' }";
    check(label, r#"{"ip":"10.0.0.1"}"#, &[r#"{"ip":"10.0.0.1","c":"--"}"#]);
}

#[test]
fn an_address_that_comes_again_is_found_again_whatever_came_between() {
    // More than are remembered, so that they take each other's place.
    let events: Vec<String> = (0..5000)
        .map(|n| format!(r#"{{"ip":"{}.11.{}.{}"}}"#, [133, 134][n % 2], n % 250, n / 250))
        .collect();
    let expected = |event: &String| match event.starts_with(r#"{"ip":"133."#) {
        true => event.replace('}', r#","c":"JP"}"#),
        false => event.clone(),
    };
    let mut expected: Vec<String> = events.iter().map(expected).collect();
    expected.push("flagged unknown_ip 2500".into());
    let mut step =
        StepCheck::new::<Config>("geoip: { field: ip, into: c }", &[("geo.mmdb", DATABASE)]);
    for _ in 0..2 {
        assert_eq!(step.run(&events.join("\n")), expected.join("\n"));
    }
}

#[test]
fn texts_that_only_differ_in_a_nul_are_not_taken_for_each_other() {
    check(
        "geoip: { field: ip, into: c }",
        r#"
        {"ip":"8.8.8.8"}
        {"ip":"8.8.8.8\u0000"}
        "#,
        &[r#"{"ip":"8.8.8.8","c":"US"}"#, r#"{"ip":"8.8.8.8\u0000"}"#, "flagged bad_ip 1"],
    );
}

#[test]
fn what_is_no_address_or_not_known_is_flagged_and_left() {
    check(
        "geoip: { field: ip, into: a.c }",
        r#"
        {"x":1}
        {"ip":null}
        {"ip":"1.2.3.4"}
        {"ip":"100.128.0.1"}
        {"ip":"1.2.3"}
        {"ip":12}
        {"ip":"8.8.8.8","a":1}
        "#,
        &[
            r#"{"x":1}"#,
            r#"{"ip":null}"#,
            r#"{"ip":"1.2.3.4"}"#,
            r#"{"ip":"100.128.0.1"}"#,
            r#"{"ip":"1.2.3"}"#,
            r#"{"ip":12}"#,
            r#"{"ip":"8.8.8.8","a":1}"#,
            "flagged bad_ip 2",
            "flagged unknown_ip 2",
            "flagged unwritable 1",
        ],
    );
}

#[test]
fn only_selected_events_are_looked_up() {
    check(
        "geoip: { field: ip, into: c, when: 'a:1' }",
        r#"
        {"ip":"8.8.8.8","a":1}
        {"ip":"8.8.8.8","a":2}
        "#,
        &[r#"{"ip":"8.8.8.8","a":1,"c":"US"}"#, r#"{"ip":"8.8.8.8","a":2}"#],
    );
}

#[test]
fn the_flat_layout_is_understood() {
    let files = flat_database("CH");
    let mut step =
        StepCheck::new::<Config>("geoip: { field: ip, into: c }", &[("geo.mmdb", &files)]);
    assert_eq!(step.run(r#"{"ip":"8.8.8.8"}"#), r#"{"ip":"8.8.8.8","c":"CH"}"#);
}

#[test]
fn a_changed_database_is_read_again_for_all_lanes_and_a_bad_one_is_not_taken() {
    let settings = "geoip: { field: ip, into: c, database: db/geo.mmdb }";
    let mut one = StepCheck::new::<Config>(settings, &[("db/geo.mmdb", DATABASE)]);
    let mut two = one.another_lane();
    let country = |step: &mut StepCheck| {
        let event = step.run(r#"{"ip":"8.8.8.8"}"#);
        event.split('"').nth(7).map(str::to_owned)
    };

    one.replace("db/geo.mmdb", &flat_database("CH"));
    assert_eq!(country(&mut one).as_deref(), Some("US"), "nothing happens before the tick");
    assert_eq!(one.tick(), "");
    assert_eq!(country(&mut one).as_deref(), Some("CH"));
    assert_eq!(country(&mut two).as_deref(), Some("CH"));

    one.replace("db/geo.mmdb", b"not a database");
    let complaint = two.tick();
    assert!(
        complaint.starts_with(
            "complaint: cannot load /etc/dpipe/db/geo.mmdb, so the table read before stays in force: "
        ),
        "{complaint}"
    );
    assert_eq!(one.tick() + &two.tick(), "", "once a change");
    assert_eq!(country(&mut two).as_deref(), Some("CH"));

    one.remove("db/geo.mmdb");
    assert!(one.tick().contains("stays in force"));
    assert_eq!(one.tick(), "");

    one.replace("db/geo.mmdb", &flat_database("AT"));
    assert_eq!(two.tick(), "");
    assert_eq!(country(&mut one).as_deref(), Some("AT"));
}

#[test]
fn a_database_that_is_missing_or_broken_at_the_start_is_named() {
    let settings = "geoip: { field: ip, into: c }";
    let missing = StepCheck::try_new::<Config>(settings, &[]).err().unwrap();
    assert!(missing.starts_with("cannot load /etc/dpipe/geo.mmdb: "), "{missing}");
    let broken = StepCheck::try_new::<Config>(settings, &[("geo.mmdb", b"x")]).err().unwrap();
    assert!(broken.starts_with("cannot load /etc/dpipe/geo.mmdb: "), "{broken}");
}

#[test]
fn a_step_that_writes_nothing_is_a_mistake() {
    assert_eq!(
        step_mistake::<Config>("geoip: { field: ip }"),
        "error: `into`, `city_into`, `asn_into` and `organization_into` are all missing (name the \
         field that gets the country: `into`)"
    );
    assert_eq!(
        step_mistake::<Config>("geoip: { field: ip, into: c, datbase: x }"),
        "step.yaml:1:30: error: unknown key `datbase` (did you mean `database`?)"
    );
}
