//! Reading datagrams, each a frame: as many at a time as have come, and for each sender a stream.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use dpipe_event::{Buffer, StreamId};
use dpipe_plugin::{
    BoxFuture, Chunk, Credit, Cut, Ended, InputContext, InputError, Part, Stream, StreamStart,
};
use tokio::net::{UdpSocket, UnixDatagram};

use crate::arrival::wait_for_arrival;

/// A socket that datagrams come from.
pub(crate) trait DatagramSocket: Send + Sync {
    /// Waits until there may be one.
    fn readable(&self) -> BoxFuture<'_, io::Result<()>>;

    /// Takes one, and says who sent it, where that is known.
    fn try_receive(&self, room: &mut [u8]) -> io::Result<(usize, Option<IpAddr>)>;

    /// How many the system has thrown away since the last time, for want of room.
    fn dropped(&mut self) -> u64 {
        0
    }
}

impl DatagramSocket for UdpSocket {
    fn readable(&self) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(UdpSocket::readable(self))
    }

    fn try_receive(&self, room: &mut [u8]) -> io::Result<(usize, Option<IpAddr>)> {
        self.try_recv_from(room).map(|(len, sender)| (len, Some(sender.ip())))
    }
}

impl DatagramSocket for UnixDatagram {
    fn readable(&self) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(UnixDatagram::readable(self))
    }

    fn try_receive(&self, room: &mut [u8]) -> io::Result<(usize, Option<IpAddr>)> {
        self.try_recv(room).map(|len| (len, None))
    }
}

/// No datagram of UDP is longer.
const DATAGRAM_BYTES_MAX: usize = 64 << 10;
/// `\r\n`.
const LINE_END_BYTES_MAX: usize = 2;
/// Datagrams that are taken at a time: small ones take more memory than they have bytes.
const DATAGRAMS_MAX: usize = 1024;
/// After a receive that failed without a datagram: the cause need not be over at once.
const RECEIVE_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);
/// Senders that are remembered; with more, all are forgotten and met again.
const SENDERS_MAX: usize = 10_000;
/// How often the system is asked what it threw away.
const LOOK_EVERY: std::time::Duration = std::time::Duration::from_secs(1);

/// The datagrams of a socket.
pub(crate) struct Datagrams {
    plugin: &'static str,
    context: InputContext,
    start: u64,
    streams: u64,
    senders: HashMap<Option<IpAddr>, Sender>,
}

struct Sender {
    stream: Arc<dyn Stream>,
    position: u64,
}

/// What was received at a time.
#[derive(Default)]
struct Received {
    /// Without the line ends.
    parts: Vec<(Option<IpAddr>, Part)>,
    /// The last one is over the limit; it has so many bytes, if not more.
    long: Option<usize>,
}

impl Datagrams {
    pub(crate) fn new(plugin: &'static str, context: InputContext) -> Datagrams {
        let start = context.env.random();
        Datagrams { plugin, context, start, streams: 0, senders: HashMap::new() }
    }

