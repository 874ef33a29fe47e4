//! Accepts clients and speaks HTTP/1 with each.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use dpipe_event::StreamId;
use dpipe_plugin::{Ended, InputContext, InputError, Stream, StreamStart};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::Config;
use super::keys::Keys;
use crate::net::{Guests, Listener, Peer, Place};

/// Where a client asks whether there is room.
pub(super) const HEALTH: &str = "/health";
/// The longest head of a request.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// After a failed accept: the cause, such as too many open files, is rarely over at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What all clients share.
pub(super) struct Server {
    pub(super) config: Config,
    pub(super) context: InputContext,
    pub(super) keys: Arc<Keys>,
}

/// A client that is connected.
pub(super) struct Client {
    pub(super) server: Arc<Server>,
    pub(super) stream: Arc<dyn Stream>,
    /// Where in the stream the next request's events go.
    pub(super) position: tokio::sync::Mutex<u64>,
    pub(super) place: Mutex<Place>,
}

/// Serves until it is told to stop; then answers what was asked.
pub(super) async fn run(
    config: Config,
    listener: TcpListener,
    context: InputContext,
) -> Result<Ended, InputError> {
    let guests = Guests::new(config.bounds);
    let mut shutdown = context.shutdown.clone();
    let start = context.env.random();
    let keys = Keys::new(config.keys_max);
    let server = Arc::new(Server { config, context, keys });
    let mut clients = JoinSet::new();
    let mut number = 0u64;
    loop {
        let accepted = tokio::select! {
            accepted = Listener::accept(&listener) => accepted,
            () = shutdown.given() => break,
            Some(_) = clients.join_next(), if !clients.is_empty() => continue,
        };
        let (door, node) = (&server.context.door, &server.context.node);
        match accepted {
            Ok((client, peer)) => match guests.admit(peer.address) {
                Ok(place) => {
                    number += 1;
                    let id = [start.to_le_bytes(), number.to_le_bytes()];
                    let name = peer.name.clone();
                    match serve(server.clone(), client, peer, place, id) {
                        Ok(serving) => drop(clients.spawn(serving)),
                        // It is counted already, and none of the others' affair.
                        Err(error) => {
                            tracing::debug!(input = %node, client = %name, %error, "a client is turned away");
                        }
                    }
                }
                Err(refusal) => door.skipped(refusal.reason(), 1),
            },
            Err(error) => {
                tracing::warn!(input = %node, %error, "cannot accept a client");
                door.skipped("not_accepted", 1);
                tokio::select! {
                    () = tokio::time::sleep(ACCEPT_PAUSE) => {}
                    () = shutdown.given() => break,
                }
            }
        }
    }
    drop(listener);
    while clients.join_next().await.is_some() {}
    Ok(Ended::Stopped)
}

fn serve(
    server: Arc<Server>,
    connection: TcpStream,
    peer: Peer,
    place: Place,
    id: [[u8; 8]; 2],
) -> Result<impl Future<Output = ()> + Send, InputError> {
    let context = &server.context;
    let parts: [&[u8]; 4] = [b"http", context.node.as_bytes(), &id[0], &id[1]];
    let id = StreamId::derive(&context.id_key, &parts);
    let host = peer.address.map(|address| address.to_string()).unwrap_or_default();
    let start = StreamStart { file: peer.name, host, id, position: 0 };
    let stream = context.door.open(start)?;
    let mut shutdown = context.shutdown.clone();
    let client = Arc::new(Client {
        server,
        stream,
        position: tokio::sync::Mutex::new(0),
        place: Mutex::new(place),
    });
    // It bounds the time between two requests as well as that of a head.
    let idle_after = client.server.config.bounds.idle_after.duration();
    Ok(async move {
        let service = service_fn(move |request| {
            let client = client.clone();
            async move { Ok::<_, Infallible>(client.answer(request).await) }
        });
        let serving = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(idle_after)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(connection), service);
        let mut serving = std::pin::pin!(serving);
        // A client that breaks off or breaks the protocol is its own affair.
        tokio::select! {
            _ = serving.as_mut() => return,
            () = shutdown.given() => serving.as_mut().graceful_shutdown(),
        }
        tokio::select! {
            _ = serving => {}
            () = shutdown.abandoned() => {}
        }
    })
}
