//! Posts batches of encoded events to an HTTP server.
//!
//! Events are collected until `batch_bytes`, `batch_events` or `batch_after`, and posted: as lines,
//! or with `body: json_array` as a list. The path and the headers are templates; events for which
//! they differ go in requests of their own. The host is never made from events.
//!
//! | answer | what becomes of the events |
//! |---|---|
//! | 2xx | delivered |
//! | 408, 425, 429, 5xx, no answer in time, no connection | tried again, after `Retry-After` or with growing pauses |
//! | 401, 403 | tried again, and said as an error: the credentials are wrong |
//! | 413 | the batch is halved, down to one event; that is refused |
//! | anything else | refused: the events become dead letters, with the status and the beginning of the answer |
//!
//! An event that makes a path or a header of more than 8 KiB, or one that cannot be sent, is refused
//! as `bad_target`.
//!
//! `retry_on` and `refuse_on` change this for single statuses. Redirects are not followed. Only the
//! server's answer counts as delivery; an answer that gets lost means that a batch is sent twice.
//!
//! ```yaml
//! type: http
//! match: [logs]
//! url: http://127.0.0.1:9/ingest
//! path: "/ingest/{_tenant}/%Y-%m"
//! headers: { x-area: "{_area}" }
//! compression: gzip
//! codec: json
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use dpipe_plugin::settings::{ByteSize, Period, Problem};
use dpipe_plugin::template::Template;
use dpipe_plugin::{
    BoxFuture, BuildContext, BuildError, Flush, Output, OutputConfig, OutputSpec, Parcel, Written,
};
use hyper::Uri;
use hyper::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderName, HeaderValue, TRANSFER_ENCODING};
use hyper::http::uri::PathAndQuery;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod client;
mod rules;
mod stack;

use client::Client;
use rules::Rules;
use stack::Stack;

/// Headers that belong to the connection and the body as they are.
const OWN_HEADERS: [HeaderName; 4] = [HOST, CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION];

/// Where and how to post.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The server, and the path unless `path:` gives another.
    url: String,
    /// The path, which may depend on the event.
    path: Option<Template>,
    /// Headers, whose values may depend on the event.
    #[serde(default)]
    headers: BTreeMap<String, Template>,
    /// What a body is made of.
    #[serde(default)]
    body: Body,
    /// How bodies are packed.
    #[serde(default)]
    compression: Compression,
    /// Encoded bytes after which a batch is posted.
    #[serde(default = "default_batch_bytes")]
    batch_bytes: ByteSize,
    /// Events after which a batch is posted.
    #[serde(default = "default_batch_events")]
    batch_events: usize,
    /// How long an event waits for others.
    #[serde(default = "default_batch_after")]
    batch_after: Period,
    /// How long an answer may take.
    #[serde(default = "default_answer_within")]
    answer_within: Period,
    /// Further statuses after which a batch is tried again.
    #[serde(default)]
    retry_on: Vec<u16>,
    /// Statuses after which events are refused although they would be tried again.
    #[serde(default)]
    refuse_on: Vec<u16>,
}

/// What a body is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Body {
    /// Lines.
    #[default]
    Lines,
    /// One JSON list of the events; for encoders that write JSON.
    JsonArray,
}

/// How bodies are packed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Compression {
    /// They are not.
    #[default]
    None,
    /// By gzip.
    Gzip,
    /// By zstd.
    Zstd,
}

fn default_batch_bytes() -> ByteSize {
    ByteSize::mib(1)
}

fn default_batch_events() -> usize {
    10_000
}

fn default_batch_after() -> Period {
    Period::seconds(1)
}

fn default_answer_within() -> Period {
    Period::seconds(60)
}

impl OutputConfig for Config {
    const NAME: &'static str = "http";
}

impl OutputSpec for Config {
    fn build(&self, context: &BuildContext<'_>) -> Result<Box<dyn Output>, BuildError> {
        let url: Uri =
            self.url.parse().map_err(|error| BuildError::caused("`url` cannot be read", error))?;
        let own_path = url.path_and_query().map_or("/", |path| path.as_str());
        let path = match &self.path {
            Some(path) => path.bind(context),
            // As it stands: braces and percent signs of a URL are no places.
            None => Template::literal(own_path),
        };
        let mut headers = Vec::new();
        for (name, value) in &self.headers {
            let name = HeaderName::try_from(name)
                .map_err(|error| BuildError::caused(format!("no header name: `{name}`"), error))?;
            headers.push((name, value.bind(context)));
        }
        let content_type = match self.body {
            Body::Lines => HeaderValue::from_static("application/x-ndjson"),
            Body::JsonArray => HeaderValue::from_static("application/json"),
        };
        Ok(Box::new(Http {
            stack: Stack::new(path, headers),
            client: Client::new(
                url,
                content_type,
                self.compression,
                self.body,
                self.answer_within.duration(),
            ),
            rules: Rules::new(&self.retry_on, &self.refuse_on),
            batch_events: self.batch_events,
            node: context.node.into(),
        }))
    }

