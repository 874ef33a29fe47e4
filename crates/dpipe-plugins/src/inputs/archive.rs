//! Reads files once, some at a time, from the first line to the last.
//!
//! Files are taken in the order of their paths. Gzip and zstd files are read as what they contain,
//! whatever their name. Finished files are remembered: a run that was interrupted goes on where it
//! was, and one that is started again reads only what has come since. A last line without its end
//! counts as a line.
//!
//! A file that cannot be read on is reported with its name and position, what stood before that is
//! kept, and the other files are read; the next start tries again. It is counted as
//! `unreadable_file`, `damaged_file`, `torn_file` or `decompression_limit`; one that names no tenant
//! as `path_without_tenant`, and one of a tenant too many as `too_many_tenants`.
//!
//! ```yaml
//! type: archive
//! include: ["/data/als/**/*"]
//! exclude: ["*.tmp"]
//! parallel: 4
//! ```

mod progress;
mod reader;

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dpipe_env::FileId;
use dpipe_plugin::settings::Problem;
use dpipe_plugin::{
    BoxFuture, BuildContext, BuildError, Ended, Input, InputConfig, InputContext, InputError,
    InputSpec, Level,
};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::reading::content::Decompression;
use crate::reading::globs::{Globs, Pattern};
use crate::reading::identity::{Identity, Saved};
use crate::reading::position::Position;
use progress::Progress;
use reader::{Reader, Shelf};

/// How often positions are saved.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// How often to look whether what was sent last has arrived.
const SETTLE_LOOK: Duration = Duration::from_millis(20);

/// Which files, and how many at a time.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The files to read. Relative globs start at the configuration's folder.
    include: Vec<Pattern>,
    /// Files to leave out; a glob without a slash is about names, in whatever folder.
    #[serde(default)]
    exclude: Vec<Pattern>,
    /// How many files to read at a time.
    #[serde(default = "four")]
    parallel: usize,
    /// How far compressed files are trusted.
    #[serde(default)]
    decompression: Decompression,
}

fn four() -> usize {
    4
}

impl InputConfig for Config {
    const NAME: &'static str = "archive";
}

impl InputSpec for Config {
    fn build(&self, context: &BuildContext<'_>) -> Result<Box<dyn Input>, BuildError> {
        let globs = Globs::new(&self.include, &self.exclude, context)?;
        Ok(Box::new(Archive { config: self.clone(), globs }))
    }

    fn level(&self) -> Level {
        Level::EndToEnd
    }

    fn reads_lines(&self) -> bool {
        true
    }

    fn ends(&self) -> bool {
        true
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = self.decompression.mistakes();
        if self.include.is_empty() {
            problems.push(Problem::error("`include` names no files"));
        }
        if self.parallel == 0 {
            problems.push(Problem::error("`parallel` must be at least 1"));
        }
        problems
    }
}

/// The input, ready to run.
struct Archive {
    config: Config,
    globs: Globs,
}

/// A file to read.
struct Job {
    path: PathBuf,
    file: FileId,
    len: u64,
}

impl Input for Archive {
    fn run(
        self: Box<Self>,
        context: InputContext,
    ) -> BoxFuture<'static, Result<Ended, InputError>> {
        Box::pin(self.read(Arc::new(context)))
    }
}

impl Archive {
    async fn read(self: Box<Self>, context: Arc<InputContext>) -> Result<Ended, InputError> {
        let jobs = self.jobs(&context);
        let shelf = Arc::new(Shelf::default());
        load(&context, &shelf);
        let progress = Arc::new(Progress::new(&context.node, &jobs));
        let mut shutdown = context.shutdown.clone();
        let mut jobs = VecDeque::from(jobs);
        let mut readers = JoinSet::new();
        let mut save = interval(SAVE_EVERY);
        save.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !shutdown.is_given() {
            while readers.len() < self.config.parallel
                && let Some(job) = jobs.pop_front()
            {
                let reader = Reader {
                    context: context.clone(),
                    shelf: shelf.clone(),
                    progress: progress.clone(),
                    decompression: self.config.decompression,
                };
                readers.spawn(reader.read(job));
            }
            if readers.is_empty() {
                break;
            }
            tokio::select! {
                () = shutdown.given() => {}
                Some(ended) = readers.join_next() => {
                    ended.map_err(|error| InputError::caused("reading a file failed", error))?;
                }
                _ = save.tick() => shelf.save(&context),
            }
        }
        // After the signal, the readers end at their next chunk.
        while let Some(ended) = readers.join_next().await {
            ended.map_err(|error| InputError::caused("reading a file failed", error))?;
        }
        let stopped = shutdown.is_given();
        self.settle(&context, &shelf).await?;
        progress.finish(stopped);
        Ok(if stopped { Ended::Stopped } else { Ended::Exhausted })
    }

    /// The files there are, in order; each once, however many names it has.
    fn jobs(&self, context: &InputContext) -> Vec<Job> {
        let files = context.env.files();
        let mut paths = self.globs.walk(
            files,
            |_| {},
            |folder, error| {
                let folder = folder.display();
                tracing::error!(input = %context.node, %folder, %error, "cannot look into a folder");
            },
        );
        paths.sort();
        let mut seen = HashSet::new();
        let job = |path: PathBuf| {
            let stat = files.stat(&path).ok().filter(|stat| stat.is_file)?;
            seen.insert(stat.id).then_some(Job { path, file: stat.id, len: stat.len })
        };
        paths.into_iter().filter_map(job).collect()
    }

    /// Waits until what was sent has arrived, and saves the positions.
    async fn settle(&self, context: &InputContext, shelf: &Shelf) -> Result<(), InputError> {
        let mut shutdown = context.shutdown.clone();
        loop {
            shelf.save(context);
            if shelf.is_settled() {
                return Ok(());
            }
            if let Some(path) = shelf.lost() {
                if shutdown.is_given() {
                    return Ok(());
                }
                let lost = std::io::Error::other("they will be read again");
                return Err(InputError::caused(
                    format!("events of {path} got lost on the way"),
                    lost,
                ));
            }
            tokio::select! {
                () = shutdown.abandoned() => {
                    shelf.save(context);
                    return Ok(());
                }
                () = tokio::time::sleep(SETTLE_LOOK) => {}
            }
        }
    }
}

/// Takes up the positions of the last run.
fn load(context: &InputContext, shelf: &Shelf) {
    let mut positions: HashMap<FileId, (Identity, Position)> = HashMap::new();
    for (key, json) in context.checkpoints.load() {
        let Some(identity) = Identity::from_key(&key) else { continue };
        match serde_json::from_str::<Saved>(&json) {
            Ok(saved) => {
                let known = positions.get(&identity.file);
                if known.is_none_or(|(known, _)| known.generation < identity.generation) {
                    positions.insert(identity.file, (identity, Position::new(saved)));
                }
            }
            Err(error) => {
                tracing::error!(input = %context.node, key, %error, "cannot use a checkpoint");
            }
        }
    }
    shelf.put(positions.into_values());
}
