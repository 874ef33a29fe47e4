//! Listens for UDP datagrams, each a frame, in any codec.
//!
//! Nothing tells a sender that a datagram was lost: on the way, or because dpipe, held back by an
//! output, did not take it in time. The level is `memory`. What the system of this machine threw away
//! for want of room is counted as `dropped_by_system`; a larger `receive_buffer` helps through
//! bursts. A line end at the end of a datagram is not part of it. One longer than the limit of a line
//! is cut. The events' `_host` and `_file` are the sender's address.
//!
//! ```yaml
//! type: udp
//! listen: 127.0.0.1:0
//! codec: text
//! ```

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use dpipe_env::{Env, Open};
use dpipe_plugin::settings::{ByteSize, Problem};
use dpipe_plugin::{
    BoxFuture, BuildContext, BuildError, Ended, Input, InputConfig, InputContext, InputError,
    InputSpec, Level,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::net::UdpSocket;

use crate::net::{
    DatagramSocket, Datagrams, Listen, announce, cannot_listen, is_reachable_from_elsewhere,
};

/// Where to listen.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The address and port; port 0 takes a free one, which the log tells.
    #[schemars(with = "String")]
    listen: Listen,
    /// The room that the system is asked for, for datagrams that have come; it may give less.
    #[serde(default = "default_buffer")]
    receive_buffer: ByteSize,
    /// Whether to listen in the clear where other machines can send to.
    #[serde(default)]
    allow_insecure: bool,
}

fn default_buffer() -> ByteSize {
    ByteSize::mib(4)
}

impl InputConfig for Config {
    const NAME: &'static str = "udp";
}

impl InputSpec for Config {
    fn build(&self, _: &BuildContext<'_>) -> Result<Box<dyn Input>, BuildError> {
        Ok(Box::new(Udp { config: self.clone() }))
    }

    fn level(&self) -> Level {
        Level::Memory
    }

    fn check(&self) -> Vec<Problem> {
        is_reachable_from_elsewhere(&self.listen, self.allow_insecure).into_iter().collect()
    }
}

struct Udp {
    config: Config,
}

impl Input for Udp {
    fn run(
        self: Box<Self>,
        context: InputContext,
    ) -> BoxFuture<'static, Result<Ended, InputError>> {
        Box::pin(async move {
            let Config { listen, receive_buffer, .. } = self.config;
            let socket = UdpSocket::bind(listen).await;
            let socket = socket.map_err(|error| cannot_listen(listen, error))?;
            let room = usize::try_from(receive_buffer.bytes()).unwrap_or(usize::MAX);
            if let Err(error) = rustix::net::sockopt::set_socket_recv_buffer_size(&socket, room) {
                tracing::warn!(input = %context.node, %error, "the receive buffer stays as it is");
            }
            let port = socket.local_addr().map_or(0, |address| address.port());
            announce(&context.node, socket.local_addr().unwrap_or(listen));
            let drops = Drops { env: context.env.clone(), port, seen: None };
            Datagrams::new(Config::NAME, context).run(Counted { socket, drops }).await
        })
    }
}

/// A socket of which it is known what the system throws away.
struct Counted {
    socket: UdpSocket,
    drops: Drops,
}

impl DatagramSocket for Counted {
    fn readable(&self) -> BoxFuture<'_, io::Result<()>> {
        DatagramSocket::readable(&self.socket)
    }

    fn try_receive(&self, room: &mut [u8]) -> io::Result<(usize, Option<IpAddr>)> {
        self.socket.try_receive(room)
    }

    fn dropped(&mut self) -> u64 {
        self.drops.since_last()
    }
}

/// What Linux tells of a socket's drops, in `/proc/net/udp` and `/proc/net/udp6`.
struct Drops {
    env: Arc<dyn Env>,
    port: u16,
    seen: Option<u64>,
}

impl Drops {
    fn since_last(&mut self) -> u64 {
        let tables = ["/proc/net/udp", "/proc/net/udp6"];
        let told =
            tables.iter().filter_map(|path| self.read(path)).map(|t| drops_of(&t, self.port));
        let now = told.sum();
        // Those of the first look are of another socket of the port, or of nobody knows when.
        let before = self.seen.replace(now).unwrap_or(now);
        now.saturating_sub(before)
    }

    fn read(&self, path: &str) -> Option<String> {
        let file = self.env.files().open(Path::new(path), Open::Read).ok()?;
        let mut text = Vec::new();
        let mut piece = [0; 16 << 10];
        loop {
            match file.read_at(&mut piece, text.len() as u64).ok()? {
                0 => return String::from_utf8(text).ok(),
                read => text.extend_from_slice(&piece[..read]),
            }
        }
    }
}

/// The drops of the sockets with this local port; the last column of the kernel's table.
fn drops_of(table: &str, port: u16) -> u64 {
    let of_line = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let (_, local) = fields.nth(1)?.rsplit_once(':')?;
        let is_it = u16::from_str_radix(local, 16).ok()? == port;
        fields.next_back()?.parse::<u64>().ok().filter(|_| is_it)
    };
    table.lines().filter_map(of_line).sum()
}

#[cfg(test)]
mod tests;
