//! Listens on a Unix socket and reads frames, in any codec: of connections, or one a datagram.
//!
//! A socket that a dpipe left behind at the path is taken over; one that somebody listens on, or a
//! file of another kind, is not touched. Nobody but the user of the process may connect, unless
//! `mode:` says otherwise. The level is `memory`: a client learns nothing of what became of its
//! events. Clients over a bound are disconnected and counted as with the input `tcp`. A datagram
//! longer than the limit of a line, or than 64 KiB, is cut.
//!
//! ```yaml
//! type: unix
//! path: "{data_dir}/dpipe.sock"
//! codec: text
//! ```

use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use dpipe_plugin::settings::Problem;
use dpipe_plugin::{
    BoxFuture, BuildContext, BuildError, Ended, Input, InputConfig, InputContext, InputError,
    InputSpec, Level,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::net::{UnixDatagram, UnixListener};

use crate::framer::Framing;
use crate::net::{Bounds, Datagrams, Service, announce, cannot_listen};

/// Where the socket is, and how to cut what comes into frames.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The path of the socket.
    path: String,
    /// Whether clients connect, or send datagrams.
    #[serde(default)]
    kind: Kind,
    /// How frames are told apart; a datagram is a frame.
    #[serde(default)]
    framing: Framing,
    /// The permissions of the socket, in octal digits.
    #[serde(default = "default_mode")]
    mode: String,
    /// What clients may take.
    #[serde(default)]
    bounds: Bounds,
}

/// What comes through the socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// Connections.
    #[default]
    Stream,
    /// Datagrams, as `/dev/log` takes them.
    Datagram,
}

fn default_mode() -> String {
    "600".into()
}

impl Config {
    fn mode(&self) -> Option<u32> {
        u32::from_str_radix(&self.mode, 8).ok().filter(|mode| *mode <= 0o777)
    }
}

impl InputConfig for Config {
    const NAME: &'static str = "unix";
}

impl InputSpec for Config {
    fn build(&self, context: &BuildContext<'_>) -> Result<Box<dyn Input>, BuildError> {
        Ok(Box::new(Unix { path: context.resolve(&self.path), config: self.clone() }))
    }

    fn level(&self) -> Level {
        Level::Memory
    }

    fn reads_lines(&self) -> bool {
        self.kind == Kind::Stream && self.framing == Framing::Newline
    }

    fn check(&self) -> Vec<Problem> {
        match self.mode() {
            Some(_) => Vec::new(),
            None => {
                let message = format!("`mode` is no permission: `{}`", self.mode);
                vec![Problem::error(message).help("write three octal digits, such as `660`")]
            }
        }
    }
}

struct Unix {
    path: PathBuf,
    config: Config,
}

impl Input for Unix {
    fn run(
        self: Box<Self>,
        context: InputContext,
    ) -> BoxFuture<'static, Result<Ended, InputError>> {
        Box::pin(async move {
            let Unix { path, config } = *self;
            let mode = config.mode().unwrap_or(0o600);
            let failed = |error| cannot_listen(path.display(), error);
            clear(&path).map_err(failed)?;
            let _socket = Socket(&path);
            match config.kind {
                Kind::Stream => {
                    let listener = UnixListener::bind(&path).map_err(failed)?;
                    permit(&path, mode).map_err(failed)?;
                    announce(&context.node, path.display());
                    let Config { framing, bounds, .. } = config;
                    Service { plugin: Config::NAME, framing, bounds }.run(listener, context).await
                }
                Kind::Datagram => {
                    let socket = UnixDatagram::bind(&path).map_err(failed)?;
                    permit(&path, mode).map_err(failed)?;
                    announce(&context.node, path.display());
                    Datagrams::new(Config::NAME, context).run(socket).await
                }
            }
        })
    }
}

/// Removes a socket that nobody listens on any more.
fn clear(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(found) if !found.file_type().is_socket() => {
            Err(io::Error::other("there is a file of another kind"))
        }
        Ok(_) => {
            let stream = std::os::unix::net::UnixStream::connect(path).err();
            let datagram =
                || std::os::unix::net::UnixDatagram::unbound().and_then(|s| s.connect(path)).err();
            let is_dead = |error: Option<io::Error>| {
                error.is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
            };
            // A socket of the other kind refuses in another way.
            if is_dead(stream) || is_dead(datagram()) {
                std::fs::remove_file(path)
            } else {
                Err(io::Error::new(io::ErrorKind::AddrInUse, "somebody else listens there"))
            }
        }
    }
}

fn permit(path: &Path, mode: u32) -> io::Result<()> {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
}

/// The socket's file goes when nobody listens on it any more.
struct Socket<'a>(&'a Path);

impl Drop for Socket<'_> {
    fn drop(&mut self) {
        // It may be gone already, which is as well.
        let _ = std::fs::remove_file(self.0);
    }
}

#[cfg(test)]
mod tests;
