//! Idempotency keys: what became of requests that may come again.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;

/// The latest keys.
pub(super) struct Keys {
    max: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// How many events a request had; nothing while it is under way.
    requests: HashMap<Box<str>, Option<usize>>,
    /// Those that were answered, the oldest first.
    answered: VecDeque<Box<str>>,
}

/// What is known of a key.
pub(super) enum Known {
    /// Nothing: it is this request's now.
    New(UnderWay),
    /// A request with it is under way.
    UnderWay,
    /// A request with it was answered by 200, for so many events.
    Answered(usize),
}

/// A request that has the key until it is answered.
pub(super) struct UnderWay {
    keys: Arc<Keys>,
    key: Box<str>,
    answered: bool,
}

impl Keys {
    pub(super) fn new(max: usize) -> Arc<Keys> {
        Arc::new(Keys { max, state: Mutex::default() })
    }

    pub(super) fn look_up(self: &Arc<Self>, key: &str) -> Known {
        let mut state = self.state.lock();
        match state.requests.get(key) {
            Some(Some(events)) => Known::Answered(*events),
            Some(None) => Known::UnderWay,
            None => {
                state.requests.insert(key.into(), None);
                Known::New(UnderWay { keys: self.clone(), key: key.into(), answered: false })
            }
        }
    }
}

impl UnderWay {
    /// The key.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// The request was answered by 200.
    pub(super) fn answered(mut self, events: usize) {
        self.answered = true;
        let mut state = self.keys.state.lock();
        state.requests.insert(self.key.clone(), Some(events));
        state.answered.push_back(self.key.clone());
        while state.answered.len() > self.keys.max {
            if let Some(oldest) = state.answered.pop_front() {
                state.requests.remove(&oldest);
            }
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        // A request that failed may come again under its key.
        if !self.answered {
            self.keys.state.lock().requests.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_keys_are_remembered() {
        let keys = Keys::new(2);
        for (key, events) in [("a", 1), ("b", 2), ("c", 3)] {
            let Known::New(request) = keys.look_up(key) else { panic!("{key} is new") };
            assert!(matches!(keys.look_up(key), Known::UnderWay));
            request.answered(events);
        }
        assert!(matches!(keys.look_up("c"), Known::Answered(3)));
        assert!(matches!(keys.look_up("b"), Known::Answered(2)));
        assert!(matches!(keys.look_up("a"), Known::New(_)), "the oldest one is forgotten");
    }

    #[test]
    fn a_request_that_failed_leaves_its_key_to_the_next() {
        let keys = Keys::new(2);
        drop(keys.look_up("a"));
        assert!(matches!(keys.look_up("a"), Known::New(_)));
    }
}
