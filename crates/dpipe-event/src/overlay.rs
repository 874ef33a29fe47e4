//! The overlay: edits of events, recorded beside the bytes they edit and merged when an encoder
//! writes. An edit names a node of the event's tape; the new bytes lie in the batch's own room.

use std::ops::Range;

use crate::RecordWriter;
use crate::json::{JsonError, Limits, Node, Scanner, unescape};

/// The end of a chain of edits.
pub(crate) const NONE: u32 = u32::MAX;

/// Documents made inside dpipe are as deep and wide as their parts were allowed to be.
pub(crate) const OWN_LIMITS: Limits = Limits { depth: 128, fields: u32::MAX };

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// The node has the value that stands at `at`.
    Replace,
    /// The node is gone, key and all.
    Remove,
    /// The object `node` has a further member, `"key":value` at `at`.
    Insert,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Edit {
    /// The edit before this one in the event's chain.
    next: u32,
    pub(crate) node: u32,
    pub(crate) op: Op,
    key_len: u32,
    at: u32,
    len: u32,
    /// The traces of this edit and of those before it in the chain, one of 64 bits each: of the
    /// node that is edited, or of the member that is added. Most look-ups are of what nobody
    /// edited, and need not follow the chain to see it.
    traces: u64,
}

/// What a batch added to what was read: edits, the bytes of new values, and whole bodies.
#[derive(Clone, Debug, Default)]
pub(crate) struct Own {
    pub(crate) bytes: Vec<u8>,
    pub(crate) tape: Vec<Node>,
    edits: Vec<Edit>,
    spare: Spare,
}

/// A scanner to use again for the next body. A copy of a batch gets its own when it needs one.
#[derive(Debug, Default)]
struct Spare(Option<Box<Scanner>>);

impl Clone for Spare {
    fn clone(&self) -> Self {
        Spare(None)
    }
}

