//! Keeps the last lines of the log, so that an input can make events of them.

use std::fmt::{self, Write as _};

use dpipe_env::{Env, RealEnv};
use dpipe_plugin::{LogLevel, LogLine, LogRing};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// Lines that the ring keeps.
const LINES_MAX: usize = 1000;
/// What is longer in a line is cut.
const TEXT_BYTES_MAX: usize = 4096;

/// What fills a ring, and the ring.
pub(super) fn layer<S: Subscriber + for<'a> LookupSpan<'a>>() -> (impl Layer<S>, LogRing) {
    let ring = LogRing::new(LINES_MAX);
    let kept = Keeper { ring: ring.clone() }.with_filter(LevelFilter::INFO);
    (kept, ring)
}

/// Keeps the last lines.
struct Keeper {
    ring: LogRing,
}

impl<S: Subscriber> Layer<S> for Keeper {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let mut texts = Texts::default();
        event.record(&mut texts);
        self.ring.write(LogLine {
            time_millis: RealEnv.now_millis(),
            level: match *metadata.level() {
                Level::ERROR => LogLevel::Error,
                Level::WARN => LogLevel::Warn,
                _ => LogLevel::Info,
            },
            target: metadata.target().to_owned(),
            message: texts.message,
            fields: texts.fields,
        });
    }
}

/// The texts of an event.
#[derive(Default)]
struct Texts {
    message: String,
    fields: Vec<(&'static str, String)>,
}

impl Texts {
    fn add(&mut self, field: &Field, text: String) {
        let mut text = super::without_secrets(&text).into_owned();
        if text.len() > TEXT_BYTES_MAX {
            text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        }
        match field.name() {
            "message" => self.message = text,
            name => self.fields.push((name, text)),
        }
    }
}

impl Visit for Texts {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        // Writing to a text cannot fail; what a value says of itself may.
        let _ = write!(text, "{value:?}");
        self.add(field, text);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[test]
    fn lines_are_kept_with_their_fields_and_cut_where_they_are_long() {
        let (kept, ring) = layer();
        let subscriber = tracing_subscriber::registry().with(kept);
        tracing::subscriber::with_default(subscriber, || {
            let error = std::io::Error::other("no");
            tracing::warn!(node = "a", attempts = 3, %error, "not {}", "delivered");
            tracing::debug!("not kept");
            tracing::info!("{}", "x".repeat(5000));
        });
        let lines = ring.read(0, 10).lines;
        assert_eq!(lines.len(), 2);
        assert_eq!((lines[0].level, &*lines[0].message), (LogLevel::Warn, "not delivered"));
        let fields = [("node", "a"), ("attempts", "3"), ("error", "no")];
        assert_eq!(lines[0].fields, fields.map(|(key, value)| (key, value.to_owned())));
        assert_eq!(lines[1].message.len(), TEXT_BYTES_MAX);
    }
}
