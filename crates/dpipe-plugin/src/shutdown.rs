//! The signal to stop.

use tokio::sync::watch;

/// Tells that work should stop. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

/// Gives the signal.
#[derive(Debug)]
pub struct ShutdownHandle(watch::Sender<bool>);

impl Shutdown {
    /// A signal that was not given yet, and the hand that gives it.
    #[must_use]
    pub fn new() -> (ShutdownHandle, Shutdown) {
        let (sender, receiver) = watch::channel(false);
        (ShutdownHandle(sender), Shutdown(receiver))
    }

    /// Whether the signal was given.
    #[must_use]
    pub fn is_given(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until the signal is given.
    pub async fn given(&mut self) {
        // An error means that the hand is gone, and with it everything there was to wait for.
        let _ = self.0.wait_for(|given| *given).await;
    }
}

impl ShutdownHandle {
    /// Gives the signal, to everyone who has it.
    pub fn give(&self) {
        self.0.send_replace(true);
    }
}
