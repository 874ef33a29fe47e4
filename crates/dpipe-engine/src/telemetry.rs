//! What the engine tells inputs of itself.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use dpipe_plugin::{LogLine, LogRing, Reading, Telemetry};
use tokio::time::Instant;

use crate::books::{Line, Tally, count};
use crate::core::Core;
use crate::mended::NodeMended;

/// The keys by which lines of the log name a node.
const NODE_KEYS: [&str; 4] = ["node", "input", "filter", "output"];

/// What one input is told.
pub(crate) struct InputTelemetry {
    core: Arc<Core>,
    log: LogRing,
    started: Instant,
    /// The input, and every node that its events can come to.
    way: Vec<Arc<str>>,
}

impl InputTelemetry {
    pub(crate) fn new(core: Arc<Core>, input: usize, log: LogRing, started: Instant) -> Self {
        let plan = &core.plan;
        let (filters, outputs) = core.route.behind_input(input);
        let filters = filters.into_iter().map(|filter| plan.filters[filter].name.clone());
        let outputs = outputs.into_iter().map(|output| plan.outputs[output].name.clone());
        let way = [plan.inputs[input].name.clone()].into_iter().chain(filters).chain(outputs);
        let way = way.collect();
        InputTelemetry { core, log, started, way }
    }
}

impl Telemetry for InputTelemetry {
    fn readings(&self) -> Vec<Reading> {
        let core = &self.core;
        let mut readings = vec![engine(core, self.started)];
        readings.extend(core.ledger().lines.into_iter().map(node));
        let plans = core.plan.outputs.iter();
        readings.extend(plans.zip(&core.queues).map(|(plan, queue)| {
            let depth = queue.depth();
            Reading {
                kind: "queue",
                names: vec![("node", plan.name.clone())],
                gauges: vec![
                    ("queue_batches", depth.batches as u64),
                    ("queue_events", depth.events as u64),
                    ("queue_bytes", depth.bytes as u64),
                    ("queue_max_bytes", plan.buffer.memory.bytes()),
                    ("queue_in_hand_events", depth.in_hand_events as u64),
                    ("queue_oldest_millis", depth.oldest_millis),
                    ("queue_unanswered_millis", depth.unanswered_millis),
                    ("queue_failing_millis", depth.failing_millis),
                    ("queue_failed_attempts", u64::from(depth.attempts)),
                    ("queue_full", u64::from(queue.is_full())),
                ],
                ..Reading::default()
            }
        }));
        readings
    }

    fn log(&self) -> &LogRing {
        &self.log
    }

    fn is_of_own_way(&self, line: &LogLine) -> bool {
        let mut nodes = line.fields.iter().filter(|(key, _)| NODE_KEYS.contains(key));
        nodes.any(|(_, node)| self.way.iter().any(|own| **own == **node))
    }
}

fn engine(core: &Core, started: Instant) -> Reading {
    let mended = core.mending.read();
    let sum = |of: fn(&NodeMended) -> u64| mended.nodes.iter().map(of).sum();
    let mut panics = Tally::new();
    for (plugin, times) in mended.nodes.iter().flat_map(|node| &node.panics) {
        count(&mut panics, plugin, *times);
    }
    Reading {
        kind: "engine",
        counters: vec![
            ("restarts_count", sum(|node| node.restarts)),
            ("retries_count", sum(|node| node.retries)),
            ("panics_count", panics.iter().map(|(_, count)| count).sum()),
            ("lost_receipts_count", core.losses.load(Ordering::Relaxed)),
        ],
        gauges: vec![
            ("in_flight_bytes", core.bytes.used() as u64),
            ("in_flight_max_bytes", core.bytes.limit() as u64),
            ("uptime_seconds", started.elapsed().as_secs()),
        ],
        tallies: vec![("panics", panics)],
        ..Reading::default()
    }
}

fn node(line: Line) -> Reading {
    let sum = |tally: &[(&str, u64)]| tally.iter().map(|(_, count)| count).sum();
    Reading {
        kind: "node",
        names: vec![
            ("node", line.node),
            ("role", line.role.word().into()),
            ("tenant", line.tenant),
        ],
        counters: vec![
            ("in_events", line.taken),
            ("in_bytes", line.bytes),
            ("born_events", line.born),
            ("out_events", line.out),
            ("delivered_events", line.delivered),
            ("filtered_events", sum(&line.filtered)),
            ("dead_events", sum(&line.dead)),
            ("dropped_events", sum(&line.dropped)),
            ("flagged_events", sum(&line.flagged)),
        ],
        gauges: vec![("in_flight_events", line.in_flight)],
        tallies: vec![
            ("filtered", line.filtered),
            ("dead", line.dead),
            ("dropped", line.dropped),
            ("flagged", line.flagged),
            ("skipped", line.skipped),
        ],
    }
}
