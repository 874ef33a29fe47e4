//! What somebody has yet to deal with, and since when: a number for each thing that came, in order.
//! For people to look at; what waits itself is elsewhere.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Things that wait, with how much each is.
#[derive(Debug, Default)]
pub(crate) struct Lineup {
    waiting: Mutex<VecDeque<(Instant, usize)>>,
}

/// What waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Depth {
    pub(crate) count: usize,
    /// How much that is in all.
    pub(crate) amount: usize,
    pub(crate) oldest_millis: u64,
}

impl Lineup {
    /// Something came.
    pub(crate) fn push(&self, amount: usize) {
        self.waiting.lock().push_back((Instant::now(), amount));
    }

    /// The first of them is done.
    pub(crate) fn pop(&self) {
        self.waiting.lock().pop_front();
    }

    pub(crate) fn depth(&self) -> Depth {
        let waiting = self.waiting.lock();
        Depth {
            count: waiting.len(),
            amount: waiting.iter().map(|(_, amount)| amount).sum(),
            oldest_millis: waiting.front().map_or(0, |(since, _)| millis_since(*since)),
        }
    }
}

/// The milliseconds since then.
pub(crate) fn millis_since(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_oldest_is_the_first_that_is_not_done() {
        let lineup = Lineup::default();
        assert_eq!(lineup.depth(), Depth::default());
        lineup.push(10);
        tokio::time::advance(Duration::from_millis(500)).await;
        lineup.push(5);
        assert_eq!(lineup.depth(), Depth { count: 2, amount: 15, oldest_millis: 500 });
        lineup.pop();
        assert_eq!(lineup.depth(), Depth { count: 1, amount: 5, oldest_millis: 0 });
    }
}
