//! What the inputs that listen share: addresses, bounds on clients, and the reading of a connection.

mod address;
mod bounds;
mod connection;
mod datagrams;
mod server;
#[cfg(test)]
pub(crate) mod testing;

pub(crate) use address::{Listen, is_reachable_from_elsewhere};
pub(crate) use bounds::{Bounds, Guests, Place};
pub(crate) use datagrams::{DatagramSocket, Datagrams};
pub(crate) use server::{Listener, Peer, Service, announce, cannot_listen};
