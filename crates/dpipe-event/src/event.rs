//! One event of a batch: [`EventRef`] to read it, [`EventMut`] to edit it.

use std::borrow::Cow;

use crate::batch::{Batch, BodyKind, Slot};
use crate::json::{self, Node};
use crate::overlay::{self, Doc, Op};
use crate::path::Step;
use crate::{EventId, Meta, Origin, Path, Record, Segment, Text, Timestamp, Value};

/// The field that the text of an event without structure is read as.
const MESSAGE: &str = "message";

/// A view of one event. Cheap to copy.
#[derive(Clone, Copy, Debug)]
pub struct EventRef<'a> {
    pub(crate) batch: &'a Batch,
    pub(crate) slot: &'a Slot,
}

/// One event, to edit.
#[derive(Debug)]
pub struct EventMut<'a> {
    pub(crate) batch: &'a mut Batch,
    pub(crate) index: usize,
}

/// A value to set.
#[derive(Clone, Copy, Debug)]
pub enum NewValue<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A number by its digits, which must be a JSON number.
    Number(&'a str),
    /// A number; infinities and not-a-number become `null`.
    Float(f64),
    /// A string, which need not be UTF-8: what is not becomes U+FFFD.
    String(&'a [u8]),
    /// One JSON value, valid and without space around it.
    Json(&'a [u8]),
}

impl NewValue<'_> {
    fn write_json(self, out: &mut Vec<u8>) {
        match self {
            NewValue::Null => out.extend_from_slice(b"null"),
            NewValue::Bool(yes) => out.extend_from_slice(if yes { b"true" } else { b"false" }),
            NewValue::Integer(n) => out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes()),
            NewValue::Float(n) if !n.is_finite() => out.extend_from_slice(b"null"),
            NewValue::Float(n) => {
                use std::io::Write;
                // Writing to a vector cannot fail. Rust prints the shortest digits that read back
                // as the same number; `{:?}` keeps `1.0` apart from `1`.
                let _ = write!(out, "{n:?}");
            }
            NewValue::Number(digits) => out.extend_from_slice(digits.as_bytes()),
            NewValue::Json(bytes) => out.extend_from_slice(bytes),
            NewValue::String(bytes) => {
                out.push(b'"');
                json::write_escaped(out, bytes);
                out.push(b'"');
            }
        }
    }
}

/// Where a path leads.
enum Place {
    Nowhere,
    /// To a node that is as it was read, but perhaps for edits below it.
    Node(u32),
    /// To, or below, a value that an edit gave; `rest` segments are left to walk.
    Edited {
        edit: u32,
        rest: usize,
    },
}

