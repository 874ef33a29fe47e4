//! What dpipe says of itself: to standard error, so that standard output is free for events.

use std::io::{IsTerminal, Write};

use tracing_subscriber::EnvFilter;

/// Starts the log; `DPIPE_LOG` chooses what it shows (`info` unless it is set).
pub(crate) fn start() {
    let filter = EnvFilter::try_from_env("DPIPE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let color = std::io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(color)
        .with_target(false)
        .finish();
    // A second subscriber in one process is a test's; the first one stays.
    let _ = tracing::subscriber::set_global_default(subscriber);
    std::panic::set_hook(Box::new(|panic| {
        // Panics of plugins are caught, counted and said by the engine, with the node they are of;
        // here it is enough to say where.
        tracing::debug!("{panic}");
    }));
}

/// Says something to the person who called, whatever the log's level.
pub(crate) fn say(text: &str) {
    // Standard error may be closed; there is nobody to tell then.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
