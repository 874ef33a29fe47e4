//! Plugins in other processes: what dpipe says to a child, and what the child answers.
//!
//! `docs/child-plugins.md` is the page for whoever writes one. Both sides speak lines: JSON for what
//! they say to each other, and between them the events of a batch, one a line, of which the line
//! before tells the number.

mod dialog;
mod talk;
mod verdict;

use std::fmt;

use dpipe_event::{Batch, Meta};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

pub(crate) use dialog::Dialog;
pub(crate) use talk::{Partner, State, blocking};
pub(crate) use verdict::Verdict;

/// The version of the protocol.
const PROTOCOL: u32 = 1;

/// What a child is told of its own configuration; never shown.
#[derive(Clone, Default)]
pub(crate) struct ChildConfig(serde_json::Value);

impl<'de> Deserialize<'de> for ChildConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde_json::Value::deserialize(deserializer).map(ChildConfig)
    }
}

impl JsonSchema for ChildConfig {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ChildConfig".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // Anything.
        Schema::default()
    }
}

impl fmt::Debug for ChildConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// The first line that a child gets.
#[derive(Serialize)]
struct Hello<'a> {
    dpipe: u32,
    role: &'a str,
    node: &'a str,
    config: &'a serde_json::Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    line_bytes_max: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<&'a RawValue>,
}

/// The first line for a step or an output.
pub(crate) fn hello(role: &str, node: &str, config: &ChildConfig) -> Vec<u8> {
    let config = &config.0;
    line(&Hello { dpipe: PROTOCOL, role, node, config, line_bytes_max: None, position: None })
}

/// The first line for an input, which goes on after a position.
pub(crate) fn hello_input(
    node: &str,
    config: &ChildConfig,
    line_bytes_max: usize,
    position: Option<&RawValue>,
) -> Vec<u8> {
    let (config, line_bytes_max) = (&config.0, Some(line_bytes_max));
    line(&Hello { dpipe: PROTOCOL, role: "input", node, config, line_bytes_max, position })
}

fn line(said: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(said).expect("texts, numbers and JSON are JSON");
    line.push(b'\n');
    line
}

/// The first line that a child answers.
#[derive(Debug, Deserialize)]
pub(crate) struct Greeting {
    dpipe: u32,
    /// What it calls itself.
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) version: String,
    /// The reasons for which it drops events.
    #[serde(default)]
    pub(crate) reasons: Vec<String>,
}

impl Greeting {
    /// Reads the line, and checks that both speak the same.
    pub(crate) fn parse(line: &[u8]) -> Result<Greeting, String> {
        let wanted = "expected {\"dpipe\":1,\"name\":…} as the first line";
        let greeting: Greeting = serde_json::from_slice(line)
            .map_err(|error| format!("{wanted}, found {}: {error}", excerpt(line)))?;
        if greeting.dpipe != PROTOCOL {
            return Err(format!(
                "it speaks version {} of the protocol, and this dpipe version {PROTOCOL}",
                greeting.dpipe
            ));
        }
        let is_reason = |reason: &String| {
            let plain =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
            (1..=64).contains(&reason.len()) && reason.bytes().all(plain)
        };
        if let Some(bad) = greeting.reasons.iter().find(|reason| !is_reason(reason)) {
            return Err(format!("{bad:?} is no reason: a to z, 0 to 9 and `_` only"));
        }
        Ok(greeting)
    }
}

/// The line before the events of a batch.
#[derive(Serialize)]
struct Header {
    batch: u64,
    events: usize,
    metadata: serde_json::Map<String, serde_json::Value>,
}

/// The number of a batch, as a child repeats it.
#[derive(Deserialize)]
struct Number {
    batch: u64,
}

/// The metadata that a step's child may ask for, an event at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub(crate) enum EventMeta {
    /// When the event happened; milliseconds since 1970.
    #[serde(rename = "_time")]
    Time,
    /// The region or shard of an als line.
    #[serde(rename = "_area")]
    Area,
    /// Its first byte within its stream.
    #[serde(rename = "_offset")]
    Offset,
    /// Its deterministic id.
    #[serde(rename = "_id")]
    Id,
}

impl EventMeta {
    fn meta(self) -> Meta {
        match self {
            EventMeta::Time => Meta::Time,
            EventMeta::Area => Meta::Area,
            EventMeta::Offset => Meta::Offset,
            EventMeta::Id => Meta::Id,
        }
    }
}

/// What all events of a batch have in common.
const OF_THE_BATCH: [Meta; 6] =
    [Meta::Tag, Meta::Tenant, Meta::Input, Meta::File, Meta::Host, Meta::Logfile];

