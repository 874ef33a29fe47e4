//! A rehearsal: lines go through a plan, and what would have arrived is told. The lane, the decoders,
//! steps and encoders are those of a run; no input, no output and no data directory is opened.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use dpipe_config::plan::Plan;
use dpipe_env::Env;
use dpipe_event::{Buffer, EventRef, StreamId};
use dpipe_plugin::{
    BoxFuture, Chunk, Credit, Cut, Door, Encoder, InputError, Parcel, Part, StreamStart,
};
use tokio::sync::mpsc;

use crate::books::Ledger;
use crate::core::Core;
use crate::dead::{DeadClerk, DeadOffice, Letter};
use crate::door::{InputDoor, Work};
use crate::engine::{StartError, build_encoders};
use crate::lane::Lane;

/// What goes in.
#[derive(Clone, Copy, Debug)]
pub struct Script<'a> {
    /// The input that it comes by.
    pub input: &'a str,
    /// The file or the peer that it comes from; empty for none.
    pub file: &'a str,
    /// The bytes.
    pub read: Read<'a>,
}

/// What an input has read.
#[derive(Clone, Copy, Debug)]
pub enum Read<'a> {
    /// Lines, to be cut, and joined where the input joins lines.
    Lines(&'a [u8]),
    /// Whole frames, such as datagrams.
    Frames(&'a [Vec<u8>]),
}

/// What came of it.
#[derive(Debug)]
pub struct Rehearsal {
    /// The events that came to each output, in the order of the plan.
    pub outputs: Vec<(Arc<str>, Vec<Arrival>)>,
    /// The events that were refused, in their order.
    pub dead: Vec<Refused>,
    /// The books at the end.
    pub ledger: Ledger,
}

/// An event that came to an output.
#[derive(Clone, Debug)]
pub struct Arrival {
    parcel: Parcel,
    index: usize,
    is_encoded: bool,
}

impl Arrival {
    /// The event.
    #[must_use]
    pub fn event(&self) -> EventRef<'_> {
        self.parcel.event(self.index)
    }

    /// Its bytes as the output's codec writes them, without the line end; as JSON, if the output
    /// takes events as they are.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        if self.is_encoded {
            let bytes = self.parcel.event_bytes(self.index);
            return bytes.strip_suffix(b"\n").unwrap_or(bytes).to_vec();
        }
        let mut json = Vec::new();
        self.event().write_json(&mut json);
        json
    }
}

/// An event that would be a dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Who refused it: `decode`, or the name of a filter or an output.
    pub stage: Arc<str>,
    /// Why, as the word that the books count it under.
    pub kind: &'static str,
    /// Why, in words.
    pub reason: String,
    /// The event as it was read.
    pub raw: Vec<u8>,
}

