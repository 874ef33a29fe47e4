//! A lane: one worker that decodes and filters. Everything between an input and its outputs runs here
//! as plain calls, batch by batch; a lane waits for nothing but its next chunk.

use std::sync::Arc;
use std::time::Duration;

use dpipe_event::{Batch, Builder, EventId, Frame, Receipt, Timestamp};
use dpipe_plugin::{BuildError, Chunk, DecodeError, Decoder, Shutdown};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::books::{Tally, count};
use crate::core::Core;
use crate::dead::Letter;
use crate::door::{OpenStream, Work};
use crate::encode::Encodings;
use crate::filter::LiveFilter;
use crate::panics::catch;
use crate::queue::Shipment;
use crate::rest::{Parked, Rest, Stuck};
use crate::tenant::Tenant;

/// How often steps are given a chance to look at the world.
const TICK: Duration = Duration::from_secs(1);

pub(crate) struct Lane {
    core: Arc<Core>,
    number: usize,
    filters: Vec<LiveFilter>,
    builder: Builder,
    /// What was put aside; almost always nothing.
    rests: Vec<Arc<Rest>>,
}

/// What became of the frames of a chunk.
#[derive(Default)]
struct Decoded {
    frames: u64,
    /// Events that a frame gave beyond the one that every frame is counted for.
    born: u64,
    letters: Vec<Letter>,
    /// Frames that were refused, by kind.
    refused: Tally,
    /// Frames without an event in them: blank lines.
    blank: u64,
    /// Events that live, but that something was odd about.
    flagged: Tally,
}

impl Lane {
    pub(crate) fn new(core: Arc<Core>, number: usize) -> Result<Self, (Arc<str>, BuildError)> {
        let filters = core
            .plan
            .filters
            .iter()
            .enumerate()
            .map(|(number, plan)| {
                LiveFilter::build(&core, number).map_err(|error| (plan.name.clone(), error))
            })
            .collect::<Result<_, _>>()?;
        Ok(Lane { core, number, filters, builder: Builder::new(), rests: Vec::new() })
    }

