//! Drops events that repeat one that came a short while before.
//!
//! Two events are the same if they are of one tenant and have the same values in `fields:`, or, without
//! that, the same body. A field that is missing counts as `null`; an event that has none of the fields
//! repeats nothing. The first event goes on; those like it are dropped until the `window:` that it
//! opened is over. The next one goes on and opens another.
//!
//! All lanes look into one memory of at most `entries_max:` events, of which the oldest are forgotten
//! first. It does not outlive the process. An event that is read again, because something failed, is
//! no repetition of itself.
//!
//! Dropped for the reason `duplicate`. Flagged: `unwritable`, where something else than an object is in
//! the way of `repeats_into`.
//!
//! ```yaml
//! dedupe: { fields: [host, message], window: 5m, repeats_into: repeats }
//! ```

use std::sync::Arc;

use dpipe_event::{Batch, EventRef, NewValue, Path, Selection, Timestamp};
use dpipe_plugin::settings::{Period, Problem};
use dpipe_plugin::{BuildContext, BuildError, Step, StepConfig, StepContext, StepSpec};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::bounded::Bounded;
use crate::keys::{Fields, Keys, Shards};
use crate::target::Target;

/// What makes events the same, and for how long.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The fields that are compared; the default is the whole body.
    fields: Option<Fields>,
    /// How long repetitions are dropped, from the first event on.
    #[serde(default = "default_window")]
    window: Period,
    /// How many events are remembered at most, at about 100 bytes each.
    #[serde(default = "default_entries_max")]
    entries_max: usize,
    /// The field that gets the number of repetitions that were dropped: on the event that goes on
    /// after them, if there were any.
    repeats_into: Option<Target>,
}

fn default_window() -> Period {
    Period::seconds(60)
}

fn default_entries_max() -> usize {
    100_000
}

impl StepConfig for Config {
    const NAME: &'static str = "dedupe";
}

impl StepSpec for Config {
    fn build(&self, context: &BuildContext<'_>) -> Result<Box<dyn Step>, BuildError> {
        let memory = context.own(|| Memory {
            seed: context.env.random(),
            seen: Shards::new(self.entries_max, Bounded::new),
        });
        Ok(Box::new(Dedupe {
            fields: self.fields.as_ref().map(|fields| fields.0.clone()),
            window_ms: i64::try_from(self.window.duration().as_millis()).unwrap_or(i64::MAX),
            repeats_into: self.repeats_into.clone(),
            keys: Keys::new(memory.seed),
            found: Vec::new(),
            memory,
        }))
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.window.duration().as_millis() == 0 {
            problems.push(Problem::error("`window` is shorter than a millisecond"));
        }
        if self.entries_max == 0 {
            problems.push(Problem::error("`entries_max` is 0"));
        }
        problems
    }
}

/// What all lanes have seen.
struct Memory {
    seed: u64,
    seen: Shards<Bounded<First>>,
}

/// The event that opened a window.
struct First {
    at: Timestamp,
    /// Which event it was, so that it is known if it is read again.
    identity: u64,
    repeats: u64,
}

struct Dedupe {
    fields: Option<Box<[Path]>>,
    window_ms: i64,
    repeats_into: Option<Target>,
    memory: Arc<Memory>,
    keys: Keys,
    /// The keys of a batch, and the events that have them.
    found: Vec<(u128, u32)>,
}

