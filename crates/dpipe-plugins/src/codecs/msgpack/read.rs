//! MessagePack to JSON. Format: <https://github.com/msgpack/msgpack/blob/master/spec.md>.

use std::io::Write;

use dpipe_event::{JsonLimits, Timestamp, write_escaped};
use dpipe_plugin::DecodeError;

use super::Binary;

/// Reads one map.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    binary: Binary,
    limits: JsonLimits,
    depth: u32,
    fields: u32,
}

/// What the first bytes of a value say.
enum Head {
    Nil,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Single(f32),
    Double(f64),
    Text(usize),
    Bytes(usize),
    Extension(usize),
    Array(usize),
    Map(usize),
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8], binary: Binary, limits: JsonLimits) -> Self {
        Reader { rest: bytes, binary, limits, depth: 0, fields: 0 }
    }

    /// The map that the bytes are, as a JSON object.
    pub(super) fn map(&mut self, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        let Head::Map(len) = self.head()? else {
            return Err(DecodeError::new("not_a_map", "the value is not a map"));
        };
        self.members(len, out)?;
        if self.rest.is_empty() {
            return Ok(());
        }
        let reason = format!("{} bytes follow the map", self.rest.len());
        Err(DecodeError::new("trailing_bytes", reason))
    }

    fn value(&mut self, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        self.fields += 1;
        if self.fields > self.limits.fields {
            let reason = format!("the map has more than {} values", self.limits.fields);
            return Err(DecodeError::new("too_many_fields", reason));
        }
        match self.head()? {
            Head::Text(len) => text(self.take(len)?, out),
            Head::Bytes(len) => binary(self.take(len)?, self.binary, out),
            Head::Extension(len) => {
                let kind = self.take(1)?[0] as i8;
                extension(kind, self.take(len)?, out);
            }
            Head::Array(len) => {
                self.enter()?;
                out.push(b'[');
                for at in 0..len {
                    if at > 0 {
                        out.push(b',');
                    }
                    self.value(out)?;
                }
                out.push(b']');
                self.depth -= 1;
            }
            Head::Map(len) => self.members(len, out)?,
            scalar => write_scalar(&scalar, out),
        }
        Ok(())
    }

    /// So many keys and values. The number is only a claim, so nothing is made room for.
    fn members(&mut self, len: usize, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        self.enter()?;
        out.push(b'{');
        for at in 0..len {
            if at > 0 {
                out.push(b',');
            }
            match self.head()? {
                Head::Text(len) | Head::Bytes(len) => text(self.take(len)?, out),
                Head::Array(_) | Head::Map(_) | Head::Extension(_) => {
                    return Err(DecodeError::new(
                        "bad_key",
                        "a key is neither a text nor a number",
                    ));
                }
                scalar => {
                    out.push(b'"');
                    write_scalar(&scalar, out);
                    out.push(b'"');
                }
            }
            out.push(b':');
            self.value(out)?;
        }
        out.push(b'}');
        self.depth -= 1;
        Ok(())
    }

    fn enter(&mut self) -> Result<(), DecodeError> {
        self.depth += 1;
        if self.depth > self.limits.depth {
            let reason = format!("the map is nested more than {} deep", self.limits.depth);
            return Err(DecodeError::new("too_deep", reason));
        }
        Ok(())
    }

    fn head(&mut self) -> Result<Head, DecodeError> {
        Ok(match self.take(1)?[0] {
            byte @ 0x00..=0x7f => Head::Unsigned(byte.into()),
            byte @ 0x80..=0x8f => Head::Map(usize::from(byte & 0x0f)),
            byte @ 0x90..=0x9f => Head::Array(usize::from(byte & 0x0f)),
            byte @ 0xa0..=0xbf => Head::Text(usize::from(byte & 0x1f)),
            0xc0 => Head::Nil,
            0xc1 => return Err(DecodeError::new("unknown_byte", "the byte 0xc1 starts no value")),
            0xc2 => Head::Bool(false),
            0xc3 => Head::Bool(true),
            0xc4 => Head::Bytes(self.number(1)? as usize),
            0xc5 => Head::Bytes(self.number(2)? as usize),
            0xc6 => Head::Bytes(self.number(4)? as usize),
            0xc7 => Head::Extension(self.number(1)? as usize),
            0xc8 => Head::Extension(self.number(2)? as usize),
            0xc9 => Head::Extension(self.number(4)? as usize),
            0xca => Head::Single(f32::from_bits(self.number(4)? as u32)),
            0xcb => Head::Double(f64::from_bits(self.number(8)?)),
            0xcc => Head::Unsigned(self.number(1)?),
            0xcd => Head::Unsigned(self.number(2)?),
            0xce => Head::Unsigned(self.number(4)?),
            0xcf => Head::Unsigned(self.number(8)?),
            0xd0 => Head::Signed((self.number(1)? as i8).into()),
            0xd1 => Head::Signed((self.number(2)? as i16).into()),
            0xd2 => Head::Signed((self.number(4)? as i32).into()),
            0xd3 => Head::Signed(self.number(8)? as i64),
            byte @ 0xd4..=0xd8 => Head::Extension(1 << (byte - 0xd4)),
            0xd9 => Head::Text(self.number(1)? as usize),
            0xda => Head::Text(self.number(2)? as usize),
            0xdb => Head::Text(self.number(4)? as usize),
            0xdc => Head::Array(self.number(2)? as usize),
            0xdd => Head::Array(self.number(4)? as usize),
            0xde => Head::Map(self.number(2)? as usize),
            0xdf => Head::Map(self.number(4)? as usize),
            byte @ 0xe0..=0xff => Head::Signed((byte as i8).into()),
        })
    }

    /// A number of so many bytes, the highest first.
    fn number(&mut self, bytes: usize) -> Result<u64, DecodeError> {
        Ok(self.take(bytes)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or_else(|| {
            let left = self.rest.len();
            let reason = format!("{len} more bytes are announced, and {left} are there");
            DecodeError::new("truncated", reason)
        })?;
        self.rest = rest;
        Ok(taken)
    }
}

