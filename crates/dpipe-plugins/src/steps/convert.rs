//! Gives fields another type.
//!
//! | to | from |
//! |---|---|
//! | `int` | whole numbers however they are written (`12`, `12.0`, `"12"`, `1.2e1`), of any size; `true` and `false` (1 and 0) |
//! | `float` | numbers, with the digits they have; strings that spell a finite number; `true` and `false` |
//! | `string` | numbers by their digits, `true` and `false` by their names, objects and arrays as JSON |
//! | `bool` | `true`, `yes`, `on`, `t`, `y`, 1 and `false`, `no`, `off`, `f`, `n`, 0, in either case, as strings or numbers |
//!
//! Missing fields and `null` stay as they are. A value that cannot be converted stays as it is, and
//! the event is flagged `unconvertible`.
//!
//! ```yaml
//! convert: { _log_info.level: int, price: float, uid: string, paying: bool }
//! ```

use std::borrow::Cow;

use dpipe_event::{Batch, NewValue, Selection, Value};
use dpipe_plugin::{BuildContext, BuildError, Step, StepConfig, StepContext, StepSpec};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::pairs::Pairs;
use crate::target::Target;
use crate::types::{self, Type, write_number, write_whole};

/// The field's path, and the type that it gets.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct Config(Pairs<Target, Type>);

impl StepConfig for Config {
    const NAME: &'static str = "convert";
}

impl StepSpec for Config {
    fn build(&self, _context: &BuildContext<'_>) -> Result<Box<dyn Step>, BuildError> {
        Ok(Box::new(Convert { fields: self.0.0.clone(), json: Vec::new() }))
    }
}

struct Convert {
    fields: Box<[(Target, Type)]>,
    /// The JSON of a new value.
    json: Vec<u8>,
}

impl Step for Convert {
    fn run(&mut self, batch: &mut Batch, selection: &Selection, context: &mut StepContext) {
        let mut unconvertible = 0;
        batch.each(selection, |event| {
            for (field, to) in &self.fields {
                self.json.clear();
                let outcome = match event.as_ref().get(field) {
                    None | Some(Value::Null) => Outcome::Same,
                    Some(value) => convert(&value, *to, &mut self.json),
                };
                match outcome {
                    Outcome::Same => {}
                    Outcome::Cannot => unconvertible += 1,
                    // A field that is there can be set.
                    Outcome::Written => _ = event.set(field, NewValue::Json(&self.json)),
                }
            }
        });
        context.flagged("unconvertible", unconvertible);
    }
}

enum Outcome {
    Same,
    Written,
    Cannot,
}

impl From<Option<()>> for Outcome {
    fn from(written: Option<()>) -> Self {
        written.map_or(Outcome::Cannot, |()| Outcome::Written)
    }
}

fn convert(value: &Value<'_>, to: Type, json: &mut Vec<u8>) -> Outcome {
    match (to, value) {
        (Type::String, Value::String(_)) | (Type::Bool, Value::Bool(_)) => Outcome::Same,
        (Type::Float, Value::Number(_)) => Outcome::Same,
        (Type::Int, Value::Number(digits)) if is_whole(digits) => Outcome::Same,
        (Type::Int, _) => number_text(value).and_then(|text| write_whole(&text, json)).into(),
        (Type::Float, _) => number_text(value).and_then(|text| write_number(&text, json)).into(),
        (Type::String, _) => {
            let mut text = Vec::new();
            value.write_text(&mut text);
            json.push(b'"');
            dpipe_event::write_escaped(json, &text);
            json.push(b'"');
            Outcome::Written
        }
        (Type::Bool, _) => truth(value)
            .map(|yes| json.extend_from_slice(if yes { b"true" } else { b"false" }))
            .into(),
    }
}

/// The text of what may be a number.
fn number_text<'a>(value: &Value<'a>) -> Option<Cow<'a, str>> {
    let text = match value {
        Value::Bool(true) => Cow::Borrowed("1"),
        Value::Bool(false) => Cow::Borrowed("0"),
        Value::Number(digits) => Cow::Borrowed(*digits),
        Value::String(text) => text.to_str(),
        _ => return None,
    };
    Some(match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    })
}

