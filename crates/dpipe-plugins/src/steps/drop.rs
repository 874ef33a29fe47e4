//! Takes events out of the stream.
//!
//! With `when:`, those that meet the condition; without it, all of them. They are counted as
//! filtered for the reason `dropped`.
//!
//! ```yaml
//! drop: { when: 'uri:="/health"' }
//! ```

use dpipe_event::{Batch, Selection};
use dpipe_plugin::{BuildContext, BuildError, Step, StepConfig, StepContext, StepSpec};
use schemars::JsonSchema;
use serde::Deserialize;

/// Takes no settings but `when:`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {}

impl StepConfig for Config {
    const NAME: &'static str = "drop";
}

impl StepSpec for Config {
    fn build(&self, _context: &BuildContext<'_>) -> Result<Box<dyn Step>, BuildError> {
        Ok(Box::new(Drop))
    }
}

struct Drop;

impl Step for Drop {
    fn run(&mut self, batch: &mut Batch, selection: &Selection, context: &mut StepContext) {
        context.filtered("dropped", batch.discard(selection));
    }
}

#[cfg(test)]
mod tests {
    use dpipe_testkit::{check_step, step_mistake};

    use super::Config;

    #[test]
    fn events_that_meet_the_condition_are_dropped_and_counted() {
        check_step::<Config>(
            r#"drop: { when: 'uri:="/health" OR _log_info.level:<10' }"#,
            r#"
            {"uri":"/health"}
            {"uri":"/health/x","_log_info":{"level":10}}
            {"uri":"/a","_log_info":{"level":9}}
            "#,
            r#"
            {"uri":"/health/x","_log_info":{"level":10}}
            filtered dropped 2
            "#,
        );
    }

    #[test]
    fn without_a_condition_every_event_is_dropped() {
        check_step::<Config>("drop:", "{}\nplain text", "filtered dropped 2");
    }

    #[test]
    fn a_condition_under_another_name_is_refused() {
        assert_eq!(
            step_mistake::<Config>("drop: { wen: 'a:1' }"),
            "step.yaml:1:9: error: unknown key `wen` (did you mean `when`?)"
        );
    }
}
