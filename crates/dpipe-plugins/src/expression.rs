//! Regular expressions of the operator, which find something wherever they match.

use std::borrow::Cow;
use std::ops::Range;

use dpipe_plugin::settings::error_in_text;
use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::ParserBuilder;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

/// A compiled expression of bounded size, which does not match the empty text.
#[derive(Clone, Debug)]
pub(crate) struct Expression(Regex);

impl Expression {
    /// The next match at or after a position; it is never empty.
    pub(crate) fn find(&self, text: &[u8], at: usize) -> Option<Range<usize>> {
        self.0.find_at(text, at).map(|found| found.range())
    }
}

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

impl JsonSchema for Expression {
    fn schema_name() -> Cow<'static, str> {
        "Expression".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A regular expression that cannot match the empty text.",
            "type": "string"
        })
    }
}
