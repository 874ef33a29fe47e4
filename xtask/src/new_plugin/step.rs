//! Marks events in a field.
//!
//! An event has `true` in the field `into` afterwards. Flagged: `unwritable`, where something else than
//! an object is in the way of `into`.
//!
//! ```yaml
//! new_plugin: { into: seen }
//! ```

use dpipe_event::{Batch, NewValue, Path, Selection};
use dpipe_plugin::{BuildContext, BuildError, Step, StepConfig, StepContext, StepSpec};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::target::Target;

/// What to mark.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The field that gets the mark.
    into: Target,
}

impl StepConfig for Config {
    const NAME: &'static str = "new_plugin";
}

impl StepSpec for Config {
    fn build(&self, _: &BuildContext<'_>) -> Result<Box<dyn Step>, BuildError> {
        Ok(Box::new(NewPlugin { into: Path::clone(&self.into) }))
    }
}

struct NewPlugin {
    into: Path,
}

impl Step for NewPlugin {
    fn run(&mut self, batch: &mut Batch, selection: &Selection, context: &mut StepContext) {
        let mut unwritable = 0;
        batch.each(selection, |event| {
            unwritable += usize::from(!event.set(&self.into, NewValue::Json(b"true")));
        });
        context.flagged("unwritable", unwritable);
    }
}

#[cfg(test)]
mod tests {
    use dpipe_testkit::{check_step, step_mistake};

    use super::Config;

    #[test]
    fn selected_events_are_marked_and_what_cannot_be_is_flagged() {
        check_step::<Config>(
            "new_plugin: { into: a.b, when: 'NOT c:1' }",
            r#"
            {}
            {"a":1}
            {"c":1}
            "#,
            r#"
            {"a":{"b":true}}
            {"a":1}
            {"c":1}
            flagged unwritable 1
            "#,
        );
    }

    #[test]
    fn a_misspelled_option_is_a_mistake_at_its_place() {
        let said = step_mistake::<Config>("new_plugin: { inot: a }");
        assert!(said.starts_with("step.yaml:1:"), "{said}");
        assert!(said.ends_with("unknown key `inot` (did you mean `into`?)"), "{said}");
    }
}
