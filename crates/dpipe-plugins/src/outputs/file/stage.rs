//! What waits to be written, by file, and which events were refused meanwhile.

use std::collections::HashMap;
use std::ops::Range;

use dpipe_plugin::{Parcel, Refusal};

/// Bytes on their way to files. Events are counted through all parcels since the last [`drain`].
///
/// [`drain`]: Stage::drain
#[derive(Default)]
pub(super) struct Stage {
    by_key: HashMap<Box<[u8]>, Staged>,
    refused: Vec<Refusal>,
    events: usize,
}

/// What goes to one file.
#[derive(Default)]
pub(super) struct Staged {
    pub(super) bytes: Vec<u8>,
    /// The events that these bytes are.
    pub(super) events: Vec<Range<usize>>,
}

impl Stage {
    /// Whether it has taken nothing since the last drain.
    pub(super) fn is_empty(&self) -> bool {
        self.events == 0
    }

    pub(super) fn has(&self, key: &[u8]) -> bool {
        self.by_key.contains_key(key)
    }

    /// Stages a run of events.
    pub(super) fn add(&mut self, key: &[u8], parcel: &Parcel, events: Range<usize>) {
        let staged = match self.by_key.get_mut(key) {
            Some(staged) => staged,
            None => self.by_key.entry(key.into()).or_default(),
        };
        staged.bytes.extend_from_slice(parcel.run_bytes(events.clone()));
        for index in encoded(parcel, events).map(|index| self.events + index) {
            match staged.events.last_mut() {
                Some(last) if last.end == index => last.end += 1,
                _ => staged.events.push(index..index + 1),
            }
        }
    }

    /// Notes that a run of events is refused.
    pub(super) fn refuse(
        &mut self,
        parcel: &Parcel,
        events: Range<usize>,
        kind: &'static str,
        reason: &str,
    ) {
        let first = self.events;
        let refusal = |index| Refusal { index: first + index, kind, reason: reason.to_owned() };
        self.refused.extend(encoded(parcel, events).map(refusal));
    }

    /// Counts the events of a parcel of which all runs were staged, refused or written.
    pub(super) fn count(&mut self, parcel: &Parcel) {
        self.events += parcel.batch().len();
    }

    pub(super) fn take_refused(&mut self) -> Vec<Refusal> {
        std::mem::take(&mut self.refused)
    }

    pub(super) fn drain(&mut self) -> HashMap<Box<[u8]>, Staged> {
        self.events = 0;
        std::mem::take(&mut self.by_key)
    }

    pub(super) fn clear(&mut self) {
        *self = Stage::default();
    }
}

/// Events that the encoder has refused have no bytes; they are answered for already.
fn encoded(parcel: &Parcel, events: Range<usize>) -> impl Iterator<Item = usize> {
    events.filter(|&index| !parcel.event_bytes(index).is_empty())
}
