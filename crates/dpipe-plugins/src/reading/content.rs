//! What a file contains: its bytes, or what gzip or zstd made of them. The first bytes tell, the
//! name does not matter.
//!
//! A compressed file can be made to grow without end, or to ask for much memory. It is unpacked
//! piece by piece, so its size does not matter; how far it may outgrow what was read of it does.

use std::fmt;
use std::io;
use std::ops::RangeInclusive;

use dpipe_env::{File, Stat};
use dpipe_plugin::settings::{ByteSize, Problem};
use flate2::{FlushDecompress, Status};
use schemars::JsonSchema;
use serde::Deserialize;
use zstd::stream::raw::{DParameter, Operation};

/// How far compressed files are trusted. They are unpacked piece by piece and never held as a whole,
/// so their size has no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Decompression {
    /// How many times its size a file may grow; gzip cannot do more than 1,032 times. A file is not
    /// read on when it is `ahead_max` ahead of that.
    pub(crate) ratio_max: u32,
    /// How many bytes a file may at any place be ahead of growing by `ratio_max`.
    pub(crate) ahead_max: ByteSize,
    /// The window, in memory, that a zstd file may ask for; a power of two. Files made with `--long`
    /// or `--ultra` ask for more than the default.
    pub(crate) window_max: ByteSize,
}

impl Default for Decompression {
    fn default() -> Self {
        Decompression { ratio_max: 100, ahead_max: ByteSize::mib(64), window_max: ByteSize::mib(8) }
    }
}

impl Decompression {
    /// What is wrong with the options.
    pub(crate) fn mistakes(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.ratio_max == 0 {
            problems.push(Problem::error("`decompression.ratio_max` must be at least 1"));
        }
        if !(1 << WINDOW_LOGS.start()..=1 << WINDOW_LOGS.end()).contains(&self.window_max.bytes()) {
            problems
                .push(Problem::error("`decompression.window_max` must be within 1KiB and 2GiB"));
        }
        problems
    }

    /// The largest window as a power of two.
    fn window_log(&self) -> u32 {
        let log = self.window_max.bytes().checked_ilog2().unwrap_or(0);
        log.clamp(*WINDOW_LOGS.start(), *WINDOW_LOGS.end())
    }
}

/// The windows that zstd knows, as powers of two.
const WINDOW_LOGS: RangeInclusive<u32> = 10..=31;

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
        "it grows to more than {} times its size; if it is no bomb, raise `decompression.ratio_max` \
         or `decompression.ahead_max` ({})", .0.ratio_max, .0.ahead_max
    )]
    Ratio(Decompression),
    /// It asks for more memory than it may have.
    #[error("it asks for a window of {wanted}; `decompression.window_max` allows {allowed}")]
    Window {
        /// What it asks for.
        wanted: ByteSize,
        /// The option.
        allowed: ByteSize,
    },
}

impl Fault {
    /// The reason by which it is counted.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Fault::Io(_) => "unreadable_file",
            Fault::Damaged { .. } => "damaged_file",
            Fault::Torn(_) => "torn_file",
            Fault::Ratio(_) | Fault::Window { .. } => "decompression_limit",
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
    /// How many bytes more were made than the ratio allows.
    ahead: u64,
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
                decoder.set_parameter(DParameter::WindowLogMax(limits.window_log()))?;
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
            ahead: 0,
            fault: None,
        };
        Ok(Content { file, at: 0, packed: Some(packed) })
    }

    /// Whether its bytes stand in the file as they are.
    pub(crate) fn is_plain(&self) -> bool {
        self.packed.is_none()
    }

    /// The file itself.
    pub(crate) fn file(&self) -> &dyn File {
        &*self.file
    }

    /// The same, not to be read on.
    pub(crate) fn into_file(self) -> Box<dyn File> {
        self.file
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
            let made = packed.make(&mut into[filled..end]);
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
    fn make(&mut self, into: &mut [u8]) -> usize {
        let input = &self.input[self.used..self.filled];
        let used_before = self.used;
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
                    let wanted = window_of(input).filter(|_| !self.inside);
                    let wanted = wanted.filter(|wanted| *wanted > 1 << self.limits.window_log());
                    self.fault = match wanted.map(ByteSize::new) {
                        Some(wanted) => {
                            Some(Fault::Window { wanted, allowed: self.limits.window_max })
                        }
                        None => damaged(error.to_string()),
                    };
                    0
                }
            },
        };
        // A stretch that hardly grows gives no right to a bomb after it.
        let allowed = (self.used - used_before) as u64 * u64::from(self.limits.ratio_max);
        self.ahead = (self.ahead + made as u64).saturating_sub(allowed);
        if self.ahead > self.limits.ahead_max.bytes() {
            self.fault = Some(Fault::Ratio(self.limits));
        }
        made
    }
}