fn write_scalar(head: &Head, out: &mut Vec<u8>) {
    // Writing to a vector cannot fail. Rust prints the shortest digits that read back as the same.
    let _ = match head {
        Head::Bool(yes) => write!(out, "{yes}"),
        Head::Unsigned(number) => write!(out, "{number}"),
        Head::Signed(number) => write!(out, "{number}"),
        Head::Single(number) if number.is_finite() => write!(out, "{number:?}"),
        Head::Double(number) if number.is_finite() => write!(out, "{number:?}"),
        _ => write!(out, "null"),
    };
}

fn text(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    write_escaped(out, text);
    out.push(b'"');
}

fn binary(bytes: &[u8], how: Binary, out: &mut Vec<u8>) {
    if how == Binary::Text && std::str::from_utf8(bytes).is_ok() {
        return text(bytes, out);
    }
    out.push(b'"');
    base64(bytes, out);
    out.push(b'"');
}

fn extension(kind: i8, data: &[u8], out: &mut Vec<u8>) {
    if let Some((seconds, nanos)) = timestamp(kind, data)
        && write_time(seconds, nanos, out).is_some()
    {
        return;
    }
    // Writing to a vector cannot fail.
    let _ = write!(out, "{{\"type\":{kind},\"data\":\"");
    base64(data, out);
    out.extend_from_slice(b"\"}");
}

/// Seconds and nanoseconds: of the type -1, in one of its three forms, or of Fluentd's type 0.
fn timestamp(kind: i8, data: &[u8]) -> Option<(i64, u32)> {
    let number = |bytes: &[u8]| bytes.iter().fold(0_u64, |n, byte| n << 8 | u64::from(*byte));
    let (seconds, nanos) = match (kind, data.len()) {
        (-1, 4) => (number(data) as i64, 0),
        (-1, 8) => {
            let both = number(data);
            ((both & ((1 << 34) - 1)) as i64, (both >> 34) as u32)
        }
        (-1, 12) => (number(&data[4..]) as i64, number(&data[..4]) as u32),
        (0, 8) => (number(&data[..4]) as i64, number(&data[4..]) as u32),
        _ => return None,
    };
    (nanos < 1_000_000_000).then_some((seconds, nanos))
}

/// As RFC 3339 has it, with as many digits as it needs; none beyond the years that it can say.
fn write_time(seconds: i64, nanos: u32, out: &mut Vec<u8>) -> Option<()> {
    let years = -62_167_219_200..=253_402_300_799;
    years.contains(&seconds).then_some(())?;
    let time = Timestamp::from_millis(seconds * 1000 + i64::from(nanos / 1_000_000)).to_string();
    let finer = nanos % 1_000_000;
    // Writing to a vector cannot fail.
    let _ = match finer {
        0 => write!(out, "\"{time}\""),
        _ => write!(out, "\"{}{finer:06}Z\"", time.trim_end_matches('Z')),
    };
    Some(())
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for three in bytes.chunks(3) {
        let at = |at: usize| u32::from(three.get(at).copied().unwrap_or(0));
        let number = at(0) << 16 | at(1) << 8 | at(2);
        for place in 0..4 {
            let digit = DIGITS[(number >> (18 - 6 * place) & 63) as usize];
            out.push(if place > three.len() { b'=' } else { digit });
        }
    }
}
