//! The engine: starts a plan, watches over it, and ends it in order.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use dpipe_config::plan::{Plan, TenantPlan};
use dpipe_durable::{DataDir, DataDirError};
use dpipe_env::Env;
use dpipe_event::Pool;
use dpipe_plugin::template::TenantSettings;
use dpipe_plugin::{
    BuildError, Encoder, Ended, InputContext, LogRing, Shared, Shutdown, ShutdownHandle,
};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::books::Ledger;
use crate::checkpoints::InputCheckpoints;
use crate::core::{Core, Health};
use crate::dead::DeadOffice;
use crate::door::{InputDoor, Work};
use crate::handle::Handle;
use crate::lane::Lane;
use crate::panics::catch_async;
use crate::queue::Queue;
use crate::route::{Numbers, Route};
use crate::runner::Runner;
use crate::telemetry::InputTelemetry;
use crate::tenant::{Budget, Tenants};

/// The size of a read buffer: large enough that per-batch work disappears, small enough that a batch
/// and its index stay in a processor's cache.
const ROOM_BYTES: usize = 256 * 1024;
/// Chunks that may wait in front of a lane.
const LANE_CHUNKS: usize = 4;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// An input that ran this long before it failed starts over with the first pause.
const WELL_FOR: Duration = Duration::from_secs(60);
/// Failures in a row after which a batch run gives up an input.
const BATCH_FAILURES_MAX: u32 = 3;

/// Why the engine did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// A file in it cannot be read or written.
    #[error("the files in the data directory cannot be used")]
    State(#[from] std::io::Error),
    /// Something that a node needs is not there.
    #[error("`{node}` cannot start")]
    Build {
        /// The node.
        node: Arc<str>,
        /// What it lacks.
        #[source]
        source: BuildError,
    },
}

/// How a run is to end.
#[derive(Clone, Copy, Debug)]
pub struct RunOptions {
    /// End when every input is exhausted.
    pub batch: bool,
    /// How long an orderly end may take.
    pub grace: Duration,
}

impl Default for RunOptions {
    fn default() -> Self {
        RunOptions { batch: false, grace: Duration::from_secs(10) }
    }
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Report {
    /// The books at the end.
    pub ledger: Ledger,
    /// Whether everything that was read has arrived. If not, replayable inputs read it again at the
    /// next start.
    pub drained: bool,
    /// Inputs that were given up.
    pub failed: Vec<Arc<str>>,
    /// How long it ran.
    pub elapsed: Duration,
}

/// A running plan. Lives inside a tokio runtime.
pub struct Engine {
    core: Arc<Core>,
    inputs: JoinSet<(usize, Option<Ended>)>,
    lanes: JoinSet<()>,
    runners: JoinSet<()>,
    clerk: tokio::task::JoinHandle<()>,
    shutdown: Shutdown,
    stop_runners: ShutdownHandle,
    started: Instant,
    options: RunOptions,
    /// Keeps the lock.
    data_dir: DataDir,
}

impl Engine {
    /// Opens the data directory, builds every plugin and starts them, outputs first.
    ///
    /// # Errors
    /// If the data directory is in use or broken, or a plugin lacks what it needs. Nothing runs then.
    pub fn start(plan: Plan, env: Arc<dyn Env>, options: RunOptions) -> Result<Engine, StartError> {
        Self::start_with_log(plan, env, options, LogRing::new(1))
    }

