//! How fast events flow: the books of now against those of some seconds ago.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use dpipe_engine::{Ledger, Role};
use serde::Serialize;

/// How often the books are looked at.
pub(crate) const SAMPLE_EVERY: Duration = Duration::from_secs(1);
/// How many looks are kept: rates are over the time between the first and the last of them.
const SAMPLES_MAX: usize = 6;

/// What has flowed through a node, or through a tenant's inputs and outputs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Flow {
    events_in: u64,
    events_out: u64,
    bytes: u64,
}

/// What flows in a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Rate {
    /// Events taken in or born.
    #[serde(rename = "in")]
    pub(crate) events_in: f64,
    /// Events published or delivered.
    #[serde(rename = "out")]
    pub(crate) events_out: f64,
    /// Raw bytes taken in.
    pub(crate) bytes: f64,
}

/// One look at the books.
#[derive(Default)]
struct Sample {
    at: Duration,
    total: Flow,
    nodes: BTreeMap<(Role, Arc<str>), Flow>,
    tenants: BTreeMap<Arc<str>, Flow>,
}

/// The last looks at the books.
#[derive(Default)]
pub(crate) struct Samples {
    samples: VecDeque<Sample>,
}

impl Samples {
    /// Notes the books as they are `at` this time since the start.
    pub(crate) fn note(&mut self, at: Duration, ledger: &Ledger) {
        if self.samples.len() == SAMPLES_MAX {
            self.samples.pop_front();
        }
        let mut sample = Sample { at, ..Sample::default() };
        for line in &ledger.lines {
            let flow = Flow {
                events_in: line.taken + line.born,
                events_out: line.out + line.delivered,
                bytes: line.bytes,
            };
            sample.nodes.entry((line.role, line.node.clone())).or_default().add(flow);
            // What comes in at the inputs, and what goes out at the outputs.
            let flow = match line.role {
                Role::Input => Flow { events_out: 0, ..flow },
                Role::Output => Flow { events_out: flow.events_out, ..Flow::default() },
                Role::Filter | Role::Unmatched => continue,
            };
            sample.total.add(flow);
            sample.tenants.entry(line.tenant.clone()).or_default().add(flow);
        }
        self.samples.push_back(sample);
    }

    /// How long the time is that rates are over.
    pub(crate) fn window(&self) -> Duration {
        self.ends().map_or(Duration::ZERO, |(first, last)| last.at.saturating_sub(first.at))
    }

    /// The rate of a node.
    pub(crate) fn node(&self, role: Role, node: &Arc<str>) -> Rate {
        let key = (role, node.clone());
        self.rate(|sample| sample.nodes.get(&key).copied())
    }

    /// The rate of a tenant.
    pub(crate) fn tenant(&self, tenant: &str) -> Rate {
        self.rate(|sample| sample.tenants.get(tenant).copied())
    }

    /// The rate of everything.
    pub(crate) fn total(&self) -> Rate {
        self.rate(|sample| Some(sample.total))
    }

    fn ends(&self) -> Option<(&Sample, &Sample)> {
        self.samples.front().zip(self.samples.back())
    }

    fn rate(&self, of: impl Fn(&Sample) -> Option<Flow>) -> Rate {
        let seconds = self.window().as_secs_f64();
        let Some((first, last)) = self.ends().filter(|_| seconds > 0.0) else {
            return Rate::default();
        };
        let (first, last) = (of(first).unwrap_or_default(), of(last).unwrap_or_default());
        // Two decimals: more would say more than a window of seconds knows.
        let per_second =
            |a: u64, b: u64| (b.saturating_sub(a) as f64 / seconds * 100.0).round() / 100.0;
        Rate {
            events_in: per_second(first.events_in, last.events_in),
            events_out: per_second(first.events_out, last.events_out),
            bytes: per_second(first.bytes, last.bytes),
        }
    }
}

impl Flow {
    fn add(&mut self, other: Flow) {
        self.events_in += other.events_in;
        self.events_out += other.events_out;
        self.bytes += other.bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::line;

    fn ledger(events: u64) -> Ledger {
        let mut input = line("in", Role::Input, "t");
        (input.taken, input.out, input.bytes) = (events, events, events * 10);
        let mut filter = line("f", Role::Filter, "t");
        (filter.taken, filter.out) = (events, events / 2);
        let mut output = line("o", Role::Output, "t");
        (output.taken, output.delivered) = (events / 2, events / 2);
        Ledger { lines: vec![input, filter, output], faults: Vec::new() }
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn one_look_tells_no_rate() {
        let mut samples = Samples::default();
        assert_eq!((samples.window(), samples.total()), (Duration::ZERO, Rate::default()));
        samples.note(at(1), &ledger(100));
        assert_eq!((samples.window(), samples.total()), (Duration::ZERO, Rate::default()));
    }

    #[test]
    fn a_rate_is_what_flowed_between_the_first_look_and_the_last() {
        let mut samples = Samples::default();
        samples.note(at(10), &ledger(100));
        samples.note(at(12), &ledger(300));
        samples.note(at(14), &ledger(500));
        assert_eq!(samples.window(), at(4));
        let whole = Rate { events_in: 100.0, events_out: 50.0, bytes: 1000.0 };
        assert_eq!(samples.total(), whole);
        assert_eq!(samples.tenant("t"), whole);
        assert_eq!(samples.tenant("u"), Rate::default());
        let filter = samples.node(Role::Filter, &"f".into());
        assert_eq!(filter, Rate { events_in: 100.0, events_out: 50.0, bytes: 0.0 });
    }

    #[test]
    fn what_lies_before_the_window_does_not_count() {
        let mut samples = Samples::default();
        samples.note(at(0), &ledger(0));
        for second in 1..=6 {
            samples.note(at(second), &ledger(1_000_000));
        }
        assert_eq!((samples.window(), samples.total()), (at(5), Rate::default()));
    }
}
