//! Sends encoded events over a TCP connection, each a frame.
//!
//! Delivered means that the system has taken the bytes. Plain TCP does not tell whether the far side
//! has read them: when a connection breaks, what was on its way is lost, and a batch that was partly
//! sent comes again. Whoever needs more takes an output that is acknowledged, such as `http`.
//!
//! A connection that the far side has closed is noticed before the next write. A failed one is made
//! anew with growing pauses; the events wait meanwhile.
//!
//! An event that its frame cannot hold is refused as `not_framable` and becomes a dead letter: one with
//! a line end within, where a line is a frame, would be taken for several.
//!
//! ```yaml
//! type: tcp
//! match: [logs]
//! address: 127.0.0.1:5140
//! framing: newline
//! codec: json
//! ```

use std::io;
use std::time::Duration;

use dpipe_plugin::settings::{Period, Problem};
use dpipe_plugin::{
    BoxFuture, BuildContext, BuildError, Output, OutputConfig, OutputSpec, Parcel, Written,
};
use rustix::net::RecvFlags;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::framer::Framing;
use crate::frames_out::{are_lines, write_frames};

/// Where to connect, and how frames are told apart.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The host, by name or address, and the port.
    address: String,
    /// How the far side tells frames apart.
    #[serde(default)]
    framing: Framing,
    /// How long connecting may take.
    #[serde(default = "default_connect_within")]
    connect_within: Period,
    /// How long the far side may take nothing while something is to be written.
    #[serde(default = "default_write_within")]
    write_within: Period,
}

fn default_connect_within() -> Period {
    Period::seconds(10)
}

fn default_write_within() -> Period {
    Period::seconds(60)
}

impl OutputConfig for Config {
    const NAME: &'static str = "tcp";
}

impl OutputSpec for Config {
    fn build(&self, _: &BuildContext<'_>) -> Result<Box<dyn Output>, BuildError> {
        Ok(Box::new(Tcp { config: self.clone(), connection: None, framed: Vec::new() }))
    }

    fn default_encoder(&self) -> Option<&'static str> {
        Some("json")
    }

    fn receipt_means(&self) -> String {
        format!("handed to the connection to {}", self.address)
    }

    fn check(&self) -> Vec<Problem> {
        let port = self.address.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        match port.filter(|port| *port > 0) {
            Some(_) => Vec::new(),
            None => {
                let problem =
                    Problem::error("`address` is a host and a port: `logs.example.org:5140`");
                vec![problem]
            }
        }
    }
}

struct Tcp {
    config: Config,
    connection: Option<TcpStream>,
    /// The frames of a parcel, where its bytes are none as they stand.
    framed: Vec<u8>,
}

impl Output for Tcp {
    fn write<'a>(&'a mut self, parcel: &'a Parcel) -> BoxFuture<'a, Written> {
        Box::pin(async move {
            let as_they_stand = self.config.framing == Framing::Newline && are_lines(parcel);
            let refused = match self.config.framing {
                _ if as_they_stand => Vec::new(),
                framing => write_frames(framing, parcel, &mut self.framed),
            };
            match self.send(as_they_stand.then(|| parcel.bytes())).await {
                Ok(()) if refused.is_empty() => Written::Delivered,
                Ok(()) => Written::Refused(refused),
                Err(error) => {
                    self.connection = None;
                    let reason = format!("{}: {error}", self.config.address);
                    Written::Retry { after: None, reason }
                }
            }
        })
    }

    fn close(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if let Some(mut connection) = self.connection.take() {
                // The far side learns of the end; whether it listens is its affair.
                let _ = timeout(Duration::from_secs(1), connection.shutdown()).await;
            }
        })
    }
}

impl Tcp {
    /// Sends these bytes, or the frames.
    async fn send(&mut self, lines: Option<&[u8]>) -> io::Result<()> {
        let within = self.config.write_within.duration();
        let bytes = lines.unwrap_or(&self.framed);
        if self.connection.as_ref().is_some_and(is_closed) {
            self.connection = None;
        }
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(connect(&self.config).await?),
        };
        let mut rest = bytes;
        while !rest.is_empty() {
            let written = timeout(within, connection.write(rest)).await;
            match written.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => rest = &rest[written..],
            }
        }
        Ok(())
    }
}

async fn connect(config: &Config) -> io::Result<TcpStream> {
    let connecting = TcpStream::connect(&config.address);
    let connection = timeout(config.connect_within.duration(), connecting).await;
    let connection = connection.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    connection.set_nodelay(true)?;
    Ok(connection)
}

