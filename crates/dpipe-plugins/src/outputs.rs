//! Every built-in output, one line each, sorted.

mod blackhole;
mod child;
mod console;
mod exec;
mod file;
mod http;
mod stdout;
mod tcp;
mod udp;

use dpipe_plugin::{Entry, OutputSpec};

/// The outputs that come with dpipe.
pub(crate) const OUTPUTS: &[Entry<dyn OutputSpec>] = &[
    Entry::output::<blackhole::Config>(include_str!("outputs/blackhole.rs")),
    Entry::output::<child::Config>(include_str!("outputs/child.rs")),
    Entry::output::<console::Config>(include_str!("outputs/console.rs")),
    Entry::output::<exec::Config>(include_str!("outputs/exec.rs")),
    Entry::output::<file::Config>(include_str!("outputs/file.rs")),
    Entry::output::<http::Config>(include_str!("outputs/http.rs")),
    Entry::output::<stdout::Config>(include_str!("outputs/stdout.rs")),
    Entry::output::<tcp::Config>(include_str!("outputs/tcp.rs")),
    Entry::output::<udp::Config>(include_str!("outputs/udp.rs")),
];

/// The template of `cargo xtask new-plugin`, so that it stays one that compiles.
#[cfg(test)]
#[allow(dead_code, reason = "it is in no list")]
#[path = "../../../xtask/src/new_plugin/output.rs"]
mod new_plugin;