    /// Receives until it is told to stop. Returns when what came has arrived.
    pub(crate) async fn run(
        mut self,
        mut socket: impl DatagramSocket,
    ) -> Result<Ended, InputError> {
        let mut shutdown = self.context.shutdown.clone();
        let home = self.open(None)?;
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                ready = socket.readable() => {
                    ready.map_err(|error| InputError::caused("cannot receive datagrams", error))?;
                }
                _ = look.tick() => {
                    let dropped = socket.dropped();
                    if dropped > 0 {
                        self.context.door.skipped("dropped_by_system", dropped);
                    }
                    continue;
                }
                () = shutdown.given() => break,
            }
            let limit = self.context.line_bytes_max.clamp(1, DATAGRAM_BYTES_MAX);
            // One that fills this is over the limit even without a line end.
            let longest = limit + LINE_END_BYTES_MAX + 1;
            let mut room = self.context.pool.room();
            room.resize(room.len().max(longest), 0);
            let mut credit = tokio::select! {
                credit = home.reserve(room.len()) => credit,
                () = shutdown.given() => break,
            };
            let mut filled = 0;
            let mut failed = false;
            let mut received = Received::default();
            while room.len() - filled >= longest
                && received.parts.len() < DATAGRAMS_MAX
                && received.long.is_none()
            {
                match socket.try_receive(&mut room[filled..filled + longest]) {
                    Ok((len, sender)) => {
                        let part = Part { start: filled as u32, len: len as u32 };
                        let part = if len == longest { part } else { trimmed(&room, part) };
                        received.long = Some(part.len as usize).filter(|len| *len > limit);
                        received.parts.push((sender, part));
                        // Even an empty one has a place of its own, from which its event's id is made.
                        filled += len.max(1);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // An answer to something that nobody here sent, such as a port that is closed.
                    Err(error) => {
                        tracing::debug!(input = %self.context.node, %error, "a receive failed");
                        failed = true;
                        break;
                    }
                }
            }
            if received.parts.is_empty() {
                self.context.pool.give_back(room);
                if failed {
                    tokio::select! {
                        () = tokio::time::sleep(RECEIVE_PAUSE) => {}
                        () = shutdown.given() => break,
                    }
                }
                continue;
            }
            credit.shrink(filled);
            let buffer = self.context.pool.freeze(room, filled);
            self.send(buffer, received, limit, credit).await;
        }
        drop(socket);
        for sender in self.senders.values() {
            let (door, stream) = (&*self.context.door, &*sender.stream);
            wait_for_arrival(door, stream, sender.position, &mut shutdown).await?;
        }
        Ok(Ended::Stopped)
    }

    /// Sends what was received, a chunk for each sender; all of them hold the same credit.
    async fn send(&mut self, buffer: Buffer, received: Received, limit: usize, credit: Credit) {
        let Received { mut parts, long } = received;
        let cut = long.and_then(|len| Some((parts.pop()?, len)));
        // A stable sort: the order of a sender's datagrams holds.
        parts.sort_by_key(|(sender, _)| *sender);
        let credit = Arc::new(credit);
        let mut rest = &parts[..];
        while let Some(&(sender, _)) = rest.first() {
            let own = rest.iter().take_while(|(other, _)| *other == sender).count();
            let (own, others) = rest.split_at(own);
            let (buffer, cut) = match own.len() == parts.len() && cut.is_none() {
                true => (buffer.clone(), own.iter().map(|(_, part)| *part).collect()),
                false => copied(&buffer, own),
            };
            self.give(sender, buffer, Cut::Parts(cut), &credit).await;
            rest = others;
        }
        if let Some(((sender, part), len)) = cut {
            let start = part.start as usize;
            let kept = buffer[start..start + limit].to_vec();
            self.give(sender, kept.into(), Cut::Long(len), &credit).await;
        }
    }

    async fn give(
        &mut self,
        sender: Option<IpAddr>,
        buffer: Buffer,
        cut: Cut,
        credit: &Arc<Credit>,
    ) {
        if self.senders.len() >= SENDERS_MAX && !self.senders.contains_key(&sender) {
            self.senders.clear();
        }
        if !self.senders.contains_key(&sender) {
            match self.open(sender) {
                Ok(stream) => drop(self.senders.insert(sender, Sender { stream, position: 0 })),
                // It is counted already, and none of the others' affair.
                Err(error) => {
                    tracing::debug!(input = %self.context.node, %error, "a sender is left out");
                    return;
                }
            }
        }
        let Some(Sender { stream, position }) = self.senders.get_mut(&sender) else { return };
        let offset = *position;
        *position += buffer.len() as u64;
        let chunk = Chunk { buffer, offset, end: *position, cut };
        stream.send(chunk, Credit::holding(Box::new(credit.clone()))).await;
    }

    fn open(&mut self, sender: Option<IpAddr>) -> Result<Arc<dyn Stream>, InputError> {
        self.streams += 1;
        let node = self.context.node.as_bytes();
        let number = [self.start.to_le_bytes(), self.streams.to_le_bytes()];
        let parts: [&[u8]; 4] = [self.plugin.as_bytes(), node, &number[0], &number[1]];
        let id = StreamId::derive(&self.context.id_key, &parts);
        let host = sender.map(|sender| sender.to_string()).unwrap_or_default();
        self.context.door.open(StreamStart { file: host.clone(), host, id, position: 0 })
    }
}

/// The datagrams of one sender among others, in a buffer of their own: the books count a buffer by
/// its bytes.
fn copied(buffer: &[u8], parts: &[(Option<IpAddr>, Part)]) -> (Buffer, Arc<[Part]>) {
    let len = parts.iter().map(|(_, part)| part.len as usize + 1).sum();
    let mut bytes = Vec::with_capacity(len);
    let moved = |(_, part): &(Option<IpAddr>, Part)| {
        let (from, start) = (part.start as usize, bytes.len() as u32);
        bytes.extend_from_slice(&buffer[from..from + part.len as usize]);
        bytes.push(b'\n');
        Part { start, ..*part }
    };
    let parts = parts.iter().map(moved).collect();
    (bytes.into(), parts)
}

/// A datagram without the line end that many senders put there.
fn trimmed(room: &[u8], part: Part) -> Part {
    let bytes = &room[part.start as usize..(part.start + part.len) as usize];
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    Part { len: bytes.len() as u32, ..part }
}
