//! Unpacking bodies as they come, within limits.

use std::io::{self, Write};

use flate2::write::{MultiGzDecoder, ZlibDecoder};
use hyper::StatusCode;
use zstd::stream::raw::{DParameter, Operation};

use super::answer::{self, Refusal};

/// The largest window of zstd: 8 MiB, as RFC 8878 wants decoders to support.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// Bytes that may become any number of times as many.
const FREE_BYTES: usize = 1 << 20;
/// Beyond these, at most so many times as many.
const RATIO_MAX: usize = 100;

/// A body being unpacked.
pub(super) struct Inflate {
    decoder: Decoder,
    packed: usize,
}

enum Decoder {
    Plain(Limited),
    Gzip(MultiGzDecoder<Limited>),
    Deflate(ZlibDecoder<Limited>),
    Zstd(Box<Zstd>),
}

/// Unpacks zstd, and knows whether the last frame is whole, which the crate's writer does not tell.
struct Zstd {
    decoder: zstd::stream::raw::Decoder<'static>,
    out: Limited,
    is_whole: bool,
    room: Vec<u8>,
}

impl Zstd {
    fn new(out: Limited) -> io::Result<Zstd> {
        let mut decoder = zstd::stream::raw::Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX))?;
        Ok(Zstd { decoder, out, is_whole: true, room: vec![0; 64 << 10] })
    }

    fn write_all(&mut self, mut piece: &[u8]) -> io::Result<()> {
        loop {
            let status = self.decoder.run_on_buffers(piece, &mut self.room)?;
            self.is_whole = status.remaining == 0;
            piece = &piece[status.bytes_read..];
            self.out.write_all(&self.room[..status.bytes_written])?;
            // A full room may not have been all there is.
            if piece.is_empty() && status.bytes_written < self.room.len() {
                return Ok(());
            }
        }
    }

    fn finish(&self) -> io::Result<()> {
        match self.is_whole {
            true => Ok(()),
            false => {
                Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the last frame is not whole"))
            }
        }
    }
}

