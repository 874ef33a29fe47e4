//! When an input notes its positions: so soon after they moved that a crash repeats little, and so
//! seldom that it costs little.

use std::io;
use std::time::Duration;

use dpipe_plugin::Checkpoints;
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

/// How the checkpoint of an input with a single stream is kept: noted at once, saved in time.
pub(crate) struct Keeper {
    rhythm: Rhythm,
    saved_at: Instant,
    is_noted: bool,
    is_saved: bool,
}

impl Keeper {
    /// One whose checkpoint is saved as it is.
    pub(crate) fn new() -> Self {
        Keeper { rhythm: Rhythm::new(), saved_at: Instant::now(), is_noted: true, is_saved: true }
    }

    /// Takes note that the checkpoint has moved.
    pub(crate) fn moved(&mut self) {
        (self.is_noted, self.is_saved) = (false, false);
    }

    /// Whether there is nothing to keep.
    pub(crate) fn is_saved(&self) -> bool {
        self.is_saved
    }

    /// Notes or saves the checkpoint, if it has moved and that is due; saves it `now`, if so.
    ///
    /// # Errors
    /// Those of the disk.
    pub(crate) fn keep(
        &mut self,
        now: bool,
        checkpoints: &dyn Checkpoints,
        key: &str,
        json: impl FnOnce() -> String,
    ) -> io::Result<()> {
        let time = Instant::now();
        if !self.is_saved && (now || time >= self.saved_at + SAVE_EVERY) {
            checkpoints.save(&[(key.to_owned(), Some(json()))])?;
            (self.is_noted, self.is_saved, self.saved_at) = (true, true, time);
        } else if !self.is_noted && self.rhythm.is_due(time) {
            checkpoints.note(&[(key.to_owned(), Some(json()))])?;
            self.rhythm.noted(time, 1, 1);
            self.is_noted = true;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use dpipe_testkit::InputWorld;

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
    async fn a_single_checkpoint_is_noted_at_once_and_saved_in_time() {
        let world = InputWorld::new();
        let checkpoints = world.context().checkpoints;
        let mut keeper = Keeper::new();
        let mut at = 0;
        let mut after = async |pause, moved: bool, now| {
            tokio::time::sleep(pause).await;
            if moved {
                at += 1;
                keeper.moved();
            }
            keeper.keep(now, &*checkpoints, "at", || at.to_string()).unwrap();
            let read = |all: std::collections::BTreeMap<String, String>| {
                all.get("at").map_or(0, |at| at.parse().unwrap())
            };
            (read(world.checkpoints()), read(world.saved()), keeper.is_saved())
        };
        assert_eq!(after(PAUSE, false, true).await, (0, 0, true));
        assert_eq!(after(PAUSE, true, false).await, (1, 0, false));
        assert_eq!(after(PAUSE / 2, true, false).await, (1, 0, false));
        assert_eq!(after(PAUSE, false, false).await, (2, 0, false));
        assert_eq!(after(SAVE_EVERY, false, false).await, (2, 2, true));
        assert_eq!(after(PAUSE, true, true).await, (3, 3, true));
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
