//! From grok to a regular expression: every `%{NAME:field:type}` becomes the group of its definition.

use std::collections::BTreeMap;
use std::fmt;

use dpipe_plugin::settings::nearest;

use super::table;
use crate::types::Type;

/// How deep definitions name each other.
const DEPTH_MAX: usize = 20;
/// The longest expression, in bytes.
const BYTES_MAX: usize = 256 * 1024;

/// An expression, and the names of its groups.
pub(super) struct Expanded {
    pub(super) source: String,
    /// The group `__n` is that of the n-th field.
    pub(super) fields: Vec<(String, Type)>,
}

/// Why there is no expression.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Unclosed,
    UnknownPattern { name: String, nearest: Option<String> },
    UnknownType(String),
    EmptyField,
    TooDeep(String),
    TooLong,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Unclosed => f.write_str("`%{` has no `}`"),
            Fault::UnknownPattern { name, nearest: None } => {
                write!(f, "there is no pattern `{name}`")
            }
            Fault::UnknownPattern { name, nearest: Some(nearest) } => {
                write!(f, "there is no pattern `{name}`, did you mean `{nearest}`?")
            }
            Fault::UnknownType(name) => {
                write!(f, "there is no type `{name}`; there are int, float, string and bool")
            }
            Fault::EmptyField => f.write_str("the name of a field is empty"),
            Fault::TooDeep(name) => write!(f, "`{name}` names itself, or is nested too deep"),
            Fault::TooLong => {
                write!(f, "it is longer than {} KiB with all its patterns", BYTES_MAX / 1024)
            }
        }
    }
}

/// Where patterns are looked up.
pub(super) struct Patterns<'a> {
    pub(super) custom: &'a BTreeMap<String, String>,
    pub(super) ecs: bool,
}

impl Patterns<'_> {
    pub(super) fn expand(&self, text: &str) -> Result<Expanded, Fault> {
        let mut expanded = Expanded { source: String::new(), fields: Vec::new() };
        self.push(text, 0, &mut expanded)?;
        Ok(expanded)
    }

    fn push(&self, text: &str, depth: usize, into: &mut Expanded) -> Result<(), Fault> {
        let mut rest = text;
        while let Some(start) = rest.find("%{") {
            into.source.push_str(&rest[..start]);
            let inner = &rest[start + 2..];
            let end = inner.find('}').ok_or(Fault::Unclosed)?;
            let mut parts = inner[..end].splitn(3, ':');
            let name = parts.next().unwrap_or_default();
            match parts.next() {
                None => into.source.push_str("(?:"),
                Some("") => return Err(Fault::EmptyField),
                Some(field) => {
                    let to = match parts.next() {
                        None | Some("string") => Type::String,
                        Some("int" | "long") => Type::Int,
                        Some("float" | "double") => Type::Float,
                        Some("bool" | "boolean") => Type::Bool,
                        Some(other) => return Err(Fault::UnknownType(other.to_owned())),
                    };
                    into.source.push_str(&format!("(?P<__{}>", into.fields.len()));
                    into.fields.push((field.to_owned(), to));
                }
            }
            if depth == DEPTH_MAX {
                return Err(Fault::TooDeep(name.to_owned()));
            }
            self.push(self.find(name)?, depth + 1, into)?;
            into.source.push(')');
            rest = &inner[end + 1..];
        }
        into.source.push_str(rest);
        if into.source.len() > BYTES_MAX { Err(Fault::TooLong) } else { Ok(()) }
    }

    fn find(&self, name: &str) -> Result<&str, Fault> {
        let custom = self.custom.get(name).map(String::as_str);
        custom.or_else(|| table::find(name, self.ecs)).ok_or_else(|| {
            let known: Vec<&str> = table::all()
                .map(|entry| entry.name)
                .chain(self.custom.keys().map(String::as_str))
                .collect();
            let nearest = nearest(name, &known).map(str::to_owned);
            Fault::UnknownPattern { name: name.to_owned(), nearest }
        })
    }
}
