//! Keeps some fields and removes all others.
//!
//! A path keeps what is below it, and of what is above it just the way down. Metadata is never
//! removed. The fields stay in their order.
//!
//! ```yaml
//! keep: [uri, _log_info.uid]   # short for { fields: [uri, _log_info.uid] }
//! ```

use dpipe_event::{Batch, Path, Selection};
use dpipe_plugin::{BuildContext, BuildError, Step, StepConfig, StepContext, StepSpec};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::target::Targets;

/// The fields to keep.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct Config(Targets);

impl StepConfig for Config {
    const NAME: &'static str = "keep";
}

impl StepSpec for Config {
    fn build(&self, _context: &BuildContext<'_>) -> Result<Box<dyn Step>, BuildError> {
        Ok(Box::new(Keep { fields: self.0.0.clone() }))
    }
}

struct Keep {
    fields: Box<[Path]>,
}

impl Step for Keep {
    fn run(&mut self, batch: &mut Batch, selection: &Selection, _context: &mut StepContext) {
        batch.each(selection, |event| event.keep(&self.fields));
    }
}

#[cfg(test)]
mod tests {
    use dpipe_testkit::check_step;

    use super::Config;

    #[test]
    fn what_is_not_named_is_removed_at_every_depth() {
        check_step::<Config>(
            "keep: [uri, _log_info.uid, 'list[1]', whole]",
            r#"
            {"a":1,"uri":"/","_log_info":{"uid":2,"level":3},"list":[4,5],"whole":{"x":{"y":6}}}
            {"a":1}
            "#,
            r#"
            {"uri":"/","_log_info":{"uid":2},"list":[5],"whole":{"x":{"y":6}}}
            {}
            "#,
        );
    }

    #[test]
    fn events_that_are_not_selected_keep_everything() {
        check_step::<Config>(
            "keep: { fields: a, when: 'b:1' }",
            r#"
            {"a":1,"b":1}
            {"a":1,"b":2}
            "#,
            r#"
            {"a":1}
            {"a":1,"b":2}
            "#,
        );
    }

    #[test]
    fn a_plain_text_is_the_field_message() {
        check_step::<Config>("keep: message", "hello", r#"{"message":"hello"}"#);
        check_step::<Config>("keep: a", "hello", "{}");
    }
}
