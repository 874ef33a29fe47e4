//! Regular expressions: an engine that takes time in proportion to the text, and bounded memory.

use std::ops::Range;

use memchr::memmem::{self, Finder};
use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::hir::literal::Extractor;
use regex_syntax::{Parser, ParserBuilder, ast};

/// The most memory of a compiled expression, and again of its cache in each thread.
pub(crate) const MAX_BYTES: usize = 1024 * 1024;
/// How deep the groups of an expression nest.
const MAX_DEPTH: u32 = 50;

/// A regular expression, to be searched for.
#[derive(Debug)]
pub(crate) struct Expression {
    regex: Regex,
    /// What every match begins with. The engine would find it too, but it takes scratch memory
    /// first, which all threads share; most texts do not match, and need none.
    start: Option<Box<Finder<'static>>>,
}

/// The shortest start that is worth to be looked for.
const START_BYTES_MIN: usize = 3;

/// What is wrong with a regular expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExpressionError {
    /// What is wrong.
    pub message: String,
    /// The bytes of the expression that are concerned.
    pub span: Range<usize>,
}

/// Compiles a regular expression over bytes, whose memory is bounded.
///
/// # Errors
/// If it is none, or one that takes too much memory.
pub fn compile_expression(source: &str) -> Result<Regex, ExpressionError> {
    RegexBuilder::new(source)
        .size_limit(MAX_BYTES)
        .dfa_size_limit(MAX_BYTES)
        .nest_limit(MAX_DEPTH)
        .build()
        .map_err(|error| fault(source, &error))
}

/// The parser that the engine uses for bytes.
fn parser() -> Parser {
    ParserBuilder::new().utf8(false).nest_limit(MAX_DEPTH).build()
}

fn start(source: &str) -> Option<Box<Finder<'static>>> {
    let starts = Extractor::new().extract(&parser().parse(source).ok()?);
    let start = starts.longest_common_prefix()?;
    (start.len() >= START_BYTES_MIN).then(|| Box::new(Finder::new(start).into_owned()))
}

impl Expression {
    pub(crate) fn new(source: &str) -> Result<Self, ExpressionError> {
        Ok(Expression { regex: compile_expression(source)?, start: start(source) })
    }

    /// Whether a text has a match.
    #[inline]
    pub(crate) fn is_match(&self, text: &[u8]) -> bool {
        match &self.start {
            Some(start) => start.find(text).is_some_and(|at| self.regex.is_match_at(text, at)),
            None => self.regex.is_match(text),
        }
    }

    /// Whether a text that is given with the escapes of JSON may have a match, as far as that can
    /// be told before it is decoded.
    pub(crate) fn may_match_decoded(&self, escaped: &[u8]) -> bool {
        let Some(start) = &self.start else { return true };
        // Apart from these, and from numbers, characters stand for themselves.
        let is_plain = |byte: &u8| !matches!(byte, b'"' | b'\\' | b'/' | 0..0x20);
        start.find(escaped).is_some()
            || !start.needle().iter().all(is_plain)
            || memmem::find(escaped, b"\\u").is_some()
    }
}

/// The engine tells where a fault is in a text of several lines; its parser tells it in numbers.
fn fault(source: &str, error: &regex::Error) -> ExpressionError {
    let at = |message: String, span: &ast::Span| ExpressionError {
        message,
        span: span.start.offset..span.end.offset,
    };
    match parser().parse(source) {
        Err(regex_syntax::Error::Parse(error)) => at(error.kind().to_string(), error.span()),
        Err(regex_syntax::Error::Translate(error)) => at(error.kind().to_string(), error.span()),
        _ => {
            let message = match error {
                regex::Error::CompiledTooBig(_) => {
                    format!("it takes more than {} KiB when compiled", MAX_BYTES / 1024)
                }
                other => other.to_string(),
            };
            ExpressionError { message, span: 0..source.len() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails(source: &str) -> (String, Range<usize>) {
        let fault = compile_expression(source).unwrap_err();
        (fault.message, fault.span)
    }

    #[test]
    fn a_fault_is_placed_in_the_expression() {
        assert_eq!(fails("a(b"), ("unclosed group".into(), 1..2));
        assert_eq!(fails("[z-a]").1, 1..4);
        assert_eq!(fails(r"\p{Nothing}").1, 0..11);
    }

    #[test]
    fn an_expression_that_compiles_to_too_much_is_refused() {
        let (message, span) = fails(r"(\w{100}){100}");
        assert_eq!(message, "it takes more than 1024 KiB when compiled");
        assert_eq!(span, 0..14);
        assert!(fails(&"(".repeat(60)).0.contains("group"));
    }

    #[test]
    fn what_a_match_begins_with_is_looked_for_first_and_changes_nothing() {
        let cases = [
            (r"child \d+ started", Some("child ")),
            (r"^/api/v\d", Some("/api/v")),
            (r"\bfoo(bar|baz)", Some("fooba")),
            ("(?i)error", None),
            ("ab", None),
            ("a*bcd", None),
            ("(foobar)?x", None),
            ("(?-u)\\xffabc", Some("\u{fffd}abc")),
        ];
        let texts = [
            "",
            "child  child 12 started",
            "grandchild 7 started",
            "child x started",
            "/api/v1 /api/v2",
            "x/api/v1",
            "foobar afoobaz",
            "xfoobar foobaz",
            "ERROR error",
            "ab abcd x",
            "xfoobarx",
        ];
        for (source, start) in cases {
            let expression = Expression::new(source).unwrap();
            let found = expression.start.as_ref().map(|s| String::from_utf8_lossy(s.needle()));
            assert_eq!(found.as_deref(), start, "{source}");
            for text in texts {
                let expected = expression.regex.is_match(text.as_bytes());
                assert_eq!(expression.is_match(text.as_bytes()), expected, "{source} in {text}");
            }
        }
    }

    #[test]
    fn a_start_that_may_be_spelled_otherwise_is_looked_for_after_decoding() {
        let may = |source: &str, escaped: &str| {
            Expression::new(source).unwrap().may_match_decoded(escaped.as_bytes())
        };
        assert!(may("error [0-9]", r"line\nerror 1"));
        assert!(!may("error [0-9]", r"line\nnothing"));
        assert!(may("error [0-9]", r"\u0065rror 1"));
        assert!(may("/api/[a-z]", r"\/api\/v"));
        assert!(may(r"a\nb", r"x\nb") && may("[0-9]", r"x\n"));
    }

    #[test]
    fn bytes_that_are_no_text_can_be_searched() {
        assert!(compile_expression("b.?c").unwrap().is_match(b"\xffbc\xff"));
    }
}
