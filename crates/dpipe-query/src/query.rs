//! The query: what other crates see of all this.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use dpipe_event::{EventRef, Path};

use crate::QueryError;
use crate::ast::Node;
use crate::compile::compile;
use crate::matcher::Test;
use crate::parser::{Parsed, parse};

/// A compiled query. A clone shares it.
#[derive(Clone, Debug)]
pub struct Query {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    node: Node,
    test: Test,
    fields: Vec<Path>,
    warnings: Vec<QueryError>,
}

impl Query {
    /// Parses and compiles a query.
    ///
    /// # Errors
    /// The first mistake, with the character where it is.
    pub fn parse(text: &str) -> Result<Query, QueryError> {
        let Parsed { node, warnings } = parse(text)?;
        let mut fields = Vec::new();
        node.each_field(&mut |path| {
            if !fields.contains(path) {
                fields.push(path.clone());
            }
        });
        Ok(Query { inner: Arc::new(Inner { test: compile(&node), node, fields, warnings }) })
    }

    /// Whether the event is one that the query asks for.
    #[must_use]
    pub fn matches(&self, event: &EventRef<'_>) -> bool {
        self.inner.test.passes(event)
    }

    /// The fields that the query names, each once, as they come. Bare terms name none; they read
    /// `message`, or else the body.
    pub fn fields(&self) -> impl Iterator<Item = &Path> {
        self.inner.fields.iter()
    }

    /// What is valid but was probably not meant, such as `and` for `AND`.
    #[must_use]
    pub fn warnings(&self) -> &[QueryError] {
        &self.inner.warnings
    }
}

impl FromStr for Query {
    type Err = QueryError;
    fn from_str(text: &str) -> Result<Query, QueryError> {
        Query::parse(text)
    }
}

/// Queries are equal if they parse to the same.
impl PartialEq for Query {
    fn eq(&self, other: &Query) -> bool {
        self.inner.node == other.inner.node
    }
}

/// The query in its plainest form, which parses to an equal one.
impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.node.fmt(f)
    }
}
