//! Turns a number into the label of the range that it is in.
//!
//! The bounds 1, 14 and 31 make the ranges x < 1, 1 ≤ x < 14, 14 ≤ x < 31 and 31 ≤ x, which are
//! called `<1`, `1-14`, `14-31` and `31+`, unless `labels:` gives others. Strings that spell a
//! number count as numbers. An event without the field, or with `null`, is left as it is.
//!
//! Flagged, and left as they are: `not_a_number`, for any other value; `unwritable`, where something
//! else than an object is in the way of `into`.
//!
//! ```yaml
//! bucket: { field: _log_info.level, bounds: [1, 14, 19, 23, 27, 31], into: level_rg }
//! ```

use dpipe_event::{Batch, NewValue, Path, Selection, Value};
use dpipe_plugin::settings::Problem;
use dpipe_plugin::{BuildContext, BuildError, FieldPath, Step, StepConfig, StepContext, StepSpec};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::target::Target;

/// What to sort into which ranges.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The field that holds the number.
    field: FieldPath,
    /// The limits between the ranges, ascending, in the unit of the field. A limit belongs to the
    /// range above it.
    bounds: Vec<f64>,
    /// The field that gets the label; the default is the field itself.
    into: Option<Target>,
    /// The labels of the ranges, from the lowest; one more than there are bounds.
    labels: Option<Vec<String>>,
}

impl StepConfig for Config {
    const NAME: &'static str = "bucket";
}

impl StepSpec for Config {
    fn build(&self, _context: &BuildContext<'_>) -> Result<Box<dyn Step>, BuildError> {
        let labels = self.labels.clone().unwrap_or_else(|| default_labels(&self.bounds));
        Ok(Box::new(Bucket {
            field: self.field.0.clone(),
            into: self.into.as_ref().map_or(&self.field.0, |into| into).clone(),
            bounds: self.bounds.clone(),
            labels,
        }))
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.bounds.is_empty() {
            problems.push(Problem::error("`bounds` is empty"));
        }
        if self.bounds.iter().any(|bound| !bound.is_finite()) {
            problems.push(Problem::error("each of `bounds` is a finite number"));
        }
        if let Some(pair) = self.bounds.windows(2).find(|pair| pair[0] >= pair[1]) {
            let [low, high] = [pair[0], pair[1]];
            problems.push(Problem::error(format!("`bounds` do not ascend from {low} to {high}")));
        }
        if let Some(labels) = &self.labels
            && labels.len() != self.bounds.len() + 1
        {
            let (labels, bounds) = (labels.len(), self.bounds.len());
            let message =
                format!("`labels` are {labels}, but {bounds} bounds make {} ranges", bounds + 1);
            problems.push(Problem::error(message));
        }
        if let (Some(meta), None) = (self.field.meta(), &self.into) {
            let message = format!("`{}` is metadata, so `into` is needed", meta.name());
            problems.push(Problem::error(message));
        }
        problems
    }
}

fn default_labels(bounds: &[f64]) -> Vec<String> {
    let [first, .., last] = bounds else {
        return bounds
            .iter()
            .flat_map(|bound| [format!("<{bound}"), format!("{bound}+")])
            .collect();
    };
    let between = bounds.windows(2).map(|pair| format!("{}-{}", pair[0], pair[1]));
    let mut labels = vec![format!("<{first}")];
    labels.extend(between);
    labels.push(format!("{last}+"));
    labels
}

struct Bucket {
    field: Path,
    into: Path,
    bounds: Vec<f64>,
    labels: Vec<String>,
}

impl Step for Bucket {
    fn run(&mut self, batch: &mut Batch, selection: &Selection, context: &mut StepContext) {
        let (mut not_a_number, mut unwritable) = (0, 0);
        batch.each(selection, |event| {
            let number = match event.as_ref().get(&self.field) {
                None | Some(Value::Null) => return,
                Some(value) => value.as_f64(),
            };
            let Some(number) = number else {
                not_a_number += 1;
                return;
            };
            let range = self.bounds.iter().take_while(|bound| number >= **bound).count();
            let label = NewValue::String(self.labels[range].as_bytes());
            unwritable += usize::from(!event.set(&self.into, label));
        });
        context.flagged("not_a_number", not_a_number);
        context.flagged("unwritable", unwritable);
    }
}

