//! The batch: the unit that flows. One origin, one tag, one read buffer, many events. The receipt
//! that answers for it travels beside it, not in it: whoever holds the one holds the other.
//!
//! ```text
//!  source (shared, immutable)          slots (one an event)        own (what this batch added)
//!  buffer  ...raw line\nraw line\n...  start len body tape time →  edits, in chains by event
//!  tape    nodes of every JSON body    edits ─────────────────────▸ bytes of new values, and of
//!                                                                  bodies that were built anew
//! ```
//!
//! A clone shares the source and copies the rest, so a batch that several consumers edit costs each
//! of them its slots and edits, never the bytes.

use std::sync::Arc;

use crate::event::{EventMut, EventRef};
use crate::json::{Hint, JsonError, JsonErrorKind, Limits, Node, Scanner};
use crate::overlay::{self, Own};
use crate::{Buffer, Origin, RecordWriter, Timestamp};

/// An event is flagged so if an object of its body has a key twice, of which the last one counts.
const KEY_TWICE: &str = "duplicate_key";

/// Events of one origin under one tag.
#[derive(Clone, Debug)]
pub struct Batch {
    pub(crate) origin: Arc<Origin>,
    pub(crate) tag: Arc<str>,
    pub(crate) source: Arc<Source>,
    pub(crate) base_offset: u64,
    pub(crate) received: Timestamp,
    pub(crate) slots: Vec<Slot>,
    pub(crate) own: Own,
}

#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) buffer: Buffer,
    pub(crate) tape: Vec<Node>,
    /// Where keys were found last, by the hash of the path to them. Events of one stream are
    /// alike, so they are kept for each batch. What shares an entry is a little slower for it.
    hints: Box<[Hint]>,
}

/// Enough for the fields of a pipeline to have one each, mostly; 1 KiB a batch, if that has a few
/// events.
const HINTS: usize = 512;
const HINTED_EVENTS_MIN: usize = 16;

impl Source {
    #[inline]
    pub(crate) fn hint(&self, hash: u32) -> Option<&Hint> {
        self.hints.get(hash as usize % HINTS)
    }
}

/// What a batch knows of one event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    /// The raw line in the buffer.
    pub(crate) start: u32,
    pub(crate) len: u32,
    /// The body, in the buffer or in the batch's own bytes.
    pub(crate) body: u32,
    pub(crate) body_len: u32,
    pub(crate) tape: u32,
    pub(crate) tape_len: u32,
    pub(crate) time: Timestamp,
    /// The newest edit of its chain, or [`overlay::NONE`].
    pub(crate) edits: u32,
    /// Tells apart events that were split from one line; see [`child_ordinal`].
    pub(crate) ordinal: u64,
    pub(crate) area_len: u16,
    pub(crate) body_kind: BodyKind,
    pub(crate) body_is_own: bool,
    /// The length of the line before it was cut, 0 if it was not.
    pub(crate) original_len: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyKind {
    Json,
    Text,
}

/// One frame of the buffer, as a framer cuts it: a line without its end.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// The bytes of the frame.
    pub bytes: &'a [u8],
    /// Where they start in the buffer.
    pub start: u32,
    /// How long the frame was before it was cut to the limit; equal to `bytes.len()` if whole.
    pub original_len: usize,
}

/// Which events of a batch a step acts on.
#[derive(Clone, Debug)]
pub enum Selection {
    /// All of them.
    All,
    /// Those whose bit is set; 64 events a word.
    Bits(Vec<u64>),
}

impl Selection {
    /// None of so many events yet; see [`Selection::add`].
    #[must_use]
    pub fn none(events: usize) -> Selection {
        Selection::Bits(vec![0; events.div_ceil(64)])
    }

    /// Selects the event at `index` as well.
    pub fn add(&mut self, index: usize) {
        if let Selection::Bits(words) = self {
            words[index / 64] |= 1 << (index % 64);
        }
    }

    /// Whether the event at `index` is selected.
    #[must_use]
    pub fn contains(&self, index: usize) -> bool {
        match self {
            Selection::All => true,
            Selection::Bits(words) => words[index / 64] >> (index % 64) & 1 == 1,
        }
    }

