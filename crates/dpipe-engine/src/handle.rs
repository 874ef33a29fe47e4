//! What others may ask of a running engine: the admin API, the command line, tests.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dpipe_config::plan::Plan;
use serde::Serialize;
use tokio::time::Instant;

use crate::books::{Ledger, Tally, by_reason};
use crate::core::Core;

/// A hand on a running engine. Cheap to clone; the engine does not wait for it.
#[derive(Clone)]
pub struct Handle {
    core: Arc<Core>,
    started: Instant,
}

/// The room that events take, and who holds it.
#[derive(Clone, Debug, Serialize)]
pub struct Pools {
    /// Raw bytes in flight.
    pub bytes_in_flight: usize,
    /// The most there may be.
    pub bytes_in_flight_max: usize,
    /// The same by tenant.
    pub tenants: Vec<TenantPool>,
    /// What waits in front of each output.
    pub outputs: Vec<OutputPool>,
}

/// A tenant's part of the bytes in flight.
#[derive(Clone, Debug, Serialize)]
pub struct TenantPool {
    /// The tenant.
    pub tenant: Arc<str>,
    /// Raw bytes in flight.
    pub bytes_in_flight: usize,
    /// The most there may be.
    pub bytes_in_flight_max: usize,
}

/// What waits in front of an output.
#[derive(Clone, Debug, Serialize)]
pub struct OutputPool {
    /// The output.
    pub output: Arc<str>,
    /// Batches that wait.
    pub batches: usize,
    /// Their events.
    pub events: usize,
    /// Their raw bytes.
    pub bytes: usize,
    /// How long the oldest has waited.
    pub oldest_millis: u64,
    /// Whether the inputs behind it wait for it.
    pub full: bool,
}

/// What went wrong and was mended, since the start.
#[derive(Clone, Debug, Serialize)]
pub struct Mended {
    /// Panics caught, by the role of the plugin.
    #[serde(serialize_with = "by_reason")]
    pub panics: Tally,
    /// Plugins built anew.
    pub restarts: u64,
    /// Parcels brought to an output once more.
    pub retries: u64,
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

impl Handle {
    pub(crate) fn new(core: Arc<Core>, started: Instant) -> Self {
        Handle { core, started }
    }

    /// Gives the signal to stop.
    pub fn shutdown(&self) {
        self.core.stop.give();
    }

    /// The plan that runs.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.core.plan
    }

    /// How long it has been running.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// The books as they are now.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.core.ledger()
    }

    /// The room that events take now.
    #[must_use]
    pub fn pools(&self) -> Pools {
        let core = &self.core;
        let tenants = core.tenants.all().into_iter().map(|tenant| TenantPool {
            tenant: tenant.name.clone(),
            bytes_in_flight: tenant.bytes.used(),
            bytes_in_flight_max: tenant.bytes.limit(),
        });
        let outputs = core.plan.outputs.iter().zip(&core.queues).map(|(plan, queue)| {
            let depth = queue.depth();
            OutputPool {
                output: plan.name.clone(),
                batches: depth.batches,
                events: depth.events,
                bytes: depth.bytes,
                oldest_millis: depth.oldest_millis,
                full: queue.is_full(),
            }
        });
        Pools {
            bytes_in_flight: core.bytes.used(),
            bytes_in_flight_max: core.bytes.limit(),
            tenants: tenants.collect(),
            outputs: outputs.collect(),
        }
    }

    /// What went wrong and was mended.
    #[must_use]
    pub fn mended(&self) -> Mended {
        let health = &self.core.health;
        Mended {
            panics: health.panics.lock().clone(),
            restarts: health.restarts.load(Ordering::Relaxed),
            retries: health.retries.load(Ordering::Relaxed),
            noted: health.noted.lock().clone(),
        }
    }
}
