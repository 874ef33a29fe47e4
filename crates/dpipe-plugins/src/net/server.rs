//! Serving clients that send streams of frames, one task for each.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use dpipe_event::StreamId;
use dpipe_plugin::{BoxFuture, Ended, InputContext, InputError, StreamStart};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinSet;

use super::bounds::{Bounds, Guests, Place};
use super::connection::{Connection, Reading};
use crate::arrival::wait_for_arrival;
use crate::framer::Framing;

/// What accepts clients.
pub(crate) trait Listener: Send + Sync {
    /// A connected client.
    type Client: Connection + 'static;

    /// Waits for the next client.
    fn accept(&self) -> BoxFuture<'_, io::Result<(Self::Client, Peer)>>;
}

/// Who a client is.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// Its address, if it has one; counted for the bounds, and the host of its events.
    pub(crate) address: Option<IpAddr>,
    /// What its events name as their origin.
    pub(crate) name: String,
}

impl Listener for TcpListener {
    type Client = tokio::net::TcpStream;

    fn accept(&self) -> BoxFuture<'_, io::Result<(Self::Client, Peer)>> {
        Box::pin(async move {
            let (client, address) = TcpListener::accept(self).await?;
            // Nothing is written to a client of ours, but its acknowledgements should not wait.
            client.set_nodelay(true)?;
            Ok((client, Peer { address: Some(address.ip()), name: address.to_string() }))
        })
    }
}

impl Listener for UnixListener {
    type Client = tokio::net::UnixStream;

    fn accept(&self) -> BoxFuture<'_, io::Result<(Self::Client, Peer)>> {
        Box::pin(async move {
            let (client, _) = UnixListener::accept(self).await?;
            Ok((client, Peer { address: None, name: String::new() }))
        })
    }
}

/// How clients are served.
pub(crate) struct Service {
    /// The input's name, for the ids of its streams.
    pub(crate) plugin: &'static str,
    pub(crate) framing: Framing,
    pub(crate) bounds: Bounds,
}

/// After a failed accept: the cause, such as too many open files, is rarely over at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

impl Service {
    /// Accepts clients and reads them, until it is told to stop. Returns when what they sent has
    /// arrived.
    pub(crate) async fn run(
        self,
        listener: impl Listener,
        context: InputContext,
    ) -> Result<Ended, InputError> {
        let guests = Guests::new(self.bounds);
        let mut shutdown = context.shutdown.clone();
        let mut clients = JoinSet::new();
        // Offsets begin anew with every client, so client and start are part of a stream's identity.
        let start = context.env.random();
        let mut number = 0u64;
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = shutdown.given() => break,
                Some(_) = clients.join_next(), if !clients.is_empty() => continue,
            };
            let (client, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(input = %context.node, %error, "cannot accept a client");
                    context.door.skipped("not_accepted", 1);
                    tokio::select! {
                        () = tokio::time::sleep(ACCEPT_PAUSE) => {}
                        () = shutdown.given() => break,
                    }
                    continue;
                }
            };
            match guests.admit(peer.address) {
                Err(refusal) => {
                    context.door.skipped(refusal.reason(), 1);
                    tracing::debug!(input = %context.node, client = %peer.name, reason = refusal.reason(), "a client is turned away");
                }
                Ok(place) => {
                    number += 1;
                    let id = [start.to_le_bytes(), number.to_le_bytes()];
                    let parts: [&[u8]; 4] =
                        [self.plugin.as_bytes(), context.node.as_bytes(), &id[0], &id[1]];
                    let id = StreamId::derive(&context.id_key, &parts);
                    let name = peer.name.clone();
                    match self.serve(client, peer, place, id, &context) {
                        Ok(serving) => drop(clients.spawn(serving)),
                        // It is counted already, and none of the others' affair.
                        Err(error) => {
                            tracing::debug!(input = %context.node, client = %name, %error, "a client is turned away");
                        }
                    }
                }
            }
        }
        drop(listener);
        while clients.join_next().await.is_some() {}
        Ok(Ended::Stopped)
    }

    fn serve<C: Connection + 'static>(
        &self,
        client: C,
        peer: Peer,
        place: Place,
        id: StreamId,
        context: &InputContext,
    ) -> Result<impl Future<Output = ()> + Send + use<C>, InputError> {
        let host = peer.address.map(|address| address.to_string()).unwrap_or_default();
        let stream = context.door.open(StreamStart { file: peer.name, host, id, position: 0 })?;
        let (framer, event_timeout) =
            Reading::framer(self.framing, context.line_bytes_max, context.multiline.as_ref());
        let (door, mut shutdown) = (context.door.clone(), context.shutdown.clone());
        let reading = Reading {
            stream: stream.clone(),
            door: door.clone(),
            place,
            pool: context.pool.clone(),
            framer,
            shutdown: shutdown.clone(),
            idle_after: self.bounds.idle_after.duration(),
            frame_within: self.bounds.frame_within.duration(),
            event_timeout,
        };
        let node = context.node.clone();
        Ok(async move {
            let end = reading.read(client).await;
            // What a client sent cannot be read again; that it arrives is waited for all the same, so
            // that a stop is orderly.
            let arrived = wait_for_arrival(&*door, &*stream, end, &mut shutdown).await;
            if let Err(error) = arrived {
                tracing::error!(input = %node, client = %stream.origin().file, %error, "events of a client did not arrive");
            }
        })
    }
}

/// Starts to listen, or says on what it cannot.
pub(crate) fn cannot_listen(on: impl std::fmt::Display, error: io::Error) -> InputError {
    InputError::caused(format!("cannot listen on {on}"), error)
}

/// Says where an input listens, which port 0 leaves open until now.
pub(crate) fn announce(node: &Arc<str>, on: impl std::fmt::Display) {
    tracing::info!(input = %node, address = %on, "listening");
}
