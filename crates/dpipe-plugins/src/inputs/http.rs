//! Takes events by HTTP: POST of lines in any codec, JSON values, lists of them, or a form.
//!
//! | Content-Type | the body is |
//! |---|---|
//! | `application/json` | JSON values one after the other; of a list, each element is an event |
//! | `application/x-www-form-urlencoded` | a form, whose field `msg` (see `form_field:`) holds lines |
//! | anything else | lines |
//!
//! `body:` says what a body is whatever its type. Bodies may be chunked, and packed by `gzip`, `zstd`
//! or `deflate`. The codec reads each line or value; what it refuses becomes a dead letter, which is
//! no reason for the client to send it again.
//!
//! | answer | meaning |
//! |---|---|
//! | 200 | all events have arrived at every output (`acknowledge: end_to_end`), or are in memory (`acknowledge: memory`); the number of lines or values is in the answer |
//! | 400, 413, 415 | the body cannot be read, is too large, or packed in an unknown way; nothing of it was taken |
//! | 429, 503 | there is no room, by the tenant's rate or for want of memory; nothing was taken. `Retry-After` says when to try again |
//! | 504 | the events were taken, but have not arrived in time; sent again, they may arrive twice |
//!
//! A request with an `Idempotency-Key` that was answered by 200 is answered at once when it comes again,
//! with `Idempotent-Replayed: true`; while the first one is under way, by 409. Events under a key have
//! the same ids each time. `GET /health` says whether there is room.
//!
//! ```yaml
//! type: http
//! listen: 127.0.0.1:0
//! path: /ingest
//! codec: json
//! ```

use dpipe_plugin::settings::{ByteSize, Period, Problem};
use dpipe_plugin::{
    BoxFuture, BuildContext, BuildError, Ended, Input, InputConfig, InputContext, InputError,
    InputSpec, Level,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use crate::net::{Bounds, Listen, announce, cannot_listen, is_reachable_from_elsewhere};

mod answer;
mod body;
mod inflate;
mod json_values;
mod keys;
mod request;
mod server;

/// Where to listen, and what an answer means.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The address and port; port 0 takes a free one, which the log tells.
    #[schemars(with = "String")]
    listen: Listen,
    /// The path that events are posted to.
    #[serde(default = "default_path")]
    path: String,
    /// What a 200 means.
    #[serde(default)]
    acknowledge: Acknowledge,
    /// What bodies are.
    #[serde(default)]
    body: Kind,
    /// The field of a form that holds the lines.
    #[serde(default = "default_form_field")]
    form_field: String,
    /// The largest body, unpacked. One that is larger than `limits.bytes_in_flight` has to wait until
    /// nothing else is under way.
    #[serde(default = "default_body_bytes_max")]
    body_bytes_max: ByteSize,
    /// How long a request waits for room before it is sent away.
    #[serde(default = "default_wait")]
    wait: Period,
    /// How long a request waits until its events have arrived.
    #[serde(default = "default_acknowledge_within")]
    acknowledge_within: Period,
    /// Idempotency keys that are remembered, the latest ones.
    #[serde(default = "default_keys_max")]
    keys_max: usize,
    /// Whether to listen in the clear where other machines can connect.
    #[serde(default)]
    allow_insecure: bool,
    /// What clients may take.
    #[serde(default)]
    bounds: Bounds,
}

/// What an answer of 200 means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Acknowledge {
    /// The events have arrived at every output.
    #[default]
    EndToEnd,
    /// The events are in memory; a crash loses them.
    Memory,
}

/// What a body is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// What its Content-Type says.
    #[default]
    Auto,
    /// Lines.
    Lines,
    /// JSON values, or lists of them.
    Json,
    /// A form with a field that holds lines.
    Form,
}

fn default_path() -> String {
    "/".into()
}

fn default_form_field() -> String {
    "msg".into()
}

fn default_body_bytes_max() -> ByteSize {
    ByteSize::mib(8)
}

fn default_wait() -> Period {
    Period::seconds(2)
}

fn default_acknowledge_within() -> Period {
    Period::seconds(60)
}

fn default_keys_max() -> usize {
    10_000
}

impl InputConfig for Config {
    const NAME: &'static str = "http";
}

impl InputSpec for Config {
    fn build(&self, _: &BuildContext<'_>) -> Result<Box<dyn Input>, BuildError> {
        Ok(Box::new(Http { config: self.clone() }))
    }

    fn level(&self) -> Level {
        match self.acknowledge {
            Acknowledge::EndToEnd => Level::EndToEnd,
            Acknowledge::Memory => Level::Memory,
        }
    }

    fn default_codec(&self) -> &'static str {
        "json"
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        problems.extend(is_reachable_from_elsewhere(&self.listen, self.allow_insecure));
        if !self.path.starts_with('/') {
            let message = format!("`path` begins with a slash: `/{}`", self.path);
            problems.push(Problem::error(message));
        }
        if self.path == server::HEALTH {
            problems
                .push(Problem::error("`/health` says whether there is room; take another path"));
        }
        problems
    }
}

struct Http {
    config: Config,
}

impl Input for Http {
    fn run(
        self: Box<Self>,
        context: InputContext,
    ) -> BoxFuture<'static, Result<Ended, InputError>> {
        Box::pin(async move {
            let listen = self.config.listen;
            let listening = TcpListener::bind(listen).await;
            let listener = listening.map_err(|error| cannot_listen(listen, error))?;
            announce(&context.node, listener.local_addr().unwrap_or(listen));
            server::run(self.config, listener, context).await
        })
    }
}

#[cfg(test)]
mod tests;
