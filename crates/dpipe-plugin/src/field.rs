//! Field paths and conditions as values of a configuration: parsed while it is read, with errors
//! that point at the character.

use std::borrow::Cow;
use std::sync::Arc;

use dpipe_event::{EventRef, Path};
use dpipe_query::Query;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::settings::error_in_text;

/// A field path such as `_log_info.uid`, `a.b[0]` or `"key.with.dots".x`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FieldPath(pub Path);

impl std::ops::Deref for FieldPath {
    type Target = Path;
    fn deref(&self) -> &Path {
        &self.0
    }
}

impl<'de> Deserialize<'de> for FieldPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Path::parse(&text).map(FieldPath).map_err(|error| {
            let start: usize = text.chars().take(error.at).map(char::len_utf8).sum();
            error_in_text(start..text.len().min(start + 1).max(start), error)
        })
    }
}

impl Serialize for FieldPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl schemars::JsonSchema for FieldPath {
    fn schema_name() -> Cow<'static, str> {
        "FieldPath".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "A field path: `uri`, `_log_info.uid`, `a.b[0]`, `\"key.with.dots\".x`."
        })
    }
}

/// A condition in the query language, such as `level:error AND NOT _area:us`.
#[derive(Clone, Debug)]
pub struct Condition(pub Arc<Query>);

impl Condition {
    /// Whether the event meets the condition.
    #[must_use]
    pub fn matches(&self, event: &EventRef<'_>) -> bool {
        self.0.matches(event)
    }
}

impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Query::parse(&text).map(|query| Condition(Arc::new(query))).map_err(|error| {
            let offset = |chars: usize| text.chars().take(chars).map(char::len_utf8).sum::<usize>();
            let (start, end) = (offset(error.at), offset(error.at + error.length));
            error_in_text(start..end, error)
        })
    }
}

impl Serialize for Condition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl schemars::JsonSchema for Condition {
    fn schema_name() -> Cow<'static, str> {
        "Condition".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "A condition in the query language: `level:error AND NOT _area:us`."
        })
    }
}
