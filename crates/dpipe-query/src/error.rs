//! Mistakes in a query, each with its place.

/// What is wrong with a query, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}, at character {position} of the query `{text}`", position = .at + 1, text = self.excerpt().0)]
pub struct QueryError {
    /// What is wrong: lower case, no full stop.
    pub message: String,
    /// The first character concerned, counted from 0; the query's length if something is missing
    /// at its end.
    pub at: usize,
    /// How many characters are concerned; 0 at the end of the query.
    pub length: usize,
    /// The query as it was given.
    pub query: String,
}

/// How many characters of a long query are shown before and after the mistake.
const AROUND: usize = 60;

impl QueryError {
    /// The query with a line of carets under the mistake; a long query is cut around it.
    #[must_use]
    pub fn caret(&self) -> String {
        let (text, at) = self.excerpt();
        let room = text.chars().count().saturating_sub(at);
        let carets = "^".repeat(self.length.min(room).max(1));
        format!("{text}\n{:at$}{carets}", "")
    }

    /// The query in one line, cut around the mistake, and where the mistake is in it.
    fn excerpt(&self) -> (String, usize) {
        let from = self.at.saturating_sub(AROUND);
        let mut chars = self.query.chars().skip(from);
        let mut text = String::from(if from > 0 { "…" } else { "" });
        text.extend(chars.by_ref().take(self.at - from + AROUND).map(one_column));
        if chars.next().is_some() {
            text.push('…');
        }
        (text, self.at - from + usize::from(from > 0))
    }
}

/// Line ends and tabs would move the carets away from what they point at.
fn one_column(c: char) -> char {
    if c.is_whitespace() || c.is_control() { ' ' } else { c }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(query: &str, at: usize, length: usize) -> QueryError {
        QueryError { message: "expected a term".into(), at, length, query: query.into() }
    }

    #[test]
    fn an_error_says_what_and_where_in_one_line() {
        assert_eq!(
            error("a AND\n)", 6, 1).to_string(),
            "expected a term, at character 7 of the query `a AND )`"
        );
    }

    #[test]
    fn carets_stand_under_the_mistake() {
        assert_eq!(error("a OR AND b", 5, 3).caret(), "a OR AND b\n     ^^^");
        assert_eq!(error("a AND", 5, 0).caret(), "a AND\n     ^");
        assert_eq!(error("ä\tö )", 4, 1).caret(), "ä ö )\n    ^");
    }

    #[test]
    fn a_long_query_is_cut_around_the_mistake() {
        let long = format!("{} ) {}", "x".repeat(500), "y".repeat(500));
        let caret = error(&long, 501, 1).caret();
        let (text, carets) = caret.split_once('\n').unwrap();
        assert_eq!(text.chars().count(), 2 * AROUND + 2);
        assert_eq!(text.chars().nth(carets.chars().count() - 1), Some(')'));
    }
}
