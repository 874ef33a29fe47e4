//! How much strangers may take: connections, and memory for frames that they do not end.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dpipe_plugin::settings::{ByteSize, Period};
use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What clients may take; a client over a bound is disconnected and counted, and no other notices.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Bounds {
    /// Connections at a time.
    pub(crate) connections_max: usize,
    /// Connections at a time from one address; 0 is without limit.
    pub(crate) connections_per_address_max: usize,
    /// How long a client may be silent between frames.
    pub(crate) idle_after: Period,
    /// How long a client may take for one frame.
    pub(crate) frame_within: Period,
    /// Bytes of frames without their end, of all clients together; when there are more, a client who
    /// has more than an equal share is disconnected.
    pub(crate) unfinished_bytes_max: ByteSize,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds {
            connections_max: 10_000,
            connections_per_address_max: 256,
            idle_after: Period::seconds(300),
            frame_within: Period::seconds(60),
            unfinished_bytes_max: ByteSize::mib(64),
        }
    }
}

/// Why a client was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There are too many.
    Full,
    /// There are too many from its address.
    AddressFull,
}

impl Refusal {
    /// The reason as a word.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Refusal::Full => "too_many_connections",
            Refusal::AddressFull => "too_many_connections_of_address",
        }
    }
}

/// The clients that are connected.
#[derive(Debug)]
pub(crate) struct Guests {
    bounds: Bounds,
    state: Mutex<State>,
    unfinished: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    count: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// A client's place; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    guests: Arc<Guests>,
    address: Option<IpAddr>,
    unfinished: usize,
}

impl Guests {
    pub(crate) fn new(bounds: Bounds) -> Arc<Guests> {
        Arc::new(Guests { bounds, state: Mutex::default(), unfinished: AtomicUsize::new(0) })
    }

    /// A place for a client; one without an address comes from this machine.
    pub(crate) fn admit(self: &Arc<Self>, address: Option<IpAddr>) -> Result<Place, Refusal> {
        let address = address.map(network);
        let mut state = self.state.lock();
        if state.count >= self.bounds.connections_max {
            return Err(Refusal::Full);
        }
        let most = self.bounds.connections_per_address_max;
        if let Some(address) = address {
            let here = state.by_address.entry(address).or_default();
            if most > 0 && *here >= most {
                return Err(Refusal::AddressFull);
            }
            *here += 1;
        }
        state.count += 1;
        Ok(Place { guests: self.clone(), address, unfinished: 0 })
    }
}

/// What counts as one address: of IPv6 the first half, of which one machine has all that follow.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()
        }
        address => address,
    }
}

impl Place {
    /// Takes note of how many bytes the client's unfinished frame has; false if all have more than they
    /// may together, and this one more than its share of that.
    pub(crate) fn keeps(&mut self, bytes: usize) -> bool {
        let before = std::mem::replace(&mut self.unfinished, bytes);
        let unfinished = &self.guests.unfinished;
        if bytes <= before {
            unfinished.fetch_sub(before - bytes, Ordering::AcqRel);
            return true;
        }
        let more = bytes - before;
        let now = unfinished.fetch_add(more, Ordering::AcqRel) + more;
        let max = self.guests.bounds.unfinished_bytes_max.bytes();
        // Many with a little each are no reason to turn away one who has no more than its share.
        now as u64 <= max || bytes as u64 <= max / self.guests.state.lock().count.max(1) as u64
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.guests.unfinished.fetch_sub(self.unfinished, Ordering::AcqRel);
        let mut state = self.guests.state.lock();
        state.count -= 1;
        if let Some(address) = self.address
            && let Some(here) = state.by_address.get_mut(&address)
        {
            *here -= 1;
            if *here == 0 {
                state.by_address.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_in_all_and_for_each_address() {
        let bounds =
            Bounds { connections_max: 3, connections_per_address_max: 2, ..Bounds::default() };
        let guests = Guests::new(bounds);
        let [one, two] = ["10.0.0.1", "10.0.0.2"].map(|ip| Some(ip.parse().unwrap()));
        let first = guests.admit(one).unwrap();
        let _second = guests.admit(one).unwrap();
        assert_eq!(guests.admit(one).unwrap_err(), Refusal::AddressFull);
        let _third = guests.admit(two).unwrap();
        assert_eq!(guests.admit(two).unwrap_err(), Refusal::Full);
        drop(first);
        assert!(guests.admit(one).is_ok());
        assert!(guests.state.lock().by_address.len() <= 2);
    }

    #[test]
    fn the_addresses_that_one_machine_has_count_as_one() {
        let bounds = Bounds { connections_per_address_max: 1, ..Bounds::default() };
        let guests = Guests::new(bounds);
        let [one, same, other] = ["2001:db8::1", "2001:db8::ffff:2", "2001:db8:0:1::1"]
            .map(|ip| Some(ip.parse().unwrap()));
        let _first = guests.admit(one).unwrap();
        assert_eq!(guests.admit(same).unwrap_err(), Refusal::AddressFull);
        assert!(guests.admit(other).is_ok());
    }

    #[test]
    fn unfinished_bytes_are_bounded_over_all() {
        let bounds = Bounds { unfinished_bytes_max: ByteSize::kib(1), ..Bounds::default() };
        let guests = Guests::new(bounds);
        let (mut a, mut b) = (guests.admit(None).unwrap(), guests.admit(None).unwrap());
        assert!(a.keeps(1000) && a.keeps(10) && b.keeps(1000));
        assert!(!a.keeps(513));
        drop(b);
        assert!(a.keeps(1024));
    }

    #[test]
    fn who_has_no_more_than_its_share_is_not_shut_out_by_the_others() {
        let bounds = Bounds { unfinished_bytes_max: ByteSize::kib(1), ..Bounds::default() };
        let guests = Guests::new(bounds);
        let (mut greedy, mut modest) = (guests.admit(None).unwrap(), guests.admit(None).unwrap());
        assert!(greedy.keeps(1000) && modest.keeps(512));
        assert!(!modest.keeps(513) && !greedy.keeps(1001));
    }
}
