//! What a file contains: its bytes, or what gzip or zstd made of them. The first bytes tell, the
//! name does not matter.

use std::fmt;
use std::io;

use dpipe_env::{File, Stat};
use dpipe_plugin::settings::ByteSize;
use flate2::{FlushDecompress, Status};
use schemars::JsonSchema;
use serde::Deserialize;
use zstd::stream::raw::{DParameter, Operation};

/// How far compressed files are trusted. They are decompressed piece by piece and never held as a
/// whole, so their size has no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Decompression {
    /// How many times its size a file may grow; not looked at in the first MiB.
    pub(crate) ratio_max: u32,
    /// The most memory that a zstd file may ask for.
    pub(crate) window_max: ByteSize,
}

impl Default for Decompression {
    fn default() -> Self {
        Decompression { ratio_max: 100, window_max: ByteSize::mib(8) }
    }
}

/// Decompressed bytes that do not yet count against the ratio.
const RATIO_FREE_BYTES: u64 = 1 << 20;

/// Compressed bytes that are read at once.
const INPUT_BYTES: usize = 64 << 10;

/// Decompressed bytes that are asked for at once: what zstd made before a fault within them is lost.
const PIECE_BYTES: usize = 16 << 10;

/// Why a file cannot be read on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// The system says no.
    #[error("cannot read it")]
    Io(#[from] io::Error),
    /// What is there is not what the format says.
    #[error("its {form} data is damaged: {what}")]
    Damaged {
        /// The format.
        form: Form,
        /// What the decompressor found.
        what: String,
    },
    /// The end is missing.
    #[error("its {0} data ends too early")]
    Torn(Form),
    /// It grows beyond what is plausible.
    #[error(
        "it decompresses to more than {0} times its size; `decompression.ratio_max` allows more"
    )]
    Ratio(u32),
}

impl Fault {
    /// The reason by which it is counted.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Fault::Io(_) => "unreadable_file",
            Fault::Damaged { .. } => "damaged_file",
            Fault::Torn(_) => "torn_file",
            Fault::Ratio(_) => "decompression_limit",
        }
    }
}

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As it is.
    Plain,
    /// Members of gzip.
    Gzip,
    /// Frames of zstd.
    Zstd,
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Form::Plain => "plain",
            Form::Gzip => "gzip",
            Form::Zstd => "zstd",
        })
    }
}

impl Form {
    /// The form of a file, by its first bytes.
    pub(crate) fn of(file: &dyn File) -> io::Result<Form> {
        let mut magic = [0; 4];
        let filled = file.read_at(&mut magic, 0)?;
        Ok(match magic[..filled] {
            [0x1f, 0x8b, 8, _] => Form::Gzip,
            // A frame, or one of the frames to skip.
            [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => Form::Zstd,
            _ => Form::Plain,
        })
    }
}

/// The bytes of a file, one after the other.
pub(crate) struct Content {
    file: Box<dyn File>,
    /// The next byte to read of the file.
    at: u64,
    packed: Option<Packed>,
}

struct Packed {
    form: Form,
    decoder: Decoder,
    limits: Decompression,
    input: Vec<u8>,
    /// What of the input is not decompressed yet.
    used: usize,
    filled: usize,
    /// Whether the next byte belongs to a member or frame that was begun.
    inside: bool,
    made: u64,
    fault: Option<Fault>,
}

enum Decoder {
    Gzip(flate2::Decompress),
    Zstd(zstd::stream::raw::Decoder<'static>),
}

impl Content {
    /// The content of a file from its start.
    pub(crate) fn new(file: Box<dyn File>, limits: Decompression) -> io::Result<Self> {
        let form = Form::of(&*file)?;
        let decoder = match form {
            Form::Plain => return Ok(Content { file, at: 0, packed: None }),
            Form::Gzip => Decoder::Gzip(gzip_member()),
            Form::Zstd => {
                let mut decoder = zstd::stream::raw::Decoder::new()?;
                // The window is a power of two, of at least 1 KiB.
                let window = limits.window_max.bytes().max(1 << 10).ilog2().min(31);
                decoder.set_parameter(DParameter::WindowLogMax(window))?;
                Decoder::Zstd(decoder)
            }
        };
        let packed = Packed {
            form,
            decoder,
            limits,
            input: vec![0; INPUT_BYTES],
            used: 0,
            filled: 0,
            inside: false,
            made: 0,
            fault: None,
        };
        Ok(Content { file, at: 0, packed: Some(packed) })
    }

