//! The address of the admin API.

use std::net::SocketAddr;

use dpipe_plugin::settings::{Node, Problem};

const EXAMPLE: &str = "127.0.0.1:9876";

/// What is wrong with the address under `api`, if one is written there.
pub(crate) fn check(root: &Node) -> Option<Problem> {
    let written = root.get("api")?.get("listen")?;
    let listen = written.as_str().filter(|listen| *listen != "off")?;
    let wrong = |message: String, help: String| {
        Some(Problem::error(message).at(written.place()).help(help).redacted(written))
    };
    if let Ok(address) = parse(listen) {
        if address.ip().is_loopback() {
            return None;
        }
        let port = address.port();
        return wrong(
            format!("the admin API listens on the loopback only, and `{listen}` is not there"),
            format!("write `127.0.0.1:{port}`, and reach it from elsewhere through a tunnel"),
        );
    }
    if let Some((host, port)) = listen.rsplit_once(':')
        && !port.is_empty()
        && port.bytes().all(|byte| byte.is_ascii_digit())
        && parse(&format!("{host}:1")).is_ok()
    {
        let message = format!("`{listen}` has no port: they go up to 65535");
        return wrong(message, format!("write `{EXAMPLE}`"));
    }
    let message = format!("`{listen}` is not an address to listen on");
    wrong(message, format!("write one like `{EXAMPLE}`, or `off`"))
}

/// As the server reads it: a name other than `localhost` would have to be looked up.
fn parse(listen: &str) -> Result<SocketAddr, std::net::AddrParseError> {
    match listen.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}").parse(),
        None => listen.parse(),
    }
}
