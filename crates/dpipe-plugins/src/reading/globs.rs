//! Which files: globs with exclusions, and the walk through the folders that can hold a match.

use std::borrow::Cow;
use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use dpipe_env::{EntryKind, Files};
use dpipe_plugin::settings::error_in_text;
use dpipe_plugin::{BuildContext, BuildError, FileGlobs};
use globset::{Glob, GlobBuilder, GlobMatcher, GlobSet, GlobSetBuilder};
use serde::{Deserialize, Deserializer, Serialize};

/// What makes a part of a glob more than a name.
const SPECIAL: [char; 7] = ['*', '?', '[', ']', '{', '}', '\\'];

/// The longest glob. Compiled, it stays far below what the engine behind it allows.
const GLOB_BYTES_MAX: usize = 4096;

/// A glob as written in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Pattern(String);

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match glob(&text) {
            _ if text.len() > GLOB_BYTES_MAX => {
                let message = format_args!("a glob takes at most {GLOB_BYTES_MAX} bytes");
                Err(error_in_text(0..text.len(), message))
            }
            Ok(_) if !text.is_empty() => Ok(Pattern(text)),
            Ok(_) => Err(error_in_text(0..0, "expected a glob such as `logs/*.log`")),
            Err(error) => {
                let why = error.kind();
                Err(error_in_text(0..text.len(), format_args!("`{text}` is not a glob: {why}")))
            }
        }
    }
}

impl schemars::JsonSchema for Pattern {
    fn schema_name() -> Cow<'static, str> {
        "Glob".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "A glob: `*`, `?`, `[a-z]`, `{a,b}`; `**` stands for any folders."
        })
    }
}

/// The globs as [`dpipe_plugin::InputSpec::reads`] tells them.
pub(crate) fn file_globs(include: &[Pattern], exclude: &[Pattern]) -> FileGlobs {
    let texts = |patterns: &[Pattern]| patterns.iter().map(|Pattern(text)| text.clone()).collect();
    FileGlobs { include: texts(include), exclude: texts(exclude) }
}

/// Include and exclude globs, ready to walk and to match.
#[derive(Debug)]
pub(crate) struct Globs {
    /// The folders where walks start.
    roots: Vec<PathBuf>,
    files: GlobSet,
    /// The folders that can hold a match.
    folders: GlobSet,
    excluded: GlobSet,
    excluded_names: GlobSet,
    /// Each inclusion as written, what it matches, and the path that it is if it has no wildcard;
    /// until it was looked at whether there is any.
    unproven: Vec<(String, GlobMatcher, PathBuf)>,
}

impl Globs {
    /// Relative globs start at the configuration's folder. An exclusion without a slash is about
    /// the file's name, wherever it is.
    pub(crate) fn new(
        include: &[Pattern],
        exclude: &[Pattern],
        context: &BuildContext<'_>,
    ) -> Result<Self, BuildError> {
        let mut sets = [const { Vec::new() }; 4];
        let [files, folders, excluded, excluded_names] = &mut sets;
        let mut roots = Vec::new();
        let mut unproven = Vec::new();
        let failed = |error| BuildError::caused("cannot use the globs together", error);
        for Pattern(text) in include {
            let (base, rest) = place(text, context);
            let parts = split(rest);
            // A glob that ends in `**` is about files in any folder.
            let is_open = parts.last() == Some(&"**");
            let names = &parts[..parts.len() - usize::from(!is_open)];
            let literal = names.iter().take_while(|name| !name.contains(SPECIAL)).count();
            roots.push(names[..literal].iter().fold(base.clone(), |path, name| path.join(name)));
            let mut folder = escaped(&base);
            for name in names {
                folder = format!("{folder}/{name}");
                folders.push(folder.clone());
                if *name == "**" {
                    break;
                }
            }
            let whole = format!("{}/{rest}", escaped(&base));
            let matcher = glob(&whole).map_err(failed)?.compile_matcher();
            unproven.push((text.clone(), matcher, base.join(rest.trim_end_matches('/'))));
            files.push(whole);
        }
        for Pattern(text) in exclude {
            if text.contains('/') {
                let (base, rest) = place(text, context);
                excluded.push(format!("{}/{rest}", escaped(&base)));
            } else {
                excluded_names.push(text.clone());
            }
        }
        roots.sort();
        roots.dedup();
        let build = |globs: Vec<String>| {
            let mut set = GlobSetBuilder::new();
            for text in globs {
                set.add(glob(&text)?);
            }
            set.build()
        };
        let [files, folders, excluded, excluded_names] = sets.map(build);
        Ok(Globs {
            roots,
            files: files.map_err(failed)?,
            folders: folders.map_err(failed)?,
            excluded: excluded.map_err(failed)?,
            excluded_names: excluded_names.map_err(failed)?,
            unproven,
        })
    }

