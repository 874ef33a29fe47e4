//! Steps: what a filter does to a batch, in place, on the lane.

use std::fmt;

use dpipe_event::{Batch, Selection, Timestamp};

use crate::settings::Problem;
use crate::{BuildContext, BuildError};

/// A configured step.
pub trait StepSpec: Send + Sync + fmt::Debug {
    /// Builds the step for one lane.
    ///
    /// # Errors
    /// If something that the config names is not there.
    fn build(&self, context: &BuildContext<'_>) -> Result<Box<dyn Step>, BuildError>;

    /// The names under which the step publishes sub-batches, `<filter>.<name>`; a step that has any
    /// is the last of its filter.
    fn ports(&self) -> Vec<String> {
        Vec::new()
    }

    /// Whether what it does is seen outside of this process, as by a child: then `explain` runs it
    /// once, and does not measure what it costs.
    fn reaches_outside(&self) -> bool {
        false
    }

    /// Mistakes that types cannot tell; pure, no I/O. A problem that begins with the name of a
    /// setting in backquotes gets its place, another one without a place the step's.
    fn check(&self) -> Vec<Problem> {
        Vec::new()
    }
}

/// A running step. Synchronous: it waits for nothing.
pub trait Step: Send {
    /// Acts on the selected events of the batch.
    fn run(&mut self, batch: &mut Batch, selection: &Selection, context: &mut StepContext);

    /// Called about once a second between batches: look whether a file changed, end a window.
    fn tick(&mut self, _context: &mut StepContext) {}

    /// Called once, after the last batch.
    fn close(&mut self, _context: &mut StepContext) {}
}

/// What a step tells the engine of what it did. The engine empties it after each call.
#[derive(Debug, Default)]
pub struct StepContext {
    /// The wall clock when the batch came to the filter.
    pub now: Timestamp,
    /// Events that the step made beyond those that it was given, such as copies.
    pub born: u64,
    /// Events that the step removed from the batch, by reason.
    pub filtered: Vec<(&'static str, u64)>,
    /// Events that live, but that something was odd about, by what it was.
    pub flagged: Vec<(&'static str, u64)>,
    /// Events that the step took out of the batch because nothing can be made of them.
    pub refused: Vec<Refused>,
    /// Sub-batches to publish, by port: its place in [`StepSpec::ports`].
    pub published: Vec<(usize, Batch)>,
    /// What a person should read: a table that could not be reloaded, for one.
    pub complaints: Vec<String>,
}

/// Events that a step refused for good; they become dead letters.
#[derive(Debug)]
pub struct Refused {
    /// The events.
    pub events: Batch,
    /// The reason as a metric label: a few fixed words such as `child_died`.
    pub kind: &'static str,
    /// The reason in words; ends up in the dead letters.
    pub reason: String,
}

impl StepContext {
    /// Counts events that the step made beyond those that it was given: of an event that it split
    /// into three, two. Without this the books show that there are more events than came.
    pub fn born(&mut self, count: usize) {
        self.born += count as u64;
    }

    /// Hands over events that the step took out of the batch, to become dead letters.
    pub fn refuse(&mut self, events: Batch, kind: &'static str, reason: String) {
        self.refused.push(Refused { events, kind, reason });
    }

    /// Counts events that the step removed.
    pub fn filtered(&mut self, reason: &'static str, count: usize) {
        tally(&mut self.filtered, reason, count);
    }

    /// Counts events that live, but that something was odd about.
    pub fn flagged(&mut self, what: &'static str, count: usize) {
        tally(&mut self.flagged, what, count);
    }

    /// Publishes a sub-batch.
    pub fn publish(&mut self, port: usize, batch: Batch) {
        self.published.push((port, batch));
    }

    /// Says something to whoever runs dpipe.
    pub fn complain(&mut self, complaint: String) {
        self.complaints.push(complaint);
    }
}

fn tally(counts: &mut Vec<(&'static str, u64)>, key: &'static str, count: usize) {
    if count == 0 {
        return;
    }
    match counts.iter_mut().find(|(known, _)| *known == key) {
        Some((_, sum)) => *sum += count as u64,
        None => counts.push((key, count as u64)),
    }
}
