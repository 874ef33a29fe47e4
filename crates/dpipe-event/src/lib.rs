//! What flows through dpipe: events, batches, values, field paths, receipts.
//!
//! An event is metadata, a body and its raw bytes. Events live in a [`Batch`]: an immutable read
//! buffer, one structural index over it built when the bytes were decoded, and an overlay of the
//! edits that steps made since. How that is laid out is private to this crate; the rest of dpipe
//! reads by [`Path`] through [`EventRef`] and writes by [`Path`] through [`EventMut`].
//!
//! No I/O, no clock, no async: time and bytes come in as arguments.

mod base64;
mod batch;
mod buffer;
mod event;
mod id;
mod json;
mod meta;
mod origin;
mod overlay;
mod path;
mod receipt;
mod record;
mod split;
mod time;
mod value;

pub use base64::write_base64;
pub use batch::{Batch, Builder, Draft, Frame, Selection};
pub use buffer::{Buffer, Pool, Room};
pub use event::{EventMut, EventRef, NewValue};
pub use id::{EventId, StreamId};
pub use json::{JsonError, JsonErrorKind, Limits as JsonLimits, write_escaped};
pub use meta::Meta;
pub use origin::{Origin, logfile_name};
pub use path::{Path, PathError, Segment};
pub use receipt::{Progress, Receipt};
pub use record::{Record, RecordKey, RecordWriter};
pub use split::{Divided, Parts};
pub use time::{Civil, Timestamp};
pub use value::{Entries, Text, Value};