impl Own {
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.edits.is_empty()
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.bytes.len()
            + self.tape.len() * size_of::<Node>()
            + self.edits.len() * size_of::<Edit>()
            + self.spare.0.as_ref().map_or(0, |scanner| scanner.memory_bytes())
    }

    /// Adds a whole body; returns where its bytes start, and its nodes.
    pub(crate) fn add_body(
        &mut self,
        json: &[u8],
        scanner: &mut Scanner,
        limits: &Limits,
    ) -> Result<(u32, Range<u32>), JsonError> {
        let first = self.tape.len() as u32;
        scanner.scan(json, 0, json.len(), limits, &mut self.tape)?;
        let at = self.bytes.len() as u32;
        self.bytes.extend_from_slice(json);
        Ok((at, first..self.tape.len() as u32))
    }

    /// Starts a body that is written member by member.
    pub(crate) fn begin_body<'a>(&'a mut self, scanner: &'a mut Scanner) -> RecordWriter<'a> {
        RecordWriter::begin(&mut self.bytes, &mut self.tape, scanner)
    }

    /// Adds a whole body that was made inside dpipe. There are `others` events in the batch that may
    /// need the same.
    pub(crate) fn make_body(
        &mut self,
        json: &[u8],
        others: usize,
    ) -> Result<(u32, Range<u32>), JsonError> {
        /// A batch may wait long, so what was needed for a longer body is not kept with it, nor
        /// what is as large as a small batch.
        const KEPT_LEN_MAX: usize = 4096;
        const KEPT_OTHERS_MIN: usize = 16;

        let mut scanner = self.spare.0.take().unwrap_or_default();
        let body = self.add_body(json, &mut scanner, &OWN_LIMITS);
        if json.len() <= KEPT_LEN_MAX && others >= KEPT_OTHERS_MIN {
            self.spare.0 = Some(scanner);
        }
        body
    }

    /// Whether an edit of the chain may have left this trace.
    #[inline]
    fn may_have(&self, head: u32, trace: u64) -> bool {
        self.edits.get(head as usize).is_some_and(|newest| newest.traces & trace != 0)
    }

    /// The edits of a chain, newest first.
    pub(crate) fn chain(&self, head: u32) -> impl Iterator<Item = (u32, &Edit)> {
        let mut at = head;
        std::iter::from_fn(move || {
            let edit = self.edits.get(at as usize)?;
            let index = std::mem::replace(&mut at, edit.next);
            Some((index, edit))
        })
    }

    /// The edit that removed or replaced this node, if one did.
    #[inline]
    pub(crate) fn on_node(&self, head: u32, node: u32) -> Option<(u32, &Edit)> {
        if !self.may_have(head, trace_of(node)) {
            return None;
        }
        self.chain(head).find(|(_, edit)| edit.node == node && edit.op != Op::Insert)
    }

    /// The edit that added this member to the object `node`, if one did.
    #[inline]
    pub(crate) fn inserted(&self, head: u32, node: u32, json_key: &[u8]) -> Option<(u32, &Edit)> {
        if !self.may_have(head, trace_of_member(node, json_key)) {
            return None;
        }
        self.chain(head).find(|(_, edit)| {
            edit.op == Op::Insert && edit.node == node && self.key(edit) == json_key
        })
    }

    /// Whether any edit is on one of these nodes or adds to one of them.
    pub(crate) fn touches(&self, head: u32, nodes: Range<u32>) -> bool {
        self.chain(head).any(|(_, edit)| nodes.contains(&edit.node))
    }

    pub(crate) fn edit(&self, index: u32) -> &Edit {
        &self.edits[index as usize]
    }

    fn key(&self, edit: &Edit) -> &[u8] {
        &self.bytes[edit.at as usize..(edit.at + edit.key_len) as usize]
    }

    /// The JSON of the value that the edit gives.
    pub(crate) fn value(&self, edit: &Edit) -> &[u8] {
        &self.bytes[(edit.at + edit.key_len) as usize..(edit.at + edit.len) as usize]
    }

    /// Records an edit of a node; `write` appends the new value.
    pub(crate) fn record(
        &mut self,
        head: &mut u32,
        node: u32,
        op: Op,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        self.push(head, Edit::new(node, op, trace_of(node)), &[], write);
    }

    /// Records a member that the object `node` has besides; `write` appends its value.
    pub(crate) fn insert(
        &mut self,
        head: &mut u32,
        node: u32,
        json_key: &[u8],
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let edit = Edit::new(node, Op::Insert, trace_of_member(node, json_key));
        self.push(head, edit, json_key, write);
    }

    fn push(
        &mut self,
        head: &mut u32,
        edit: Edit,
        json_key: &[u8],
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let at = self.bytes.len() as u32;
        self.bytes.extend_from_slice(json_key);
        write(&mut self.bytes);
        let len = self.bytes.len() as u32 - at;
        let before = self.edits.get(*head as usize).map_or(0, |edit| edit.traces);
        let traces = edit.traces | before;
        let key_len = json_key.len() as u32;
        self.edits.push(Edit { next: *head, key_len, at, len, traces, ..edit });
        *head = self.edits.len() as u32 - 1;
    }

    /// A chain of the same edits, which can be changed without changing this one.
    pub(crate) fn copy_chain(&mut self, head: u32) -> u32 {
        let mut copy = NONE;
        let mut last = None;
        let mut at = head;
        while let Some(&edit) = self.edits.get(at as usize) {
            at = edit.next;
            let index = self.edits.len() as u32;
            self.edits.push(Edit { next: NONE, ..edit });
            match last.replace(index) {
                Some(before) => self.edits[before as usize].next = index,
                None => copy = index,
            }
        }
        copy
    }

    /// Gives an earlier edit another value, and turns a removal into a replacement.
    pub(crate) fn overwrite(&mut self, index: u32, write: impl FnOnce(&mut Vec<u8>)) {
        let at = self.bytes.len();
        let old = self.edits[index as usize];
        self.bytes.extend_from_within(old.at as usize..(old.at + old.key_len) as usize);
        write(&mut self.bytes);
        let edit = &mut self.edits[index as usize];
        edit.at = at as u32;
        edit.len = (self.bytes.len() - at) as u32;
        if edit.op == Op::Remove {
            edit.op = Op::Replace;
        }
    }

    /// Turns a replacement into a removal.
    pub(crate) fn remove_replaced(&mut self, index: u32) {
        self.edits[index as usize].op = Op::Remove;
    }

    /// Takes an insertion out of the chain.
    pub(crate) fn unlink(&mut self, head: &mut u32, index: u32) {
        let next = self.edits[index as usize].next;
        if *head == index {
            *head = next;
            return;
        }
        let mut at = *head;
        while at != NONE {
            let edit = &mut self.edits[at as usize];
            if edit.next == index {
                edit.next = next;
                return;
            }
            at = edit.next;
        }
    }
}

impl Edit {
    fn new(node: u32, op: Op, traces: u64) -> Self {
        Edit { next: NONE, node, op, key_len: 0, at: 0, len: 0, traces }
    }
}

/// The bit of a node.
#[inline]
fn trace_of(node: u32) -> u64 {
    1 << (node % 64)
}

/// The bit of a member that the object `node` does not have yet, by its `"key":`.
#[inline]
fn trace_of_member(node: u32, json_key: &[u8]) -> u64 {
    let [.., last, _, _] = json_key else { return 0 };
    trace_of(node + 7 * json_key.len() as u32 + u32::from(*last))
}

/// A parsed document: its bytes and its nodes.
#[derive(Clone, Copy)]
pub(crate) struct Doc<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) tape: &'a [Node],
}