/// Why there was no rehearsal.
#[derive(Debug, thiserror::Error)]
pub enum RehearsalError {
    /// There is no input of this name.
    #[error("there is no input `{0}`")]
    UnknownInput(String),
    /// The plan cannot be built.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The input would leave the file out.
    #[error(transparent)]
    LeftOut(#[from] InputError),
}

/// Sends what the script says through the plan.
///
/// # Errors
/// If a plugin lacks what it needs, or there is no such input, or the file belongs to no tenant.
pub fn rehearse(
    plan: Plan,
    env: Arc<dyn Env>,
    script: Script<'_>,
) -> Result<Rehearsal, RehearsalError> {
    let input = plan.inputs.iter().position(|input| *input.name == *script.input);
    let input = input.ok_or_else(|| RehearsalError::UnknownInput(script.input.to_owned()))?;
    let (dead, mut clerk) = DeadOffice::new();
    let (stop, _) = dpipe_plugin::Shutdown::new();
    let core = Arc::new(Core::new(plan, env, dead, stop, 1));
    let lane =
        Lane::new(core.clone(), 0).map_err(|(node, source)| StartError::Build { node, source })?;

    let (sender, mut works) = mpsc::channel::<Work>(1);
    let door = InputDoor::new(core.clone(), input, Arc::new([sender]));
    let id = StreamId::default();
    let start = StreamStart { file: script.file.into(), host: String::new(), id, position: 0 };
    let stream = door.open(start)?;
    // The limits of a run are not in play: a rehearsal holds its few bytes without a credit.
    let credit = Credit::holding(Box::new(()));
    let sent = at_once(stream.send(chunk(&core, input, script.read), credit));
    sent.expect("the lane's channel has room for the one chunk");
    let work = works.try_recv().expect("the chunk was sent");
    lane.work_alone(work);

    let mut refused = letters(&mut clerk);
    let encoders = build_encoders(&core)?;
    let outputs = core.plan.outputs.iter().enumerate();
    let outputs = outputs.map(|(number, plan)| {
        (plan.name.clone(), arrivals(&core, number, &encoders, &mut refused))
    });
    let outputs = outputs.collect();
    Ok(Rehearsal { outputs, dead: refused, ledger: core.ledger() })
}

/// What a future gives that need not wait.
fn at_once<T>(mut future: BoxFuture<'_, T>) -> Option<T> {
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// What was read, as the input would cut it.
fn chunk(core: &Core, input: usize, read: Read<'_>) -> Chunk {
    let mut lines = match read {
        Read::Lines(lines) => lines.to_vec(),
        Read::Frames(frames) => {
            frames.iter().flat_map(|frame| frame.iter().chain(b"\n")).copied().collect()
        }
    };
    if !lines.ends_with(b"\n") {
        lines.push(b'\n');
    }
    let mut parts = Vec::new();
    let cut = match (&core.plan.inputs[input].multiline, read) {
        (Some(multiline), _) => {
            let bytes_max = core.plan.limits.line_bytes.bytes() as usize;
            multiline.cut(&lines, 0, bytes_max, true, &mut parts);
            Cut::Parts(parts.into())
        }
        (None, Read::Lines(_)) => Cut::Lines,
        (None, Read::Frames(frames)) => {
            let mut start = 0;
            for frame in frames {
                let len = frame.len() as u32;
                parts.push(Part { start, len });
                start += len + 1;
            }
            Cut::Parts(parts.into())
        }
    };
    let end = lines.len() as u64;
    Chunk { buffer: Buffer::from(lines), offset: 0, end, cut }
}

fn letters(clerk: &mut DeadClerk) -> Vec<Refused> {
    let told = |Letter { stage, kind, reason, raw, .. }| Refused { stage, kind, reason, raw };
    clerk.take_all().into_iter().map(told).collect()
}

/// Empties the queue of an output; what its encoder refuses joins the refused.
fn arrivals(
    core: &Core,
    number: usize,
    encoders: &[Arc<dyn Encoder>],
    refused: &mut Vec<Refused>,
) -> Vec<Arrival> {
    let mut arrived = Vec::new();
    while let Some((ticket, shipment)) = core.queues[number].try_take() {
        let batch = shipment.batch.clone();
        let mut gone = Vec::new();
        let panicked = |panic: &str| {
            core.mending.panicked(core.numbers.output(number), "encoder", panic);
        };
        let encoded = core.encoders[number].map(|id| {
            let made = shipment.encodings.get(id, &*encoders[id], &batch, panicked);
            for refusal in &made.refused {
                gone.push(refusal.index);
                refused.push(Refused {
                    stage: core.plan.outputs[number].name.clone(),
                    kind: refusal.kind,
                    reason: refusal.reason.clone(),
                    raw: batch.get(refusal.index).raw().to_vec(),
                });
            }
            made.encoded.clone()
        });
        let is_encoded = encoded.is_some();
        let parcel = Parcel::new(batch.clone(), encoded);
        let left = (0..batch.len()).filter(|index| !gone.contains(index));
        arrived.extend(left.map(|index| Arrival { parcel: parcel.clone(), index, is_encoded }));
        if let Some(receipt) = core.queues[number].done(ticket, batch.len()) {
            receipt.settle();
        }
    }
    arrived
}
