//! One kind of text to replace, as it is configured.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::expression::Expression;
use crate::scan::{self, Quoted, replace};

/// What to find, and what to put in its place.
#[derive(Clone, Debug)]
pub(super) enum Pattern {
    Digits,
    Hex,
    Uuid,
    Ip,
    Quoted,
    Custom(Custom),
}

/// A regular expression of the operator's.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Custom {
    regex: Expression,
    #[serde(rename = "as")]
    placeholder: String,
}

const NAMES: &[&str] = &["digits", "hex", "uuid", "ip", "quoted"];

impl Pattern {
    /// Appends the text with everything replaced; or nothing and `false`, if there is nothing to
    /// replace.
    pub(super) fn replace(&self, text: &[u8], out: &mut Vec<u8>) -> bool {
        match self {
            Pattern::Digits => replace(text, out, b"<num>", scan::digits),
            Pattern::Hex => replace(text, out, b"<hex>", scan::hex),
            Pattern::Uuid => replace(text, out, b"<uuid>", scan::uuid),
            Pattern::Ip => replace(text, out, b"<ip>", scan::ip),
            Pattern::Quoted => {
                let mut quoted = Quoted::default();
                replace(text, out, b"<str>", |text, at| quoted.find(text, at))
            }
            Pattern::Custom(custom) => {
                replace(text, out, custom.placeholder.as_bytes(), |text, at| {
                    custom.regex.find(text, at)
                })
            }
        }
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PatternVisitor)
    }
}

struct PatternVisitor;

impl<'de> Visitor<'de> for PatternVisitor {
    type Value = Pattern;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name such as `digits`, or `{ regex: …, as: … }`")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Pattern, E> {
        match name {
            "digits" => Ok(Pattern::Digits),
            "hex" => Ok(Pattern::Hex),
            "uuid" => Ok(Pattern::Uuid),
            "ip" => Ok(Pattern::Ip),
            "quoted" => Ok(Pattern::Quoted),
            _ => Err(E::unknown_variant(name, NAMES)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Pattern, A::Error> {
        Custom::deserialize(MapAccessDeserializer::new(map)).map(Pattern::Custom)
    }
}

impl JsonSchema for Pattern {
    fn schema_name() -> Cow<'static, str> {
        "Pattern".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "enum": NAMES },
                {
                    "type": "object",
                    "properties": {
                        "regex": {
                            "description": "A regular expression that cannot match the empty text.",
                            "type": "string"
                        },
                        "as": {
                            "description": "What to put in the place of each match, literally.",
                            "type": "string"
                        }
                    },
                    "required": ["regex", "as"],
                    "additionalProperties": false
                }
            ]
        })
    }
}
