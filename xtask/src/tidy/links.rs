//! Links between the pages lead somewhere: the file is there, and so is the heading.

use super::{Problem, Source, Tree};

pub(super) fn check(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for page in tree.ending(".md") {
        for (line, target) in links(&page.text) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            if let Some(message) = broken(tree, page, target) {
                problems.push(Problem::line(&page.path, line, message));
            }
        }
    }
    problems
}

fn broken(tree: &Tree, page: &Source, target: &str) -> Option<String> {
    let (file, heading) = match target.split_once('#') {
        Some((file, heading)) => (file, Some(heading)),
        None => (target, None),
    };
    let path = if file.is_empty() { page.path.clone() } else { resolve(&page.path, file)? };
    if !tree.paths.contains(&path) {
        return Some(format!("the link leads to `{path}`, which is not there"));
    }
    let target = tree.source(&path).filter(|source| source.path.ends_with(".md"))?;
    let heading = heading?;
    let there = prose(&target.text).any(|(_, text)| slug(text).is_some_and(|slug| slug == heading));
    (!there).then(|| format!("`{path}` has no heading `#{heading}`"))
}

/// Where `link` leads from the page at `from`; none for one that leaves the tree.
fn resolve(from: &str, link: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The targets of `[text](target)`, with their lines.
fn links(text: &str) -> impl Iterator<Item = (usize, &str)> {
    prose(text).flat_map(|(line, text)| {
        text.split("](").skip(1).filter_map(move |rest| {
            let (target, _) = rest.split_once(')')?;
            let target = target.split_once(' ').map_or(target, |(target, _title)| target);
            Some((line, target))
        })
    })
}

/// The lines outside of code blocks.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_code = false;
    (1..).zip(text.lines()).filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        in_code ^= fence;
        !in_code && !fence
    })
}

/// The name under which a heading is linked.
fn slug(line: &str) -> Option<String> {
    let title = line.strip_prefix('#')?.trim_start_matches('#').strip_prefix(' ')?;
    let kept = title.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    Some(kept.collect::<String>().to_lowercase().replace(' ', "-"))
}

#[cfg(test)]
mod tests {
    use super::super::tests::said;
    use super::*;

    #[test]
    fn a_link_to_a_missing_file_is_found() {
        let files =
            [("docs/a.md", "x\n[b](b.md) [c](../c.md \"title\") [d](d.md)\n"), ("c.md", "")];
        let expected = "\
docs/a.md:2: the link leads to `docs/b.md`, which is not there
docs/a.md:2: the link leads to `docs/d.md`, which is not there";
        assert_eq!(said(check, &files), expected);
    }

    #[test]
    fn files_folders_and_the_web_are_fine() {
        let page =
            "[a](docs/b.md) [b](docs/) [c](https://example.com/x) [d](#one-two)\n# One: two\n";
        assert_eq!(said(check, &[("README.md", page), ("docs/b.md", "")]), "");
    }

    #[test]
    fn a_link_to_a_missing_heading_is_found() {
        let files = [
            ("a.md", "[b](b.md#life-of-an-event) [c](b.md#gone)\n"),
            ("b.md", "## Life of an event\n"),
        ];
        assert_eq!(said(check, &files), "a.md:1: `b.md` has no heading `#gone`");
    }

    #[test]
    fn code_is_not_searched() {
        assert_eq!(said(check, &[("a.md", "```\nlist[0](x)\n```\n")]), "");
    }
}
