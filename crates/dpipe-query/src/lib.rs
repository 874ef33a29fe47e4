//! The query language: parsed once, compiled to a matcher over events.
//!
//! What is here is the search part, the language of every `when:`: Lucene query-string syntax with
//! the meaning that `docs/query-language.md` gives it.
//!
//! ```text
//!  text ─▶ lexer ─▶ parser ─▶ ast ─▶ compile ─▶ matcher: search (tokens in text), number, regex
//!                     └ moment (dates)
//! ```
//!
//! A matcher reads the fields that the query names and nothing else of an event. It allocates only
//! where a regular expression or a range meets a string with escapes, and where a bare term
//! searches the whole body of an event that was edited.
//!
//! ```
//! use dpipe_query::Query;
//!
//! let query = Query::parse("level:error AND NOT _area:(us OR de)").unwrap();
//! assert_eq!(query.fields().count(), 2);
//!
//! let error = Query::parse("level:(error").unwrap_err();
//! assert_eq!((error.message.as_str(), error.at), ("this `(` is never closed", 6));
//! ```

mod ast;
mod compile;
mod error;
mod expression;
mod lexer;
mod matcher;
mod moment;
mod number;
mod parser;
mod query;
mod search;
mod tokens;

pub use error::QueryError;
pub use expression::{ExpressionError, compile_expression};
pub use query::Query;
