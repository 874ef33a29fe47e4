//! Pauses that grow: how long to wait before something is tried again.
//!
//! Of plugins that panic over one event after the other nobody can tell whether the plugin is broken
//! or the events are. Condemning every event at once would turn all traffic into dead letters
//! because of one bad table; waiting for ever would let one bad event stop everything behind it. So
//! the first [`CONDEMNED_AT_ONCE`] in a row become dead letters as they come. Then the plugin rests,
//! longer each time, and tries the same event again; only an event that it cannot bear even after
//! the longest pause becomes a dead letter. Meanwhile the inputs behind it wait, and whatever else
//! they would have sent stays safe at its source.

use std::time::Duration;

/// Events that panic in a row and become dead letters without a pause.
pub(crate) const CONDEMNED_AT_ONCE: u32 = 3;

/// A pause that doubles each time it is taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) const fn new(first: Duration, longest: Duration) -> Self {
        Backoff { first, longest, next: first }
    }

    /// For what is tried again soon: writing to an output, running a step.
    pub(crate) const fn brief() -> Self {
        Backoff::new(Duration::from_millis(50), Duration::from_secs(30))
    }

    /// The pause to take now.
    pub(crate) fn take(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.longest);
        pause
    }

    /// Whether the pause to take now is the longest.
    pub(crate) fn is_longest(&self) -> bool {
        self.next == self.longest
    }

    /// Starts over, because it went well.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_start_over_when_it_went_well() {
        let seconds = Duration::from_secs;
        let mut backoff = Backoff::new(seconds(1), seconds(5));
        let taken: Vec<_> = (0..5).map(|_| backoff.take().as_secs()).collect();
        assert_eq!(taken, [1, 2, 4, 5, 5]);
        assert!(backoff.is_longest());
        backoff.reset();
        assert!(!backoff.is_longest());
        assert_eq!(backoff.take(), seconds(1));
    }
}
