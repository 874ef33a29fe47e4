//! The server: listens, holds clients to their limits, and ends in order.
//!
//! One request a connection. On the loopback a connection costs next to nothing, and nobody can hold
//! one without asking something: it ends after [`CONNECTION_MAX`], whatever the client does.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, timeout};

use crate::Running;
use crate::api::{About, Api};
use crate::rates::SAMPLE_EVERY;
use crate::reply::{self, Reply};

/// Connections at a time; more wait to be accepted.
const CONNECTIONS_MAX: usize = 64;
/// How long a client may take to send the head of its request, and the same for the body.
const REQUEST_MAX: Duration = Duration::from_secs(10);
/// How long a connection may live.
const CONNECTION_MAX: Duration = Duration::from_secs(30);
/// The longest head of a request.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// The longest body of a request. No request needs one.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// How long answers that are being written may take when the server stops.
const GRACE: Duration = Duration::from_secs(1);

/// Why the admin API cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address cannot be read.
    #[error("`{listen}` is not an address to listen on; write one like 127.0.0.1:9876")]
    Address {
        /// What the configuration says.
        listen: String,
    },
    /// The address can be reached from other machines.
    #[error(
        "the admin API listens on the loopback only, and `{address}` is not there; use \
         127.0.0.1:{} and reach it from elsewhere through a tunnel",
        .address.port()
    )]
    NotLoopback {
        /// The address.
        address: SocketAddr,
    },
    /// Somebody else listens there.
    #[error(
        "the admin API cannot listen on {address}: the port is in use, probably by another dpipe; \
         set `api.listen` to another port, or to {}:0 for a free one",
        .address.ip()
    )]
    InUse {
        /// The address.
        address: SocketAddr,
    },
    /// The system refuses.
    #[error("the admin API cannot listen on {address}")]
    Io {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

/// An admin API that has its address, and does not answer yet. Bound before the pipeline starts, it
/// keeps a second dpipe from starting on the same port.
#[derive(Debug)]
pub struct AdminServer {
    listener: TcpListener,
    address: SocketAddr,
}

/// An admin API that answers, on a thread of its own. Dropping it stops it without waiting.
#[derive(Debug)]
pub struct Serving {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

impl AdminServer {
    /// Listens on an address of the loopback; port 0 takes a free one.
    ///
    /// # Errors
    /// If `listen` is not an address of the loopback, or the system refuses it.
    pub fn bind(listen: &str) -> Result<AdminServer, BindError> {
        let address = parse(listen)?;
        if !address.ip().is_loopback() {
            return Err(BindError::NotLoopback { address });
        }
        let bound = TcpListener::bind(address).and_then(|listener| {
            listener.set_nonblocking(true)?;
            Ok(AdminServer { address: listener.local_addr()?, listener })
        });
        bound.map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => BindError::InUse { address },
            _ => BindError::Io { address, source },
        })
    }

    /// The address that it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers from now on. Who wants to change something must show the token.
    ///
    /// # Errors
    /// If the system has no thread for it.
    pub fn serve(self, running: impl Running, token: String, about: About) -> io::Result<Serving> {
        let AdminServer { listener, address } = self;
        let api = Arc::new(Api::new(running, about, token, address.port()));
        let (stop, stopping) = watch::channel(false);
        let thread = std::thread::Builder::new().name("dpipe-admin".into()).spawn(move || {
            if let Err(error) = run(listener, api, stopping) {
                tracing::error!(%error, "the admin API has failed");
            }
        })?;
        // Whoever started it says so, with all else that there is to say at the start.
        tracing::debug!(%address, "the admin API listens");
        Ok(Serving { address, stop, thread })
    }
}

impl Serving {
    /// The address that it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more requests, and waits a moment for answers that are being written.
    pub fn stop(self) {
        self.stop.send_replace(true);
        if self.thread.join().is_err() {
            tracing::error!("the admin API panicked");
        }
    }
}

/// An address as it is written in the configuration.
fn parse(listen: &str) -> Result<SocketAddr, BindError> {
    if let Some(port) = listen.strip_prefix("localhost:").and_then(|port| port.parse().ok()) {
        return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    }
    listen.parse().map_err(|_| BindError::Address { listen: listen.to_owned() })
}

/// The life of the server's thread.
fn run(listener: TcpListener, api: Arc<Api>, stopping: watch::Receiver<bool>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        tokio::select! {
            () = accept(listener, &api, stopping) => {}
            () = sample(&api) => {}
        }
        Ok(())
    })
}

/// Looks at the books now and then, for as long as it is polled.
async fn sample(api: &Api) {
    let mut ticks = tokio::time::interval(SAMPLE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        api.sample();
    }
}

/// Takes connections until the server stops; then lets those that are answered end.
async fn accept(
    listener: tokio::net::TcpListener,
    api: &Arc<Api>,
    mut stopping: watch::Receiver<bool>,
) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let next = async {
            let permit = room.clone().acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            next = next => next,
            // An error means that who serves was dropped.
            _ = stopping.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let connection = serve(stream, api.clone(), stopping.clone());
                connections.spawn(async move {
                    connection.await;
                    drop(permit);
                });
            }
            Err(error) => {
                // Too many open files, most likely: a pause, lest we spin.
                tracing::warn!(%error, "the admin API cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    let _ = timeout(GRACE, all).await;
}

async fn serve(stream: TcpStream, api: Arc<Api>, mut stopping: watch::Receiver<bool>) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .keep_alive(false)
        .serve_connection(
            TokioIo::new(stream),
            service_fn(move |request| answer(api.clone(), request)),
        );
    let mut connection = std::pin::pin!(connection);
    // A client that breaks off or breaks the protocol is its own affair.
    let _ = timeout(CONNECTION_MAX, async {
        tokio::select! {
            ended = connection.as_mut() => return ended,
            _ = stopping.wait_for(|stop| *stop) => connection.as_mut().graceful_shutdown(),
        }
        connection.await
    })
    .await;
}

async fn answer(api: Arc<Api>, request: Request<Incoming>) -> Result<Reply, Infallible> {
    let (head, body) = request.into_parts();
    let too_long = || {
        let text = format!("the body is longer than {BODY_BYTES_MAX} bytes");
        reply::error(StatusCode::PAYLOAD_TOO_LARGE, text)
    };
    if body.size_hint().lower() > BODY_BYTES_MAX as u64 {
        return Ok(too_long());
    }
    // Bodies mean nothing, but a connection that is closed with bytes unread is reset, and the client
    // would lose the answer.
    let read = timeout(REQUEST_MAX, Limited::new(body, BODY_BYTES_MAX).collect()).await;
    Ok(match read {
        Ok(Ok(_)) => api.answer(&head),
        Ok(Err(error)) if error.is::<LengthLimitError>() => too_long(),
        Ok(Err(_)) => reply::error(StatusCode::BAD_REQUEST, "the body cannot be read"),
        Err(_) => reply::error(StatusCode::REQUEST_TIMEOUT, "the body did not come in time"),
    })
}

#[cfg(test)]
mod tests;
