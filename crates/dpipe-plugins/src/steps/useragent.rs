//! Tells browser, system and kind of device from a User-Agent text.
//!
//! The field at `into:` becomes an object of what is known:
//!
//! | key | such as |
//! |---|---|
//! | `name`, `version` | `Chrome`, `125.0.0.0`; of a crawler its name |
//! | `vendor` | `Google` |
//! | `os`, `os_version` | `Windows 10`, `NT 10.0`; `Android`, `14` |
//! | `category` | `pc`, `smartphone`, `mobilephone`, `appliance`, `crawler` or `misc` |
//!
//! What is told is remembered for the `cache_max` texts that were seen last, on each lane. No more than
//! the first 2048 bytes of a text are looked at. An event without the field, or with `null`, is left as
//! it is.
//!
//! Flagged, and left as they are: `unknown_agent`, for a text that tells nothing; `not_a_string`, for
//! any other value; `unwritable`, where something else than an object is in the way of `into`.
//!
//! ```yaml
//! useragent: { field: request.user_agent, into: browser }
//! ```

use dpipe_event::{Batch, NewValue, Path, Selection, Value};
use dpipe_plugin::settings::Problem;
use dpipe_plugin::{BuildContext, BuildError, FieldPath, Step, StepConfig, StepContext, StepSpec};
use schemars::JsonSchema;
use serde::Deserialize;
use woothee::parser::Parser;

use crate::bounded::Bounded;
use crate::keys::Keys;
use crate::target::Target;

/// What to tell from, and where to put it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The field that holds the text.
    field: FieldPath,
    /// The field that gets the object.
    into: Target,
    /// How many texts each lane remembers, at about 500 bytes each.
    #[serde(default = "default_cache_max")]
    cache_max: usize,
}

fn default_cache_max() -> usize {
    2000
}

/// A longer text is no browser's.
const TEXT_BYTES_MAX: usize = 2048;

impl StepConfig for Config {
    const NAME: &'static str = "useragent";
}

impl StepSpec for Config {
    fn build(&self, context: &BuildContext<'_>) -> Result<Box<dyn Step>, BuildError> {
        Ok(Box::new(Useragent {
            field: self.field.0.clone(),
            into: self.into.clone(),
            parser: Parser::new(),
            keys: Keys::new(context.env.random()),
            seen: Bounded::new(self.cache_max),
        }))
    }

    fn check(&self) -> Vec<Problem> {
        if self.cache_max == 0 {
            return vec![Problem::error("`cache_max` is 0")];
        }
        Vec::new()
    }
}

struct Useragent {
    field: Path,
    into: Target,
    parser: Parser,
    keys: Keys,
    /// What texts told, as JSON objects; nothing for those that tell nothing.
    seen: Bounded<Option<Box<[u8]>>>,
}

impl Step for Useragent {
    fn run(&mut self, batch: &mut Batch, selection: &Selection, context: &mut StepContext) {
        let (mut unknown, mut not_a_string, mut unwritable) = (0, 0, 0);
        batch.each(selection, |event| {
            let key = match event.as_ref().get(&self.field) {
                None | Some(Value::Null) => return,
                Some(Value::String(text)) => {
                    let text = text.bytes();
                    let key = self.keys.of_text(&text);
                    match self.seen.get_mut(key) {
                        Some(_) => self.seen.renew(key),
                        None => self.seen.insert(key, tell(&self.parser, &text)),
                    }
                    key
                }
                Some(_) => return not_a_string += 1,
            };
            match self.seen.get_mut(key) {
                Some(Some(told)) => {
                    unwritable += usize::from(!event.set(&self.into, NewValue::Json(told)));
                }
                _ => unknown += 1,
            }
        });
        context.flagged("unknown_agent", unknown);
        context.flagged("not_a_string", not_a_string);
        context.flagged("unwritable", unwritable);
    }
}

/// What a text tells, as a JSON object.
fn tell(parser: &Parser, text: &[u8]) -> Option<Box<[u8]>> {
    let text = String::from_utf8_lossy(&text[..text.len().min(TEXT_BYTES_MAX)]);
    let agent = parser.parse(&text)?;
    let mut json = Vec::new();
    for (key, value) in [
        ("name", agent.name),
        ("version", agent.version),
        ("vendor", agent.vendor),
        ("os", agent.os),
        ("os_version", &agent.os_version),
        ("category", agent.category),
    ] {
        if matches!(value, "" | "UNKNOWN") {
            continue;
        }
        json.extend_from_slice(if json.is_empty() { b"{\"" } else { b",\"" });
        json.extend_from_slice(key.as_bytes());
        json.extend_from_slice(b"\":\"");
        dpipe_event::write_escaped(&mut json, value.as_bytes());
        json.push(b'"');
    }
    if json.is_empty() {
        return None;
    }
    json.push(b'}');
    Some(json.into())
}

