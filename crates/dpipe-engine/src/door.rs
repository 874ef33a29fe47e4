//! The door: how inputs put bytes into the pipeline, and why they wait.
//!
//! A stream reserves a credit before it reads. There is one when the tenant and the process have
//! room, the tenant's rate allows it, and the gate is open: no output behind the input has a full
//! queue, and no filter on the way there rests after panics. The credit stays with the receipt of
//! what was read. So whatever the outputs do, the bytes in flight are bounded, and the lanes, which
//! all tenants share, never wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dpipe_config::plan::{DEFAULT_TENANT, TenantSource};
use dpipe_event::{Origin, Progress, Receipt};
use dpipe_plugin::{
    BoxFuture, Chunk, Credit, Decoder, Door, InputError, Loan, Stream, StreamStart,
};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use crate::backoff::{Backoff, CONDEMNED_AT_ONCE};
use crate::core::Core;
use crate::panics::build;
use crate::tenant::Tenant;

/// How soon to look again for what nobody announces.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A chunk on its way to a lane.
pub(crate) struct Work {
    pub(crate) stream: Arc<OpenStream>,
    pub(crate) chunk: Chunk,
    pub(crate) receipt: Receipt,
}

/// One input's way into the pipeline.
pub(crate) struct InputDoor {
    core: Arc<Core>,
    input: usize,
    /// Behind the input.
    filters: Arc<[usize]>,
    outputs: Arc<[usize]>,
    lanes: Arc<[mpsc::Sender<Work>]>,
    /// Told whenever something is settled that came in here.
    settled: Arc<Notify>,
}

/// A stream that an input opened.
pub(crate) struct OpenStream {
    core: Arc<Core>,
    pub(crate) input: usize,
    pub(crate) tenant: Arc<Tenant>,
    pub(crate) origin: Arc<Origin>,
    /// Used by the stream's lane only.
    pub(crate) decoder: Mutex<LiveDecoder>,
    progress: Arc<Progress>,
    filters: Arc<[usize]>,
    outputs: Arc<[usize]>,
    /// Whether the stream rests, because its decoder panics over one frame after the other; and until
    /// when.
    rests: AtomicBool,
    rests_until: Mutex<Instant>,
    lane: mpsc::Sender<Work>,
    lane_number: usize,
}

/// The decoder of a stream.
pub(crate) struct LiveDecoder {
    pub(crate) decoder: Box<dyn Decoder>,
    panics_in_a_row: u32,
    pauses: Backoff,
}

impl InputDoor {
    pub(crate) fn new(core: Arc<Core>, input: usize, lanes: Arc<[mpsc::Sender<Work>]>) -> Self {
        let (filters, outputs) = core.route.behind_input(input);
        let (filters, outputs) = (filters.into(), outputs.into());
        InputDoor { core, input, filters, outputs, lanes, settled: Arc::default() }
    }

    /// The tenant of a file; or why it has none, as a reason and in words.
    fn tenant_of(&self, file: &str) -> Result<Arc<Tenant>, (&'static str, String)> {
        let core = &self.core;
        let source = &core.plan.inputs[self.input].tenant;
        let Some(name) = source.tenant_of(file) else {
            let why = format!("the path `{file}` names no tenant by the pattern `{source}`");
            return Err(("path_without_tenant", why));
        };
        if let TenantSource::Named(_) = source {
            return Ok(core.tenants.get(name));
        }
        core.tenants.of_path(name).ok_or_else(|| {
            let max = core.plan.limits.tenants_max;
            let why = format!(
                "the tenant `{name}` of the path `{file}` is one more than `limits.tenants_max` \
                 ({max})"
            );
            ("too_many_tenants", why)
        })
    }

    /// The same, and a file without is counted.
    fn tenant_or_skip(&self, file: &str) -> Result<Arc<Tenant>, InputError> {
        self.tenant_of(file).map_err(|(reason, message)| {
            self.count_skipped(file, reason, 1);
            InputError { message, source: None }
        })
    }

