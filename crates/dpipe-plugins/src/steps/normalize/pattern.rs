//! One kind of text to replace, as it is configured.

use std::borrow::Cow;
use std::fmt;

use dpipe_plugin::settings::error_in_text;
use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::ParserBuilder;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::scan::{self, Quoted, replace};

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
                    custom.regex.0.find_at(text, at).map(|found| found.range())
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

/// A compiled expression of bounded size.
#[derive(Clone, Debug)]
struct Expression(Regex);

impl<'de> Deserialize<'de> for Expression {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// What a compiled expression may take.
        const SIZE_BYTES_MAX: usize = 1 << 20;

        let text = String::deserialize(deserializer)?;
        let hir = ParserBuilder::new().utf8(false).build().parse(&text).map_err(|error| {
            let (span, message) = match &error {
                regex_syntax::Error::Parse(error) => (error.span(), error.kind().to_string()),
                regex_syntax::Error::Translate(error) => (error.span(), error.kind().to_string()),
                error => return error_in_text(0..text.len(), error),
            };
            error_in_text(span.start.offset..span.end.offset, message)
        })?;
        if hir.properties().minimum_len() == Some(0) {
            let message = "this can match the empty text, which is everywhere";
            return Err(error_in_text(0..text.len(), message));
        }
        let regex = RegexBuilder::new(&text)
            .size_limit(SIZE_BYTES_MAX)
            .build()
            .map_err(|error| error_in_text(0..text.len(), error))?;
        Ok(Expression(regex))
    }
}
