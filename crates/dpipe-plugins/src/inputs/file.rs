//! Follows files like `tail -F`, through rotation, truncation and restarts.
//!
//! Files that match are read line by line, and read on as they grow. What counts is the file and not
//! its name: one that is renamed or deleted is read to its end; one that is cut off is read anew
//! from its start; a copy, or a compressed file, that begins with what was read of another one goes
//! on where that stood. Gzip and zstd files are read as what they contain, whatever their name.
//!
//! A last line without its end is kept back until the end is written, or until the file was quiet
//! for `idle_line_after`. Positions are noted within some 10 ms of when every output has the events
//! (`end_to_end`), so a crash repeats what was in flight and loses nothing; a power failure repeats a
//! second.
//!
//! A file that lost its name while dpipe did not run, because it was renamed or a link moved on, is
//! read to its end if it was seen before and is still in the folder where it was.
//!
//! What cannot be known: lines written between the copy and the cut of a `copytruncate` rotation;
//! those of a file that was deleted while it was neither read nor held open (`deleted_unread`), or
//! before they had arrived at every output and dpipe was killed; and those of a file that came and went
//! under a name or behind a link before anybody looked, unless `include` means its next name, or
//! where the link led. A *folder* that is a link and leads elsewhere is noticed within
//! `rescan_interval`.
//!
//! Other reasons to leave out a file: `unreadable_file`, `damaged_file`, `torn_file`,
//! `decompression_limit`, `path_without_tenant`, `too_many_tenants`.
//!
//! ```yaml
//! type: file
//! include: ["/var/log/app/**/*.log"]
//! exclude: ["debug*"]
//! read_from: end
//! ```

mod claims;
mod discovery;
mod follower;
mod positions;
mod rounds;
mod tail;
mod turn;

#[cfg(test)]
mod tests;

use dpipe_plugin::settings::{Period, Problem};
use dpipe_plugin::{
    BoxFuture, BuildContext, BuildError, Ended, FileGlobs, Input, InputConfig, InputContext,
    InputError, InputSpec, Level,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::reading::content::Decompression;
use crate::reading::globs::{Globs, Pattern, file_globs};
use follower::Follower;

/// Which files, and how they are followed.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The files to follow. Relative globs start at the configuration's folder.
    include: Vec<Pattern>,
    /// Files to leave out; a glob without a slash is about names, in whatever folder.
    #[serde(default)]
    exclude: Vec<Pattern>,
    /// Where to start with files that are there at the very first start. Later ones are read whole.
    #[serde(default)]
    read_from: ReadFrom,
    /// How long a file is quiet until its last line counts as whole without its end.
    #[serde(default = "half_a_minute")]
    idle_line_after: Period,
    /// How long a file that was renamed away or deleted is quiet until it is let go.
    #[serde(default = "half_a_minute")]
    close_after: Period,
    /// Whether to be told of changes by the system; `false` looks at every file every
    /// `poll_interval`, which network file systems need.
    #[serde(default = "yes")]
    watch: bool,
    /// How often to look for changes where the system does not tell of them.
    #[serde(default = "poll_interval")]
    poll_interval: Period,
    /// How often to look for changes where it does, in case that it missed one.
    #[serde(default = "rescan_interval")]
    rescan_interval: Period,
    /// How many files to hold open; others are opened when there is something to read.
    #[serde(default = "open_files_max")]
    open_files_max: usize,
    /// How long the position of a file that is gone is remembered, in case that it comes back as a
    /// copy or compressed.
    #[serde(default = "a_week")]
    forget_after: Period,
    /// How far compressed files are trusted.
    #[serde(default)]
    decompression: Decompression,
}

/// Where to start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ReadFrom {
    /// At the first line.
    #[default]
    Beginning,
    /// After the last line that is there.
    End,
}

fn yes() -> bool {
    true
}

fn half_a_minute() -> Period {
    Period::seconds(30)
}

fn poll_interval() -> Period {
    Period::millis(1500)
}

fn rescan_interval() -> Period {
    Period::seconds(60)
}

fn open_files_max() -> usize {
    512
}

fn a_week() -> Period {
    Period::seconds(7 * 24 * 3600)
}

impl InputConfig for Config {
    const NAME: &'static str = "file";
}

impl InputSpec for Config {
    fn build(&self, context: &BuildContext<'_>) -> Result<Box<dyn Input>, BuildError> {
        let globs = Globs::new(&self.include, &self.exclude, context)?;
        Ok(Box::new(File { config: self.clone(), globs }))
    }

    fn level(&self) -> Level {
        Level::EndToEnd
    }

    fn reads_lines(&self) -> bool {
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
        if self.open_files_max == 0 {
            problems.push(Problem::error("`open_files_max` must be at least 1"));
        }
        if self.poll_interval.duration().is_zero() || self.rescan_interval.duration().is_zero() {
            problems.push(Problem::error("`poll_interval` and `rescan_interval` must be over 0s"));
        }
        problems
    }
}

/// The input, ready to run.
struct File {
    config: Config,
    globs: Globs,
}

impl Input for File {
    fn run(
        self: Box<Self>,
        context: InputContext,
    ) -> BoxFuture<'static, Result<Ended, InputError>> {
        Box::pin(Follower::new(self.config, self.globs, context).run())
    }
}
