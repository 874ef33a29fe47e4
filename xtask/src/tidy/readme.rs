//! The README's two commands: CI and newcomers take them from the page as they are.

use super::{Problem, Tree};

const README: &str = "README.md";
const HEADINGS: &[&str] = &["## Run it", "## Test it"];

pub(super) fn check(tree: &Tree) -> Vec<Problem> {
    let Some(readme) = tree.source(README) else {
        return vec![Problem::file(README, "is missing")];
    };
    let mut problems = Vec::new();
    for heading in HEADINGS {
        let blocks = blocks(&readme.text, heading);
        let alone = matches!(blocks.as_slice(), [block] if matches!(block.as_slice(), [line] if !line.is_empty()));
        if !alone {
            let message = format!("`{heading}` needs one code block with one command alone in it");
            problems.push(Problem::file(README, message));
        }
    }
    problems
}

/// The code blocks of the section under `heading`, as their lines.
fn blocks<'a>(text: &'a str, heading: &str) -> Vec<Vec<&'a str>> {
    let mut blocks = Vec::new();
    let mut open: Option<Vec<&str>> = None;
    for line in text.lines().skip_while(|line| *line != heading).skip(1) {
        match (&mut open, line.starts_with("```")) {
            (None, true) => open = Some(Vec::new()),
            (Some(_), true) => blocks.extend(open.take()),
            (Some(block), false) => block.push(line),
            (None, false) if line.starts_with("## ") => break,
            (None, false) => {}
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::super::tests::said;
    use super::*;

    const GOOD: &str = "\
# x

## Run it

```sh
run
```

words

## Test it

```sh
test
```

## More

```sh
more
```
";

    #[test]
    fn each_command_stands_alone() {
        assert_eq!(said(check, &[(README, GOOD)]), "");
        for bad in ["test\nmore", "test\n```\n\n```sh\nmore", ""] {
            let expected =
                "README.md: `## Test it` needs one code block with one command alone in it";
            assert_eq!(said(check, &[(README, &GOOD.replace("test", bad))]), expected, "{bad}");
        }
    }

    #[test]
    fn a_missing_section_is_found() {
        let expected = "README.md: `## Run it` needs one code block with one command alone in it";
        assert_eq!(said(check, &[(README, &GOOD.replace("## Run it", "## Start it"))]), expected);
    }
}
