use dpipe_testkit::{StepCheck, check_step, step_mistake};
use proptest::prelude::*;
use serde_json::Value as Json;

use super::Config;

#[test]
fn everything_in_the_body_is_masked_but_names() {
    check_step::<Config>(
        "redact: { with: [email, ip, card] }",
        r#"
        {"a@b.de":"to a@b.de","l":[{"x":"10.0.0.1"},["c@d.org, e@f.org"],4111111111111111,-4111111111111111],"n":1.50}
        {"card" : 4111111111111111 , "x":"\u0061@b.de\n\"é"}
        {"nothing":"here \u00e9"}
        mail a@b.de
        "#,
        r#"
        {"a@b.de":"to [email]","l":[{"x":"[ip]"},["[email], [email]"],"[card]",-4111111111111111],"n":1.50}
        {"card" : "[card]" , "x":"[email]\n\"é"}
        {"nothing":"here \u00e9"}
        {"message":"mail [email]"}
        flagged masked_email 3
        flagged masked_ip 1
        flagged masked_card 2
        "#,
    );
}

#[test]
fn only_the_named_fields_of_selected_events_are_masked() {
    check_step::<Config>(
        "redact: { fields: [m, a.b, c], with: [email, card, { regex: 'id-[0-9]+', as: id }], kinds_into: found.kinds, when: 'NOT x:1' }",
        r#"
        {"m":"a@b.de id-7","a":{"b":[{"k":"c@d.de"}],"z":"e@f.de"},"c":5500000000000004}
        {"m":"id-1","found":1}
        {"m":"a@b.de","x":1}
        {"m":"none","n":"a@b.de"}
        "#,
        r#"
        {"m":"[email] [id]","a":{"b":[{"k":"[email]"}],"z":"e@f.de"},"c":"[card]","found":{"kinds":["email","card","id"]}}
        {"m":"[id]","found":1}
        {"m":"a@b.de","x":1}
        {"m":"none","n":"a@b.de"}
        flagged masked_email 1
        flagged masked_card 1
        flagged masked_custom 2
        flagged unwritable 1
        "#,
    );
}

#[test]
fn asterisks_may_leave_the_last_characters() {
    check_step::<Config>(
        "redact: { with: [card, email], mask: { keep_last: 4 } }",
        r#"{"m":"4111-1111-1111-1234 4111 1111 1111 1111, müller@exämple.de"}"#,
        r#"{"m":"4111-1111-1111-1234 **** **** **** 1111, ******@******e.de"}
        flagged masked_email 1
        flagged masked_card 1"#,
    );
    check_step::<Config>(
        "redact: { fields: m, with: [ip], mask: {} }",
        r#"{"m":"10.0.0.17"}"#,
        r#"{"m":"**.*.*.**"}
        flagged masked_ip 1"#,
    );
}

#[test]
fn a_hash_is_the_same_for_the_same_text_and_differs_by_key() {
    let masked = |key: &str| {
        let settings =
            format!("redact: {{ with: [email], replace: '<{{kind}} {{hash}}>', key: {key} }}");
        let found =
            StepCheck::new::<Config>(&settings, &[]).run(r#"{"m":["a@b.de","x a@b.de","c@d.de"]}"#);
        let texts: Vec<String> = found
            .split('<')
            .skip(1)
            .map(|text| text.split('>').next().unwrap().to_owned())
            .collect();
        texts
    };
    let one = masked("one");
    assert_eq!(one[0], one[1]);
    assert_ne!(one[0], one[2]);
    assert_eq!(one[0].len(), "email ".len() + 16);
    assert_ne!(one[0], masked("two")[0]);
}

#[test]
fn what_an_earlier_step_wrote_is_masked_as_well() {
    let mut batch = dpipe_testkit::batch(r#"{"a":"a@b.de","b":1}"#);
    let path = dpipe_event::Path::parse("b").unwrap();
    batch.edit(0).set(&path, dpipe_event::NewValue::String(b"c@d.de"));
    StepCheck::new::<Config>("redact: { with: [email] }", &[]).run_batch(&mut batch);
    assert_eq!(batch.get(0).body_text(), br#"{"a":"[email]","b":"[email]"}"#.as_slice());
}

#[test]
fn mistakes_are_told() {
    let mistake = step_mistake::<Config>;
    assert_eq!(mistake("redact: { with: [] }"), "error: `with` is empty");
    assert_eq!(
        mistake("redact: { with: [emial] }"),
        "step.yaml:1:18: error: unknown name `emial` (did you mean `email`?)"
    );
    assert!(mistake("redact: { with: [ip], replace: x, mask: {} }").contains("give one of them"));
    assert!(mistake("redact: { with: [ip], replace: '{hash}' }").contains("needs a `key`"));
    assert!(mistake("redact: { with: [ip], key: x }").contains("of no use"));
    assert!(mistake("redact: { with: [{ regex: 'x*', as: y }] }").contains("the empty text"));
}

fn json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        Just(Json::from(4_111_111_111_111_111_u64)),
        any::<i32>().prop_map(Json::from),
        "(a@b\\.de|[ \"\\\\é:,{}\\[\\]\n]|10\\.0\\.0\\.1|x){0,6}".prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Json::Array),
            prop::collection::btree_map("[a@b.de\"]{1,6}", inner, 0..5)
                .prop_map(|map| Json::Object(map.into_iter().collect())),
        ]
    })
}

/// Masks by walking a parsed document.
fn naive(value: &Json) -> Json {
    match value {
        Json::String(text) => {
            let mut step =
                StepCheck::new::<Config>("redact: { fields: t, with: [email, ip] }", &[]);
            let found = step.run(&serde_json::json!({ "t": text }).to_string());
            let first = found.lines().next().unwrap();
            serde_json::from_str::<Json>(first).unwrap()["t"].clone()
        }
        Json::Array(items) => items.iter().map(naive).collect(),
        Json::Object(map) => map.iter().map(|(name, value)| (name.clone(), naive(value))).collect(),
        other => other.clone(),
    }
}

proptest! {
    #[test]
    fn the_body_stays_json_and_only_strings_change(
        object in prop::collection::btree_map("[a-c\"]{1,3}", json(), 0..4),
    ) {
        let object = Json::Object(object.into_iter().collect());
        let found = StepCheck::new::<Config>("redact: { with: [email, ip] }", &[])
            .run(&object.to_string());
        let found: Json = serde_json::from_str(found.lines().next().unwrap()).unwrap();
        prop_assert_eq!(found, naive(&object));
    }
}