/// Whether the far side has closed: a write would succeed then, and arrive nowhere. What it says
/// otherwise does not matter.
fn is_closed(connection: &TcpStream) -> bool {
    let mut bytes = [0; 256];
    loop {
        // The system is asked itself: the runtime knows only what it was told when it last waited.
        match rustix::net::recv(connection, &mut bytes[..], RecvFlags::DONTWAIT) {
            Ok((_, 0)) => return true,
            Ok(_) => {}
            Err(error) => return error != rustix::io::Errno::WOULDBLOCK,
        }
    }
}

#[cfg(test)]
mod tests {
    use dpipe_env::RealEnv;
    use dpipe_testkit::{OutputCheck, output_mistake};
    use std::io::Read;
    use std::net::TcpListener;
    use std::path::Path;

    use super::*;

    fn output(listener: &TcpListener, more: &str) -> OutputCheck {
        let address = listener.local_addr().unwrap();
        let settings = format!("{{ type: tcp, address: '{address}'{more} }}");
        OutputCheck::new::<Config>(&settings, RealEnv, Path::new("/"))
    }

    fn listener() -> TcpListener {
        TcpListener::bind("127.0.0.1:0").unwrap()
    }

    #[test]
    fn events_arrive_framed_as_configured() {
        for (framing, expected) in [
            ("newline", &b"{\"a\":1}\n{\"b\":2}\n"[..]),
            ("nul", b"{\"a\":1}\0{\"b\":2}\0"),
            ("octet_count", b"7 {\"a\":1}7 {\"b\":2}"),
            ("length_u16", b"\0\x07{\"a\":1}\0\x07{\"b\":2}"),
            ("length_u32", b"\0\0\0\x07{\"a\":1}\0\0\0\x07{\"b\":2}"),
        ] {
            let listener = listener();
            let mut output = output(&listener, &format!(", framing: {framing}"));
            assert_eq!(output.write("{\"a\":1}\n{\"b\":2}"), Written::Delivered);
            output.close();
            let mut received = Vec::new();
            listener.accept().unwrap().0.read_to_end(&mut received).unwrap();
            assert_eq!(received, expected, "{framing}");
        }
    }

    #[test]
    fn a_connection_that_was_closed_is_made_anew_before_anything_is_lost() {
        let listener = listener();
        let mut output = output(&listener, "");
        assert_eq!(output.write("{\"a\":1}"), Written::Delivered);
        let (mut first, _) = listener.accept().unwrap();
        let mut byte = [0; 8];
        first.read_exact(&mut byte).unwrap();
        drop(first);
        assert_eq!(output.write("{\"b\":2}"), Written::Delivered);
        output.close();
        let mut received = String::new();
        listener.accept().unwrap().0.read_to_string(&mut received).unwrap();
        assert_eq!(received, "{\"b\":2}\n");
    }

    #[test]
    fn without_a_far_side_the_events_wait() {
        let listener = listener();
        let mut output = output(&listener, "");
        drop(listener);
        let Written::Retry { reason, .. } = output.write("{\"a\":1}") else {
            panic!("it must wait")
        };
        assert!(reason.contains("127.0.0.1:") && reason.contains("refused"), "{reason}");
    }

    #[test]
    fn an_event_that_no_frame_can_hold_is_refused_and_the_others_arrive() {
        let listener = listener();
        let mut output = output(&listener, ", framing: length_u16");
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(70_000));
        let written = output.write(&format!("{{\"a\":1}}\n{long}\n{{\"b\":2}}"));
        let Written::Refused(refused) = written else { panic!("it must be refused") };
        assert_eq!(refused[0].index, 1);
        output.close();
        let mut received = Vec::new();
        listener.accept().unwrap().0.read_to_end(&mut received).unwrap();
        assert_eq!(received, b"\0\x07{\"a\":1}\0\x07{\"b\":2}");
    }

    #[test]
    fn an_event_of_several_lines_does_not_arrive_as_several_events() {
        let listener = listener();
        let mut output = output(&listener, "");
        let parcel = crate::frames_out::tests::parcel(&["one\n", "tw\no\n"]);
        let Written::Refused(refused) = output.write_parcel(&parcel) else {
            panic!("it must be refused")
        };
        assert_eq!(refused[0].index, 1);
        output.close();
        let mut received = Vec::new();
        listener.accept().unwrap().0.read_to_end(&mut received).unwrap();
        assert_eq!(received, b"one\n");
    }

    #[test]
    fn an_address_has_a_port() {
        let mistake = output_mistake::<Config>("{ type: tcp, address: localhost }");
        assert!(mistake.contains("a host and a port"), "{mistake}");
    }
}
