//! Where a value was written.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// The text of one configuration file, with an index of its lines.
pub struct SourceFile {
    path: String,
    text: String,
    line_starts: Vec<u32>,
}

impl SourceFile {
    /// Takes a file's text under the path that diagnostics shall show.
    ///
    /// Only the first 4 GiB can be pointed at, which is far above what a loader lets in.
    #[must_use]
    pub fn new(path: impl Into<String>, text: impl Into<String>) -> Arc<Self> {
        let text = text.into();
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let line_starts = std::iter::once(0).chain(ends.map(|(at, _)| offset(at + 1))).collect();
        Arc::new(Self { path: path.into(), text, line_starts })
    }

    /// The path as diagnostics show it.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The whole text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// A span of this file; the ends are cut back to the text and to character borders.
    #[must_use]
    pub fn span(self: &Arc<Self>, bytes: Range<usize>) -> Span {
        let start = self.text.floor_char_boundary(bytes.start);
        let end = self.text.ceil_char_boundary(bytes.end).max(start);
        Span { file: Arc::clone(self), start: offset(start), end: offset(end) }
    }

    /// The line and column of a byte offset.
    #[must_use]
    pub fn position(&self, at: u32) -> Position {
        let line = self.line_starts.partition_point(|start| *start <= at);
        let start = self.line_starts[line - 1] as usize;
        let end = self.text.floor_char_boundary(at as usize).max(start);
        let column = self.text[start..end].chars().filter(|c| *c != BYTE_ORDER_MARK).count() + 1;
        Position { line, column }
    }

    /// The text of a line (counted from 1) without its line end, and where it starts.
    pub(super) fn line(&self, line: usize) -> (u32, &str) {
        let start = self.line_starts[line - 1];
        let end = self.line_starts.get(line).map_or(self.text.len(), |next| *next as usize);
        (start, self.text[start as usize..end].trim_end_matches(['\n', '\r']))
    }
}

/// Some editors put this invisible mark at the head of a file; it is no column of its own.
const BYTE_ORDER_MARK: char = '\u{feff}';

fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

impl fmt::Debug for SourceFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceFile").field("path", &self.path).finish_non_exhaustive()
    }
}

/// A line and a column, both counted from 1, the column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

/// A piece of a configuration file: byte offsets into its text.
#[derive(Clone)]
pub struct Span {
    /// The file.
    pub file: Arc<SourceFile>,
    /// The first byte.
    pub start: u32,
    /// The byte after the last.
    pub end: u32,
}

impl Span {
    /// Line and column of the first byte.
    #[must_use]
    pub fn position(&self) -> Position {
        self.file.position(self.start)
    }

    /// The text as written.
    #[must_use]
    pub fn text(&self) -> &str {
        self.file.text.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    /// A piece of this piece, by byte offsets counted from its start.
    #[must_use]
    pub fn part(&self, bytes: Range<usize>) -> Self {
        let (start, end) = (self.start as usize, self.end as usize);
        self.file.span((start + bytes.start).min(end)..(start + bytes.end).min(end))
    }
}

/// `path:line:column`
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { line, column } = self.position();
        write!(f, "{}:{line}:{column}", self.file.path)
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}+{}", self.end.saturating_sub(self.start))
    }
}

impl PartialEq for Span {
    fn eq(&self, other: &Self) -> bool {
        self.start == other.start
            && self.end == other.end
            && (Arc::ptr_eq(&self.file, &other.file) || self.file.path == other.file.path)
    }
}

impl Eq for Span {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_counts_lines_from_one_and_columns_in_characters() {
        let file = SourceFile::new("a.yaml", "ä: 1\nβγ: x\r\n");
        assert_eq!(file.span(0..1).position(), Position { line: 1, column: 1 });
        assert_eq!(file.span(4..5).position(), Position { line: 1, column: 4 });
        assert_eq!(file.span(12..13).to_string(), "a.yaml:2:5");
        assert_eq!(file.line(2), (6, "βγ: x"));
    }

    #[test]
    fn a_span_never_leaves_the_text_nor_splits_a_character() {
        let file = SourceFile::new("a.yaml", "äö");
        assert_eq!(file.span(1..3).text(), "äö");
        assert_eq!(file.span(2..99).text(), "ö");
        assert_eq!(file.span(0..4).part(2..99).text(), "ö");
        assert_eq!(file.span(99..100).position(), Position { line: 1, column: 3 });
    }

    #[test]
    fn a_byte_order_mark_is_not_a_column() {
        let file = SourceFile::new("a.yaml", "\u{feff}a: 1");
        assert_eq!(file.span(3..4).position().column, 1);
    }
}