/// Appends the line before the events of `batch` at these places.
pub(crate) fn write_header(
    out: &mut Vec<u8>,
    number: u64,
    batch: &Batch,
    events: &[usize],
    each: &[EventMeta],
) {
    let value = |index: usize, meta: Meta| {
        let mut json = Vec::new();
        batch.get(index).meta(meta)?.write_json(&mut json);
        serde_json::from_slice::<serde_json::Value>(&json).ok()
    };
    let mut metadata = serde_json::Map::new();
    if let Some(&first) = events.first() {
        for meta in OF_THE_BATCH {
            if let Some(value) = value(first, meta) {
                metadata.insert(meta.name().into(), value);
            }
        }
    }
    for each in each {
        let meta = each.meta();
        let values = events.iter().map(|&index| value(index, meta).unwrap_or_default());
        metadata.insert(meta.name().into(), values.collect());
    }
    out.extend_from_slice(&line(&Header { batch: number, events: events.len(), metadata }));
}

/// Checks that a line repeats the number of the batch that was asked about.
pub(crate) fn check_number(line: &[u8], wanted: u64) -> Result<(), String> {
    match serde_json::from_slice::<Number>(line) {
        Ok(Number { batch }) if batch == wanted => Ok(()),
        _ => Err(format!("expected {{\"batch\":{wanted}}} first, found {}", excerpt(line))),
    }
}

/// The beginning of a line, for messages.
pub(crate) fn excerpt(line: &[u8]) -> String {
    let line = line.trim_ascii_end();
    let text = String::from_utf8_lossy(&line[..line.len().min(80)]);
    format!("{text:?}")
}

/// What went wrong between dpipe and a child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It is not to be had now: it cannot be started, or keeps failing.
    Unavailable(String),
    /// It ended.
    Died(String),
    /// It did not answer in time.
    TimedOut(String),
    /// It answered something else than it was asked.
    BrokeProtocol(String),
}

impl Failure {
    /// The failure as a metric label.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Failure::Unavailable(_) => "child_unavailable",
            Failure::Died(_) => "child_died",
            Failure::TimedOut(_) => "child_timed_out",
            Failure::BrokeProtocol(_) => "child_broke_protocol",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Failure::Unavailable(why)
        | Failure::Died(why)
        | Failure::TimedOut(why)
        | Failure::BrokeProtocol(why)) = self;
        f.write_str(why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_says_who_it_is_and_what_it_speaks() {
        let parse = |line: &str| Greeting::parse(line.as_bytes());
        let greeting =
            parse("{\"dpipe\":1,\"name\":\"a\",\"reasons\":[\"bot\"],\"more\":1}").unwrap();
        assert_eq!((greeting.name.as_str(), greeting.version.as_str()), ("a", ""));
        assert_eq!(greeting.reasons, ["bot"]);
        for (line, why) in [
            ("hello", "expected {\"dpipe\":1,\"name\":…} as the first line, found \"hello\""),
            ("{\"dpipe\":2,\"name\":\"a\"}", "it speaks version 2"),
            ("{\"dpipe\":1,\"name\":\"a\",\"reasons\":[\"a b\"]}", "\"a b\" is no reason"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.starts_with(why), "{error}");
        }
    }

    #[test]
    fn the_config_is_told_to_the_child_and_to_nobody_else() {
        let config: ChildConfig =
            serde_json::from_str("{\"token\":\"hunter2\",\"n\":1.50}").unwrap();
        assert_eq!(
            String::from_utf8(hello("step", "f", &config)).unwrap(),
            "{\"dpipe\":1,\"role\":\"step\",\"node\":\"f\",\"config\":{\"token\":\"hunter2\",\"n\":1.50}}\n"
        );
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn a_header_has_what_the_events_share_once_and_the_rest_in_columns() {
        let batch = dpipe_testkit::batch("@2024-06-01 {\"a\":1}\n{\"a\":2}\n{\"a\":3}");
        let mut out = Vec::new();
        write_header(&mut out, 7, &batch, &[0, 2], &[EventMeta::Time, EventMeta::Offset]);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\"batch\":7,\"events\":2,\"metadata\":{\"_tag\":\"in\",\"_tenant\":\"default\",\
             \"_input\":\"in\",\"_file\":\"in.log\",\"_host\":\"host\",\"logfile\":\"in\",\
             \"_time\":[1717243200000,0],\"_offset\":[0,16]}}\n"
        );
    }
}
