//! One request: its body is read whole and taken apart before anything of it is sent, so that a
//! request is refused as a whole or taken as a whole.

use std::sync::Arc;

use dpipe_event::StreamId;
use dpipe_plugin::{Chunk, Credit, Stream, StreamStart};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName};
use hyper::http::request::Parts;
use hyper::{Method, Request, StatusCode};
use parking_lot::Mutex;
use tokio::time::timeout;

use super::answer::{self, Answer, Refusal};
use super::body::{self, Frames};
use super::inflate::{self, Inflate};
use super::keys::{Known, UnderWay};
use super::server::{Client, HEALTH};
use super::{Acknowledge, Kind};
use crate::net::Place;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// What an event takes besides its bytes, about: a body of tiny ones has many.
const EVENT_BYTES: usize = 128;
/// A key is a name, not a document.
const KEY_BYTES_MAX: usize = 256;

impl Client {
    pub(super) async fn answer(&self, request: Request<Incoming>) -> Answer {
        self.try_answer(request).await.unwrap_or_else(|refusal| *refusal)
    }

    async fn try_answer(&self, request: Request<Incoming>) -> Result<Answer, Refusal> {
        let (head, incoming) = request.into_parts();
        if head.uri.path() == HEALTH && self.server.config.path != HEALTH {
            return self.health(&head);
        }
        if head.uri.path() != self.server.config.path {
            let reason = format!("events are posted to {}", self.server.config.path);
            return Err(answer::refused(StatusCode::NOT_FOUND, reason));
        }
        if head.method != Method::POST && head.method != Method::PUT {
            return Err(answer::wrong_method("POST"));
        }
        let key = match self.key(&head)? {
            None => None,
            Some(key) => match self.server.keys.look_up(key) {
                Known::New(request) => Some(request),
                Known::Answered(events) => return Ok(answer::taken_before(events)),
                Known::UnderWay => {
                    let reason = "a request with this key is under way";
                    return Err(answer::later(StatusCode::CONFLICT, reason));
                }
            },
        };
        // Until there is credit for it, the body counts among what is unfinished.
        let kept = Kept(&self.place);
        let body = self.collect(&head, incoming).await?;
        let kind = match self.server.config.body {
            Kind::Auto => body::kind_of(header(&head, &CONTENT_TYPE)),
            kind => kind,
        };
        let config = &self.server.config;
        let max = self.server.context.line_bytes_max;
        let frames = body::frames(body, kind, &config.form_field, max)?;
        let events = frames.events;
        self.take(frames, kept, key.as_ref()).await?;
        if let Some(key) = key {
            key.answered(events);
        }
        Ok(answer::taken(events))
    }

    fn health(&self, head: &Parts) -> Result<Answer, Refusal> {
        if head.method != Method::GET && head.method != Method::HEAD {
            return Err(answer::wrong_method("GET"));
        }
        match self.stream.try_reserve(1) {
            Some(_) => Ok(answer::taken(0)),
            None => Err(no_room(&*self.stream)),
        }
    }

