//! What others may ask of a running engine: the admin API, the command line, tests.

use std::sync::Arc;
use std::time::Duration;

use dpipe_config::plan::Plan;
use tokio::time::Instant;

use crate::books::Ledger;
use crate::core::Core;
use crate::mended::Mended;
use crate::pools::Pools;

/// A hand on a running engine. Cheap to clone; the engine does not wait for it.
#[derive(Clone)]
pub struct Handle {
    core: Arc<Core>,
    started: Instant,
}

impl Handle {
    pub(crate) fn new(core: Arc<Core>, started: Instant) -> Self {
        Handle { core, started }
    }

    /// Gives the signal to stop.
    pub fn shutdown(&self) {
        self.core.stop.give();
    }

    /// Whether the signal to stop was given.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.core.stop.is_given()
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

    /// The room that events take now, and who has them.
    #[must_use]
    pub fn pools(&self) -> Pools {
        self.core.pools()
    }

    /// What went wrong and was mended.
    #[must_use]
    pub fn mended(&self) -> Mended {
        self.core.mending.read()
    }
}
