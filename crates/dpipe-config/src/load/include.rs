//! `include:` - one configuration in several files.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use dpipe_plugin::settings::{Entry, Node, NodeValue, Problem, Problems, SourceFile, Span};

use super::surroundings::reason;
use super::{FILE_BYTES_MAX, Format, Loaded, Surroundings, parse, substitute};

/// Maps whose entries may be spread over files; every other key is given once.
const MERGED: [&str; 4] = ["tenants", "inputs", "filters", "outputs"];
const INCLUDE: &str = "include";
/// Files that include files that include files.
const DEPTH_MAX: usize = 16;
/// Files that one configuration may consist of.
const FILES_MAX: usize = 1_000;
/// The longest pattern for a name: what it compiles to is bounded by this.
const GLOB_BYTES_MAX: usize = 4096;

pub(super) fn load(path: &Path, surroundings: &dyn Surroundings) -> Result<Loaded, Problems> {
    let mut loader = Loader {
        surroundings,
        files: Vec::new(),
        reading: Vec::new(),
        read: Vec::new(),
        entries: Vec::new(),
        problems: Problems::new(),
    };
    let root_span = loader.file(path, None);
    let Loader { files, entries, problems, .. } = loader;
    let (span, warnings) = problems.into_result(root_span)?;
    let span = span.expect("a file that was not read is a problem");
    let folder = path.parent().unwrap_or(Path::new("")).to_owned();
    Ok(Loaded { root: Node::new(span, NodeValue::Map(entries)), files, folder, warnings })
}

struct Loader<'a> {
    surroundings: &'a dyn Surroundings,
    files: Vec<Arc<SourceFile>>,
    /// The chain of files that include each other down to the one being read.
    reading: Vec<PathBuf>,
    /// Files that are merged already; two files may include the same third one.
    read: Vec<PathBuf>,
    entries: Vec<Entry>,
    problems: Problems,
}

