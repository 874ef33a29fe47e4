//! What went wrong with plugins and was mended, counted by node.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dpipe_config::plan::Plan;
use parking_lot::Mutex;
use serde::Serialize;

use crate::books::{Role, Tally, by_reason, count};

/// What went wrong and was mended, since the start.
#[derive(Clone, Debug, Serialize)]
pub struct Mended {
    /// Each configured node.
    pub nodes: Vec<NodeMended>,
    /// What else happened to inputs.
    pub noted: Vec<Noted>,
}

/// How often something happened to a node.
#[derive(Clone, Debug, Serialize)]
pub struct Noted {
    /// The node.
    pub node: Arc<str>,
    /// What happened.
    pub what: &'static str,
    /// How often.
    pub count: u64,
}

/// What went wrong with a node and was mended.
#[derive(Clone, Debug, Serialize)]
pub struct NodeMended {
    /// The node.
    pub node: Arc<str>,
    /// What the node is.
    pub role: Role,
    /// Panics caught, by the plugin: `input`, `decoder`, `step`, `encoder`, `output`.
    #[serde(serialize_with = "by_reason")]
    pub panics: Tally,
    /// How often its plugins were built anew.
    pub restarts: u64,
    /// Parcels brought to an output once more.
    pub retries: u64,
}

/// The counters behind it, by the numbers of the nodes.
pub(crate) struct Mending {
    nodes: Box<[NodeMending]>,
}

struct NodeMending {
    node: Arc<str>,
    role: Role,
    panics: Mutex<Tally>,
    restarts: AtomicU64,
    retries: AtomicU64,
    noted: Mutex<Tally>,
}

impl Mending {
    /// Inputs first, then filters and outputs: see [`crate::route::Numbers`].
    pub(crate) fn of(plan: &Plan) -> Self {
        let new = |node: &Arc<str>, role, plugins: &[&'static str]| NodeMending {
            node: node.clone(),
            role,
            panics: Mutex::new(plugins.iter().map(|plugin| (*plugin, 0)).collect()),
            restarts: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            noted: Mutex::default(),
        };
        let inputs = plan.inputs.iter().map(|i| new(&i.name, Role::Input, &["input", "decoder"]));
        let filters = plan.filters.iter().map(|f| new(&f.name, Role::Filter, &["step"]));
        let outputs = plan.outputs.iter().map(|output| match output.encoder {
            Some(_) => new(&output.name, Role::Output, &["output", "encoder"]),
            None => new(&output.name, Role::Output, &["output"]),
        });
        Mending { nodes: inputs.chain(filters).chain(outputs).collect() }
    }

    /// Counts a panic of a plugin of this node, and says so: the first time, and then ever less
    /// often.
    pub(crate) fn panicked(&self, node: usize, plugin: &'static str, panic: &str) {
        let node = &self.nodes[node];
        let times = {
            let mut panics = node.panics.lock();
            count(&mut panics, plugin, 1);
            panics.iter().find(|(known, _)| *known == plugin).map_or(1, |(_, times)| *times)
        };
        if times.is_power_of_two() {
            tracing::error!(node = &*node.node, plugin, panic, times, "a plugin panicked");
        }
    }

    pub(crate) fn restarted(&self, node: usize) {
        self.nodes[node].restarts.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn retried(&self, node: usize) {
        self.nodes[node].retries.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts what else happened to a node.
    pub(crate) fn note(&self, node: usize, what: &'static str, how_many: u64) {
        count(&mut self.nodes[node].noted.lock(), what, how_many);
    }

    pub(crate) fn read(&self) -> Mended {
        let read = |node: &NodeMending| NodeMended {
            node: node.node.clone(),
            role: node.role,
            panics: node.panics.lock().clone(),
            restarts: node.restarts.load(Ordering::Relaxed),
            retries: node.retries.load(Ordering::Relaxed),
        };
        let noted = self.nodes.iter().flat_map(|node| {
            let noted = node.noted.lock().clone().into_iter();
            noted.map(|(what, count)| Noted { node: node.node.clone(), what, count })
        });
        Mended { nodes: self.nodes.iter().map(read).collect(), noted: noted.collect() }
    }
}
