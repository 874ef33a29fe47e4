//! What dpipe says of itself: to standard error, so that standard output is free for events; and
//! into a ring, from which an input can make events of it.

mod keeper;

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;

use dpipe_plugin::LogRing;
use dpipe_plugin::settings::Secrets;
use dpipe_plugins::terminal::write_clean;
use tracing::field::{Field, Visit};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{EnvFilter, Layer};

/// What is never said. The log is the process's, and so is this.
static HIDDEN: OnceLock<Secrets> = OnceLock::new();

/// Keeps these out of everything that is said from now on.
pub(crate) fn hide(secrets: Secrets) {
    let _ = HIDDEN.set(secrets);
}

/// The text without what is never said.
fn without_secrets(text: &str) -> Cow<'_, str> {
    HIDDEN.get().map_or(Cow::Borrowed(text), |hidden| hidden.hidden_in(text))
}

/// Standard error, without what is never said.
struct Said;

impl Write for Said {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut out = io::stderr().lock();
        // The log writes each line at once.
        match std::str::from_utf8(bytes) {
            Ok(text) => out.write_all(without_secrets(text).as_bytes())?,
            Err(_) => out.write_all(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Starts the log; `DPIPE_LOG` chooses what it shows (`info` unless it is set).
pub(crate) fn start() -> LogRing {
    let filter = EnvFilter::try_from_env("DPIPE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let color = std::io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let shown = tracing_subscriber::fmt::layer()
        .with_writer(|| Said)
        .with_ansi(color)
        .with_target(false)
        .fmt_fields(Fields)
        .with_filter(filter);
    let (kept, ring) = keeper::layer();
    let subscriber = tracing_subscriber::registry().with(shown).with(kept);
    // A second subscriber in one process is a test's; the first one stays.
    let _ = tracing::subscriber::set_global_default(subscriber);
    std::panic::set_hook(Box::new(|panic| {
        // Panics of plugins are caught, counted and said by the engine, with the node they are of;
        // for them it is enough to say where. Of all others nobody else will speak.
        if dpipe_engine::panic_is_caught() {
            tracing::debug!("{panic}");
        } else {
            tracing::error!("{panic}");
        }
    }));
    ring
}

/// Says something to the person who called, whatever the log's level.
pub(crate) fn say(text: &str) {
    // Standard error may be closed; there is nobody to tell then.
    let _ = Said.write_all(format!("{text}\n").as_bytes());
}

/// Writes the words and values of an event so that a terminal shows them as they are, on one line:
/// among them are paths, and a path is whatever somebody called a file.
struct Fields;

impl<'w> FormatFields<'w> for Fields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut values = Values { writer, is_first: true, result: Ok(()) };
        fields.record(&mut values);
        values.result
    }
}

struct Values<'w> {
    writer: Writer<'w>,
    is_first: bool,
    result: fmt::Result,
}

impl Values<'_> {
    fn put(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        if self.result.is_ok() {
            self.result = self.try_put(field.name(), value);
        }
    }

    fn try_put(&mut self, name: &str, value: fmt::Arguments<'_>) -> fmt::Result {
        if !std::mem::take(&mut self.is_first) {
            self.writer.write_char(' ')?;
        }
        match (name, self.writer.has_ansi_escapes()) {
            ("message", _) => {}
            (_, false) => write!(self.writer, "{name}=")?,
            // The name in italics and the sign dimmed, so that values stand out.
            (_, true) => write!(self.writer, "\x1b[3m{name}\x1b[0m\x1b[2m=\x1b[0m")?,
        }
        self.writer.write_str(&clean(&value.to_string()))
    }
}

impl Visit for Values<'_> {
    fn record_error(&mut self, field: &Field, error: &(dyn Error + 'static)) {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text.push_str(&format!(": {error}"));
            cause = error.source();
        }
        self.put(field, format_args!("{text}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format_args!("{value:?}"));
    }
}

/// A text as a terminal shows it, on one line.
fn clean(text: &str) -> String {
    let mut shown = Vec::new();
    write_clean(text.as_bytes(), usize::MAX, &mut shown);
    String::from_utf8(shown).expect("what is clean is UTF-8")
}
