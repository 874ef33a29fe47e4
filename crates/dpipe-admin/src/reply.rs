//! Answers: JSON, unless a page says otherwise.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};
use serde::Serialize;

/// An answer.
pub(crate) type Reply = Response<Full<Bytes>>;

/// An answer with a text of some type.
pub(crate) fn text(status: StatusCode, content_type: &'static str, text: String) -> Reply {
    let mut reply = Response::new(Full::new(Bytes::from(text)));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    // Answers are of the moment, and nothing in them is to run in a browser.
    for (name, value) in [
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    reply
}

/// An answer in JSON.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Reply {
    let mut body = serde_json::to_string_pretty(value).expect("keys are strings");
    body.push('\n');
    text(status, "application/json", body)
}

/// A refusal.
pub(crate) fn error(status: StatusCode, error: impl Into<String>) -> Reply {
    json(status, &serde_json::json!({ "error": error.into() }))
}

/// The refusal of a method; `allow` are those that the page takes.
pub(crate) fn method_not_allowed(allow: &'static str) -> Reply {
    let text = format!("this method is not allowed here; use {allow}");
    let mut reply = error(StatusCode::METHOD_NOT_ALLOWED, text);
    reply.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    reply
}

/// The refusal of a request without the token.
pub(crate) fn unauthorized(text: &str) -> Reply {
    let mut reply = error(StatusCode::UNAUTHORIZED, text);
    reply.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    reply
}
