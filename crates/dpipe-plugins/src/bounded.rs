//! A map of bounded size: where there is no room left, the oldest entry makes room.
//!
//! Keys are hashes already (see [`crate::keys`]). Entries stand in a chain from the oldest to the
//! newest, so that finding, adding and renewing one take the same time however many there are.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// At most so many values, by key.
pub(crate) struct Bounded<V> {
    places: HashMap<u128, u32, BuildHasherDefault<Itself>>,
    entries: Vec<Entry<V>>,
    /// Places of entries that were removed.
    free: Vec<u32>,
    oldest: u32,
    newest: u32,
    max: usize,
}

struct Entry<V> {
    key: u128,
    value: V,
    older: u32,
    newer: u32,
}

/// The end of the chain.
const NONE: u32 = u32::MAX;

impl<V> Bounded<V> {
    /// An empty map of at most `max` entries (one at least). Memory is taken as it is needed.
    pub(crate) fn new(max: usize) -> Self {
        Bounded {
            places: HashMap::default(),
            entries: Vec::new(),
            free: Vec::new(),
            oldest: NONE,
            newest: NONE,
            max: max.clamp(1, NONE as usize),
        }
    }

    pub(crate) fn get_mut(&mut self, key: u128) -> Option<&mut V> {
        let at = *self.places.get(&key)?;
        Some(&mut self.entries[at as usize].value)
    }

    /// Makes an entry the newest one.
    pub(crate) fn renew(&mut self, key: u128) {
        if let Some(&at) = self.places.get(&key) {
            self.unlink(at);
            self.link(at);
        }
    }

    /// Adds an entry as the newest one, in the place of the one with its key, or, if there is no
    /// more room, of the oldest.
    pub(crate) fn insert(&mut self, key: u128, value: V) {
        if let Some(old) = self.get_mut(key) {
            *old = value;
            return self.renew(key);
        }
        if self.places.len() >= self.max {
            self.remove_oldest();
        }
        let entry = Entry { key, value, older: NONE, newer: NONE };
        let at = match self.free.pop() {
            Some(at) => {
                self.entries[at as usize] = entry;
                at
            }
            None => {
                self.entries.push(entry);
                self.entries.len() as u32 - 1
            }
        };
        self.places.insert(key, at);
        self.link(at);
    }

    /// The oldest entry's value.
    pub(crate) fn oldest(&self) -> Option<&V> {
        self.entries.get(self.oldest as usize).map(|entry| &entry.value)
    }

    /// Removes the oldest entry; what it holds is dropped when its place is used again.
    pub(crate) fn remove_oldest(&mut self) {
        let at = self.oldest;
        let Some(entry) = self.entries.get(at as usize) else { return };
        self.places.remove(&entry.key);
        self.unlink(at);
        self.free.push(at);
    }

    fn link(&mut self, at: u32) {
        let before = std::mem::replace(&mut self.newest, at);
        self.entries[at as usize].older = before;
        self.entries[at as usize].newer = NONE;
        match self.entries.get_mut(before as usize) {
            Some(before) => before.newer = at,
            None => self.oldest = at,
        }
    }

    fn unlink(&mut self, at: u32) {
        let Entry { older, newer, .. } = self.entries[at as usize];
        match self.entries.get_mut(older as usize) {
            Some(entry) => entry.newer = newer,
            None => self.oldest = newer,
        }
        match self.entries.get_mut(newer as usize) {
            Some(entry) => entry.older = older,
            None => self.newest = older,
        }
    }
}

/// The hash of a key that is a hash.
#[derive(Default)]
pub(crate) struct Itself(u64);

impl Hasher for Itself {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {
        unreachable!("keys are hashes, which are numbers");
    }
    fn write_u128(&mut self, key: u128) {
        self.0 = key as u64;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Act {
        Insert(u128),
        Renew(u128),
        RemoveOldest,
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            4 => (0..12_u128).prop_map(Act::Insert),
            2 => (0..12_u128).prop_map(Act::Renew),
            1 => Just(Act::RemoveOldest),
        ]
    }

    proptest! {
        #[test]
        fn it_holds_what_a_list_would(
            acts in proptest::collection::vec(act(), 0..200),
            max in 1..8_usize,
        ) {
            let mut map = Bounded::new(max);
            // Oldest first.
            let mut list: Vec<(u128, usize)> = Vec::new();
            for (value, act) in acts.into_iter().enumerate() {
                match act {
                    Act::Insert(key) => {
                        map.insert(key, value);
                        list.retain(|(other, _)| *other != key);
                        list.push((key, value));
                        if list.len() > max {
                            list.remove(0);
                        }
                    }
                    Act::Renew(key) => {
                        map.renew(key);
                        if let Some(at) = list.iter().position(|(other, _)| *other == key) {
                            let entry = list.remove(at);
                            list.push(entry);
                        }
                    }
                    Act::RemoveOldest => {
                        map.remove_oldest();
                        if !list.is_empty() {
                            list.remove(0);
                        }
                    }
                }
                prop_assert_eq!(map.oldest(), list.first().map(|(_, value)| value));
                for key in 0..12 {
                    let expected = list.iter().find(|(other, _)| *other == key);
                    prop_assert_eq!(map.get_mut(key).copied(), expected.map(|(_, value)| *value));
                }
                prop_assert!(map.entries.len() <= max);
            }
        }
    }
}
