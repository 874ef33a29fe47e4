//! The contract between the engine and its plugins.
//!
//! A plugin is one file: a `Config` that is read from the configuration, and what that config
//! builds. There are five roles: [`Input`], [`Decoder`], [`Encoder`], [`Step`] and [`Output`]. The
//! engine sees plugins only through this crate, and plugins see the engine only through what it
//! lends them here ([`BuildContext`], [`InputContext`], [`StepContext`]). `docs/plugin-contract.md`
//! has the rules that a plugin keeps.

pub mod codec;
pub mod context;
pub mod field;
pub mod framing;
pub mod input;
pub mod multiline;
pub mod output;
pub mod pattern;
pub mod registry;
pub mod settings;
pub mod shutdown;
pub mod step;
pub mod telemetry;
pub mod template;

pub use codec::{
    DecodeError, Decoder, DecoderSpec, EncodeError, Encoder, EncoderSpec, Parsed, Parser,
};
pub use context::{BuildContext, BuildError, Shared};
pub use field::{Condition, FieldPath};
pub use framing::{Cut, Frames, Part};
pub use input::{
    Checkpoints, Chunk, Credit, Door, Ended, FileGlobs, Input, InputContext, InputError, InputSpec,
    Level, Loan, Stream, StreamStart,
};
pub use multiline::Multiline;
pub use output::{Encoded, Flush, Output, OutputSpec, Parcel, Refusal, Written};
pub use pattern::Pattern;
pub use registry::{
    DecoderConfig, EncoderConfig, Entry, InputConfig, OutputConfig, Registry, StepConfig,
};
pub use shutdown::{Shutdown, ShutdownHandle};
pub use step::{Refused, Step, StepContext, StepSpec};
pub use telemetry::{LogLevel, LogLine, LogLines, LogRing, Reading, Telemetry};

/// A boxed future, for traits that are used as `dyn`.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;