    /// Whether its bytes stand in the file as they are.
    pub(crate) fn is_plain(&self) -> bool {
        self.packed.is_none()
    }

    /// What is known of the file.
    pub(crate) fn stat(&self) -> io::Result<Stat> {
        self.file.stat()
    }

    /// How much of the file itself was read.
    pub(crate) fn file_position(&self) -> u64 {
        self.at
    }

    /// Whether reading stopped amid a member or frame.
    pub(crate) fn torn(&self) -> Option<Fault> {
        self.packed.as_ref().filter(|packed| packed.inside).map(|packed| Fault::Torn(packed.form))
    }

    /// Tells the system that all of it will be read.
    pub(crate) fn read_ahead(&self) {
        self.file.read_ahead();
    }

    /// Reads on at another position; of plain files only.
    pub(crate) fn seek(&mut self, position: u64) {
        debug_assert!(self.is_plain(), "compressed files have no positions to go to");
        self.at = position;
    }

    /// Bytes from anywhere; of plain files only.
    pub(crate) fn read_at(&self, into: &mut [u8], position: u64) -> io::Result<usize> {
        debug_assert!(self.is_plain(), "compressed files have no positions to go to");
        let mut filled = 0;
        while filled < into.len() {
            match self.file.read_at(&mut into[filled..], position + filled as u64)? {
                0 => break,
                n => filled += n,
            }
        }
        Ok(filled)
    }

