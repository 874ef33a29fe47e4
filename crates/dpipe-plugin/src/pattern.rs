//! Regular expressions as values of a configuration: compiled while it is read, with errors that
//! point at the character, and bounded in memory and time.

use std::borrow::Cow;

use regex::bytes::Regex;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::settings::error_in_text;

/// A regular expression over bytes, such as `^\d{4}-`. Written with or without slashes around it.
#[derive(Clone, Debug)]
pub struct Pattern(pub Regex);

impl Pattern {
    /// Compiles an expression.
    ///
    /// # Errors
    /// If it is none, or one that takes too much memory.
    pub fn parse(text: &str) -> Result<Pattern, dpipe_query::ExpressionError> {
        dpipe_query::compile_expression(bare(text).1).map(Pattern)
    }
}

/// The expression without slashes, and where it starts.
fn bare(text: &str) -> (usize, &str) {
    let inner = text.strip_prefix('/').and_then(|text| text.strip_suffix('/'));
    inner.filter(|inner| !inner.is_empty()).map_or((0, text), |inner| (1, inner))
}

impl std::ops::Deref for Pattern {
    type Target = Regex;
    fn deref(&self) -> &Regex {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Pattern::parse(&text).map_err(|error| {
            let (shift, _) = bare(&text);
            error_in_text(error.span.start + shift..error.span.end + shift, error.message)
        })
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl schemars::JsonSchema for Pattern {
    fn schema_name() -> Cow<'static, str> {
        "Regex".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "A regular expression, such as `^\\d{4}-`."
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_around_an_expression_are_not_part_of_it() {
        assert_eq!(Pattern::parse("/a.c/").unwrap().as_str(), "a.c");
        assert_eq!(Pattern::parse("/").unwrap().as_str(), "/");
        assert_eq!(Pattern::parse("a/").unwrap().as_str(), "a/");
    }

    #[test]
    fn a_mistake_in_an_expression_is_placed() {
        let error = Pattern::parse("a(b").unwrap_err();
        assert_eq!((error.message.as_str(), error.span), ("unclosed group", 1..2));
    }
}
