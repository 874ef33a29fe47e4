//! Replaces the parts of a text that vary by placeholders, so that alike messages become equal.
//!
//! | pattern | what it finds | placeholder |
//! |---|---|---|
//! | `digits` | runs of digits, also within words | `<num>` |
//! | `hex` | words of `0x` and hexadecimal digits; words of 8 or more hexadecimal digits with both a letter and a digit | `<hex>` |
//! | `uuid` | UUIDs: 8-4-4-4-12 hexadecimal digits | `<uuid>` |
//! | `ip` | IPv4 and IPv6 addresses | `<ip>` |
//! | `quoted` | text in double or single quotes, quotes included; an apostrophe within a word is no quote | `<str>` |
//! | `{ regex: …, as: … }` | what a regular expression of your own matches | what `as` says, literally |
//!
//! The patterns are applied in the order written, each to what the one before left: put `uuid`, `ip`
//! and `hex` before `digits`. An event without the field, or with `null`, is left as it is.
//!
//! Flagged, and left as they are: `not_a_string`, for any other value; `unwritable`, where something
//! else than an object is in the way of `into`.
//!
//! ```yaml
//! normalize:
//!   field: message
//!   with: [uuid, ip, { regex: 'user=\w+', as: "user=<user>" }, digits]
//!   into: message_norm
//! ```

mod pattern;

use std::borrow::Cow;

use dpipe_event::{Batch, NewValue, Path, Selection, Value};
use dpipe_plugin::settings::Problem;
use dpipe_plugin::{BuildContext, BuildError, FieldPath, Step, StepConfig, StepContext, StepSpec};
use schemars::JsonSchema;
use serde::Deserialize;

use self::pattern::Pattern;
use crate::target::Target;

/// What to replace where.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The field that holds the text.
    field: FieldPath,
    /// What to replace, in this order.
    with: Vec<Pattern>,
    /// The field that gets the result; the default is the field itself.
    into: Option<Target>,
}

impl StepConfig for Config {
    const NAME: &'static str = "normalize";
}

impl StepSpec for Config {
    fn build(&self, _context: &BuildContext<'_>) -> Result<Box<dyn Step>, BuildError> {
        Ok(Box::new(Normalize {
            field: self.field.0.clone(),
            with: self.with.clone(),
            into: self.into.as_ref().map_or(&self.field.0, |into| into).clone(),
            text: Vec::new(),
            next: Vec::new(),
        }))
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.with.is_empty() {
            problems.push(Problem::error("`with` is empty"));
        }
        if let (Some(meta), None) = (self.field.meta(), &self.into) {
            let message = format!("`{}` is metadata, so `into` is needed", meta.name());
            problems.push(Problem::error(message));
        }
        problems
    }
}

struct Normalize {
    field: Path,
    with: Vec<Pattern>,
    into: Path,
    /// The text after the patterns that were applied so far.
    text: Vec<u8>,
    /// Room for what the next pattern makes of it.
    next: Vec<u8>,
}

impl Step for Normalize {
    fn run(&mut self, batch: &mut Batch, selection: &Selection, context: &mut StepContext) {
        let in_place = self.field == self.into;
        let (mut not_a_string, mut unwritable) = (0, 0);
        batch.each(selection, |event| {
            let text = match event.as_ref().get(&self.field) {
                None | Some(Value::Null) => return,
                Some(Value::String(text)) => text.bytes(),
                Some(_) => return not_a_string += 1,
            };
            if !self.apply(text) && in_place {
                return;
            }
            let written = event.set(&self.into, NewValue::String(&self.text));
            unwritable += usize::from(!written);
        });
        context.flagged("not_a_string", not_a_string);
        context.flagged("unwritable", unwritable);
    }
}

