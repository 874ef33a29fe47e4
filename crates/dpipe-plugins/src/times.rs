//! Times as logs write them, read by formats that are compiled once.
//!
//! A format is one of those with a name, or a pattern of `%` directives as strptime(3) has them. A
//! time without a zone is one of the [`Zone`] that is configured; what clocks did there twice or
//! never is said with the result. Nothing is allocated to read a time.

mod cursor;
mod known;
mod parts;
mod pattern;
#[cfg(test)]
mod tests;
mod zone;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use dpipe_event::{Timestamp, Value};
use dpipe_plugin::settings::{error_in_text, nearest};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::StrDeserializer;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use self::known::Unit;
use self::pattern::Pattern;
pub(crate) use self::zone::Zone;

/// One way to write a time.
#[derive(Clone, Debug)]
pub(crate) struct TimeFormat(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Iso8601,
    Rfc2822,
    Syslog,
    Httpd,
    Unix(Unit),
    Pattern(Pattern),
}

/// The formats that have a name.
const NAMES: [&str; 8] =
    ["iso8601", "rfc2822", "syslog", "httpd", "unix", "unix_ms", "unix_us", "unix_ns"];

/// A time that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    /// When it was.
    pub(crate) time: Timestamp,
    /// How sure that is.
    pub(crate) clock: Clock,
}

/// What the clocks of the zone did at a time that was written without its offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    /// They showed it once.
    Once,
    /// They were set back and showed it twice; the earlier time is taken.
    Twice,
    /// They were set forward and never showed it; taken as if they had not been.
    Never,
}

/// The text is no time of this format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not a time of the format")]
pub(crate) struct Unreadable;

/// Why a text is no format; the range is of its bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct TimeFormatError {
    /// What is wrong.
    pub(crate) message: String,
    /// Where.
    pub(crate) range: Range<usize>,
}

impl TimeFormat {
    /// Compiles a format as it stands in a configuration: a name, or a pattern.
    ///
    /// # Errors
    /// If there is no such name, or the pattern does not make a time.
    pub(crate) fn parse_config(text: &str) -> Result<Self, TimeFormatError> {
        Ok(TimeFormat(match text {
            "iso8601" => Kind::Iso8601,
            "rfc2822" => Kind::Rfc2822,
            "syslog" => Kind::Syslog,
            "httpd" => Kind::Httpd,
            "unix" => Kind::Unix(Unit::Seconds),
            "unix_ms" => Kind::Unix(Unit::Millis),
            "unix_us" => Kind::Unix(Unit::Micros),
            "unix_ns" => Kind::Unix(Unit::Nanos),
            pattern if pattern.contains('%') => Kind::Pattern(Pattern::compile(pattern)?),
            other => {
                let help = match nearest(other, &NAMES) {
                    Some(name) => format!("did you mean `{name}`?"),
                    None => format!(
                        "there is {}, and patterns such as `%d/%b/%Y:%H:%M:%S %z`",
                        NAMES.map(|name| format!("`{name}`")).join(", ")
                    ),
                };
                let message = format!("unknown format `{other}` ({help})");
                return Err(TimeFormatError { message, range: 0..text.len() });
            }
        }))
    }

    /// Reads a time. `now` tells which year (or day) is meant where none is written: the nearest.
    /// Space around the text does not count.
    ///
    /// # Errors
    /// If it is no time of this format, or one outside of the years 0 to 9999.
    pub(crate) fn read(
        &self,
        text: &[u8],
        now: Timestamp,
        zone: &Zone,
    ) -> Result<Moment, Unreadable> {
        let text = text.trim_ascii();
        let moment = match &self.0 {
            Kind::Unix(unit) => known::unix(text, *unit)
                .map(|millis| Moment { time: Timestamp::from_millis(millis), clock: Clock::Once }),
            Kind::Iso8601 => known::iso8601(text).and_then(|parts| parts.resolve(now, zone)),
            Kind::Rfc2822 => known::rfc2822(text).and_then(|parts| parts.resolve(now, zone)),
            Kind::Syslog => known::syslog(text).and_then(|parts| parts.resolve(now, zone)),
            Kind::Httpd => known::httpd(text).and_then(|parts| parts.resolve(now, zone)),
            Kind::Pattern(pattern) => {
                pattern.parts(text).and_then(|parts| parts.resolve(now, zone))
            }
        };
        moment.filter(|moment| moment.is_in_range()).ok_or(Unreadable)
    }
}

impl Moment {
    /// Beyond these years times are typing errors, and longer than four digits.
    fn is_in_range(&self) -> bool {
        const FIRST: i64 = -62_167_219_200_000;
        const LAST: i64 = 253_402_300_799_999;
        (FIRST..=LAST).contains(&self.time.millis())
    }
}

/// Several formats, tried in the order written; or a single one.
#[derive(Clone, Debug)]
pub(crate) struct TimeFormats(Box<[TimeFormat]>);

impl TimeFormats {
    /// Reads a text by the first format that fits.
    ///
    /// # Errors
    /// If none does.
    pub(crate) fn read(
        &self,
        text: &[u8],
        now: Timestamp,
        zone: &Zone,
    ) -> Result<Moment, Unreadable> {
        self.0.iter().find_map(|format| format.read(text, now, zone).ok()).ok_or(Unreadable)
    }

    /// Reads a value: a string, or a number by its digits.
    ///
    /// # Errors
    /// If no format fits, or it is something else.
    pub(crate) fn read_value(
        &self,
        value: &Value<'_>,
        now: Timestamp,
        zone: &Zone,
    ) -> Result<Moment, Unreadable> {
        match value {
            Value::String(text) => self.read(&text.bytes(), now, zone),
            Value::Number(digits) => self.read(digits.as_bytes(), now, zone),
            Value::Integer(n) => self.read(itoa::Buffer::new().format(*n).as_bytes(), now, zone),
            _ => Err(Unreadable),
        }
    }
}

impl<'de> Deserialize<'de> for TimeFormat {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Self::parse_config(&text).map_err(|error| error_in_text(error.range.clone(), error))
    }
}

impl JsonSchema for TimeFormat {
    fn schema_name() -> Cow<'static, str> {
        "TimeFormat".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A named format, or a pattern such as `%d/%b/%Y:%H:%M:%S %z`.",
            "anyOf": [{ "enum": NAMES }, { "type": "string", "pattern": "%" }]
        })
    }
}

impl<'de> Deserialize<'de> for TimeFormats {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FormatsVisitor)
    }
}

struct FormatsVisitor;

impl<'de> Visitor<'de> for FormatsVisitor {
    type Value = TimeFormats;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of time formats")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<TimeFormats, E> {
        let format = TimeFormat::deserialize(StrDeserializer::new(text))?;
        Ok(TimeFormats([format].into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<TimeFormats, A::Error> {
        let mut formats = Vec::new();
        while let Some(format) = items.next_element()? {
            formats.push(format);
        }
        if formats.is_empty() {
            return Err(A::Error::custom("the list names no format"));
        }
        Ok(TimeFormats(formats.into()))
    }
}

impl JsonSchema for TimeFormats {
    fn schema_name() -> Cow<'static, str> {
        "TimeFormats".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let format = generator.subschema_for::<TimeFormat>();
        json_schema!({ "anyOf": [format, { "type": "array", "items": format, "minItems": 1 }] })
    }
}
