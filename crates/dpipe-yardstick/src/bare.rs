//! The bare loops: what a program costs that does the same I/O and parsing as a pipeline and nothing
//! else. sonic-rs is the fastest parser there is to compare with; it is a yardstick only, as it ends
//! the process on deeply nested input.

use std::fs::File;
use std::hint::black_box;
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;
use sonic_rs::{JsonValueTrait, Value};

const BLOCK_BYTES: usize = 256 * 1024;

/// Reads lines and parses each into a tree.
#[derive(Args)]
pub(crate) struct Parse {
    /// The files to read, one after the other.
    files: Vec<PathBuf>,
    /// Lines are `area,timestamp,{json}`.
    #[arg(long)]
    als: bool,
    /// Write the lines that a workload keeps, as they are, to this file.
    #[arg(long)]
    into: Option<PathBuf>,
}

impl Parse {
    pub(crate) fn run(self) -> Result<()> {
        let mut out = match &self.into {
            Some(path) => Some(BufWriter::with_capacity(BLOCK_BYTES, File::create(path)?)),
            None => None,
        };
        for file in &self.files {
            crate::lines::each(file, |line| {
                let body = if self.als { body(line)? } else { line };
                let value: Value = sonic_rs::from_slice(body)?;
                if let Some(out) = &mut out
                    && is_kept(&value)
                {
                    out.write_all(line)?;
                    out.write_all(b"\n")?;
                }
                black_box(value);
                Ok(())
            })?;
        }
        if let Some(mut out) = out {
            out.flush()?;
        }
        Ok(())
    }
}

/// What stands behind the area and the time.
fn body(line: &[u8]) -> Result<&[u8]> {
    let mut commas = memchr::memchr_iter(b',', line);
    let second = commas.nth(1).context("a line is no ALS line")?;
    Ok(&line[second + 1..])
}

/// The workloads drop events of low levels; so the output is as long as theirs, nearly.
fn is_kept(event: &Value) -> bool {
    event["_log_info"]["level"].as_u64().is_some_and(|level| level >= 10)
}

/// Writes files of one size, block by block, all of them the same.
#[derive(Args)]
pub(crate) struct Write {
    /// The folder for the files `0.out`, `1.out`, …
    folder: PathBuf,
    /// How many.
    #[arg(long)]
    files: usize,
    /// The size of each.
    #[arg(long)]
    bytes: usize,
    /// How much is written at a time, to one file after the other.
    #[arg(long)]
    block: usize,
}

impl Write {
    pub(crate) fn run(self) -> Result<()> {
        ensure!(self.block > 0, "a block has at least one byte");
        let create = |number| File::create(self.folder.join(format!("{number}.out")));
        let mut files: Vec<File> = (0..self.files).map(create).collect::<Result<_, _>>()?;
        let block = vec![b'x'; self.block];
        let mut left = self.bytes;
        while left > 0 {
            let now = left.min(block.len());
            for file in &mut files {
                file.write_all(&block[..now])?;
            }
            left -= now;
        }
        Ok(())
    }
}
