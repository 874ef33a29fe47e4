//! Making several events of one: copies that stand in its place, each edited by itself.

use crate::Selection;
use crate::batch::{Batch, Slot};
use crate::event::{EventMut, EventRef};

/// The texts that an event is split into, one after the other in memory that is used again.
#[derive(Debug, Default)]
pub struct Parts {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Parts {
    /// Adds a part, whose text `write` appends.
    pub fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        self.ends.push(self.bytes.len());
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end])
    }
}

/// What came of splitting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Divided {
    /// Events that there are more than before.
    pub born: usize,
    /// Events that could not be split.
    pub unsplit: usize,
}

impl Batch {
    /// Splits events: `cut` says which parts there are of a selected event, and for each of them
    /// there is a copy of the event in its place, in order, which `edit` makes of the copy, the
    /// part's number from 0, and its text. An event without parts stays as it is; as does one of
    /// which `edit` says that it could not. The caller counts the events that are born.
    ///
    /// The copies share the bytes of the event and have its edits, its time and its metadata, but
    /// each an id of its own, which is the same at each reading.
    pub fn split(
        &mut self,
        selection: &Selection,
        mut cut: impl FnMut(&EventRef<'_>, &mut Parts),
        mut edit: impl FnMut(&mut EventMut<'_>, u32, &[u8]) -> bool,
    ) -> Divided {
        let whole = std::mem::take(&mut self.slots);
        self.slots.reserve(whole.len());
        let mut parts = Parts::default();
        let mut divided = Divided::default();
        for (index, slot) in whole.iter().enumerate() {
            parts.clear();
            if selection.contains(index) {
                cut(&EventRef { batch: self, slot }, &mut parts);
            }
            let first = self.slots.len();
            for (number, part) in (0..).zip(parts.iter()) {
                let edits = self.own.copy_chain(slot.edits);
                self.slots.push(Slot {
                    edits,
                    ordinal: child_ordinal(slot.ordinal, number),
                    ..*slot
                });
                let index = self.slots.len() - 1;
                if !edit(&mut EventMut { batch: self, index }, number, part) {
                    self.slots.truncate(first);
                    divided.unsplit += 1;
                    break;
                }
            }
            match self.slots.len() - first {
                0 => self.slots.push(*slot),
                parts => divided.born += parts - 1,
            }
        }
        divided
    }
}

/// The ordinal of a part of an event. No two events of one line ever have the same, as the number of
/// the part becomes a digit of its own, and 0 is the digit of what was not split:
///
/// ```text
///  bits 0–31  what the decoder made of the line
///       32–47 the part, from 1, where that was split
///       48–63 the part, from 1, where that was split again
/// ```
///
/// Beyond two splits, or 65,535 parts, the upper bits are a hash of what they would be.
fn child_ordinal(parent: u64, part: u32) -> u64 {
    let digit = u64::from(part) + 1;
    let upper = match parent >> 32 {
        0 if digit <= 0xffff => digit,
        first if first <= 0xffff && digit <= 0xffff => digit << 16 | first,
        deep => {
            // SplitMix64's finalizer. The highest bit keeps it from being 0.
            let mut z = (deep << 32 ^ digit).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (z ^ (z >> 31)) >> 32 | 1 << 31
        }
    };
    upper << 32 | parent & u64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::{
        Buffer, Builder, Frame, JsonLimits, NewValue, Origin, Path, StreamId, Timestamp, Value,
    };

    fn batch(lines: &[String]) -> Batch {
        let text: String = lines.iter().flat_map(|line| [line, "\n"]).collect();
        let buffer = Buffer::from(text.into_bytes());
        let mut builder = Builder::new();
        builder.begin(buffer.clone(), 0, Timestamp::from_millis(5));
        let mut start = 0;
        for line in lines {
            let bytes = &buffer[start..start + line.len()];
            let frame = Frame { bytes, start: start as u32, original_len: bytes.len() };
            builder.push_json(&frame, 0..bytes.len(), &JsonLimits::default()).unwrap();
            start += line.len() + 1;
        }
        let origin = Origin {
            tenant: "t".into(),
            input: "in".into(),
            file: "".into(),
            logfile: "".into(),
            host: "".into(),
            stream: StreamId::derive(&[0; 32], &[b"s"]),
        };
        builder.finish(Arc::new(origin), "in".into())
    }

    fn path(text: &str) -> Path {
        Path::parse(text).unwrap()
    }

    fn bodies(batch: &Batch) -> Vec<String> {
        batch
            .iter()
            .map(|event| String::from_utf8(event.body_text().into_owned()).unwrap())
            .collect()
    }

    /// Splits by the elements of an array, each in its place.
    fn split_by(batch: &mut Batch, field: &str) -> Divided {
        let field = path(field);
        batch.split(
            &Selection::All,
            |event, parts| {
                if let Some(array @ Value::Array(_)) = event.get(&field) {
                    for (_, value) in array.entries() {
                        parts.push(|out| value.write_json(out));
                    }
                }
            },
            |event, _, part| event.set(&field, NewValue::Json(part)),
        )
    }

    #[test]
    fn parts_stand_in_the_place_of_their_event() {
        let lines =
            [r#"{"n":1,"a":[1,{"b":2}]}"#, r#"{"n":2}"#, r#"{"n":3,"a":[]}"#, r#"{"a":[3]}"#];
        let mut batch = batch(&lines.map(str::to_owned));
        let bytes = batch.raw_bytes();
        assert_eq!(split_by(&mut batch, "a"), Divided { born: 1, unsplit: 0 });
        assert_eq!(
            bodies(&batch),
            [r#"{"n":1,"a":1}"#, r#"{"n":1,"a":{"b":2}}"#, lines[1], lines[2], r#"{"a":3}"#]
        );
        assert_eq!(batch.get(1).raw(), lines[0].as_bytes());
        assert_eq!(batch.get(1).time(), Timestamp::from_millis(5));
        assert_eq!(batch.raw_bytes(), bytes);
        assert!(batch.verbatim().is_none());
    }

    #[test]
    fn an_edit_of_one_part_is_none_of_another() {
        let mut batch = batch(&[r#"{"a":[1,2],"x":{"y":0},"z":1}"#.to_owned()]);
        let set = |batch: &mut Batch, index, at: &str, n| {
            assert!(batch.edit(index).set(&path(at), NewValue::Integer(n)));
        };
        // Edits from before: a new field, another value, and one that is gone.
        set(&mut batch, 0, "new", 7);
        set(&mut batch, 0, "x.y", 7);
        batch.edit(0).remove(&path("z"));
        split_by(&mut batch, "a");
        set(&mut batch, 0, "new", 8);
        set(&mut batch, 0, "x.y", 8);
        set(&mut batch, 0, "z", 8);
        batch.edit(1).remove(&path("new"));
        assert_eq!(
            bodies(&batch),
            [r#"{"a":1,"x":{"y":8},"z":8,"new":8}"#, r#"{"a":2,"x":{"y":7}}"#]
        );
    }

    #[test]
    fn an_event_that_cannot_be_edited_stays_whole() {
        let mut batch = batch(&[r#"{"a":[1,2]}"#.to_owned(), r#"{"a":[3]}"#.to_owned()]);
        let divided = batch.split(
            &Selection::All,
            |_, parts| (0..3).for_each(|_| parts.push(|_| ())),
            |event, number, _| number < 2 && event.set(&path("b"), NewValue::Null),
        );
        assert_eq!(divided.unsplit, 2);
        assert_eq!(bodies(&batch), [r#"{"a":[1,2]}"#, r#"{"a":[3]}"#]);
    }

    #[test]
    fn ids_stay_apart_through_every_split_and_are_the_same_again() {
        let line = format!(r#"{{"a":[{}]}}"#, [r#"{"b":[[1,2],[3,4],[5,[6,7]]]}"#; 5].join(","));
        let read = || {
            let mut batch = batch(&[line.clone(), line.clone()]);
            let mut ids: Vec<_> = batch.iter().map(|event| event.id()).collect();
            for field in ["a", "a.b", "a.b", "a.b"] {
                split_by(&mut batch, field);
                ids.extend(batch.iter().map(|event| event.id()));
            }
            (ids, batch.len())
        };
        let (ids, parts) = read();
        assert_eq!(parts, 2 * 5 * 7);
        // Each split leaves some whole, which keep their ids.
        let distinct = 2 + 2 * 5 + 2 * 5 * 3 + 2 * 5 * 6 + 2 * 5 * 2;
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), distinct);
        assert_eq!(read().0, ids);
    }

    proptest! {
        #[test]
        fn no_two_parts_of_two_splits_have_one_ordinal(
            decoded in prop::collection::hash_set(any::<u32>(), 1..4),
            parts in prop::collection::hash_set(0..65_535_u32, 1..20),
        ) {
            let mut all: Vec<u64> = decoded.iter().map(|n| u64::from(*n)).collect();
            for _ in 0..2 {
                let children: Vec<u64> = all
                    .iter()
                    .flat_map(|parent| parts.iter().map(|part| child_ordinal(*parent, *part)))
                    .collect();
                // The second time round, children of those that were split come again.
                all.extend(children);
                all.sort_unstable();
                all.dedup();
            }
            let (n, k) = (decoded.len(), parts.len());
            prop_assert_eq!(all.len(), n * (1 + k + k * k));
        }
    }
}
