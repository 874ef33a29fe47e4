//! A runner: brings one output its parcels, one after the other, and sees to it that each ends in a
//! counted way: delivered, refused into the dead letters, or still here.

use std::sync::Arc;
use std::time::Duration;

use dpipe_event::{Receipt, Timestamp};
use dpipe_plugin::{Encoder, Flush, Output, Parcel, Refusal, Shutdown, Written};
use tokio::time::Instant;

use crate::books::count;
use crate::core::Core;
use crate::dead::Letter;
use crate::panics::catch_async;
use crate::queue::{Shipment, Waiting};

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
const TICK: Duration = Duration::from_secs(1);

pub(crate) struct Runner {
    core: Arc<Core>,
    number: usize,
    output: Box<dyn Output>,
    encoder: Option<(usize, Arc<dyn Encoder>)>,
    flush: Option<Flush>,
    /// Taken by the output, safe with the next flush.
    held: Vec<Load>,
    held_bytes: usize,
    held_since: Instant,
    stop: Shutdown,
}

/// A parcel in the runner's hands.
struct Load {
    parcel: Parcel,
    shipment: Shipment,
    receipt: Receipt,
    /// Refused by the encoder.
    refused: Vec<Refusal>,
    attempts: u32,
}

/// Why a runner's work ended before its time.
struct Abandoned;

impl Runner {
    pub(crate) fn new(
        core: Arc<Core>,
        number: usize,
        output: Box<dyn Output>,
        encoder: Option<(usize, Arc<dyn Encoder>)>,
        stop: Shutdown,
    ) -> Self {
        let flush = core.plan.outputs[number].spec.flush_policy();
        let held_since = Instant::now();
        Runner {
            core,
            number,
            output,
            encoder,
            flush,
            held: Vec::new(),
            held_bytes: 0,
            held_since,
            stop,
        }
    }

    /// Works until the queue is closed and empty, or until it is abandoned.
    pub(crate) async fn run(mut self) {
        let mut stop = self.stop.clone();
        let ended = tokio::select! {
            ended = self.work() => ended,
            () = stop.abandoned() => Err(Abandoned),
        };
        // What is still held or queued was not delivered: its receipts are lost on purpose, and the
        // next start reads it again.
        if ended.is_ok() {
            let closed = catch_async(async { self.output.close().await }).await;
            if let Err(panic) = closed {
                self.core.panicked("output", self.name(), &panic);
            }
        }
    }

