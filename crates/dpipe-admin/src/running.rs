//! What the API asks of a running dpipe.

use std::time::Duration;

use dpipe_config::graph::Graph;
use dpipe_engine::{Handle, Ledger, Mended, Pools};

use crate::Outline;

/// A running dpipe, as far as the API asks. [`Handle`] is one.
pub trait Running: Send + Sync + 'static {
    /// How long it has been running.
    fn uptime(&self) -> Duration;
    /// The books as they are now.
    fn ledger(&self) -> Ledger;
    /// The room that events take now.
    fn pools(&self) -> Pools;
    /// What went wrong and was mended.
    fn mended(&self) -> Mended;
    /// What it was told to do.
    fn outline(&self) -> Outline;
    /// The same as a graph.
    fn graph(&self) -> Graph;
    /// Whether the signal to stop was given.
    fn is_stopping(&self) -> bool;
    /// Gives the signal to stop, and does not wait.
    fn shutdown(&self);
}

impl Running for Handle {
    fn uptime(&self) -> Duration {
        Handle::uptime(self)
    }

    fn ledger(&self) -> Ledger {
        Handle::ledger(self)
    }

    fn pools(&self) -> Pools {
        Handle::pools(self)
    }

    fn mended(&self) -> Mended {
        Handle::mended(self)
    }

    fn outline(&self) -> Outline {
        Outline::of(self.plan())
    }

    fn graph(&self) -> Graph {
        self.plan().graph()
    }

    fn is_stopping(&self) -> bool {
        Handle::is_stopping(self)
    }

    fn shutdown(&self) {
        Handle::shutdown(self);
    }
}