impl Step for Dedupe {
    fn run(&mut self, batch: &mut Batch, selection: &Selection, context: &mut StepContext) {
        let tenant = self.keys.of_text(batch.origin().tenant.as_bytes());
        self.found.clear();
        for (index, event) in batch.iter().enumerate().filter(|(at, _)| selection.contains(*at)) {
            let key = match &self.fields {
                None => Some(self.keys.of_body(&event)),
                Some(fields) => self.keys.of(&event, fields),
            };
            self.found.extend(key.map(|key| (key ^ tenant, index as u32)));
        }
        let now = context.now;
        let in_window = |first: &First| (now.millis() - first.at.millis()).abs() < self.window_ms;
        let counts = self.repeats_into.is_some();
        let mut repeats = Selection::none(batch.len());
        let mut repeated = Vec::new();
        self.memory.seen.each(&mut self.found, |seen, key, index| {
            let identity = identity(&batch.get(index as usize));
            match seen.get_mut(key) {
                Some(first) if in_window(first) => {
                    if first.identity != identity {
                        first.repeats += 1;
                        repeats.add(index as usize);
                    }
                    return;
                }
                Some(first) => {
                    if counts && first.repeats > 0 {
                        repeated.push((index, first.repeats));
                    }
                    *first = First { at: now, identity, repeats: 0 };
                    seen.renew(key);
                }
                None => seen.insert(key, First { at: now, identity, repeats: 0 }),
            }
            // For each window that opens, some that are over are forgotten; where repetitions are
            // counted, they wait for the event that says how many there were.
            for _ in 0..if counts { 0 } else { 2 } {
                if seen.oldest().is_some_and(|oldest| !in_window(oldest)) {
                    seen.remove_oldest();
                }
            }
        });
        let mut unwritable = 0;
        if let Some(target) = &self.repeats_into {
            for (index, count) in repeated {
                let count = NewValue::Integer(i64::try_from(count).unwrap_or(i64::MAX));
                unwritable += usize::from(!batch.edit(index as usize).set(target, count));
            }
        }
        context.flagged("unwritable", unwritable);
        context.filtered("duplicate", batch.discard(&repeats));
    }
}

/// A number that hardly any two events of the same content share.
fn identity(event: &EventRef<'_>) -> u64 {
    let mix = |number: u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    mix(mix(event.origin().stream.spread() ^ event.offset()) ^ event.ordinal())
}

#[cfg(test)]
mod tests {
    use dpipe_testkit::{StepCheck, batch, check_step, step_mistake};

    use super::Config;

    /// Runs the step on events that are read from further and further back in their stream.
    fn run_later(step: &mut StepCheck, skip: usize, events: &str) -> String {
        let padding = format!("{{\"pad\":\"{}\"}}\n", "x".repeat(skip));
        let found = step.run(&format!("{padding}{events}"));
        let lines: Vec<_> = found.lines().filter(|line| !line.starts_with("{\"pad")).collect();
        lines.join("\n")
    }

    #[test]
    fn the_first_of_equal_bodies_goes_on() {
        check_step::<Config>(
            "dedupe: {}",
            r#"
            {"a":1}
            {"a":2}
            {"a":1}
            text
            {"a":1}
            text
            "#,
            r#"
            {"a":1}
            {"a":2}
            {"message":"text"}
            filtered duplicate 3
            "#,
        );
    }

    #[test]
    fn fields_are_compared_where_some_are_named() {
        check_step::<Config>(
            "dedupe: { fields: [a.b, c] }",
            r#"
            {"n":1,"a":{"b":"x"},"c":1}
            {"n":2,"a":{"b":"x"},"c":1}
            {"n":3,"a":{"b":"x"}}
            {"n":4,"a":{"b":"x"},"c":null}
            {"n":5}
            {"n":6}
            "#,
            r#"
            {"n":1,"a":{"b":"x"},"c":1}
            {"n":3,"a":{"b":"x"}}
            {"n":5}
            {"n":6}
            filtered duplicate 2
            "#,
        );
    }

    #[test]
    fn only_selected_events_are_dropped_or_remembered() {
        check_step::<Config>(
            "dedupe: { fields: a, when: 'x:1' }",
            r#"
            {"a":1,"x":2}
            {"a":1,"x":1}
            {"a":1,"x":2}
            {"a":1,"x":1,"y":1}
            "#,
            r#"
            {"a":1,"x":2}
            {"a":1,"x":1}
            {"a":1,"x":2}
            filtered duplicate 1
            "#,
        );
    }