    async fn work(&mut self) -> Result<(), Abandoned> {
        let core = self.core.clone();
        let queue = &core.queues[self.number];
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let next = match queue.try_pop() {
                Some(next) => Some(next),
                None => {
                    if self.should_flush_idle() {
                        self.flush_held().await?;
                    }
                    let deadline = self.flush_deadline();
                    tokio::select! {
                        next = queue.pop() => match next {
                            Some(next) => Some(next),
                            None => break,
                        },
                        () = tokio::time::sleep_until(deadline), if !self.held.is_empty() => {
                            self.flush_held().await?;
                            None
                        }
                        _ = tick.tick() => {
                            if let Err(panic) = catch_async(async { self.output.tick().await }).await {
                                self.failed(&panic).await?;
                            }
                            None
                        }
                    }
                }
            };
            if let Some(waiting) = next {
                let load = self.load(waiting);
                self.deliver(load).await?;
                if self.should_flush_now() {
                    self.flush_held().await?;
                }
            }
        }
        self.flush_held().await
    }

    fn name(&self) -> &str {
        &self.core.plan.outputs[self.number].name
    }

    fn should_flush_idle(&self) -> bool {
        let wants = self.flush.is_some_and(|flush| flush.when_idle) || self.stop.is_given();
        wants && !self.held.is_empty()
    }

    fn should_flush_now(&self) -> bool {
        let Some(flush) = self.flush else { return !self.held.is_empty() };
        !self.held.is_empty()
            && (self.held_bytes >= flush.bytes || self.held_since.elapsed() >= flush.age)
    }

    fn flush_deadline(&self) -> Instant {
        self.held_since + self.flush.map_or(Duration::ZERO, |flush| flush.age)
    }

    /// Encodes a shipment, unless another runner already has.
    fn load(&self, Waiting { shipment, receipt, .. }: Waiting) -> Load {
        let batch = &shipment.batch;
        let (encoded, refused) = match &self.encoder {
            None => (None, Vec::new()),
            Some((number, encoder)) => {
                let made = shipment.encodings.get(*number, &**encoder, batch);
                (Some(made.encoded.clone()), made.refused.clone())
            }
        };
        let parcel = Parcel::new(batch.clone(), encoded);
        Load { parcel, shipment, receipt, refused, attempts: 0 }
    }

    /// Brings a parcel to the output until the output has it.
    async fn deliver(&mut self, mut load: Load) -> Result<(), Abandoned> {
        let mut pause = FIRST_PAUSE;
        loop {
            load.attempts += 1;
            match catch_async(async { self.output.write(&load.parcel).await }).await {
                Ok(Written::Delivered) => {
                    self.settle(load, Vec::new());
                    return Ok(());
                }
                Ok(Written::Held) => {
                    if self.held.is_empty() {
                        self.held_since = Instant::now();
                    }
                    self.held_bytes += load.parcel.bytes().len();
                    self.held.push(load);
                    return Ok(());
                }
                Ok(Written::Refused(refused)) => {
                    self.settle(load, refused);
                    return Ok(());
                }
                Ok(Written::Closed) => return Err(self.closed()),
                Ok(Written::Retry { after, reason }) => {
                    self.say_retry(&reason, load.attempts);
                    tokio::time::sleep(after.unwrap_or(pause)).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    if !self.held.is_empty() {
                        // The output went back to its last flush.
                        self.rewrite_held().await?;
                    }
                }
                Err(panic) => {
                    self.failed(&panic).await?;
                    if load.parcel.batch().len() > 1 {
                        return self.deliver_one_by_one(load).await;
                    }
                    let (kind, reason) = ("panic", format!("the output panicked: {panic}"));
                    self.settle(load, vec![Refusal { index: 0, kind, reason }]);
                    return Ok(());
                }
            }
        }
    }

    /// Splits a parcel that made the output panic, so that the culprit goes alone.
    async fn deliver_one_by_one(&mut self, load: Load) -> Result<(), Abandoned> {
        for index in 0..load.parcel.batch().len() {
            if let Some(refused) = load.refused.iter().find(|refusal| refusal.index == index) {
                self.refuse_one(&load, refused.clone());
                continue;
            }
            let shipment = Shipment {
                batch: Arc::new(load.parcel.batch().one(index)),
                encodings: Arc::new(crate::encode::Encodings::new(self.core.encoder_count)),
                tenant: load.shipment.tenant.clone(),
                bytes: 0,
            };
            let receipt = load.receipt.clone();
            let one = self.load(Waiting { shipment, receipt, since: Instant::now() });
            Box::pin(self.deliver(one)).await?;
        }
        load.receipt.settle();
        Ok(())
    }

    fn refuse_one(&self, load: &Load, refusal: Refusal) {
        let letter = self.letter(load, &refusal);
        let node = self.core.numbers.output(self.number);
        load.shipment.tenant.book(node).pass(1, |terms| count(&mut terms.dead, refusal.kind, 1));
        self.core.dead.post(vec![letter], load.receipt.clone());
    }

    async fn flush_held(&mut self) -> Result<(), Abandoned> {
        let mut pause = FIRST_PAUSE;
        let mut attempts = 0;
        while !self.held.is_empty() {
            attempts += 1;
            match catch_async(async { self.output.flush().await }).await {
                Ok(Written::Delivered | Written::Held) => self.settle_held(Vec::new()),
                Ok(Written::Refused(refused)) => self.settle_held(refused),
                Ok(Written::Closed) => return Err(self.closed()),
                Ok(Written::Retry { after, reason }) => {
                    self.say_retry(&reason, attempts);
                    tokio::time::sleep(after.unwrap_or(pause)).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    self.rewrite_held().await?;
                }
                Err(panic) => {
                    self.failed(&panic).await?;
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
        Ok(())
    }

    /// Nobody reads what this output writes: the process ends.
    fn closed(&self) -> Abandoned {
        tracing::info!(output = self.name(), "nobody reads this output any more");
        self.core.closed.store(true, std::sync::atomic::Ordering::Release);
        self.core.stop.give();
        Abandoned
    }

    /// Writes what was held once more, after the output went back to its last flush.
    async fn rewrite_held(&mut self) -> Result<(), Abandoned> {
        self.held_bytes = 0;
        for load in std::mem::take(&mut self.held) {
            Box::pin(self.deliver(load)).await?;
        }
        Ok(())
    }

    /// Builds the output anew after a panic, waiting longer each time that fails.
    async fn failed(&mut self, panic: &str) -> Result<(), Abandoned> {
        self.core.panicked("output", self.name(), panic);
        let plan = &self.core.plan.outputs[self.number];
        let mut pause = FIRST_PAUSE;
        loop {
            self.core.restarted();
            match plan.spec.build(&self.core.build_context(&plan.name)) {
                Ok(fresh) => {
                    self.output = fresh;
                    break;
                }
                Err(error) => {
                    tracing::error!(output = &*plan.name, %error, "the output cannot be built anew")
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        Box::pin(self.rewrite_held()).await
    }

    fn say_retry(&self, reason: &str, attempts: u32) {
        self.core.health.retries.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        // The first time, and then ever less often: a dead far side must not fill the log.
        if attempts.is_power_of_two() {
            tracing::warn!(output = self.name(), attempts, "not delivered, trying again: {reason}");
        }
    }

    fn settle_held(&mut self, refused: Vec<Refusal>) {
        self.held_bytes = 0;
        let mut first = 0;
        let mut refused = refused.into_iter().peekable();
        for load in std::mem::take(&mut self.held) {
            let end = first + load.parcel.batch().len();
            let mut own = Vec::new();
            while let Some(refusal) = refused.next_if(|refusal| refusal.index < end) {
                own.push(Refusal { index: refusal.index - first, ..refusal });
            }
            first = end;
            self.settle(load, own);
        }
    }

    /// Counts what became of a parcel's events, and ends its share of the receipt.
    fn settle(&self, mut load: Load, refused: Vec<Refusal>) {
        load.refused.extend(refused);
        let events = load.parcel.batch().len() as u64;
        let dead = load.refused.len() as u64;
        let node = self.core.numbers.output(self.number);
        load.shipment.tenant.book(node).pass(events, |terms| {
            terms.delivered += events - dead;
            for refusal in &load.refused {
                count(&mut terms.dead, refusal.kind, 1);
            }
        });
        if load.refused.is_empty() {
            load.receipt.settle();
        } else {
            let letters = load.refused.iter().map(|refusal| self.letter(&load, refusal)).collect();
            self.core.dead.post(letters, load.receipt);
        }
    }

    fn letter(&self, load: &Load, refusal: &Refusal) -> Letter {
        let now = Timestamp::from_millis(self.core.env.now_millis());
        let stage = &self.core.plan.outputs[self.number].name;
        let batch = load.parcel.batch();
        let letter = Letter::of(batch, refusal.index, stage, refusal.reason.clone(), now);
        Letter { attempts: load.attempts.max(1), ..letter }
    }
}