impl<'a> Doc<'a> {
    /// The JSON of a node, as it was read.
    pub(crate) fn json(&self, node: u32) -> &'a [u8] {
        let n = &self.tape[node as usize];
        &self.bytes[n.value_at()..n.end as usize]
    }

    /// Whether the member `node` of an object has this key.
    pub(crate) fn key_is(&self, node: u32, key: &[u8]) -> bool {
        let n = &self.tape[node as usize];
        let raw = n.raw_key(self.bytes);
        if n.key & Node::ESCAPED == 0 { raw == key } else { *unescape(raw) == *key }
    }

    pub(crate) fn is_object(&self, node: u32) -> bool {
        self.bytes[self.tape[node as usize].value_at()] == b'{'
    }
}

/// Writes the JSON of `node` with the edits of the chain merged in.
pub(crate) fn write_merged(doc: Doc<'_>, node: u32, own: &Own, head: u32, out: &mut Vec<u8>) {
    // Few edits an event are the rule: they are sorted on the stack.
    let mut few = [(0u32, 0u32); 32];
    let mut many = Vec::new();
    let mut count = 0;
    for (index, edit) in own.chain(head) {
        let entry = (edit.node, index);
        if count < few.len() {
            few[count] = entry;
        } else {
            if count == few.len() {
                many.extend_from_slice(&few);
            }
            many.push(entry);
        }
        count += 1;
    }
    let edits = if count <= few.len() { &mut few[..count] } else { &mut many[..] };
    // By node; those of one node in the order in which they were made.
    edits.sort_unstable();
    let end = doc.tape[node as usize].next;
    let first = edits.partition_point(|&(at, _)| at < node);
    let last = edits.partition_point(|&(at, _)| at < end);
    Merge { doc, own, out }.value(node, &edits[first..last]);
}

struct Merge<'a, 'o> {
    doc: Doc<'a>,
    own: &'a Own,
    out: &'o mut Vec<u8>,
}

impl Merge<'_, '_> {
    /// Writes a value; `edits` are those on it and below it.
    fn value(&mut self, node: u32, edits: &[(u32, u32)]) {
        if edits.is_empty() {
            self.out.extend_from_slice(self.doc.json(node));
            return;
        }
        let inserts = edits.iter().take_while(|&&(at, _)| at == node).count();
        let (inserts, mut edits) = edits.split_at(inserts);
        if let Some(edit) = self.replaced(inserts) {
            self.out.extend_from_slice(self.own.value(edit));
            return;
        }
        let n = self.doc.tape[node as usize];
        let object = self.doc.is_object(node);
        self.out.push(if object { b'{' } else { b'[' });
        let mut first = true;
        let mut run: Option<(usize, usize)> = None;
        let mut child = node + 1;
        while (child as usize) < n.next as usize {
            let c = self.doc.tape[child as usize];
            let next = c.next;
            let member = if object { c.key_at() - 1 } else { c.value_at() };
            let below = edits.iter().take_while(|&&(at, _)| at < next).count();
            if below == 0 {
                run = Some((run.map_or(member, |(start, _)| start), c.end as usize));
            } else {
                self.run(&mut run, &mut first);
                let (own, rest) = edits.split_at(below);
                edits = rest;
                if !self.is_removed(child, own) {
                    self.comma(&mut first);
                    self.out.extend_from_slice(&self.doc.bytes[member..c.value_at()]);
                    self.value(child, own);
                }
            }
            child = next;
        }
        self.run(&mut run, &mut first);
        for &(_, index) in inserts {
            let edit = &self.own.edits[index as usize];
            self.comma(&mut first);
            let bytes = edit.at as usize..(edit.at + edit.len) as usize;
            self.out.extend_from_slice(&self.own.bytes[bytes]);
        }
        self.out.push(if object { b'}' } else { b']' });
    }

    fn replaced(&self, edits: &[(u32, u32)]) -> Option<&'_ Edit> {
        let found = edits.iter().find(|&&(_, i)| self.own.edits[i as usize].op == Op::Replace)?;
        Some(&self.own.edits[found.1 as usize])
    }

    fn is_removed(&self, node: u32, edits: &[(u32, u32)]) -> bool {
        edits
            .iter()
            .take_while(|&&(at, _)| at == node)
            .any(|&(_, i)| self.own.edits[i as usize].op == Op::Remove)
    }

    /// Copies neighbors that nothing edited in one piece, their commas between them.
    fn run(&mut self, run: &mut Option<(usize, usize)>, first: &mut bool) {
        if let Some((start, end)) = run.take() {
            self.comma(first);
            self.out.extend_from_slice(&self.doc.bytes[start..end]);
        }
    }

    fn comma(&mut self, first: &mut bool) {
        if !std::mem::take(first) {
            self.out.push(b',');
        }
    }
}
