//! What stands in a file of tests.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path as FilePath;
use std::sync::Arc;

use dpipe_config::load::{FILE_BYTES_MAX, Format, ProcessSurroundings, Surroundings, parse};
use dpipe_config::plan::Plan;
use dpipe_event::Path;
use dpipe_plugin::settings::{
    Node, Problem, Problems, SourceFile, Span, deserialize, deserialize_knowing, suggest,
};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// One test.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Test {
    /// What it shows, as a sentence.
    pub(super) name: String,
    /// The input that the lines come by.
    pub(super) input: String,
    /// The file or the peer that they come from.
    #[serde(default)]
    pub(super) file: String,
    /// What the wall clock shows.
    pub(super) now: Option<Moment>,
    /// What the input has read.
    pub(super) lines: Lines,
    /// What must arrive at outputs; at those that are not named, anything may.
    #[serde(default)]
    pub(super) outputs: BTreeMap<String, Vec<Expected>>,
    /// The dead letters that there must be, each by its kind or a part of its reason.
    #[serde(default)]
    pub(super) dead: Vec<String>,
    /// How many events nobody takes.
    pub(super) unmatched: Option<u64>,
    /// How many events are filtered out, by reason.
    pub(super) filtered: Option<BTreeMap<String, u64>>,
    /// How many times something is odd about events that live, by its word.
    pub(super) flagged: Option<BTreeMap<String, u64>>,
    /// Where it is written.
    #[serde(skip)]
    pub(super) place: Option<Span>,
}

/// Lines, as one text or each for itself.
#[derive(Debug)]
pub(super) enum Lines {
    Text(String),
    Frames(Vec<Vec<u8>>),
}

/// An event that must arrive.
#[derive(Debug)]
pub(super) enum Expected {
    /// The bytes that the output's codec makes of it.
    Exactly(String),
    /// Some of its fields.
    Fields(Fields),
}

/// What must be so about an event.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Fields {
    /// Fields and metadata that it has, and their values.
    #[serde(deserialize_with = "values_by_path")]
    pub(super) fields: Vec<(FieldName, Value)>,
    /// Fields that it has not.
    pub(super) absent: Vec<FieldName>,
}

/// A field as it was written, and its path.
#[derive(Debug)]
pub(super) struct FieldName {
    pub(super) written: String,
    pub(super) path: Path,
}

/// A point in time, in milliseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment(pub(super) i64);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// Reads a file of tests for a plan.
pub(super) fn read(path: &FilePath, plan: &Plan) -> Result<Vec<Test>, Problems> {
    let shown = path.display().to_string();
    let cannot = |why: String| Problems::from(Problem::error(format!("{shown}: {why}")));
    let bytes = ProcessSurroundings.read(path, FILE_BYTES_MAX + 1).map_err(|error| {
        let hint = "tests stand beside the configuration, in `<name>.test.yaml`";
        Problems::from(Problem::error(format!("{shown}: {error}")).help(hint))
    })?;
    if bytes.len() > FILE_BYTES_MAX {
        return Err(cannot("it is too large for a file of tests".into()));
    }
    let text = String::from_utf8(bytes).map_err(|_| cannot("it is not UTF-8".into()))?;
    let file: Arc<SourceFile> = SourceFile::new(&*shown, text);
    // Nothing is replaced in it: a log line may well have a `${` in it.
    let root = parse(&file, Format::of(path))?;
    let mut problems = Problems::new();
    problems.note(deserialize_knowing::<Nothing>(&root.without(&["tests"]), &["tests"]));
    let listed = root.get("tests").and_then(Node::as_list).unwrap_or_default();
    if listed.is_empty() {
        problems.push(root.problem("there are no tests").help("list them under `tests:`"));
    }
    let mut tests: Vec<Test> = Vec::new();
    for node in listed {
        let Some(mut test) = problems.note(deserialize::<Test>(node)) else { continue };
        test.place = Some(node.place());
        problems.extend(unknown_names(&test, node, plan));
        if tests.iter().any(|other| other.name == test.name) {
            let name = node.get("name").unwrap_or(node);
            problems.push(name.problem(format!("two tests are called `{}`", test.name)));
        }
        tests.push(test);
    }
    problems.into_result(tests).map(|(tests, _)| tests)
}

/// What a test names that the configuration has not.
fn unknown_names(test: &Test, node: &Node, plan: &Plan) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut check = |place: Span, role: &str, name: &str, known: Vec<&str>| {
        if !known.contains(&name) {
            let problem = Problem::error(format!("there is no {role} `{name}`")).at(place);
            problems.push(problem.maybe_help(suggest(name, known)));
        }
    };
    let inputs = plan.inputs.iter().map(|input| &*input.name).collect();
    check(node.get("input").unwrap_or(node).span.clone(), "input", &test.input, inputs);
    for entry in node.get("outputs").and_then(Node::as_map).unwrap_or_default() {
        let outputs = plan.outputs.iter().map(|output| &*output.name).collect();
        check(entry.key_span().clone(), "output", &entry.key, outputs);
    }
    problems
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let time: jiff::Timestamp = text.parse().map_err(|_| {
            D::Error::custom("expected a time with its zone, such as `2026-01-31T12:00:00Z`")
        })?;
        Ok(Moment(time.as_millisecond()))
    }
}

impl<'de> Deserialize<'de> for FieldName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = String::deserialize(deserializer)?;
        let path = Path::parse(&written).map_err(D::Error::custom)?;
        Ok(FieldName { written, path })
    }
}

fn values_by_path<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<(FieldName, Value)>, D::Error> {
    struct Pairs;
    impl<'de> Visitor<'de> for Pairs {
        type Value = Vec<(FieldName, Value)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a map from fields to their values")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut pairs = Vec::new();
            while let Some(pair) = map.next_entry()? {
                pairs.push(pair);
            }
            Ok(pairs)
        }
    }
    deserializer.deserialize_map(Pairs)
}

impl<'de> Deserialize<'de> for Lines {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Lines;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("lines as one text, or a list of lines")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Lines, E> {
                Ok(Lines::Text(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Lines, A::Error> {
                let mut frames = Vec::new();
                while let Some(line) = list.next_element::<String>()? {
                    frames.push(line.into_bytes());
                }
                Ok(Lines::Frames(frames))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl<'de> Deserialize<'de> for Expected {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Expected;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an event as text, or `{ fields: … }`")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Expected, E> {
                Ok(Expected::Exactly(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Expected, A::Error> {
                Fields::deserialize(MapAccessDeserializer::new(map)).map(Expected::Fields)
            }
        }
        deserializer.deserialize_any(Either)
    }
}
