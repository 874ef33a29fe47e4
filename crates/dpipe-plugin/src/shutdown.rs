//! The signal to stop, in two stages: first an orderly end, and if that takes too long, an end.

use tokio::sync::watch;

/// Tells that work should stop. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<Stage>);

/// Gives the signal.
#[derive(Debug)]
pub struct ShutdownHandle(watch::Sender<Stage>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Running,
    Stopping,
    Abandoning,
}

impl Shutdown {
    /// A signal that was not given yet, and the hand that gives it.
    #[must_use]
    pub fn new() -> (ShutdownHandle, Shutdown) {
        let (sender, receiver) = watch::channel(Stage::Running);
        (ShutdownHandle(sender), Shutdown(receiver))
    }

    /// Whether the signal was given.
    #[must_use]
    pub fn is_given(&self) -> bool {
        *self.0.borrow() >= Stage::Stopping
    }

    /// Waits until the signal is given.
    pub async fn given(&mut self) {
        // An error means that the hand is gone, and with it everything there was to wait for.
        let _ = self.0.wait_for(|stage| *stage >= Stage::Stopping).await;
    }

    /// Waits until there is no more time to wait for what is in flight: save what is settled, and
    /// return.
    pub async fn abandoned(&mut self) {
        let _ = self.0.wait_for(|stage| *stage >= Stage::Abandoning).await;
    }
}

impl ShutdownHandle {
    /// Gives the signal, to everyone who has it.
    pub fn give(&self) {
        self.0.send_if_modified(|stage| {
            let first = *stage == Stage::Running;
            *stage = (*stage).max(Stage::Stopping);
            first
        });
    }

    /// Whether the signal was given.
    #[must_use]
    pub fn is_given(&self) -> bool {
        *self.0.borrow() >= Stage::Stopping
    }

    /// Says that there is no more time to wait.
    pub fn abandon(&self) {
        self.0.send_replace(Stage::Abandoning);
    }
}