    /// Works until it is told to stop, and then on what was sent by then.
    pub(crate) async fn run(mut self, mut chunks: mpsc::Receiver<Work>, mut stop: Shutdown) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let has_filters = !self.filters.is_empty();
        let mut is_open = true;
        loop {
            let wake = self.rests.iter().map(|rest| rest.wake()).min();
            tokio::select! {
                biased;
                _ = tick.tick(), if has_filters => {
                    for filter in &mut self.filters {
                        filter.tick(&self.core);
                    }
                }
                () = at(wake) => self.try_again(),
                work = chunks.recv() => match work {
                    Some(work) => {
                        let tenant = work.stream.tenant.clone();
                        let turn = tenant.turns.begin();
                        self.work(work);
                        drop(turn);
                        self.core.lanes[self.number].pop();
                    }
                    None => break,
                },
                () = stop.given(), if is_open => {
                    chunks.close();
                    is_open = false;
                }
            }
        }
        for filter in &mut self.filters {
            filter.close(&self.core);
        }
    }

    /// Works on one chunk from its first tick to its end, for `rehearse`.
    pub(crate) fn work_alone(mut self, work: Work) {
        let core = self.core.clone();
        self.filters.iter_mut().for_each(|filter| filter.tick(&core));
        self.work(work);
        self.filters.iter_mut().for_each(|filter| filter.close(&core));
    }

    fn work(&mut self, Work { stream, chunk, receipt }: Work) {
        let core = self.core.clone();
        let now = Timestamp::from_millis(core.env.now_millis());
        let tag = core.route.input_tag(stream.input);
        let tag_name = &core.route.tags[tag].name;
        let (batch, decoded) = self.decode(&stream, &chunk, now);
        let events = batch.len() as u64;
        let book = stream.tenant.book(stream.input);
        book.take(decoded.frames, chunk.end.saturating_sub(chunk.offset));
        // What is refused was read as well.
        stream.tenant.charge(decoded.frames + decoded.born);
        book.pass(decoded.frames, |terms| {
            terms.born += decoded.born;
            terms.publish(0, events);
            count(&mut terms.filtered, "blank", decoded.blank);
            count(&mut terms.flagged, "line_cut", u64::from(chunk.cut_from().is_some()));
            for (what, n) in &decoded.flagged {
                count(&mut terms.flagged, what, *n);
            }
            for (kind, frames) in &decoded.refused {
                count(&mut terms.dead, kind, *frames);
            }
        });
        debug_assert_eq!(batch.tag(), tag_name);
        if !decoded.letters.is_empty() {
            core.dead.post(decoded.letters, receipt.clone());
        }
        self.publish(tag, batch, &stream.tenant, receipt, now);
    }

    fn decode(&mut self, stream: &OpenStream, chunk: &Chunk, now: Timestamp) -> (Batch, Decoded) {
        let core = &self.core;
        let tag = core.route.tags[core.route.input_tag(stream.input)].name.clone();
        let mut decoder = stream.decoder.lock();
        let mut decoded = Decoded::default();
        self.builder.begin(chunk.buffer.clone(), chunk.offset, now);
        let letter = |frame: &Frame<'_>, error: DecodeError| {
            let offset = chunk.offset + u64::from(frame.start);
            Letter {
                time: now,
                origin: stream.origin.clone(),
                id: EventId::derive(stream.origin.stream, offset, 0),
                tag: tag.clone(),
                offset,
                stage: core.decode_stage.clone(),
                kind: error.kind,
                reason: error.reason.into_owned(),
                attempts: 1,
                raw: frame.bytes.to_vec(),
            }
        };
        let all = catch(|| {
            decode_frames(&mut *decoder.decoder, &mut self.builder, chunk, &mut decoded, &letter)
        });
        match all {
            Ok(()) => stream.decoder_went_well(&mut decoder),
            Err(panic) => {
                // Again, frame by frame, so that the one that makes the decoder panic goes alone.
                core.mending.panicked(stream.input, "decoder", &panic);
                decoded = Decoded::default();
                self.builder.begin(chunk.buffer.clone(), chunk.offset, now);
                for frame in chunk.frames() {
                    let before = self.builder.len();
                    let one = catch(|| {
                        let builder = &mut self.builder;
                        decode_frame(&mut *decoder.decoder, builder, &frame, &mut decoded, &letter);
                    });
                    let Err(panic) = one else {
                        stream.decoder_went_well(&mut decoder);
                        continue;
                    };
                    let reason = format!("the codec panicked: {panic}");
                    let error = DecodeError::new("panic", reason);
                    decoded.born += (self.builder.len() - before) as u64;
                    count(&mut decoded.refused, error.kind, 1);
                    decoded.letters.push(letter(&frame, error));
                    stream.decoder_panicked(&mut decoder, &panic);
                }
            }
        }
        decoded.flagged.extend_from_slice(self.builder.flagged());
        (self.builder.finish(stream.origin.clone(), tag), decoded)
    }

    /// Sends a batch to everyone who takes its tag.
    fn publish(
        &mut self,
        tag: usize,
        mut batch: Batch,
        tenant: &Arc<Tenant>,
        receipt: Receipt,
        now: Timestamp,
    ) {
        if batch.is_empty() {
            receipt.settle();
            return;
        }
        #[cfg(feature = "mutants")]
        {
            assert!(!crate::mutants::is("panic_in_lane"), "planted");
            if crate::mutants::is("lose_batch") && batch.get(0).offset() > 0 {
                return;
            }
        }
        let core = self.core.clone();
        let route = &core.route.tags[tag];
        batch.set_tag(route.name.clone());
        let events = batch.len() as u64;
        let bytes = batch.raw_bytes();
        if route.filters.is_empty() && route.outputs.is_empty() {
            let book = tenant.book(core.numbers.unmatched(tag));
            book.take(events, bytes as u64);
            book.pass(events, |terms| count(&mut terms.dropped, "unmatched", events));
            receipt.settle();
            return;
        }
        let mut filters = route.filters.iter().peekable();
        while let Some(&filter) = filters.next() {
            if filters.peek().is_none() && route.outputs.is_empty() {
                self.filter(filter, batch, tenant, receipt, now);
                return;
            }
            self.filter(filter, batch.clone(), tenant, receipt.clone(), now);
        }
        let shipment = Shipment {
            batch: Arc::new(batch),
            encodings: Arc::new(Encodings::new(core.encoder_count)),
            tenant: tenant.clone(),
            bytes,
        };
        #[cfg(feature = "mutants")]
        if crate::mutants::is("deliver_twice") {
            self.ship(route.outputs[0], shipment.clone(), receipt.clone());
        }
        let (last, others) = route.outputs.split_last().unwrap_or((&0, &[]));
        for &output in others {
            self.ship(output, shipment.clone(), receipt.clone());
        }
        self.ship(*last, shipment, receipt);
    }

    fn ship(&self, output: usize, shipment: Shipment, receipt: Receipt) {
        let node = self.core.numbers.output(output);
        shipment.tenant.book(node).take(shipment.batch.len() as u64, shipment.bytes as u64);
        for dropped in self.core.queues[output].push(shipment, receipt) {
            let events = dropped.shipment.batch.len() as u64;
            dropped.shipment.tenant.book(node).pass(events, |terms| {
                count(&mut terms.dropped, "buffer_full", events);
            });
            dropped.receipt.settle();
        }
    }

    fn filter(
        &mut self,
        filter: usize,
        batch: Batch,
        tenant: &Arc<Tenant>,
        receipt: Receipt,
        now: Timestamp,
    ) {
        let book = tenant.book(self.core.numbers.filter(filter));
        book.take(batch.len() as u64, batch.raw_bytes() as u64);
        let is_same =
            |rest: &&Arc<Rest>| rest.filter == filter && Arc::ptr_eq(&rest.tenant, tenant);
        if let Some(rest) = self.rests.iter().find(is_same) {
            rest.park(batch, receipt);
            return;
        }
        let parked = Parked { batch, receipt, since: None };
        if let Some(stuck) = self.run_filter(filter, parked, tenant, now, false) {
            let rest = Rest::begin(filter, tenant.clone(), stuck);
            self.core.rests.lock().push(rest.clone());
            self.rests.push(rest);
        }
    }

    /// Runs a batch that is in the filter's hands; returns what is left of it if it has to wait.
    fn run_filter(
        &mut self,
        filter: usize,
        Parked { batch, receipt, since }: Parked,
        tenant: &Arc<Tenant>,
        now: Timestamp,
        is_last_chance: bool,
    ) -> Option<Stuck> {
        let core = self.core.clone();
        let book = tenant.book(core.numbers.filter(filter));
        let events = batch.len() as u64;
        let done = self.filters[filter].run(&core, batch, now, is_last_chance);
        let stuck = done.stuck.as_ref().map_or(0, |(batch, _)| batch.len() as u64);
        book.pass(events - stuck, |terms| {
            terms.born += done.born;
            for (port, batch) in &done.published {
                terms.publish(*port, batch.len() as u64);
            }
            for (reason, n) in &done.filtered {
                count(&mut terms.filtered, reason, *n);
            }
            for (reason, n) in &done.dead {
                count(&mut terms.dead, reason, *n);
            }
            for (what, n) in &done.flagged {
                count(&mut terms.flagged, what, *n);
            }
        });
        if !done.letters.is_empty() {
            core.dead.post(done.letters, receipt.clone());
        }
        for (port, batch) in done.published {
            let tag = core.route.filter_tag(filter, port);
            self.publish(tag, batch, tenant, receipt.clone(), now);
        }
        let Some((batch, panic)) = done.stuck else {
            receipt.settle();
            return None;
        };
        let since = since.unwrap_or_else(Instant::now);
        Some(Stuck { batch, receipt, since, panic, moved: done.moved })
    }

    /// Goes on with what was put aside, where the pause is over.
    fn try_again(&mut self) {
        let now = Instant::now();
        let due = |rest: &&Arc<Rest>| rest.wake() <= now;
        for rest in self.rests.iter().filter(due).cloned().collect::<Vec<_>>() {
            let turn = rest.tenant.turns.begin();
            if self.catch_up(&rest) {
                self.rests.retain(|other| !Arc::ptr_eq(other, &rest));
                self.core.rests.lock().retain(|other| !Arc::ptr_eq(other, &rest));
                rest.end();
                self.core.freed.notify_waiters();
            }
            drop(turn);
        }
    }

    /// Runs what was put aside; whether all of it is done.
    fn catch_up(&mut self, rest: &Rest) -> bool {
        while let Some((parked, is_last_chance)) = rest.next() {
            let now = Timestamp::from_millis(self.core.env.now_millis());
            let stuck = self.run_filter(rest.filter, parked, &rest.tenant, now, is_last_chance);
            if let Some(stuck) = stuck {
                rest.put_back(stuck);
                return false;
            }
        }
        true
    }

    /// The filters, for `explain`.
    pub(crate) fn filters_mut(&mut self) -> &mut [LiveFilter] {
        &mut self.filters
    }
}

