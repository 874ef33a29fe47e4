//! Reading one connection: credits before bytes, frames to chunks, and an end for those who stall.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use dpipe_event::Pool;
use dpipe_plugin::{BoxFuture, Credit, Door, Multiline, Shutdown, Stream};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Instant;

use super::bounds::Place;
use crate::framer::{Framer, Framing};

/// What bytes can be read from when there are some.
pub(crate) trait Connection: AsyncRead + Unpin + Send {
    /// Waits until there may be something to read, or the end.
    fn readable(&self) -> BoxFuture<'_, io::Result<()>>;
}

impl Connection for TcpStream {
    fn readable(&self) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(TcpStream::readable(self))
    }
}

impl Connection for UnixStream {
    fn readable(&self) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(UnixStream::readable(self))
    }
}

/// The first read of a connection asks for so much; who sends more is read in larger pieces.
const FIRST_READ: usize = 4 << 10;

/// A connection that is being read.
pub(crate) struct Reading {
    pub(crate) stream: Arc<dyn Stream>,
    pub(crate) door: Arc<dyn Door>,
    pub(crate) place: Place,
    pub(crate) pool: Pool,
    pub(crate) framer: Framer,
    pub(crate) shutdown: Shutdown,
    pub(crate) idle_after: Duration,
    pub(crate) frame_within: Duration,
    pub(crate) event_timeout: Duration,
}

/// Why reading ended.
#[derive(Debug)]
enum End {
    /// The client is done.
    Closed,
    /// The connection broke.
    Broken,
    /// dpipe stops.
    Stopped,
    /// The client is to be disconnected, for this reason.
    Expelled(&'static str),
}

impl Reading {
    /// A framer for a connection, by the node's settings.
    pub(crate) fn framer(
        framing: Framing,
        frame_bytes_max: usize,
        multiline: Option<&Arc<Multiline>>,
    ) -> (Framer, Duration) {
        let timeout = multiline.map_or(Duration::MAX, |multiline| multiline.timeout());
        (Framer::new(framing, frame_bytes_max, multiline.cloned()), timeout)
    }

    /// Reads until the client closes, dpipe stops, or the client is over a bound. Returns the
    /// position up to which chunks were sent.
    pub(crate) async fn read(mut self, mut connection: impl Connection) -> u64 {
        let end = self.until_end(&mut connection).await;
        // What a client did not end is an event only if the client is done: it may be sent again
        // otherwise, and half of it is none.
        let is_done = matches!(end, End::Closed);
        if (is_done || self.framer.has_open_event())
            && self.framer.kept() > 0
            && let Some(credit) = self.credit().await
            && let Some(chunk) = if is_done { self.framer.rest() } else { self.framer.open_event() }
        {
            self.stream.send(chunk, credit).await;
        }
        if let End::Expelled(reason) = end {
            self.door.skipped(reason, 1);
        }
        if self.framer.kept() > 0 {
            self.door.skipped("unfinished_frame", 1);
        }
        self.framer.offset()
    }

    async fn until_end(&mut self, connection: &mut impl Connection) -> End {
        let mut wanted = FIRST_READ;
        let mut last_read = Instant::now();
        let mut frame_since = last_read;
        loop {
            let kept = self.framer.has_open_frame();
            let patience =
                if kept { frame_since + self.frame_within } else { last_read + self.idle_after };
            let event_due = self.framer.has_open_event().then(|| last_read + self.event_timeout);
            // What has come goes before what is due: it may continue the event.
            tokio::select! {
                biased;
                () = self.shutdown.given() => return End::Stopped,
                ready = connection.readable() => if ready.is_err() {
                    return End::Broken;
                },
                () = tokio::time::sleep_until(event_due.unwrap_or(patience)), if event_due.is_some() => {
                    let before = Instant::now();
                    let Some(credit) = self.credit().await else { return End::Stopped };
                    if let Some(chunk) = self.framer.open_event() {
                        self.stream.send(chunk, credit).await;
                        self.place.keeps(self.framer.kept());
                    }
                    last_read = Instant::now();
                    frame_since += before.elapsed();
                    continue;
                }
                () = tokio::time::sleep_until(patience) => {
                    return End::Expelled(if kept { "frame_too_slow" } else { "idle" });
                }
            }
            let before = Instant::now();
            let mut credit = tokio::select! {
                credit = self.stream.reserve(self.framer.wants(&self.pool, wanted)) => credit,
                () = self.shutdown.given() => return End::Stopped,
            };
            // Waiting for credit was not the client's fault.
            frame_since += before.elapsed();
            last_read += before.elapsed();
            let (mut room, from) = self.framer.room(&self.pool, wanted);
            let asked = room.len() - from;
            let read = match read_now(connection, &mut room[from..]).await {
                Some(Ok(read)) => read,
                Some(Err(_)) => {
                    self.pool.give_back(room);
                    return End::Broken;
                }
                None => {
                    self.pool.give_back(room);
                    continue;
                }
            };
            if read == 0 {
                self.pool.give_back(room);
                return End::Closed;
            }
            last_read = Instant::now();
            if !kept {
                frame_since = last_read;
            }
            wanted = match read {
                full if full == asked => (wanted * 2).min(self.pool.room_bytes()),
                little if little * 4 < asked => (wanted / 2).max(FIRST_READ),
                _ => wanted,
            };
            if let Some(chunk) = self.framer.take(room, from + read, &self.pool) {
                credit.shrink(chunk.buffer.len());
                self.stream.send(chunk, credit).await;
                // Nor was waiting for the lane.
                last_read = Instant::now();
                frame_since = last_read;
            } else if self.framer.has_open_frame() && last_read > frame_since + self.frame_within {
                return End::Expelled("frame_too_slow");
            }
            if let Some(fault) = self.framer.fault() {
                let (file, reason) = (&*self.stream.origin().file, fault.reason());
                tracing::warn!(client = file, error = %fault, "a client is disconnected");
                return End::Expelled(reason);
            }
            if !self.place.keeps(self.framer.kept()) {
                return End::Expelled("unfinished_bytes");
            }
        }
    }

    /// Credit for what is kept, unless there is no more time.
    async fn credit(&mut self) -> Option<Credit> {
        tokio::select! {
            credit = self.stream.reserve(self.framer.kept()) => Some(credit),
            () = self.shutdown.abandoned() => None,
        }
    }
}

/// Reads what is there; nothing if there is nothing yet.
async fn read_now(connection: &mut impl Connection, room: &mut [u8]) -> Option<io::Result<usize>> {
    std::future::poll_fn(|context| {
        let mut buffer = ReadBuf::new(room);
        Poll::Ready(match Pin::new(&mut *connection).poll_read(context, &mut buffer) {
            Poll::Ready(result) => Some(result.map(|()| buffer.filled().len())),
            Poll::Pending => None,
        })
    })
    .await
}
