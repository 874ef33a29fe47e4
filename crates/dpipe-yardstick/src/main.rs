//! What dpipe is measured with. `cargo xtask bench` calls it; see `docs/performance.md`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool talks to its terminal")]

mod access;
mod bare;
mod check;
mod expected;
mod files;
mod lines;
mod micro;

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;

/// The allocator of the dpipe binary, so that the comparison is about something else.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Makes workloads, runs bare loops over them, checks what came out.
#[derive(Parser)]
enum Command {
    /// Write the files of a workload into a folder, if they are not there yet.
    Files {
        /// The folder that gets one for each arrangement of the events.
        folder: PathBuf,
        /// How many events.
        #[arg(long)]
        events: u64,
        /// The seed that they are made from.
        #[arg(long)]
        seed: u64,
    },
    /// Read files and parse each line into a tree, the fast way, and nothing else.
    Parse(bare::Parse),
    /// Read access logs and write them as JSON, by hand.
    Access(access::Access),
    /// Write bytes to files, and nothing else.
    Write(bare::Write),
    /// Write what must come out of a pipeline, by another way: one hash an event.
    Expect(expected::Expect),
    /// Tell whether an output holds what is expected, each file's events in order.
    Check(check::Check),
    /// Measure single operations.
    Micro,
}

fn main() -> Result<()> {
    match Command::parse() {
        Command::Files { folder, events, seed } => files::write(&folder, events, seed),
        Command::Parse(parse) => parse.run(),
        Command::Access(access) => access.run(),
        Command::Write(write) => write.run(),
        Command::Expect(expect) => expect.run(),
        Command::Check(check) => check.run(),
        Command::Micro => micro::run(),
    }
}
