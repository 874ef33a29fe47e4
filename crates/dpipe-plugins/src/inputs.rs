//! Every built-in input, one line each, sorted.

mod archive;
mod child;
mod exec;
mod file;
mod generate;
mod host;
mod http;
mod journald;
mod stdin;
mod tcp;
mod telemetry;
mod udp;
mod unix;

use dpipe_plugin::{Entry, InputSpec};

/// The inputs that come with dpipe.
pub(crate) const INPUTS: &[Entry<dyn InputSpec>] = &[
    Entry::input::<archive::Config>(include_str!("inputs/archive.rs")),
    Entry::input::<child::Config>(include_str!("inputs/child.rs")),
    Entry::input::<exec::Config>(include_str!("inputs/exec.rs")),
    Entry::input::<file::Config>(include_str!("inputs/file.rs")),
    Entry::input::<generate::Config>(include_str!("inputs/generate.rs")),
    Entry::input::<host::Config>(include_str!("inputs/host.rs")),
    Entry::input::<http::Config>(include_str!("inputs/http.rs")),
    Entry::input::<journald::Config>(include_str!("inputs/journald.rs")),
    Entry::input::<stdin::Config>(include_str!("inputs/stdin.rs")),
    Entry::input::<tcp::Config>(include_str!("inputs/tcp.rs")),
    Entry::input::<telemetry::Config>(include_str!("inputs/telemetry.rs")),
    Entry::input::<udp::Config>(include_str!("inputs/udp.rs")),
    Entry::input::<unix::Config>(include_str!("inputs/unix.rs")),
];

/// The template of `cargo xtask new-plugin`, so that it stays one that compiles.
#[cfg(test)]
#[allow(dead_code, reason = "it is in no list")]
#[path = "../../../xtask/src/new_plugin/input.rs"]
mod new_plugin;
