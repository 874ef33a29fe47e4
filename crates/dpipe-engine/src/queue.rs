//! The room in front of an output: what it has not delivered yet. It never makes a lane wait; a full
//! queue closes the gate of the inputs behind it, or drops its oldest.
//!
//! What the output's runner takes stays here until it is settled, with its receipt. So whoever asks
//! what has not arrived, and since when, asks one place; and whatever becomes of the runner, at the
//! end of the run nothing is lost but left here.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dpipe_config::plan::{Buffer, WhenFull};
use dpipe_event::{Batch, Receipt};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::encode::Encodings;
use crate::left::{self, Left};
use crate::lineup::millis_since;
use crate::tenant::Tenant;

/// A batch on its way to outputs; every output holds it once.
#[derive(Clone)]
pub(crate) struct Shipment {
    pub(crate) batch: Arc<Batch>,
    pub(crate) encodings: Arc<Encodings>,
    pub(crate) tenant: Arc<Tenant>,
    pub(crate) bytes: usize,
}

/// A shipment in one output's queue, with that output's share of the receipt.
pub(crate) struct Waiting {
    pub(crate) shipment: Shipment,
    pub(crate) receipt: Receipt,
    since: Instant,
}

/// A shipment that the runner has.
struct Taken {
    ticket: Ticket,
    waiting: Waiting,
    /// Events of it that are not settled.
    events: usize,
}

/// Which shipment it was that the runner took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

/// The queue of one output.
pub(crate) struct Queue {
    bytes_max: usize,
    when_full: WhenFull,
    state: Mutex<State>,
    full: AtomicBool,
    arrived: Notify,
    /// Told when a full queue has room again.
    freed: Arc<Notify>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    /// Of those that wait.
    events: usize,
    bytes: usize,
    /// In the order in which they were taken.
    taken: VecDeque<Taken>,
    taken_events: usize,
    taken_bytes: usize,
    tickets: u64,
    /// Since when the output owes an answer.
    asked: Option<Instant>,
    trouble: Option<Trouble>,
    closed: bool,
}

/// Attempts that failed, with none since that went well.
#[derive(Clone, Debug)]
struct Trouble {
    since: Instant,
    attempts: u32,
    reason: String,
    /// Whether it was the flush that failed.
    in_flush: bool,
}

/// What a queue holds, and how its output fares.
#[derive(Clone, Debug, Default)]
pub(crate) struct Depth {
    pub(crate) batches: usize,
    pub(crate) events: usize,
    pub(crate) bytes: usize,
    /// Of these, what the runner has: it is being written, or held until the next flush.
    pub(crate) in_hand_batches: usize,
    pub(crate) in_hand_events: usize,
    pub(crate) in_hand_bytes: usize,
    pub(crate) oldest_millis: u64,
    /// How long the output has owed an answer.
    pub(crate) unanswered_millis: u64,
    /// How long attempts have failed.
    pub(crate) failing_millis: u64,
    pub(crate) attempts: u32,
    pub(crate) last_error: Option<String>,
}

impl Queue {
    pub(crate) fn new(buffer: &Buffer, freed: Arc<Notify>) -> Self {
        Queue {
            bytes_max: buffer.memory.bytes() as usize,
            when_full: buffer.when_full,
            state: Mutex::default(),
            full: AtomicBool::new(false),
            arrived: Notify::new(),
            freed,
        }
    }

