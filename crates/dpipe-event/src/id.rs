//! Deterministic event ids: a function of (stream, offset, ordinal), computed when asked for.

use std::fmt;

/// What tells one stream from every other: a file's identity, a connection, a generator's seed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct StreamId([u8; 16]);

/// The id of an event: the same at every reading of the same bytes of the same stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EventId([u8; 16]);

impl StreamId {
    /// Derives the id from the parts of the stream's identity; parts are told apart by length.
    /// `key` is the secret of the data directory, so that no sender can forge another's ids.
    #[must_use]
    pub fn derive(key: &[u8; 32], parts: &[&[u8]]) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(key);
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        StreamId(first_half(hasher.finalize().as_bytes()))
    }

    /// A number by which streams are spread evenly.
    #[must_use]
    pub fn spread(self) -> u64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.0[..8]);
        u64::from_le_bytes(bytes)
    }
}

impl EventId {
    /// The id of the event that starts at `offset` of the stream; `ordinal` tells apart events that
    /// were split from one.
    #[must_use]
    pub fn derive(stream: StreamId, offset: u64, ordinal: u64) -> Self {
        let mut input = [0; 32];
        input[..16].copy_from_slice(&stream.0);
        input[16..24].copy_from_slice(&offset.to_le_bytes());
        input[24..].copy_from_slice(&ordinal.to_le_bytes());
        // Hardly an event needs all of its ordinal, and ids are older than long ones.
        let used = if ordinal <= u64::from(u32::MAX) { &input[..28] } else { &input[..] };
        EventId(first_half(blake3::hash(used).as_bytes()))
    }
}

fn first_half(hash: &[u8; 32]) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&hash[..16]);
    half
}

fn write_hex(bytes: &[u8; 16], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// 32 hexadecimal digits.
impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

/// 32 hexadecimal digits.
impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_function_of_stream_offset_and_ordinal() {
        let stream = StreamId::derive(&[1; 32], &[b"ab", b"c"]);
        assert_eq!(stream, StreamId::derive(&[1; 32], &[b"ab", b"c"]));
        assert_ne!(stream, StreamId::derive(&[1; 32], &[b"a", b"bc"]));
        assert_ne!(stream, StreamId::derive(&[2; 32], &[b"ab", b"c"]));
        let id = EventId::derive(stream, 7, 0);
        assert_eq!(id, EventId::derive(stream, 7, 0));
        assert_ne!(id, EventId::derive(stream, 8, 0));
        assert_ne!(id, EventId::derive(stream, 7, 1));
        assert_ne!(id, EventId::derive(stream, 7, 1 << 32));
        assert_eq!(id.to_string().len(), 32);
    }
}
