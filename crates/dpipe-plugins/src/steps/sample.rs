//! Keeps a part of the events, and drops the others.
//!
//! `rate: 10` keeps one in ten, `percent: 2.5` two and a half in a hundred: evenly, so that of any ten
//! events in a row on a lane one is kept. With `key:` it is the value of these fields that decides,
//! by its hash: events of a key are all kept or all dropped, on every lane, machine and start, so that
//! what is kept of a user or a trace is whole. Events that have none of the fields are counted as
//! without a key.
//!
//! Dropped for the reason `sampled_out`. Flagged: `unwritable`, where something else than an object is
//! in the way of `rate_into`.
//!
//! ```yaml
//! sample: { rate: 10, key: trace_id, rate_into: sample_rate, when: "NOT level:error" }
//! ```

use dpipe_event::{Batch, NewValue, Path, Selection};
use dpipe_plugin::settings::Problem;
use dpipe_plugin::{BuildContext, BuildError, Step, StepConfig, StepContext, StepSpec};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::keys::{Fields, Keys};
use crate::target::Target;

/// How many events to keep, and which.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Keep one in so many.
    rate: Option<u32>,
    /// Keep so many in a hundred; instead of `rate`.
    percent: Option<f64>,
    /// The fields whose values decide.
    key: Option<Fields>,
    /// The field that gets the number of events that each kept one stands for.
    rate_into: Option<Target>,
}

impl StepConfig for Config {
    const NAME: &'static str = "sample";
}

/// Percents are counted in millionths.
const PARTS_OF_A_PERCENT: f64 = 1e6;
const PARTS: u64 = 100_000_000;

impl Config {
    /// To keep the first number of events out of the second.
    fn share(&self) -> (u64, u64) {
        match (self.rate, self.percent) {
            (Some(rate), _) => (1, rate.into()),
            (None, percent) => {
                ((percent.unwrap_or(100.0) * PARTS_OF_A_PERCENT).round() as u64, PARTS)
            }
        }
    }
}

impl StepSpec for Config {
    fn build(&self, _context: &BuildContext<'_>) -> Result<Box<dyn Step>, BuildError> {
        let (kept, of) = self.share();
        let stands_for = match self.rate {
            Some(rate) => NewValue::Integer(rate.into()),
            None => NewValue::Float(of as f64 / kept as f64),
        };
        Ok(Box::new(Sample {
            kept,
            of,
            // So that the first event is kept.
            due: of - kept,
            key: self.key.as_ref().map(|key| key.0.clone()),
            keys: Keys::new(0),
            rate_into: self.rate_into.clone().map(|target| (target, stands_for)),
        }))
    }

    fn check(&self) -> Vec<Problem> {
        let problem = match (self.rate, self.percent) {
            (None, None) => "says not how much to keep: `rate` or `percent` is missing",
            (Some(_), Some(_)) => "`rate` and `percent` say the same; one of them is too much",
            (Some(0), None) => "`rate` is 0; `drop` is the step that drops all",
            (None, Some(percent)) if !(percent > 0.0 && percent <= 100.0) => {
                "`percent` is not between 0 and 100; `drop` is the step that drops all"
            }
            (None, Some(_)) if self.share().0 == 0 => "`percent` is less than a millionth",
            _ => return Vec::new(),
        };
        vec![Problem::error(problem)]
    }
}

struct Sample {
    /// So many are kept …
    kept: u64,
    /// … out of so many.
    of: u64,
    /// Grows by `kept` with each event; at `of` an event is due.
    due: u64,
    key: Option<Box<[Path]>>,
    keys: Keys,
    rate_into: Option<(Target, NewValue<'static>)>,
}

impl Step for Sample {
    fn run(&mut self, batch: &mut Batch, selection: &Selection, context: &mut StepContext) {
        let mut out = Selection::none(batch.len());
        let mut unwritable = 0;
        for index in (0..batch.len()).filter(|index| selection.contains(*index)) {
            let event = batch.get(index);
            let key = self.key.as_ref().and_then(|fields| self.keys.of(&event, fields));
            let keep = match key {
                Some(key) => self.keeps_key(key),
                None => self.keeps_next(),
            };
            if !keep {
                out.add(index);
            } else if let Some((target, rate)) = &self.rate_into {
                unwritable += usize::from(!batch.edit(index).set(target, *rate));
            }
        }
        context.flagged("unwritable", unwritable);
        context.filtered("sampled_out", batch.discard(&out));
    }
}

impl Sample {
    fn keeps_next(&mut self) -> bool {
        self.due += self.kept;
        let keep = self.due >= self.of;
        if keep {
            self.due -= self.of;
        }
        keep
    }

