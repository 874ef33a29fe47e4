//! Posting one batch, and reading the answer.

use std::io::Write;
use std::ops::Range;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Method, Uri};
use hyper_util::client::legacy::Client as Pooled;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::time::timeout;

use super::stack::Request;
use super::{Body, Compression, Retry};

/// How much of an answer is read: enough to say what is wrong.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// How much of it is told.
const TOLD_CHARS_MAX: usize = 200;
/// A server may ask for this much patience; it is not taken for more.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

pub(super) struct Client {
    url: Uri,
    content_type: HeaderValue,
    compression: Compression,
    body: Body,
    answer_within: Duration,
    pooled: Pooled<HttpConnector, Full<Bytes>>,
}

/// What a server answered.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) retry_after: Option<Duration>,
    text: String,
}

impl Answer {
    #[cfg(test)]
    pub(super) fn of_status(status: u16) -> Answer {
        Answer { status, retry_after: None, text: String::new() }
    }

    /// The status and the beginning of the text.
    pub(super) fn describe(&self) -> String {
        let mut text: String = self.text.trim().chars().take(TOLD_CHARS_MAX).collect();
        text = text.replace(|c: char| c.is_control(), " ");
        match text.as_str() {
            "" => format!("answered {}", self.status),
            text => format!("answered {}: {text}", self.status),
        }
    }
}

impl Client {
    pub(super) fn new(
        url: Uri,
        content_type: HeaderValue,
        compression: Compression,
        body: Body,
        answer_within: Duration,
    ) -> Client {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(Duration::from_secs(10)));
        let pooled = Pooled::builder(TokioExecutor::new()).build(connector);
        Client { url, content_type, compression, body, answer_within, pooled }
    }

    /// Posts some events of a request.
    pub(super) async fn post(
        &self,
        request: &Request,
        events: &Range<usize>,
    ) -> Result<Answer, Retry> {
        let head = self.head(request).map_err(|error| self.retry(error))?;
        let body = self.pack(&self.plain(request, events)).map_err(|error| self.retry(error))?;
        let (mut parts, ()) = head.into_parts();
        parts.headers.extend(request.headers.iter().cloned());
        let asking = async {
            let request = hyper::Request::from_parts(parts, Full::new(body.into()));
            let answer = self.pooled.request(request).await.map_err(|error| self.retry(error))?;
            let (head, body) = answer.into_parts();
            // What an answer says beyond that is not worth a connection of its own to be told.
            let text = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            let text = text.map(|text| text.to_bytes()).unwrap_or_default();
            Ok(Answer {
                status: head.status.as_u16(),
                retry_after: head.headers.get(RETRY_AFTER).and_then(seconds),
                text: String::from_utf8_lossy(&text).into_owned(),
            })
        };
        match timeout(self.answer_within, asking).await {
            Ok(answer) => answer,
            Err(_) => Err(self.retry("no answer in time")),
        }
    }

    fn head(&self, request: &Request) -> hyper::http::Result<hyper::Request<()>> {
        let mut url = self.url.clone().into_parts();
        url.path_and_query = Some(request.path.parse()?);
        let mut head = hyper::Request::builder()
            .method(Method::POST)
            .uri(Uri::from_parts(url)?)
            .header(CONTENT_TYPE, self.content_type.clone());
        let encoding = match self.compression {
            Compression::None => None,
            Compression::Gzip => Some("gzip"),
            Compression::Zstd => Some("zstd"),
        };
        if let Some(encoding) = encoding {
            head = head.header(CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        head.body(())
    }

    fn plain(&self, request: &Request, events: &Range<usize>) -> Vec<u8> {
        match self.body {
            Body::Lines => request.lines(events).to_vec(),
            Body::JsonArray => {
                let mut list = Vec::with_capacity(request.lines(events).len() + 2);
                for event in request.each(events) {
                    list.push(if list.is_empty() { b'[' } else { b',' });
                    list.extend_from_slice(event);
                }
                list.push(b']');
                list
            }
        }
    }

    fn pack(&self, plain: &[u8]) -> std::io::Result<Vec<u8>> {
        match self.compression {
            Compression::None => Ok(plain.to_vec()),
            Compression::Gzip => {
                let fast = flate2::Compression::fast();
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), fast);
                encoder.write_all(plain)?;
                encoder.finish()
            }
            Compression::Zstd => zstd::encode_all(plain, 1),
        }
    }

    fn retry(&self, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Retry {
        let error = error.into();
        // The client's own error says "client error (Connect)"; why stands behind it.
        let mut reason = format!("{}: {error}", self.url);
        let mut cause = error.source();
        while let Some(error) = cause {
            reason.push_str(&format!(": {error}"));
            cause = error.source();
        }
        Retry { after: None, reason }
    }
}

/// A number of seconds; dates are not worth the trouble, the pauses grow anyway.
fn seconds(value: &HeaderValue) -> Option<Duration> {
    let seconds = value.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}
