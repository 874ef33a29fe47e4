//! Addresses to listen on.

use std::net::SocketAddr;

use dpipe_plugin::settings::Problem;

/// An address to listen on, such as `127.0.0.1:5140`; port 0 takes a free one.
pub(crate) type Listen = SocketAddr;

/// What is wrong with listening in the clear where other machines can connect, unless it was
/// allowed by name.
pub(crate) fn is_reachable_from_elsewhere(
    listen: &Listen,
    allow_insecure: bool,
) -> Option<Problem> {
    if listen.ip().is_loopback() || allow_insecure {
        return None;
    }
    let message = format!(
        "`{listen}` can be reached from other machines, and what they send is neither encrypted nor \
         authenticated"
    );
    let help = "listen on 127.0.0.1, or write `allow_insecure: true` if the network is trusted";
    Some(Problem::error(message).help(help))
}
