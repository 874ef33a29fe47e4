//! What is wrong with a configuration, and where.

use std::fmt;

use super::render::{self, escaped};
use super::{Node, Span};

/// How bad a [`Problem`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Nothing starts.
    Error,
    /// It starts, but hardly does what was meant.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// One thing that is wrong: what, where, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong: lower case, no full stop.
    pub message: String,
    /// The text that is wrong.
    pub span: Option<Span>,
    /// What would be right.
    pub help: Option<String>,
    /// How bad it is.
    pub severity: Severity,
}

impl Problem {
    /// An error without a place yet.
    #[must_use]
    pub fn error(message: impl Into<String>) -> Self {
        Self { message: message.into(), span: None, help: None, severity: Severity::Error }
    }

    /// A warning without a place yet.
    #[must_use]
    pub fn warning(message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(message) }
    }

    /// The same at a place.
    #[must_use]
    pub fn at(self, span: Span) -> Self {
        Self { span: Some(span), ..self }
    }

    /// The same with a way out.
    #[must_use]
    pub fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// The same with a way out, if there is one.
    #[must_use]
    pub fn maybe_help(self, help: Option<String>) -> Self {
        Self { help, ..self }
    }

    /// The same without the values of this part of the configuration that came from outside of the
    /// file: see [`Node::redact`].
    #[must_use]
    pub fn redacted(self, node: &Node) -> Self {
        let help = self.help.map(|help| node.redact(&help));
        Self { message: node.redact(&self.message), help, ..self }
    }

    /// The problem over several lines: place and message, the source line, the help.
    #[must_use]
    pub fn render(&self) -> String {
        render::problem(self)
    }
}

/// The problem in one line.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(span) = &self.span {
            write!(f, "{}: ", escaped(&span.to_string()))?;
        }
        write!(f, "{}: {}", self.severity, escaped(&self.message))?;
        match &self.help {
            Some(help) => write!(f, " ({})", escaped(help)),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Problem {}

/// Everything that was found wrong so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems {
    list: Vec<Problem>,
}

impl Problems {
    /// Nothing wrong yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a problem; one that is already there is not said twice.
    pub fn push(&mut self, problem: Problem) {
        if !self.list.contains(&problem) {
            self.list.push(problem);
        }
    }

    /// Takes the value, or keeps the problem and has none.
    pub fn note<T>(&mut self, result: Result<T, Problem>) -> Option<T> {
        result.map_err(|problem| self.push(problem)).ok()
    }

    /// The problems in the order in which they were found.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.list.iter()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is one that keeps everything from starting.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// The value and the warnings if there is no error, else all problems.
    pub fn into_result<T>(self, value: T) -> Result<(T, Problems), Problems> {
        if self.has_errors() { Err(self) } else { Ok((value, self)) }
    }

    /// All problems over several lines each, by file and line, with a blank line between them.
    #[must_use]
    pub fn render(&self) -> String {
        let mut sorted: Vec<_> = self.list.iter().collect();
        sorted.sort_by_key(|problem| {
            problem.span.as_ref().map(|span| (span.file.path().to_owned(), span.start))
        });
        let rendered: Vec<_> = sorted.into_iter().map(Problem::render).collect();
        rendered.join("\n")
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render())
    }
}

impl std::error::Error for Problems {}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self { list: vec![problem] }
    }
}

impl Extend<Problem> for Problems {
    fn extend<I: IntoIterator<Item = Problem>>(&mut self, problems: I) {
        problems.into_iter().for_each(|problem| self.push(problem));
    }
}

impl IntoIterator for Problems {
    type Item = Problem;
    type IntoIter = std::vec::IntoIter<Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::super::SourceFile;
    use super::*;

    #[test]
    fn one_line_names_the_place_the_mistake_and_the_way_out() {
        let file = SourceFile::new("a.yaml", "pth: x");
        let problem =
            Problem::error("unknown key `pth`").at(file.span(0..3)).help("did you mean `path`?");
        assert_eq!(
            problem.to_string(),
            "a.yaml:1:1: error: unknown key `pth` (did you mean `path`?)"
        );
        assert_eq!(Problem::warning("odd").to_string(), "warning: odd");
    }

    #[test]
    fn problems_are_rendered_by_place_and_said_once() {
        let file = SourceFile::new("a.yaml", "a\nb\n");
        let mut problems = Problems::new();
        problems.push(Problem::warning("second").at(file.span(2..3)));
        problems.push(Problem::error("first").at(file.span(0..1)));
        problems.push(Problem::error("first").at(file.span(0..1)));
        let rendered = problems.render();
        assert_eq!(problems.len(), 2);
        assert!(rendered.find("first").unwrap() < rendered.find("second").unwrap());
    }

    #[test]
    fn warnings_alone_let_a_value_through() {
        let warnings = Problems::from(Problem::warning("odd"));
        assert_eq!(warnings.clone().into_result(1), Ok((1, warnings)));
        let errors = Problems::from(Problem::error("wrong"));
        assert_eq!(errors.clone().into_result(1), Err(errors));
    }
}
