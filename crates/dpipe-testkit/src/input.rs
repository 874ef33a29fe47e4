//! The pipeline as an input sees it: gives credits, takes chunks, settles receipts, keeps
//! checkpoints. All of it as a test says, and nothing by the clock.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use dpipe_env::Env;
use dpipe_event::{Origin, Pool, Progress, Receipt, logfile_name};
use dpipe_plugin::{
    BoxFuture, Checkpoints, Chunk, Credit, Door, Ended, Input, InputContext, InputError, Loan,
    LogLine, LogRing, Multiline, Reading, Shutdown, ShutdownHandle, Stream, StreamStart, Telemetry,
};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::MemoryEnv;

/// What an input runs in. One world may run several, one after the other: checkpoints stay.
pub struct InputWorld {
    /// The outside world.
    pub env: Arc<dyn Env>,
    /// The longest line; 1 MiB if nobody says otherwise.
    pub line_bytes_max: usize,
    /// What dpipe tells of itself.
    pub telemetry: Arc<TestTelemetry>,
    /// Which lines are joined.
    pub multiline: Option<Arc<Multiline>>,
    pool: Pool,
    inside: Arc<Inside>,
    shutdown: Shutdown,
    hand: ShutdownHandle,
}

/// An engine that tells of itself what a test says.
pub struct TestTelemetry {
    /// Its figures.
    pub readings: Mutex<Vec<Reading>>,
    /// Its log.
    pub log: LogRing,
    /// The node whose lines are those of the input's own way.
    pub own: &'static str,
}

impl Default for TestTelemetry {
    fn default() -> Self {
        TestTelemetry { readings: Mutex::default(), log: LogRing::new(100), own: "own" }
    }
}

impl Telemetry for TestTelemetry {
    fn readings(&self) -> Vec<Reading> {
        self.readings.lock().clone()
    }

    fn log(&self) -> &LogRing {
        &self.log
    }

    fn is_of_own_way(&self, line: &LogLine) -> bool {
        line.fields.iter().any(|(key, node)| *key == "node" && node == self.own)
    }
}

struct Inside {
    gives_credit: bool,
    settles: bool,
    tenant_by_folder: AtomicBool,
    lent: AtomicUsize,
    starved: Mutex<Starved>,
    state: Mutex<State>,
    /// Something changed.
    changed: Notify,
    /// Something was settled.
    settled: Notify,
    /// Who had no credit may have some.
    freed: Notify,
}

/// Whose streams get no credit.
#[derive(Default)]
enum Starved {
    #[default]
    Nobody,
    /// Those of files with this in their path.
    With(String),
    /// Those of all others.
    Without(String),
}

#[derive(Default)]
struct State {
    asked: usize,
    chunks: Vec<(Arc<Origin>, Chunk)>,
    receipts: Vec<Receipt>,
    /// The checkpoints that a crash leaves.
    checkpoints: BTreeMap<String, String>,
    /// Those that a power failure leaves.
    saved: BTreeMap<String, String>,
    skipped: BTreeMap<&'static str, u64>,
    noted: BTreeMap<&'static str, u64>,
}

struct TestStream {
    origin: Arc<Origin>,
    progress: Arc<Progress>,
    inside: Arc<Inside>,
}

impl InputWorld {
    /// A world that takes everything and settles it at once.
    #[must_use]
    pub fn new() -> Self {
        Self::that(true, true)
    }

    /// A world that has no room for anything.
    #[must_use]
    pub fn without_credit() -> Self {
        Self::that(false, true)
    }

    /// A world that takes everything, and settles it when [`InputWorld::settle`] is called.
    #[must_use]
    pub fn holding_receipts() -> Self {
        Self::that(true, false)
    }

    /// The world after a restart: what was saved is there, and nothing else.
    #[must_use]
    pub fn restarted(&self) -> Self {
        let world = Self::that(self.inside.gives_credit, self.inside.settles);
        let world = world.with_checkpoints_of(self);
        InputWorld {
            env: self.env.clone(),
            line_bytes_max: self.line_bytes_max,
            multiline: self.multiline.clone(),
            ..world
        }
    }

    /// The same, where an input has saved what it saved in another world.
    #[must_use]
    pub fn with_checkpoints_of(self, other: &Self) -> Self {
        let mut state = self.inside.state.lock();
        (state.checkpoints, state.saved) = (other.checkpoints(), other.checkpoints());
        drop(state);
        self
    }

    /// Takes the folder of a file for its tenant.
    #[must_use]
    pub fn with_a_tenant_by_folder(self) -> Self {
        self.inside.tenant_by_folder.store(true, Ordering::Relaxed);
        self
    }

    /// From now on gives no credit to files with this in their path.
    pub fn starve(&self, file: &str) {
        *self.inside.starved.lock() = Starved::With(file.to_owned());
    }

    /// From now on gives credit to files with this in their path only.
    pub fn starve_all_but(&self, file: &str) {
        *self.inside.starved.lock() = Starved::Without(file.to_owned());
        self.inside.freed.notify_waiters();
    }

