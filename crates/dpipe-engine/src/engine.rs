//! The engine: starts a plan and watches over it. How it ends is in [`crate::ending`].

use std::sync::Arc;
use std::time::Duration;

use dpipe_config::plan::Plan;
use dpipe_durable::{DataDir, DataDirError};
use dpipe_env::Env;
use dpipe_event::Pool;
use dpipe_plugin::settings::{Node, Problem};
use dpipe_plugin::{BuildError, Encoder, Ended, LogRing, Shutdown, ShutdownHandle};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use crate::books::{Ledger, Tally, count};
use crate::checkpoints::InputCheckpoints;
use crate::core::Core;
use crate::dead::DeadOffice;
use crate::door::{InputDoor, Work};
use crate::handle::Handle;
use crate::lane::Lane;
use crate::left::Undelivered;
use crate::panics::catch_own;
use crate::runner::{Runner, RunnerEnd};
use crate::supervise::{Lent, supervise};
use crate::telemetry::InputTelemetry;

/// The size of a read buffer: large enough that per-batch work disappears, small enough that a batch
/// and its index stay in a processor's cache.
const ROOM_BYTES: usize = 256 * 1024;
/// Chunks that may wait in front of a lane.
const LANE_CHUNKS: usize = 4;

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

impl StartError {
    pub(crate) fn of(node: &Arc<str>, error: BuildError, written: &Node) -> Self {
        StartError::Build { node: node.clone(), source: error.placed(written) }
    }

    /// The same as a problem of the configuration, if it is about a place there.
    #[must_use]
    pub fn problem(&self) -> Option<Problem> {
        let StartError::Build { source, .. } = self else { return None };
        let mut message = self.to_string();
        let mut cause: Option<&dyn std::error::Error> = Some(source);
        while let Some(error) = cause {
            message.push_str(&format!(": {error}"));
            cause = error.source();
        }
        Some(Problem::error(message).at(source.place()?.clone()))
    }
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
    /// Whether everything that was read has arrived.
    pub drained: bool,
    /// What had not arrived, by the node that it waits for.
    pub undelivered: Vec<Undelivered>,
    /// Dead letters that could not be written; their events were not told to have arrived.
    pub unwritten_letters: usize,
    /// Whether the run ended because nobody reads an output any more.
    pub closed: bool,
    /// Inputs that were given up.
    pub failed: Vec<Arc<str>>,
    /// What of the engine itself failed, in words: empty, or a bug.
    pub broken: Vec<String>,
    /// How long it ran.
    pub elapsed: Duration,
}

impl Report {
    /// What inputs left out before it became an event, by reason.
    #[must_use]
    pub fn skipped(&self) -> Tally {
        let mut all = Tally::new();
        for (reason, times) in self.ledger.lines.iter().flat_map(|line| &line.skipped) {
            count(&mut all, reason, *times);
        }
        all
    }
}

/// A running plan. Lives inside a tokio runtime.
pub struct Engine {
    pub(crate) core: Arc<Core>,
    pub(crate) inputs: Tasks<Option<Ended>>,
    pub(crate) lanes: Tasks<()>,
    pub(crate) runners: Tasks<RunnerEnd>,
    pub(crate) clerk: JoinHandle<usize>,
    pub(crate) clerk_ended: bool,
    shutdown: Shutdown,
    pub(crate) stop_lanes: ShutdownHandle,
    pub(crate) stop_runners: ShutdownHandle,
    pub(crate) stop_clerk: ShutdownHandle,
    pub(crate) started: Instant,
    pub(crate) options: RunOptions,
    /// Keeps the lock.
    data_dir: DataDir,
    /// Keeps the lanes going when no input is left: they end when they are told to.
    _senders: Arc<[mpsc::Sender<Work>]>,
    pub(crate) failed: Vec<Arc<str>>,
    pub(crate) broken: Vec<String>,
}

/// Tasks of one kind, by number; of one that panicked comes the panic's message.
pub(crate) type Tasks<T> = JoinSet<(usize, Result<T, String>)>;