    #[test]
    fn a_window_ends_and_the_next_event_says_what_was_dropped() {
        let settings = "dedupe: { fields: a, window: 10s, repeats_into: seen.times }";
        let mut step = StepCheck::new::<Config>(settings, &[]);
        assert_eq!(run_later(&mut step, 1, r#"{"a":1}"#), r#"{"a":1}"#);
        step.set_now_millis(9_999);
        let events = "{\"a\":1}\n{\"a\":1}\n{\"a\":2}";
        assert_eq!(run_later(&mut step, 2, events), "{\"a\":2}\nfiltered duplicate 2");
        step.set_now_millis(10_000);
        let events = "{\"a\":1}\n{\"a\":1}";
        assert_eq!(
            run_later(&mut step, 3, events),
            "{\"a\":1,\"seen\":{\"times\":2}}\nfiltered duplicate 1"
        );
        step.set_now_millis(19_999);
        assert_eq!(run_later(&mut step, 4, r#"{"a":1}"#), "filtered duplicate 1");
        step.set_now_millis(20_000);
        let events = r#"{"a":1,"seen":0}"#;
        assert_eq!(run_later(&mut step, 5, events), format!("{events}\nflagged unwritable 1"));
        // The clock was set back by a day.
        step.set_now_millis(-86_400_000);
        assert_eq!(run_later(&mut step, 6, r#"{"a":1}"#), r#"{"a":1}"#);
    }

    #[test]
    fn lanes_share_their_memory_and_two_steps_do_not() {
        let mut one = StepCheck::new::<Config>("dedupe: { fields: a }", &[]);
        let mut other = one.another_lane();
        assert_eq!(run_later(&mut one, 1, r#"{"a":1}"#), r#"{"a":1}"#);
        assert_eq!(run_later(&mut other, 2, r#"{"a":1}"#), "filtered duplicate 1");
        let mut second = one.another_place(1);
        assert_eq!(run_later(&mut second, 3, r#"{"a":1}"#), r#"{"a":1}"#);
    }

    #[test]
    fn an_event_that_is_read_again_is_no_repetition_of_itself() {
        let mut step = StepCheck::new::<Config>("dedupe: { fields: a }", &[]);
        let events = "{\"a\":1}\n{\"a\":1}\n{\"a\":2}";
        let expected = "{\"a\":1}\n{\"a\":2}\nfiltered duplicate 1";
        assert_eq!(step.run(events), expected);
        // As after a panic of another step.
        step.rebuild();
        assert_eq!(step.run(events), expected);
    }

    #[test]
    fn the_oldest_are_forgotten_where_there_is_no_more_room() {
        let mut step = StepCheck::new::<Config>("dedupe: { fields: a, entries_max: 2 }", &[]);
        run_later(&mut step, 1, "{\"a\":1}\n{\"a\":2}\n{\"a\":3}");
        let events = "{\"a\":3}\n{\"a\":2}\n{\"a\":1}";
        assert_eq!(run_later(&mut step, 2, events), "{\"a\":1}\nfiltered duplicate 2");
    }

    #[test]
    fn many_events_are_told_apart_like_by_a_set() {
        let mut step = StepCheck::new::<Config>("dedupe: { fields: a, entries_max: 10000 }", &[]);
        let events: Vec<_> =
            (0..500).map(|n| format!("{{\"a\":{},\"n\":{n}}}", n * n % 97)).collect();
        let mut set = std::collections::HashSet::new();
        let expected: Vec<_> = (0..500).filter(|n| set.insert(n * n % 97)).collect();
        let mut batch = batch(&events.join("\n"));
        let context = step.run_batch(&mut batch);
        let path = dpipe_event::Path::parse("n").unwrap();
        let left: Vec<_> =
            batch.iter().map(|event| event.get(&path).unwrap().as_i64().unwrap()).collect();
        assert_eq!(left, expected);
        assert_eq!(context.filtered, [("duplicate", 500 - expected.len() as u64)]);
    }

    #[test]
    fn a_window_or_memory_of_nothing_is_a_mistake() {
        let mistake = step_mistake::<Config>;
        assert_eq!(
            mistake("dedupe: { window: 0s }"),
            "error: `window` is shorter than a millisecond"
        );
        assert_eq!(mistake("dedupe: { entries_max: 0 }"), "error: `entries_max` is 0");
        assert!(mistake("dedupe: { fields: [] }").ends_with("the list names no field"));
    }
}
