//! A lane: one worker that decodes and filters. Everything between an input and its outputs runs here
//! as plain calls, batch by batch; a lane waits for nothing but its next chunk.

use std::sync::Arc;
use std::time::Duration;

use dpipe_event::{Batch, Builder, EventId, Frame, Receipt, Timestamp};
use dpipe_plugin::{BuildError, Chunk, DecodeError, Decoder};
use tokio::sync::mpsc;

use crate::books::{Tally, count};
use crate::core::Core;
use crate::dead::Letter;
use crate::door::{OpenStream, Work};
use crate::encode::Encodings;
use crate::filter::LiveFilter;
use crate::panics::catch;
use crate::queue::Shipment;
use crate::tenant::Tenant;

/// How often steps are given a chance to look at the world.
const TICK: Duration = Duration::from_secs(1);

pub(crate) struct Lane {
    core: Arc<Core>,
    filters: Vec<LiveFilter>,
    builder: Builder,
}

/// What became of the frames of a chunk.
#[derive(Default)]
struct Decoded {
    frames: u64,
    letters: Vec<Letter>,
    /// Frames that were refused, by kind.
    refused: Tally,
    /// Frames without an event in them: blank lines.
    blank: u64,
    /// Events that live, but that something was odd about.
    flagged: Tally,
}

impl Lane {
    pub(crate) fn new(core: Arc<Core>) -> Result<Self, (Arc<str>, BuildError)> {
        let filters = core
            .plan
            .filters
            .iter()
            .enumerate()
            .map(|(number, plan)| {
                LiveFilter::build(&core, number).map_err(|error| (plan.name.clone(), error))
            })
            .collect::<Result<_, _>>()?;
        Ok(Lane { core, filters, builder: Builder::new() })
    }

    /// Works until every sender is gone.
    pub(crate) async fn run(mut self, mut chunks: mpsc::Receiver<Work>) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let has_filters = !self.filters.is_empty();
        loop {
            tokio::select! {
                biased;
                _ = tick.tick(), if has_filters => {
                    for filter in &mut self.filters {
                        filter.tick(&self.core);
                    }
                }
                work = chunks.recv() => match work {
                    Some(work) => {
                        let tenant = work.stream.tenant.clone();
                        tenant.turns.begin();
                        self.work(work);
                        tenant.turns.end();
                    }
                    None => break,
                },
            }
        }
        for filter in &mut self.filters {
            filter.close(&self.core);
        }
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
        stream.tenant.charge(events);
        let gone = decoded.letters.len() as u64 + decoded.blank;
        book.pass(decoded.frames, |terms| {
            // A decoder may make several events of one frame, or none.
            terms.born += (events + gone).saturating_sub(decoded.frames);
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
                reason: error.reason.into_owned(),
                attempts: 1,
                raw: frame.bytes.to_vec(),
            }
        };
        let all = catch(|| {
            decode_frames(&mut **decoder, &mut self.builder, chunk, &mut decoded, &letter)
        });
        if let Err(panic) = all {
            // Again, frame by frame, so that the one that makes the decoder panic goes alone.
            core.panicked("decoder", &stream.origin.input, &panic);
            decoded = Decoded::default();
            self.builder.begin(chunk.buffer.clone(), chunk.offset, now);
            for frame in chunk.frames() {
                let one = catch(|| {
                    decode_frame(&mut **decoder, &mut self.builder, &frame, &mut decoded, &letter);
                });
                if let Err(panic) = one {
                    let reason = format!("the codec panicked: {panic}");
                    let error = DecodeError::new("panic", reason);
                    count(&mut decoded.refused, error.kind, 1);
                    decoded.letters.push(letter(&frame, error));
                    let plan = &core.plan.inputs[stream.input];
                    match plan.decoder.build(&core.build_context(&plan.name)) {
                        Ok(fresh) => *decoder = fresh,
                        Err(error) => {
                            tracing::error!(input = &*plan.name, %error, "the codec cannot be built anew")
                        }
                    }
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
        if crate::mutants::is("lose_batch") && batch.get(0).offset() > 0 {
            return;
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
        let core = self.core.clone();
        let book = tenant.book(core.numbers.filter(filter));
        let events = batch.len() as u64;
        book.take(events, batch.raw_bytes() as u64);
        let done = self.filters[filter].run(&core, batch, now);
        let published: u64 = done.published.iter().map(|(_, batch)| batch.len() as u64).sum();
        let gone: u64 = done.filtered.iter().chain(&done.dead).map(|(_, n)| n).sum();
        book.pass(events, |terms| {
            terms.born += (published + gone).saturating_sub(events);
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
        receipt.settle();
    }

    /// The filters, for `explain`.
    pub(crate) fn filters_mut(&mut self) -> &mut [LiveFilter] {
        &mut self.filters
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
    match decoder.decode(frame, builder) {
        Ok(()) if builder.len() == before => decoded.blank += 1,
        Ok(()) => {}
        Err(error) => {
            count(&mut decoded.refused, error.kind, 1);
            decoded.letters.push(letter(frame, error));
        }
    }
}
