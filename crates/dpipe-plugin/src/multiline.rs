//! Joining lines to events, before they are decoded: a stack trace, or whatever else a program
//! writes over several lines.
//!
//! An event's lines lie one after the other in the read buffer, so joining them is no copy: the
//! frame is longer. An input keeps back the last event of what it has read until a line comes that
//! begins the next one, or until nothing came for a while.

use std::borrow::Cow;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::framing::Part;
use crate::pattern::Pattern;
use crate::settings::Period;

mod presets;

use presets::Preset;

/// Which lines belong together.
#[derive(Clone, Debug)]
pub struct Multiline {
    rule: Rule,
    timeout: Duration,
    lines_max: usize,
}

#[derive(Clone, Debug)]
enum Rule {
    /// A line that matches begins an event; every other one continues it.
    Start(Pattern),
    /// A line that matches continues the event; every other one begins one.
    Continuation(Pattern),
    /// A line that matches is the last of its event.
    End(Pattern),
    /// As a language prints its stack traces.
    Preset(Preset),
}

/// The settings, as a map.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Written {
    /// A line that matches begins an event; every other line continues the one before.
    start: Option<Pattern>,
    /// A line that matches continues the event before; every other line begins one.
    continuation: Option<Pattern>,
    /// A line that matches is the last of its event.
    end: Option<Pattern>,
    /// The stack traces of a language: `java`, `python`, `go`, `php`, `ruby` or `dotnet`.
    preset: Option<presets::Name>,
    /// How long to wait for more lines until the event counts as complete.
    #[serde(default = "default_timeout")]
    timeout: Period,
    /// The most lines of an event; one with more is cut into several.
    #[serde(default = "default_lines_max")]
    lines_max: usize,
}

fn default_timeout() -> Period {
    Period::seconds(1)
}

fn default_lines_max() -> usize {
    1000
}

impl Multiline {
    /// How long an event waits for further lines.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Joins the lines of `bytes`, from `from` on, where an event starts: appends a part for each
    /// event that is complete, and returns where the first one starts that is not. An event ends
    /// before `bytes_max`, or `lines_max`, would be passed.
    ///
    /// A last line without a line end is looked at only if `is_all`; then nothing is kept back.
    pub fn cut(
        &self,
        bytes: &[u8],
        from: usize,
        bytes_max: usize,
        is_all: bool,
        parts: &mut Vec<Part>,
    ) -> usize {
        let mut event = Event { start: from, end: from, lines: 0, state: presets::PLAIN };
        let mut at = from;
        while at < bytes.len() {
            let (line, next) = match memchr::memchr(b'\n', &bytes[at..]) {
                Some(len) => (&bytes[at..at + len], at + len + 1),
                None if is_all => (&bytes[at..], bytes.len()),
                None => break,
            };
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let joined = if event.lines == 0 { None } else { self.joins(event.state, line) };
            let has_room =
                event.lines < self.lines_max && at + line.len() - event.start <= bytes_max;
            match joined.filter(|_| has_room) {
                Some(state) => event.state = state,
                None => {
                    event.give(parts);
                    event = Event { start: at, end: at, lines: 0, state: self.begins(line) };
                }
            }
            event.lines += 1;
            event.end = at + line.len();
            at = next;
            if matches!(&self.rule, Rule::End(pattern) if pattern.is_match(line)) {
                event.give(parts);
                event = Event { start: at, end: at, lines: 0, state: presets::PLAIN };
            }
        }
        if is_all {
            event.give(parts);
            return bytes.len();
        }
        event.start
    }

    /// The state after a line that continues the event; `None` if it begins another.
    fn joins(&self, state: u8, line: &[u8]) -> Option<u8> {
        let joins = match &self.rule {
            Rule::Start(pattern) => !pattern.is_match(line),
            Rule::Continuation(pattern) => pattern.is_match(line),
            Rule::End(_) => true,
            Rule::Preset(preset) => return preset.joins(state, line),
        };
        joins.then_some(presets::PLAIN)
    }

    /// The state after the first line of an event.
    fn begins(&self, line: &[u8]) -> u8 {
        match &self.rule {
            Rule::Preset(preset) => preset.begins(line),
            _ => presets::PLAIN,
        }
    }
}

/// The event whose lines are being joined.
struct Event {
    start: usize,
    /// After its last line, without the line end.
    end: usize,
    lines: usize,
    state: u8,
}

impl Event {
    fn give(&self, parts: &mut Vec<Part>) {
        if self.lines > 0 {
            parts.push(Part { start: self.start as u32, len: (self.end - self.start) as u32 });
        }
    }
}

impl Written {
    fn rule(self) -> Result<Multiline, &'static str> {
        let rule = match (self.start, self.continuation, self.end, self.preset) {
            (Some(pattern), None, None, None) => Rule::Start(pattern),
            (None, Some(pattern), None, None) => Rule::Continuation(pattern),
            (None, None, Some(pattern), None) => Rule::End(pattern),
            (None, None, None, Some(name)) => Rule::Preset(name.into()),
            _ => return Err("expected one of `start`, `continuation`, `end` and `preset`"),
        };
        if self.lines_max == 0 {
            return Err("an event has at least one line: `lines_max` must not be 0");
        }
        Ok(Multiline { rule, timeout: self.timeout.duration(), lines_max: self.lines_max })
    }
}

impl<'de> Deserialize<'de> for Multiline {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MultilineVisitor)
    }
}

struct MultilineVisitor;

impl<'de> Visitor<'de> for MultilineVisitor {
    type Value = Multiline;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a preset such as `java`, or `{ start: … }`")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Multiline, E> {
        let name = presets::Name::deserialize(StrDeserializer::new(name))?;
        Ok(Multiline {
            rule: Rule::Preset(name.into()),
            timeout: default_timeout().duration(),
            lines_max: default_lines_max(),
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Multiline, A::Error> {
        let written = Written::deserialize(MapAccessDeserializer::new(map))?;
        written.rule().map_err(A::Error::custom)
    }
}

impl JsonSchema for Multiline {
    fn schema_name() -> Cow<'static, str> {
        "Multiline".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let name = generator.subschema_for::<presets::Name>();
        let written = generator.subschema_for::<Written>();
        json_schema!({
            "description": "Joins lines to events before they are decoded.",
            "anyOf": [name, written]
        })
    }
}

#[cfg(test)]
mod tests;
