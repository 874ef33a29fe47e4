//! From the text of a configuration to one tree of values.
//!
//! A file is parsed ([`parse`]), then every `${…}` in its string values is replaced, then the files
//! it includes are merged in. Because the replacing comes after the parsing, no value from outside
//! can add a key, close a quote or start a comment.
//!
//! The environment and the files are reached through [`Surroundings`] only.

mod include;
mod json;
mod substitute;
mod surroundings;
mod toml;
mod yaml;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dpipe_plugin::settings::{Entry, Node, Problem, Problems, SourceFile};

pub(crate) use include::normal;
pub use surroundings::{ProcessSurroundings, Surroundings};

/// A configuration file larger than this is a mistake.
pub const FILE_BYTES_MAX: usize = 4 << 20;
/// Lists and maps may be nested so deep.
pub const DEPTH_MAX: usize = 64;

/// The notation of a configuration file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `.yaml`, `.yml`, and every other name.
    Yaml,
    /// `.json`
    Json,
    /// `.toml`
    Toml,
}

impl Format {
    /// The notation that a file's name tells.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or("");
        match extension.to_ascii_lowercase().as_str() {
            "json" => Self::Json,
            "toml" => Self::Toml,
            _ => Self::Yaml,
        }
    }
}

/// A configuration with everything that it includes.
#[derive(Debug)]
pub struct Loaded {
    /// The merged tree, always a map; every value still knows the file it came from.
    pub root: Node,
    /// The files that were read, the one asked for first.
    pub files: Vec<Arc<SourceFile>>,
    /// The folder of the first file, from which relative paths are meant.
    pub folder: PathBuf,
    /// What is odd but no mistake.
    pub warnings: Problems,
}

/// Loads a configuration file and what it includes; finds as many mistakes as it can at once.
pub fn load(path: &Path, surroundings: &dyn Surroundings) -> Result<Loaded, Problems> {
    include::load(path, surroundings)
}

/// Parses one text, without replacing anything in it.
pub fn parse(file: &Arc<SourceFile>, format: Format) -> Result<Node, Problems> {
    match format {
        Format::Yaml => yaml::parse(file),
        Format::Json => json::parse(file).map_err(Problems::from),
        Format::Toml => toml::parse(file),
    }
}

/// Replaces every `${…}` in the string values of a tree.
///
/// Relative paths of `${file:…}` are meant from `folder`.
pub fn substitute(
    root: &mut Node,
    folder: &Path,
    surroundings: &dyn Surroundings,
) -> Result<(), Problems> {
    substitute::substitute(root, folder, surroundings)
}

fn too_deep() -> Problem {
    Problem::error(format!("lists and maps are nested deeper than {DEPTH_MAX}"))
}

fn duplicate_key(entries: &[Entry], key: &str) -> Problem {
    let first = entries.iter().find(|entry| entry.key == key);
    let line = first.map(|first| first.key_span().position().line);
    Problem::error(format!("key `{key}` is given twice"))
        .maybe_help(line.map(|line| format!("it was first given in line {line}")))
}

#[cfg(test)]
mod tests;
