//! Lets at most so many events pass in a period, and drops the rest.
//!
//! Events are counted by the values of the `key:` fields (all together without it), each tenant's
//! apart. A period starts with the first event of its key; once it is over, the next event starts
//! another. Events that have none of the key's fields are counted as one key. It goes by the time at
//! which events arrive, not by their own.
//!
//! All lanes count together. At most `keys_max:` keys are counted at a time; where there are more,
//! those whose period started first are forgotten, and start anew. After another step of the filter
//! has failed, the events of its batch are counted twice.
//!
//! Dropped for the reason `throttled`.
//!
//! ```yaml
//! throttle: { events: 100, period: 1s, key: [host, level] }
//! ```

use std::sync::Arc;

use dpipe_event::{Batch, Path, Selection, Timestamp};
use dpipe_plugin::settings::{Period, Problem};
use dpipe_plugin::{BuildContext, BuildError, Step, StepConfig, StepContext, StepSpec};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::bounded::Bounded;
use crate::keys::{Fields, Keys, Shards};

/// How many events, in which time, of what.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// How many events of a key pass in a period.
    events: u32,
    /// How long a period is.
    #[serde(default = "default_period")]
    period: Period,
    /// The fields by which events are counted apart.
    key: Option<Fields>,
    /// How many keys are counted at a time, at about 100 bytes each.
    #[serde(default = "default_keys_max")]
    keys_max: usize,
}

fn default_period() -> Period {
    Period::seconds(1)
}

fn default_keys_max() -> usize {
    10_000
}

impl StepConfig for Config {
    const NAME: &'static str = "throttle";
}

impl StepSpec for Config {
    fn build(&self, context: &BuildContext<'_>) -> Result<Box<dyn Step>, BuildError> {
        let counts = context.own(|| Counts {
            seed: context.env.random(),
            periods: Shards::new(self.keys_max, Bounded::new),
        });
        Ok(Box::new(Throttle {
            events: self.events,
            period_ms: i64::try_from(self.period.duration().as_millis()).unwrap_or(i64::MAX),
            key: self.key.as_ref().map(|key| key.0.clone()).unwrap_or_default(),
            keys: Keys::new(counts.seed),
            found: Vec::new(),
            counts,
        }))
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.events == 0 {
            problems.push(Problem::error("`events` is 0; `drop` is the step that drops all"));
        }
        if self.period.duration().as_millis() == 0 {
            problems.push(Problem::error("`period` is shorter than a millisecond"));
        }
        if self.keys_max == 0 {
            problems.push(Problem::error("`keys_max` is 0"));
        }
        problems
    }
}

/// What all lanes have counted.
struct Counts {
    seed: u64,
    periods: Shards<Bounded<Running>>,
}

/// A period that runs.
struct Running {
    since: Timestamp,
    passed: u32,
}

struct Throttle {
    events: u32,
    period_ms: i64,
    key: Box<[Path]>,
    counts: Arc<Counts>,
    keys: Keys,
    /// The keys of a batch, and the events that have them.
    found: Vec<(u128, u32)>,
}

impl Step for Throttle {
    fn run(&mut self, batch: &mut Batch, selection: &Selection, context: &mut StepContext) {
        let tenant = self.keys.of_text(batch.origin().tenant.as_bytes());
        self.found.clear();
        for (index, event) in batch.iter().enumerate().filter(|(at, _)| selection.contains(*at)) {
            let key = self.keys.of(&event, &self.key).unwrap_or_default();
            self.found.push((key ^ tenant, index as u32));
        }
        let now = context.now;
        let mut over = Selection::none(batch.len());
        self.counts.periods.each(&mut self.found, |periods, key, index| {
            match periods.get_mut(key) {
                Some(running) if (now.millis() - running.since.millis()).abs() < self.period_ms => {
                    if running.passed < self.events {
                        running.passed += 1;
                    } else {
                        over.add(index as usize);
                    }
                }
                Some(running) => {
                    *running = Running { since: now, passed: 1 };
                    periods.renew(key);
                }
                None => periods.insert(key, Running { since: now, passed: 1 }),
            }
        });
        context.filtered("throttled", batch.discard(&over));
    }
}

#[cfg(test)]
mod tests {
    use dpipe_testkit::{StepCheck, check_step, step_mistake};

    use super::Config;

    #[test]
    fn each_key_has_so_many_events_in_a_period() {
        let mut step =
            StepCheck::new::<Config>("throttle: { events: 2, period: 10s, key: a.b }", &[]);
        let events = r#"
            {"n":1,"a":{"b":"x"}}
            {"n":2,"a":{"b":"y"}}
            {"n":3,"a":{"b":"x"}}
            {"n":4,"a":{"b":"x"}}
            {"n":5}
            {"n":6}
            {"n":7}
            "#;
        let all_but = |gone: &[usize]| {
            let lines = events.lines().map(str::trim).filter(|line| !line.is_empty());
            let kept = lines.enumerate().filter(|(at, _)| !gone.contains(&(at + 1)));
            let kept: Vec<_> = kept.map(|(_, line)| line).collect();
            kept.join("\n")
        };
        step.set_now_millis(1_000);
        assert_eq!(step.run(events), all_but(&[4, 7]) + "\nfiltered throttled 2");
        step.set_now_millis(10_999);
        assert_eq!(step.run(events), all_but(&[1, 3, 4, 5, 6, 7]) + "\nfiltered throttled 6");
        step.set_now_millis(11_000);
        assert_eq!(step.run(events), all_but(&[4, 7]) + "\nfiltered throttled 2");
    }

    #[test]
    fn without_a_key_all_are_counted_together_and_those_not_selected_are_not() {
        check_step::<Config>(
            "throttle: { events: 1, when: 'x:1' }",
            r#"
            {"n":1,"x":2}
            {"n":2,"x":1}
            {"n":3,"x":1}
            {"n":4,"x":2}
            "#,
            r#"
            {"n":1,"x":2}
            {"n":2,"x":1}
            {"n":4,"x":2}
            filtered throttled 1
            "#,
        );
    }

    #[test]
    fn lanes_count_together() {
        let mut one = StepCheck::new::<Config>("throttle: { events: 3 }", &[]);
        let mut other = one.another_lane();
        assert_eq!(one.run("a\nb").lines().count(), 2);
        assert_eq!(other.run("c\nd"), "{\"message\":\"c\"}\nfiltered throttled 1");
    }

    #[test]
    fn where_there_is_no_more_room_the_oldest_key_starts_anew() {
        let settings = "throttle: { events: 1, period: 1h, key: a, keys_max: 2 }";
        let mut step = StepCheck::new::<Config>(settings, &[]);
        step.run("{\"a\":1}\n{\"a\":2}\n{\"a\":3}");
        assert_eq!(step.run("{\"a\":3}\n{\"a\":2}\n{\"a\":1}"), "{\"a\":1}\nfiltered throttled 2");
    }

    #[test]
    fn limits_of_nothing_are_mistakes() {
        let mistake = step_mistake::<Config>;
        assert!(mistake("throttle: { events: 0 }").contains("`events` is 0"));
        assert!(mistake("throttle: { events: 1, period: 0s }").contains("`period` is shorter"));
        assert!(mistake("throttle: { events: 1, keys_max: 0 }").contains("`keys_max` is 0"));
        assert!(mistake("throttle: {}").contains("missing key `events`"));
    }
}
