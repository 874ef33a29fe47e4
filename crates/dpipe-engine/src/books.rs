//! The ledger: where every event is, per node and tenant.
//!
//! Every node keeps one book per tenant: `in + born = out + filtered{…} + dead{…} + in flight`. An
//! output's book reads `in = delivered + queued + dead{…} + dropped{…}`, and so does that of a tag
//! which nobody takes. Each term is counted by the code that moves the events, in one short lock per
//! batch, so a book balances whenever it is read; none is made up from the others. What is born is
//! what a decoder pushed beyond an event a frame, and what a step says it made.

use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Serialize, Serializer};

/// A count by its reason.
pub type Tally = Vec<(&'static str, u64)>;

/// Writes a tally as a map from reasons to counts.
pub(crate) fn by_reason<S: Serializer>(tally: &Tally, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(tally.iter().copied())
}

/// One node's book for one tenant.
#[derive(Debug, Default)]
pub(crate) struct Book {
    terms: Mutex<Terms>,
}

/// The terms of a book.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) taken: u64,
    pub(crate) born: u64,
    /// Published, by port; one port for nodes that publish one tag.
    pub(crate) out: Vec<u64>,
    pub(crate) delivered: u64,
    pub(crate) filtered: Tally,
    pub(crate) dead: Tally,
    pub(crate) dropped: Tally,
    /// Of those that live: what was odd about them. Not a term of the balance.
    pub(crate) flagged: Tally,
    /// What an input left out before it became an event. Not a term of the balance.
    pub(crate) skipped: Tally,
    /// In the node's hands: taken, and not yet in another term.
    pub(crate) in_flight: u64,
    /// Raw bytes taken. Not a term of the balance.
    pub(crate) bytes: u64,
}

impl Book {
    /// Counts events that come into the node's hands.
    pub(crate) fn take(&self, events: u64, bytes: u64) {
        let mut terms = self.terms.lock();
        terms.taken += events;
        terms.bytes += bytes;
        terms.in_flight += events;
    }

    /// Moves `events` out of the node's hands, to the terms that `note` changes.
    pub(crate) fn pass(&self, events: u64, note: impl FnOnce(&mut Terms)) {
        let mut terms = self.terms.lock();
        note(&mut terms);
        // More leaving than came is a bug. What is too much must not count against events that come
        // later: stopping at nothing keeps it in the balance for good.
        terms.in_flight = terms.in_flight.saturating_sub(events);
    }

    /// Counts what never came into the node's hands.
    pub(crate) fn skip(&self, reason: &'static str, how_many: u64) {
        count(&mut self.terms.lock().skipped, reason, how_many);
    }

    pub(crate) fn read(&self) -> Terms {
        self.terms.lock().clone()
    }
}

impl Terms {
    /// Whether there is nothing to tell.
    pub(crate) fn is_blank(&self) -> bool {
        self.taken + self.born == 0 && self.skipped.is_empty()
    }

    pub(crate) fn publish(&mut self, port: usize, events: u64) {
        if self.out.len() <= port {
            self.out.resize(port + 1, 0);
        }
        self.out[port] += events;
    }
}

/// Adds to a tally.
pub(crate) fn count(tally: &mut Tally, reason: &'static str, events: u64) {
    if events == 0 {
        return;
    }
    match tally.iter_mut().find(|(known, _)| *known == reason) {
        Some((_, sum)) => *sum += events,
        None => tally.push((reason, events)),
    }
}

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// An input.
    Input,
    /// A filter.
    Filter,
    /// An output.
    Output,
    /// A tag that nobody takes.
    Unmatched,
}

impl Role {
    /// The role as a word: `input`, `filter`, `output` or `unmatched`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Role::Input => "input",
            Role::Filter => "filter",
            Role::Output => "output",
            Role::Unmatched => "unmatched",
        }
    }
}

