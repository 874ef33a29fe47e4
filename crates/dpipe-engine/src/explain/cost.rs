//! What a decoder or a step costs: measured on many copies of the event, in a lane of its own, so
//! that measuring leaves no trace in what is explained.

use std::time::Duration;

use dpipe_event::{Batch, Buffer, Builder, Frame, Timestamp};
use dpipe_plugin::{Decoder, StepContext};
use tokio::time::Instant;

use crate::filter::LiveStep;
use crate::panics::catch;

/// Copies of the event in a batch: enough that what is done once a batch hardly counts.
const COPIES: usize = 64;
/// Of a long event there are fewer copies.
const BYTES_MAX: usize = 256 * 1024;
/// How long to measure one thing.
const TIME: Duration = Duration::from_millis(4);
/// And how often at least and at most. The quickest counts: the others were disturbed.
const ROUNDS_MIN: usize = 5;
const ROUNDS_MAX: usize = 500;

/// Decodes copies of a frame: the events, and what one of them costs.
pub(super) fn decode(
    decoder: &mut dyn Decoder,
    frame: &[u8],
    now: Timestamp,
) -> Option<(Builder, Duration)> {
    let copies = (BYTES_MAX / (frame.len() + 1)).clamp(1, COPIES);
    let buffer = Buffer::from([frame, b"\n"].concat().repeat(copies));
    let mut builder = Builder::new();
    let cost = best(|| {
        builder.begin(buffer.clone(), 0, now);
        let start = Instant::now();
        for copy in 0..copies {
            let start = copy * (frame.len() + 1);
            let bytes = &buffer[start..start + frame.len()];
            let frame = Frame { bytes, start: start as u32, original_len: bytes.len() };
            catch(|| decoder.decode(&frame, &mut builder)).ok()?.ok()?;
        }
        Some(start.elapsed())
    })?;
    Some((builder, cost / copies as u32))
}

/// Runs a step over copies of an event, which are left as the step leaves them, in the context what
/// it published. What it costs for one; nothing if it panics.
pub(super) fn run(
    step: &mut LiveStep,
    crowd: &mut Batch,
    context: &mut StepContext,
) -> Option<Duration> {
    let events = crowd.len();
    let mut left = None;
    let cost = best(|| {
        context.published.clear();
        let mut batch = crowd.clone();
        let start = Instant::now();
        catch(|| step.run(&mut batch, context)).ok()?;
        let elapsed = start.elapsed();
        left = Some(batch);
        context.filtered.clear();
        context.flagged.clear();
        context.refused.clear();
        context.born = 0;
        context.complaints.clear();
        Some(elapsed)
    })?;
    *crowd = left?;
    Some(cost / events.max(1) as u32)
}

fn best(mut round: impl FnMut() -> Option<Duration>) -> Option<Duration> {
    let start = Instant::now();
    let mut best = round()?;
    for done in 1..ROUNDS_MAX {
        if done >= ROUNDS_MIN && start.elapsed() >= TIME {
            break;
        }
        best = best.min(round()?);
    }
    Some(best)
}
