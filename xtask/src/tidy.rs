//! The rules of the house that neither the compiler nor clippy knows.
//!
//! Each rule is a pure function from the tree to its problems and is tested on trees made up for
//! the purpose; one more test runs them all on the tree we live in, so that `cargo test` says what
//! CI would say. `CONTRIBUTING.md` gives the reason of each rule.

mod ambient;
mod arrows;
mod files;
mod links;
mod plugins;
mod readme;
mod words;

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

/// Checks the tree and prints what is wrong with it.
pub(crate) fn run() -> Result<()> {
    let problems = problems()?;
    for problem in &problems {
        println!("{problem}");
    }
    match problems.len() {
        0 => Ok(()),
        1 => bail!("the tree has one untidy place"),
        n => bail!("the tree has {n} untidy places"),
    }
}

/// The root of the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the root")
}

fn problems() -> Result<Vec<Problem>> {
    let tree = Tree::read(root())?;
    let mut problems = arrows::check(&arrows::crates(root())?);
    for rule in
        [files::check, words::check, ambient::check, plugins::check, links::check, readme::check]
    {
        problems.extend(rule(&tree));
    }
    Ok(problems)
}

/// The files of the repository: what git tracks, and what it would track.
struct Tree {
    /// Text files, by path.
    sources: Vec<Source>,
    /// Paths of all files and folders, binary ones included.
    paths: BTreeSet<String>,
}

/// A text file.
struct Source {
    /// From the root, with `/` between the parts.
    path: String,
    text: String,
}

impl Tree {
    fn read(root: &Path) -> Result<Self> {
        let listed = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(root)
            .output()
            .context("cannot start git, which tells what belongs to the tree")?;
        ensure!(
            listed.status.success(),
            "git ls-files: {}",
            String::from_utf8_lossy(&listed.stderr).trim()
        );
        let listed = String::from_utf8(listed.stdout).context("a path is not UTF-8")?;
        let mut files = Vec::new();
        for path in listed.split_terminator('\0') {
            match std::fs::read(root.join(path)) {
                Ok(bytes) => files.push((path.to_owned(), bytes)),
                // Deleted, but not yet from the index.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(error).with_context(|| format!("cannot read {path}")),
            }
        }
        Ok(Self::new(files))
    }

    fn new(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        let mut tree = Self { sources: Vec::new(), paths: BTreeSet::new() };
        for (path, bytes) in files {
            tree.paths.extend(path.match_indices('/').map(|(end, _)| path[..end].to_owned()));
            tree.paths.insert(path.clone());
            if let Ok(text) = String::from_utf8(bytes) {
                tree.sources.push(Source { path, text });
            }
        }
        tree
    }

    fn source(&self, path: &str) -> Option<&Source> {
        self.sources.iter().find(|source| source.path == path)
    }

    /// The files whose name ends so.
    fn ending(&self, suffix: &str) -> impl Iterator<Item = &Source> {
        self.sources.iter().filter(move |source| source.path.ends_with(suffix))
    }
}

impl Source {
    /// The last part of the path.
    fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// Lines that ship, with their numbers from 1: neither comments nor tests.
    fn shipped(&self) -> impl Iterator<Item = (usize, &str)> {
        let is_test = self.path.contains("/tests/")
            || self.path.contains("/benches/")
            || self.path.ends_with("/tests.rs");
        let text = if is_test { "" } else { &self.text[..self.tests_from()] };
        (1..).zip(text.lines()).filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    /// Where the test module starts; by the order of the house it is the last thing in a file.
    fn tests_from(&self) -> usize {
        let opens_module = |start: &usize| {
            let mut lines = self.text[*start..].lines().skip_while(|line| line.starts_with("#["));
            lines.next().is_some_and(|line| line.starts_with("mod ") && line.ends_with('{'))
        };
        let mut marks = self.text.match_indices("\n#[cfg(test)]\n").map(|(end, _)| end + 1);
        marks.find(opens_module).unwrap_or(self.text.len())
    }
}

/// A place in the tree that breaks a rule.
#[derive(Debug, PartialEq)]
struct Problem {
    path: String,
    /// From 1; none where the rule is about the file as a whole.
    line: Option<usize>,
    message: String,
}

impl Problem {
    fn file(path: &str, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line: None, message: message.into() }
    }

    fn line(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line: Some(line), message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.path, self.message),
            None => write!(f, "{}: {}", self.path, self.message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a rule says of a tree with these files, one problem a line.
    pub(super) fn said(rule: fn(&Tree) -> Vec<Problem>, files: &[(&str, &str)]) -> String {
        let files = files.iter().map(|&(path, text)| (path.to_owned(), text.into()));
        shown(&rule(&Tree::new(files)))
    }

    pub(super) fn shown(problems: &[Problem]) -> String {
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_tree_we_live_in_is_tidy() {
        let problems = problems().unwrap();
        assert!(problems.is_empty(), "\n{}\n", shown(&problems));
    }

    #[test]
    fn folders_are_paths_and_binary_files_are_no_sources() {
        let tree = Tree::new([("a/b/c.gz".to_owned(), vec![0x1f, 0x8b, 0xff])]);
        assert_eq!(tree.paths.iter().collect::<Vec<_>>(), ["a", "a/b", "a/b/c.gz"]);
        assert!(tree.sources.is_empty());
    }

    #[test]
    fn comments_and_tests_do_not_ship() {
        let text = "//! doc\n#[cfg(test)]\nmod naive;\nfn a() {} // b\n\
                    #[cfg(test)]\n#[allow(x)]\nmod tests {\n    fn c() {}\n}\n";
        let source = Source { path: "crates/x/src/lib.rs".into(), text: text.into() };
        let shipped: Vec<_> = source.shipped().map(|(line, _)| line).collect();
        assert_eq!(shipped, [2, 3, 4]);
        let source = Source { path: "crates/x/tests/it.rs".into(), text: text.into() };
        assert_eq!(source.shipped().count(), 0);
    }
}
