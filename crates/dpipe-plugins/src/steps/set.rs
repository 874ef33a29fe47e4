//! Sets fields: to constants, to texts made of other fields, or to copies of them.
//!
//! | written | sets |
//! |---|---|
//! | a number, `true`, `false`, `null`, a list, a map | this value |
//! | a text | the text, as a template: `{_log_info.uid}` is a field, `%Y-%m-%d` the event's day, `{{` `}}` `%%` are `{` `}` `%` |
//! | `"{a.b}"`: one field and nothing else | a copy of the field, whatever its type; nothing, if the event has no such field |
//!
//! The fields are set in the order written, and each sees what those before it did. Objects on the
//! way to a field are made. A field of a template that the event does not have leaves nothing.
//!
//! Flagged: `unwritable`, where something else than an object is in the way; nothing is set there.
//!
//! ```yaml
//! set: { env: prod, version: 3, user.id: "{_log_info.uid}", who: "{_area}/{_log_info.uid}" }
//! ```

use std::borrow::Cow;
use std::fmt;

use dpipe_event::{Batch, EventMut, NewValue, Path, Selection};
use dpipe_plugin::template::{Escaping, Template};
use dpipe_plugin::{BuildContext, BuildError, Step, StepConfig, StepContext, StepSpec};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer, StrDeserializer};
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::pairs::Pairs;
use crate::target::Target;

/// The field's path, and the value that it gets.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct Config(Pairs<Target, Source>);

/// Where a value comes from.
#[derive(Clone, Debug)]
enum Source {
    /// Always this JSON.
    Constant(Vec<u8>),
    /// A text that each event fills.
    Text(Template),
    /// Another field.
    Copy(Path),
}

impl StepConfig for Config {
    const NAME: &'static str = "set";
}

impl StepSpec for Config {
    fn build(&self, context: &BuildContext<'_>) -> Result<Box<dyn Step>, BuildError> {
        let bound = |(target, source): &(Target, Source)| {
            let source = match source {
                Source::Text(template) => {
                    let template = template.bind(context);
                    template.constant().map_or(Source::Text(template), constant)
                }
                source => source.clone(),
            };
            (target.clone(), source)
        };
        Ok(Box::new(Set { fields: self.0.0.iter().map(bound).collect(), value: Vec::new() }))
    }
}

struct Set {
    fields: Box<[(Target, Source)]>,
    /// The value that an event makes.
    value: Vec<u8>,
}

impl Step for Set {
    fn run(&mut self, batch: &mut Batch, selection: &Selection, context: &mut StepContext) {
        let mut unwritable = 0;
        batch.each(selection, |event| {
            for (target, source) in &self.fields {
                unwritable += usize::from(!set(event, target, source, &mut self.value));
            }
        });
        context.flagged("unwritable", unwritable);
    }
}

fn set(event: &mut EventMut<'_>, target: &Path, source: &Source, value: &mut Vec<u8>) -> bool {
    value.clear();
    let value = match source {
        Source::Constant(json) => NewValue::Json(json),
        Source::Copy(path) => match event.as_ref().get(path) {
            None => return true,
            Some(found) => {
                found.write_json(value);
                NewValue::Json(value)
            }
        },
        Source::Text(template) => {
            let rendered = template.render(&event.as_ref(), Escaping::None, value);
            debug_assert!(rendered.is_ok(), "only what is escaped for a path can be too long");
            NewValue::String(value)
        }
    };
    event.set(target, value)
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SourceVisitor)
    }
}

struct SourceVisitor;

impl<'de> Visitor<'de> for SourceVisitor {
    type Value = Source;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Source, E> {
        if let Some(path) = lone_field(text) {
            return Ok(Source::Copy(path));
        }
        Template::deserialize(StrDeserializer::new(text)).map(Source::Text)
    }

    fn visit_unit<E: Error>(self) -> Result<Source, E> {
        Ok(constant(serde_json::Value::Null))
    }

