//! Inputs: where bytes come from.
//!
//! An input owns its loop, because the outside world drives it. It opens a [`Stream`] for each file,
//! connection or generator, reserves a [`Credit`] *before* it reads (that is the back-pressure: no
//! credit, no reading), and sends chunks of whole frames. Once sent, a chunk is answered for by a
//! receipt; [`Stream::settled`] says how far everything has arrived.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use dpipe_env::Env;
use dpipe_event::{Buffer, Origin, Pool, Progress, StreamId};

use crate::framing::{Cut, Frames};
use crate::multiline::Multiline;
use crate::settings::Problem;
use crate::{BoxFuture, BuildContext, BuildError, Shutdown, Telemetry};

/// A configured input.
pub trait InputSpec: Send + Sync + fmt::Debug {
    /// Builds the input. Called again after a failure.
    ///
    /// # Errors
    /// If something that the config names is not there.
    fn build(&self, context: &BuildContext<'_>) -> Result<Box<dyn Input>, BuildError>;

    /// How safe its events are on the way to memory-buffered outputs.
    fn level(&self) -> Level;

    /// Whether it ends by itself (an archive, a pipe), so that `--batch` has an end.
    fn ends(&self) -> bool {
        false
    }

    /// The codec that it decodes with when the configuration names none.
    fn default_codec(&self) -> &'static str {
        "text"
    }

    /// Whether it reads lines, so that `multiline:` can join them.
    fn reads_lines(&self) -> bool {
        false
    }

    /// Whether its streams have paths, so that `tenant: { from: path }` finds tenants in them.
    fn has_paths(&self) -> bool {
        false
    }

    /// The files that it reads, to be told from those that outputs write.
    fn reads(&self) -> FileGlobs {
        FileGlobs::default()
    }

    /// Mistakes that types cannot tell; pure, no I/O. A problem that begins with the name of a
    /// setting in backquotes gets its place, another one without a place the node's.
    fn check(&self) -> Vec<Problem> {
        Vec::new()
    }
}

/// Files, by globs as the configuration has them. One of `exclude` without a slash is about names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileGlobs {
    /// Which ones.
    pub include: Vec<String>,
    /// And which of them not.
    pub exclude: Vec<String>,
}

/// How safe an event is after its input was told that it is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// A crash loses what is in memory.
    Memory,
    /// It is on disk.
    Disk,
    /// Its source keeps it until every output has it; a crash repeats, and loses nothing.
    EndToEnd,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Memory => "memory",
            Level::Disk => "disk",
            Level::EndToEnd => "end_to_end",
        })
    }
}

/// A running input.
pub trait Input: Send {
    /// Reads until there is no more, or until the shutdown signal. It returns only when what it sent
    /// is settled and its checkpoints are saved (after the signal, the engine sees to it that this
    /// is soon).
    ///
    /// # Errors
    /// If it cannot go on; the engine builds it anew after a while.
    fn run(self: Box<Self>, context: InputContext)
    -> BoxFuture<'static, Result<Ended, InputError>>;
}

/// How an input came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Everything there was has been read and settled.
    Exhausted,
    /// It was told to stop.
    Stopped,
}

/// Why an input could not go on.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct InputError {
    /// What it could not do, and with which file or address.
    pub message: String,
    /// What the system said.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl InputError {
    /// An error with its cause.
    pub fn caused(
        message: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        InputError { message: message.into(), source: Some(source.into()) }
    }
}

/// What the engine lends to a running input.
pub struct InputContext {
    /// The outside world.
    pub env: Arc<dyn Env>,
    /// The node's name: its key in the configuration, and the tag of its batches.
    pub node: Arc<str>,
    /// The signal to stop.
    pub shutdown: Shutdown,
    /// The way into the pipeline.
    pub door: Arc<dyn Door>,
    /// Where positions are kept.
    pub checkpoints: Arc<dyn Checkpoints>,
    /// What dpipe tells of itself.
    pub telemetry: Arc<dyn Telemetry>,
    /// Rooms to read into.
    pub pool: Pool,
    /// The longest line in bytes; longer ones are cut.
    pub line_bytes_max: usize,
    /// Which lines are to be joined to one event; none, without it.
    pub multiline: Option<Arc<Multiline>>,
    /// The secret of the data directory, from which stream ids are derived.
    pub id_key: [u8; 32],
}

/// The way into the pipeline.
pub trait Door: Send + Sync {
    /// Opens a stream. Its chunks keep their order.
    ///
    /// # Errors
    /// If the input takes the tenant from the path, and the path names none, or one more than there
    /// may be; if the codec cannot be built. The file is to be left out; it is counted as skipped
    /// already.
    fn open(&self, start: StreamStart) -> Result<Arc<dyn Stream>, InputError>;

    /// The tenant of a file.
    ///
    /// # Errors
    /// As those of [`Door::open`] that are about the tenant.
    fn tenant(&self, file: &str) -> Result<Arc<str>, InputError>;

    /// Waits until credits came free that [`Stream::try_reserve`] may have missed.
    fn freed(&self) -> BoxFuture<'_, ()>;

