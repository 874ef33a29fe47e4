//! What the YAML parser says, in words that help.

use std::sync::Arc;

use granit_parser::{ErrorKind, ScanError};

use dpipe_plugin::settings::{Problem, SourceFile};

/// Characters that mean something to YAML at the head of a value.
const INDICATORS: [char; 6] = ['*', '&', '%', '@', '`', '!'];

pub(super) fn explain(file: &Arc<SourceFile>, error: &ScanError) -> Problem {
    let text = file.text();
    let at = text.floor_char_boundary(error.marker().byte_offset().unwrap_or(text.len()));
    let rest = &text[at..];
    let next = rest.chars().next();
    let span = file.span(at..at + next.filter(|c| *c != '\n').map_or(0, char::len_utf8));
    let word = || rest.split([',', ']', '}', ' ', '\n', '\r']).next().unwrap_or_default();

    let reference = text[..at].ends_with('$') && rest.starts_with('{');
    if reference {
        let name = rest.split_inclusive('}').next().unwrap_or(rest).lines().next();
        let written = format!("${}", name.unwrap_or_default());
        return Problem::error("a `${…}` within [ ] or { } must stand in quotes")
            .at(file.span(at - 1..at - 1 + written.len()))
            .help(format!("write \"{written}\""));
    }
    if let Some(c) = next.filter(|c| INDICATORS.contains(c)) {
        let unknown = matches!(error.kind(), ErrorKind::UnknownAnchor);
        let message = if unknown && c == '*' && is_name(&word()[1..]) {
            format!("there is no anchor for the alias `{}`", word())
        } else {
            format!("a value that begins with `{c}` must stand in quotes")
        };
        return Problem::error(message)
            .at(file.span(at..at + word().len()))
            .help(format!("write \"{}\"", word()));
    }

    let after_bracket = text[..at].trim_end_matches(' ').ends_with(['}', ']']);
    let (message, help) = match error.kind() {
        ErrorKind::TabInPlainScalar
        | ErrorKind::TabNotAllowed
        | ErrorKind::TabInIndentation
        | ErrorKind::TabInBlockIndentation => {
            let tab = text[at..].find('\t').map_or(at, |tab| at + tab);
            return Problem::error("a tab is not allowed here")
                .at(file.span(tab..tab + 1))
                .help("indent with spaces");
        }
        ErrorKind::MappingValueNotAllowed => {
            return value_not_allowed(file, at);
        }
        ErrorKind::UnclosedQuotedScalar => ("this quote is never closed".to_owned(), None),
        ErrorKind::UnknownQuotedScalarEscape => (
            "the text in these quotes has an escape that does not exist".to_owned(),
            Some("write \\\\ for a backslash, or use single quotes"),
        ),
        ErrorKind::UnclosedFlowCollection { open } => {
            (format!("this `{open}` is never closed"), None)
        }
        ErrorKind::MismatchedFlowCollectionEnd { open, close } => {
            (format!("this `{open}` is closed by `{close}`"), None)
        }
        _ if after_bracket && !matches!(next, None | Some('\n')) => (
            "this stands behind a closed bracket".to_owned(),
            Some("a text that begins with `{` or `[` must stand in quotes"),
        ),
        ErrorKind::ExpectedFlowSequenceSeparator => ("expected `,` or `]`".to_owned(), None),
        ErrorKind::ExpectedFlowMappingSeparator => ("expected `,` or `}`".to_owned(), None),
        ErrorKind::ExpectedBlockMappingKey => (
            "expected a key here".to_owned(),
            Some("write `key: value`, indented like the keys above"),
        ),
        ErrorKind::ExpectedBlockSequenceEntry => (
            "expected a `-` here".to_owned(),
            Some("indent every item of a list alike, and begin it with `- `"),
        ),
        ErrorKind::InvalidColonPlacement => (
            "a `:` is not allowed here".to_owned(),
            Some("is a bracket or a quote above not closed?"),
        ),
        ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey => {
            ("expected `:` behind a key".to_owned(), None)
        }
        ErrorKind::InvalidIndentation => {
            ("this line is indented like none above it".to_owned(), None)
        }
        other => {
            let said = other.to_string();
            let what = said.strip_prefix("while ").and_then(|said| said.split_once(", "));
            (what.map_or(said.as_str(), |(_, what)| what).to_owned(), None)
        }
    };
    Problem::error(message).at(span).maybe_help(help.map(str::to_owned))
}

/// A second `:` in one value: either a colon in a text, or a key that is indented too far.
fn value_not_allowed(file: &Arc<SourceFile>, at: usize) -> Problem {
    let line_start = file.text()[..at].rfind('\n').map_or(0, |end| end + 1);
    let before = &file.text()[line_start..at];
    let help = if before.contains(": ") {
        "put a text with `: ` in quotes"
    } else {
        "indent this key like its neighbors; a key with a value takes no others below it"
    };
    Problem::error("a `:` is not allowed here").at(file.span(at..at + 1)).help(help)
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-')
}
