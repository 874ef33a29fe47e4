//! A runner: brings one output its parcels, one after the other, and sees to it that each ends in a
//! counted way: delivered, refused into the dead letters, or still here.
//!
//! ```text
//!  queue ── take ──▶ hand ── write ──▶ held ── flush ──▶ settled
//!                     ▲                  │
//!                     └── it failed ◀────┘
//! ```
//!
//! A parcel that the output is to write stands in the hand; almost always there is one. What the
//! output only holds waits for the next flush. When the output fails, what it held goes back to the
//! hand, in order. Everything of it stays in the queue until it is settled, so a runner can end at
//! any moment and leave nothing behind.

mod hand;
mod rescue;

use std::sync::Arc;
use std::time::Duration;

use dpipe_event::Timestamp;
use dpipe_plugin::{Encoder, Flush, Output, Refusal, Shutdown, Written};
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::books::count;
use crate::core::Core;
use crate::dead::Letter;
use crate::panics::catch_async;
use crate::queue::{Queue, Shipment, Ticket};
use hand::{Hand, Load};

const TICK: Duration = Duration::from_secs(1);

pub(crate) struct Runner {
    core: Arc<Core>,
    number: usize,
    output: Box<dyn Output>,
    encoder: Option<(usize, Arc<dyn Encoder>)>,
    flush: Option<Flush>,
    hand: Hand,
    held_since: Instant,
    /// Whether a flush failed and is to be done again, as soon as what it stands for is written.
    flush_owed: bool,
    /// Pauses after attempts that failed.
    retries: Backoff,
    /// Pauses after panics, beyond the first few in a row.
    rests: Backoff,
    panics_in_a_row: u32,
    stop: Shutdown,
}

/// How a runner came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunnerEnd {
    /// Everything was delivered, and the output is closed.
    Done,
    /// There was no more time.
    Abandoned,
    /// Nobody reads what the output writes.
    Closed,
}

/// Nobody reads what the output writes.
struct Closed;

impl Runner {
    pub(crate) fn new(
        core: Arc<Core>,
        number: usize,
        output: Box<dyn Output>,
        encoder: Option<(usize, Arc<dyn Encoder>)>,
        stop: Shutdown,
    ) -> Self {
        let flush = core.plan.outputs[number].spec.flush_policy();
        Runner {
            core,
            number,
            output,
            encoder,
            flush,
            hand: Hand::default(),
            held_since: Instant::now(),
            flush_owed: false,
            retries: Backoff::brief(),
            rests: Backoff::brief(),
            panics_in_a_row: 0,
            stop,
        }
    }

    /// Works until the queue is closed and empty, or until it is abandoned. What is not delivered by
    /// then stays in the queue.
    pub(crate) async fn run(mut self) -> RunnerEnd {
        let mut stop = self.stop.clone();
        let worked = tokio::select! {
            worked = self.work() => worked,
            () = stop.abandoned() => return RunnerEnd::Abandoned,
        };
        if worked.is_err() {
            tracing::info!(output = self.name(), "nobody reads this output any more");
            self.core.closed.store(true, std::sync::atomic::Ordering::Release);
            self.core.stop.give();
            return RunnerEnd::Closed;
        }
        if let Err(panic) = catch_async(async { self.output.close().await }).await {
            self.core.mending.panicked(self.node(), "output", &panic);
        }
        RunnerEnd::Done
    }

