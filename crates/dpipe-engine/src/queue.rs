//! The room in front of an output: what it has not taken yet. It never makes a lane wait; a full
//! queue closes the gate of the inputs behind it, or drops its oldest.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dpipe_config::plan::{Buffer, WhenFull};
use dpipe_event::{Batch, Receipt};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::encode::Encodings;
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
    pub(crate) since: Instant,
}

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
    bytes: usize,
    closed: bool,
}

/// What waits in a queue.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Depth {
    pub(crate) batches: usize,
    pub(crate) events: usize,
    pub(crate) bytes: usize,
    pub(crate) oldest_millis: u64,
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
            state.waiting.push_back(Waiting { shipment, receipt, since: Instant::now() });
            if state.bytes > self.bytes_max {
                match self.when_full {
                    WhenFull::Block => self.full.store(true, Ordering::Release),
                    WhenFull::DropOldest => {
                        while state.bytes > self.bytes_max && state.waiting.len() > 1 {
                            if let Some(oldest) = state.waiting.pop_front() {
                                state.bytes -= oldest.shipment.bytes;
                                dropped.push(oldest);
                            }
                        }
                    }
                }
            }
        }
        self.arrived.notify_one();
        dropped
    }

    /// The oldest shipment, if there is one now.
    pub(crate) fn try_pop(&self) -> Option<Waiting> {
        let mut state = self.state.lock();
        let waiting = state.waiting.pop_front()?;
        state.bytes -= waiting.shipment.bytes;
        // Open again at three quarters, so that the gate does not flap with every batch.
        if state.bytes <= self.bytes_max / 4 * 3 && self.full.swap(false, Ordering::AcqRel) {
            self.freed.notify_waiters();
        }
        Some(waiting)
    }

    /// The oldest shipment, as soon as there is one; `None` when the queue is closed and empty.
    pub(crate) async fn pop(&self) -> Option<Waiting> {
        loop {
            let arrived = self.arrived.notified();
            if let Some(waiting) = self.try_pop() {
                return Some(waiting);
            }
            if self.state.lock().closed {
                return None;
            }
            arrived.await;
        }
    }

    /// Says that nothing more will come.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.arrived.notify_one();
    }

    pub(crate) fn depth(&self) -> Depth {
        let state = self.state.lock();
        Depth {
            batches: state.waiting.len(),
            events: state.waiting.iter().map(|w| w.shipment.batch.len()).sum(),
            bytes: state.bytes,
            oldest_millis: state
                .waiting
                .front()
                .map_or(0, |w| w.since.elapsed().as_millis() as u64),
        }
    }
}