#[cfg(test)]
mod tests {
    use dpipe_testkit::{StepCheck, check_step, step_mistake};
    use proptest::prelude::*;

    use super::{Config, Parser, tell};

    fn told(agent: &str) -> String {
        let event = format!("{{\"r\":{{\"ua\":\"{agent}\"}}}}");
        let found =
            StepCheck::new::<Config>("useragent: { field: r.ua, into: r.by }", &[]).run(&event);
        found.split("\"by\":").nth(1).map_or(found.clone(), |by| by.trim_end_matches('}').into())
    }

    #[test]
    fn browsers_systems_and_crawlers_are_told() {
        assert_eq!(
            told(
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
                 Chrome/125.0.0.0 Safari/537.36"
            ),
            r#"{"name":"Chrome","version":"125.0.0.0","vendor":"Google","os":"Windows 10","os_version":"NT 10.0","category":"pc""#
        );
        assert_eq!(
            told(
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 \
                 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1"
            ),
            r#"{"name":"Safari","version":"17.5","vendor":"Apple","os":"iPhone","os_version":"17.5","category":"smartphone""#
        );
        assert_eq!(
            told("Mozilla/5.0 (X11; Linux x86_64; rv:126.0) Gecko/20100101 Firefox/126.0"),
            r#"{"name":"Firefox","version":"126.0","vendor":"Mozilla","os":"Linux","category":"pc""#
        );
        assert_eq!(
            told("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"),
            r#"{"name":"Googlebot","category":"crawler""#
        );
    }

    #[test]
    fn what_tells_nothing_is_flagged_also_the_second_time() {
        check_step::<Config>(
            "useragent: { field: ua, into: b.c, when: 'NOT x:1' }",
            r#"
            {"ua":"\u0000 nothing"}
            {"ua":"\u0000 nothing"}
            {"ua":7}
            {"ua":null}
            {"n":1}
            {"ua":"curl/8.5.0","x":1}
            {"ua":"Googlebot/2.1","b":1}
            "#,
            r#"
            {"ua":"\u0000 nothing"}
            {"ua":"\u0000 nothing"}
            {"ua":7}
            {"ua":null}
            {"n":1}
            {"ua":"curl/8.5.0","x":1}
            {"ua":"Googlebot/2.1","b":1}
            flagged unknown_agent 2
            flagged not_a_string 1
            flagged unwritable 1
            "#,
        );
    }

    #[test]
    fn what_was_told_is_remembered_for_as_many_as_there_is_room() {
        let settings = "useragent: { field: ua, into: by, cache_max: 2 }";
        let mut step = StepCheck::new::<Config>(settings, &[]);
        let event = |n: usize| format!("{{\"ua\":\"Mozilla/5.0 (X11; Linux) Firefox/{n}.0\"}}");
        for _ in 0..2 {
            let events: Vec<_> = (0..5).map(event).collect();
            let found = step.run(&events.join("\n"));
            for (n, line) in found.lines().enumerate() {
                assert!(line.contains(&format!(r#""version":"{n}.0""#)), "{line}");
            }
        }
    }

    #[test]
    fn a_long_text_is_cut() {
        let agent = format!("Mozilla/5.0 (X11; Linux) Firefox/1{}", "é".repeat(5000));
        assert!(told(&agent).contains("\"name\":\"Firefox\""));
        let mistake = step_mistake::<Config>("useragent: { field: a, into: b, cache_max: 0 }");
        assert_eq!(mistake, "error: `cache_max` is 0");
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_event(
            text in "(Mozilla/|MSIE |Windows NT|Android |[;()/. 0-9é]|Chrome|\\PC){0,12}",
        ) {
            if let Some(told) = tell(&Parser::new(), text.as_bytes()) {
                let told: serde_json::Value = serde_json::from_slice(&told).unwrap();
                prop_assert!(told.is_object());
            }
        }
    }
}
