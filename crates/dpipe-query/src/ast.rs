//! A query as a tree, and how it prints: what is printed parses to the same tree.

use std::fmt;
use std::ops::Bound;

use dpipe_event::{Meta, Path, Segment};

/// A query, or a part of one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    All,
    Not(Box<Node>),
    /// At least two, none of them an `And`.
    And(Vec<Node>),
    /// At least two, none of them an `Or`.
    Or(Vec<Node>),
    Exists(Path),
    /// A test of one field, or of the event's text.
    Clause(Option<Path>, Clause),
}

/// A test of one value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Clause {
    Term(Vec<Glyph>),
    Phrase(String),
    Exact(String),
    Regex(String),
    Range(Bound<String>, Bound<String>),
}

/// A character of a term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Glyph {
    Char(char),
    /// `?`: any one character.
    One,
    /// `*`: any characters, none included.
    Many,
}

/// The term that has no wildcard.
pub(crate) fn glyphs_of(text: &str) -> Vec<Glyph> {
    text.chars().map(Glyph::Char).collect()
}

/// The text of a term; of its wildcards, their signs.
pub(crate) fn text_of(term: &[Glyph]) -> String {
    let sign = |glyph: &Glyph| match glyph {
        Glyph::Char(c) => *c,
        Glyph::One => '?',
        Glyph::Many => '*',
    };
    term.iter().map(sign).collect()
}

impl Node {
    /// All of these; what is nested is flattened.
    pub(crate) fn all_of(nodes: Vec<Node>) -> Node {
        Node::join(nodes, Node::And, |node| match node {
            Node::And(inner) => Ok(inner),
            other => Err(other),
        })
    }

    /// Any of these; what is nested is flattened.
    pub(crate) fn any_of(nodes: Vec<Node>) -> Node {
        Node::join(nodes, Node::Or, |node| match node {
            Node::Or(inner) => Ok(inner),
            other => Err(other),
        })
    }

    fn join(
        nodes: Vec<Node>,
        make: fn(Vec<Node>) -> Node,
        open: fn(Node) -> Result<Vec<Node>, Node>,
    ) -> Node {
        let mut flat = Vec::with_capacity(nodes.len());
        for node in nodes {
            match open(node) {
                Ok(inner) => flat.extend(inner),
                Err(other) => flat.push(other),
            }
        }
        if flat.len() == 1 { flat.remove(0) } else { make(flat) }
    }

    /// Calls `see` with every field that the query names.
    pub(crate) fn each_field(&self, see: &mut impl FnMut(&Path)) {
        match self {
            Node::All | Node::Clause(None, _) => {}
            Node::Not(node) => node.each_field(see),
            Node::And(nodes) | Node::Or(nodes) => nodes.iter().for_each(|n| n.each_field(see)),
            Node::Exists(path) | Node::Clause(Some(path), _) => see(path),
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |f: &mut fmt::Formatter<'_>, nodes: &[Node], word: &str| {
            for (i, node) in nodes.iter().enumerate() {
                if i > 0 {
                    f.write_str(word)?;
                }
                match node {
                    Node::Or(_) => write!(f, "({node})")?,
                    _ => write!(f, "{node}")?,
                }
            }
            Ok(())
        };
        match self {
            Node::All => f.write_str("*"),
            Node::Not(node) => match **node {
                Node::And(_) | Node::Or(_) => write!(f, "NOT ({node})"),
                _ => write!(f, "NOT {node}"),
            },
            Node::And(nodes) => joined(f, nodes, " AND "),
            Node::Or(nodes) => joined(f, nodes, " OR "),
            Node::Exists(path) => write!(f, "_exists_:{}", Field(path)),
            Node::Clause(None, clause) => write!(f, "{clause}"),
            Node::Clause(Some(path), clause) => write!(f, "{}:{clause}", Field(path)),
        }
    }
}

impl fmt::Display for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Clause::Term(glyphs) => write_term(f, glyphs),
            Clause::Phrase(text) => write_quoted(f, text),
            Clause::Exact(text) => {
                f.write_str("=")?;
                write_quoted(f, text)
            }
            // Every other backslash belongs to the expression.
            Clause::Regex(source) => write!(f, "/{}/", source.replace('/', "\\/")),
            Clause::Range(lower, upper) => {
                f.write_str(if matches!(lower, Bound::Excluded(_)) { "{" } else { "[" })?;
                write_bound(f, lower)?;
                f.write_str(" TO ")?;
                write_bound(f, upper)?;
                f.write_str(if matches!(upper, Bound::Excluded(_)) { "}" } else { "]" })
            }
        }
    }
}

fn write_term(f: &mut fmt::Formatter<'_>, glyphs: &[Glyph]) -> fmt::Result {
    if matches!(text_of(glyphs).as_str(), "AND" | "OR" | "NOT") {
        f.write_str("\\")?;
    }
    for glyph in glyphs {
        match glyph {
            Glyph::One => f.write_str("?")?,
            Glyph::Many => f.write_str("*")?,
            Glyph::Char(c) if is_plain(*c) || matches!(c, '.' | ',') => write!(f, "{c}")?,
            Glyph::Char(c) => write!(f, "\\{c}")?,
        }
    }
    Ok(())
}

fn write_quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    write!(f, "\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn write_bound(f: &mut fmt::Formatter<'_>, bound: &Bound<String>) -> fmt::Result {
    match bound {
        Bound::Unbounded => f.write_str("*"),
        Bound::Included(text) | Bound::Excluded(text) => {
            let bare = |c| is_plain(c) || matches!(c, '.' | '-' | '+' | ':');
            if text.is_empty() || text == "TO" || !text.chars().all(bare) {
                write_quoted(f, text)
            } else {
                f.write_str(text)
            }
        }
    }
}

/// Characters that mean themselves everywhere.
fn is_plain(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// A path as the name of a field in a query: every key that could be read as anything else is
/// quoted.
struct Field<'a>(&'a Path);

impl fmt::Display for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let segments = self.0.segments();
        for (i, segment) in segments.iter().enumerate() {
            match segment {
                Segment::Index(n) => write!(f, "[{n}]")?,
                Segment::Key(key) => {
                    if i > 0 {
                        f.write_str(".")?;
                    }
                    let alone = segments.len() == 1;
                    let taken = Meta::named(key).is_some() || &**key == "_exists_";
                    let shadowed = alone && taken && self.0.meta().is_none();
                    if key.is_empty() || shadowed || !key.chars().all(is_plain) {
                        write_quoted(f, key)?;
                    } else {
                        f.write_str(key)?;
                    }
                }
            }
        }
        Ok(())
    }
}
