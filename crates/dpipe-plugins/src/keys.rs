//! Tells events apart, or together, by some of their fields: each gets a number of 128 bits.

use std::borrow::Cow;
use std::fmt;

use dpipe_event::{EventRef, Path, Value};
use dpipe_plugin::FieldPath;
use parking_lot::{Mutex, MutexGuard};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::StrDeserializer;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use twox_hash::XxHash3_128;

/// The paths of fields to read: a list, or a single one.
#[derive(Clone, Debug)]
pub(crate) struct Fields(pub(crate) Box<[Path]>);

/// Makes keys of events. XXH3 with a seed: for keys that a sender may choose, a random one keeps him
/// from making two that are alike.
pub(crate) struct Keys {
    seed: u64,
    /// What a key is made of.
    text: Vec<u8>,
}

impl Keys {
    pub(crate) fn new(seed: u64) -> Self {
        Keys { seed, text: Vec::new() }
    }

    /// The key of these fields: alike for the same values, whatever the escapes in their strings. A
    /// missing field is as `null`; an event that has none of them has no key.
    pub(crate) fn of(&mut self, event: &EventRef<'_>, fields: &[Path]) -> Option<u128> {
        if let [field] = fields {
            return match event.get(field)? {
                Value::Null => None,
                Value::String(text) => Some(self.hash(&text.bytes())),
                value => {
                    self.text.clear();
                    value.write_json(&mut self.text);
                    // The text "1" is another value than the number 1.
                    Some(XxHash3_128::oneshot_with_seed(!self.seed, &self.text))
                }
            };
        }
        self.text.clear();
        let mut any = false;
        for field in fields {
            let value = event.get(field).unwrap_or(Value::Null);
            any |= !matches!(value, Value::Null);
            match value {
                Value::String(text) => {
                    self.text.push(b'"');
                    dpipe_event::write_escaped(&mut self.text, &text.bytes());
                    self.text.push(b'"');
                }
                value => value.write_json(&mut self.text),
            }
            // Stands in no JSON outside of strings, and in strings escaped.
            self.text.push(0);
        }
        any.then(|| self.hash(&self.text))
    }

    /// The key of the whole body.
    pub(crate) fn of_body(&mut self, event: &EventRef<'_>) -> u128 {
        if event.is_untouched() {
            return self.hash(&event.body_text());
        }
        self.text.clear();
        event.write_json(&mut self.text);
        self.hash(&self.text)
    }

    /// The key of a text that is no field.
    pub(crate) fn of_text(&self, text: &[u8]) -> u128 {
        self.hash(text)
    }

    fn hash(&self, text: &[u8]) -> u128 {
        XxHash3_128::oneshot_with_seed(self.seed, text)
    }
}

/// State of several lanes by key, in parts with a lock each, so that lanes seldom meet.
pub(crate) struct Shards<T>(Box<[Mutex<T>]>);

/// Locked one after the other, so many are hardly ever waited for.
const SHARDS: usize = 16;

impl<T> Shards<T> {
    /// `make` gets the share of each part.
    pub(crate) fn new(entries_max: usize, make: impl Fn(usize) -> T) -> Self {
        // Few entries are not worth dividing, as no part would have its share of them.
        let count = if entries_max < SHARDS * 64 { 1 } else { SHARDS };
        let share = entries_max.div_ceil(count);
        Shards((0..count).map(|_| Mutex::new(make(share))).collect())
    }

    /// Calls `act` on the part of each key, in the order of the keys within a part; each part is
    /// locked once.
    pub(crate) fn each(&self, keys: &mut [(u128, u32)], mut act: impl FnMut(&mut T, u128, u32)) {
        // Sorted by part, as they came within one.
        if self.0.len() > 1 {
            keys.sort_unstable_by_key(|(key, index)| (self.part(*key), *index));
        }
        let mut locked: Option<(usize, MutexGuard<'_, T>)> = None;
        for &(key, index) in &*keys {
            let part = self.part(key);
            if locked.as_ref().is_none_or(|(at, _)| *at != part) {
                // The one before is given back first.
                drop(locked.take());
            }
            let (_, state) = locked.get_or_insert_with(|| (part, self.0[part].lock()));
            act(state, key, index);
        }
    }

    /// By the key's high bits; a map takes the low ones.
    fn part(&self, key: u128) -> usize {
        (key >> 120) as usize % self.0.len()
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of field paths")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Fields, E> {
        let FieldPath(path) = FieldPath::deserialize(StrDeserializer::new(text))?;
        Ok(Fields([path].into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Fields, A::Error> {
        let mut paths = Vec::new();
        while let Some(FieldPath(path)) = items.next_element()? {
            paths.push(path);
        }
        if paths.is_empty() {
            return Err(A::Error::custom("the list names no field"));
        }
        Ok(Fields(paths.into()))
    }
}

impl JsonSchema for Fields {
    fn schema_name() -> Cow<'static, str> {
        "FieldsToRead".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let path = generator.subschema_for::<FieldPath>();
        json_schema!({ "anyOf": [path, { "type": "array", "items": path, "minItems": 1 }] })
    }
}

#[cfg(test)]
mod tests {
    use dpipe_testkit::batch;

    use super::*;

    fn keys(fields: &[&str], events: &str) -> Vec<Option<u128>> {
        let fields: Vec<Path> = fields.iter().map(|text| Path::parse(text).unwrap()).collect();
        let mut keys = Keys::new(7);
        batch(events).iter().map(|event| keys.of(&event, &fields)).collect()
    }

    #[test]
    fn the_same_values_have_the_same_key_however_they_are_escaped() {
        for fields in [&["a.b"][..], &["a.b", "c"]] {
            let found = keys(
                fields,
                r#"
                {"a":{"b":"é"}}
                {"a":{"b":"\u00e9"},"x":1}
                {"a":{"b":"e"}}
                "#,
            );
            assert_eq!(found[0], found[1]);
            assert_ne!(found[0], found[2]);
        }
    }

    #[test]
    fn values_do_not_run_into_each_other_and_types_differ() {
        let two = keys(
            &["a", "b"],
            r#"
            {"a":"x","b":"yz"}
            {"a":"xy","b":"z"}
            {"a":"x"}
            {"b":"x"}
            {"a":"1","b":1}
            {"a":1,"b":"1"}
            {"a":null}
            {"c":1}
            "#,
        );
        for (at, key) in two[..6].iter().enumerate() {
            assert!(key.is_some() && !two[..at].contains(key));
        }
        assert_eq!(two[6..], [None, None]);
        let one = keys(&["a"], "{\"a\":\"1\"}\n{\"a\":1}\n{\"a\":null}");
        assert_ne!(one[0], one[1]);
        assert_eq!(one[2], None);
    }

    #[test]
    fn each_part_is_asked_in_the_order_of_the_events() {
        let shards = Shards::new(10_000, |share| {
            assert_eq!(share, 625);
            Vec::new()
        });
        let mut keys: Vec<(u128, u32)> = (0..200).map(|n| (u128::from(n % 7) << 120, n)).collect();
        shards.each(&mut keys, |seen, _, index| seen.push(index));
        let mut total = 0;
        for shard in &shards.0 {
            let seen = shard.lock();
            assert!(seen.is_sorted());
            total += seen.len();
        }
        assert_eq!(total, 200);
        assert_eq!(Shards::new(100, |share| share).0.len(), 1);
    }
}
