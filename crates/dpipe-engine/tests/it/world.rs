//! A data directory, a configuration, and an engine that runs it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dpipe_config::load::{Format, parse};
use dpipe_config::plan::Plan;
use dpipe_engine::{Engine, Ledger, Report, Role, RunOptions};
use dpipe_env::RealEnv;
use dpipe_plugin::settings::SourceFile;

use crate::plugins::{COLLECTED, REGISTRY};

pub(crate) struct World {
    dir: tempfile::TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        World { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn plan(&self, config: &str) -> Plan {
        let file = SourceFile::new("test.yaml", config);
        let root = parse(&file, Format::Yaml).unwrap_or_else(|p| panic!("{}", p.render()));
        let path = self.dir.path().join("test.yaml");
        let checked = Plan::check(&root, &REGISTRY, path);
        checked.unwrap_or_else(|p| panic!("{}", p.render())).0
    }

    pub(crate) fn start(&self, config: &str, options: RunOptions) -> Engine {
        Engine::start(self.plan(config), Arc::new(RealEnv), options).unwrap()
    }

    /// Runs until all inputs are exhausted.
    pub(crate) async fn batch(&self, config: &str) -> Report {
        let options = RunOptions { batch: true, grace: Duration::from_secs(5) };
        self.start(config, options).run().await
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn dead(&self, tenant: &str) -> Vec<serde_json::Value> {
        let path = self.dir.path().join(format!("dpipe-data/dead/{tenant}.jsonl"));
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Waits until it is so; where the clock is paused, it goes on meanwhile.
pub(crate) async fn until(mut is_so: impl FnMut() -> bool) {
    let patience = Instant::now();
    while !is_so() {
        assert!(patience.elapsed() < Duration::from_secs(600), "it does not come to pass");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What was collected under a name, sorted.
pub(crate) fn collected(into: &str) -> Vec<i64> {
    let mut numbers = COLLECTED.lock().get(into).cloned().unwrap_or_default();
    numbers.sort_unstable();
    numbers
}

/// A term of a node's book, over all tenants.
pub(crate) fn term(
    report: &Report,
    node: &str,
    role: Role,
    term: impl Fn(&dpipe_engine::Line) -> u64,
) -> u64 {
    term_of(&report.ledger, node, role, term)
}

/// The same of a ledger.
pub(crate) fn term_of(
    ledger: &Ledger,
    node: &str,
    role: Role,
    term: impl Fn(&dpipe_engine::Line) -> u64,
) -> u64 {
    let lines = ledger.lines.iter();
    lines.filter(|line| *line.node == *node && line.role == role).map(term).sum()
}

/// How many events are in a tally.
pub(crate) fn sum(tally: &dpipe_engine::Tally) -> u64 {
    tally.iter().map(|(_, events)| events).sum()
}

pub(crate) fn assert_balanced(report: &Report) {
    assert!(report.ledger.balances(), "{:#?}", report.ledger);
}