fn spawn<T: Send + 'static>(
    tasks: &mut Tasks<T>,
    number: usize,
    task: impl Future<Output = T> + Send + 'static,
) {
    tasks.spawn(async move { (number, catch_own(task).await) });
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
        let lane_count = lane_count(&plan);
        let core = Arc::new(Core::new(plan, env, dead, stop, lane_count));
        let fault = |node: &Arc<str>, source| StartError::Build { node: node.clone(), source };

        let (stop_runners, runners_stop) = Shutdown::new();
        let encoders = build_encoders(&core)?;
        let mut outputs = Vec::new();
        for (number, plan) in core.plan.outputs.iter().enumerate() {
            let output = plan.spec.build(&core.build_context(&plan.name));
            let output =
                output.map_err(|error| StartError::of(&plan.name, error, &plan.written))?;
            let encoder = core.encoders[number].map(|id| (id, encoders[id].clone()));
            outputs.push(Runner::new(core.clone(), number, output, encoder, runners_stop.clone()));
        }
        let mut lanes = Vec::new();
        for number in 0..lane_count {
            let lane = Lane::new(core.clone(), number);
            lanes.push(lane.map_err(|(node, source)| fault(&node, source))?);
        }
        // Inputs are built again when they run; this finds out now what they lack.
        for plan in &core.plan.inputs {
            let context = core.build_context(&plan.name);
            let fault = |error| StartError::of(&plan.name, error, &plan.written);
            plan.spec.build(&context).map(drop).map_err(fault)?;
            plan.decoder.build(&context).map(drop).map_err(fault)?;
        }

        let (stop_clerk, clerk_stop) = Shutdown::new();
        let clerk = tokio::spawn(clerk.run(store, clerk_stop));
        let mut runners = JoinSet::new();
        for (number, runner) in outputs.into_iter().enumerate() {
            spawn(&mut runners, number, runner.run());
        }
        let (stop_lanes, lanes_stop) = Shutdown::new();
        let mut lane_tasks = JoinSet::new();
        let mut senders = Vec::new();
        for (number, lane) in lanes.into_iter().enumerate() {
            let (sender, receiver) = mpsc::channel::<Work>(LANE_CHUNKS);
            senders.push(sender);
            spawn(&mut lane_tasks, number, lane.run(receiver, lanes_stop.clone()));
        }
        let senders: Arc<[mpsc::Sender<Work>]> = senders.into();
        let pool = Pool::new(ROOM_BYTES, core.bytes.limit() / ROOM_BYTES + 2);
        let mut inputs = JoinSet::new();
        for (number, plan) in core.plan.inputs.iter().enumerate() {
            let door = Arc::new(InputDoor::new(core.clone(), number, senders.clone()));
            let checkpoints = Arc::new(InputCheckpoints::new(data_dir.checkpoints(&plan.name)?));
            let telemetry = InputTelemetry::new(core.clone(), number, log.clone(), started);
            let lent = Lent {
                door,
                checkpoints,
                telemetry: Arc::new(telemetry),
                pool: pool.clone(),
                id_key: *data_dir.id_key(),
            };
            let supervised = supervise(core.clone(), number, lent, shutdown.clone(), options.batch);
            spawn(&mut inputs, number, supervised);
        }
        Ok(Engine {
            core,
            inputs,
            lanes: lane_tasks,
            runners,
            clerk,
            clerk_ended: false,
            shutdown,
            stop_lanes,
            stop_runners,
            stop_clerk,
            started,
            options,
            data_dir,
            _senders: senders,
            failed: Vec::new(),
            broken: Vec::new(),
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

    /// Runs to the end: until the handle gives the signal to stop; in a batch run, until every input
    /// is exhausted; or until a part of the engine fails that cannot be mended. Then inputs stop,
    /// lanes drain, outputs flush and close, in this order.
    pub async fn run(mut self) -> Report {
        let mut stopping = self.shutdown.clone();
        let mut reading = true;
        while self.broken.is_empty() && (reading || !self.options.batch) {
            tokio::select! {
                ended = self.inputs.join_next(), if reading => match ended {
                    Some(ended) => self.note_input(ended),
                    None => reading = false,
                },
                Some(ended) = self.lanes.join_next() => self.note_lane(ended, false),
                Some(ended) = self.runners.join_next() => self.note_runner(ended, false),
                ended = &mut self.clerk => self.note_clerk(ended),
                () = stopping.given() => break,
            }
        }
        self.end().await
    }
}

fn lane_count(plan: &Plan) -> usize {
    match plan.limits.lanes {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        lanes => lanes,
    }
}

/// Builds each distinct encoder once.
pub(crate) fn build_encoders(core: &Core) -> Result<Vec<Arc<dyn Encoder>>, StartError> {
    let mut built: Vec<Arc<dyn Encoder>> = Vec::new();
    for (output, number) in core.plan.outputs.iter().zip(&core.encoders) {
        if let (Some(plan), Some(number)) = (&output.encoder, number)
            && *number == built.len()
        {
            let encoder = plan.spec.build(&core.build_context(&output.name));
            let encoder =
                encoder.map_err(|error| StartError::of(&output.name, error, &output.written))?;
            built.push(encoder.into());
        }
    }
    Ok(built)
}
