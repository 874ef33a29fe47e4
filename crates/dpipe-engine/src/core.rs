//! What every part of a running engine shares.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use dpipe_config::plan::Plan;
use dpipe_env::Env;
use dpipe_plugin::{BuildContext, Shared, ShutdownHandle};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::books::{Ledger, Line, Role, Tally, count};
use crate::dead::DeadOffice;
use crate::handle::Noted;
use crate::queue::Queue;
use crate::route::{Numbers, Route};
use crate::tenant::{Budget, Tenants};

/// What every part of a running engine shares.
pub(crate) struct Core {
    pub(crate) plan: Plan,
    pub(crate) env: Arc<dyn Env>,
    pub(crate) host: Arc<str>,
    /// What dead letters of a codec name as their stage.
    pub(crate) decode_stage: Arc<str>,
    pub(crate) route: Route,
    pub(crate) numbers: Numbers,
    pub(crate) tenants: Tenants,
    pub(crate) bytes: Budget,
    pub(crate) queues: Vec<Queue>,
    /// The number of the encoder of each output that has one, and how many distinct ones there are.
    pub(crate) encoders: Vec<Option<usize>>,
    pub(crate) encoder_count: usize,
    pub(crate) dead: DeadOffice,
    /// Told whenever an input that waits may go on.
    pub(crate) freed: Arc<Notify>,
    /// Receipts that somebody dropped without settling them.
    pub(crate) losses: Arc<AtomicU64>,
    pub(crate) shared: Shared,
    pub(crate) health: Health,
    /// Ends the run.
    pub(crate) stop: ShutdownHandle,
    /// Whether the run ends because nobody reads an output any more: there is nothing to wait for.
    pub(crate) closed: AtomicBool,
}

/// What went wrong and was mended, counted.
#[derive(Default)]
pub(crate) struct Health {
    pub(crate) panics: Mutex<Tally>,
    pub(crate) restarts: AtomicU64,
    pub(crate) retries: AtomicU64,
    pub(crate) noted: Mutex<Vec<Noted>>,
}

impl Health {
    pub(crate) fn note(&self, node: &Arc<str>, what: &'static str, how_many: u64) {
        let mut all = self.noted.lock();
        match all.iter_mut().find(|noted| noted.what == what && noted.node == *node) {
            Some(noted) => noted.count += how_many,
            None => all.push(Noted { node: node.clone(), what, count: how_many }),
        }
    }
}

impl Core {
    /// What a node's plugin may use to be built.
    pub(crate) fn build_context<'a>(&'a self, node: &'a str) -> BuildContext<'a> {
        BuildContext {
            env: &self.env,
            node,
            step: 0,
            data_dir: &self.plan.data_dir,
            config_dir: &self.plan.config_dir,
            shared: &self.shared,
            decoder: None,
        }
    }

    /// Counts a panic of a plugin of this role, and says so.
    pub(crate) fn panicked(&self, role: &'static str, node: &str, what: &str) {
        count(&mut self.health.panics.lock(), role, 1);
        tracing::error!(node, role, panic = what, "a plugin panicked");
    }

    pub(crate) fn restarted(&self) {
        self.health.restarts.fetch_add(1, Ordering::Relaxed);
    }

    /// Reads every book, and checks what can be checked between them: that a node took in what its
    /// tags published, and that no receipt was lost. The former holds between chunks only, so a tenant
    /// is left out if a chunk of it was on a lane meanwhile.
    pub(crate) fn ledger(&self) -> Ledger {
        let mut lines = Vec::new();
        let mut faults = Vec::new();
        for tenant in self.tenants.all() {
            let ended = tenant.turns.ended();
            let read = |node: usize| tenant.book(node).read();
            let mut add = |name: &Arc<str>, role, node| {
                let terms = read(node);
                if !terms.is_blank() {
                    lines.push(Line::read(name, role, &tenant.name, terms));
                }
            };
            for (i, input) in self.plan.inputs.iter().enumerate() {
                add(&input.name, Role::Input, i);
            }
            for (i, filter) in self.plan.filters.iter().enumerate() {
                add(&filter.name, Role::Filter, self.numbers.filter(i));
            }
            for (i, output) in self.plan.outputs.iter().enumerate() {
                add(&output.name, Role::Output, self.numbers.output(i));
            }
            for (i, tag) in self.plan.tags.iter().enumerate() {
                add(&tag.name, Role::Unmatched, self.numbers.unmatched(i));
            }
            let mut between = Vec::new();
            self.check_between(&tenant, &mut between);
            if tenant.turns.none_since(ended) {
                faults.append(&mut between);
            }
        }
        for line in lines.iter().filter(|line| line.missing != 0) {
            faults.push(format!(
                "{:?} `{}` of tenant `{}`: {} events are missing from its book",
                line.role, line.node, line.tenant, line.missing
            ));
        }
        let losses = self.losses.load(Ordering::Relaxed);
        if losses > 0 {
            faults.push(format!(
                "{losses} receipts were lost: batches vanished without being delivered, refused or \
                 dropped; their bytes are read again at the next start"
            ));
        }
        Ledger { lines, faults }
    }

    /// What each tag published must be what each of its consumers took.
    fn check_between(&self, tenant: &crate::tenant::Tenant, faults: &mut Vec<String>) {
        let published = |tag: usize| {
            let (node, port) = match self.plan.tags[tag].producer {
                dpipe_config::plan::Producer::Input(input) => (input, 0),
                dpipe_config::plan::Producer::Filter(f, port) => (self.numbers.filter(f), port),
            };
            tenant.book(node).read().out.get(port).copied().unwrap_or(0)
        };
        let all: Vec<u64> = (0..self.plan.tags.len()).map(published).collect();
        let mut check = |name: &str, node: usize, wanted: u64| {
            let taken = tenant.book(node).read().taken;
            if taken != wanted {
                faults.push(format!(
                    "`{name}` of tenant `{}`: took {taken} events of the {wanted} that its tags \
                     published",
                    tenant.name
                ));
            }
        };
        for (i, filter) in self.plan.filters.iter().enumerate() {
            let from = self.route.tags.iter().zip(&all).filter(|(tag, _)| tag.filters.contains(&i));
            check(&filter.name, self.numbers.filter(i), from.map(|(_, n)| n).sum());
        }
        for (i, output) in self.plan.outputs.iter().enumerate() {
            let from = self.route.tags.iter().zip(&all).filter(|(tag, _)| tag.outputs.contains(&i));
            check(&output.name, self.numbers.output(i), from.map(|(_, n)| n).sum());
        }
        for (i, tag) in self.route.tags.iter().enumerate() {
            if tag.filters.is_empty() && tag.outputs.is_empty() {
                check(&tag.name, self.numbers.unmatched(i), all[i]);
            }
        }
    }
}