    /// Counts what was left out of a file; for the tenant of everything that names none, if the file
    /// has none.
    fn count_skipped(&self, file: &str, reason: &'static str, how_many: u64) {
        let tenant = self.tenant_of(file).unwrap_or_else(|_| self.core.tenants.get(DEFAULT_TENANT));
        tenant.book(self.input).skip(reason, how_many);
    }
}

impl Door for InputDoor {
    fn open(&self, start: StreamStart) -> Result<Arc<dyn Stream>, InputError> {
        let plan = &self.core.plan.inputs[self.input];
        let tenant = self.tenant_or_skip(&start.file)?;
        let host = if start.host.is_empty() { self.core.host.clone() } else { start.host.into() };
        let decoder =
            plan.decoder.build(&self.core.build_context(&plan.name)).map_err(|error| {
                self.count_skipped(&start.file, "no_codec", 1);
                InputError::caused(format!("the codec of `{}` cannot be built", plan.name), error)
            })?;
        let origin = Arc::new(Origin {
            tenant: tenant.name.clone(),
            input: plan.name.clone(),
            logfile: dpipe_event::logfile_name(&start.file).into(),
            file: start.file.into(),
            host,
            stream: start.id,
        });
        // Streams are spread over the lanes by their id: the same stream, the same lane.
        let lane = start.id.spread() as usize % self.lanes.len();
        let (freed, settled) = (self.core.freed.clone(), self.settled.clone());
        let on_settle = move || {
            freed.notify_waiters();
            settled.notify_one();
        };
        let losses = self.core.losses.clone();
        Ok(Arc::new(StreamHandle(Arc::new(OpenStream {
            core: self.core.clone(),
            input: self.input,
            tenant,
            origin,
            decoder: Mutex::new(LiveDecoder {
                decoder,
                panics_in_a_row: 0,
                pauses: Backoff::brief(),
            }),
            progress: Progress::counting(start.position, losses, on_settle),
            filters: self.filters.clone(),
            outputs: self.outputs.clone(),
            rests: AtomicBool::new(false),
            rests_until: Mutex::new(Instant::now()),
            lane: self.lanes[lane].clone(),
            lane_number: lane,
        }))))
    }

    fn tenant(&self, file: &str) -> Result<Arc<str>, InputError> {
        Ok(self.tenant_or_skip(file)?.name.clone())
    }

    fn freed(&self) -> BoxFuture<'_, ()> {
        // The pause is for rates, which nobody announces.
        let freed = self.core.freed.notified();
        Box::pin(async move {
            let _ = tokio::time::timeout(LOOK_AGAIN, freed).await;
        })
    }

    fn some_settled(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.settled.notified())
    }

    fn skipped_of(&self, file: &str, reason: &'static str, how_many: u64) {
        self.count_skipped(file, reason, how_many);
    }

    fn noted(&self, what: &'static str, how_many: u64) {
        self.core.mending.note(self.input, what, how_many);
    }
}

/// What an input holds of its stream.
struct StreamHandle(Arc<OpenStream>);

/// Bytes in flight, given back when the receipt that holds this ends.
struct Lent {
    core: Arc<Core>,
    tenant: Arc<Tenant>,
    bytes: usize,
}

impl Loan for Lent {
    fn keep(&mut self, bytes: usize) {
        // A buffer that is not mostly empty keeps the whole room that was read into: Pool::freeze.
        if bytes.saturating_mul(4) >= self.bytes {
            return;
        }
        let back = self.bytes - bytes;
        self.bytes = bytes;
        self.core.bytes.give_back(back);
        self.tenant.bytes.give_back(back);
        self.core.freed.notify_waiters();
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.core.bytes.give_back(self.bytes);
        self.tenant.bytes.give_back(self.bytes);
        self.core.freed.notify_waiters();
    }
}

