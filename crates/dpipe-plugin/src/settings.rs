//! Settings: the values of a configuration file, each with the place where it was written.
//!
//! A loader (YAML, JSON, TOML) makes a tree of [`Node`]s; a plugin's `Config` is read from one of
//! them with [`deserialize`], through plain `serde` derives. Every mistake on the way becomes a
//! [`Problem`] that points at the offending text and, where a name was misspelled, proposes the
//! nearest right one.
//!
//! Values that came out of the environment or of a secret file are remembered as such, and are
//! never echoed: messages show the `${…}` as written instead.

mod byte_size;
mod de;
mod error;
mod mend;
mod nearest;
mod node;
mod period;
mod problem;
mod render;
mod scalar;
mod secret;
mod source;

pub use byte_size::{ByteSize, ByteSizeError};
pub use de::{deserialize, deserialize_knowing};
pub use error::{SettingsError, error_in_text};
pub use mend::{Reading, read_all};
pub use nearest::{nearest, suggest};
pub use node::{Entry, Node, NodeValue};
pub use period::{Period, PeriodError};
pub use problem::{Problem, Problems, Severity};
pub use scalar::{Scalar, ScalarKind, Secrets, Substituted};
pub use secret::Secret;
pub use source::{Position, SourceFile, Span};
