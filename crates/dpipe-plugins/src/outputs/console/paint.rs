//! The colors of the console: those that every terminal has, so that its own theme decides.

use anstyle::{AnsiColor, Style};

/// What is beside the point: times, keys, punctuation.
pub(super) const QUIET: Style = Style::new().dimmed();

/// A level, from the word that an event has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Fatal,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl Level {
    /// The level that a word names, as syslog, log4j and their kin call it.
    pub(super) fn named(word: &[u8]) -> Option<Level> {
        let mut lower = [0; 13];
        let lower = lower.get_mut(..word.len())?;
        lower.copy_from_slice(word);
        lower.make_ascii_lowercase();
        Some(match &*lower {
            b"fatal" | b"critical" | b"crit" | b"panic" | b"emergency" | b"emerg" | b"alert" => {
                Level::Fatal
            }
            b"error" | b"err" | b"severe" => Level::Error,
            b"warn" | b"warning" => Level::Warn,
            b"info" | b"information" | b"informational" | b"notice" => Level::Info,
            b"debug" | b"fine" => Level::Debug,
            b"trace" | b"verbose" | b"finer" | b"finest" => Level::Trace,
            _ => return None,
        })
    }

    /// Five letters for the column.
    pub(super) fn label(self) -> &'static str {
        match self {
            Level::Fatal => "FATAL",
            Level::Error => "ERROR",
            Level::Warn => "WARN ",
            Level::Info => "INFO ",
            Level::Debug => "DEBUG",
            Level::Trace => "TRACE",
        }
    }

    /// The style of the label.
    pub(super) fn style(self) -> Style {
        match self {
            Level::Fatal => AnsiColor::Red.on_default().bold().invert(),
            Level::Error => AnsiColor::Red.on_default().bold(),
            Level::Warn => AnsiColor::Yellow.on_default().bold(),
            Level::Info => AnsiColor::Green.on_default(),
            Level::Debug => AnsiColor::Blue.on_default(),
            Level::Trace => QUIET,
        }
    }

    /// The style of the message: what is usual stays as it is.
    pub(super) fn message_style(self) -> Style {
        match self {
            Level::Fatal => AnsiColor::Red.on_default().bold(),
            Level::Error => AnsiColor::Red.on_default(),
            Level::Warn => AnsiColor::Yellow.on_default(),
            Level::Info | Level::Debug => Style::new(),
            Level::Trace => QUIET,
        }
    }
}

/// The style of a name: the same for the same name in every run. Red and yellow are for levels.
pub(super) fn style_of_name(name: &str) -> Style {
    const COLORS: [AnsiColor; 7] = [
        AnsiColor::Cyan,
        AnsiColor::Magenta,
        AnsiColor::Blue,
        AnsiColor::Green,
        AnsiColor::BrightCyan,
        AnsiColor::BrightMagenta,
        AnsiColor::BrightBlue,
    ];
    // FNV-1a (Fowler, Noll, Vo).
    let hash = name
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    COLORS[(hash >> 8) as usize % COLORS.len()].on_default()
}
