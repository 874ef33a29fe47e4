//! Words that have no place in the repository: they mean something to one person on one machine,
//! or put off what should be done now.

use super::{Problem, Tree};

/// A word and what is wrong with it. One in lower case stands for every case.
///
/// The words are taken apart here so that this file may hold them.
const BANNED: &[(&str, &str)] = &[
    (concat!("/wo", "rk/"), MACHINE),
    (concat!("/tmp/tar", "get"), MACHINE),
    (concat!("/ro", "ot/"), MACHINE),
    (concat!("../sha", "red/"), MACHINE),
    (concat!("static.", "crates.io"), MACHINE),
    (concat!("index.", "crates.io"), MACHINE),
    (concat!("this ", "session"), TALK),
    (concat!("previous ", "session"), TALK),
    (concat!("next ", "session"), TALK),
    (concat!("last ", "session"), TALK),
    (concat!("earlier ", "session"), TALK),
    (concat!("sub-", "agent"), TALK),
    (concat!("sub", "agent"), TALK),
    (concat!("the ", "brief"), TALK),
    (concat!("this ", "issue"), TALK),
    (concat!("next ", "issue"), TALK),
    (concat!("as ", "requested"), TALK),
    (concat!("as an ", "ai"), TALK),
    (concat!("language ", "model"), TALK),
    (concat!("chat", "gpt"), TALK),
    (concat!("open", "ai"), TALK),
    (concat!("anth", "ropic"), TALK),
    (concat!("clau", "de"), TALK),
    (concat!("TO", "DO"), LATER),
    (concat!("FIX", "ME"), LATER),
];

const MACHINE: &str = "exists on one machine only";
const TALK: &str = "speaks of how the work was done, not of the work";
const LATER: &str = "puts off; do it, or open an issue";

/// Written by cargo, and full of where crates come from.
const LOCK_FILE: &str = "Cargo.lock";

pub(super) fn check(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for source in tree.sources.iter().filter(|source| source.path != LOCK_FILE) {
        let lower = source.text.to_ascii_lowercase();
        let texts = source.text.lines().zip(lower.lines());
        for (line, (text, lower)) in (1..).zip(texts) {
            for (word, why) in BANNED {
                let any_case = !word.bytes().any(|byte| byte.is_ascii_uppercase());
                if has_word(if any_case { lower } else { text }, word) {
                    problems.push(Problem::line(&source.path, line, format!("`{word}` {why}")));
                }
            }
        }
    }
    problems
}

/// Whether `text` has `word`, and not merely as a part of a longer word.
fn has_word(text: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(start, _)| {
        let (before, after) = (&text[..start], &text[start + word.len()..]);
        let open_start = word.starts_with(part) && before.ends_with(part);
        let open_end = word.ends_with(part) && after.starts_with(part);
        // A path from the root starts here and does not go on from another.
        let inside_path = word.starts_with('/') && before.ends_with(part);
        !open_start && !open_end && !inside_path
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::said;
    use super::*;

    #[test]
    fn a_banned_word_is_found_with_its_line_and_reason() {
        let text = concat!("a\nsee /wo", "rk/main or a TO", "DO\n");
        let expected = concat!(
            "x.md:2: `/wo",
            "rk/` exists on one machine only\nx.md:2: `TO",
            "DO` puts off; do it, or open an issue"
        );
        assert_eq!(said(check, &[("x.md", text), ("Cargo.lock", text)]), expected);
    }

    #[test]
    fn words_in_lower_case_are_found_in_every_case() {
        let text = concat!("Language ", "Model\n");
        assert!(said(check, &[("x.rs", text)]).starts_with("x.rs:1: "));
    }

    #[test]
    fn a_longer_word_or_path_is_another_word() {
        let innocent = [
            concat!("todo = \"warn\" and MASTO", "DONS\n"),
            concat!("docs/wo", "rk/x and clau", "det\n"),
            "a session of a user; session*.log; the issue page\n",
        ];
        for text in innocent {
            assert_eq!(said(check, &[("x.md", text)]), "", "{text}");
        }
    }
}
