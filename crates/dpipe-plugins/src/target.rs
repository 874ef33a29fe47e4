//! Fields that a step writes: any path but metadata, which is not the steps' to change.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use dpipe_event::Path;
use dpipe_plugin::FieldPath;
use dpipe_plugin::settings::error_in_text;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// The path of a field that a step writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target(FieldPath);

impl Deref for Target {
    type Target = Path;
    fn deref(&self) -> &Path {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let path = FieldPath::deserialize(deserializer)?;
        match path.meta() {
            None => Ok(Target(path)),
            Some(meta) => {
                let name = meta.name();
                Err(error_in_text(
                    0..name.len(),
                    format_args!(
                        "`{name}` is metadata, which a step cannot change; a field of the body \
                         with this name is written \"\\\"{name}\\\"\""
                    ),
                ))
            }
        }
    }
}

impl JsonSchema for Target {
    fn schema_name() -> Cow<'static, str> {
        FieldPath::schema_name()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        FieldPath::json_schema(generator)
    }
}

/// Several of them: a list, or a single one; or either under the key `fields`.
#[derive(Clone, Debug)]
pub(crate) struct Targets(pub(crate) Box<[Path]>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Long {
    fields: Targets,
}

impl<'de> Deserialize<'de> for Targets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TargetsVisitor)
    }
}

struct TargetsVisitor;

impl<'de> Visitor<'de> for TargetsVisitor {
    type Value = Targets;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of field paths")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Targets, E> {
        let target = Target::deserialize(StrDeserializer::new(text))?;
        Ok(Targets([target.0.0].into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Targets, A::Error> {
        let mut paths = Vec::new();
        while let Some(target) = items.next_element::<Target>()? {
            paths.push(target.0.0);
        }
        if paths.is_empty() {
            return Err(A::Error::custom("the list names no field"));
        }
        Ok(Targets(paths.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Targets, A::Error> {
        Long::deserialize(MapAccessDeserializer::new(map)).map(|long| long.fields)
    }
}

impl JsonSchema for Targets {
    fn schema_name() -> Cow<'static, str> {
        "Fields".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let path = generator.subschema_for::<Target>();
        json_schema!({
            "anyOf": [
                path,
                { "type": "array", "items": path, "minItems": 1 },
                {
                    "type": "object",
                    "properties": {
                        "fields": {
                            "description": "The paths of the fields.",
                            "type": ["string", "array"],
                            "items": path
                        }
                    },
                    "required": ["fields"],
                    "additionalProperties": false
                }
            ]
        })
    }
}