    /// Whether the inputs behind this queue should wait.
    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Ordering::Acquire)
    }

    /// Adds a shipment; returns what had to be dropped to make room.
    pub(crate) fn push(&self, shipment: Shipment, receipt: Receipt) -> Vec<Waiting> {
        let mut dropped = Vec::new();
        {
            let mut state = self.state.lock();
            state.bytes += shipment.bytes;
            state.events += shipment.batch.len();
            state.waiting.push_back(Waiting { shipment, receipt, since: Instant::now() });
            if state.bytes > self.bytes_max {
                match self.when_full {
                    WhenFull::Block => self.full.store(true, Ordering::Release),
                    WhenFull::DropOldest => {
                        while state.bytes > self.bytes_max && state.waiting.len() > 1 {
                            dropped.extend(state.pop());
                        }
                    }
                }
            }
        }
        self.arrived.notify_one();
        dropped
    }

    /// Takes the oldest shipment, if there is one now.
    pub(crate) fn try_take(&self) -> Option<(Ticket, Shipment)> {
        let mut state = self.state.lock();
        let waiting = state.pop()?;
        let ticket = Ticket(state.tickets);
        state.tickets += 1;
        let (shipment, events) = (waiting.shipment.clone(), waiting.shipment.batch.len());
        state.taken_events += events;
        state.taken_bytes += shipment.bytes;
        state.taken.push_back(Taken { ticket, waiting, events });
        // Open again at three quarters, so that the gate does not flap with every batch.
        if state.bytes <= self.bytes_max / 4 * 3 && self.full.swap(false, Ordering::AcqRel) {
            self.freed.notify_waiters();
        }
        Some((ticket, shipment))
    }

    /// The oldest shipment, as soon as there is one; `None` when the queue is closed and empty.
    pub(crate) async fn take(&self) -> Option<(Ticket, Shipment)> {
        loop {
            let arrived = self.arrived.notified();
            if let Some(taken) = self.try_take() {
                return Some(taken);
            }
            if self.state.lock().closed {
                return None;
            }
            arrived.await;
        }
    }

    /// A further share of the receipt of a shipment that was taken.
    pub(crate) fn share(&self, ticket: Ticket) -> Option<Receipt> {
        let state = self.state.lock();
        let at = state.place_of(ticket)?;
        Some(state.taken[at].waiting.receipt.clone())
    }

    /// So many events of a shipment are settled. Returns the queue's share of the receipt if they
    /// were the last.
    pub(crate) fn done(&self, ticket: Ticket, events: usize) -> Option<Receipt> {
        let mut state = self.state.lock();
        let at = state.place_of(ticket)?;
        let entry = &mut state.taken[at];
        let events = events.min(entry.events);
        entry.events -= events;
        let is_last = entry.events == 0;
        state.taken_events -= events;
        if !is_last {
            return None;
        }
        let entry = state.taken.remove(at)?;
        state.taken_bytes -= entry.waiting.shipment.bytes;
        Some(entry.waiting.receipt)
    }

    /// The output is asked to do something, and owes an answer.
    pub(crate) fn asks(&self) {
        self.state.lock().asked = Some(Instant::now());
    }

    /// It owes nothing any more.
    pub(crate) fn answers(&self) {
        self.state.lock().asked = None;
    }

    /// The output did what it was asked for. Whether something has arrived by that: what it only
    /// holds has not, and is no comfort if it is the flush that fails.
    pub(crate) fn went_well(&self, arrived: bool) {
        let mut state = self.state.lock();
        state.asked = None;
        if state.trouble.as_ref().is_some_and(|trouble| arrived || !trouble.in_flush) {
            state.trouble = None;
        }
    }

    /// It did not, for this reason. Returns how often it did not in a row.
    pub(crate) fn failed(&self, in_flush: bool, reason: &str) -> u32 {
        let mut state = self.state.lock();
        state.asked = None;
        let new =
            || Trouble { since: Instant::now(), attempts: 0, reason: String::new(), in_flush };
        let trouble = state.trouble.get_or_insert_with(new);
        trouble.attempts += 1;
        trouble.in_flush |= in_flush;
        reason.clone_into(&mut trouble.reason);
        trouble.attempts
    }

    /// Says that nothing more will come.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.arrived.notify_one();
    }

    /// Gives up everything that has not arrived, and says what that is.
    pub(crate) fn abandon(&self) -> Vec<Left> {
        let mut all = Vec::new();
        let (taken, waiting) = {
            let mut state = self.state.lock();
            let State { taken, waiting, .. } =
                std::mem::replace(&mut *state, State { closed: true, ..State::default() });
            (taken, waiting)
        };
        let waiting = waiting.into_iter().map(|waiting| (waiting.shipment.batch.len(), waiting));
        for (events, entry) in taken.into_iter().map(|t| (t.events, t.waiting)).chain(waiting) {
            left::add(&mut all, &entry.shipment.tenant, &entry.shipment.batch, events);
            entry.receipt.abandon();
        }
        all
    }

    pub(crate) fn depth(&self) -> Depth {
        let state = self.state.lock();
        let taken = state.taken.front().map(|taken| &taken.waiting);
        let oldest = taken.or(state.waiting.front());
        let trouble = state.trouble.as_ref();
        Depth {
            batches: state.waiting.len() + state.taken.len(),
            events: state.events + state.taken_events,
            bytes: state.bytes + state.taken_bytes,
            in_hand_batches: state.taken.len(),
            in_hand_events: state.taken_events,
            in_hand_bytes: state.taken_bytes,
            oldest_millis: oldest.map_or(0, |waiting| millis_since(waiting.since)),
            unanswered_millis: state.asked.map_or(0, millis_since),
            failing_millis: trouble.map_or(0, |trouble| millis_since(trouble.since)),
            attempts: trouble.map_or(0, |trouble| trouble.attempts),
            last_error: trouble.map(|trouble| trouble.reason.clone()),
        }
    }
}

impl State {
    fn pop(&mut self) -> Option<Waiting> {
        let waiting = self.waiting.pop_front()?;
        self.bytes -= waiting.shipment.bytes;
        self.events -= waiting.shipment.batch.len();
        Some(waiting)
    }

    fn place_of(&self, ticket: Ticket) -> Option<usize> {
        self.taken.binary_search_by_key(&ticket, |taken| taken.ticket).ok()
    }
}

#[cfg(test)]
mod tests;
