//! A running dpipe for tests: one input, one filter, one output, two tenants.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dpipe_config::graph::{Graph, GraphEdge, GraphKind, GraphNode, UnmatchedTag};
use dpipe_engine::{
    DeadPool, FilterPool, LanePool, Ledger, Line, Mended, NodeMended, Noted, OutputPool, Pools,
    Role, TenantPool,
};

use crate::{About, Outline, PluginNames, Running};

pub(crate) const TOKEN: &str = "0123456789abcdef";

/// A running dpipe whose figures stand still.
pub(crate) struct Fake {
    pub(crate) ledger: Ledger,
    pub(crate) pools: Pools,
    pub(crate) stopping: AtomicBool,
}

impl Default for Fake {
    fn default() -> Self {
        Fake { ledger: ledger(), pools: pools(), stopping: AtomicBool::new(false) }
    }
}

impl Running for Arc<Fake> {
    fn uptime(&self) -> Duration {
        Duration::from_secs(100)
    }
    fn ledger(&self) -> Ledger {
        self.ledger.clone()
    }
    fn pools(&self) -> Pools {
        self.pools.clone()
    }
    fn mended(&self) -> Mended {
        mended()
    }
    fn outline(&self) -> Outline {
        Outline {
            config: "a.yaml".into(),
            data_dir: "data".into(),
            lanes: 2,
            bytes_in_flight_max: 1000,
            line_bytes_max: 100,
            dead_bytes_max: 1000,
            tenants_max: 10,
            nodes: Vec::new(),
            tags: Vec::new(),
            tenants: Vec::new(),
        }
    }
    fn graph(&self) -> Graph {
        graph()
    }
    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }
    fn shutdown(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }
}

pub(crate) fn about() -> About {
    let plugins = PluginNames { inputs: vec!["file", "stdin"], ..PluginNames::default() };
    About { version: "1.2.3", plugins }
}

pub(crate) fn graph() -> Graph {
    let node = |name: &str, kind, plugin: &str| GraphNode {
        name: name.into(),
        kind,
        plugin: plugin.into(),
        detail: Vec::new(),
        tenant: None,
    };
    Graph {
        nodes: vec![
            node("logs", GraphKind::Input, "file"),
            node("thin", GraphKind::Filter, ""),
            node("copy", GraphKind::Output, "file"),
        ],
        edges: vec![
            GraphEdge { from: 0, to: 1, tag: "logs".into() },
            GraphEdge { from: 1, to: 2, tag: "thin.some".into() },
        ],
        unmatched: vec![UnmatchedTag { from: 1, tag: "thin.other".into() }],
    }
}

pub(crate) fn line(node: &str, role: Role, tenant: &str) -> Line {
    Line {
        node: node.into(),
        role,
        tenant: tenant.into(),
        taken: 0,
        born: 0,
        out: 0,
        delivered: 0,
        filtered: Vec::new(),
        dead: Vec::new(),
        dropped: Vec::new(),
        flagged: Vec::new(),
        skipped: Vec::new(),
        in_flight: 0,
        bytes: 0,
        missing: 0,
    }
}

pub(crate) fn ledger() -> Ledger {
    let blue = [
        Line {
            taken: 20,
            out: 18,
            dead: vec![("not_json", 2)],
            skipped: vec![("damaged_file", 4)],
            bytes: 2000,
            ..line("logs", Role::Input, "blue")
        },
        Line { taken: 18, out: 18, bytes: 1800, ..line("thin", Role::Filter, "blue") },
        Line {
            taken: 18,
            delivered: 12,
            in_flight: 6,
            bytes: 1800,
            ..line("copy", Role::Output, "blue")
        },
    ];
    let red = [
        Line { taken: 10, out: 10, bytes: 1000, ..line("logs", Role::Input, "red") },
        Line {
            taken: 10,
            out: 5,
            filtered: vec![("drop", 5)],
            flagged: vec![("unknown_currency", 1)],
            bytes: 1000,
            ..line("thin", Role::Filter, "red")
        },
        Line { taken: 5, delivered: 5, bytes: 500, ..line("copy", Role::Output, "red") },
    ];
    Ledger { lines: blue.into_iter().chain(red).collect(), faults: Vec::new() }
}

pub(crate) fn pools() -> Pools {
    Pools {
        bytes_in_flight: 600,
        bytes_in_flight_max: 1000,
        tenants: vec![TenantPool {
            tenant: "blue".into(),
            bytes_in_flight: 600,
            bytes_in_flight_max: 500,
        }],
        lanes: vec![LanePool { lane: 0, chunks: 1, bytes: 50, oldest_millis: 20 }],
        filters: vec![FilterPool {
            filter: "thin".into(),
            tenant: "red".into(),
            batches: 1,
            events: 4,
            oldest_millis: 3000,
            failing_millis: 2000,
            attempts: 5,
            last_error: "index out of bounds".into(),
        }],
        outputs: vec![OutputPool {
            output: "copy".into(),
            batches: 2,
            events: 6,
            bytes: 600,
            in_hand_batches: 1,
            in_hand_events: 2,
            in_hand_bytes: 200,
            oldest_millis: 1500,
            unanswered_millis: 250,
            failing_millis: 1250,
            attempts: 4,
            last_error: Some("connection refused".into()),
            full: false,
        }],
        dead_letters: DeadPool { letters: 3, oldest_millis: 500, last_error: None },
    }
}

pub(crate) fn mended() -> Mended {
    let node = |node: &str, role, panics: &[(&'static str, u64)]| NodeMended {
        node: node.into(),
        role,
        panics: panics.to_vec(),
        restarts: 0,
        retries: 0,
    };
    Mended {
        nodes: vec![
            node("logs", Role::Input, &[("input", 0), ("decoder", 0)]),
            NodeMended { restarts: 2, ..node("thin", Role::Filter, &[("step", 1)]) },
            NodeMended { retries: 3, ..node("copy", Role::Output, &[("output", 0)]) },
        ],
        noted: vec![Noted { node: "logs".into(), what: "run_failed", count: 5 }],
    }
}
