//! Outputs: where events go.
//!
//! An output gets parcels, one at a time, and says what became of each. Retrying, back-off,
//! encoding, panics and the books belong to the runner.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use dpipe_event::{Batch, EventRef};

use crate::settings::Problem;
use crate::template::Template;
use crate::{BoxFuture, BuildContext, BuildError};

/// A configured output.
pub trait OutputSpec: Send + Sync + fmt::Debug {
    /// Builds the output. Called again after a failure.
    ///
    /// # Errors
    /// If something that the config names is not there.
    fn build(&self, context: &BuildContext<'_>) -> Result<Box<dyn Output>, BuildError>;

    /// The encoder it writes with when the configuration names none; `None` for an output that
    /// needs no encoded bytes.
    fn default_encoder(&self) -> Option<&'static str>;

    /// What a receipt from this output says, for `dpipe check`: `written to the file`.
    fn receipt_means(&self) -> String;

    /// The path of the files that it writes, if it writes any: no two outputs share a file.
    fn writes(&self) -> Option<&Template> {
        None
    }

    /// When the runner asks for a flush; `None` for outputs that hold nothing back.
    fn flush_policy(&self) -> Option<Flush> {
        None
    }

    /// Mistakes that types cannot tell; pure, no I/O. A problem that begins with the name of a
    /// setting in backquotes gets its place, another one without a place the node's.
    fn check(&self) -> Vec<Problem> {
        Vec::new()
    }
}

/// When an output that holds parcels back is flushed: whichever comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flush {
    /// After so many encoded bytes.
    pub bytes: usize,
    /// When the oldest held parcel is this old.
    pub age: Duration,
    /// As soon as nothing more is waiting.
    pub when_idle: bool,
}

/// A running output.
pub trait Output: Send {
    /// Writes a parcel.
    fn write<'a>(&'a mut self, parcel: &'a Parcel) -> BoxFuture<'a, Written>;

    /// Makes everything that was held since the last flush safe. Answers for all of it.
    ///
    /// [`Written::Retry`] means that the output went back to where it was after the last flush; the
    /// runner writes all held parcels again.
    fn flush(&mut self) -> BoxFuture<'_, Written> {
        Box::pin(async { Written::Delivered })
    }

    /// Called about once a second when there is nothing to write: rotate by time, close idle files.
    fn tick(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }

    /// Called once, after the last flush.
    fn close(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

/// What became of a parcel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// It has arrived.
    Delivered,
    /// It was taken, and arrives with the next flush.
    Held,
    /// It did not arrive; try it again, after this while if one is given, else after the runner's
    /// back-off.
    Retry {
        /// What the far side asked for.
        after: Option<Duration>,
        /// Why, for people.
        reason: String,
    },
    /// These events were refused for good; the others have arrived. With a flush, positions count
    /// through all held parcels in the order in which they were written.
    Refused(Vec<Refusal>),
    /// It did not arrive, and nothing will anymore: whoever read has gone, such as the process at
    /// the other end of a pipe. Whatever was held did not arrive either. The engine shuts down in
    /// order.
    Closed,
}

/// An event that was refused for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its position.
    pub index: usize,
    /// The reason as a metric label: a fixed word, such as `refused` or `bad_name`.
    pub kind: &'static str,
    /// The reason in words; ends up in the dead letter.
    pub reason: String,
}

/// A batch on its way to one output, with its bytes as the output's encoder wrote them.
#[derive(Clone, Debug)]
pub struct Parcel {
    batch: Arc<Batch>,
    encoded: Option<Arc<Encoded>>,
}

/// The bytes of an encoded batch. A newline follows each event.
#[derive(Debug)]
pub enum Encoded {
    /// They are those that were read: see [`Batch::verbatim`].
    Verbatim,
    /// They were written anew; `ends` has the end of each event, its newline included.
    Own {
        /// All events.
        bytes: Vec<u8>,
        /// The end of each.
        ends: Vec<u32>,
    },
}

impl Parcel {
    /// A parcel of a batch.
    #[must_use]
    pub fn new(batch: Arc<Batch>, encoded: Option<Arc<Encoded>>) -> Self {
        Parcel { batch, encoded }
    }

    /// The events.
    #[must_use]
    pub fn batch(&self) -> &Arc<Batch> {
        &self.batch
    }

    /// The event at `index`.
    #[must_use]
    pub fn event(&self, index: usize) -> EventRef<'_> {
        self.batch.get(index)
    }

    /// All encoded bytes, a newline after each event.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self.encoded.as_deref() {
            Some(Encoded::Verbatim) => self.batch.verbatim().unwrap_or_default(),
            Some(Encoded::Own { bytes, .. }) => bytes,
            None => &[],
        }
    }

    /// The encoded bytes of several events in a row, their newlines included.
    #[must_use]
    pub fn run_bytes(&self, events: Range<usize>) -> &[u8] {
        match self.encoded.as_deref() {
            Some(Encoded::Verbatim) => self.batch.raw_lines(events),
            Some(Encoded::Own { bytes, ends }) => {
                let end_of = |index: usize| if index == 0 { 0 } else { ends[index - 1] as usize };
                &bytes[end_of(events.start)..end_of(events.end)]
            }
            None => &[],
        }
    }

    /// The encoded bytes of the event at `index`, its newline included.
    #[must_use]
    pub fn event_bytes(&self, index: usize) -> &[u8] {
        self.run_bytes(index..index + 1)
    }
}
