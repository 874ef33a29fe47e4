//! Whether an output holds what is expected: nothing lost, nothing changed, nothing twice, and the
//! events of each input file in their order. Outputs of several files may mix them as they like.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::files;

/// Checks an output.
#[derive(Args)]
pub(crate) struct Check {
    /// The hashes of what is expected, as `expect` wrote them.
    hashes: PathBuf,
    /// The file that the pipeline wrote.
    output: PathBuf,
    /// How many files the events lay in.
    #[arg(long, default_value_t = 1)]
    files: usize,
}

impl Check {
    pub(crate) fn run(self) -> Result<()> {
        let hashes = std::fs::read(&self.hashes)?;
        let hashes: Vec<u64> =
            hashes.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
        let mut heads = Heads::new(&hashes, self.files);
        let mut number = 0_u64;
        crate::lines::each(&self.output, |line| {
            number += 1;
            heads.take(crate::lines::hash(line)).with_context(|| {
                let line = String::from_utf8_lossy(line);
                format!("{}: line {number} is not what comes next: {line}", self.output.display())
            })
        })?;
        let missing = heads.left();
        ensure!(missing == 0, "{missing} events are missing in {}", self.output.display());
        println!("{number}");
        Ok(())
    }
}

/// What is still expected, by input file.
struct Heads<'a> {
    files: Vec<&'a [u64]>,
    /// The file of the last line; the next line is likely to be of the same.
    last: usize,
}

impl<'a> Heads<'a> {
    fn new(hashes: &'a [u64], count: usize) -> Self {
        let part = |file| {
            let range = files::share(hashes.len() as u64, count, file);
            after_dropped(&hashes[range.start as usize..range.end as usize])
        };
        Heads { files: (0..count).map(part).collect(), last: 0 }
    }

    /// Takes the next event of the file whose next one this is; none if there is no such file.
    fn take(&mut self, hash: u64) -> Option<()> {
        let is_next = |file: &usize| self.files[*file].first() == Some(&hash);
        let file =
            Some(self.last).filter(is_next).or_else(|| (0..self.files.len()).find(is_next))?;
        self.files[file] = after_dropped(&self.files[file][1..]);
        self.last = file;
        Some(())
    }

    fn left(&self) -> usize {
        self.files.iter().map(|left| left.iter().filter(|hash| **hash != 0).count()).sum()
    }
}

/// From the next event on that is not dropped.
fn after_dropped(hashes: &[u64]) -> &[u64] {
    let dropped = hashes.iter().take_while(|hash| **hash == 0).count();
    &hashes[dropped..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left_after(taken: &[u64]) -> Option<usize> {
        // Two files: 1 and 3, of which 3 comes after one dropped; 4 and 5.
        let hashes = [1, 0, 3, 0, 4, 5];
        let mut heads = Heads::new(&hashes, 2);
        taken.iter().try_for_each(|hash| heads.take(*hash))?;
        Some(heads.left())
    }

    #[test]
    fn files_may_be_mixed_and_each_keeps_its_order() {
        assert_eq!(left_after(&[1, 3, 4, 5]), Some(0));
        assert_eq!(left_after(&[4, 1, 5, 3]), Some(0));
        assert_eq!(left_after(&[3, 1, 4, 5]), None, "the order of a file is lost");
    }

    #[test]
    fn what_is_lost_or_doubled_or_dropped_is_seen() {
        assert_eq!(left_after(&[1, 3, 4]), Some(1));
        assert_eq!(left_after(&[1, 1, 3, 4, 5]), None);
        assert_eq!(left_after(&[1, 3, 0, 4, 5]), None);
    }
}
