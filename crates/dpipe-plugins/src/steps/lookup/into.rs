//! Where a row goes, as it is configured.

use std::borrow::Cow;
use std::fmt;

use dpipe_event::Path;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::pairs::Pairs;
use crate::target::Target;

/// Where a row goes.
#[derive(Debug)]
pub(super) enum Into {
    /// All of it into one field.
    Row(Target),
    /// Each column that is named into its field.
    Columns(Pairs<String, Target>),
}

impl Into {
    /// The columns that are wanted; none where it is the whole row.
    pub(super) fn columns(&self) -> Option<Box<[String]>> {
        match self {
            Into::Row(_) => None,
            Into::Columns(pairs) => Some(pairs.0.iter().map(|(name, _)| name.clone()).collect()),
        }
    }

    /// The fields, in the order of the columns.
    pub(super) fn targets(&self) -> Box<[Path]> {
        match self {
            Into::Row(target) => [Path::clone(target)].into(),
            Into::Columns(pairs) => pairs.0.iter().map(|(_, target)| Path::clone(target)).collect(),
        }
    }
}

impl<'de> Deserialize<'de> for Into {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IntoVisitor)
    }
}

struct IntoVisitor;

impl<'de> Visitor<'de> for IntoVisitor {
    type Value = Into;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field path, or a map of columns to field paths")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Into, E> {
        Target::deserialize(StrDeserializer::new(text)).map(Into::Row)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Into, A::Error> {
        Pairs::deserialize(MapAccessDeserializer::new(map)).map(Into::Columns)
    }
}

impl JsonSchema for Into {
    fn schema_name() -> Cow<'static, str> {
        "Into".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let path = generator.subschema_for::<Target>();
        let columns = generator.subschema_for::<Pairs<String, Target>>();
        json_schema!({ "anyOf": [path, columns] })
    }
}

/// A value as it is written.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Constant(pub(super) serde_json::Value);

impl JsonSchema for Constant {
    fn schema_name() -> Cow<'static, str> {
        "Constant".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "description": "Any value." })
    }
}