    /// The events that a test selects.
    #[must_use]
    pub fn of(batch: &Batch, test: impl Fn(&EventRef<'_>) -> bool) -> Selection {
        let mut words = vec![0; batch.len().div_ceil(64)];
        for (index, event) in batch.iter().enumerate() {
            words[index / 64] |= u64::from(test(&event)) << (index % 64);
        }
        Selection::Bits(words)
    }
}

impl Batch {
    /// The number of events.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether it has no events.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The raw bytes of its events, added up; those of events that were split from one count once.
    #[must_use]
    pub fn raw_bytes(&self) -> usize {
        let mut last = None;
        let mut bytes = 0;
        for slot in &self.slots {
            if last.replace(slot.start) != Some(slot.start) {
                bytes += slot.len as usize;
            }
        }
        bytes
    }

    /// Where it comes from.
    #[must_use]
    pub fn origin(&self) -> &Arc<Origin> {
        &self.origin
    }

    /// The tag that it is published under.
    #[must_use]
    pub fn tag(&self) -> &Arc<str> {
        &self.tag
    }

    /// Publishes it under another tag.
    pub fn set_tag(&mut self, tag: Arc<str>) {
        self.tag = tag;
    }

    /// When its bytes were read.
    #[must_use]
    pub fn received(&self) -> Timestamp {
        self.received
    }

    /// The event at `index`.
    #[must_use]
    pub fn get(&self, index: usize) -> EventRef<'_> {
        EventRef { batch: self, slot: &self.slots[index] }
    }

    /// Its events, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = EventRef<'_>> {
        self.slots.iter().map(|slot| EventRef { batch: self, slot })
    }

    /// The event at `index`, to edit.
    #[must_use]
    pub fn edit(&mut self, index: usize) -> EventMut<'_> {
        EventMut { batch: self, index }
    }

    /// Calls `act` on each selected event, in order.
    pub fn each(&mut self, selection: &Selection, mut act: impl FnMut(&mut EventMut<'_>)) {
        for index in 0..self.len() {
            if selection.contains(index) {
                act(&mut EventMut { batch: self, index });
            }
        }
    }

    /// Removes the selected events; returns how many that were. The caller counts them.
    pub fn discard(&mut self, selection: &Selection) -> usize {
        let before = self.slots.len();
        let mut index = 0;
        self.slots.retain(|_| {
            index += 1;
            !selection.contains(index - 1)
        });
        before - self.slots.len()
    }

    /// Takes the selected events out into a batch of their own.
    #[must_use]
    pub fn take(&mut self, selection: &Selection) -> Batch {
        let mut taken = Vec::new();
        let mut index = 0;
        self.slots.retain(|slot| {
            let picked = selection.contains(index);
            index += 1;
            if picked {
                taken.push(*slot);
            }
            !picked
        });
        Batch {
            slots: taken,
            origin: self.origin.clone(),
            tag: self.tag.clone(),
            source: self.source.clone(),
            base_offset: self.base_offset,
            received: self.received,
            own: if self.own.is_empty() { Own::default() } else { self.own.clone() },
        }
    }

    /// A batch of just the event at `index`.
    #[must_use]
    pub fn one(&self, index: usize) -> Batch {
        Batch {
            slots: vec![self.slots[index]],
            origin: self.origin.clone(),
            tag: self.tag.clone(),
            source: self.source.clone(),
            base_offset: self.base_offset,
            received: self.received,
            own: self.own.clone(),
        }
    }

    /// The bytes of all its events with one newline after each, if they lie like that in the read
    /// buffer: nothing edited, nothing left out. What was read can then be written as it is.
    #[must_use]
    pub fn verbatim(&self) -> Option<&[u8]> {
        let (first, last) = (self.slots.first()?, self.slots.last()?);
        let mut next = first.start;
        for slot in &self.slots {
            if slot.start != next || slot.body_is_own || slot.edits != overlay::NONE {
                return None;
            }
            next = slot.start + slot.len + 1;
        }
        let bytes = self.source.buffer.get(first.start as usize..next as usize)?;
        // Frames may have been cut at other ends than newlines (`\r\n`, a length prefix, a limit).
        let whole = self.slots.iter().all(|slot| {
            self.source.buffer[(slot.start + slot.len) as usize] == b'\n' && slot.original_len == 0
        });
        debug_assert!(last.start + last.len < next);
        whole.then_some(bytes)
    }

    /// The raw line of the event at `index` with the byte after it, which is its newline where
    /// [`Batch::verbatim`] is given.
    #[must_use]
    pub fn raw_line(&self, index: usize) -> &[u8] {
        let slot = &self.slots[index];
        let start = slot.start as usize;
        &self.source.buffer[start..start + slot.len as usize + 1]
    }

    /// The raw lines of several events in a row, under the same condition.
    #[must_use]
    pub fn raw_lines(&self, events: std::ops::Range<usize>) -> &[u8] {
        let Some(last) = events.end.checked_sub(1).filter(|last| *last >= events.start) else {
            return &[];
        };
        let (first, last) = (&self.slots[events.start], &self.slots[last]);
        &self.source.buffer[first.start as usize..(last.start + last.len + 1) as usize]
    }

    /// Whether every body is its whole raw line, so that `verbatim` is what `json` would encode.
    #[must_use]
    pub fn bodies_are_lines(&self) -> bool {
        self.slots
            .iter()
            .all(|s| s.body == s.start && s.body_len == s.len && s.body_kind == BodyKind::Json)
    }

    /// The memory that it holds for itself and shares, in bytes, roughly.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.source.buffer.len()
            + self.source.tape.len() * size_of::<Node>()
            + size_of_val(&*self.source.hints)
            + self.slots.len() * size_of::<Slot>()
            + self.own.memory_bytes()
    }
}

