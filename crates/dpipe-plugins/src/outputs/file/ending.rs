//! Where the whole pieces of a file end: what comes after was cut short by a crash.

use std::io;

use dpipe_env::File;

use super::frame::{Format, MEMBER_HEAD};

/// How far back the end of a line is looked for.
const LINE_BYTES_MAX: u64 = 64 << 20;
const ZSTD_MAGIC: [u8; 4] = 0xFD2F_B528_u32.to_le_bytes();

/// The length of the file up to the end of its last whole piece.
///
/// # Errors
/// If the file is not of this format: it is not dpipe's, and nothing may be cut off.
pub(super) fn whole_len(file: &dyn File, len: u64, format: Format) -> io::Result<u64> {
    match format {
        Format::Lines => whole_lines(file, len),
        Format::Gzip => whole_frames(file, len, member_len, |bytes| {
            io::copy(&mut flate2::read::GzDecoder::new(bytes), &mut io::sink()).is_ok()
        }),
        Format::Zstd => whole_frames(file, len, frame_len, |bytes| {
            let unpacked = zstd::stream::read::Decoder::with_buffer(bytes)
                .and_then(|decoder| io::copy(&mut decoder.single_frame(), &mut io::sink()));
            unpacked.is_ok()
        }),
    }
}

fn whole_lines(file: &dyn File, len: u64) -> io::Result<u64> {
    let mut block = vec![0; 64 << 10];
    let mut end = len;
    while end > 0 {
        let start = end.saturating_sub(block.len() as u64);
        let bytes = &mut block[..(end - start) as usize];
        read_exact_at(file, bytes, start)?;
        if let Some(at) = memchr::memrchr(b'\n', bytes) {
            return Ok(start + at as u64 + 1);
        }
        if len - start >= LINE_BYTES_MAX {
            return Err(foreign("its last 64 MiB have no end of a line"));
        }
        end = start;
    }
    Ok(0)
}

/// What follows in a file.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// A piece of this length.
    Whole(u64),
    /// A piece of which the end is missing.
    Torn,
    /// Something else.
    Foreign,
}

fn whole_frames(
    file: &dyn File,
    len: u64,
    next: fn(&dyn File, u64, u64) -> io::Result<Next>,
    unpacks: impl Fn(&[u8]) -> bool,
) -> io::Result<u64> {
    let (mut at, mut last) = (0, 0);
    while at < len {
        match next(file, at, len)? {
            Next::Whole(frame) => (at, last) = (at + frame, at),
            Next::Torn => break,
            Next::Foreign if only_zeros(file, at, len)? => break,
            Next::Foreign => return Err(foreign("it holds what dpipe has not compressed")),
        }
    }
    // A power failure may leave a file long enough, but without what was in it.
    if at > last {
        let mut bytes = vec![0; usize::try_from(at - last).map_err(io::Error::other)?];
        read_exact_at(file, &mut bytes, last)?;
        if !unpacks(&bytes) {
            at = last;
        }
    }
    Ok(at)
}

/// The gzip member at `at`, by the length that dpipe put into its head.
fn member_len(file: &dyn File, at: u64, len: u64) -> io::Result<Next> {
    let mut head = [0; 20];
    let read = (len - at).min(20) as usize;
    read_exact_at(file, &mut head[..read], at)?;
    let known = read.min(MEMBER_HEAD.len());
    if head[..known] != MEMBER_HEAD[..known] {
        return Ok(Next::Foreign);
    }
    let member = u64::from(u32::from_le_bytes([head[16], head[17], head[18], head[19]]));
    // No member is shorter than its head, an empty block and its end.
    Ok(if read < 20 || member < 30 || member > len - at { Next::Torn } else { Next::Whole(member) })
}

/// The zstd frame at `at`, by its blocks (RFC 8878, 3.1.1).
fn frame_len(file: &dyn File, at: u64, len: u64) -> io::Result<Next> {
    let mut head = [0; 5];
    let read = (len - at).min(5) as usize;
    read_exact_at(file, &mut head[..read], at)?;
    let known = read.min(ZSTD_MAGIC.len());
    if head[..known] != ZSTD_MAGIC[..known] {
        return Ok(Next::Foreign);
    }
    if read < 5 {
        return Ok(Next::Torn);
    }
    let descriptor = head[4];
    let single_segment = descriptor & 0x20 != 0;
    let window = u64::from(!single_segment);
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let content_size = match descriptor >> 6 {
        0 => u64::from(single_segment),
        flag => 1 << flag,
    };
    let mut end = at + 5 + window + dictionary + content_size;
    loop {
        if end + 3 > len {
            return Ok(Next::Torn);
        }
        let mut block = [0; 4];
        read_exact_at(file, &mut block[..3], end)?;
        let block = u32::from_le_bytes(block);
        let size = match block >> 1 & 3 {
            // A block of one byte, repeated.
            1 => 1,
            3 => return Ok(Next::Torn),
            _ => u64::from(block >> 3),
        };
        end += 3 + size;
        if block & 1 == 1 {
            break;
        }
    }
    let checksum = if descriptor & 4 != 0 { 4 } else { 0 };
    end += checksum;
    Ok(if end > len { Next::Torn } else { Next::Whole(end - at) })
}

/// Whether there is nothing but zeros from `at` on: a file that grew, but did not get its content.
fn only_zeros(file: &dyn File, mut at: u64, len: u64) -> io::Result<bool> {
    let mut block = vec![0; 64 << 10];
    while at < len {
        let read = (len - at).min(block.len() as u64) as usize;
        read_exact_at(file, &mut block[..read], at)?;
        if block[..read].iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        at += read as u64;
    }
    Ok(true)
}

fn read_exact_at(file: &dyn File, mut into: &mut [u8], mut at: u64) -> io::Result<()> {
    while !into.is_empty() {
        match file.read_at(into, at)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => {
                into = &mut into[n..];
                at += n as u64;
            }
        }
    }
    Ok(())
}

fn foreign(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
