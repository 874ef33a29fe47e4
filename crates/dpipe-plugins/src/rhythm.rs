//! When an input notes its positions: so soon after they moved that a crash repeats little, and so
//! seldom that it costs little.

use std::time::Duration;

use tokio::time::Instant;

/// How often positions are saved, which takes a sync of the disk.
pub(crate) const SAVE_EVERY: Duration = Duration::from_secs(1);

/// The pause between two notes, unless much is sent meanwhile.
const PAUSE: Duration = Duration::from_millis(10);

/// After so many bytes were sent there is no waiting for that: so much comes twice after a crash, at
/// most, besides what was in flight.
const BYTES: u64 = 4 << 20;

/// The shortest pause, by what the last note cost: some 2 µs for each position that it wrote, and
/// 100 ns for each that it looked at in vain. So notes take at most a fiftieth of the time.
const PAUSE_A_CHANGE: Duration = Duration::from_micros(100);
const PAUSE_A_LOOK: Duration = Duration::from_micros(5);

/// When positions are noted next.
pub(crate) struct Rhythm {
    last: Instant,
    shortest: Duration,
    sent_bytes: u64,
}

impl Rhythm {
    pub(crate) fn new() -> Self {
        Rhythm { last: Instant::now(), shortest: Duration::ZERO, sent_bytes: 0 }
    }

    /// Takes note that so much was sent.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.sent_bytes += bytes as u64;
    }

    /// Whether positions that moved are to be noted now.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        let is_much = self.sent_bytes >= BYTES && now >= self.last + self.shortest;
        is_much || now >= self.next()
    }

    /// When they are, if little is sent until then.
    pub(crate) fn next(&self) -> Instant {
        self.last + self.shortest.max(PAUSE)
    }

    /// Takes note that so many positions were looked at, and so many of them written.
    pub(crate) fn noted(&mut self, now: Instant, looks: usize, changes: usize) {
        let times = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let shortest = PAUSE_A_CHANGE.saturating_mul(times(changes))
            + PAUSE_A_LOOK.saturating_mul(times(looks));
        // Nobody waits longer than for the next save.
        (self.last, self.shortest, self.sent_bytes) = (now, shortest.min(SAVE_EVERY), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_position_is_noted_within_ten_milliseconds() {
        let mut rhythm = Rhythm::new();
        let start = Instant::now();
        assert!(!rhythm.is_due(start));
        assert_eq!(rhythm.next(), start + PAUSE);
        assert!(rhythm.is_due(start + PAUSE));
        rhythm.noted(start + PAUSE, 1, 1);
        assert!(!rhythm.is_due(start + PAUSE));
    }

    #[tokio::test(start_paused = true)]
    async fn when_much_is_sent_it_is_noted_sooner() {
        let mut rhythm = Rhythm::new();
        let start = Instant::now();
        rhythm.sent(BYTES as usize);
        assert!(rhythm.is_due(start));
        rhythm.noted(start, 1, 1);
        rhythm.sent(BYTES as usize - 1);
        assert!(!rhythm.is_due(start + PAUSE / 2));
        rhythm.sent(1);
        assert!(rhythm.is_due(start + PAUSE / 2));
    }

    #[tokio::test(start_paused = true)]
    async fn many_positions_are_noted_less_often() {
        let mut rhythm = Rhythm::new();
        let start = Instant::now();
        for (looks, changes, pause) in [(10, 10, 10), (1000, 1000, 105), (10_000, 0, 50)] {
            rhythm.noted(start, looks, changes);
            rhythm.sent(2 * BYTES as usize);
            assert!(rhythm.is_due(start + Duration::from_millis(pause)));
            assert!(!rhythm.is_due(start + Duration::from_millis(pause / 10)));
        }
        rhythm.noted(start, usize::MAX, usize::MAX);
        assert_eq!(rhythm.next(), start + SAVE_EVERY);
    }
}
