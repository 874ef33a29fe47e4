//! A record: the members of a body, as a decoder finds them in a text that is not JSON.
//!
//! They are written once, as JSON and as its tape, so that nothing is parsed to be looked up, and
//! copied by whoever encodes. A [`Record`] is the memory, used again for each event; a decoder
//! writes through a [`RecordWriter`], which keeps the two in step and can only make valid JSON.

use crate::Entries;
use crate::json::{self, JsonError, JsonErrorKind, Limits, Node, Scanner, is_json_number};

/// A body in the making: one JSON object.
#[derive(Debug, Default)]
pub struct Record {
    bytes: Vec<u8>,
    tape: Vec<Node>,
    scanner: Scanner,
}

/// Writes the members of an object, in order. A key that is written twice stands there twice, and
/// the last one counts, as in JSON that was read.
#[derive(Debug)]
pub struct RecordWriter<'a> {
    bytes: &'a mut Vec<u8>,
    tape: &'a mut Vec<Node>,
    scanner: &'a mut Scanner,
    /// Where the document starts in `bytes`, and its root in `tape`.
    start: usize,
    first: usize,
}

/// A key, escaped once, for decoders that write the same members each time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordKey {
    /// `"key":`
    json: Box<[u8]>,
    is_escaped: bool,
}

impl RecordKey {
    /// A key of this text.
    #[must_use]
    pub fn new(key: &str) -> Self {
        let mut json = vec![b'"'];
        json::write_escaped(&mut json, key.as_bytes());
        let is_escaped = json.contains(&b'\\');
        json.extend_from_slice(b"\":");
        RecordKey { json: json.into(), is_escaped }
    }
}

impl Record {
    /// A record without members.
    #[must_use]
    pub fn new() -> Self {
        Record::default()
    }

    /// Forgets what it holds, and lets `write` fill it.
    ///
    /// # Errors
    /// Those of `write`; what it wrote is then void.
    pub fn fill<T, E>(
        &mut self,
        write: impl FnOnce(&mut RecordWriter<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.bytes.clear();
        self.tape.clear();
        let mut writer = RecordWriter::begin(&mut self.bytes, &mut self.tape, &mut self.scanner);
        let value = write(&mut writer)?;
        writer.end();
        Ok(value)
    }

    /// The object, as JSON.
    #[must_use]
    pub fn json(&self) -> &[u8] {
        &self.bytes
    }

    /// Its members, each with its key.
    #[must_use]
    pub fn entries(&self) -> Entries<'_> {
        Entries::over(if self.bytes.is_empty() { b"{}" } else { &self.bytes })
    }

    /// Its members: the key as it stands between its quotes, and the value's JSON.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let end = self.tape.first().map_or(0, |root| root.next);
        let mut at = 1;
        std::iter::from_fn(move || {
            let node = self.tape.get(at as usize).filter(|_| at < end)?;
            at = node.next;
            let value = &self.bytes[node.value_at()..node.end as usize];
            Some((node.raw_key(&self.bytes), value))
        })
    }
}

impl<'a> RecordWriter<'a> {
    /// Opens the document at the end of `bytes` and `tape`.
    pub(crate) fn begin(
        bytes: &'a mut Vec<u8>,
        tape: &'a mut Vec<Node>,
        scanner: &'a mut Scanner,
    ) -> Self {
        let (start, first) = (bytes.len(), tape.len());
        bytes.push(b'{');
        tape.push(Node { key: 0, value: 0, end: 0, next: 0 });
        RecordWriter { bytes, tape, scanner, start, first }
    }

    /// Closes it; returns where it starts in the bytes, and its nodes.
    pub(crate) fn end(self) -> (u32, std::ops::Range<u32>) {
        self.bytes.push(b'}');
        let nodes = self.first as u32..self.tape.len() as u32;
        let root = &mut self.tape[self.first];
        root.end = (self.bytes.len() - self.start) as u32;
        root.next = nodes.end - nodes.start;
        let nodes_written = &mut self.tape[self.first..];
        self.scanner.mark_keys_twice(&self.bytes[self.start..], nodes_written);
        (self.start as u32, nodes)
    }