impl Normalize {
    /// Leaves what the patterns make of a text in `self.text`; tells whether that is another text.
    fn apply(&mut self, original: Cow<'_, [u8]>) -> bool {
        let mut changed = false;
        for pattern in &self.with {
            let text = if changed { &self.text } else { &*original };
            self.next.clear();
            if pattern.replace(text, &mut self.next) {
                std::mem::swap(&mut self.text, &mut self.next);
                changed = true;
            }
        }
        if !changed {
            self.text.clear();
            self.text.extend_from_slice(&original);
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use dpipe_testkit::{check_step, step_mistake};

    use super::Config;

    #[test]
    fn messages_that_differ_in_their_digits_become_equal() {
        check_step::<Config>(
            "normalize: { field: _log_info.message, with: [digits], into: norm.message }",
            r#"
            {"_log_info":{"message":"user 42 took 1.5s"}}
            {"_log_info":{"message":"none"}}
            {"_log_info":{"message":"tab\t7 \u00e9"}}
            "#,
            r#"
            {"_log_info":{"message":"user 42 took 1.5s"},"norm":{"message":"user <num> took <num>.<num>s"}}
            {"_log_info":{"message":"none"},"norm":{"message":"none"}}
            {"_log_info":{"message":"tab\t7 \u00e9"},"norm":{"message":"tab\t<num> é"}}
            "#,
        );
    }

    #[test]
    fn patterns_are_applied_in_their_order() {
        let event =
            r#"{"m":"GET 0xff from 10.0.0.1 by 'bob 7' id=0b2f6c1e-7d5c-4b0e-9d0a-1f0c5d2b3a49"}"#;
        check_step::<Config>(
            r#"normalize: { field: m, with: [uuid, ip, hex, quoted, { regex: "id=.*", as: "$id" }, digits] }"#,
            event,
            r#"{"m":"GET <hex> from <ip> by <str> $id"}"#,
        );
        check_step::<Config>(
            "normalize: { field: m, with: [digits, ip] }",
            r#"{"m":"10.0.0.1"}"#,
            r#"{"m":"<num>.<num>.<num>.<num>"}"#,
        );
    }

    #[test]
    fn without_into_the_text_is_replaced_and_an_unchanged_one_stays_as_written() {
        check_step::<Config>(
            "normalize: { field: message, with: [digits] }",
            r#"
            {"message":"a1"}
            {"message":"caf\u00e9"}
            plain 17 text
            "#,
            r#"
            {"message":"a<num>"}
            {"message":"caf\u00e9"}
            {"message":"plain <num> text"}
            "#,
        );
    }

    #[test]
    fn missing_fields_are_nothing_and_other_values_are_flagged() {
        check_step::<Config>(
            "normalize: { field: a, with: [digits], into: b.c }",
            r#"
            {"x":1}
            {"a":null}
            {"a":12}
            {"a":"1","b":1}
            "#,
            r#"
            {"x":1}
            {"a":null}
            {"a":12}
            {"a":"1","b":1}
            flagged not_a_string 1
            flagged unwritable 1
            "#,
        );
    }

    #[test]
    fn only_selected_events_change() {
        check_step::<Config>(
            "normalize: { field: a, with: [digits], when: 'b:1' }",
            r#"
            {"a":"x1","b":1}
            {"a":"x1","b":2}
            "#,
            r#"
            {"a":"x<num>","b":1}
            {"a":"x1","b":2}
            "#,
        );
    }

    #[test]
    fn mistakes_are_placed_where_they_stand() {
        let mistake = step_mistake::<Config>;
        assert_eq!(
            mistake("normalize: { field: a, with: [digit] }"),
            "step.yaml:1:31: error: unknown name `digit` (did you mean `digits`?)"
        );
        assert_eq!(
            mistake("normalize: { field: a, with: [{ regex: 'a(', as: x }] }"),
            "step.yaml:1:42: error: unclosed group"
        );
        assert_eq!(
            mistake(r"normalize: { field: a, with: [{ regex: '(\w{100}){100}', as: x }] }"),
            "step.yaml:1:41: error: Compiled regex exceeds size limit of 1048576 bytes."
        );
        assert_eq!(
            mistake("normalize: { field: a, with: [{ regex: 'x*', as: x }] }"),
            "step.yaml:1:41: error: this can match the empty text, which is everywhere"
        );
        assert_eq!(
            mistake("normalize: { field: a, with: [{ regex: 'x' }] }"),
            "step.yaml:1:31: error: missing key `as`"
        );
        assert_eq!(mistake("normalize: { field: a, with: [] }"), "error: `with` is empty");
    }
}
