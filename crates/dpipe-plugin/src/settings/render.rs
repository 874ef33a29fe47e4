//! Problems as text for a terminal or a log.

use std::fmt::Write as _;

use super::Problem;

/// Longer lines are shown as a window around the mistake.
const WIDTH_MAX: usize = 100;
/// How much of the window lies before the mistake.
const BEFORE: usize = 40;

/// ```text
/// pipeline.yaml:12:5: error: unknown key `pth`
///    |
/// 12 |     pth: /tmp
///    |     ^^^
///    = help: did you mean `path`?
/// ```
pub(super) fn problem(problem: &Problem) -> String {
    let mut out = String::new();
    let mut margin = 2;
    if let Some(span) = &problem.span {
        let _ = write!(out, "{}: ", escaped(&span.to_string()));
    }
    let _ = writeln!(out, "{}: {}", problem.severity, escaped(&problem.message));
    if let Some(span) = &problem.span {
        let line = span.position().line;
        margin = line.to_string().len();
        let (start, text) = span.file.line(line);
        let from = ((span.start - start) as usize).min(text.len());
        let to = ((span.end - start) as usize).clamp(from, text.len());
        let (shown, indent, width) = excerpt(text, from, to);
        let _ = writeln!(out, "{:margin$} |", "");
        let _ = writeln!(out, "{line} | {shown}");
        let _ = writeln!(out, "{:margin$} | {:indent$}{}", "", "", "^".repeat(width));
    }
    if let Some(help) = &problem.help {
        let _ = writeln!(out, "{:margin$} = help: {}", "", escaped(help));
    }
    out
}

/// The line as shown, and the columns at which the underline begins and how many it spans.
fn excerpt(line: &str, from: usize, to: usize) -> (String, usize, usize) {
    // A mistake that runs to the end of the line is not underlined past its last word.
    let to = from + line[from..to].trim_end().len();
    let chars = line.chars().count();
    let first =
        if chars > WIDTH_MAX { line[..from].chars().count().saturating_sub(BEFORE) } else { 0 };

    let mut shown = String::new();
    let (mut indent, mut width, mut columns) = (0, 0, 0);
    if first > 0 {
        shown.push('…');
        columns = 1;
    }
    let mut cut = false;
    for (at, c) in line.char_indices().skip(first) {
        if columns >= WIDTH_MAX {
            cut = true;
            break;
        }
        if at == from {
            indent = columns;
        }
        let (text, cells) = cell(c);
        shown.push_str(&text);
        columns += cells;
        if (from..to).contains(&at) {
            width += cells;
        }
    }
    if from == line.len() {
        indent = columns;
    }
    if cut {
        shown.push('…');
    }
    (shown.trim_end().to_owned(), indent, width.max(1))
}

/// A character as it may be shown, and how many columns it takes.
fn cell(c: char) -> (String, usize) {
    match c {
        '\t' => ("    ".to_owned(), 4),
        _ if is_unsafe(c) => {
            let escaped = c.escape_unicode().to_string();
            let cells = escaped.len();
            (escaped, cells)
        }
        _ => (c.to_string(), if is_wide(c) { 2 } else { 1 }),
    }
}

/// The same text with everything that could move a cursor, hide or reorder it written as `\u{…}`.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unsafe(c) { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    out
}

/// Controls, direction marks, and characters without width.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}')
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// Whether a terminal gives the character two columns; the large East Asian blocks and emoji.
fn is_wide(c: char) -> bool {
    matches!(c, '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}' | '\u{1f300}'..='\u{1f64f}' | '\u{1f900}'..='\u{1f9ff}'
        | '\u{20000}'..='\u{3fffd}')
}

#[cfg(test)]
mod tests {
    use super::super::{Problem, SourceFile};

    fn rendered(text: &str, bytes: std::ops::Range<usize>) -> String {
        let file = SourceFile::new("a.yaml", text);
        Problem::error("wrong").at(file.span(bytes)).help("do it right").render()
    }

    #[test]
    fn a_problem_shows_the_line_a_caret_and_the_help() {
        assert_eq!(
            rendered("a: 1\n  pth: /tmp\n", 7..10),
            "a.yaml:2:3: error: wrong\n  |\n2 |   pth: /tmp\n  |   ^^^\n  = help: do it right\n"
        );
    }

    #[test]
    fn a_problem_over_several_lines_underlines_the_first() {
        assert!(rendered("a: 1\nb:  \n", 0..8).contains("1 | a: 1\n  | ^^^^\n"));
    }

    #[test]
    fn a_problem_at_the_end_of_the_file_has_one_caret_after_the_text() {
        assert!(rendered("a: [", 4..4).contains("1 | a: [\n  |     ^\n"));
        assert!(rendered("", 0..0).contains("1 | \n  | ^\n"));
    }

    #[test]
    fn carets_stand_under_wide_characters_and_tabs() {
        assert!(rendered("\t日本: x", 9..10).contains("|     日本: x\n  |           ^\n"));
        assert!(rendered("日本: x", 0..6).contains("  | ^^^^\n"));
    }

    #[test]
    fn control_and_direction_characters_of_the_source_are_escaped() {
        let shown = rendered("a: \u{1b}[31m\u{202e}x", 0..1);
        assert!(shown.contains(r"a: \u{1b}[31m\u{202e}x"), "{shown}");
        let message = Problem::error("bad \u{7}\u{200b}").to_string();
        assert_eq!(message, r"error: bad \u{7}\u{200b}");
    }

    #[test]
    fn a_long_line_is_shown_as_a_window_around_the_mistake() {
        let text = format!("{}pth{}", "x".repeat(5_000), "y".repeat(5_000));
        let shown = rendered(&text, 5_000..5_003);
        let lines: Vec<_> = shown.lines().collect();
        assert!(lines[2].contains("xpthy") && lines[2].chars().count() < 120, "{shown}");
        assert_eq!(lines[2].chars().position(|c| c == 'p'), lines[3].find('^'));
    }
}
