//! Listens for TCP connections and reads frames from each, in any codec.
//!
//! The events' `_file` is the address and port of the client, and `_host` its address. A plain TCP
//! client learns nothing of what became of its events: those that were sent and had not arrived are
//! lost in a crash, and the level is `memory`. While an output holds back, connections are not read,
//! and their senders wait.
//!
//! A client that is silent for too long, takes too long for a frame, or announces one over the limit
//! is disconnected, which is counted by reason: `idle`, `frame_too_slow`, `frame_too_long`,
//! `bad_frame_length`, `unfinished_bytes`. One over the number of connections is turned away:
//! `too_many_connections`, `too_many_connections_of_address`. A frame without its end, when its client
//! did not close in order, is no event: `unfinished_frame`.
//!
//! ```yaml
//! type: tcp
//! listen: 127.0.0.1:0
//! framing: newline
//! codec: json
//! ```

use dpipe_plugin::settings::Problem;
use dpipe_plugin::{
    BoxFuture, BuildContext, BuildError, Ended, Input, InputConfig, InputContext, InputError,
    InputSpec, Level,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use crate::framer::Framing;
use crate::net::{Bounds, Listen, Service, announce, cannot_listen, is_reachable_from_elsewhere};

/// Where to listen, and how to cut what comes into frames.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The address and port; port 0 takes a free one, which the log tells.
    #[schemars(with = "String")]
    listen: Listen,
    /// How frames are told apart.
    #[serde(default)]
    framing: Framing,
    /// Whether to listen in the clear where other machines can connect.
    #[serde(default)]
    allow_insecure: bool,
    /// What clients may take.
    #[serde(default)]
    bounds: Bounds,
}

impl InputConfig for Config {
    const NAME: &'static str = "tcp";
}

impl InputSpec for Config {
    fn build(&self, _: &BuildContext<'_>) -> Result<Box<dyn Input>, BuildError> {
        Ok(Box::new(Tcp { config: self.clone() }))
    }

    fn level(&self) -> Level {
        Level::Memory
    }

    fn reads_lines(&self) -> bool {
        self.framing == Framing::Newline
    }

    fn check(&self) -> Vec<Problem> {
        is_reachable_from_elsewhere(&self.listen, self.allow_insecure).into_iter().collect()
    }
}

struct Tcp {
    config: Config,
}

impl Input for Tcp {
    fn run(
        self: Box<Self>,
        context: InputContext,
    ) -> BoxFuture<'static, Result<Ended, InputError>> {
        Box::pin(async move {
            let Config { listen, framing, bounds, .. } = self.config;
            let listening = TcpListener::bind(listen).await;
            let listener = listening.map_err(|error| cannot_listen(listen, error))?;
            announce(&context.node, listener.local_addr().unwrap_or(listen));
            Service { plugin: Config::NAME, framing, bounds }.run(listener, context).await
        })
    }
}

#[cfg(test)]
mod tests;