/// Waits until then; for ever, if there is no then.
async fn at(then: Option<Instant>) {
    match then {
        Some(then) => tokio::time::sleep_until(then).await,
        None => std::future::pending().await,
    }
}

fn decode_frames(
    decoder: &mut dyn Decoder,
    builder: &mut Builder,
    chunk: &Chunk,
    decoded: &mut Decoded,
    letter: &dyn Fn(&Frame<'_>, DecodeError) -> Letter,
) {
    for frame in chunk.frames() {
        decode_frame(decoder, builder, &frame, decoded, letter);
    }
}

#[inline]
fn decode_frame(
    decoder: &mut dyn Decoder,
    builder: &mut Builder,
    frame: &Frame<'_>,
    decoded: &mut Decoded,
    letter: &dyn Fn(&Frame<'_>, DecodeError) -> Letter,
) {
    decoded.frames += 1;
    let before = builder.len();
    let done = decoder.decode(frame, builder);
    let pushed = builder.len() - before;
    match done {
        Ok(()) if pushed == 0 => decoded.blank += 1,
        Ok(()) => decoded.born += pushed as u64 - 1,
        Err(error) => {
            // The frame itself is the dead letter.
            decoded.born += pushed as u64;
            count(&mut decoded.refused, error.kind, 1);
            decoded.letters.push(letter(frame, error));
        }
    }
}