    /// For each inclusion by which nothing was found, what to tell its owner; told once.
    pub(crate) fn missing(&mut self, files: &dyn Files, found: &[PathBuf]) -> Vec<String> {
        let missing = std::mem::take(&mut self.unproven).into_iter();
        let missing = missing.filter(|(_, glob, _)| !found.iter().any(|path| glob.is_match(path)));
        let told = missing.map(|(text, _, path)| {
            if files.stat(&path).is_ok_and(|stat| stat.is_dir) {
                let text = text.trim_end_matches('/');
                format!("`{text}` is a folder: write `{text}/*` to read what is in it")
            } else {
                format!("no file matches `{text}` yet")
            }
        });
        told.collect()
    }

    /// Whether the file is meant.
    pub(crate) fn matches(&self, path: &Path) -> bool {
        self.files.is_match(path)
            && !self.excluded.is_match(path)
            && !path.file_name().is_some_and(|name| self.excluded_names.is_match(name))
    }

    /// Whether a file that is meant can be in the folder, or below it.
    pub(crate) fn may_hold(&self, folder: &Path) -> bool {
        self.folders.is_match(folder) || self.roots.iter().any(|root| root.starts_with(folder))
    }

    /// All files that are meant, in no order, symbolic links among them. `enter` is told of each
    /// folder before it is read; `fail` of each that cannot be.
    pub(crate) fn walk(
        &self,
        files: &dyn Files,
        mut enter: impl FnMut(&Path),
        mut fail: impl FnMut(&Path, io::Error),
    ) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut been = HashSet::new();
        let mut folders = self.roots.clone();
        while let Some(folder) = folders.pop() {
            // Links can lead in circles, and roots can lie within each other.
            match files.stat(&folder) {
                Ok(stat) if !stat.is_dir || !been.insert(stat.id) => continue,
                Ok(_) => {}
                Err(error) => {
                    if let Some(above) = existing(files, &folder) {
                        enter(&above);
                    }
                    if error.kind() != io::ErrorKind::NotFound {
                        fail(&folder, error);
                    }
                    continue;
                }
            }
            enter(&folder);
            let entries = match files.read_dir(&folder) {
                Ok(entries) => entries,
                Err(error) => {
                    fail(&folder, error);
                    continue;
                }
            };
            for entry in entries {
                let is_dir = match entry.kind {
                    EntryKind::Dir => true,
                    EntryKind::Link => files.stat(&entry.path).is_ok_and(|stat| stat.is_dir),
                    EntryKind::File | EntryKind::Other => false,
                };
                if is_dir {
                    if self.may_hold(&entry.path) && !self.excluded.is_match(&entry.path) {
                        folders.push(entry.path);
                    }
                } else if entry.kind != EntryKind::Other && self.matches(&entry.path) {
                    found.push(entry.path);
                }
            }
        }
        found
    }
}

/// The nearest folder above that exists.
fn existing(files: &dyn Files, path: &Path) -> Option<PathBuf> {
    let mut above = path.ancestors().skip(1);
    above.find(|folder| files.stat(folder).is_ok_and(|stat| stat.is_dir)).map(Path::to_owned)
}

/// `*` and `?` do not cross a slash.
fn glob(text: &str) -> Result<Glob, globset::Error> {
    GlobBuilder::new(text).literal_separator(true).backslash_escape(true).build()
}

/// The folder at which a pattern starts, and what of it is left below that.
fn place<'a>(pattern: &'a str, context: &BuildContext<'_>) -> (PathBuf, &'a str) {
    let (base, mut rest) = match pattern.strip_prefix("{data_dir}") {
        Some(rest) => (context.resolve("{data_dir}"), rest),
        None if pattern.starts_with('/') => (PathBuf::from("/"), pattern),
        None => (context.resolve("."), pattern),
    };
    let mut base = context.env.files().canonical(&base).unwrap_or(base);
    loop {
        if let Some(after) = rest.strip_prefix('/').or_else(|| rest.strip_prefix("./")) {
            rest = after;
        } else if let Some(after) = rest.strip_prefix("../") {
            base.pop();
            rest = after;
        } else {
            return (base, rest);
        }
    }
}

/// A glob for just this folder, without a slash at its end.
fn escaped(folder: &Path) -> String {
    globset::escape(folder.to_string_lossy().trim_end_matches('/'))
}