    /// The same, and lets inputs read what dpipe logs.
    ///
    /// # Errors
    /// As [`Engine::start`].
    pub fn start_with_log(
        plan: Plan,
        env: Arc<dyn Env>,
        options: RunOptions,
        log: LogRing,
    ) -> Result<Engine, StartError> {
        let started = Instant::now();
        let data_dir = DataDir::open(env.clone(), &plan.data_dir)?;
        let dead_max = plan.limits.dead_bytes.bytes();
        let store = Arc::new(data_dir.dead_letters(dead_max)?);
        let (dead, clerk) = DeadOffice::new();
        let (stop, shutdown) = Shutdown::new();
        let core = Arc::new(build_core(plan, env, dead, stop));

        let (stop_runners, runners_stop) = Shutdown::new();
        let encoders = build_encoders(&core)?;
        let mut outputs = Vec::new();
        for (number, plan) in core.plan.outputs.iter().enumerate() {
            let output = plan.spec.build(&core.build_context(&plan.name));
            let output =
                output.map_err(|source| StartError::Build { node: plan.name.clone(), source })?;
            let encoder = core.encoders[number].map(|id| (id, encoders[id].clone()));
            outputs.push(Runner::new(core.clone(), number, output, encoder, runners_stop.clone()));
        }
        let mut lanes = Vec::new();
        for _ in 0..lane_count(&core.plan) {
            let lane = Lane::new(core.clone());
            lanes.push(lane.map_err(|(node, source)| StartError::Build { node, source })?);
        }
        // Inputs are built again when they run; this finds out now what they lack.
        for plan in &core.plan.inputs {
            plan.spec
                .build(&core.build_context(&plan.name))
                .map(drop)
                .map_err(|source| StartError::Build { node: plan.name.clone(), source })?;
            plan.decoder
                .build(&core.build_context(&plan.name))
                .map(drop)
                .map_err(|source| StartError::Build { node: plan.name.clone(), source })?;
        }

        let clerk = tokio::spawn(clerk.run(store));
        let mut runner_tasks = JoinSet::new();
        for runner in outputs {
            runner_tasks.spawn(runner.run());
        }
        let mut lane_tasks = JoinSet::new();
        let mut senders = Vec::new();
        for lane in lanes {
            let (sender, receiver) = mpsc::channel::<Work>(LANE_CHUNKS);
            senders.push(sender);
            lane_tasks.spawn(lane.run(receiver));
        }
        let senders: Arc<[mpsc::Sender<Work>]> = senders.into();
        let pool = Pool::new(ROOM_BYTES, core.bytes.limit() / ROOM_BYTES + 2);
        let mut inputs = JoinSet::new();
        for (number, plan) in core.plan.inputs.iter().enumerate() {
            let door = Arc::new(InputDoor::new(core.clone(), number, senders.clone()));
            let checkpoints = InputCheckpoints::new(data_dir.checkpoints(&plan.name)?);
            let context = Lent {
                door,
                checkpoints: Arc::new(checkpoints),
                telemetry: Arc::new(InputTelemetry::new(
                    core.clone(),
                    number,
                    log.clone(),
                    started,
                )),
                pool: pool.clone(),
                id_key: *data_dir.id_key(),
            };
            inputs.spawn(supervise(core.clone(), number, context, shutdown.clone(), options.batch));
        }
        Ok(Engine {
            core,
            inputs,
            lanes: lane_tasks,
            runners: runner_tasks,
            clerk,
            shutdown,
            stop_runners,
            started,
            options,
            data_dir,
        })
    }

    /// What others may ask of the running engine.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle::new(self.core.clone(), self.started)
    }

    /// What a caller shows who may change things.
    #[must_use]
    pub fn admin_token(&self) -> &str {
        self.data_dir.admin_token()
    }

    /// Runs to the end: until the handle gives the signal to stop, or, in a batch run, until every
    /// input is exhausted. Then inputs stop, lanes drain, outputs flush, in this order.
    pub async fn run(mut self) -> Report {
        let mut failed = Vec::new();
        let mut stopping = self.shutdown.clone();
        loop {
            tokio::select! {
                ended = self.inputs.join_next() => match ended {
                    Some(ended) => self.note_end(ended, &mut failed),
                    None if self.options.batch => break,
                    None => {
                        stopping.given().await;
                        break;
                    }
                },
                () = stopping.given() => break,
            }
        }
        let drained = self.drain(&mut failed).await;
        Report { ledger: self.core.ledger(), drained, failed, elapsed: self.started.elapsed() }
    }

    fn note_end(
        &self,
        ended: Result<(usize, Option<Ended>), tokio::task::JoinError>,
        failed: &mut Vec<Arc<str>>,
    ) {
        match ended {
            Ok((number, Some(how))) => {
                let input = &*self.core.plan.inputs[number].name;
                tracing::info!(input, ?how, "the input has ended");
            }
            Ok((number, None)) => failed.push(self.core.plan.inputs[number].name.clone()),
            Err(error) => tracing::error!(%error, "an input's supervisor failed"),
        }
    }

    async fn drain(&mut self, failed: &mut Vec<Arc<str>>) -> bool {
        let closed = self.core.closed.load(std::sync::atomic::Ordering::Acquire);
        let grace = if closed { Duration::ZERO } else { self.options.grace };
        let deadline = Instant::now() + grace;
        self.core.stop.give();
        self.stop_runners.give();
        // Inputs wait until what they sent has arrived, so lanes and outputs still run.
        let mut drained = true;
        while let Some(ended) = self.next_input(deadline).await {
            match ended {
                Some(ended) => self.note_end(ended, failed),
                None => {
                    drained = false;
                    self.core.stop.abandon();
                    let last = Instant::now() + Duration::from_secs(1);
                    while let Some(Some(ended)) = self.next_input(last).await {
                        self.note_end(ended, failed);
                    }
                    self.inputs.shutdown().await;
                    break;
                }
            }
        }
        // With the inputs, the senders to the lanes are gone.
        while self.lanes.join_next().await.is_some() {}
        for queue in &self.core.queues {
            queue.close();
        }
        let all = async { while self.runners.join_next().await.is_some() {} };
        if tokio::time::timeout_at(deadline, all).await.is_err() {
            drained = false;
            self.stop_runners.abandon();
            let all = async { while self.runners.join_next().await.is_some() {} };
            let _ = tokio::time::timeout(Duration::from_secs(1), all).await;
            self.runners.shutdown().await;
        }
        self.core.dead.close();
        let left = deadline.max(Instant::now() + Duration::from_secs(1));
        if tokio::time::timeout_at(left, &mut self.clerk).await.is_err() {
            tracing::error!("dead letters could not be written before the end");
            self.clerk.abort();
            drained = false;
        }
        drained
    }