impl<'a> EventRef<'a> {
    /// The value at a path: metadata or a field of the body; `None` if there is none. Of a key that
    /// stands twice in an object the last one counts.
    #[must_use]
    pub fn get(&self, path: &Path) -> Option<Value<'a>> {
        if let Some(meta) = path.meta() {
            return self.meta(meta);
        }
        self.field(path)
    }

    #[inline]
    fn field(&self, path: &Path) -> Option<Value<'a>> {
        if self.slot.body_kind == BodyKind::Text {
            return match path.segments() {
                [Segment::Key(key)] if &**key == MESSAGE => {
                    Some(Value::String(Text::plain(self.body_bytes())))
                }
                _ => None,
            };
        }
        match self.place(path) {
            Place::Nowhere => None,
            Place::Node(node) => Some(self.node_value(node)),
            Place::Edited { edit, rest } => {
                let edit = self.batch.own.edit(edit);
                let rest = &path.segments()[path.segments().len() - rest..];
                walk(Value::of_json(self.batch.own.value(edit)), rest)
            }
        }
    }

    /// The whole body as a value: an object, also of a plain text.
    #[must_use]
    pub fn body(&self) -> Value<'a> {
        if self.is_text() || self.slot.edits != overlay::NONE {
            let mut json = Vec::new();
            self.write_json(&mut json);
            return Value::Object(Cow::Owned(json));
        }
        Value::Object(Cow::Borrowed(self.body_bytes()))
    }

    /// A piece of metadata as a value; `None` where the event has none of it.
    #[must_use]
    pub fn meta(&self, meta: Meta) -> Option<Value<'a>> {
        let origin = self.batch.origin();
        let text =
            |text: &'a str| (!text.is_empty()).then(|| Value::String(Text::plain(text.as_bytes())));
        match meta {
            Meta::Time => Some(Value::Integer(self.time().millis())),
            Meta::Received => Some(Value::Integer(self.batch.received.millis())),
            Meta::Offset => Some(Value::Integer(self.offset() as i64)),
            Meta::Id => Some(Value::Id(self.id())),
            Meta::OriginalBytes => self.cut_from().map(|bytes| Value::Integer(i64::from(bytes))),
            Meta::Area => text(self.area()),
            Meta::Tenant => text(&origin.tenant),
            Meta::Tag => text(self.batch.tag()),
            Meta::Input => text(&origin.input),
            Meta::File => text(&origin.file),
            Meta::Host => text(&origin.host),
            Meta::Logfile => text(&origin.logfile),
        }
    }

    /// When it happened.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        self.slot.time
    }

    /// When its bytes were read.
    #[must_use]
    pub fn received(&self) -> Timestamp {
        self.batch.received
    }

    /// Its area; empty if it has none.
    #[must_use]
    pub fn area(&self) -> &'a str {
        let area = &self.raw()[..self.slot.area_len as usize];
        std::str::from_utf8(area).unwrap_or_default()
    }

    /// The offset of its first byte within its stream.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.batch.base_offset + u64::from(self.slot.start)
    }

    /// Tells apart the events that were split from one; 0 for one as it was read.
    #[must_use]
    pub fn ordinal(&self) -> u64 {
        self.slot.ordinal
    }

    /// Its deterministic id.
    #[must_use]
    pub fn id(&self) -> EventId {
        EventId::derive(self.batch.origin().stream, self.offset(), self.slot.ordinal)
    }

    /// Where its batch comes from.
    #[must_use]
    pub fn origin(&self) -> &'a Origin {
        self.batch.origin()
    }

    /// The tag of its batch.
    #[must_use]
    pub fn tag(&self) -> &'a str {
        self.batch.tag()
    }

    /// The bytes it was read from, without the end of the line; never edited.
    #[must_use]
    pub fn raw(&self) -> &'a [u8] {
        let start = self.slot.start as usize;
        &self.batch.source.buffer[start..start + self.slot.len as usize]
    }

    /// How long its line was before it was cut to the input's limit; `None` if it was not. 4 GiB
    /// stand for more.
    #[must_use]
    pub fn cut_from(&self) -> Option<u32> {
        (self.slot.original_len > 0).then_some(self.slot.original_len)
    }

    /// Whether its body is as it was read.
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        self.slot.edits == overlay::NONE && !self.slot.body_is_own
    }

    /// Whether its body is plain text, read as the field `message`.
    #[must_use]
    pub fn is_text(&self) -> bool {
        self.slot.body_kind == BodyKind::Text
    }

    /// Appends its body as one JSON object, edits merged in.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        if self.slot.body_kind == BodyKind::Text {
            write_message(self.body_bytes(), out);
        } else if self.slot.edits == overlay::NONE {
            out.extend_from_slice(self.body_bytes());
        } else {
            overlay::write_merged(self.doc(), 0, &self.batch.own, self.slot.edits, out);
        }
    }

    /// Its body as it is now: JSON with the edits merged in, or the plain text.
    #[must_use]
    pub fn body_text(&self) -> Cow<'a, [u8]> {
        if self.slot.edits == overlay::NONE {
            return Cow::Borrowed(self.body_bytes());
        }
        let mut out = Vec::with_capacity(self.slot.body_len as usize + 128);
        self.write_json(&mut out);
        Cow::Owned(out)
    }

    /// The body's bytes without the edits.
    fn body_bytes(&self) -> &'a [u8] {
        let start = self.slot.body as usize;
        let range = start..start + self.slot.body_len as usize;
        if self.slot.body_is_own {
            &self.batch.own.bytes[range]
        } else {
            &self.batch.source.buffer[range]
        }
    }

    #[inline]
    fn doc(&self) -> Doc<'a> {
        let start = self.slot.tape as usize;
        let range = start..start + self.slot.tape_len as usize;
        let tape = if self.slot.body_is_own {
            &self.batch.own.tape[range]
        } else {
            &self.batch.source.tape[range]
        };
        Doc { bytes: self.body_bytes(), tape }
    }

    fn node_value(&self, node: u32) -> Value<'a> {
        let doc = self.doc();
        let n = &doc.tape[node as usize];
        let bytes = &doc.bytes[n.value_at()..n.end as usize];
        match bytes[0] {
            b'"' if n.value & Node::ESCAPED != 0 => {
                Value::String(Text::escaped(&bytes[1..bytes.len() - 1]))
            }
            b'"' => Value::String(Text::plain(&bytes[1..bytes.len() - 1])),
            open @ (b'{' | b'[') => {
                let edits = self.slot.edits;
                let below = node..n.next;
                let json = if edits != overlay::NONE && self.batch.own.touches(edits, below) {
                    let mut merged = Vec::with_capacity(bytes.len() + 64);
                    overlay::write_merged(doc, node, &self.batch.own, edits, &mut merged);
                    Cow::Owned(merged)
                } else {
                    Cow::Borrowed(bytes)
                };
                if open == b'{' { Value::Object(json) } else { Value::Array(json) }
            }
            _ => Value::of_json(bytes),
        }
    }

    fn place(&self, path: &Path) -> Place {
        let doc = self.doc();
        let own = &self.batch.own;
        let edits = self.slot.edits;
        let steps = path.steps();
        let mut node = 0;
        for (depth, step) in steps.iter().enumerate() {
            let rest = steps.len() - depth - 1;
            if edits != overlay::NONE
                && let Step::Key(member) = step
                && let Some((edit, _)) = own.inserted(edits, node, &member.json_key)
            {
                return Place::Edited { edit, rest };
            }
            let Some(child) = self.child(doc, node, step) else { return Place::Nowhere };
            if edits != overlay::NONE
                && let Some((edit, how)) = own.on_node(edits, child)
            {
                return match how.op {
                    Op::Remove => Place::Nowhere,
                    _ => Place::Edited { edit, rest },
                };
            }
            node = child;
        }
        Place::Node(node)
    }

    /// The child of a node that a step leads to, edits aside.
    #[inline]
    fn child(&self, doc: Doc<'_>, node: u32, step: &Step) -> Option<u32> {
        match step {
            Step::Key(member) => match self.batch.source.hint(member.hash) {
                Some(hint) => json::find(doc.tape, doc.bytes, node, member.key(), hint),
                None => json::find_key(doc.tape, doc.bytes, node, member.key()),
            },
            Step::Index(index) if !doc.is_object(node) => {
                json::element(doc.tape, node, *index as usize)
            }
            Step::Index(_) => None,
        }
    }
}