    fn default_encoder(&self) -> Option<&'static str> {
        Some("json")
    }

    fn receipt_means(&self) -> String {
        format!("answered with 2xx by {}", self.url)
    }

    fn flush_policy(&self) -> Option<Flush> {
        let bytes = usize::try_from(self.batch_bytes.bytes()).unwrap_or(usize::MAX);
        Some(Flush { bytes, age: self.batch_after.duration(), when_idle: false })
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        match self.url.parse::<Uri>() {
            Ok(url) if url.scheme_str() == Some("http") && url.authority().is_some() => {}
            Ok(url) if url.scheme_str() == Some("https") => {
                let help = "let a local proxy speak TLS, or post to an http:// address";
                problems.push(Problem::error("this version does not speak TLS").help(help));
            }
            _ => problems.push(Problem::error(format!(
                "`url` is an address with a scheme and a host, such as http://localhost:9200/: `{}`",
                self.url
            ))),
        }
        if let Some(path) = &self.path {
            if !path.literal_prefix().starts_with('/') {
                problems.push(Problem::error("`path` begins with a slash"));
            } else if let Err(error) = path.sample().parse::<PathAndQuery>() {
                let message = format!("`path` would be no path of a URL: {error}");
                let help = "what a URL does not allow is written with a percent sign: `%%20`";
                problems.push(Problem::error(message).help(help));
            }
        }
        for name in self.headers.keys() {
            match HeaderName::try_from(name) {
                Err(_) => problems.push(Problem::error(format!("`{name}` is no name of a header"))),
                Ok(name) if OWN_HEADERS.contains(&name) => {
                    let message = format!("the header `{name}` is made by dpipe");
                    problems.push(Problem::error(message).help("leave it out of `headers`"));
                }
                Ok(_) => {}
            }
        }
        if self.batch_events == 0 {
            problems.push(Problem::error("a batch has at least one event: `batch_events`"));
        }
        problems
    }
}

struct Http {
    stack: Stack,
    client: Client,
    rules: Rules,
    batch_events: usize,
    node: Box<str>,
}

impl Output for Http {
    fn write<'a>(&'a mut self, parcel: &'a Parcel) -> BoxFuture<'a, Written> {
        Box::pin(async move {
            self.stack.add(parcel);
            Written::Held
        })
    }

    fn flush(&mut self) -> BoxFuture<'_, Written> {
        Box::pin(async move {
            let outcome = self.post_all().await;
            self.stack.forget_events();
            match outcome {
                Ok(()) if self.stack.refused.is_empty() => {
                    self.stack.forget_answers();
                    Written::Delivered
                }
                Ok(()) => {
                    let mut refused = std::mem::take(&mut self.stack.refused);
                    refused.sort_by_key(|refusal| refusal.index);
                    self.stack.forget_answers();
                    Written::Refused(refused)
                }
                Err(retry) => {
                    self.stack.refused.clear();
                    Written::Retry { after: retry.after, reason: retry.reason }
                }
            }
        })
    }
}

/// Why a batch is tried again.
struct Retry {
    after: Option<Duration>,
    reason: String,
}

impl Http {
    /// Posts what was collected, request by request, in the order in which they were begun.
    async fn post_all(&mut self) -> Result<(), Retry> {
        for number in 0..self.stack.requests.len() {
            let mut waiting = self.stack.batches(number, self.batch_events);
            while let Some(events) = waiting.pop() {
                if let Some(halves) = self.post(number, events).await? {
                    waiting.extend(halves);
                }
            }
        }
        Ok(())
    }

    /// Posts some events of a request; returns the halves if they are too many at a time.
    async fn post(
        &mut self,
        number: usize,
        events: std::ops::Range<usize>,
    ) -> Result<Option<[std::ops::Range<usize>; 2]>, Retry> {
        let request = &self.stack.requests[number];
        // Answered before a later request failed: it is not sent twice.
        let mark = request.mark(&events);
        if self.stack.answered.contains(&mark) {
            return Ok(None);
        }
        let answer = self.client.post(request, &events).await?;
        match self.rules.judge(&answer) {
            rules::Verdict::Delivered => {
                self.stack.answered.insert(mark);
            }
            rules::Verdict::Halve if events.len() > 1 => {
                let middle = events.start + events.len() / 2;
                // The first half comes off the stack first.
                return Ok(Some([middle..events.end, events.start..middle]));
            }
            rules::Verdict::Halve | rules::Verdict::Refuse => {
                let reason = answer.describe();
                let request = &self.stack.requests[number];
                let refusal = |index| dpipe_plugin::Refusal {
                    index,
                    kind: "refused",
                    reason: reason.clone(),
                };
                let refused = request.positions(&events).map(refusal);
                self.stack.refused.extend(refused);
            }
            rules::Verdict::Retry { is_forbidden } => {
                if is_forbidden {
                    let (output, answer) = (&*self.node, answer.describe());
                    tracing::error!(output, answer, "the server does not accept the credentials");
                }
                return Err(Retry { after: answer.retry_after, reason: answer.describe() });
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests;
