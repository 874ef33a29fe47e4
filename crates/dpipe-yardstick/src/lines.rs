//! Lines of files, read the way a fast reader does: large blocks into one buffer, cut in place.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, ensure};

const BLOCK_BYTES: usize = 256 * 1024;

/// Calls `act` with each line of a file, without its newline.
pub(crate) fn each(path: &Path, mut act: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut buffer = vec![0; BLOCK_BYTES];
    let mut filled = 0;
    loop {
        let read = file.read(&mut buffer[filled..])?;
        if read == 0 {
            ensure!(filled == 0, "{} ends within a line", path.display());
            return Ok(());
        }
        filled += read;
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', &buffer[..filled]) {
            act(&buffer[start..end])?;
            start = end + 1;
        }
        ensure!(filled - start < buffer.len(), "{} has a line too long", path.display());
        buffer.copy_within(start..filled, 0);
        filled -= start;
    }
}

/// The name of a line's content.
pub(crate) fn hash(line: &[u8]) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *blake3::hash(line).as_bytes();
    // Zero is taken: it stands for an event that is dropped.
    u64::from_le_bytes([a, b, c, d, e, f, g, h]).max(1)
}
