//! Takes apart what a child sends: who it is, lines before batches, and events.

use std::collections::VecDeque;
use std::ops::Range;

use dpipe_event::Buffer;
use dpipe_plugin::Chunk;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::child::{Greeting, excerpt};

/// A batch that has come, whole or in part.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) number: u64,
    pub(super) position: Option<Box<RawValue>>,
    /// Where its events end, counted in bytes of events.
    pub(super) end: u64,
}

/// The line before a batch.
#[derive(Deserialize)]
struct Header {
    batch: u64,
    events: u64,
    position: Option<Box<RawValue>>,
}

pub(super) struct Framing {
    wants_positions: bool,
    is_greeted: bool,
    /// Who the child is, when it has just said so.
    pub(super) greeting: Option<Greeting>,
    /// The batch that is coming, and how many of its events are still to come.
    coming: Option<(Batch, u64)>,
    last: u64,
    offset: u64,
    /// Those that have come whole and are not known to have arrived.
    open: VecDeque<Batch>,
}

impl Framing {
    pub(super) fn new(offset: u64, wants_positions: bool) -> Framing {
        Framing {
            wants_positions,
            is_greeted: false,
            greeting: None,
            coming: None,
            last: 0,
            offset,
            open: VecDeque::new(),
        }
    }

    pub(super) fn is_greeted(&self) -> bool {
        self.is_greeted
    }

    /// The bytes of events so far.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn has_open_batches(&self) -> bool {
        !self.open.is_empty()
    }

    /// The last batch of which all has arrived, if there is one since the last call.
    pub(super) fn settle(&mut self, settled: u64) -> Option<Batch> {
        let mut last = None;
        while let Some(batch) = self.open.pop_front_if(|batch| batch.end <= settled) {
            last = Some(batch);
        }
        last
    }

    /// Takes whole lines; gives those that are events.
    pub(super) fn take(&mut self, chunk: Chunk) -> Result<Option<Chunk>, String> {
        let cut_from = chunk.cut_from();
        let Chunk { buffer, offset: from, end: to, cut } = chunk;
        let mut events: Vec<Range<usize>> = Vec::new();
        let mut at = 0;
        while at < buffer.len() {
            let end = memchr::memchr(b'\n', &buffer[at..]).map_or(buffer.len(), |end| at + end + 1);
            if self.coming.is_none() {
                if cut_from.is_some() {
                    return Err("sent a line that is longer than the limit".into());
                }
                self.hear(&buffer[at..end])?;
            } else {
                match events.last_mut().filter(|before| before.end == at) {
                    Some(before) => before.end = end,
                    None => events.push(at..end),
                }
                self.count(match cut_from {
                    // The end of a line over the limit is not in the buffer.
                    Some(_) => to - from,
                    None => (end - at) as u64,
                });
            }
            at = end;
        }
        let bytes: usize = events.iter().map(Range::len).sum();
        let len = if cut_from.is_some() { to - from } else { bytes as u64 };
        let buffer = match events.as_slice() {
            [] => return Ok(None),
            [all] if *all == (0..buffer.len()) => buffer,
            _ => {
                let parts: Vec<&[u8]> = events.iter().map(|range| &buffer[range.clone()]).collect();
                Buffer::from(parts.concat())
            }
        };
        let offset = self.offset - len;
        Ok(Some(Chunk { buffer, offset, end: self.offset, cut }))
    }

    /// A line that is no event.
    fn hear(&mut self, line: &[u8]) -> Result<(), String> {
        if !self.is_greeted {
            self.greeting = Some(Greeting::parse(line)?);
            self.is_greeted = true;
            return Ok(());
        }
        let header: Header = serde_json::from_slice(line).map_err(|error| {
            format!("sent {} where the line before a batch belongs: {error}", excerpt(line))
        })?;
        let Header { batch: number, events, position } = header;
        if number <= self.last {
            return Err(format!("sent batch {number} after batch {}", self.last));
        }
        if self.wants_positions && position.is_none() {
            return Err(format!("sent batch {number} without a position"));
        }
        self.last = number;
        let batch = Batch { number, position, end: self.offset };
        match events {
            0 => self.open.push_back(batch),
            events => self.coming = Some((batch, events)),
        }
        Ok(())
    }

    /// An event of so many bytes.
    fn count(&mut self, bytes: u64) {
        self.offset += bytes;
        let Some((mut batch, left)) = self.coming.take() else { return };
        if left > 1 {
            self.coming = Some((batch, left - 1));
        } else {
            batch.end = self.offset;
            self.open.push_back(batch);
        }
    }
}

#[cfg(test)]
mod tests {
    use dpipe_plugin::Cut;

    use super::*;

    fn chunk(text: &str) -> Chunk {
        let end = text.len() as u64;
        Chunk { buffer: Buffer::from(text.as_bytes().to_vec()), offset: 0, end, cut: Cut::Lines }
    }

    fn text(chunk: &Chunk) -> String {
        String::from_utf8(chunk.buffer.to_vec()).unwrap()
    }

    fn greeted(offset: u64) -> Framing {
        let mut framing = Framing::new(offset, false);
        assert!(framing.take(chunk("{\"dpipe\":1,\"name\":\"x\"}\n")).unwrap().is_none());
        assert_eq!(framing.greeting.take().unwrap().name, "x");
        framing
    }

    #[test]
    fn events_are_put_together_and_lines_between_batches_taken_out() {
        let mut framing = greeted(100);
        let first = framing
            .take(chunk("{\"batch\":1,\"events\":2}\na\nb\n{\"batch\":5,\"events\":3}\nc\n"));
        let first = first.unwrap().unwrap();
        assert_eq!((text(&first).as_str(), first.offset, first.end), ("a\nb\nc\n", 100, 106));
        let second = framing.take(chunk("d\n{\"batch\":\n")).unwrap().unwrap();
        assert_eq!((text(&second).as_str(), second.end), ("d\n{\"batch\":\n", 118));
        assert_eq!(framing.settle(103).map(|batch| batch.number), None);
        assert_eq!(framing.settle(106).map(|batch| batch.number), Some(1));
        assert_eq!(framing.settle(118).map(|batch| batch.number), Some(5));
        assert!(!framing.has_open_batches());
    }

    #[test]
    fn an_event_over_the_limit_is_cut_and_counts_whole() {
        let mut framing = greeted(0);
        framing.take(chunk("{\"batch\":1,\"events\":1}\n")).unwrap();
        let cut = Chunk { end: 1001, cut: Cut::Long(1000), ..chunk("xxx") };
        let cut = framing.take(cut).unwrap().unwrap();
        assert_eq!((cut.offset, cut.end, cut.cut_from()), (0, 1001, Some(1000)));
        assert_eq!(framing.settle(1001).map(|batch| batch.number), Some(1));
        let cut = Chunk { cut: Cut::Long(1000), ..chunk("{\"batch\":2") };
        assert!(framing.take(cut).unwrap_err().contains("longer than the limit"));
    }

    #[test]
    fn a_batch_without_events_has_come_at_once() {
        let mut framing = greeted(7);
        assert!(framing.take(chunk("{\"batch\":1,\"events\":0}\n")).unwrap().is_none());
        assert_eq!(framing.settle(7).map(|batch| (batch.number, batch.end)), Some((1, 7)));
    }
}
