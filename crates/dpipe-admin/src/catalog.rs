//! Which metrics there are: those that `/metrics` writes of a run in which everything happened.

use std::time::Duration;

use dpipe_config::graph::Graph;
use dpipe_engine::{
    DeadPool, FilterPool, LanePool, Ledger, Line, Mended, NodeMended, Noted, OutputPool, Pools,
    Role, TenantPool,
};

use crate::exposition::Format;
use crate::{Outline, Running, metrics};

/// A metric.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metric {
    /// Its name, as Prometheus knows it.
    pub name: String,
    /// `counter` or `gauge`.
    pub kind: String,
    /// What it counts.
    pub help: String,
    /// The labels of its samples.
    pub labels: Vec<String>,
}

/// Every metric, in the order in which they are written.
#[must_use]
pub fn catalog() -> Vec<Metric> {
    let text = metrics::write(Format::Prometheus, "", &Eventful);
    let mut metrics: Vec<Metric> = Vec::new();
    for line in text.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|l| l.split_once(' ')) {
            let (name, help) = (name.to_owned(), help.to_owned());
            metrics.push(Metric { name, help, ..Metric::default() });
        } else if let Some(metric) = metrics.last_mut() {
            if let Some(kind) = line.strip_prefix("# TYPE ").and_then(|l| l.split(' ').nth(1)) {
                kind.clone_into(&mut metric.kind);
            } else if let Some((_, labels)) = line.split_once('{')
                && metric.labels.is_empty()
            {
                let labels = labels.split(',').filter_map(|label| label.split_once('='));
                metric.labels = labels.map(|(name, _)| name.to_owned()).collect();
            }
        }
    }
    metrics
}

/// A run in which everything happened.
struct Eventful;

impl Running for Eventful {
    fn uptime(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn ledger(&self) -> Ledger {
        let line = |role| Line {
            node: "node".into(),
            role,
            tenant: "tenant".into(),
            taken: 1,
            born: 1,
            out: 1,
            delivered: 1,
            filtered: vec![("reason", 1)],
            dead: vec![("reason", 1)],
            dropped: vec![("reason", 1)],
            flagged: vec![("what", 1)],
            skipped: vec![("reason", 1)],
            in_flight: 1,
            bytes: 1,
            missing: 0,
        };
        let lines = [Role::Input, Role::Filter, Role::Output, Role::Unmatched].map(line);
        Ledger { lines: lines.into(), faults: Vec::new() }
    }

    fn pools(&self) -> Pools {
        let tenant =
            TenantPool { tenant: "tenant".into(), bytes_in_flight: 1, bytes_in_flight_max: 1 };
        let output = OutputPool {
            output: "node".into(),
            batches: 1,
            events: 1,
            bytes: 1,
            in_hand_batches: 1,
            in_hand_events: 1,
            in_hand_bytes: 1,
            oldest_millis: 1,
            unanswered_millis: 1,
            failing_millis: 1,
            attempts: 1,
            last_error: Some("reason".into()),
            full: false,
        };
        let filter = FilterPool {
            filter: "node".into(),
            tenant: "tenant".into(),
            batches: 1,
            events: 1,
            oldest_millis: 1,
            failing_millis: 1,
            attempts: 1,
            last_error: "reason".into(),
        };
        Pools {
            bytes_in_flight: 1,
            bytes_in_flight_max: 1,
            tenants: vec![tenant],
            lanes: vec![LanePool { lane: 0, chunks: 1, bytes: 1, oldest_millis: 1 }],
            filters: vec![filter],
            outputs: vec![output],
            dead_letters: DeadPool { letters: 1, oldest_millis: 1, last_error: None },
        }
    }

    fn mended(&self) -> Mended {
        let node = NodeMended {
            node: "node".into(),
            role: Role::Filter,
            panics: vec![("step", 1)],
            restarts: 1,
            retries: 1,
        };
        let noted = Noted { node: "node".into(), what: "what", count: 1 };
        Mended { nodes: vec![node], noted: vec![noted] }
    }

    fn is_stopping(&self) -> bool {
        false
    }

    fn outline(&self) -> Outline {
        Outline {
            config: "".into(),
            data_dir: "".into(),
            lanes: 0,
            tenants_max: 0,
            bytes_in_flight_max: 0,
            line_bytes_max: 0,
            dead_bytes_max: 0,
            nodes: Vec::new(),
            tags: Vec::new(),
            tenants: Vec::new(),
        }
    }

    fn graph(&self) -> Graph {
        Graph::default()
    }

    fn shutdown(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_metric_is_listed_once_with_its_labels() {
        let catalog = catalog();
        let find = |name: &str| catalog.iter().find(|metric| metric.name == name).unwrap();
        let dead = find("dpipe_dead_events_total");
        assert_eq!(dead.kind, "counter");
        assert_eq!(dead.labels, ["tenant", "node", "role", "reason"]);
        assert!(find("dpipe_uptime_seconds").labels.is_empty());
        let mut names: Vec<_> = catalog.iter().map(|metric| &metric.name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), catalog.len());
    }
}