#[cfg(test)]
mod tests {
    use dpipe_testkit::{check_step, step_mistake};

    use super::Config;

    #[test]
    fn a_bound_belongs_to_the_range_above_it() {
        check_step::<Config>(
            "bucket: { field: _log_info.level, bounds: [1, 14, 19, 31], into: level_rg }",
            r#"
            {"_log_info":{"level":-5}}
            {"_log_info":{"level":1}}
            {"_log_info":{"level":13.999}}
            {"_log_info":{"level":"14"}}
            {"_log_info":{"level":31}}
            {"_log_info":{"level":1e999}}
            "#,
            r#"
            {"_log_info":{"level":-5},"level_rg":"<1"}
            {"_log_info":{"level":1},"level_rg":"1-14"}
            {"_log_info":{"level":13.999},"level_rg":"1-14"}
            {"_log_info":{"level":"14"},"level_rg":"14-19"}
            {"_log_info":{"level":31},"level_rg":"31+"}
            {"_log_info":{"level":1e999},"level_rg":"31+"}
            "#,
        );
    }

    #[test]
    fn labels_of_ones_own_may_stand_deep() {
        check_step::<Config>(
            "bucket:
               field: _log_info.elapsed
               bounds: [0.01, 0.05, 0.2]
               labels: [lt10ms, lt50ms, lt200ms, ge200ms]
               into: _log_info.elapsed_bucket",
            r#"
            {"_log_info":{"elapsed":0.0099}}
            {"_log_info":{"elapsed":0.05}}
            {"_log_info":{"elapsed":7}}
            "#,
            r#"
            {"_log_info":{"elapsed":0.0099,"elapsed_bucket":"lt10ms"}}
            {"_log_info":{"elapsed":0.05,"elapsed_bucket":"lt200ms"}}
            {"_log_info":{"elapsed":7,"elapsed_bucket":"ge200ms"}}
            "#,
        );
    }

    #[test]
    fn without_into_the_number_itself_is_replaced() {
        check_step::<Config>(
            "bucket: { field: a.b, bounds: [0.5] }",
            r#"
            {"a":{"b":0.25}}
            {"a":{"b":0.5}}
            "#,
            r#"
            {"a":{"b":"<0.5"}}
            {"a":{"b":"0.5+"}}
            "#,
        );
    }

    #[test]
    fn missing_fields_are_nothing_and_other_values_are_flagged() {
        check_step::<Config>(
            "bucket: { field: a, bounds: [1], into: b.c }",
            r#"
            {"x":1}
            {"a":null}
            {"a":"many"}
            {"a":[1]}
            {"a":1,"b":2}
            "#,
            r#"
            {"x":1}
            {"a":null}
            {"a":"many"}
            {"a":[1]}
            {"a":1,"b":2}
            flagged not_a_number 2
            flagged unwritable 1
            "#,
        );
    }

    #[test]
    fn only_selected_events_are_sorted() {
        check_step::<Config>(
            "bucket: { field: a, bounds: [1], when: 'b:1' }",
            r#"
            {"a":1,"b":1}
            {"a":1,"b":2}
            "#,
            r#"
            {"a":"1+","b":1}
            {"a":1,"b":2}
            "#,
        );
    }

    #[test]
    fn bounds_and_labels_that_do_not_fit_are_mistakes() {
        let mistake = step_mistake::<Config>;
        assert_eq!(
            mistake("bucket: { field: a, bounds: [1, 3, 2] }"),
            "error: `bounds` do not ascend from 3 to 2"
        );
        assert_eq!(mistake("bucket: { field: a, bounds: [] }"), "error: `bounds` is empty");
        assert_eq!(
            mistake("bucket: { field: a, bounds: [.inf] }"),
            "error: each of `bounds` is a finite number"
        );
        assert_eq!(
            mistake("bucket: { field: a, bounds: [1, 2], labels: [x, y] }"),
            "error: `labels` are 2, but 2 bounds make 3 ranges"
        );
        assert_eq!(
            mistake("bucket: { field: _time, bounds: [1] }"),
            "error: `_time` is metadata, so `into` is needed"
        );
    }
}
