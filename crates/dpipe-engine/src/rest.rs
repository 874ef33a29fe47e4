//! Batches that wait for a filter whose steps panic over one event after the other.
//!
//! A lane must not sleep: it serves others. So it puts such a batch aside, with all that follow for
//! this filter of this tenant, in their order, and tries again after a pause. Meanwhile the gates of
//! the inputs that feed the filter are closed to this tenant. What is put aside is bounded by the
//! credits that it holds, the events stay in the filter's hands in the books, and other tenants and
//! other filters notice nothing. When the run ends, what still waits is abandoned and read again.

use std::collections::VecDeque;
use std::sync::Arc;

use dpipe_event::{Batch, Receipt};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::left::{self, Left};
use crate::lineup::millis_since;
use crate::tenant::Tenant;

/// What waits for one filter, of one tenant, on one lane.
pub(crate) struct Rest {
    pub(crate) filter: usize,
    pub(crate) tenant: Arc<Tenant>,
    state: Mutex<State>,
}

struct State {
    parked: VecDeque<Parked>,
    events: usize,
    pauses: Backoff,
    wake: Instant,
    is_last_chance: bool,
    since: Instant,
    attempts: u32,
    panic: String,
}

/// A batch that waits.
pub(crate) struct Parked {
    pub(crate) batch: Batch,
    pub(crate) receipt: Receipt,
    /// Since when; nothing, for one that has just come.
    pub(crate) since: Option<Instant>,
}

/// What is left of a batch whose next event panics, after others did.
pub(crate) struct Stuck {
    pub(crate) batch: Batch,
    pub(crate) receipt: Receipt,
    pub(crate) since: Instant,
    pub(crate) panic: String,
    /// Whether an event got through before.
    pub(crate) moved: bool,
}

/// What waits, since when, and why.
#[derive(Clone, Debug)]
pub(crate) struct Depth {
    pub(crate) batches: usize,
    pub(crate) events: usize,
    pub(crate) oldest_millis: u64,
    pub(crate) failing_millis: u64,
    pub(crate) attempts: u32,
    pub(crate) last_error: String,
}

impl Rest {
    /// Closes the gate, and takes the first that has to wait.
    pub(crate) fn begin(filter: usize, tenant: Arc<Tenant>, stuck: Stuck) -> Arc<Self> {
        tenant.begin_rest(filter);
        let now = Instant::now();
        let state = State {
            parked: VecDeque::new(),
            events: 0,
            pauses: Backoff::brief(),
            wake: now,
            is_last_chance: false,
            since: now,
            attempts: 0,
            panic: String::new(),
        };
        let rest = Arc::new(Rest { filter, tenant, state: Mutex::new(state) });
        rest.put_back(stuck);
        rest
    }

    /// Puts a batch behind those that wait.
    pub(crate) fn park(&self, batch: Batch, receipt: Receipt) {
        let mut state = self.state.lock();
        state.events += batch.len();
        state.parked.push_back(Parked { batch, receipt, since: Some(Instant::now()) });
    }

    /// The next batch to try, and whether its first event has its last chance.
    pub(crate) fn next(&self) -> Option<(Parked, bool)> {
        let mut state = self.state.lock();
        let parked = state.parked.pop_front()?;
        state.events -= parked.batch.len();
        Some((parked, std::mem::take(&mut state.is_last_chance)))
    }

    /// Puts back what could not go on, until after the next pause.
    pub(crate) fn put_back(&self, stuck: Stuck) {
        let Stuck { batch, receipt, since, panic, moved } = stuck;
        let mut state = self.state.lock();
        let now = Instant::now();
        if moved {
            (state.attempts, state.since) = (0, now);
            state.pauses.reset();
        }
        state.attempts += 1;
        state.panic = panic;
        state.is_last_chance = state.pauses.is_longest();
        state.wake = now + state.pauses.take();
        state.events += batch.len();
        state.parked.push_front(Parked { batch, receipt, since: Some(since) });
    }

    /// When to try again.
    pub(crate) fn wake(&self) -> Instant {
        self.state.lock().wake
    }

    /// Opens the gate again.
    pub(crate) fn end(&self) {
        self.tenant.end_rest(self.filter);
    }

    /// Gives up everything that waits, and says what that is.
    pub(crate) fn abandon(&self) -> Vec<Left> {
        let mut all = Vec::new();
        let parked = {
            let mut state = self.state.lock();
            state.events = 0;
            std::mem::take(&mut state.parked)
        };
        for Parked { batch, receipt, .. } in parked {
            left::add(&mut all, &self.tenant, &batch, batch.len());
            receipt.abandon();
        }
        all
    }

    pub(crate) fn depth(&self) -> Depth {
        let state = self.state.lock();
        let oldest = state.parked.front().and_then(|parked| parked.since);
        Depth {
            batches: state.parked.len(),
            events: state.events,
            oldest_millis: oldest.map_or(0, millis_since),
            failing_millis: millis_since(state.since),
            attempts: state.attempts,
            last_error: state.panic.clone(),
        }
    }
}
