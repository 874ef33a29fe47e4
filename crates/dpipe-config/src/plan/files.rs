//! Files that nodes would fight over: two outputs that write one, an input that reads what an output
//! writes.

use std::path::{Path, PathBuf};

use dpipe_plugin::settings::{Node, Problem, Problems, Span};
use globset::{GlobBuilder, GlobMatcher};

use super::nodes::Read;
use super::{InputPlan, OutputPlan};
use crate::load::normal;

const DATA_DIR: &str = "{data_dir}";

/// The folders that paths of a configuration start at.
pub(crate) struct Places<'a> {
    pub(crate) config_dir: &'a Path,
    /// As written, from the configuration's folder.
    pub(crate) data_dir: &'a Path,
}

impl Places<'_> {
    pub(crate) fn check(
        &self,
        inputs: &[Read<InputPlan>],
        outputs: &[Read<OutputPlan>],
        problems: &mut Problems,
    ) {
        let mut constant: Vec<(PathBuf, &Read<OutputPlan>)> = Vec::new();
        for output in outputs {
            let Some(template) = output.plan.spec.writes() else { continue };
            let path = self.resolve(&template.sample());
            for input in inputs {
                self.check_circle(input, output, &path, problems);
            }
            if !template.is_constant() {
                continue;
            }
            if let Some((_, first)) = constant.iter().find(|(known, _)| *known == path) {
                let message = format!(
                    "`{}` writes to the file that `{}` writes to",
                    output.plan.name, first.plan.name
                );
                let at = path_of(&output.plan.written);
                let help = format!("that one is at {}", path_of(&first.plan.written));
                problems.push(Problem::error(message).at(at).help(help));
            }
            constant.push((path, output));
        }
    }

    /// Warns of an input that would read what the output writes.
    fn check_circle(
        &self,
        input: &Read<InputPlan>,
        output: &Read<OutputPlan>,
        path: &Path,
        problems: &mut Problems,
    ) {
        let reads = input.plan.spec.reads();
        let matches = |glob: &String| self.glob(glob).is_some_and(|glob| glob.is_match(path));
        let is_excluded = |glob: &String| match glob.contains('/') {
            true => matches(glob),
            false => path.file_name().is_some_and(|name| {
                matcher(glob).is_some_and(|glob| glob.is_match(Path::new(name)))
            }),
        };
        if reads.include.iter().any(matches) && !reads.exclude.iter().any(is_excluded) {
            let (input, output) = (&input.plan, &output.plan);
            let message = format!(
                "`{}` reads files that `{}` writes: what comes out goes in again",
                input.name, output.name
            );
            let help =
                format!("`exclude` them, or write elsewhere than at {}", path_of(&output.written));
            let include = input.written.get("include").unwrap_or(&input.written);
            problems.push(Problem::warning(message).at(include.place()).help(help));
        }
    }

    fn resolve(&self, text: &str) -> PathBuf {
        let path = match text.strip_prefix(DATA_DIR) {
            Some(rest) => self.config_dir.join(self.data_dir).join(rest.trim_start_matches('/')),
            None => self.config_dir.join(text),
        };
        normal(&path)
    }

    /// A glob from the root. Its folders are taken as they are written.
    fn glob(&self, text: &str) -> Option<GlobMatcher> {
        // What stands before the first wildcard may begin with `../`.
        let from = if text.starts_with(DATA_DIR) { DATA_DIR.len() } else { 0 };
        let wild = text[from..].find(['*', '?', '[', '{', '\\']).map(|at| from + at);
        let split =
            wild.map_or(text.len(), |at| text[..at].rfind('/').map_or(0, |slash| slash + 1));
        let base = self.resolve(&text[..split]);
        let base = globset::escape(&base.to_string_lossy());
        matcher(&match &text[split..] {
            "" => base,
            rest if base.is_empty() => rest.to_owned(),
            rest => format!("{}/{rest}", base.trim_end_matches('/')),
        })
    }
}

fn matcher(glob: &str) -> Option<GlobMatcher> {
    let glob = GlobBuilder::new(glob).literal_separator(true).backslash_escape(true).build();
    glob.ok().map(|glob| glob.compile_matcher())
}

fn path_of(written: &Node) -> Span {
    written.get("path").unwrap_or(written).place()
}