/// A book as it was read: one line of the ledger.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// The node's name; for an unmatched tag the tag.
    pub node: Arc<str>,
    /// What the node is.
    pub role: Role,
    /// The tenant.
    pub tenant: Arc<str>,
    /// Events taken in.
    #[serde(rename = "in")]
    pub taken: u64,
    /// Events that the node made itself.
    pub born: u64,
    /// Events published.
    pub out: u64,
    /// Events delivered.
    pub delivered: u64,
    /// Events that a step removed, by reason.
    #[serde(serialize_with = "by_reason")]
    pub filtered: Tally,
    /// Events in the dead letters, by reason.
    #[serde(serialize_with = "by_reason")]
    pub dead: Tally,
    /// Events given up, by reason.
    #[serde(serialize_with = "by_reason")]
    pub dropped: Tally,
    /// Events that live, but that something was odd about.
    #[serde(serialize_with = "by_reason")]
    pub flagged: Tally,
    /// Files, or whatever else it was, that an input left out before it became an event, by reason.
    #[serde(serialize_with = "by_reason")]
    pub skipped: Tally,
    /// Events in the node's hands; for an output, those that wait for it.
    pub in_flight: u64,
    /// Raw bytes taken in.
    pub bytes: u64,
    /// What the balance lacks, or has too much if it is negative: 0, or a bug.
    pub missing: i64,
}

impl Line {
    pub(crate) fn read(node: &Arc<str>, role: Role, tenant: &Arc<str>, terms: Terms) -> Line {
        let sum = |tally: &Tally| tally.iter().map(|(_, n)| n).sum::<u64>();
        let out = terms.out.iter().sum();
        let there = out
            + terms.delivered
            + sum(&terms.filtered)
            + sum(&terms.dead)
            + sum(&terms.dropped)
            + terms.in_flight;
        Line {
            node: node.clone(),
            role,
            tenant: tenant.clone(),
            taken: terms.taken,
            born: terms.born,
            out,
            delivered: terms.delivered,
            missing: (terms.taken + terms.born) as i64 - there as i64,
            filtered: terms.filtered,
            dead: terms.dead,
            dropped: terms.dropped,
            flagged: terms.flagged,
            skipped: terms.skipped,
            in_flight: terms.in_flight,
            bytes: terms.bytes,
        }
    }
}

/// The whole ledger as it was read.
#[derive(Clone, Debug, Serialize)]
pub struct Ledger {
    /// One line a node and tenant.
    pub lines: Vec<Line>,
    /// What does not add up, in words: empty, or a bug.
    pub faults: Vec<String>,
}

impl Ledger {
    /// Whether every book balances and nothing was lost between nodes.
    #[must_use]
    pub fn balances(&self) -> bool {
        self.faults.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(book: &Book) -> Line {
        Line::read(&"n".into(), Role::Filter, &"t".into(), book.read())
    }

    #[test]
    fn a_book_balances_at_every_step() {
        let book = Book::default();
        book.take(10, 100);
        assert_eq!((line(&book).missing, line(&book).in_flight), (0, 10));
        book.pass(10, |terms| {
            terms.publish(0, 6);
            count(&mut terms.filtered, "dropped", 3);
            count(&mut terms.dead, "panic", 1);
        });
        assert_eq!((line(&book).missing, line(&book).in_flight), (0, 0));
    }

    #[test]
    fn what_was_skipped_is_told_and_is_no_event() {
        let book = Book::default();
        assert!(book.read().is_blank());
        book.skip("damaged_file", 1);
        book.skip("damaged_file", 2);
        assert!(!book.read().is_blank());
        assert_eq!((line(&book).missing, line(&book).skipped), (0, vec![("damaged_file", 3)]));
    }

    #[test]
    fn an_event_that_leaves_twice_stays_in_the_balance() {
        let book = Book::default();
        book.take(10, 100);
        for _ in 0..2 {
            book.pass(10, |terms| terms.delivered += 10);
        }
        assert_eq!(line(&book).missing, -10);
        book.take(10, 100);
        book.pass(10, |terms| terms.delivered += 10);
        assert_eq!((line(&book).missing, line(&book).in_flight), (-10, 0));
    }

    #[test]
    fn an_event_that_left_for_nowhere_is_missing() {
        let book = Book::default();
        book.take(10, 100);
        book.pass(10, |terms| terms.publish(0, 9));
        assert_eq!(line(&book).missing, 1);
    }
}