    async fn work(&mut self) -> Result<(), Closed> {
        let core = self.core.clone();
        let queue = &core.queues[self.number];
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            if self.should_flush() {
                self.flush().await?;
                continue;
            }
            if self.hand.has_parcel() {
                self.write().await?;
                continue;
            }
            if let Some((ticket, shipment)) = queue.try_take() {
                self.load(ticket, &shipment);
                continue;
            }
            if self.should_flush_idle() {
                self.flush().await?;
                continue;
            }
            let (holds, deadline) = (self.hand.holds(), self.flush_deadline());
            tokio::select! {
                next = queue.take() => match next {
                    Some((ticket, shipment)) => self.load(ticket, &shipment),
                    None if holds => self.flush_owed = true,
                    None => return Ok(()),
                },
                () = tokio::time::sleep_until(deadline), if holds => self.flush_owed = true,
                _ = tick.tick() => self.tick().await,
            }
        }
    }

    fn name(&self) -> &str {
        &self.core.plan.outputs[self.number].name
    }

    /// The number of its book.
    fn node(&self) -> usize {
        self.core.numbers.output(self.number)
    }

    fn queue(&self) -> &Queue {
        &self.core.queues[self.number]
    }

    fn should_flush(&self) -> bool {
        if !self.hand.holds() {
            return false;
        }
        if self.hand.holds_one_alone() {
            return true;
        }
        // What was held and has to be written again belongs to the same flush.
        if self.hand.has_parcel() {
            return false;
        }
        let Some(flush) = self.flush else { return true };
        self.flush_owed
            || self.hand.held_bytes() >= flush.bytes
            || self.held_since.elapsed() >= flush.age
    }

    fn should_flush_idle(&self) -> bool {
        let wants = self.flush.is_some_and(|flush| flush.when_idle) || self.stop.is_given();
        wants && self.hand.holds()
    }

    fn flush_deadline(&self) -> Instant {
        self.held_since + self.flush.map_or(Duration::ZERO, |flush| flush.age)
    }

    /// Encodes a shipment, unless another runner already has, and takes it in hand.
    fn load(&mut self, ticket: Ticket, shipment: &Shipment) {
        #[cfg(feature = "mutants")]
        assert!(!crate::mutants::is("panic_in_runner"), "planted");
        let batch = &shipment.batch;
        let (encoded, refused) = match &self.encoder {
            None => (None, Vec::new()),
            Some((number, encoder)) => {
                // The encoder may take its time, and it is the output that waits for it.
                self.queue().asks();
                let panicked =
                    |panic: &str| self.core.mending.panicked(self.node(), "encoder", panic);
                let made = shipment.encodings.get(*number, &**encoder, batch, panicked);
                (Some(made.encoded.clone()), made.refused.clone())
            }
        };
        self.hand.take(Load::new(ticket, shipment, encoded, refused));
    }

    /// Brings the parcel in hand to the output.
    async fn write(&mut self) -> Result<(), Closed> {
        if let Some(load) = self.hand.pop_refused() {
            self.settle(load, Vec::new());
            return Ok(());
        }
        self.queue().asks();
        let Some(load) = self.hand.first() else { return Ok(()) };
        load.attempts += 1;
        let (output, parcel) = (&mut self.output, load.parcel());
        let written = catch_async(async { output.write(&parcel).await }).await;
        drop(parcel);
        match written {
            Ok(Written::Delivered) => self.written(Vec::new()),
            Ok(Written::Refused(refused)) => self.written(refused),
            Ok(Written::Held) => {
                if !self.hand.holds() {
                    self.held_since = Instant::now();
                }
                self.hand.hold();
                self.bore_it(false);
            }
            Ok(Written::Closed) => return Err(Closed),
            Ok(Written::Retry { after, reason }) => {
                self.wait_to_retry(false, after, &reason).await;
                // The output went back to its last flush.
                self.hand.take_back();
            }
            Err(panic) => self.panicked_over_write(&panic).await,
        }
        Ok(())
    }

    /// Makes what the output holds safe.
    async fn flush(&mut self) -> Result<(), Closed> {
        self.queue().asks();
        let output = &mut self.output;
        let flushed = catch_async(async { output.flush().await }).await;
        match flushed {
            Ok(Written::Delivered | Written::Held) => self.flushed(Vec::new()),
            Ok(Written::Refused(refused)) => self.flushed(refused),
            Ok(Written::Closed) => return Err(Closed),
            Ok(Written::Retry { after, reason }) => {
                self.flush_owed = true;
                self.wait_to_retry(true, after, &reason).await;
                self.hand.take_back();
            }
            Err(panic) => self.panicked_over_flush(&panic).await,
        }
        Ok(())
    }

    async fn tick(&mut self) {
        self.queue().asks();
        let ticked = catch_async(async { self.output.tick().await }).await;
        self.queue().answers();
        if let Err(panic) = ticked {
            self.panicked_over_nothing(&panic).await;
        }
    }

    fn written(&mut self, refused: Vec<Refusal>) {
        self.bore_it(true);
        if let Some(load) = self.hand.pop() {
            self.settle(load, refused);
        }
    }

    /// Refusals count through everything that was held.
    fn flushed(&mut self, mut refused: Vec<Refusal>) {
        self.bore_it(true);
        self.flush_owed = false;
        let mut first = 0;
        refused.sort_by_key(|refusal| refusal.index);
        let mut refused = refused.into_iter().peekable();
        for load in self.hand.let_go() {
            let end = first + load.len();
            let mut own = Vec::new();
            while let Some(refusal) = refused.next_if(|refusal| refusal.index < end) {
                own.push(Refusal { index: refusal.index - first, ..refusal });
            }
            first = end;
            self.settle(load, own);
        }
    }

    /// The output did what it was asked for. Whether something has arrived by that.
    fn bore_it(&mut self, arrived: bool) {
        self.queue().went_well(arrived);
        if arrived || !self.flush_owed {
            self.retries.reset();
            self.rests.reset();
            self.panics_in_a_row = 0;
        }
    }

    async fn wait_to_retry(&mut self, in_flush: bool, after: Option<Duration>, reason: &str) {
        self.core.mending.retried(self.node());
        let attempts = self.queue().failed(in_flush, reason);
        // The first time, and then ever less often: a dead far side must not fill the log.
        if attempts.is_power_of_two() {
            tracing::warn!(output = self.name(), attempts, "not delivered, trying again: {reason}");
        }
        let pause = self.retries.take();
        tokio::time::sleep(after.unwrap_or(pause)).await;
    }

    /// Counts what became of a parcel's events, and ends its share of the receipt.
    fn settle(&self, mut load: Load, refused: Vec<Refusal>) {
        let events = load.len();
        load.refuse(refused);
        let dead = load.refused.len() as u64;
        load.tenant.book(self.node()).pass(events as u64, |terms| {
            terms.delivered += events as u64 - dead;
            for refusal in &load.refused {
                count(&mut terms.dead, refusal.kind, 1);
            }
        });
        if !load.refused.is_empty()
            && let Some(receipt) = self.queue().share(load.ticket)
        {
            let letters = load.refused.iter().map(|refusal| self.letter(&load, refusal)).collect();
            self.core.dead.post(letters, receipt);
        }
        if let Some(receipt) = self.queue().done(load.ticket, events) {
            receipt.settle();
        }
    }

    fn letter(&self, load: &Load, refusal: &Refusal) -> Letter {
        let now = Timestamp::from_millis(self.core.env.now_millis());
        let stage = &self.core.plan.outputs[self.number].name;
        let place = load.place(refusal.index);
        let why = (refusal.kind, refusal.reason.clone());
        let letter = Letter::of(load.batch(), place, stage, why, now);
        Letter { attempts: load.attempts.max(1), ..letter }
    }
}
