//! What a runner has in hand: parcels to write, and those that the output holds until it is flushed.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;

use dpipe_plugin::{Encoded, Parcel, Refusal};

use crate::queue::{Shipment, Ticket};
use crate::tenant::Tenant;

/// A parcel in hand, or one event of it.
pub(super) struct Load {
    parcel: Parcel,
    is_encoded: bool,
    /// The event, if it goes alone.
    part: Option<usize>,
    pub(super) tenant: Arc<Tenant>,
    pub(super) ticket: Ticket,
    /// Refused by the encoder; their bytes are empty.
    pub(super) refused: Vec<Refusal>,
    pub(super) attempts: u32,
    /// Whether it is to be flushed before anything else is written.
    pub(super) alone: bool,
    /// Whether the next attempt comes after the longest pause there is.
    pub(super) is_last_chance: bool,
}

impl Load {
    pub(super) fn new(
        ticket: Ticket,
        shipment: &Shipment,
        encoded: Option<Arc<Encoded>>,
        refused: Vec<Refusal>,
    ) -> Self {
        Load {
            is_encoded: encoded.is_some(),
            parcel: Parcel::new(shipment.batch.clone(), encoded),
            part: None,
            tenant: shipment.tenant.clone(),
            ticket,
            refused,
            attempts: 0,
            alone: false,
            is_last_chance: false,
        }
    }

    /// The number of its events.
    pub(super) fn len(&self) -> usize {
        if self.part.is_some() { 1 } else { self.parcel.batch().len() }
    }

    /// Whether nothing smaller could be delivered.
    pub(super) fn is_single(&self) -> bool {
        self.len() == 1
    }

    /// Adds what the output refused. Each event is refused once, and it must be one of them: the
    /// books believe no output more than that.
    pub(super) fn refuse(&mut self, refused: Vec<Refusal>) {
        let events = self.len();
        self.refused.extend(refused.into_iter().filter(|refusal| refusal.index < events));
        self.refused.sort_by_key(|refusal| refusal.index);
        self.refused.dedup_by_key(|refusal| refusal.index);
    }

    /// Where in its batch the event stands that is the load's `index`th.
    pub(super) fn place(&self, index: usize) -> usize {
        self.part.unwrap_or(index)
    }

    /// The batch that it is, or is an event of.
    pub(super) fn batch(&self) -> &dpipe_event::Batch {
        self.parcel.batch()
    }

    fn encoded_len(&self) -> usize {
        match self.part {
            None => self.parcel.bytes().len(),
            Some(index) => self.parcel.event_bytes(index).len(),
        }
    }

    /// What the output gets to see. Of an event that goes alone it is made each time: kept, it would
    /// take far more room than its bytes.
    pub(super) fn parcel(&self) -> Cow<'_, Parcel> {
        let Some(index) = self.part else { return Cow::Borrowed(&self.parcel) };
        let encoded = self.is_encoded.then(|| {
            let bytes = self.parcel.event_bytes(index).to_vec();
            Arc::new(Encoded::Own { ends: vec![bytes.len() as u32], bytes })
        });
        Cow::Owned(Parcel::new(Arc::new(self.parcel.batch().one(index)), encoded))
    }

    /// Each of its events as a load.
    fn split(self, alone: bool) -> impl DoubleEndedIterator<Item = Load> {
        (0..self.len()).map(move |index| Load {
            parcel: self.parcel.clone(),
            is_encoded: self.is_encoded,
            part: Some(self.place(index)),
            tenant: self.tenant.clone(),
            ticket: self.ticket,
            refused: self.refusals_of(index),
            attempts: self.attempts,
            alone,
            is_last_chance: false,
        })
    }

    fn refusals_of(&self, index: usize) -> Vec<Refusal> {
        let own = self.refused.iter().filter(|refusal| refusal.index == index);
        own.map(|refusal| Refusal { index: 0, ..refusal.clone() }).collect()
    }
}

/// Parcels in hand.
#[derive(Default)]
pub(super) struct Hand {
    /// To be written, in order.
    parcels: VecDeque<Load>,
    /// Taken by the output, safe with the next flush.
    held: Vec<Load>,
    held_bytes: usize,
}

impl Hand {
    pub(super) fn has_parcel(&self) -> bool {
        !self.parcels.is_empty()
    }

    pub(super) fn take(&mut self, load: Load) {
        self.parcels.push_back(load);
    }

    pub(super) fn first(&mut self) -> Option<&mut Load> {
        self.parcels.front_mut()
    }

    pub(super) fn pop(&mut self) -> Option<Load> {
        self.parcels.pop_front()
    }

    /// Takes the first one out if it is an event alone that the encoder refused: there is nothing to
    /// write of it.
    pub(super) fn pop_refused(&mut self) -> Option<Load> {
        let first = self.parcels.front()?;
        (first.part.is_some() && !first.refused.is_empty()).then(|| self.parcels.pop_front())?
    }

    pub(super) fn put_back(&mut self, load: Load) {
        self.parcels.push_front(load);
    }

    /// Puts its events back one by one; `alone`, if each is to be flushed by itself.
    pub(super) fn put_back_split(&mut self, load: Load, alone: bool) {
        for one in load.split(alone).rev() {
            self.parcels.push_front(one);
        }
    }

    /// The output took the first one.
    pub(super) fn hold(&mut self) {
        if let Some(load) = self.parcels.pop_front() {
            self.held_bytes += load.encoded_len();
            self.held.push(load);
        }
    }

    /// Whether the output holds anything.
    pub(super) fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// Whether it holds something that is to be flushed by itself.
    pub(super) fn holds_one_alone(&self) -> bool {
        self.held.last().is_some_and(|load| load.alone)
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// What the output held: it holds nothing any more.
    pub(super) fn let_go(&mut self) -> Vec<Load> {
        self.held_bytes = 0;
        std::mem::take(&mut self.held)
    }

    /// What the output held is to be written again, before the rest.
    pub(super) fn take_back(&mut self) {
        for load in self.let_go().into_iter().rev() {
            self.put_back(load);
        }
    }
}