/// Follows segments down a value that has no tape.
fn walk<'a>(value: Value<'a>, segments: &[Segment]) -> Option<Value<'a>> {
    let Some((segment, rest)) = segments.split_first() else { return Some(value) };
    let (Value::Object(Cow::Borrowed(bytes)) | Value::Array(Cow::Borrowed(bytes))) = value else {
        return None;
    };
    let mut entries = crate::Entries::over(bytes);
    let found = match segment {
        Segment::Key(name) => {
            entries.filter(|(key, _)| key.is_some_and(|k| *k.bytes() == *name.as_bytes())).last()
        }
        Segment::Index(index) => entries.nth(*index as usize).filter(|(key, _)| key.is_none()),
    };
    walk(found?.1, rest)
}

fn write_message(text: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"message\":\"");
    json::write_escaped(out, text);
    out.extend_from_slice(b"\"}");
}

impl EventMut<'_> {
    /// The event, to read.
    #[must_use]
    pub fn as_ref(&self) -> EventRef<'_> {
        self.batch.get(self.index)
    }

    /// Sets when it happened.
    pub fn set_time(&mut self, time: Timestamp) {
        self.slot().time = time;
    }

    /// Sets the field at a path, creating the objects on the way that are missing. Returns whether
    /// it could: not through a value that is no object, not beyond the end of an array, and not
    /// metadata.
    pub fn set(&mut self, path: &Path, value: NewValue<'_>) -> bool {
        if path.meta().is_some() {
            return false;
        }
        self.make_json();
        match self.set_in_place(path, value) {
            Ok(done) => done,
            // Built anew, the body has nodes for what the edit gave.
            Err(BelowAnEdit) => self.rebuild() && self.set_in_place(path, value).unwrap_or(false),
        }
    }

    fn set_in_place(&mut self, path: &Path, value: NewValue<'_>) -> Result<bool, BelowAnEdit> {
        let steps = path.steps();
        let mut node = 0;
        for (depth, step) in steps.iter().enumerate() {
            let last = depth + 1 == steps.len();
            let head = self.as_ref().slot.edits;
            if let Step::Key(member) = step
                && let Some((edit, _)) = self.batch.own.inserted(head, node, &member.json_key)
            {
                if !last {
                    return Err(BelowAnEdit);
                }
                self.batch.own.overwrite(edit, |out| value.write_json(out));
                return Ok(true);
            }
            let doc = self.as_ref().doc();
            let Some(child) = self.as_ref().child(doc, node, step) else {
                let Step::Key(member) = step else { return Ok(false) };
                if !doc.is_object(node) || steps[depth..].iter().any(is_index) {
                    return Ok(false);
                }
                let slot = &mut self.batch.slots[self.index];
                self.batch.own.insert(&mut slot.edits, node, &member.json_key, |out| {
                    write_nested(&steps[depth + 1..], value, out);
                });
                return Ok(true);
            };
            if let Some((edit, how)) = self.batch.own.on_node(head, child) {
                if !last && how.op == Op::Replace {
                    return Err(BelowAnEdit);
                }
                if steps[depth + 1..].iter().any(is_index) {
                    return Ok(false);
                }
                let written = |out: &mut Vec<u8>| write_nested(&steps[depth + 1..], value, out);
                self.batch.own.overwrite(edit, written);
                return Ok(true);
            }
            if last {
                if let Step::Key(member) = step {
                    self.drop_duplicates(node, member.text(), child);
                }
                self.record(child, Op::Replace, |out| value.write_json(out));
                return Ok(true);
            }
            node = child;
        }
        Ok(false)
    }

    /// Sets the members of a record: on the body itself, or as the object at `into`. Those that are
    /// there already are replaced. Returns whether it could; see [`EventMut::set`].
    pub fn merge(&mut self, record: &Record, into: Option<&Path>) -> bool {
        if let Some(path) = into {
            return self.set(path, NewValue::Json(record.json()));
        }
        self.make_json();
        let mut key = Vec::new();
        for (name, value) in record.members() {
            key.clear();
            key.push(b'"');
            match memchr::memchr(b'\\', name) {
                None => key.extend_from_slice(name),
                // Written as a path writes it, by which it is found again.
                Some(_) => json::write_escaped(&mut key, &json::unescape(name)),
            }
            key.extend_from_slice(b"\":");
            self.set_member(&key, value);
        }
        true
    }

    /// Gives the member with this JSON key (`"key":`) of the body a value.
    fn set_member(&mut self, json_key: &[u8], json: &[u8]) {
        let write = |out: &mut Vec<u8>| out.extend_from_slice(json);
        let head = self.as_ref().slot.edits;
        if let Some((edit, _)) = self.batch.own.inserted(head, 0, json_key) {
            return self.batch.own.overwrite(edit, write);
        }
        let key = json::unescape(&json_key[1..json_key.len() - 2]);
        let doc = self.as_ref().doc();
        let Some(child) = json::find_key(doc.tape, doc.bytes, 0, json::Key::new(&key)) else {
            let slot = &mut self.batch.slots[self.index];
            return self.batch.own.insert(&mut slot.edits, 0, json_key, write);
        };
        self.drop_duplicates(0, &key, child);
        match self.batch.own.on_node(head, child) {
            Some((edit, _)) => self.batch.own.overwrite(edit, write),
            // Edits below the member end with it: the newest one counts.
            None => self.record(child, Op::Replace, write),
        }
    }

    /// Removes the field at a path (every copy of it, if the key stands there twice); returns
    /// whether there was one.
    pub fn remove(&mut self, path: &Path) -> bool {
        if path.meta().is_some() {
            return false;
        }
        if self.as_ref().is_text() {
            if self.as_ref().field(path).is_none() {
                return false;
            }
            self.make_json();
        }
        match self.remove_in_place(path) {
            Ok(done) => done,
            Err(BelowAnEdit) => self.rebuild() && self.remove_in_place(path).unwrap_or(false),
        }
    }

    fn remove_in_place(&mut self, path: &Path) -> Result<bool, BelowAnEdit> {
        let steps = path.steps();
        let mut node = 0;
        for (depth, step) in steps.iter().enumerate() {
            let last = depth + 1 == steps.len();
            let mut head = self.as_ref().slot.edits;
            if let Step::Key(member) = step
                && let Some((edit, _)) = self.batch.own.inserted(head, node, &member.json_key)
            {
                if !last {
                    return Err(BelowAnEdit);
                }
                self.batch.own.unlink(&mut head, edit);
                self.slot().edits = head;
                return Ok(true);
            }
            let event = self.as_ref();
            let Some(child) = event.child(event.doc(), node, step) else { return Ok(false) };
            if let Some((edit, how)) = self.batch.own.on_node(head, child) {
                return match how.op {
                    Op::Remove => Ok(false),
                    _ if !last => Err(BelowAnEdit),
                    _ => {
                        self.batch.own.remove_replaced(edit);
                        Ok(true)
                    }
                };
            }
            if last {
                if let Step::Key(member) = step {
                    self.drop_duplicates(node, member.text(), child);
                }
                self.record(child, Op::Remove, |_| {});
                return Ok(true);
            }
            node = child;
        }
        Ok(false)
    }

    /// Moves the value at `from` to `to`; returns whether it could. If it could not, the fields are
    /// as they were.
    pub fn rename(&mut self, from: &Path, to: &Path) -> bool {
        if from == to || to.meta().is_some() || from.meta().is_some() {
            return false;
        }
        let mut json = Vec::new();
        match self.as_ref().field(from) {
            Some(value) => value.write_json(&mut json),
            None => return false,
        }
        if !self.set(to, NewValue::Json(&json)) {
            return false;
        }
        // Of `a` and `a.b`, the one that was set took the place of the other.
        let nested = to.segments().starts_with(from.segments())
            || from.segments().starts_with(to.segments());
        nested || self.remove(from)
    }

    /// Makes this JSON object the body.
    ///
    /// # Errors
    /// If it is not one JSON object; the event is as it was then.
    pub fn set_body(&mut self, json: &[u8]) -> Result<(), crate::JsonError> {
        let others = self.batch.len() - 1;
        let (body, tape) = self.batch.own.make_body(json, others)?;
        let slot = self.slot();
        (slot.body, slot.body_len) = (body, json.len() as u32);
        (slot.tape, slot.tape_len) = (tape.start, tape.end - tape.start);
        slot.body_kind = BodyKind::Json;
        slot.body_is_own = true;
        slot.edits = overlay::NONE;
        Ok(())
    }

    /// Keeps only the fields at these paths and what is below them.
    pub fn keep(&mut self, paths: &[Path]) {
        self.make_json();
        if self.as_ref().slot.edits != overlay::NONE && !self.rebuild() {
            return;
        }
        let all: Vec<&[Segment]> =
            paths.iter().filter(|p| p.meta().is_none()).map(Path::segments).collect();
        self.keep_below(0, &all);
    }

    fn keep_below(&mut self, node: u32, wanted: &[&[Segment]]) {
        let end = self.as_ref().doc().tape[node as usize].next;
        let mut child = node + 1;
        let mut index = 0;
        while child < end {
            let doc = self.as_ref().doc();
            let next = doc.tape[child as usize].next;
            let leads = |segment: &Segment| match segment {
                Segment::Key(key) => doc.is_object(node) && doc.key_is(child, key.as_bytes()),
                Segment::Index(at) => !doc.is_object(node) && *at == index,
            };
            let below: Vec<&[Segment]> =
                wanted.iter().filter(|path| leads(&path[0])).map(|path| &path[1..]).collect();
            if below.is_empty() {
                self.record(child, Op::Remove, |_| {});
            } else if !below.iter().any(|path| path.is_empty()) {
                self.keep_below(child, &below);
            }
            child = next;
            index += 1;
        }
    }

    fn slot(&mut self) -> &mut Slot {
        &mut self.batch.slots[self.index]
    }

    fn record(&mut self, node: u32, op: Op, write: impl FnOnce(&mut Vec<u8>)) {
        let slot = &mut self.batch.slots[self.index];
        self.batch.own.record(&mut slot.edits, node, op, write);
    }

    /// Removes the earlier copies of a key of an object, if it stands there more than once.
    fn drop_duplicates(&mut self, object: u32, key: &[u8], last: u32) {
        if !self.as_ref().doc().tape[object as usize].has_key_twice() {
            return;
        }
        let mut child = object + 1;
        while child < last {
            let doc = self.as_ref().doc();
            let next = doc.tape[child as usize].next;
            if doc.key_is(child, key) {
                self.record(child, Op::Remove, |_| {});
            }
            child = next;
        }
    }

    /// Turns a plain text body into `{"message": …}`, so that fields can be set on it.
    fn make_json(&mut self) {
        if self.as_ref().is_text() {
            self.rebuild();
        }
    }

    /// Builds the body anew with the edits merged in; false only if that made it too deep.
    fn rebuild(&mut self) -> bool {
        let mut json = Vec::with_capacity(self.as_ref().slot.body_len as usize + 128);
        self.as_ref().write_json(&mut json);
        self.set_body(&json).is_ok()
    }
}

/// The path leads into a value that an edit gave, which has no nodes.
#[derive(Debug)]
struct BelowAnEdit;

fn is_index(step: &Step) -> bool {
    matches!(step, Step::Index(_))
}

/// Writes `{"b":{"c":value}}` for the keys of the steps.
fn write_nested(steps: &[Step], value: NewValue<'_>, out: &mut Vec<u8>) {
    for step in steps {
        out.push(b'{');
        out.extend_from_slice(step.json_key());
    }
    value.write_json(out);
    out.resize(out.len() + steps.len(), b'}');
}

#[cfg(test)]
mod tests;