    /// Gives credit to everyone again.
    pub fn feed(&self) {
        *self.inside.starved.lock() = Starved::Nobody;
        self.inside.freed.notify_waiters();
    }

    fn that(gives_credit: bool, settles: bool) -> Self {
        let (hand, shutdown) = Shutdown::new();
        let [changed, settled, freed] = [const { Notify::const_new() }; 3];
        InputWorld {
            env: Arc::new(MemoryEnv::new()),
            line_bytes_max: 1 << 20,
            multiline: None,
            telemetry: Arc::default(),
            pool: Pool::new(64 << 10, 4),
            inside: Arc::new(Inside {
                gives_credit,
                settles,
                tenant_by_folder: AtomicBool::new(false),
                lent: AtomicUsize::new(0),
                starved: Mutex::default(),
                state: Mutex::default(),
                changed,
                settled,
                freed,
            }),
            shutdown,
            hand,
        }
    }

    /// Runs an input to its end.
    ///
    /// # Errors
    /// Those of the input.
    pub async fn run(&self, input: Box<dyn Input>) -> Result<Ended, InputError> {
        input.run(self.context()).await
    }

    /// What an input is lent, for one that is not run as a whole.
    #[must_use]
    pub fn context(&self) -> InputContext {
        InputContext {
            env: self.env.clone(),
            node: "in".into(),
            shutdown: self.shutdown.clone(),
            door: Arc::new(TestDoor(self.inside.clone())),
            checkpoints: self.inside.clone(),
            telemetry: self.telemetry.clone(),
            pool: self.pool.clone(),
            line_bytes_max: self.line_bytes_max,
            multiline: self.multiline.clone(),
            id_key: [7; 32],
        }
    }

    /// Tells the input to stop.
    pub fn stop(&self) {
        self.hand.give();
    }

    /// Tells the input that there is no more time.
    pub fn abandon(&self) {
        self.hand.abandon();
    }

    /// Settles everything that was sent so far.
    pub fn settle(&self) {
        let receipts = std::mem::take(&mut self.inside.state.lock().receipts);
        receipts.into_iter().for_each(Receipt::settle);
        self.inside.changed.notify_waiters();
    }

    /// Loses everything that was sent so far and is not settled.
    pub fn lose(&self) {
        let receipts = std::mem::take(&mut self.inside.state.lock().receipts);
        drop(receipts);
        self.inside.changed.notify_waiters();
    }

    /// Waits until so many chunks were sent.
    pub async fn sent(&self, chunks: usize) {
        self.until(|world| world.chunks() >= chunks).await;
    }

    /// How many chunks were sent.
    #[must_use]
    pub fn chunks(&self) -> usize {
        self.inside.state.lock().chunks.len()
    }

    /// How many bytes are lent at the moment.
    #[must_use]
    pub fn lent(&self) -> usize {
        self.inside.lent.load(Ordering::Relaxed)
    }

    /// Waits until the input asked for a credit.
    pub async fn asked_for_credit(&self) {
        self.until(|world| world.inside.state.lock().asked > 0).await;
    }

    /// Waits until the world is as it should be.
    pub async fn until(&self, reached: impl Fn(&Self) -> bool) {
        loop {
            let changed = self.inside.changed.notified();
            if reached(self) {
                return;
            }
            changed.await;
        }
    }

    /// The lines that were sent, without their ends.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let state = self.inside.state.lock();
        let chunks = state.chunks.iter();
        chunks.flat_map(|(_, chunk)| lines_of(chunk)).collect()
    }

    /// The lines that were sent, by the file they are said to come from.
    #[must_use]
    pub fn lines_by_file(&self) -> BTreeMap<String, Vec<String>> {
        let mut files: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (origin, chunk) in &self.inside.state.lock().chunks {
            files.entry(origin.file.to_string()).or_default().extend(lines_of(chunk));
        }
        files
    }

    /// The lengths of the lines that were cut.
    #[must_use]
    pub fn cut(&self) -> Vec<usize> {
        self.inside.state.lock().chunks.iter().filter_map(|(_, chunk)| chunk.cut_from()).collect()
    }

    /// The first place at which the chunks of a file do not follow one another.
    #[must_use]
    pub fn gap(&self) -> Option<u64> {
        let mut ends: BTreeMap<String, u64> = BTreeMap::new();
        let state = self.inside.state.lock();
        state.chunks.iter().find_map(|(origin, chunk)| {
            let before = ends.insert(origin.file.to_string(), chunk.end);
            (before.is_some_and(|end| end != chunk.offset)).then_some(chunk.offset)
        })
    }

    /// What the input noted, by key, saved or not.
    #[must_use]
    pub fn checkpoints(&self) -> BTreeMap<String, String> {
        self.inside.state.lock().checkpoints.clone()
    }

    /// What the input saved, by key.
    #[must_use]
    pub fn saved(&self) -> BTreeMap<String, String> {
        self.inside.state.lock().saved.clone()
    }

    /// What the input left out, by reason.
    #[must_use]
    pub fn skipped(&self) -> BTreeMap<&'static str, u64> {
        self.inside.state.lock().skipped.clone()
    }

    /// What else happened to the input.
    #[must_use]
    pub fn noted(&self) -> BTreeMap<&'static str, u64> {
        self.inside.state.lock().noted.clone()
    }
}