/// Whether these digits of a JSON number are a whole number already.
fn is_whole(digits: &str) -> bool {
    digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
}

fn truth(value: &Value<'_>) -> Option<bool> {
    match value {
        Value::Number(digits) => types::truth(digits),
        Value::String(text) => types::truth(&text.to_str()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use dpipe_testkit::{check_step, step_mistake};

    use super::Config;

    #[test]
    fn whole_numbers_keep_every_digit() {
        check_step::<Config>(
            "convert: { _log_info.n: int }",
            r#"
            {"_log_info":{"n":"123456789012345678901234567890"}}
            {"_log_info":{"n":" -007 "}}
            {"_log_info":{"n":12.00}}
            {"_log_info":{"n":1.25e2}}
            {"_log_info":{"n":120e-1}}
            {"_log_info":{"n":-0.0}}
            {"_log_info":{"n":true}}
            {"_log_info":{"n":12}}
            "#,
            r#"
            {"_log_info":{"n":123456789012345678901234567890}}
            {"_log_info":{"n":-7}}
            {"_log_info":{"n":12}}
            {"_log_info":{"n":125}}
            {"_log_info":{"n":12}}
            {"_log_info":{"n":0}}
            {"_log_info":{"n":1}}
            {"_log_info":{"n":12}}
            "#,
        );
    }

    #[test]
    fn a_number_keeps_its_digits_as_a_float() {
        check_step::<Config>(
            "convert: { a: float }",
            r#"
            {"a":"1.10"}
            {"a":1.10}
            {"a":"+.5"}
            {"a":"1e3"}
            {"a":false}
            "#,
            r#"
            {"a":1.10}
            {"a":1.10}
            {"a":0.5}
            {"a":1e3}
            {"a":0}
            "#,
        );
    }

    #[test]
    fn strings_spell_what_they_were() {
        check_step::<Config>(
            "convert: { a: string }",
            r#"
            {"a":1.10}
            {"a":true}
            {"a":{"b":"c"}}
            {"a":"x\ny"}
            "#,
            r#"
            {"a":"1.10"}
            {"a":"true"}
            {"a":"{\"b\":\"c\"}"}
            {"a":"x\ny"}
            "#,
        );
    }

    #[test]
    fn truth_has_many_names() {
        check_step::<Config>(
            "convert: { a: bool, b: bool }",
            r#"
            {"a":"Yes","b":"OFF"}
            {"a":1,"b":0}
            {"a":"t","b":"n"}
            "#,
            r#"
            {"a":true,"b":false}
            {"a":true,"b":false}
            {"a":true,"b":false}
            "#,
        );
    }

    #[test]
    fn what_cannot_be_converted_stays_and_is_flagged() {
        let unconvertible = [
            ("int", r#""12.5""#),
            ("int", r#""1e999""#),
            ("int", r#""""#),
            ("int", r#""-""#),
            ("int", r#""0x10""#),
            ("int", "[1]"),
            ("float", r#""inf""#),
            ("float", r#""1,5""#),
            ("bool", "2"),
            ("bool", r#""maybe""#),
        ];
        for (to, value) in unconvertible {
            let event = format!("{{\"a\":{value}}}");
            let expected = format!("{event}\nflagged unconvertible 1");
            check_step::<Config>(&format!("convert: {{ a: {to} }}"), &event, &expected);
        }
    }

    #[test]
    fn missing_fields_and_null_and_unselected_events_stay() {
        check_step::<Config>(
            "convert: { a: int, when: 'NOT b:1' }",
            r#"
            {"x":1}
            {"a":null}
            {"a":"1","b":1}
            "#,
            r#"
            {"x":1}
            {"a":null}
            {"a":"1","b":1}
            "#,
        );
    }

    #[test]
    fn an_unknown_type_is_a_mistake_at_its_place() {
        assert_eq!(
            step_mistake::<Config>("convert: { a: strin }"),
            "step.yaml:1:15: error: unknown name `strin` (did you mean `string`?)"
        );
    }
}
