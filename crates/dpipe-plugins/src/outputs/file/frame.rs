//! Pieces of a file that are whole by themselves: lines, gzip members, zstd frames.

use std::io::{self, Write};

use flate2::GzBuilder;
use zstd::bulk::Compressor;
use zstd::zstd_safe::CParameter;

/// What a file is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Lines, each with its newline.
    Lines,
    /// Gzip members.
    Gzip,
    /// Zstd frames.
    Zstd,
}

/// How each gzip member begins. A gzip member does not tell its length, so dpipe puts it into a
/// field of its own (RFC 1952, 2.3.1.1), as BGZF does, and the end of a file is found without
/// unpacking all of it. The length of the whole member follows, in 4 bytes, the lowest first.
pub(super) const MEMBER_HEAD: [u8; 16] =
    [0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255, 8, 0, b'D', b'P', 4, 0];

/// Makes pieces.
pub(super) struct Framer {
    how: How,
    frame: Vec<u8>,
}

enum How {
    AsIs,
    Gzip(flate2::Compression),
    Zstd(Compressor<'static>),
}

impl Framer {
    pub(super) fn new(format: Format, level: Option<u32>) -> io::Result<Self> {
        let how = match format {
            Format::Lines => How::AsIs,
            Format::Gzip => How::Gzip(flate2::Compression::new(level.unwrap_or(6))),
            Format::Zstd => {
                let mut compressor = Compressor::new(level.unwrap_or(3) as i32)?;
                compressor.set_parameter(CParameter::ChecksumFlag(true))?;
                How::Zstd(compressor)
            }
        };
        Ok(Framer { how, frame: Vec::new() })
    }

    /// The piece that these lines make.
    pub(super) fn frame<'a>(&'a mut self, lines: &'a [u8]) -> io::Result<&'a [u8]> {
        match &mut self.how {
            How::AsIs => return Ok(lines),
            How::Gzip(level) => {
                self.frame.clear();
                let own_field = [&MEMBER_HEAD[12..], &[0; 4]].concat();
                let builder = GzBuilder::new().extra(own_field).operating_system(255);
                let mut encoder = builder.write(&mut self.frame, *level);
                encoder.write_all(lines)?;
                encoder.finish()?;
                self.frame[8] = 0;
                let len = u32::try_from(self.frame.len()).map_err(io::Error::other)?;
                self.frame[16..20].copy_from_slice(&len.to_le_bytes());
            }
            How::Zstd(compressor) => self.frame = compressor.compress(lines)?,
        }
        Ok(&self.frame)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_member_begins_with_its_length_at_every_level() {
        for level in 1..=9 {
            let mut framer = Framer::new(Format::Gzip, Some(level)).unwrap();
            let frame = framer.frame(b"one\ntwo\n").unwrap();
            assert_eq!(frame[..16], MEMBER_HEAD, "level {level}");
            assert_eq!(frame[16..20], (frame.len() as u32).to_le_bytes());
            let mut lines = String::new();
            flate2::read::GzDecoder::new(frame).read_to_string(&mut lines).unwrap();
            assert_eq!(lines, "one\ntwo\n");
        }
    }
}