impl Default for InputWorld {
    fn default() -> Self {
        Self::new()
    }
}

fn lines_of(chunk: &Chunk) -> Vec<String> {
    chunk.frames().map(|frame| String::from_utf8_lossy(frame.bytes).into_owned()).collect()
}

struct TestDoor(Arc<Inside>);

impl Door for TestDoor {
    fn open(&self, start: StreamStart) -> Result<Arc<dyn Stream>, InputError> {
        let origin = Origin {
            tenant: self.tenant(&start.file)?,
            input: "in".into(),
            logfile: logfile_name(&start.file).into(),
            file: start.file.into(),
            host: start.host.into(),
            stream: start.id,
        };
        let inside = self.0.clone();
        let notify = inside.clone();
        let progress = Progress::new(start.position, move || {
            notify.settled.notify_one();
            notify.freed.notify_waiters();
            notify.changed.notify_waiters();
        });
        Ok(Arc::new(TestStream { origin: Arc::new(origin), progress, inside }))
    }

    fn tenant(&self, file: &str) -> Result<Arc<str>, InputError> {
        let folder = Path::new(file).parent().and_then(Path::file_name);
        let name = folder.filter(|_| self.0.tenant_by_folder.load(Ordering::Relaxed));
        Ok(name.map_or("default".into(), |name| name.to_string_lossy().into()))
    }

    fn freed(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.0.freed.notified())
    }

    fn some_settled(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.0.settled.notified())
    }

    fn skipped_of(&self, _: &str, reason: &'static str, count: u64) {
        *self.0.state.lock().skipped.entry(reason).or_default() += count;
        self.0.changed.notify_waiters();
    }

    fn noted(&self, what: &'static str, count: u64) {
        *self.0.state.lock().noted.entry(what).or_default() += count;
        self.0.changed.notify_waiters();
    }
}

struct Lent {
    inside: Arc<Inside>,
    bytes: usize,
}

impl Loan for Lent {
    fn keep(&mut self, bytes: usize) {
        let back = self.bytes.saturating_sub(bytes);
        self.bytes -= back;
        self.inside.lent.fetch_sub(back, Ordering::Relaxed);
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.keep(0);
    }
}

impl TestStream {
    fn ask(&self) {
        self.inside.state.lock().asked += 1;
        self.inside.changed.notify_waiters();
    }

    fn lend(&self, bytes: usize) -> Option<Credit> {
        let is_starved = match &*self.inside.starved.lock() {
            Starved::Nobody => false,
            Starved::With(part) => self.origin.file.contains(part),
            Starved::Without(part) => !self.origin.file.contains(part),
        };
        (self.inside.gives_credit && !is_starved).then(|| {
            self.inside.lent.fetch_add(bytes, Ordering::Relaxed);
            Credit::of(Box::new(Lent { inside: self.inside.clone(), bytes }))
        })
    }
}

impl Stream for TestStream {
    fn origin(&self) -> &Arc<Origin> {
        &self.origin
    }

    fn reserve(&self, bytes: usize) -> BoxFuture<'_, Credit> {
        Box::pin(async move {
            self.ask();
            loop {
                let freed = self.inside.freed.notified();
                if let Some(credit) = self.lend(bytes) {
                    return credit;
                }
                freed.await;
            }
        })
    }

    fn try_reserve(&self, bytes: usize) -> Option<Credit> {
        self.ask();
        self.lend(bytes)
    }

    fn send(&self, chunk: Chunk, credit: Credit) -> BoxFuture<'_, ()> {
        let receipt = self.progress.open(chunk.end, credit.into_held());
        let mut state = self.inside.state.lock();
        state.chunks.push((self.origin.clone(), chunk));
        if self.inside.settles {
            drop(state);
            receipt.settle();
        } else {
            state.receipts.push(receipt);
        }
        self.inside.changed.notify_waiters();
        Box::pin(async {})
    }

    fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }
}

impl Checkpoints for Inside {
    fn load(&self) -> Vec<(String, String)> {
        self.state.lock().checkpoints.clone().into_iter().collect()
    }

    fn note(&self, changes: &[(String, Option<String>)]) -> io::Result<()> {
        let mut state = self.state.lock();
        for (key, value) in changes {
            match value {
                Some(value) => state.checkpoints.insert(key.clone(), value.clone()),
                None => state.checkpoints.remove(key),
            };
        }
        drop(state);
        self.changed.notify_waiters();
        Ok(())
    }

    fn save(&self, changes: &[(String, Option<String>)]) -> io::Result<()> {
        self.note(changes)?;
        let mut state = self.state.lock();
        state.saved = state.checkpoints.clone();
        Ok(())
    }
}