/// Builds a batch from a buffer, frame by frame. A decoder calls one of the `push` methods per
/// event.
#[derive(Debug)]
pub struct Builder {
    buffer: Buffer,
    base_offset: u64,
    received: Timestamp,
    tape: Vec<Node>,
    slots: Vec<Slot>,
    own: Own,
    scanner: Scanner,
    flagged: Vec<(&'static str, u64)>,
}

impl Builder {
    /// A builder with nothing in it, to be used again for many buffers.
    #[must_use]
    pub fn new() -> Self {
        Builder {
            buffer: Buffer::from(Vec::new()),
            base_offset: 0,
            received: Timestamp::default(),
            tape: Vec::new(),
            slots: Vec::new(),
            own: Own::default(),
            scanner: Scanner::default(),
            flagged: Vec::new(),
        }
    }

    /// Starts on a buffer whose first byte is at `base_offset` of its stream.
    pub fn begin(&mut self, buffer: Buffer, base_offset: u64, received: Timestamp) {
        self.buffer = buffer;
        self.base_offset = base_offset;
        self.received = received;
        self.tape.clear();
        self.slots.clear();
        self.own = Own::default();
        self.flagged.clear();
    }

    /// When the bytes were read: the event time of whatever carries none.
    #[must_use]
    pub fn received(&self) -> Timestamp {
        self.received
    }

    /// The offset of a frame within its stream.
    #[must_use]
    pub fn offset(&self, frame: &Frame<'_>) -> u64 {
        self.base_offset + u64::from(frame.start)
    }

    /// Counts an event that lives, but that something was odd about.
    pub fn flag(&mut self, what: &'static str) {
        count(&mut self.flagged, what);
    }

    /// What was odd about events since [`Builder::begin`], and how often.
    #[must_use]
    pub fn flagged(&self) -> &[(&'static str, u64)] {
        &self.flagged
    }

    /// The number of events so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there are no events yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// An event whose body is the frame's text, read as the field `message`.
    pub fn push_text(&mut self, frame: &Frame<'_>) -> Draft<'_> {
        self.push(frame, 0, frame.bytes.len(), BodyKind::Text, 0)
    }

    /// An event whose body is the JSON object at `body` of the frame.
    ///
    /// # Errors
    /// If that is not one JSON object, or one beyond the limits; nothing is pushed then.
    pub fn push_json(
        &mut self,
        frame: &Frame<'_>,
        body: std::ops::Range<usize>,
        limits: &Limits,
    ) -> Result<Draft<'_>, JsonError> {
        let first = self.tape.len();
        let at = frame.start as usize;
        let buffer = &self.buffer;
        let has_key_twice =
            self.scanner.scan(buffer, at + body.start, at + body.end, limits, &mut self.tape)?;
        let root = self.tape[first];
        if buffer[at + body.start + root.value_at()] != b'{' {
            self.tape.truncate(first);
            let kind = JsonErrorKind::Expected("an object");
            return Err(JsonError { kind, at: root.value_at() as u32 });
        }
        if has_key_twice {
            self.flag(KEY_TWICE);
        }
        Ok(self.push(frame, body.start, body.len(), BodyKind::Json, first))
    }

    /// An event whose body is JSON that the decoder made itself.
    ///
    /// # Errors
    /// If it is not one JSON object, or one beyond the limits; nothing is pushed then.
    pub fn push_made(
        &mut self,
        frame: &Frame<'_>,
        json: &[u8],
        limits: &Limits,
    ) -> Result<Draft<'_>, JsonError> {
        let (body, tape) = self.own.add_body(json, &mut self.scanner, limits)?;
        Ok(self.push_own(frame, body, json.len() as u32, tape))
    }