/// The window that a zstd frame with this beginning asks for (RFC 8878, section 3.1.1.1).
fn window_of(frame: &[u8]) -> Option<u64> {
    let (descriptor, rest) = frame.strip_prefix(&[0x28, 0xb5, 0x2f, 0xfd])?.split_first()?;
    let is_single_segment = descriptor & 0x20 != 0;
    if !is_single_segment {
        let byte = u64::from(*rest.first()?);
        let base = 1 << (10 + (byte >> 3));
        return Some(base + base / 8 * (byte & 7));
    }
    // The window is the whole content.
    let dictionary_id_len = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let (size_len, offset) = [(1, 0), (2, 256), (4, 0), (8, 0)][usize::from(descriptor >> 6)];
    let size = rest.get(dictionary_id_len..dictionary_id_len + size_len)?;
    let size = size.iter().rev().fold(0, |size, byte| size << 8 | u64::from(*byte));
    Some(size.saturating_add(offset))
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

    /// 10 MB that want to become 10 GB, in as many members or frames as it takes.
    fn bomb(pack: fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
        let piece = pack(&vec![0; 8 << 20]);
        piece.repeat(10_000_000 / piece.len())
    }

    pub(crate) fn gzip_best(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// Reads to the end without keeping anything; how many bytes there were.
    fn count_all(content: &mut Content) -> (u64, Option<Fault>) {
        let (mut all, mut room) = (0, vec![0; 256 << 10]);
        loop {
            match content.read(&mut room) {
                Ok(0) => return (all, None),
                Ok(n) => all += n as u64,
                Err(fault) => return (all, Some(fault)),
            }
        }
    }

    fn count_of(bytes: &[u8], limits: Decompression) -> (u64, Option<Fault>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        std::fs::write(&path, bytes).unwrap();
        let file = RealEnv.files().open(&path, Open::Read).unwrap();
        count_all(&mut Content::new(file, limits).unwrap())
    }

    #[test]
    fn a_bomb_is_not_read_on() {
        for (pack, most) in [(gzip_best as fn(&[u8]) -> _, 72 << 20), (zstandard, 65 << 20)] {
            let (len, fault) = count_of(&bomb(pack), Decompression::default());
            let said = fault.unwrap();
            assert_eq!(said.reason(), "decompression_limit");
            assert_eq!(
                said.to_string(),
                "it grows to more than 100 times its size; if it is no bomb, raise \
                 `decompression.ratio_max` or `decompression.ahead_max` (64MiB)"
            );
            assert!((64 << 20..most).contains(&len), "{len}");
        }
    }

    #[test]
    fn bytes_that_hardly_grow_do_not_pay_for_a_bomb_behind_them() {
        let text = lines(300_000);
        let limits = Decompression { ahead_max: ByteSize::mib(1), ..Decompression::default() };
        for pack in [gzip_best, zstandard] {
            let mixed = [pack(&text), pack(&vec![0; 8 << 20])].concat();
            let (len, fault) = count_of(&mixed, limits);
            assert!(matches!(fault, Some(Fault::Ratio(_))), "{fault:?}");
            assert!(len < text.len() as u64 + (2 << 20), "{len}");
        }
    }

    #[test]
    fn a_large_file_and_a_small_one_of_equal_lines_are_read_whole() {
        // One member of more than 64 MiB: a day of logs.
        let day = lines(100_000).repeat(32);
        assert!(day.len() > 64 << 20);
        let crash_loop = b"cannot connect to the database, trying again\n".repeat(1 << 20);
        for text in [day, crash_loop] {
            for pack in [gzip, zstandard] {
                let (len, fault) = count_of(&pack(&text), Decompression::default());
                assert!(fault.is_none(), "{fault:?}");
                assert_eq!(len, text.len() as u64);
            }
        }
    }

    #[test]
    fn a_zstd_file_may_not_ask_for_much_memory() {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.long_distance_matching(true).unwrap();
        encoder.window_log(27).unwrap();
        encoder.write_all(&lines(3)).unwrap();
        let file = encoder.finish().unwrap();
        let (len, fault) = count_of(&file, Decompression::default());
        assert_eq!(
            fault.unwrap().to_string(),
            "it asks for a window of 128MiB; `decompression.window_max` allows 8MiB"
        );
        assert_eq!(len, 0);
        let limits = Decompression { window_max: ByteSize::mib(128), ..Decompression::default() };
        assert!(count_of(&file, limits).1.is_none());
    }

    #[test]
    fn the_window_of_a_frame_is_that_of_its_header() {
        let frame = |rest: &[u8]| [&[0x28, 0xb5, 0x2f, 0xfd][..], rest].concat();
        for (rest, window) in [
            (&[0, 0][..], Some(1 << 10)),
            (&[0, 17 << 3], Some(128 << 20)),
            (&[0, 13 << 3 | 1], Some(9 << 20)),
            (&[0x20, 200], Some(200)),
            (&[0x60, 1, 1], Some(513)),
            (&[0xa1, 7, 0, 0, 0, 1], Some(1 << 24)),
            (&[0xe0, 255, 255, 255, 255, 255, 255, 255, 255], Some(u64::MAX)),
            (&[0], None),
            (&[0xa0, 0, 0], None),
        ] {
            assert_eq!(window_of(&frame(rest)), window, "{rest:x?}");
        }
        assert_eq!(window_of(b"\x1f\x8b\x08"), None);
    }

    #[test]
    fn a_name_says_nothing_and_short_files_are_plain() {
        for bytes in [&b""[..], b"a", b"\x1f\x8b", b"(\xb5/\xfe rest\n"] {
            assert_eq!(contents(bytes).0, bytes);
        }
    }
}