    /// Waits until something of what this input sent was settled, which may have been since the last
    /// wait. One at a time may wait.
    fn some_settled(&self) -> BoxFuture<'_, ()>;

    /// Counts what an input left out, for a reason such as `not_accepted`; it was never an event.
    fn skipped(&self, reason: &'static str, count: u64) {
        self.skipped_of("", reason, count);
    }

    /// The same of a file or peer (as [`StreamStart::file`] has it): it stands in the books of the
    /// tenant that this belongs to.
    fn skipped_of(&self, file: &str, reason: &'static str, count: u64);

    /// Counts what happened to an input and was no event, such as `run_failed`.
    fn noted(&self, what: &'static str, count: u64);
}

/// What a stream is.
#[derive(Clone, Debug)]
pub struct StreamStart {
    /// The file's path or the peer's address; empty where there is neither.
    pub file: String,
    /// The machine it comes from; empty for this one.
    pub host: String,
    /// Its identity, from which event ids are derived.
    pub id: StreamId,
    /// Where reading starts.
    pub position: u64,
}

/// One stream of bytes on its way in.
pub trait Stream: Send + Sync {
    /// What its batches carry as their origin.
    fn origin(&self) -> &Arc<Origin>;

    /// Waits for leave to read `bytes`: until the tenant, the process and the outputs behind this
    /// input have room.
    fn reserve(&self, bytes: usize) -> BoxFuture<'_, Credit>;

    /// Leave to read `bytes`, if there is room now.
    fn try_reserve(&self, bytes: usize) -> Option<Credit>;

    /// Whether there is no leave because the tenant is over its rate, and not for want of room.
    fn is_over_rate(&self) -> bool {
        false
    }

    /// Sends a chunk to the stream's lane, waiting while that is busy.
    fn send(&self, chunk: Chunk, credit: Credit) -> BoxFuture<'_, ()>;

    /// How far the stream has been settled.
    fn progress(&self) -> &Arc<Progress>;

    /// The position before which everything has arrived.
    fn settled(&self) -> u64 {
        self.progress().settled()
    }
}

/// Leave to have so many bytes in flight; given back when it is dropped.
pub struct Credit(Held);

enum Held {
    Loan(Box<dyn Loan + Send + Sync>),
    Other(Box<dyn Any + Send + Sync>),
}

/// Bytes that were lent, which come back when this is dropped.
pub trait Loan: Any {
    /// No more than so many are needed after all: the rest may come back now.
    fn keep(&mut self, bytes: usize);
}

impl Credit {
    /// A credit of bytes that were lent.
    #[must_use]
    pub fn of(loan: Box<dyn Loan + Send + Sync>) -> Self {
        Credit(Held::Loan(loan))
    }

    /// A credit that holds `what` until it is given back.
    #[must_use]
    pub fn holding(what: Box<dyn Any + Send + Sync>) -> Self {
        Credit(Held::Other(what))
    }

    /// Gives back what is not needed when no more than `bytes` were read.
    pub fn shrink(&mut self, bytes: usize) {
        if let Held::Loan(loan) = &mut self.0 {
            loan.keep(bytes);
        }
    }

    /// What it holds, to be kept elsewhere.
    #[must_use]
    pub fn into_held(self) -> Option<Box<dyn Any + Send + Sync>> {
        Some(match self.0 {
            Held::Loan(loan) => loan,
            Held::Other(what) => what,
        })
    }
}

/// Bytes of a stream: whole frames, or one frame that was cut.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// The bytes.
    pub buffer: Buffer,
    /// Where the first of them stands in the stream.
    pub offset: u64,
    /// The position after the chunk, lines' ends included.
    pub end: u64,
    /// How it is cut into frames.
    pub cut: Cut,
}

impl Chunk {
    /// Its frames, in order.
    #[must_use]
    pub fn frames(&self) -> Frames<'_> {
        Frames::new(&self.buffer, &self.cut)
    }

    /// The length of the frame if the chunk is one that was cut to the limit.
    #[must_use]
    pub fn cut_from(&self) -> Option<usize> {
        match self.cut {
            Cut::Long(original_len) => Some(original_len),
            _ => None,
        }
    }
}

/// Where inputs keep their positions. A position is noted soon after it moved, so that a crash of this
/// process repeats little, and saved about once a second and at the end, so that a power failure does
/// not repeat much more.
pub trait Checkpoints: Send + Sync {
    /// Everything that this input noted or saved: by key, as JSON.
    fn load(&self) -> Vec<(String, String)>;

    /// Notes changed keys, and forgets those without a value. When this returns it survives the end
    /// of this process, however that comes; a power failure may undo it until the next save. Takes
    /// some microseconds.
    ///
    /// # Errors
    /// Those of the disk; what was saved before is still there then.
    fn note(&self, changes: &[(String, Option<String>)]) -> std::io::Result<()>;

    /// Notes changes, and waits until the disk has them and all that was noted before.
    ///
    /// # Errors
    /// Those of the disk; what was saved before is still there then.
    fn save(&self, changes: &[(String, Option<String>)]) -> std::io::Result<()>;
}