    fn visit_bool<E: Error>(self, yes: bool) -> Result<Source, E> {
        Ok(constant(yes))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Source, E> {
        Ok(constant(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Source, E> {
        Ok(constant(number))
    }

    fn visit_i128<E: Error>(self, number: i128) -> Result<Source, E> {
        Ok(Source::Constant(number.to_string().into_bytes()))
    }

    fn visit_u128<E: Error>(self, number: u128) -> Result<Source, E> {
        Ok(Source::Constant(number.to_string().into_bytes()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Source, E> {
        if number.is_finite() {
            Ok(constant(number))
        } else {
            Err(E::custom("JSON knows no such number"))
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Source, A::Error> {
        serde_json::Value::deserialize(SeqAccessDeserializer::new(items)).map(constant)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Source, A::Error> {
        serde_json::Value::deserialize(MapAccessDeserializer::new(map)).map(constant)
    }
}

fn constant(value: impl Into<serde_json::Value>) -> Source {
    Source::Constant(value.into().to_string().into_bytes())
}

/// The field of a template that is nothing else.
fn lone_field(text: &str) -> Option<Path> {
    let name = text.strip_prefix('{')?.strip_suffix('}')?;
    let is_field = !name.contains(['{', '}']) && name != "data_dir" && !name.starts_with("tenant.");
    is_field.then(|| Path::parse(name).ok()).flatten()
}

impl JsonSchema for Source {
    fn schema_name() -> Cow<'static, str> {
        "Value".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A constant, a template such as `{_area}/{uid}`, or a field to copy: `{uid}`."
        })
    }
}

#[cfg(test)]
mod tests {
    use dpipe_testkit::{check_step, step_mistake};

    use super::Config;

    #[test]
    fn constants_have_their_types_and_overwrite() {
        check_step::<Config>(
            r#"set: { env: prod, n: 3, x: 1.5, yes: true, no: ~, "a.b": [1, "{c}"], m: { k: "%" } }"#,
            r#"{"n":"old","a":{"z":0}}"#,
            r#"{"n":3,"a":{"z":0,"b":[1,"{c}"]},"env":"prod","x":1.5,"yes":true,"no":null,"m":{"k":"%"}}"#,
        );
        check_step::<Config>(
            "set: { a: 340282366920938463463374607431768211455 }",
            "{}",
            r#"{"a":340282366920938463463374607431768211455}"#,
        );
    }

    #[test]
    fn a_lone_field_is_copied_with_its_type_and_digits() {
        check_step::<Config>(
            r#"set: { user.id: "{_log_info.uid}", "list[0]": "{_tenant}" }"#,
            r#"
            {"_log_info":{"uid":12345678901234567890.10},"list":[1]}
            {"_log_info":{"uid":{"a":[1]}},"list":[1]}
            {"list":[1]}
            "#,
            r#"
            {"_log_info":{"uid":12345678901234567890.10},"list":["default"],"user":{"id":12345678901234567890.10}}
            {"_log_info":{"uid":{"a":[1]}},"list":["default"],"user":{"id":{"a":[1]}}}
            {"list":["default"]}
            "#,
        );
    }

    #[test]
    fn a_text_is_filled_by_the_event() {
        check_step::<Config>(
            r#"set: { who: "{_tenant}/{_log_info.uid}", day: "%Y-%m-%d", b: "{{x}} 5%%" }"#,
            r#"
            @2024-06-01 {"_log_info":{"uid":"a\"b"}}
            @2024-06-01 {}
            "#,
            r#"
            {"_log_info":{"uid":"a\"b"},"who":"default/a\"b","day":"2024-06-01","b":"{x} 5%"}
            {"who":"default/","day":"2024-06-01","b":"{x} 5%"}
            "#,
        );
    }

    #[test]
    fn fields_are_set_in_order_and_see_each_other() {
        check_step::<Config>(
            r#"set: { a: 1, b: "{a}", c: "<{b}>" }"#,
            "{}",
            r#"{"a":1,"b":1,"c":"<1>"}"#,
        );
    }

    #[test]
    fn what_is_in_the_way_stays_and_is_flagged() {
        check_step::<Config>(
            "set: { a.b: 1, c: 2 }",
            r#"{"a":"x"}"#,
            r#"
            {"a":"x","c":2}
            flagged unwritable 1
            "#,
        );
    }

    #[test]
    fn only_selected_events_change_and_plain_texts_become_objects() {
        check_step::<Config>(
            "set: { a: 1, when: 'message:now' }",
            "now\nlater",
            r#"
            {"message":"now","a":1}
            {"message":"later"}
            "#,
        );
    }

    #[test]
    fn a_field_that_is_called_when_is_quoted() {
        check_step::<Config>(r#"set: { '"when"': now }"#, "{}", r#"{"when":"now"}"#);
    }

    #[test]
    fn mistakes_are_placed_where_they_stand() {
        let mistake = step_mistake::<Config>;
        assert!(
            mistake("set: { _time: 1 }").starts_with("step.yaml:1:8: error: `_time` is metadata")
        );
        assert!(mistake("set: { a: 'x {b' }").starts_with("step.yaml:1:14: error: "));
        assert_eq!(mistake("set: { a: .nan }"), "step.yaml:1:11: error: JSON knows no such number");
        assert_eq!(mistake("set: {}"), "step.yaml:1:6: error: the map has no entries");
    }
}
