//! Splits a batch by conditions, and publishes each part under a tag of its own.
//!
//! The conditions are tried in the order written; an event goes with the first one that it meets, to
//! the tag `<filter>.<name>`. Events that meet none, and those that `when:` leaves out, go to
//! `<filter>.other`. Events of one part stay in their order. It is the last step of its filter.
//!
//! ```yaml
//! route: { errors: "level:error", payments: "_exists_:data.amount" }
//! ```

use dpipe_event::{Batch, Selection};
use dpipe_plugin::settings::Problem;
use dpipe_plugin::{BuildContext, BuildError, Condition, Step, StepConfig, StepContext, StepSpec};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::pairs::Pairs;

/// The name of a part, and the condition for it.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct Config(Pairs<String, Condition>);

/// The port of everything that no condition wants.
const OTHER: &str = "other";

impl StepConfig for Config {
    const NAME: &'static str = "route";
}

impl StepSpec for Config {
    fn build(&self, _context: &BuildContext<'_>) -> Result<Box<dyn Step>, BuildError> {
        let conditions = self.0.0.iter().map(|(_, condition)| condition.clone()).collect();
        Ok(Box::new(Route { conditions, ports: Vec::new() }))
    }

    fn ports(&self) -> Vec<String> {
        let names = self.0.0.iter().map(|(name, _)| name.as_str());
        names.chain([OTHER]).map(str::to_owned).collect()
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (name, _) in &self.0.0 {
            if name == OTHER {
                let message = "`other` is the name of what no condition wants; give this another";
                problems.push(Problem::error(message));
            } else if name.is_empty() || !name.bytes().all(is_name_byte) {
                problems.push(Problem::error(format!(
                    "`{name}` becomes part of a tag, so it has letters, digits, `_` and `-` only"
                )));
            }
        }
        problems
    }
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

struct Route {
    conditions: Vec<Condition>,
    /// The port of each event that is still in the batch.
    ports: Vec<usize>,
}

impl Step for Route {
    fn run(&mut self, batch: &mut Batch, selection: &Selection, context: &mut StepContext) {
        let other = self.conditions.len();
        self.ports.clear();
        self.ports.extend(batch.iter().enumerate().map(|(index, event)| {
            let wanted = || self.conditions.iter().position(|condition| condition.matches(&event));
            if selection.contains(index) { wanted().unwrap_or(other) } else { other }
        }));
        for port in 0..=other {
            if self.ports.iter().all(|at| *at == port) {
                if !batch.is_empty() {
                    context.publish(port, batch.take(&Selection::All));
                }
                return;
            }
            if self.ports.contains(&port) {
                let part = batch.take(&at_port(&self.ports, port));
                context.publish(port, part);
                self.ports.retain(|at| *at != port);
            }
        }
    }
}

fn at_port(ports: &[usize], port: usize) -> Selection {
    let mut words = vec![0; ports.len().div_ceil(64)];
    for (index, at) in ports.iter().enumerate() {
        words[index / 64] |= u64::from(*at == port) << (index % 64);
    }
    Selection::Bits(words)
}

#[cfg(test)]
mod tests {
    use dpipe_testkit::{StepCheck, check_step, step_mistake};

    use super::Config;

    #[test]
    fn an_event_goes_with_the_first_condition_that_it_meets() {
        check_step::<Config>(
            "route: { errors: 'level:error', paid: 'data.amount:>0' }",
            r#"
            {"n":1,"data":{"amount":5}}
            {"n":2}
            {"n":3,"level":"error","data":{"amount":5}}
            {"n":4,"level":"error"}
            {"n":5}
            "#,
            r#"
            errors: {"n":3,"level":"error","data":{"amount":5}}
            errors: {"n":4,"level":"error"}
            paid: {"n":1,"data":{"amount":5}}
            other: {"n":2}
            other: {"n":5}
            "#,
        );
    }

    #[test]
    fn unselected_events_keep_their_place_among_the_others() {
        check_step::<Config>(
            "route: { a: 'a:1', when: 'b:1' }",
            r#"
            {"n":1,"a":2,"b":1}
            {"n":2,"a":1}
            {"n":3,"a":1,"b":1}
            {"n":4,"b":1}
            "#,
            r#"
            a: {"n":3,"a":1,"b":1}
            other: {"n":1,"a":2,"b":1}
            other: {"n":2,"a":1}
            other: {"n":4,"b":1}
            "#,
        );
    }

    #[test]
    fn a_batch_of_more_than_one_word_of_bits_is_split_right() {
        let events = |wanted: fn(usize) -> bool, prefix: &str| -> Vec<String> {
            let numbers = (0..200).filter(|n| wanted(*n));
            numbers.map(|n| format!("{prefix}{{\"n\":{n},\"odd\":{}}}", n % 2)).collect()
        };
        let found = StepCheck::new::<Config>("route: { odd: 'odd:1' }", &[])
            .run(&events(|_| true, "").join("\n"));
        let mut expected = events(|n| n % 2 == 1, "odd: ");
        expected.extend(events(|n| n % 2 == 0, "other: "));
        assert_eq!(found, expected.join("\n"));
    }

    #[test]
    fn a_part_without_events_is_not_published() {
        check_step::<Config>("route: { a: 'a:1' }", r#"{"a":1}"#, r#"a: {"a":1}"#);
        check_step::<Config>("route: { a: 'a:1' }", "", "");
    }

    #[test]
    fn names_that_make_no_tag_are_mistakes() {
        let mistake = step_mistake::<Config>;
        assert!(mistake("route: { other: 'a:1' }").contains("`other` is the name of what"));
        assert!(mistake("route: { a.b: 'a:1' }").contains("`a.b` becomes part of a tag"));
        assert_eq!(mistake("route: {}"), "step.yaml:1:8: error: the map has no entries");
        let condition = mistake("route: { a: 'b:(' }");
        assert!(condition.starts_with("step.yaml:1:1"), "{condition}");
    }
}