    fn key<'a>(&self, head: &'a Parts) -> Result<Option<&'a str>, Refusal> {
        match header(head, &IDEMPOTENCY_KEY) {
            "" => Ok(None),
            key if key.len() <= KEY_BYTES_MAX => Ok(Some(key)),
            _ => {
                let reason = format!("an Idempotency-Key has at most {KEY_BYTES_MAX} bytes");
                Err(answer::refused(StatusCode::BAD_REQUEST, reason))
            }
        }
    }

    /// The whole body, unpacked.
    async fn collect(&self, head: &Parts, mut incoming: Incoming) -> Result<Vec<u8>, Refusal> {
        let config = &self.server.config;
        let max = usize::try_from(config.body_bytes_max.bytes()).unwrap_or(usize::MAX);
        if incoming.size_hint().lower() > max as u64 {
            return Err(inflate::too_large(max));
        }
        let encoding = header(head, &CONTENT_ENCODING).to_ascii_lowercase();
        let mut inflate = Inflate::new(&encoding, max)?;
        let patience = config.bounds.frame_within.duration();
        let all = async {
            while let Some(frame) = incoming.frame().await {
                let broken = |_| answer::refused(StatusCode::BAD_REQUEST, "the body broke off");
                if let Ok(piece) = frame.map_err(broken)?.into_data() {
                    inflate.push(&piece)?;
                    if !self.place.lock().keeps(inflate.len()) {
                        return Err(self.pressed("unfinished_bytes"));
                    }
                }
            }
            Ok(())
        };
        let read = timeout(patience, all).await;
        read.map_err(|_| {
            self.server.context.door.skipped("frame_too_slow", 1);
            answer::refused(StatusCode::REQUEST_TIMEOUT, "the body did not come in time")
        })??;
        inflate.finish()
    }

    fn pressed(&self, reason: &'static str) -> Refusal {
        self.server.context.door.skipped(reason, 1);
        answer::later(StatusCode::SERVICE_UNAVAILABLE, "too many bodies at a time")
    }

    /// Sends the events, and waits as long as an answer has to.
    async fn take(
        &self,
        frames: Frames,
        kept: Kept<'_>,
        key: Option<&UnderWay>,
    ) -> Result<(), Refusal> {
        let bytes: usize = frames.chunks.iter().map(|(buffer, _)| buffer.len()).sum();
        if bytes == 0 {
            return Ok(());
        }
        let config = &self.server.config;
        // Requests of a connection come one after the other; those with a key have a stream of their
        // own, so that their events have the same ids each time.
        let mut position = self.position.lock().await;
        let (stream, mut offset) = match key {
            None => (self.stream.clone(), *position),
            Some(key) => (self.keyed(key.key())?, 0),
        };
        let room =
            timeout(config.wait.duration(), stream.reserve(bytes.max(frames.events * EVENT_BYTES)))
                .await;
        let credit = Arc::new(room.map_err(|_| no_room(&*stream))?);
        drop(kept);
        for (buffer, cut) in frames.chunks {
            let end = offset + buffer.len() as u64;
            let chunk = Chunk { buffer, offset, end, cut };
            stream.send(chunk, Credit::holding(Box::new(credit.clone()))).await;
            offset = end;
        }
        drop(credit);
        if key.is_none() {
            *position = offset;
        }
        drop(position);
        if config.acknowledge == Acknowledge::Memory {
            return Ok(());
        }
        let arrival = self.arrival(&*stream, offset);
        match timeout(config.acknowledge_within.duration(), arrival).await {
            Ok(true) => Ok(()),
            _ => Err(answer::refused(
                StatusCode::GATEWAY_TIMEOUT,
                "the events were taken, but have not arrived yet",
            )),
        }
    }

    /// Waits until everything before `end` has arrived; false if it will not.
    async fn arrival(&self, stream: &dyn Stream, end: u64) -> bool {
        let context = &self.server.context;
        let mut shutdown = context.shutdown.clone();
        let arrived =
            crate::arrival::wait_for_arrival(&*context.door, stream, end, &mut shutdown).await;
        arrived.is_ok() && stream.settled() >= end
    }

    fn keyed(&self, key: &str) -> Result<Arc<dyn Stream>, Refusal> {
        let context = &self.server.context;
        let parts: [&[u8]; 3] = [b"http-key", context.node.as_bytes(), key.as_bytes()];
        let origin = self.stream.origin();
        let start = StreamStart {
            file: origin.file.to_string(),
            host: origin.host.to_string(),
            id: StreamId::derive(&context.id_key, &parts),
            position: 0,
        };
        context
            .door
            .open(start)
            .map_err(|error| answer::refused(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
    }
}

/// The bytes of a body on its client's place, until there is credit for them or they are let go.
struct Kept<'a>(&'a Mutex<Place>);

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        self.0.lock().keeps(0);
    }
}

/// The answer when there is no credit.
fn no_room(stream: &dyn Stream) -> Refusal {
    if stream.is_over_rate() {
        let reason = "the tenant sends more events a second than it may";
        answer::later(StatusCode::TOO_MANY_REQUESTS, reason)
    } else {
        answer::later(StatusCode::SERVICE_UNAVAILABLE, "there is no room at the moment")
    }
}

/// A header as text; empty if there is none.
fn header<'a>(head: &'a Parts, name: &HeaderName) -> &'a str {
    head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().trim()
}