    /// Takes back everything that was written.
    pub(crate) fn abandon(self) {
        self.bytes.truncate(self.start);
        self.tape.truncate(self.first);
    }

    /// The number of members and nested values so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tape.len() - self.first - 1
    }

    /// Whether nothing was written yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A text; what is not UTF-8 becomes U+FFFD.
    #[inline]
    pub fn string(&mut self, key: &RecordKey, text: &[u8]) {
        let key = self.key(key);
        self.text(key, text);
    }

    /// A number by its digits. What JSON does not take for a number (`007`, `+1`, `NaN`) is written
    /// as a text.
    #[inline]
    pub fn number(&mut self, key: &RecordKey, digits: &[u8]) {
        let key = self.key(key);
        self.digits(key, digits);
    }

    /// A whole number.
    pub fn integer(&mut self, key: &RecordKey, number: i64) {
        let key = self.key(key);
        self.raw(key, itoa::Buffer::new().format(number).as_bytes());
    }

    /// `true` or `false`.
    pub fn bool(&mut self, key: &RecordKey, yes: bool) {
        let key = self.key(key);
        self.raw(key, if yes { b"true" } else { b"false" });
    }

    /// `null`.
    pub fn null(&mut self, key: &RecordKey) {
        let key = self.key(key);
        self.raw(key, b"null");
    }

    /// A text under a key that the text itself gave; the key need not be UTF-8 either.
    pub fn string_named(&mut self, key: &[u8], text: &[u8]) {
        let key = self.named(key);
        self.text(key, text);
    }

    /// As [`RecordWriter::number`], under a key that the text itself gave.
    pub fn number_named(&mut self, key: &[u8], digits: &[u8]) {
        let key = self.named(key);
        self.digits(key, digits);
    }

    /// `true` or `false` under a key that the text itself gave.
    pub fn bool_named(&mut self, key: &[u8], yes: bool) {
        let key = self.named(key);
        self.raw(key, if yes { b"true" } else { b"false" });
    }

    /// `null` under a key that the text itself gave.
    pub fn null_named(&mut self, key: &[u8]) {
        let key = self.named(key);
        self.raw(key, b"null");
    }

    /// One JSON value under a key that the text itself gave.
    ///
    /// # Errors
    /// If it is not one JSON value, or one beyond the limits; nothing is written then.
    pub fn json_named(
        &mut self,
        key: &[u8],
        json: &[u8],
        limits: &Limits,
    ) -> Result<(), JsonError> {
        let (bytes, nodes) = (self.bytes.len(), self.tape.len());
        let key = self.named(key);
        self.value(key, json, limits).inspect_err(|_| {
            self.bytes.truncate(bytes);
            self.tape.truncate(nodes);
        })
    }

    /// An object, whose members `write` gives.
    pub fn object(&mut self, key: &RecordKey, write: impl FnOnce(&mut Self)) {
        let key = self.key(key);
        self.container(key, [b'{', b'}'], write);
    }

    /// An object under a key that the text itself gave.
    pub fn object_named(&mut self, key: &[u8], write: impl FnOnce(&mut Self)) {
        let key = self.named(key);
        self.container(key, [b'{', b'}'], write);
    }

    /// A list, whose texts `write` gives by [`RecordWriter::element`].
    pub fn list(&mut self, key: &RecordKey, write: impl FnOnce(&mut Self)) {
        let key = self.key(key);
        self.container(key, [b'[', b']'], write);
    }

    /// A text in a list.
    pub fn element(&mut self, text: &[u8]) {
        self.comma();
        self.text(0, text);
    }

    /// The members of a whole JSON object, as they stand.
    ///
    /// # Errors
    /// If it is not one JSON object, or one beyond the limits; nothing is written then.
    pub fn members_of(&mut self, json: &[u8], limits: &Limits) -> Result<(), JsonError> {
        let nodes = self.tape.len();
        self.scanner.scan(json, 0, json.len(), limits, self.tape)?;
        let root = self.tape[nodes];
        if json[root.value_at()] != b'{' {
            self.tape.truncate(nodes);
            let kind = JsonErrorKind::Expected("an object");
            return Err(JsonError { kind, at: root.value_at() as u32 });
        }
        self.tape.remove(nodes);
        let (open, close) = (root.value_at() + 1, root.end as usize - 1);
        if self.tape.len() == nodes {
            return Ok(());
        }
        self.comma();
        let shift = self.bytes.len() - self.start;
        self.bytes.extend_from_slice(&json[open..close]);
        self.moved(nodes, shift as i64 - open as i64, nodes - self.first - 1);
        Ok(())
    }

    #[inline]
    fn comma(&mut self) {
        if !matches!(self.bytes.last(), Some(b'{' | b'[')) {
            self.bytes.push(b',');
        }
    }

    /// Writes a key; returns the node's entry for it.
    #[inline]
    fn key(&mut self, key: &RecordKey) -> u32 {
        self.comma();
        let at = (self.bytes.len() + 1 - self.start) as u32;
        self.bytes.extend_from_slice(&key.json);
        if key.is_escaped { at | Node::ESCAPED } else { at }
    }

    fn named(&mut self, key: &[u8]) -> u32 {
        self.comma();
        self.bytes.push(b'"');
        let at = self.bytes.len();
        json::write_escaped(self.bytes, key);
        let is_escaped = memchr::memchr(b'\\', &self.bytes[at..]).is_some();
        self.bytes.extend_from_slice(b"\":");
        let at = (at - self.start) as u32;
        if is_escaped { at | Node::ESCAPED } else { at }
    }

    #[inline]
    fn text(&mut self, key: u32, text: &[u8]) {
        let at = self.bytes.len();
        self.bytes.push(b'"');
        json::write_escaped(self.bytes, text);
        self.bytes.push(b'"');
        // An escape makes it longer; so does a replacement, which is looked for then in vain.
        let is_escaped =
            self.bytes.len() - at != text.len() + 2 && self.bytes[at..].contains(&b'\\');
        self.node(key, at, if is_escaped { Node::ESCAPED } else { 0 });
    }

    #[inline]
    fn digits(&mut self, key: u32, digits: &[u8]) {
        if is_json_number(digits) {
            self.raw(key, digits);
        } else {
            self.text(key, digits);
        }
    }

    #[inline]
    fn raw(&mut self, key: u32, json: &[u8]) {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(json);
        self.node(key, at, 0);
    }

    #[inline]
    fn node(&mut self, key: u32, at: usize, flags: u32) {
        let value = (at - self.start) as u32 | flags;
        let end = (self.bytes.len() - self.start) as u32;
        let next = (self.tape.len() - self.first) as u32 + 1;
        self.tape.push(Node { key, value, end, next });
    }

    fn container(&mut self, key: u32, [open, close]: [u8; 2], write: impl FnOnce(&mut Self)) {
        let at = self.bytes.len();
        self.bytes.push(open);
        self.node(key, at, 0);
        let own = self.tape.len() - 1;
        write(self);
        self.bytes.push(close);
        let (end, next) = (self.bytes.len() - self.start, self.tape.len() - self.first);
        (self.tape[own].end, self.tape[own].next) = (end as u32, next as u32);
    }

    fn value(&mut self, key: u32, json: &[u8], limits: &Limits) -> Result<(), JsonError> {
        let nodes = self.tape.len();
        self.scanner.scan(json, 0, json.len(), limits, self.tape)?;
        let root = self.tape[nodes];
        let shift = self.bytes.len() - self.start;
        self.bytes.extend_from_slice(&json[root.value_at()..root.end as usize]);
        self.moved(nodes, shift as i64 - root.value_at() as i64, nodes - self.first);
        self.tape[nodes].key = key;
        Ok(())
    }

    /// Nodes from `nodes` on were of a document of their own: moves their positions by so many
    /// bytes, and their successors by so many nodes.
    fn moved(&mut self, nodes: usize, bytes: i64, by: usize) {
        let moved = |at: u32| (i64::from(at) + bytes) as u32;
        for node in &mut self.tape[nodes..] {
            // A key of 0 is an element's, which has none.
            if node.key & !Node::ESCAPED != 0 {
                node.key = moved(node.key);
            }
            node.value = moved(node.value);
            node.end = moved(node.end);
            node.next += by as u32;
        }
    }
}

#[cfg(test)]
mod tests;
