//! Reads files once, some at a time, from the first line to the last.
//!
//! Files are taken in the order of their paths, but those of a tenant without credit wait, and others
//! are read meanwhile. Gzip and zstd files are read as what they contain, whatever their name. A last
//! line without its end counts as a line.
//!
//! Positions are noted within some 10 ms of when every output has the events (`end_to_end`): a run that
//! was interrupted, by a crash or otherwise, goes on where it was and repeats no more than was in
//! flight. Finished files are remembered, and one that is started again reads only what has come
//! since. A file is known by its content as well: one that was replaced is read whole. A copy, or a
//! file that was compressed since, is another file.
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

mod desk;
mod progress;
mod reader;
mod shelf;

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dpipe_plugin::settings::Problem;
use dpipe_plugin::{
    BoxFuture, BuildContext, BuildError, Ended, FileGlobs, Input, InputConfig, InputContext,
    InputError, InputSpec, Level,
};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{MissedTickBehavior, interval, sleep_until};

use crate::reading::content::Decompression;
use crate::reading::globs::{Globs, Pattern, file_globs};
use crate::rhythm::SAVE_EVERY;
use desk::{Desk, Job, Work};
use progress::Progress;
use reader::Reader;
use shelf::Shelf;

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
    /// How many files to read at a time. One whose tenant has no credit does not count.
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

    fn has_paths(&self) -> bool {
        true
    }

    fn reads(&self) -> FileGlobs {
        file_globs(&self.include, &self.exclude)
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

impl Input for Archive {
    fn run(
        self: Box<Self>,
        context: InputContext,
    ) -> BoxFuture<'static, Result<Ended, InputError>> {
        Box::pin(self.read(Arc::new(context)))
    }
}

impl Archive {
    async fn read(mut self: Box<Self>, context: Arc<InputContext>) -> Result<Ended, InputError> {
        let jobs = self.jobs(&context);
        let reader = Reader {
            shelf: Arc::new(Shelf::load(&context)),
            progress: Arc::new(Progress::new(&context.node, &jobs)),
            decompression: self.config.decompression,
            context,
        };
        let Reader { context, shelf, progress, .. } = &reader;
        let mut desk = desk(&reader, jobs);
        let mut shutdown = context.shutdown.clone();
        let mut readers = JoinSet::new();
        let mut save = interval(SAVE_EVERY);
        save.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut unnoted = false;
        while !shutdown.is_given() {
            // Asked for before looking, so that no credit that comes free in between is missed.
            let freed = context.door.freed();
            while readers.len() < self.config.parallel
                && let Some((work, credit)) = desk.next(|job| reader.stream(job))
            {
                readers.spawn(reader.clone().read(work, credit));
            }
            if readers.is_empty() && desk.is_empty() {
                break;
            }
            let is_starved = readers.len() < self.config.parallel && !desk.is_empty();
            tokio::select! {
                () = shutdown.given() => {}
                Some(ended) = readers.join_next() => {
                    if let Some(work) = joined(ended)? {
                        desk.put_back(work);
                    }
                    // While there was no place, nobody heard of credits.
                    desk.hope();
                }
                () = freed, if is_starved => desk.hope(),
                () = context.door.some_settled(), if !unnoted && shelf.is_moving() => unnoted = true,
                () = sleep_until(shelf.next_note()), if unnoted => {
                    shelf.note(context);
                    unnoted = false;
                }
                _ = save.tick() => {
                    shelf.save(context);
                }
            }
        }
        // After the signal, the readers end at their next chunk.
        while let Some(ended) = readers.join_next().await {
            joined(ended)?;
        }
        let stopped = shutdown.is_given();
        settle(context, shelf).await?;
        progress.finish(stopped);
        Ok(if stopped { Ended::Stopped } else { Ended::Exhausted })
    }

    /// The files there are, in order; each once, however many names it has.
    fn jobs(&mut self, context: &InputContext) -> Vec<Job> {
        let files = context.env.files();
        let mut paths = self.globs.walk(
            files,
            |_| {},
            |folder, error| {
                let folder = folder.display();
                tracing::error!(input = %context.node, %folder, %error, "cannot look into a folder");
            },
        );
        for what in self.globs.missing(files, &paths) {
            tracing::warn!(input = %context.node, "{what}");
        }
        paths.sort();
        let mut seen = HashSet::new();
        let job = |(number, path): (usize, PathBuf)| {
            let stat = files.stat(&path).ok().filter(|stat| stat.is_file)?;
            seen.insert(stat.id).then_some(Job { number, path, file: stat.id, len: stat.len })
        };
        paths.into_iter().enumerate().filter_map(job).collect()
    }
}

/// All files, by tenant.
fn desk(reader: &Reader, jobs: Vec<Job>) -> Desk {
    let room = reader.context.pool.room_bytes();
    let mut desk = Desk::default();
    for job in jobs {
        match reader.context.door.tenant(&job.path.to_string_lossy()) {
            Ok(tenant) => {
                let wanted = usize::try_from(job.len).unwrap_or(room).clamp(1, room);
                desk.add(Work { job, tenant, stream: None, lines: None, wanted });
            }
            Err(error) => reader.leave_out(&job, &error),
        }
    }
    desk
}

fn joined<T>(ended: Result<T, JoinError>) -> Result<T, InputError> {
    ended.map_err(|error| InputError::caused("reading a file failed", error))
}

/// Waits until what was sent has arrived, and saves the positions.
async fn settle(context: &InputContext, shelf: &Shelf) -> Result<(), InputError> {
    let mut shutdown = context.shutdown.clone();
    loop {
        shelf.note(context);
        if !shelf.is_moving() && shelf.save(context) {
            return Ok(());
        }
        if let Some(path) = shelf.lost() {
            if shutdown.is_given() {
                break;
            }
            let lost = std::io::Error::other("they will be read again");
            return Err(InputError::caused(format!("events of {path} got lost on the way"), lost));
        }
        tokio::select! {
            () = shutdown.abandoned() => break,
            () = tokio::time::sleep(SETTLE_LOOK) => {}
        }
    }
    shelf.note(context);
    shelf.save(context);
    Ok(())
}