impl OpenStream {
    fn lend(&self, bytes: usize) -> Option<Credit> {
        let gate_closed = self.outputs.iter().any(|&output| self.core.queues[output].is_full())
            || self.filters.iter().any(|&filter| self.tenant.rests_at(filter))
            || !self.rest().is_zero();
        if gate_closed || !self.tenant.rate_allows() || !self.tenant.bytes.try_take(bytes) {
            return None;
        }
        if !self.core.bytes.try_take(bytes) {
            self.tenant.bytes.give_back(bytes);
            return None;
        }
        let loan = Lent { core: self.core.clone(), tenant: self.tenant.clone(), bytes };
        Some(Credit::of(Box::new(loan)))
    }

    /// How long the stream has yet to rest. Of one that is not well yet, one chunk at a time is read.
    fn rest(&self) -> Duration {
        if !self.rests.load(Ordering::Acquire) {
            return Duration::ZERO;
        }
        let left = self.rests_until.lock().saturating_duration_since(Instant::now());
        if left.is_zero() && self.progress.open_receipts() > 0 { LOOK_AGAIN } else { left }
    }

    /// The decoder bore a frame.
    pub(crate) fn decoder_went_well(&self, live: &mut LiveDecoder) {
        if live.panics_in_a_row > 0 {
            live.panics_in_a_row = 0;
            live.pauses.reset();
            self.rests.store(false, Ordering::Release);
        }
    }

    /// Builds the decoder anew, after a panic. Its frame is a dead letter already; so are those of
    /// its chunk that follow and make it panic too, because a stream cannot be decoded in another
    /// order. What bounds them is that the stream may not read on for a while, longer each time.
    pub(crate) fn decoder_panicked(&self, live: &mut LiveDecoder, panic: &str) {
        let core = &self.core;
        core.mending.panicked(self.input, "decoder", panic);
        core.mending.restarted(self.input);
        let plan = &core.plan.inputs[self.input];
        match build(|| plan.decoder.build(&core.build_context(&plan.name))) {
            Ok(fresh) => live.decoder = fresh,
            Err(error) => {
                tracing::error!(input = &*plan.name, "the codec cannot be built anew: {error}");
            }
        }
        live.panics_in_a_row += 1;
        let mut until = self.rests_until.lock();
        if live.panics_in_a_row > CONDEMNED_AT_ONCE && *until <= Instant::now() {
            *until = Instant::now() + live.pauses.take();
            self.rests.store(true, Ordering::Release);
        }
    }
}

/// A chunk on its way to its lane. An input that gives up sending it has not delivered it: the
/// position stays, and nothing is lost.
struct Sending(Option<Work>);

impl Drop for Sending {
    fn drop(&mut self) {
        if let Some(work) = self.0.take() {
            work.receipt.abandon();
        }
    }
}

impl Stream for StreamHandle {
    fn origin(&self) -> &Arc<Origin> {
        &self.0.origin
    }

    fn reserve(&self, bytes: usize) -> BoxFuture<'_, Credit> {
        Box::pin(async move {
            loop {
                let freed = self.0.core.freed.notified();
                if let Some(credit) = self.0.lend(bytes) {
                    return credit;
                }
                match self.0.tenant.rate_wait().max(self.0.rest()) {
                    Duration::ZERO => freed.await,
                    wait => tokio::time::sleep(wait).await,
                }
            }
        })
    }

    fn try_reserve(&self, bytes: usize) -> Option<Credit> {
        self.0.lend(bytes)
    }

    fn is_over_rate(&self) -> bool {
        !self.0.tenant.rate_allows()
    }

    fn send(&self, chunk: Chunk, credit: Credit) -> BoxFuture<'_, ()> {
        let bytes = chunk.end.saturating_sub(chunk.offset) as usize;
        let receipt = self.0.progress.open(chunk.end, credit.into_held());
        let mut sending = Sending(Some(Work { stream: self.0.clone(), chunk, receipt }));
        Box::pin(async move {
            // Lanes end after every input has. If this one was too slow for that, there is nobody to
            // take the chunk.
            if let Ok(permit) = self.0.lane.reserve().await
                && let Some(work) = sending.0.take()
            {
                self.0.core.lanes[self.0.lane_number].push(bytes);
                permit.send(work);
            }
        })
    }

    fn progress(&self) -> &Arc<Progress> {
        &self.0.progress
    }
}
