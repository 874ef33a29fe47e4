//! `/admin/stat`: the figures of the moment.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dpipe_engine::{Ledger, Line, Mended, OutputPool, Role, Tally};
use serde::Serialize;

use crate::process::Process;
use crate::rates::{Rate, Samples};

/// The figures of the moment.
#[derive(Serialize)]
pub(crate) struct Stat {
    pub(crate) version: &'static str,
    pub(crate) pid: u32,
    pub(crate) uptime_seconds: f64,
    pub(crate) process: Process,
    /// How long the time is that `per_second` is over.
    pub(crate) rate_window_seconds: f64,
    pub(crate) total: Whole,
    pub(crate) nodes: Vec<NodeStat>,
    pub(crate) tenants: Vec<TenantStat>,
    /// What each output has not delivered, since when, and why.
    pub(crate) outputs: Vec<OutputPool>,
    pub(crate) mended: Mended,
}

/// A node, all tenants together.
#[derive(Serialize)]
pub(crate) struct NodeStat {
    node: Arc<str>,
    role: Role,
    #[serde(flatten)]
    sums: NodeSums,
    per_second: Rate,
}

/// A tenant, all nodes together.
#[derive(Serialize)]
pub(crate) struct TenantStat {
    tenant: Arc<str>,
    #[serde(flatten)]
    whole: Whole,
}

/// What came in, and what became of it.
#[derive(Serialize)]
pub(crate) struct Whole {
    #[serde(flatten)]
    sums: Sums,
    per_second: Rate,
}

#[derive(Default, Serialize)]
struct NodeSums {
    #[serde(rename = "in")]
    taken: u64,
    born: u64,
    out: u64,
    delivered: u64,
    filtered: u64,
    dead: u64,
    dropped: u64,
    skipped: u64,
    in_flight: u64,
    bytes: u64,
}

/// `in` and `bytes` are those of inputs and `delivered` those of outputs; the rest is summed over all
/// nodes.
#[derive(Default, Serialize)]
struct Sums {
    #[serde(rename = "in")]
    taken: u64,
    delivered: u64,
    filtered: u64,
    dead: u64,
    dropped: u64,
    skipped: u64,
    in_flight: u64,
    bytes: u64,
}

impl Stat {
    pub(crate) fn new(
        version: &'static str,
        uptime: Duration,
        ledger: &Ledger,
        outputs: Vec<OutputPool>,
        mended: Mended,
        samples: &Samples,
    ) -> Stat {
        let mut nodes: BTreeMap<(Role, Arc<str>), NodeSums> = BTreeMap::new();
        let mut tenants: BTreeMap<Arc<str>, Sums> = BTreeMap::new();
        let mut total = Sums::default();
        for line in &ledger.lines {
            nodes.entry((line.role, line.node.clone())).or_default().add(line);
            tenants.entry(line.tenant.clone()).or_default().add(line);
            total.add(line);
        }
        let nodes = nodes.into_iter().map(|((role, node), sums)| NodeStat {
            per_second: samples.node(role, &node),
            node,
            role,
            sums,
        });
        let tenants = tenants.into_iter().map(|(tenant, sums)| TenantStat {
            whole: Whole { sums, per_second: samples.tenant(&tenant) },
            tenant,
        });
        Stat {
            version,
            pid: std::process::id(),
            uptime_seconds: uptime.as_secs_f64(),
            process: Process::read(),
            rate_window_seconds: samples.window().as_secs_f64(),
            total: Whole { sums: total, per_second: samples.total() },
            nodes: nodes.collect(),
            tenants: tenants.collect(),
            outputs,
            mended,
        }
    }
}

impl NodeSums {
    fn add(&mut self, line: &Line) {
        self.taken += line.taken;
        self.born += line.born;
        self.out += line.out;
        self.delivered += line.delivered;
        self.filtered += sum(&line.filtered);
        self.dead += sum(&line.dead);
        self.dropped += sum(&line.dropped);
        self.skipped += sum(&line.skipped);
        self.in_flight += line.in_flight;
        self.bytes += line.bytes;
    }
}

impl Sums {
    fn add(&mut self, line: &Line) {
        if line.role == Role::Input {
            self.taken += line.taken + line.born;
            self.bytes += line.bytes;
        }
        self.delivered += line.delivered;
        self.filtered += sum(&line.filtered);
        self.dead += sum(&line.dead);
        self.dropped += sum(&line.dropped);
        self.skipped += sum(&line.skipped);
        self.in_flight += line.in_flight;
    }
}

fn sum(tally: &Tally) -> u64 {
    tally.iter().map(|(_, events)| events).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake;
    use serde_json::json;

    #[test]
    fn sums_are_per_node_over_tenants_and_per_tenant_over_nodes() {
        let mut samples = Samples::default();
        samples.note(Duration::ZERO, &Ledger { lines: Vec::new(), faults: Vec::new() });
        samples.note(Duration::from_secs(2), &fake::ledger());
        let stat = Stat::new(
            "1.2.3",
            Duration::from_millis(2500),
            &fake::ledger(),
            fake::pools().outputs,
            fake::mended(),
            &samples,
        );
        let stat = serde_json::to_value(stat).unwrap();
        assert_eq!(stat["version"], "1.2.3");
        assert_eq!(stat["uptime_seconds"].as_f64(), Some(2.5));
        assert_eq!(stat["rate_window_seconds"].as_f64(), Some(2.0));
        assert_eq!(stat["mended"]["nodes"][1]["node"], "thin");
        assert_eq!(stat["mended"]["nodes"][1]["panics"], json!({ "step": 1 }));
        assert_eq!(stat["outputs"][0]["attempts"], 4);
        assert_eq!(stat["outputs"][0]["last_error"], "connection refused");
        let text = |value: &serde_json::Value| value.to_string();
        assert_eq!(
            text(&stat["nodes"][0]),
            r#"{"node":"logs","role":"input","in":30,"born":0,"out":28,"delivered":0,"filtered":0,"dead":2,"dropped":0,"skipped":4,"in_flight":0,"bytes":3000,"per_second":{"in":15.0,"out":14.0,"bytes":1500.0}}"#
        );
        assert_eq!(
            text(&stat["tenants"][0]),
            r#"{"tenant":"blue","in":20,"delivered":12,"filtered":0,"dead":2,"dropped":0,"skipped":4,"in_flight":6,"bytes":2000,"per_second":{"in":10.0,"out":6.0,"bytes":1000.0}}"#
        );
        assert_eq!(
            text(&stat["total"]),
            r#"{"in":30,"delivered":17,"filtered":5,"dead":2,"dropped":0,"skipped":4,"in_flight":6,"bytes":3000,"per_second":{"in":15.0,"out":8.5,"bytes":1500.0}}"#
        );
    }
}
