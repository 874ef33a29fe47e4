//! `${VAR}`, `${VAR:-default}`, `${VAR:?message}`, `${file:/path}`, and `$$` for a dollar.
//!
//! Only string values are looked into, only once, and only after parsing: what comes out of a
//! variable or a file is text, whatever it looks like, and is never looked into again.

use std::path::Path;

use dpipe_plugin::settings::{
    Node, NodeValue, Problem, Problems, Scalar, ScalarKind, Substituted, nearest,
};

use super::Surroundings;
use super::surroundings::reason;

/// A secret file larger than this is not a secret.
const SECRET_BYTES_MAX: usize = 64 << 10;
/// A default may hold a `${…}`, which may have a default, and so on.
const DEFAULTS_DEPTH_MAX: usize = 8;

pub(super) fn substitute(
    root: &mut Node,
    folder: &Path,
    surroundings: &dyn Surroundings,
) -> Result<(), Problems> {
    let mut problems = Problems::new();
    Substitution { folder, surroundings }.walk(root, &mut problems);
    problems.into_result(()).map(|_| ())
}

struct Substitution<'a> {
    folder: &'a Path,
    surroundings: &'a dyn Surroundings,
}

/// What is wrong with a `${…}`, and where in the text.
struct Mistake {
    at: std::ops::Range<usize>,
    message: String,
    help: Option<String>,
}

impl Substitution<'_> {
    fn walk(&self, node: &mut Node, problems: &mut Problems) {
        match &mut node.value {
            NodeValue::List(items) => items.iter_mut().for_each(|item| self.walk(item, problems)),
            NodeValue::Map(entries) => {
                entries.iter_mut().for_each(|entry| self.walk(&mut entry.value, problems));
            }
            NodeValue::Scalar(scalar) => {
                if scalar.kind != ScalarKind::String || !scalar.text.contains('$') {
                    return;
                }
                let mut pieces = Vec::new();
                match self.expand(&scalar.text, 0, &mut pieces) {
                    Ok(text) => *scalar = retyped(scalar, text, pieces),
                    Err(Mistake { at, message, help }) => {
                        let span = node.span_in_text(at);
                        problems.push(Problem::error(message).at(span).maybe_help(help));
                    }
                }
            }
        }
    }

    fn expand(
        &self,
        text: &str,
        depth: usize,
        pieces: &mut Vec<Substituted>,
    ) -> Result<String, Mistake> {
        let mut out = String::with_capacity(text.len());
        let mut at = 0;
        while let Some(dollar) = text[at..].find('$').map(|found| at + found) {
            out.push_str(&text[at..dollar]);
            let rest = &text[dollar..];
            if rest.starts_with("$$") {
                out.push('$');
                at = dollar + 2;
            } else if rest.starts_with("${") {
                let len = closed(rest).ok_or_else(|| Mistake {
                    at: dollar..dollar + 2,
                    message: "this `${` is never closed".to_owned(),
                    help: Some("write `$$` for a dollar that is meant as one".to_owned()),
                })?;
                let within = |mistake: Mistake| Mistake { at: dollar..dollar + len, ..mistake };
                let value = self.value(&rest[2..len - 1], depth, pieces).map_err(within)?;
                pieces.push(Substituted { written: rest[..len].to_owned(), value: value.clone() });
                out.push_str(&value);
                at = dollar + len;
            } else {
                // A lone dollar is one: the end of a regular expression, a price.
                out.push('$');
                at = dollar + 1;
            }
        }
        out.push_str(&text[at..]);
        Ok(out)
    }

    /// What stands for the inside of a `${…}`.
    fn value(
        &self,
        inside: &str,
        depth: usize,
        pieces: &mut Vec<Substituted>,
    ) -> Result<String, Mistake> {
        let mistake = |message, help| Err(Mistake { at: 0..0, message, help });
        if let Some(path) = inside.strip_prefix("file:") {
            return self.file(path).or_else(|message| mistake(message, None));
        }
        let name_end = inside.find(|c: char| !is_name_char(c)).unwrap_or(inside.len());
        let (name, rest) = inside.split_at(name_end);
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            let message = format!("`${{{inside}}}` does not name a variable");
            return mistake(
                message,
                Some("write `$$` for a dollar that is meant as one".to_owned()),
            );
        }
        let value = match self.surroundings.variable(name).map(std::ffi::OsString::into_string) {
            Some(Err(_)) => {
                return mistake(format!("environment variable `{name}` is not UTF-8"), None);
            }
            Some(Ok(value)) => Some(value),
            None => None,
        };
        let not_empty = value.clone().filter(|value| !value.is_empty());
        if rest.is_empty() {
            value.map_or_else(
                || {
                    let help = format!("set it, or give a default: `${{{name}:-…}}`");
                    mistake(format!("environment variable `{name}` is not set"), Some(help))
                },
                Ok,
            )
        } else if let Some(default) = rest.strip_prefix(":-") {
            match not_empty {
                Some(value) => Ok(value),
                None if depth == DEFAULTS_DEPTH_MAX => {
                    mistake("defaults within defaults are too deep".to_owned(), None)
                }
                None => self.expand(default, depth + 1, pieces),
            }
        } else if let Some(message) = rest.strip_prefix(":?") {
            let reason = if message.is_empty() { "it is not set" } else { message };
            not_empty.map_or_else(
                || mistake(format!("environment variable `{name}` is needed: {reason}"), None),
                Ok,
            )
        } else {
            let help =
                "there is `${VAR}`, `${VAR:-default}`, `${VAR:?message}` and `${file:/path}`";
            let near = nearest(name, ["file"]).map(|_| "did you mean `${file:…}`?");
            let message = format!("`${{{inside}}}` is none of the forms that are known");
            mistake(message, Some(near.unwrap_or(help).to_owned()))
        }
    }

    /// The text of a file, without the line end that editors put behind it.
    fn file(&self, path: &str) -> Result<String, String> {
        let why = |reason: &str| format!("cannot read `{path}`: {reason}");
        let bytes = self
            .surroundings
            .read(&self.folder.join(path), SECRET_BYTES_MAX + 1)
            .map_err(|error| why(&reason(&error)))?;
        if bytes.len() > SECRET_BYTES_MAX {
            return Err(why("it is larger than 64 KiB"));
        }
        let mut text = String::from_utf8(bytes).map_err(|_| why("it is not UTF-8"))?;
        let trimmed = text
            .strip_suffix('\n')
            .map_or(text.len(), |line| line.strip_suffix('\r').unwrap_or(line).len());
        text.truncate(trimmed);
        Ok(text)
    }
}

/// A scalar without quotes becomes what its new text looks like, except nothing: a variable that
/// happens to hold `null` is a text.
fn retyped(old: &Scalar, text: String, substituted: Vec<Substituted>) -> Scalar {
    let new = match Scalar::plain(text.as_str()).kind {
        _ if old.quoted || substituted.is_empty() => ScalarKind::String,
        ScalarKind::Null => ScalarKind::String,
        kind => kind,
    };
    Scalar { kind: new, text, quoted: old.quoted, substituted }
}

/// The length of the `${…}` at the head of a text, inner ones included.
fn closed(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '$' if chars.next_if(|(_, next)| *next == '{').is_some() => depth += 1,
            '}' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}