    /// A key's hash is as likely to be below any part of its range as that part is large.
    fn keeps_key(&self, key: u128) -> bool {
        (key >> 64) * u128::from(self.of) < u128::from(self.kept) << 64
    }
}

#[cfg(test)]
mod tests {
    use dpipe_testkit::{StepCheck, check_step, step_mistake};

    use super::Config;

    fn numbers(settings: &str, events: usize, event: impl Fn(usize) -> String) -> Vec<usize> {
        let input: Vec<_> = (0..events).map(event).collect();
        let found = StepCheck::new::<Config>(settings, &[]).run(&input.join("\n"));
        let lines = found.lines().filter_map(|line| line.strip_prefix("{\"n\":"));
        lines.map(|line| line.split([',', '}']).next().unwrap().parse().unwrap()).collect()
    }

    #[test]
    fn one_in_so_many_is_kept() {
        let kept = numbers("sample: { rate: 4 }", 10, |n| format!("{{\"n\":{n}}}"));
        assert_eq!(kept, [0, 4, 8]);
        let all = numbers("sample: { rate: 1 }", 3, |n| format!("{{\"n\":{n}}}"));
        assert_eq!(all, [0, 1, 2]);
        let percent = numbers("sample: { percent: 40 }", 10, |n| format!("{{\"n\":{n}}}"));
        assert_eq!(percent, [0, 3, 5, 8]);
    }

    #[test]
    fn events_of_a_key_are_all_kept_or_all_dropped_everywhere() {
        let event = |n: usize| format!("{{\"n\":{n},\"user\":{{\"id\":\"u{}\"}}}}", n % 1000);
        let settings = "sample: { percent: 25, key: user.id }";
        let kept = numbers(settings, 3000, event);
        let users: std::collections::HashSet<_> = kept.iter().map(|n| n % 1000).collect();
        assert_eq!(kept.len(), users.len() * 3);
        // A fixed set: more than 6 standard deviations from 250 would be no fair hash.
        assert!((170..330).contains(&users.len()), "{}", users.len());
        assert_eq!(numbers(settings, 3000, event), kept);
        assert_eq!(numbers("sample: { rate: 1, key: user.id }", 3000, event).len(), 3000);
    }

    #[test]
    fn a_kept_event_says_how_many_it_stands_for() {
        check_step::<Config>(
            "sample: { rate: 2, rate_into: meta.rate, when: 'x:1' }",
            r#"
            {"n":1,"x":1}
            {"n":2,"x":1}
            {"n":3,"x":2}
            {"n":4,"x":1,"meta":0}
            "#,
            r#"
            {"n":1,"x":1,"meta":{"rate":2}}
            {"n":3,"x":2}
            {"n":4,"x":1,"meta":0}
            flagged unwritable 1
            filtered sampled_out 1
            "#,
        );
        check_step::<Config>("sample: { percent: 40, rate_into: r }", "{}", r#"{"r":2.5}"#);
    }

    #[test]
    fn shares_that_are_none_are_mistakes() {
        let mistake = step_mistake::<Config>;
        assert!(mistake("sample: {}").contains("`rate` or `percent` is missing"));
        assert!(mistake("sample: { rate: 2, percent: 5 }").contains("one of them is too much"));
        assert!(mistake("sample: { rate: 0 }").contains("`rate` is 0"));
        assert!(mistake("sample: { percent: 0 }").contains("not between 0 and 100"));
        assert!(mistake("sample: { percent: 100.1 }").contains("not between 0 and 100"));
        assert!(mistake("sample: { percent: 1e-9 }").contains("less than a millionth"));
    }
}
