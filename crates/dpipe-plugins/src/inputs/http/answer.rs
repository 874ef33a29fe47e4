//! Answers to clients.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};

pub(super) type Answer = Response<Full<Bytes>>;
/// An answer that says no; boxed, since it is rare and larger than what it stands in for.
pub(super) type Refusal = Box<Answer>;

/// How many seconds a client is asked to stay away.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");

fn json(status: StatusCode, body: &serde_json::Value) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(format!("{body}\n"))));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

/// So many lines or values were taken.
pub(super) fn taken(events: usize) -> Answer {
    json(StatusCode::OK, &serde_json::json!({ "events": events }))
}

/// The same, for a request that was answered before.
pub(super) fn taken_before(events: usize) -> Answer {
    let mut answer = taken(events);
    answer.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
    answer
}

/// The request cannot be served as it is.
pub(super) fn refused(status: StatusCode, reason: impl Into<String>) -> Refusal {
    Box::new(json(status, &serde_json::json!({ "error": reason.into() })))
}

/// The request can be served later.
pub(super) fn later(status: StatusCode, reason: &str) -> Refusal {
    let mut answer = refused(status, reason);
    answer.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
    answer
}

/// Another method is wanted.
pub(super) fn wrong_method(allow: &'static str) -> Refusal {
    let mut answer = refused(StatusCode::METHOD_NOT_ALLOWED, format!("use {allow}"));
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    answer
}
