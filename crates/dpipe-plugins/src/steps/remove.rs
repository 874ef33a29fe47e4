//! Removes fields.
//!
//! A field that an event does not have is nothing to remove. A plain text has one field, `message`;
//! without it, the event is an empty object.
//!
//! ```yaml
//! remove: [trace, _log_info.snsid]   # short for { fields: [trace, _log_info.snsid] }
//! ```

use dpipe_event::{Batch, Path, Selection};
use dpipe_plugin::{BuildContext, BuildError, Step, StepConfig, StepContext, StepSpec};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::target::Targets;

/// The fields to remove.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct Config(Targets);

impl StepConfig for Config {
    const NAME: &'static str = "remove";
}

impl StepSpec for Config {
    fn build(&self, _context: &BuildContext<'_>) -> Result<Box<dyn Step>, BuildError> {
        Ok(Box::new(Remove { fields: self.0.0.clone() }))
    }
}

struct Remove {
    fields: Box<[Path]>,
}

impl Step for Remove {
    fn run(&mut self, batch: &mut Batch, selection: &Selection, _context: &mut StepContext) {
        batch.each(selection, |event| {
            for field in &self.fields {
                event.remove(field);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use dpipe_testkit::{check_step, step_mistake};

    use super::Config;

    #[test]
    fn fields_at_any_depth_are_removed_and_missing_ones_do_not_matter() {
        check_step::<Config>(
            "remove: [trace, _log_info.snsid, 'list[0]', nowhere.x]",
            r#"
            {"a":1,"trace":"x","_log_info":{"snsid":2,"uid":3},"list":[4,5]}
            {"a":1}
            "#,
            r#"
            {"a":1,"_log_info":{"uid":3},"list":[5]}
            {"a":1}
            "#,
        );
    }

    #[test]
    fn one_field_a_list_and_the_long_form_say_the_same() {
        for settings in
            ["remove: a", "remove: [a]", "remove: { fields: a }", "remove: { fields: [a] }"]
        {
            check_step::<Config>(settings, r#"{"a":1,"b":2}"#, r#"{"b":2}"#);
        }
    }

    #[test]
    fn only_selected_events_lose_their_fields() {
        check_step::<Config>(
            "remove: { fields: [a], when: 'b:1' }",
            r#"
            {"a":1,"b":1}
            {"a":1,"b":2}
            "#,
            r#"
            {"b":1}
            {"a":1,"b":2}
            "#,
        );
    }

    #[test]
    fn a_plain_text_without_its_message_is_an_empty_object() {
        check_step::<Config>("remove: message", "hello", "{}");
    }

    #[test]
    fn mistakes_are_placed_where_they_stand() {
        let mistake = step_mistake::<Config>;
        assert_eq!(
            mistake("remove: [a, b..c]"),
            "step.yaml:1:15: error: expected a key at character 3 of the field path `b..c`"
        );
        assert_eq!(
            mistake("remove: { field: [a] }"),
            "step.yaml:1:11: error: unknown key `field` (did you mean `fields`?)"
        );
        assert_eq!(mistake("remove: []"), "step.yaml:1:9: error: the list names no field");
        assert_eq!(
            mistake("remove: 5"),
            "step.yaml:1:9: error: expected a list of field paths, found the number `5`"
        );
        assert!(
            mistake("remove: [_time]").starts_with("step.yaml:1:10: error: `_time` is metadata")
        );
    }
}
