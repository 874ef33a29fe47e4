use std::sync::Arc;

use dpipe_event::{Batch, Builder, Frame, JsonLimits, Origin, StreamId, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::Shared;

/// One event of tenant `rs`, of 2014-12-29 01:02:03.004, a Monday of week 2015-01.
fn batch(json: &str) -> Batch {
    let mut events = Builder::new();
    let time = Timestamp::from_civil(2014, 12, 29, 3_723_004);
    events.begin(json.as_bytes().to_vec().into(), 0, time);
    let frame = Frame { bytes: json.as_bytes(), start: 0, original_len: json.len() };
    events.push_json(&frame, 0..json.len(), &JsonLimits::default()).unwrap();
    let origin = Origin {
        tenant: "rs".into(),
        input: "in".into(),
        file: "/logs/pv.log".into(),
        logfile: "pv".into(),
        host: "".into(),
        stream: StreamId::default(),
    };
    events.finish(Arc::new(origin), "in".into())
}

fn render_of(template: &Template, json: &str, escaping: Escaping) -> Result<String, RenderError> {
    let mut out = Vec::new();
    template.render(&batch(json).get(0), escaping, &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

fn render(template: &str, json: &str) -> String {
    render_of(&Template::parse(template).unwrap(), json, Escaping::None).unwrap()
}

fn segment(value: &str) -> String {
    let template = Template::parse("{v}").unwrap();
    let json = serde_json::json!({ "v": value }).to_string();
    render_of(&template, &json, Escaping::PathSegment).unwrap()
}

#[test]
fn fields_and_metadata_are_put_in() {
    let json = r#"{"a":{"b":[1,"x\ty"]},"n":1.50,"t":true,"data_dir":"mine"}"#;
    assert_eq!(render("{_tenant}/{logfile}: {a.b[1]}", json), "rs/pv: x\ty");
    assert_eq!(render("{n} {t} {a.b}", json), "1.50 true [1,\"x\\ty\"]");
    assert_eq!(render("{\"data_dir\"}", json), "mine");
    assert_eq!(render(r#"{"a}b"}!"#, r#"{"a}b":7}"#), "7!");
}

#[test]
fn a_missing_value_leaves_nothing_and_in_a_path_the_word_none() {
    assert_eq!(render("<{x}{n}{_area}>", r#"{"n":null}"#), "<>");
    let template = Template::parse("{x}-{n}-{e}").unwrap();
    let rendered = render_of(&template, r#"{"n":null,"e":""}"#, Escaping::PathSegment).unwrap();
    assert_eq!(rendered, "none-none-none");
}

#[test]
fn a_cut_line_has_the_length_that_it_had() {
    let template = Template::parse("{message}… of {_original_bytes} bytes").unwrap();
    let mut events = Builder::new();
    events.begin(b"begin".to_vec().into(), 0, Timestamp::default());
    events.push_text(&Frame { bytes: b"begin", start: 0, original_len: 4711 });
    let origin = batch("{}").origin().clone();
    let mut out = Vec::new();
    let batch = events.finish(origin, "in".into());
    template.render(&batch.get(0), Escaping::None, &mut out).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), "begin… of 4711 bytes");
    assert!(template.varies_within_batch());
    assert_eq!(render("{_original_bytes}", "{}"), "");
}

#[test]
fn doubled_braces_and_percents_stand_for_themselves() {
    assert_eq!(render("{{x}} 100%% {{{_tenant}}}", "{}"), "{x} 100% {rs}");
}

#[test]
fn every_letter_formats_the_time_in_utc() {
    let all: String = Moment::LETTERS.chars().map(|c| format!("%{c} ")).collect();
    assert_eq!(
        render(&all, "{}"),
        "2014 14 12 Dec December 29 363 01 01 AM 02 03 004 1419814923 Mon Monday 1 2015 01 \
         2014-12-29 01:02:03 "
    );
    assert_eq!(render("fun_%G_w%V", "{}"), "fun_2015_w01");
}

#[test]
fn a_year_has_four_digits_or_as_many_as_it_takes() {
    let at = |year: i64| {
        let mut out = Vec::new();
        let clock = Clock::new(Timestamp::from_civil(year, 3, 4, 0));
        for letter in ['Y', 'y', 'F'] {
            Moment::named(letter).unwrap().write(&clock, &mut out);
            out.push(b' ');
        }
        String::from_utf8(out).unwrap()
    };
    assert_eq!(at(7), "0007 07 0007-03-04 ");
    assert_eq!(at(9999), "9999 99 9999-03-04 ");
    assert_eq!(at(12_345), "12345 45 12345-03-04 ");
    assert_eq!(at(-5), "-005 95 -005-03-04 ");
}

#[test]
fn noon_and_midnight_are_twelve_by_the_small_clock() {
    let at = |hour: i64| {
        let mut out = Vec::new();
        let time = Timestamp::from_civil(2014, 1, 1, hour * 3_600_000);
        for letter in ['I', 'p'] {
            Moment::named(letter).unwrap().write(&Clock::new(time), &mut out);
        }
        String::from_utf8(out).unwrap()
    };
    assert_eq!([at(0), at(11), at(12), at(23)], ["12AM", "11AM", "12PM", "11PM"]);
}

#[test]
fn a_mistake_is_placed_at_its_character() {
    let wrong = |text: &str| {
        let error = Template::parse(text).unwrap_err();
        (error.at, error.reason.into_owned())
    };
    assert_eq!(wrong("é{a"), (1, "a `{` without its `}` (a plain one is written `{{`)".into()));
    assert_eq!(wrong("ab}"), (2, "a `}` without its `{` (a plain one is written `}}`)".into()));
    assert_eq!(wrong("x{a..b}"), (4, "expected a key".into()));
    assert_eq!(wrong("x{}"), (2, "expected a field path in the braces".into()));
    assert!(wrong("%Y%q").1.starts_with("unknown `%q` (a plain one is written `%%`; there are %Y"));
    assert_eq!(wrong("%Y%q").0, 2);
    assert_eq!(wrong("50%").0, 2);
    assert_eq!(
        Template::parse("{").unwrap_err().to_string(),
        "a `{` without its `}` (a plain one is written `{{`) at character 1 of the template"
    );
}

fn bound(text: &str, settings: &[(&str, TenantSetting, &str)]) -> Template {
    let shared = Shared::default();
    let mut all = TenantSettings::default();
    for (tenant, setting, value) in settings {
        all.0.entry((*tenant).into()).or_default().insert(*setting, (*value).into());
    }
    all.lend(&shared);
    let env: Arc<dyn dpipe_env::Env> = Arc::new(dpipe_env::RealEnv);
    Template::parse(text).unwrap().bind(&BuildContext {
        env: &env,
        node: "copy",
        step: 0,
        data_dir: std::path::Path::new("/data"),
        config_dir: std::path::Path::new("/etc"),
        shared: &shared,
        decoder: None,
    })
}

#[test]
fn data_dir_and_tenant_settings_are_put_in_by_binding() {
    let text = "{data_dir}/{tenant.index_prefix}/{tenant.retention}";
    assert_eq!(Template::parse(text).unwrap().literal_prefix(), "{data_dir}/");
    let settings = [
        ("rs", TenantSetting::IndexPrefix, "fun/rs"),
        ("rs", TenantSetting::Retention, "30d"),
        ("ff", TenantSetting::IndexPrefix, "ff"),
    ];
    let bound = bound(text, &settings);
    assert_eq!(bound.literal_prefix(), "/data/");
    assert_eq!(render_of(&bound, "{}", Escaping::PathSegment).unwrap(), "/data/fun%2Frs/30d");
}

#[test]
fn a_tenant_without_a_prefix_has_its_name_there_and_shares_nothing() {
    let others = [("ff", TenantSetting::IndexPrefix, "ff_prefix")];
    let bound = bound("{tenant.index_prefix}|{tenant.retention}", &others);
    assert_eq!(render_of(&bound, "{}", Escaping::None).unwrap(), "rs|");
    assert_eq!(render_of(&bound, "{}", Escaping::PathSegment).unwrap(), "rs|none");
}

#[test]
fn a_setting_that_no_tenant_can_have_is_a_mistake() {
    let wrong = |text: &str| Template::parse(text).unwrap_err();
    let error = wrong("x/{tenant.index_prefx}");
    assert_eq!(error.at, 10);
    assert_eq!(
        error.reason,
        "a tenant has no setting `index_prefx` (did you mean `index_prefix`?)"
    );
    assert_eq!(
        wrong("{tenant.}").reason,
        "a tenant has no setting `` (there is `index_prefix`, `retention`)"
    );
}

#[test]
fn a_template_tells_what_it_depends_on() {
    let of = |text: &str| {
        let t = Template::parse(text).unwrap();
        (t.literal_prefix(), t.is_constant(), t.uses_event_fields(), t.time_granularity())
    };
    assert_eq!(of("{data_dir}/a"), ("{data_dir}/a".into(), true, false, None));
    assert_eq!(of("a/%Y-%m"), ("a/".into(), false, false, Some(86_400_000)));
    assert_eq!(of("a/%F/%H{x}"), ("a/".into(), false, true, Some(3_600_000)));
    assert_eq!(of("{_tenant}%T.%L"), (String::new(), false, true, Some(1)));
    assert_eq!(of(""), (String::new(), true, false, None));
}

#[test]
fn a_template_tells_what_follows_its_last_place_and_whether_events_of_a_batch_differ() {
    let of = |text: &str| {
        let t = Template::parse(text).unwrap();
        (t.literal_suffix(), t.varies_within_batch())
    };
    assert_eq!(of("a/{_tenant}/%F.jsonl"), (".jsonl".into(), false));
    assert_eq!(of("a/{logfile}{_file}{_host}{_tag}{_input}"), (String::new(), false));
    assert_eq!(of("a/{uid}/x.{{"), ("/x.{".into(), true));
    assert_eq!(of("a/{_area}"), (String::new(), true));
    assert_eq!(of("a/b"), ("a/b".into(), false));
}

#[test]
fn what_could_leave_a_folder_is_percent_encoded() {
    assert_eq!(segment("us"), "us");
    assert_eq!(segment(".."), "%2E%2E");
    assert_eq!(segment("."), "%2E");
    assert_eq!(segment("..."), "...");
    assert_eq!(segment("../../etc/passwd"), "..%2F..%2Fetc%2Fpasswd");
    assert_eq!(segment("a\\b\0c\n\u{7f}"), "a%5Cb%00c%0A%7F");
    assert_eq!(segment("\u{9b}2J\u{85}"), "%C2%9B2J%C2%85");
    assert_eq!(segment("%2F"), "%252F");
    assert_eq!(segment("é x"), "é x");
}

#[test]
fn a_value_too_long_for_a_name_is_an_error() {
    assert_eq!(segment(&"a".repeat(255)).len(), 255);
    let template = Template::parse("x/{v}").unwrap();
    let json = serde_json::json!({ "v": "/".repeat(86) }).to_string();
    let error = render_of(&template, &json, Escaping::PathSegment).unwrap_err();
    assert_eq!(error.to_string(), "the value of `{v}` takes 258 bytes of a name, the limit is 255");
    assert!(render_of(&template, &json, Escaping::None).is_ok());
}

#[test]
fn a_text_of_one_line_stays_one_line() {
    let template = Template::parse("a\n{v}").unwrap();
    let rendered = render_of(&template, r#"{"v":"x\r\ny"}"#, Escaping::Line).unwrap();
    assert_eq!(rendered, "a\nx\\r\\ny");
}

#[test]
fn a_mistake_in_a_configuration_points_into_the_text() {
    #[derive(Debug, Deserialize)]
    struct Config {
        #[expect(dead_code)]
        path: Template,
    }
    let text = serde_json::from_str::<Config>(r#"{"path":"x{y"}"#).unwrap_err().to_string();
    assert!(text.contains("a `{` without its `}`"), "{text}");
    let template: Template = serde_json::from_str(r#""a/{b}""#).unwrap();
    assert_eq!(serde_json::to_string(&template).unwrap(), r#""a/{b}""#);
}

proptest! {
    /// However values are put together, the path is as many folders below its base as the
    /// template has slashes.
    #[test]
    fn a_rendered_path_never_leaves_its_base(
        a in r"[./\\%a\x00-\x1f]{0,6}|\PC{0,5}|(\.\./){1,3}",
        b in r"[./\\%a\x00-\x1f]{0,6}|\PC{0,5}",
    ) {
        let template = Template::parse("base/{a}/x{b}/{a}{b}/.{b}/{b}.log").unwrap();
        let json = serde_json::json!({ "a": a, "b": b }).to_string();
        let rendered = render_of(&template, &json, Escaping::PathSegment).unwrap();
        let segments: Vec<&str> = rendered.split('/').collect();
        prop_assert_eq!(segments.len(), 6, "{}", rendered);
        for segment in &segments {
            prop_assert!(!matches!(*segment, "" | "." | ".."), "{}", rendered);
            prop_assert!(!segment.contains(['\\', '\0']), "{}", rendered);
        }
    }

    /// Two values never share a file, but for empty and missing ones.
    #[test]
    fn different_values_make_different_segments(
        a in r"[./\\%2F\x00-\x1f]{1,6}|\PC{1,5}",
        b in r"[./\\%2F\x00-\x1f]{1,6}|\PC{1,5}",
    ) {
        prop_assume!(a != b);
        prop_assert_ne!(segment(&a), segment(&b));
    }

    #[test]
    fn times_of_one_span_render_alike(millis in 0i64..4_102_444_800_000, more in 0i64..86_400_000) {
        for letter in Moment::LETTERS.chars() {
            let moment = Moment::named(letter).unwrap();
            let span = moment.granularity_ms();
            let write = |millis| {
                let mut out = Vec::new();
                moment.write(&Clock::new(Timestamp::from_millis(millis)), &mut out);
                out
            };
            let start = millis.div_euclid(span) * span;
            prop_assert_eq!(write(start), write(start + more % span));
        }
    }
}