    /// Reads on; 0 is the end, for now.
    pub(crate) fn read(&mut self, into: &mut [u8]) -> Result<usize, Fault> {
        let Some(packed) = &mut self.packed else {
            let n = self.file.read_at(into, self.at)?;
            self.at += n as u64;
            return Ok(n);
        };
        let mut filled = 0;
        // Whatever was made before a fault is given out first.
        while filled < into.len() && packed.fault.is_none() {
            if packed.used == packed.filled {
                let n = self.file.read_at(&mut packed.input, self.at)?;
                (packed.used, packed.filled) = (0, n);
                self.at += n as u64;
                // The decoder may still hold bytes that had no room.
                if n == 0 && !packed.inside {
                    break;
                }
            }
            let end = into.len().min(filled + PIECE_BYTES);
            let made = packed.make(&mut into[filled..end], self.at);
            filled += made;
            if made == 0 && packed.filled == 0 {
                break;
            }
        }
        match packed.fault.take() {
            Some(fault) if filled == 0 => Err(fault),
            fault => {
                packed.fault = fault;
                Ok(filled)
            }
        }
    }
}

fn gzip_member() -> flate2::Decompress {
    flate2::Decompress::new_gzip(15)
}

impl Packed {
    /// Decompresses some input; returns how many bytes that made, and keeps the fault if there is
    /// one after them.
    fn make(&mut self, into: &mut [u8], read: u64) -> usize {
        let input = &self.input[self.used..self.filled];
        let form = self.form;
        let damaged = |what: String| Some(Fault::Damaged { form, what });
        let made = match &mut self.decoder {
            Decoder::Gzip(member) => {
                if !self.inside && input.first().is_some_and(|&byte| byte != 0x1f) {
                    self.fault =
                        damaged(format!("there is something after the last {form} member"));
                    return 0;
                }
                let before = (member.total_in(), member.total_out());
                let result = member.decompress(input, into, FlushDecompress::None);
                self.used += (member.total_in() - before.0) as usize;
                let made = (member.total_out() - before.1) as usize;
                match result {
                    Ok(Status::StreamEnd) => {
                        *member = gzip_member();
                        self.inside = false;
                    }
                    Ok(Status::Ok | Status::BufError) => self.inside = true,
                    Err(error) => {
                        self.fault = damaged(error.message().unwrap_or("not valid").to_owned());
                    }
                }
                made
            }
            Decoder::Zstd(decoder) => match decoder.run_on_buffers(input, into) {
                Ok(status) => {
                    self.used += status.bytes_read;
                    self.inside = status.remaining != 0;
                    status.bytes_written
                }
                Err(error) => {
                    self.fault = damaged(error.to_string());
                    0
                }
            },
        };
        self.made += made as u64;
        let consumed = read - (self.filled - self.used) as u64;
        let most = consumed.saturating_mul(self.limits.ratio_max.into());
        if self.made > RATIO_FREE_BYTES.max(most) {
            self.fault = Some(Fault::Ratio(self.limits.ratio_max));
        }
        made
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write as _;
    use std::path::Path;

    use dpipe_env::{Env, Open, RealEnv};

    use super::*;

    pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    pub(crate) fn zstandard(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.include_checksum(true).unwrap();
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// Lines that do not compress to nothing.
    pub(crate) fn lines(count: usize) -> Vec<u8> {
        let line =
            |n: usize| format!("{n} {:x}\n", (n as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        (0..count).map(line).collect::<String>().into_bytes()
    }

    fn open(path: &Path) -> Content {
        let file = RealEnv.files().open(path, Open::Read).unwrap();
        Content::new(file, Decompression::default()).unwrap()
    }

    fn read_all(content: &mut Content) -> (Vec<u8>, Option<Fault>) {
        let (mut all, mut room) = (Vec::new(), vec![0; 40_000]);
        loop {
            match content.read(&mut room) {
                Ok(0) => return (all, None),
                Ok(n) => all.extend_from_slice(&room[..n]),
                Err(fault) => return (all, Some(fault)),
            }
        }
    }

    fn contents(bytes: &[u8]) -> (Vec<u8>, Option<Fault>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        std::fs::write(&path, bytes).unwrap();
        read_all(&mut open(&path))
    }

    #[test]
    fn files_are_read_as_what_they_contain_member_after_member() {
        let (one, two) = (lines(20_000), lines(5));
        let both = [&one[..], &two].concat();
        for packed in [
            both.clone(),
            [gzip(&one), gzip(&two)].concat(),
            [zstandard(&one), zstandard(&two)].concat(),
        ] {
            let (all, fault) = contents(&packed);
            assert!(fault.is_none(), "{fault:?}");
            assert!(all == both);
        }
    }

    #[test]
    fn what_stands_before_a_fault_is_kept() {
        let text = lines(50_000);
        for pack in [gzip, zstandard] {
            let mut bytes = [pack(&text), pack(&text), pack(b"never\n")].concat();
            let damaged = pack(&text).len() * 3 / 2;
            bytes[damaged..damaged + 64].fill(0xff);
            let (all, fault) = contents(&bytes);
            assert!(matches!(fault, Some(Fault::Damaged { .. })), "{fault:?}");
            assert!(all.starts_with(&text) && all.len() > text.len());
            assert!(!all.ends_with(b"never\n"));
        }
    }

    #[test]
    fn a_file_that_is_still_being_compressed_is_read_on_when_it_has_grown() {
        let text = lines(20_000);
        for pack in [gzip, zstandard] {
            let packed = pack(&text);
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("x");
            std::fs::write(&path, &packed[..packed.len() / 2]).unwrap();
            let mut content = open(&path);
            let (mut all, fault) = read_all(&mut content);
            assert!(fault.is_none());
            assert!(matches!(content.torn(), Some(Fault::Torn(_))));
            std::fs::write(&path, &packed).unwrap();
            all.extend(read_all(&mut content).0);
            assert!(all == text);
            assert!(content.torn().is_none());
        }
    }

    #[test]
    fn a_file_that_grows_beyond_its_ratio_is_not_read_on() {
        for pack in [gzip, zstandard] {
            let (all, fault) = contents(&pack(&vec![b'a'; 64 << 20]));
            assert!(matches!(fault, Some(Fault::Ratio(100))), "{fault:?}");
            assert!(all.len() < 20 << 20, "{}", all.len());
        }
    }

    #[test]
    fn a_zstd_file_may_not_ask_for_much_memory() {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.long_distance_matching(true).unwrap();
        encoder.window_log(27).unwrap();
        encoder.write_all(&lines(3)).unwrap();
        let (_, fault) = contents(&encoder.finish().unwrap());
        assert!(matches!(fault, Some(Fault::Damaged { .. })), "{fault:?}");
    }

    #[test]
    fn a_name_says_nothing_and_short_files_are_plain() {
        for bytes in [&b""[..], b"a", b"\x1f\x8b", b"(\xb5/\xfe rest\n"] {
            assert_eq!(contents(bytes).0, bytes);
        }
    }
}