/// The parts between slashes. Slashes within `{…}` or `[…]` separate nothing.
fn split(pattern: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut depth, mut in_class, mut is_escaped) = (0, 0_usize, false, false);
    for (at, byte) in pattern.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'[' => in_class = true,
            b']' => in_class = false,
            b'{' if !in_class => depth += 1,
            b'}' if !in_class => depth = depth.saturating_sub(1),
            b'/' if depth == 0 && !in_class => {
                parts.push(&pattern[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&pattern[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use dpipe_env::{Env, RealEnv};
    use dpipe_plugin::Shared;

    use super::*;

    fn globs(dir: &Path, include: &[&str], exclude: &[&str]) -> Globs {
        let env: Arc<dyn Env> = Arc::new(RealEnv);
        let shared = Shared::default();
        let context = BuildContext {
            env: &env,
            node: "logs",
            step: 0,
            data_dir: &dir.join("data"),
            config_dir: dir,
            shared: &shared,
            decoder: None,
        };
        let patterns =
            |texts: &[&str]| texts.iter().map(|&t| Pattern(t.into())).collect::<Vec<_>>();
        Globs::new(&patterns(include), &patterns(exclude), &context).unwrap()
    }

    fn walked(dir: &Path, globs: &Globs) -> (Vec<String>, Vec<String>) {
        let short = |path: &Path| path.strip_prefix(dir).unwrap().to_string_lossy().into_owned();
        let mut folders = Vec::new();
        let found = globs.walk(
            RealEnv.files(),
            |folder| folders.push(short(folder)),
            |folder, error| panic!("{}: {error}", folder.display()),
        );
        let mut found: Vec<_> = found.iter().map(|path| short(path)).collect();
        found.sort();
        folders.sort();
        (found, folders)
    }

    fn tree(paths: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for path in paths {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        dir
    }

    #[test]
    fn a_walk_enters_only_folders_that_can_hold_a_match() {
        let dir = tree(&["a/x.log", "a/x.txt", "b/deep/y.log", "c/z.log", "top.log"]);
        let globs = globs(dir.path(), &["./[ab]/*.log", "{b,c}/**/*.log"], &[]);
        let (found, folders) = walked(dir.path(), &globs);
        assert_eq!(found, ["a/x.log", "b/deep/y.log", "c/z.log"]);
        assert_eq!(folders, ["", "a", "b", "b/deep", "c"]);
    }

    #[test]
    fn a_glob_that_ends_in_any_folders_is_about_all_files_in_them() {
        let dir = tree(&["a/x.log", "a/b/c/y", "top.log", "other/z"]);
        let globs = globs(dir.path(), &["a/**"], &[]);
        assert_eq!(walked(dir.path(), &globs).0, ["a/b/c/y", "a/x.log"]);
        assert!(globs.may_hold(&dir.path().join("a/b/c")));
    }

    #[test]
    fn an_exclusion_is_about_names_or_about_paths() {
        let dir = tree(&["a/post1.log", "a/x.log", "old/x.log", "old/more/x.log"]);
        let globs = globs(dir.path(), &["**/*.log"], &["post*", "old/**"]);
        assert_eq!(walked(dir.path(), &globs).0, ["a/x.log"]);
        assert!(!globs.matches(&dir.path().join("a/post1.log")));
    }

    #[test]
    fn a_star_does_not_cross_a_slash_and_folders_may_have_special_names() {
        let dir = tree(&["[odd]{}/a.log", "[odd]{}/sub/b.log"]);
        let inner = dir.path().join("[odd]{}");
        assert_eq!(walked(&inner, &globs(&inner, &["*.log"], &[])).0, ["a.log"]);
    }

    #[test]
    fn an_inclusion_that_finds_nothing_is_told_once_and_a_folder_with_the_way_out() {
        let dir = tree(&["logs/x.log", "old/y.log"]);
        let include = ["logs/*.log", "*.txt", "logs", "./old/", "old/y.lg", "{data_dir}/*"];
        let mut globs = globs(dir.path(), &include, &[]);
        let found = globs.walk(RealEnv.files(), |_| {}, |_, _| {});
        assert_eq!(
            globs.missing(RealEnv.files(), &found),
            [
                "no file matches `*.txt` yet",
                "`logs` is a folder: write `logs/*` to read what is in it",
                "`./old` is a folder: write `./old/*` to read what is in it",
                "no file matches `old/y.lg` yet",
                "no file matches `{data_dir}/*` yet",
            ]
        );
        assert!(globs.missing(RealEnv.files(), &found).is_empty());
    }

    #[test]
    fn a_missing_folder_is_awaited_at_the_nearest_one_above() {
        let dir = tree(&["a/x.log"]);
        let globs = globs(dir.path(), &["a/b/c/*.log"], &[]);
        assert_eq!(walked(dir.path(), &globs), (vec![], vec!["a".to_owned()]));
        assert!(globs.may_hold(&dir.path().join("a/b")));
        assert!(!globs.may_hold(&dir.path().join("a/z")));
    }

    #[test]
    fn a_glob_is_bounded_and_the_longest_one_can_be_compiled() {
        let read = |text: &str| serde_json::from_value::<Pattern>(text.into());
        let too_long = read(&"?".repeat(GLOB_BYTES_MAX + 1)).unwrap_err().to_string();
        assert!(too_long.contains("a glob takes at most 4096 bytes"), "{too_long}");
        for part in ["?", "*", "[!a]", "{a,b}", "**/"] {
            let text = part.repeat(GLOB_BYTES_MAX / part.len());
            assert!(read(&text).is_ok());
            globs(Path::new("/x"), &[&text], &[&text]);
        }
    }

    #[test]
    fn links_to_folders_are_followed_once() {
        let dir = tree(&["a/x.log"]);
        std::os::unix::fs::symlink(dir.path(), dir.path().join("a/loop")).unwrap();
        let globs = globs(dir.path(), &["**/*.log"], &[]);
        assert_eq!(walked(dir.path(), &globs).0, ["a/x.log"]);
    }
}
