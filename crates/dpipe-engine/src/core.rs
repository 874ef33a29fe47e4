//! What every part of a running engine shares.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use dpipe_config::plan::{Plan, TenantPlan};
use dpipe_env::Env;
use dpipe_plugin::template::TenantSettings;
use dpipe_plugin::{BuildContext, Shared, ShutdownHandle};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::dead::DeadOffice;
use crate::lineup::Lineup;
use crate::mended::Mending;
use crate::queue::Queue;
use crate::rest::Rest;
use crate::route::{Numbers, Route};
use crate::tenant::{Budget, Tenants};

/// What every part of a running engine shares.
pub(crate) struct Core {
    pub(crate) plan: Plan,
    pub(crate) env: Arc<dyn Env>,
    pub(crate) host: Arc<str>,
    /// What dead letters of a codec name as their stage.
    pub(crate) decode_stage: Arc<str>,
    pub(crate) route: Route,
    pub(crate) numbers: Numbers,
    pub(crate) tenants: Tenants,
    pub(crate) bytes: Budget,
    /// By lane: the chunks that it has yet to work on, the one that it works on included.
    pub(crate) lanes: Box<[Lineup]>,
    /// What waits for filters that panic over one event after the other.
    pub(crate) rests: Mutex<Vec<Arc<Rest>>>,
    pub(crate) queues: Vec<Queue>,
    /// The number of the encoder of each output that has one, and how many distinct ones there are.
    pub(crate) encoders: Vec<Option<usize>>,
    pub(crate) encoder_count: usize,
    pub(crate) dead: DeadOffice,
    /// Told whenever an input that waits may go on.
    pub(crate) freed: Arc<Notify>,
    /// Receipts that somebody dropped without settling or abandoning them.
    pub(crate) losses: Arc<AtomicU64>,
    pub(crate) shared: Shared,
    pub(crate) mending: Mending,
    /// Ends the run.
    pub(crate) stop: ShutdownHandle,
    /// Whether the run ends because nobody reads an output any more.
    pub(crate) closed: AtomicBool,
}

impl Core {
    pub(crate) fn new(
        plan: Plan,
        env: Arc<dyn Env>,
        dead: DeadOffice,
        stop: ShutdownHandle,
        lanes: usize,
    ) -> Self {
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
            lanes: (0..lanes).map(|_| Lineup::default()).collect(),
            rests: Mutex::default(),
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
            mending: Mending::of(&plan),
            stop,
            closed: AtomicBool::new(false),
            plan,
            env,
        }
    }

    /// What a node's plugin may use to be built.
    pub(crate) fn build_context<'a>(&'a self, node: &'a str) -> BuildContext<'a> {
        BuildContext {
            env: &self.env,
            node,
            step: 0,
            data_dir: &self.plan.data_dir,
            config_dir: &self.plan.config_dir,
            shared: &self.shared,
            decoder: None,
        }
    }
}