    /// An event whose body is the object that `write` gives the members of.
    ///
    /// # Errors
    /// Those of `write`; nothing is pushed then.
    pub fn push_record<T, E>(
        &mut self,
        frame: &Frame<'_>,
        write: impl FnOnce(&mut RecordWriter<'_>) -> Result<T, E>,
    ) -> Result<(Draft<'_>, T), E> {
        let mut writer = self.own.begin_body(&mut self.scanner);
        let value = match write(&mut writer) {
            Ok(value) => value,
            Err(error) => {
                writer.abandon();
                return Err(error);
            }
        };
        let (body, tape) = writer.end();
        let body_len = self.own.bytes.len() as u32 - body;
        Ok((self.push_own(frame, body, body_len, tape), value))
    }

    /// An event whose body lies in the batch's own bytes.
    fn push_own(
        &mut self,
        frame: &Frame<'_>,
        body: u32,
        body_len: u32,
        tape: std::ops::Range<u32>,
    ) -> Draft<'_> {
        let nodes = &self.own.tape[tape.start as usize..tape.end as usize];
        if nodes.iter().any(Node::has_key_twice) {
            self.flag(KEY_TWICE);
        }
        let draft = self.push(frame, 0, 0, BodyKind::Json, 0);
        let slot = &mut *draft.slot;
        (slot.body, slot.body_len) = (body, body_len);
        (slot.tape, slot.body_is_own) = (tape.start, true);
        slot.tape_len = tape.end - tape.start;
        draft
    }

    fn push(
        &mut self,
        frame: &Frame<'_>,
        body: usize,
        body_len: usize,
        body_kind: BodyKind,
        tape: usize,
    ) -> Draft<'_> {
        let tape_len = if body_kind == BodyKind::Json { self.tape.len() - tape } else { 0 };
        let cut = frame.original_len != frame.bytes.len();
        self.slots.push(Slot {
            start: frame.start,
            len: frame.bytes.len() as u32,
            body: frame.start + body as u32,
            body_len: body_len as u32,
            tape: tape as u32,
            tape_len: tape_len as u32,
            time: self.received,
            edits: overlay::NONE,
            ordinal: 0,
            area_len: 0,
            body_kind,
            body_is_own: false,
            original_len: if cut {
                u32::try_from(frame.original_len).unwrap_or(u32::MAX)
            } else {
                0
            },
        });
        let last = self.slots.len() - 1;
        Draft { slot: &mut self.slots[last], flagged: &mut self.flagged }
    }

    /// The batch of everything pushed since [`Builder::begin`].
    #[must_use]
    pub fn finish(&mut self, origin: Arc<Origin>, tag: Arc<str>) -> Batch {
        // The next batch of a stream is of about the size of this one.
        let room = |used: usize| used + used / 8;
        let tape = Vec::with_capacity(room(self.tape.len()));
        let slots = Vec::with_capacity(room(self.slots.len()));
        let hints = if self.slots.len() < HINTED_EVENTS_MIN { 0 } else { HINTS };
        let source = Source {
            buffer: std::mem::replace(&mut self.buffer, Buffer::from(Vec::new())),
            tape: std::mem::replace(&mut self.tape, tape),
            hints: (0..hints).map(|_| Hint::new()).collect(),
        };
        Batch {
            origin,
            tag,
            source: Arc::new(source),
            base_offset: self.base_offset,
            received: self.received,
            slots: std::mem::replace(&mut self.slots, slots),
            own: std::mem::take(&mut self.own),
        }
    }
}

impl Default for Builder {
    fn default() -> Self {
        Builder::new()
    }
}

/// An event just pushed, to complete its metadata.
#[derive(Debug)]
pub struct Draft<'a> {
    slot: &'a mut Slot,
    flagged: &'a mut Vec<(&'static str, u64)>,
}

impl Draft<'_> {
    /// When the event happened; without this, when it was received.
    pub fn time(&mut self, time: Timestamp) -> &mut Self {
        self.slot.time = time;
        self
    }

    /// The area is the first `len` bytes of the frame.
    pub fn area_len(&mut self, len: u16) -> &mut Self {
        self.slot.area_len = len;
        self
    }

    /// Something is odd about the event: the same as [`Builder::flag`].
    pub fn flag(&mut self, what: &'static str) -> &mut Self {
        count(self.flagged, what);
        self
    }
}

fn count(flagged: &mut Vec<(&'static str, u64)>, what: &'static str) {
    match flagged.iter_mut().find(|(known, _)| *known == what) {
        Some((_, count)) => *count += 1,
        None => flagged.push((what, 1)),
    }
}
