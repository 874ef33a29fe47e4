//! Receipts: what travels with a batch and tells its input when every output has it.
//!
//! A receipt has one share per holder. Each holder ends its share by [`Receipt::settle`], which
//! says: delivered, dead-lettered, or dropped for a counted reason; or by [`Receipt::abandon`], which
//! says: not delivered, and nobody tries any more, because the run ends. A share that is dropped
//! without either (a bug, a panic) makes the whole receipt lost, which is counted. Past a receipt
//! that is abandoned or lost the position of its stream never moves, and the next start reads those
//! bytes again.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

/// How far a stream has been settled: the base of its checkpoint.
pub struct Progress {
    state: Mutex<State>,
    on_settle: Box<dyn Fn() + Send + Sync>,
    losses: Arc<AtomicU64>,
}

#[derive(Default)]
struct State {
    settled: u64,
    first_ticket: u64,
    open: VecDeque<Entry>,
    lost: u64,
}

struct Entry {
    end: u64,
    done: bool,
}

/// One share of the proof that a batch has arrived everywhere.
pub struct Receipt {
    slip: Arc<Slip>,
    ended: bool,
}

struct Slip {
    progress: Arc<Progress>,
    ticket: u64,
    lost: AtomicBool,
    abandoned: AtomicBool,
    /// Given back when the last share ends: credits, for one.
    _held: Option<Box<dyn Any + Send + Sync>>,
}

impl Progress {
    /// A stream that stands at `position`; `on_settle` is called after each change, from whichever
    /// thread ended the last share.
    #[must_use]
    pub fn new(position: u64, on_settle: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        Progress::counting(position, Arc::default(), on_settle)
    }

    /// The same, and each lost receipt is added to `losses`.
    #[must_use]
    pub fn counting(
        position: u64,
        losses: Arc<AtomicU64>,
        on_settle: impl Fn() + Send + Sync + 'static,
    ) -> Arc<Self> {
        let state = State { settled: position, ..State::default() };
        Arc::new(Progress { state: Mutex::new(state), on_settle: Box::new(on_settle), losses })
    }

    /// Opens the receipt for everything of the stream up to `end`; `held` lives as long as the
    /// receipt is open. Receipts are opened in the order of the stream.
    #[must_use]
    pub fn open(self: &Arc<Self>, end: u64, held: Option<Box<dyn Any + Send + Sync>>) -> Receipt {
        let mut state = self.state.lock();
        let ticket = state.first_ticket + state.open.len() as u64;
        state.open.push_back(Entry { end, done: false });
        let slip = Slip {
            progress: self.clone(),
            ticket,
            lost: AtomicBool::new(false),
            abandoned: AtomicBool::new(false),
            _held: held,
        };
        Receipt { slip: Arc::new(slip), ended: false }
    }

    /// The position before which everything is settled.
    #[must_use]
    pub fn settled(&self) -> u64 {
        self.state.lock().settled
    }

    /// The number of open receipts.
    #[must_use]
    pub fn open_receipts(&self) -> usize {
        self.state.lock().open.len()
    }

    /// The number of receipts that were lost: dropped by somebody without being settled.
    #[must_use]
    pub fn lost_receipts(&self) -> u64 {
        self.state.lock().lost
    }

    fn end(&self, ticket: u64, lost: bool, abandoned: bool) {
        {
            let mut state = self.state.lock();
            if lost {
                state.lost += 1;
                self.losses.fetch_add(1, Ordering::Relaxed);
            } else if !abandoned {
                let index = (ticket - state.first_ticket) as usize;
                state.open[index].done = true;
            }
            while state.open.front().is_some_and(|entry| entry.done) {
                if let Some(entry) = state.open.pop_front() {
                    state.settled = entry.end;
                    state.first_ticket += 1;
                }
            }
        }
        (self.on_settle)();
    }
}

impl Receipt {
    /// A receipt that nobody waits for: for inputs that cannot be read again, and for tests.
    #[must_use]
    pub fn unwatched() -> Receipt {
        Progress::new(0, || {}).open(0, None)
    }

    /// Ends this share: what it stands for has arrived, or its end was counted.
    pub fn settle(mut self) {
        self.ended = true;
    }

    /// Ends this share though what it stands for has not arrived, because the run ends and nobody
    /// tries any more. The position stays before it; it is no loss, since that is what keeps the
    /// bytes to be read again.
    pub fn abandon(mut self) {
        self.slip.abandoned.store(true, Ordering::Release);
        self.ended = true;
    }
}

impl Clone for Receipt {
    /// A further share, to be settled by itself.
    fn clone(&self) -> Self {
        Receipt { slip: self.slip.clone(), ended: false }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if !self.ended {
            self.slip.lost.store(true, Ordering::Release);
        }
    }
}

impl Drop for Slip {
    fn drop(&mut self) {
        let (lost, abandoned) = (&self.lost, &self.abandoned);
        let (lost, abandoned) = (lost.load(Ordering::Acquire), abandoned.load(Ordering::Acquire));
        self.progress.end(self.ticket, lost, abandoned);
    }
}

impl std::fmt::Debug for Receipt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receipt").field("ticket", &self.slip.ticket).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Progress").field("settled", &self.settled()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_position_moves_when_everything_before_it_is_settled() {
        let stream = Progress::new(10, || {});
        let first = stream.open(20, None);
        let second = stream.open(30, None);
        let third = stream.open(40, None);
        second.settle();
        assert_eq!(stream.settled(), 10);
        first.settle();
        assert_eq!(stream.settled(), 30);
        third.settle();
        assert_eq!((stream.settled(), stream.open_receipts()), (40, 0));
    }

    #[test]
    fn every_share_must_be_settled() {
        let stream = Progress::new(0, || {});
        let one = stream.open(5, None);
        let other = one.clone();
        one.settle();
        assert_eq!(stream.settled(), 0);
        other.settle();
        assert_eq!(stream.settled(), 5);
    }

    #[test]
    fn a_dropped_share_keeps_the_position_where_it_is() {
        let stream = Progress::new(0, || {});
        let lost = stream.open(5, None);
        let share = lost.clone();
        let next = stream.open(9, None);
        drop(lost);
        share.settle();
        next.settle();
        assert_eq!((stream.settled(), stream.lost_receipts()), (0, 1));
    }

    #[test]
    fn an_abandoned_share_keeps_the_position_and_is_no_loss() {
        let losses = Arc::new(AtomicU64::new(0));
        let stream = Progress::counting(0, losses.clone(), || {});
        let first = stream.open(5, None);
        let share = first.clone();
        let next = stream.open(9, None);
        first.abandon();
        share.settle();
        next.settle();
        assert_eq!((stream.settled(), stream.lost_receipts()), (0, 0));
        assert_eq!(losses.load(Ordering::Relaxed), 0);
        // A share that was lost besides is a loss all the same.
        let last = stream.open(12, None);
        drop(last.clone());
        last.abandon();
        assert_eq!((stream.settled(), stream.lost_receipts()), (0, 1));
    }

    #[test]
    fn what_a_receipt_holds_is_given_back_at_its_end() {
        let stream = Progress::new(0, || {});
        let credit = Arc::new(());
        let receipt = stream.open(5, Some(Box::new(credit.clone())));
        let share = receipt.clone();
        receipt.settle();
        assert_eq!(Arc::strong_count(&credit), 2);
        share.settle();
        assert_eq!(Arc::strong_count(&credit), 1);
    }
}