/// Bytes up to a limit.
struct Limited {
    bytes: Vec<u8>,
    max: usize,
    is_over: bool,
}

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.max {
            self.is_over = true;
            return Err(io::Error::other("over the limit"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Inflate {
    /// Unpacks what a Content-Encoding names.
    pub(super) fn new(encoding: &str, max: usize) -> Result<Inflate, Refusal> {
        let out = Limited { bytes: Vec::new(), max, is_over: false };
        let decoder = match encoding {
            "" | "identity" => Decoder::Plain(out),
            "gzip" | "x-gzip" => Decoder::Gzip(MultiGzDecoder::new(out)),
            "deflate" => Decoder::Deflate(ZlibDecoder::new(out)),
            "zstd" => Decoder::Zstd(Box::new(Zstd::new(out).map_err(|error| broken(&error))?)),
            other => {
                let reason =
                    format!("unknown Content-Encoding `{other}`; there is gzip, zstd and deflate");
                return Err(answer::refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, reason));
            }
        };
        Ok(Inflate { decoder, packed: 0 })
    }

    /// The bytes that are there by now.
    pub(super) fn len(&self) -> usize {
        self.out().bytes.len()
    }

    /// Unpacks a further piece.
    pub(super) fn push(&mut self, piece: &[u8]) -> Result<(), Refusal> {
        self.packed += piece.len();
        let written = match &mut self.decoder {
            Decoder::Plain(out) => out.write_all(piece),
            Decoder::Gzip(decoder) => decoder.write_all(piece),
            Decoder::Deflate(decoder) => decoder.write_all(piece),
            Decoder::Zstd(decoder) => decoder.write_all(piece),
        };
        self.judge(written)
    }

    /// The whole body.
    pub(super) fn finish(mut self) -> Result<Vec<u8>, Refusal> {
        let ended = match &mut self.decoder {
            Decoder::Plain(_) => Ok(()),
            Decoder::Gzip(decoder) => decoder.try_finish(),
            Decoder::Deflate(decoder) => decoder.try_finish(),
            Decoder::Zstd(decoder) => decoder.finish(),
        };
        self.judge(ended)?;
        Ok(match self.decoder {
            Decoder::Plain(out) => out.bytes,
            Decoder::Gzip(decoder) => decoder.finish().map_err(|error| broken(&error))?.bytes,
            Decoder::Deflate(decoder) => decoder.finish().map_err(|error| broken(&error))?.bytes,
            Decoder::Zstd(decoder) => decoder.out.bytes,
        })
    }

    fn out(&self) -> &Limited {
        match &self.decoder {
            Decoder::Plain(out) => out,
            Decoder::Gzip(decoder) => decoder.get_ref(),
            Decoder::Deflate(decoder) => decoder.get_ref(),
            Decoder::Zstd(decoder) => &decoder.out,
        }
    }

    fn judge(&self, result: io::Result<()>) -> Result<(), Refusal> {
        let Limited { bytes, max, is_over } = self.out();
        if *is_over {
            return Err(too_large(*max));
        }
        let is_packed = !matches!(self.decoder, Decoder::Plain(_));
        if is_packed && bytes.len() > FREE_BYTES && bytes.len() / RATIO_MAX > self.packed {
            let reason = format!("the body unpacks to more than {RATIO_MAX} times its size");
            return Err(answer::refused(StatusCode::PAYLOAD_TOO_LARGE, reason));
        }
        result.map_err(|error| broken(&error))
    }
}

/// The answer to a body over the limit.
pub(super) fn too_large(max: usize) -> Refusal {
    let reason = format!("the body is longer than {max} bytes");
    answer::refused(StatusCode::PAYLOAD_TOO_LARGE, reason)
}

fn broken(error: &io::Error) -> Refusal {
    answer::refused(StatusCode::BAD_REQUEST, format!("the body cannot be unpacked: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(encoding: &str, bytes: &[u8]) -> Vec<u8> {
        let level = flate2::Compression::default();
        match encoding {
            "gzip" => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap()
            }
            "deflate" => {
                let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), level);
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap()
            }
            "zstd" => zstd::encode_all(bytes, 1).unwrap(),
            _ => bytes.to_vec(),
        }
    }

    fn inflate(encoding: &str, packed: &[u8], max: usize) -> Result<Vec<u8>, StatusCode> {
        let mut inflate = Inflate::new(encoding, max).map_err(|answer| answer.status())?;
        for piece in packed.chunks(7) {
            inflate.push(piece).map_err(|answer| answer.status())?;
        }
        inflate.finish().map_err(|answer| answer.status())
    }

    #[test]
    fn bodies_are_unpacked_as_they_come() {
        let text = "a line\n".repeat(1000);
        for encoding in ["", "identity", "gzip", "deflate", "zstd"] {
            let packed = packed(encoding, text.as_bytes());
            assert_eq!(inflate(encoding, &packed, 1 << 20).unwrap(), text.as_bytes(), "{encoding}");
            let over = inflate(encoding, &packed, 6_999).unwrap_err();
            assert_eq!(over, StatusCode::PAYLOAD_TOO_LARGE, "{encoding}");
        }
        assert_eq!(inflate("br", b"", 10).unwrap_err(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }

    #[test]
    fn what_is_no_packed_body_or_only_a_part_of_one_is_refused() {
        for encoding in ["gzip", "deflate", "zstd"] {
            assert_eq!(
                inflate(encoding, b"no such thing at all", 100),
                Err(StatusCode::BAD_REQUEST)
            );
            let whole = packed(encoding, &[b'x'; 5000]);
            let part = &whole[..whole.len() - 3];
            assert_eq!(
                inflate(encoding, part, 1 << 20),
                Err(StatusCode::BAD_REQUEST),
                "{encoding}"
            );
        }
    }

    #[test]
    fn a_bomb_is_refused_before_it_is_unpacked() {
        let bomb = packed("zstd", &vec![0; 16 << 20]);
        assert_eq!(inflate("zstd", &bomb, 64 << 20), Err(StatusCode::PAYLOAD_TOO_LARGE));
    }
}