    /// The next input that ends; `Some(None)` if none did before the deadline.
    async fn next_input(
        &mut self,
        deadline: Instant,
    ) -> Option<Option<Result<(usize, Option<Ended>), tokio::task::JoinError>>> {
        match tokio::time::timeout_at(deadline, self.inputs.join_next()).await {
            Ok(ended) => ended.map(Some),
            Err(_) => Some(None),
        }
    }
}

fn lane_count(plan: &Plan) -> usize {
    match plan.limits.lanes {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        lanes => lanes,
    }
}

pub(crate) fn build_core(
    plan: Plan,
    env: Arc<dyn Env>,
    dead: DeadOffice,
    stop: ShutdownHandle,
) -> Core {
    let numbers = Numbers::of(&plan);
    let freed = Arc::new(Notify::new());
    let queues = plan.outputs.iter().map(|o| Queue::new(&o.buffer, freed.clone())).collect();
    // Encoders that are configured alike are one.
    let mut known: HashMap<String, usize> = HashMap::new();
    let encoders = plan.outputs.iter().map(|output| {
        let encoder = output.encoder.as_ref()?;
        let next = known.len();
        Some(*known.entry(format!("{} {:?}", encoder.plugin, encoder.spec)).or_insert(next))
    });
    let encoders = encoders.collect();
    let shared = Shared::default();
    let settings = |tenant: &TenantPlan| (tenant.name.to_string(), tenant.settings.clone());
    TenantSettings(plan.tenants.iter().map(settings).collect()).lend(&shared);
    Core {
        route: Route::of(&plan),
        tenants: Tenants::new(&plan, numbers.all()),
        bytes: Budget::new(plan.limits.bytes_in_flight.bytes() as usize),
        host: env.host_name().into(),
        decode_stage: "decode".into(),
        encoder_count: known.len(),
        encoders,
        numbers,
        queues,
        dead,
        freed,
        losses: Arc::default(),
        shared,
        health: Health::default(),
        stop,
        closed: std::sync::atomic::AtomicBool::new(false),
        plan,
        env,
    }
}

/// Builds each distinct encoder once.
fn build_encoders(core: &Core) -> Result<Vec<Arc<dyn Encoder>>, StartError> {
    let mut built: Vec<Arc<dyn Encoder>> = Vec::new();
    for (output, number) in core.plan.outputs.iter().zip(&core.encoders) {
        if let (Some(plan), Some(number)) = (&output.encoder, number)
            && *number == built.len()
        {
            let encoder = plan.spec.build(&core.build_context(&output.name));
            let encoder = encoder
                .map_err(|source| StartError::Build { node: output.name.clone(), source })?;
            built.push(encoder.into());
        }
    }
    Ok(built)
}

/// What is lent to an input each time it is built.
struct Lent {
    door: Arc<InputDoor>,
    checkpoints: Arc<InputCheckpoints>,
    telemetry: Arc<InputTelemetry>,
    pool: Pool,
    id_key: [u8; 32],
}

/// Runs an input until it ends; one that fails is built anew, after an ever longer pause. Returns
/// nothing for an input that was given up.
async fn supervise(
    core: Arc<Core>,
    number: usize,
    lent: Lent,
    mut shutdown: Shutdown,
    batch: bool,
) -> (usize, Option<Ended>) {
    let plan = &core.plan.inputs[number];
    let mut pause = FIRST_PAUSE;
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
        let failure = match plan.spec.build(&core.build_context(&plan.name)) {
            Ok(input) => match catch_async(async { input.run(context).await }).await {
                Ok(Ok(ended)) => return (number, Some(ended)),
                Ok(Err(error)) => chain(&error),
                Err(panic) => {
                    core.panicked("input", &plan.name, &panic);
                    format!("it panicked: {panic}")
                }
            },
            Err(error) => chain(&error),
        };
        if shutdown.is_given() {
            return (number, Some(Ended::Stopped));
        }
        if started.elapsed() >= WELL_FOR {
            (pause, failures) = (FIRST_PAUSE, 0);
        }
        failures += 1;
        if batch && failures >= BATCH_FAILURES_MAX {
            tracing::error!(
                input = &*plan.name,
                "the input failed {failures} times, it is given up: {failure}"
            );
            return (number, None);
        }
        tracing::error!(input = &*plan.name, again_in = ?pause, "the input failed: {failure}");
        core.restarted();
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.given() => return (number, Some(Ended::Stopped)),
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
