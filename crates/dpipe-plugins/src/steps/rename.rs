//! Moves fields to other places.
//!
//! The moves are made in the order written, so that one may build on another. A field that an event
//! does not have is left out; a field that stands at the new place is overwritten; objects on the
//! way to it are made. Where something else than an object is in the way, the field stays, and the
//! event is flagged `unwritable`.
//!
//! ```yaml
//! rename: { _log_info.uid: user.id, msg: message }
//! ```

use dpipe_event::{Batch, Selection};
use dpipe_plugin::{BuildContext, BuildError, Step, StepConfig, StepContext, StepSpec};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::pairs::Pairs;
use crate::target::Target;

/// The field's path, and the path that it gets.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct Config(Pairs<Target, Target>);

impl StepConfig for Config {
    const NAME: &'static str = "rename";
}

impl StepSpec for Config {
    fn build(&self, _context: &BuildContext<'_>) -> Result<Box<dyn Step>, BuildError> {
        Ok(Box::new(Rename { moves: self.0.0.clone() }))
    }
}

struct Rename {
    moves: Box<[(Target, Target)]>,
}

impl Step for Rename {
    fn run(&mut self, batch: &mut Batch, selection: &Selection, context: &mut StepContext) {
        let mut unwritable = 0;
        batch.each(selection, |event| {
            for (from, to) in &self.moves {
                let moved = event.rename(from, to);
                if !moved && from != to && event.as_ref().get(from).is_some() {
                    unwritable += 1;
                }
            }
        });
        context.flagged("unwritable", unwritable);
    }
}

#[cfg(test)]
mod tests {
    use dpipe_testkit::{check_step, step_mistake};

    use super::Config;

    #[test]
    fn a_field_moves_across_depths_with_its_value_as_written() {
        check_step::<Config>(
            "rename: { _log_info.uid: user.id, msg: message }",
            r#"
            {"_log_info":{"uid":12345678901234567890.10,"x":1},"msg":"h\u00e9","a":0}
            {"a":1}
            "#,
            r#"
            {"_log_info":{"x":1},"a":0,"user":{"id":12345678901234567890.10},"message":"h\u00e9"}
            {"a":1}
            "#,
        );
    }

    #[test]
    fn moves_are_made_in_order_and_overwrite() {
        check_step::<Config>(
            "rename: { b: c, a: b }",
            r#"{"a":1,"b":2,"c":3}"#,
            r#"{"b":1,"c":2}"#,
        );
    }

    #[test]
    fn what_is_in_the_way_stays_and_is_flagged() {
        check_step::<Config>(
            "rename: { a: b.c }",
            r#"{"a":1,"b":2}"#,
            r#"
            {"a":1,"b":2}
            flagged unwritable 1
            "#,
        );
    }

    #[test]
    fn only_selected_events_change() {
        check_step::<Config>(
            "rename: { a: b, when: 'x:1' }",
            r#"
            {"a":1,"x":1}
            {"a":1,"x":2}
            "#,
            r#"
            {"x":1,"b":1}
            {"a":1,"x":2}
            "#,
        );
    }

    #[test]
    fn metadata_cannot_be_moved_nor_overwritten() {
        let mistake = step_mistake::<Config>("rename: { a: _time }");
        assert!(mistake.starts_with("step.yaml:1:14: error: `_time` is metadata"), "{mistake}");
        let mistake = step_mistake::<Config>("rename: { _time: a }");
        assert!(mistake.starts_with("step.yaml:1:11: error: `_time` is metadata"), "{mistake}");
    }
}
