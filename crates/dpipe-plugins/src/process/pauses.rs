//! Ever longer pauses before a child that keeps ending is started again.

use std::time::Duration;

use tokio::time::Instant;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(30);
/// A child that ran this long starts over with the first pause.
const WELL_FOR: Duration = Duration::from_secs(60);

/// The pauses between the runs of one child.
#[derive(Debug)]
pub(crate) struct Pauses {
    next: Duration,
    started: Instant,
}

impl Pauses {
    pub(crate) fn new() -> Pauses {
        Pauses { next: FIRST, started: Instant::now() }
    }

    /// A run begins.
    pub(crate) fn started(&mut self) {
        self.started = Instant::now();
    }

    /// A run ended, or could not begin: how long to wait before the next one.
    pub(crate) fn pause(&mut self) -> Duration {
        if self.started.elapsed() >= WELL_FOR {
            self.next = FIRST;
        }
        let pause = self.next;
        self.next = (pause * 2).min(LONGEST);
        pause
    }

    /// All is well.
    pub(crate) fn reset(&mut self) {
        self.next = FIRST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn they_grow_to_a_bound_and_start_over_after_a_good_run() {
        let mut pauses = Pauses::new();
        let seconds: Vec<f64> = (0..11).map(|_| pauses.pause().as_secs_f64()).collect();
        assert_eq!(seconds[..3], [0.1, 0.2, 0.4]);
        assert_eq!(seconds[10], 30.0);
        pauses.started();
        tokio::time::advance(WELL_FOR).await;
        assert_eq!(pauses.pause(), FIRST);
    }
}
