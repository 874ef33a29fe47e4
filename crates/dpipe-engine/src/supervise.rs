//! Watches over an input: one that fails is built anew, after an ever longer pause.

use std::sync::Arc;
use std::time::Duration;

use dpipe_event::Pool;
use dpipe_plugin::{Ended, InputContext, Shutdown};
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::checkpoints::InputCheckpoints;
use crate::core::Core;
use crate::door::InputDoor;
use crate::panics::{build, catch_async, chain};
use crate::telemetry::InputTelemetry;

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// An input that ran this long before it failed starts over with the first pause.
const WELL_FOR: Duration = Duration::from_secs(60);
/// Failures in a row after which a batch run gives up an input.
const BATCH_FAILURES_MAX: u32 = 3;

/// What is lent to an input each time it is built.
pub(crate) struct Lent {
    pub(crate) door: Arc<InputDoor>,
    pub(crate) checkpoints: Arc<InputCheckpoints>,
    pub(crate) telemetry: Arc<InputTelemetry>,
    pub(crate) pool: Pool,
    pub(crate) id_key: [u8; 32],
}

/// Runs an input until it ends. Returns nothing for an input that was given up.
pub(crate) async fn supervise(
    core: Arc<Core>,
    number: usize,
    lent: Lent,
    mut shutdown: Shutdown,
    batch: bool,
) -> Option<Ended> {
    let plan = &core.plan.inputs[number];
    let mut pauses = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    let mut failures = 0;
    loop {
        let started = Instant::now();
        let context = InputContext {
            env: core.env.clone(),
            node: plan.name.clone(),
            shutdown: shutdown.clone(),
            door: lent.door.clone(),
            checkpoints: lent.checkpoints.clone(),
            telemetry: lent.telemetry.clone(),
            pool: lent.pool.clone(),
            line_bytes_max: core.plan.limits.line_bytes.bytes() as usize,
            multiline: plan.multiline.clone(),
            id_key: lent.id_key,
        };
        let failure = match build(|| plan.spec.build(&core.build_context(&plan.name))) {
            Ok(input) => match catch_async(async { input.run(context).await }).await {
                Ok(Ok(ended)) => return Some(ended),
                Ok(Err(error)) => chain(&error),
                Err(panic) => {
                    core.mending.panicked(number, "input", &panic);
                    format!("it panicked: {panic}")
                }
            },
            Err(error) => error,
        };
        if shutdown.is_given() {
            return Some(Ended::Stopped);
        }
        if started.elapsed() >= WELL_FOR {
            pauses.reset();
            failures = 0;
        }
        failures += 1;
        if batch && failures >= BATCH_FAILURES_MAX {
            tracing::error!(
                input = &*plan.name,
                "the input failed {failures} times, it is given up: {failure}"
            );
            return None;
        }
        let pause = pauses.take();
        tracing::error!(input = &*plan.name, again_in = ?pause, "the input failed: {failure}");
        core.mending.restarted(number);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.given() => return Some(Ended::Stopped),
        }
    }
}
