//! Sends each encoded event as a UDP datagram.
//!
//! Delivered means that the system has taken the datagram. Nobody tells whether it arrived. When the far
//! side's machine says that nobody listens there, that is about a datagram before, which is lost; the
//! next one is tried again after a pause. An event that no datagram can hold, with more than 65,507
//! bytes or `datagram_bytes_max`, is refused and becomes a dead letter.
//!
//! ```yaml
//! type: udp
//! match: [logs]
//! address: 127.0.0.1:5140
//! codec: json
//! ```

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use dpipe_plugin::settings::Problem;
use dpipe_plugin::{
    BoxFuture, BuildContext, BuildError, Output, OutputConfig, OutputSpec, Parcel, Refusal, Written,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::net::{UdpSocket, lookup_host};

/// The most that an IPv4 datagram holds.
const DATAGRAM_BYTES_MAX: usize = 65_507;

/// Where to send.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The host, by name or address, and the port.
    address: String,
    /// The longest datagram; what fits into one packet of the network is safer than more.
    #[serde(default = "default_datagram_bytes_max")]
    datagram_bytes_max: usize,
}

fn default_datagram_bytes_max() -> usize {
    DATAGRAM_BYTES_MAX
}

impl OutputConfig for Config {
    const NAME: &'static str = "udp";
}

impl OutputSpec for Config {
    fn build(&self, _: &BuildContext<'_>) -> Result<Box<dyn Output>, BuildError> {
        Ok(Box::new(Udp { config: self.clone(), socket: None, sent: 0 }))
    }

    fn default_encoder(&self) -> Option<&'static str> {
        Some("json")
    }

    fn receipt_means(&self) -> String {
        format!("sent to {}, which need not have received it", self.address)
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let port = self.address.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        if port.is_none_or(|port| port == 0) {
            problems.push(Problem::error("`address` is a host and a port: `logs.example.org:514`"));
        }
        if !(1..=DATAGRAM_BYTES_MAX).contains(&self.datagram_bytes_max) {
            let message = format!("`datagram_bytes_max` is between 1 and {DATAGRAM_BYTES_MAX}");
            problems.push(Problem::error(message));
        }
        problems
    }
}

struct Udp {
    config: Config,
    socket: Option<UdpSocket>,
    /// How many events of a parcel that is tried again were sent before.
    sent: usize,
}

impl Output for Udp {
    fn write<'a>(&'a mut self, parcel: &'a Parcel) -> BoxFuture<'a, Written> {
        Box::pin(async move {
            let mut refused = Vec::new();
            match self.send(parcel, &mut refused).await {
                Ok(()) => {
                    self.sent = 0;
                    if refused.is_empty() { Written::Delivered } else { Written::Refused(refused) }
                }
                Err(error) => {
                    self.socket = None;
                    let reason = format!("{}: {error}", self.config.address);
                    Written::Retry { after: None, reason }
                }
            }
        })
    }
}

impl Udp {
    async fn send(&mut self, parcel: &Parcel, refused: &mut Vec<Refusal>) -> io::Result<()> {
        let socket = match &self.socket {
            Some(socket) => socket,
            None => self.socket.insert(connect(&self.config.address).await?),
        };
        for index in 0..parcel.batch().len() {
            let bytes = parcel.event_bytes(index);
            // What the encoder refused has no bytes.
            if bytes.is_empty() {
                continue;
            }
            let event = bytes.strip_suffix(b"\n").unwrap_or(bytes);
            if event.len() > self.config.datagram_bytes_max {
                let (len, max) = (event.len(), self.config.datagram_bytes_max);
                let reason = format!("its {len} bytes are more than a datagram may have, {max}");
                refused.push(Refusal { index, kind: "too_long", reason });
            } else if index >= self.sent {
                socket.send(event).await?;
                self.sent = index + 1;
            }
        }
        Ok(())
    }
}

async fn connect(address: &str) -> io::Result<UdpSocket> {
    let mut addresses = lookup_host(address).await?;
    let Some(address) = addresses.next() else {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    };
    let own: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(own).await?;
    socket.connect(address).await?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use dpipe_env::RealEnv;
    use dpipe_testkit::{OutputCheck, output_mistake};
    use std::path::Path;

    use super::*;

    #[test]
    fn each_event_is_a_datagram_and_one_that_does_not_fit_is_refused() {
        let far = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = far.local_addr().unwrap();
        let settings = format!("{{ type: udp, address: '{address}', datagram_bytes_max: 10 }}");
        let mut output = OutputCheck::new::<Config>(&settings, RealEnv, Path::new("/"));
        let Written::Refused(refused) = output.write("{\"a\":1}\n{\"long\":\"xxxx\"}\n{\"b\":2}")
        else {
            panic!("one is too long");
        };
        assert_eq!(refused.iter().map(|r| r.index).collect::<Vec<_>>(), [1]);
        let mut room = [0; 100];
        for expected in ["{\"a\":1}", "{\"b\":2}"] {
            let len = far.recv(&mut room).unwrap();
            assert_eq!(&room[..len], expected.as_bytes());
        }
    }

    #[test]
    fn an_event_that_the_encoder_refused_is_no_datagram() {
        let far = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = far.local_addr().unwrap();
        let settings = format!("{{ type: udp, address: '{address}' }}");
        let mut output = OutputCheck::new::<Config>(&settings, RealEnv, Path::new("/"));
        let parcel = crate::frames_out::tests::parcel(&["", "one\n"]);
        assert_eq!(output.write_parcel(&parcel), Written::Delivered);
        let mut room = [0; 100];
        let len = far.recv(&mut room).unwrap();
        assert_eq!(&room[..len], b"one");
    }

    #[test]
    fn settings_are_checked() {
        let mistake = output_mistake::<Config>("{ type: udp, address: 'h:0' }");
        assert!(mistake.contains("a host and a port"), "{mistake}");
        let mistake =
            output_mistake::<Config>("{ type: udp, address: 'h:1', datagram_bytes_max: 0 }");
        assert!(mistake.contains("between 1 and"), "{mistake}");
    }
}
