//! Regular expressions: an engine that takes time in proportion to the text, and bounded memory.

use std::ops::Range;

use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::ast;

/// The most memory of a compiled expression, and again of its cache in each thread.
pub(crate) const MAX_BYTES: usize = 1024 * 1024;
/// How deep the groups of an expression nest.
const MAX_DEPTH: u32 = 50;

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

/// The engine tells where a fault is in a text of several lines; its parser tells it in numbers.
fn fault(source: &str, error: &regex::Error) -> ExpressionError {
    let at = |message: String, span: &ast::Span| ExpressionError {
        message,
        span: span.start.offset..span.end.offset,
    };
    let parsed =
        regex_syntax::ParserBuilder::new().utf8(false).nest_limit(MAX_DEPTH).build().parse(source);
    match parsed {
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
    fn bytes_that_are_no_text_can_be_searched() {
        assert!(compile_expression("b.?c").unwrap().is_match(b"\xffbc\xff"));
    }
}