impl Loader<'_> {
    /// Reads a file and what it includes; the span of its content, if it could be read.
    fn file(&mut self, path: &Path, included_at: Option<&Node>) -> Option<Span> {
        let identity = normal(path);
        if let Some(from) = self.reading.iter().position(|reading| *reading == identity) {
            let chain: Vec<_> = self.reading[from..].iter().chain([&identity]).collect();
            let chain: Vec<_> = chain.iter().map(|path| path.display().to_string()).collect();
            self.refuse(
                "files include each other in a circle",
                included_at,
                Some(chain.join(" → ")),
            );
            return None;
        }
        if self.read.contains(&identity) {
            return None;
        }
        if self.reading.len() == DEPTH_MAX || self.files.len() == FILES_MAX {
            self.refuse("too many files include each other", included_at, None);
            return None;
        }
        let text = match self.text(path) {
            Ok(text) => text,
            Err(why) => {
                let message = format!("cannot read `{}`: {why}", path.display());
                self.refuse(&message, included_at, None);
                return None;
            }
        };
        let shown = path.display().to_string();
        let shown = included_at.map_or_else(|| shown.clone(), |node| node.redact(&shown));
        let file = SourceFile::new(shown, text);
        self.files.push(Arc::clone(&file));
        self.read.push(identity.clone());
        let mut root = match parse(&file, Format::of(path)) {
            Ok(root) => root,
            Err(problems) => {
                self.problems.extend(problems);
                return None;
            }
        };
        let folder = path.parent().unwrap_or(Path::new(""));
        if let Err(problems) = substitute(&mut root, folder, self.surroundings) {
            // What is wrong does not hide what else is wrong.
            self.problems.extend(problems);
        }

        let includes = root.remove(INCLUDE);
        let span = root.span.clone();
        match root.value {
            NodeValue::Map(entries) => entries.into_iter().for_each(|entry| self.merge(entry)),
            _ if included_at.is_some() && root.is_null() => {}
            _ => {
                let found = if root.is_null() { "nothing".to_owned() } else { root.describe() };
                let message =
                    format!("expected a configuration with `inputs` and `outputs`, found {found}");
                self.problems.push(Problem::error(message).at(span.clone()));
            }
        }
        if let Some(includes) = includes {
            self.reading.push(identity);
            self.include(&includes, folder);
            self.reading.pop();
        }
        Some(span)
    }

    fn refuse(&mut self, message: &str, included_at: Option<&Node>, help: Option<String>) {
        let problem = Problem::error(message).maybe_help(help);
        self.problems.push(match included_at {
            Some(node) => problem.at(node.span.clone()).redacted(node),
            None => problem,
        });
    }

    fn text(&self, path: &Path) -> Result<String, String> {
        let bytes =
            self.surroundings.read(path, FILE_BYTES_MAX + 1).map_err(|error| reason(&error))?;
        if bytes.len() > FILE_BYTES_MAX {
            return Err("it is larger than 4 MiB".to_owned());
        }
        String::from_utf8(bytes).map_err(|error| {
            let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = valid.iter().filter(|byte| **byte == b'\n').count() + 1;
            format!("it is not UTF-8 in line {line}")
        })
    }

    fn include(&mut self, includes: &Node, folder: &Path) {
        let patterns = match includes.as_list() {
            Some(items) => items,
            None => std::slice::from_ref(includes),
        };
        for pattern in patterns {
            let Some(text) = pattern.as_str().filter(|text| !text.is_empty()) else {
                let message = format!("expected a path or a pattern, found {}", pattern.describe());
                self.problems.push(pattern.problem(message));
                continue;
            };
            if !is_glob(text) {
                self.file(&folder.join(text), Some(pattern));
                continue;
            }
            match self.expand(folder, text) {
                Ok(paths) => {
                    if paths.is_empty() {
                        let warning = Problem::warning(format!("no file matches `{text}`"));
                        self.problems.push(warning.at(pattern.span.clone()).redacted(pattern));
                    }
                    // A pattern may well match the file in which it stands.
                    let own = self.reading.last().cloned();
                    let others = paths.into_iter().filter(|path| Some(normal(path)) != own);
                    for path in others {
                        self.file(&path, Some(pattern));
                    }
                }
                Err(message) => self.problems.push(pattern.problem(message)),
            }
        }
    }

    /// The files that a pattern matches, by name; a wildcard stays within one part of the path.
    fn expand(&self, folder: &Path, pattern: &str) -> Result<Vec<PathBuf>, String> {
        let mut found = vec![folder.to_owned()];
        for part in Path::new(pattern).components() {
            let part = part.as_os_str();
            let Some(glob) = part.to_str().filter(|part| is_glob(part)) else {
                found.iter_mut().for_each(|path| path.push(part));
                continue;
            };
            if glob.len() > GLOB_BYTES_MAX {
                return Err(format!("a pattern takes at most {GLOB_BYTES_MAX} bytes"));
            }
            let matcher = globset::Glob::new(glob)
                .map_err(|error| format!("`{glob}` is not a pattern: {}", error.kind()))?
                .compile_matcher();
            let mut next = Vec::new();
            for path in found {
                // A folder that is not there has no files that match.
                let names = self.surroundings.list(&path).unwrap_or_default();
                // As in a shell, what is hidden must be named.
                let shown = |name: &str| glob.starts_with('.') || !name.starts_with('.');
                let matching = names.iter().filter(|name| {
                    name.to_str().is_some_and(|name| shown(name) && matcher.is_match(name))
                });
                next.extend(matching.map(|name| path.join(name)));
            }
            next.sort();
            found = next;
        }
        Ok(found)
    }

    fn merge(&mut self, entry: Entry) {
        let existing = self.entries.iter_mut().find(|known| known.key == entry.key);
        let Some(existing) = existing else {
            self.entries.push(entry);
            return;
        };
        if !MERGED.contains(&entry.key.as_str()) {
            self.problems.push(given_twice("", &entry, existing));
            return;
        }
        if entry.value.as_map().is_none() {
            let message = format!("expected a map, found {}", entry.value.describe());
            self.problems.push(entry.value.problem(message));
            return;
        }
        if existing.value.is_null() {
            *existing = entry;
            return;
        }
        let (NodeValue::Map(known), NodeValue::Map(added)) =
            (&mut existing.value.value, entry.value.value)
        else {
            // What is there already is no map, and will be refused where it is read.
            return;
        };
        for new in added {
            match known.iter().find(|known| known.key == new.key) {
                Some(first) => self.problems.push(given_twice(&entry.key, &new, first)),
                None => known.push(new),
            }
        }
    }
}

fn given_twice(section: &str, second: &Entry, first: &Entry) -> Problem {
    let kind = section.strip_suffix('s').unwrap_or("key");
    Problem::error(format!("{kind} `{}` is given twice", second.key))
        .at(second.key_span().clone())
        .help(format!("it was first given at {}", first.key_span()))
}

fn is_glob(text: &str) -> bool {
    text.contains(['*', '?', '[', '{'])
}

/// A path without `.` and `x/..`, so that a file is known by one name.
pub(crate) fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir
                if matches!(out.components().next_back(), Some(Component::Normal(_))) =>
            {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}
