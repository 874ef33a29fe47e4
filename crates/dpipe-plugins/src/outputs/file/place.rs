//! Where files are: the base that nothing leaves, and the names below it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use dpipe_plugin::BuildContext;
use dpipe_plugin::settings::Problem;
use dpipe_plugin::template::Template;

use super::frame::Format;

const DATA_DIR: &str = "{data_dir}";

pub(super) struct Place {
    /// The folder below which everything is.
    pub(super) base: PathBuf,
    /// The path is the same for every event, so none is to blame for it.
    pub(super) is_constant: bool,
    /// Files are numbered; so many bytes at the end of a name follow the number.
    numbered: Option<usize>,
}

/// What is wrong with the path.
pub(super) fn mistakes(template: &Template) -> Vec<Problem> {
    let (text, prefix) = (template.to_string(), template.literal_prefix());
    let rest = &text[text.len().min(prefix.len())..];
    let wrong = |message: String| vec![Problem::error(message)];
    let after = text.strip_prefix(DATA_DIR).unwrap_or(&text);
    if after.contains(DATA_DIR) || (after.len() < text.len() && !after.starts_with('/')) {
        return wrong(format!("`{DATA_DIR}` can only be the first folder of the path `{text}`"));
    }
    if text.is_empty() || text.ends_with('/') || text.ends_with("/..") || text == ".." {
        return wrong(format!("the path `{text}` names no file"));
    }
    if !template.is_constant() && matches!(prefix.as_str(), "" | "/") {
        let help = format!("write `logs{}{text}`", if text.starts_with('/') { "" } else { "/" });
        return vec![
            Problem::error(format!("the path `{text}` needs a folder that is the same for all"))
                .help(help),
        ];
    }
    if rest.split('/').any(|segment| segment == "..") {
        return wrong(format!("the path `{text}` goes up after a place that events fill"));
    }
    Vec::new()
}

impl Place {
    pub(super) fn new(
        template: &Template,
        context: &BuildContext<'_>,
        format: Format,
        numbered: bool,
    ) -> Self {
        let prefix = template.literal_prefix();
        let folder = &prefix[..prefix.rfind('/').map_or(0, |slash| slash + 1)];
        let suffix = template.literal_suffix();
        Place {
            base: context.resolve(folder),
            is_constant: template.is_constant(),
            numbered: numbered.then(|| ending_len(&suffix, format)),
        }
    }

    /// The path below the base of the file with this key and number.
    pub(super) fn path(&self, key: &[u8], number: u64) -> PathBuf {
        let Some(ending) = self.numbered else { return OsStr::from_bytes(key).into() };
        let (stem, ending) = key.split_at(key.len() - ending);
        let mut path = stem.to_vec();
        path.extend_from_slice(format!(".{number}").as_bytes());
        path.extend_from_slice(ending);
        OsStr::from_bytes(&path).into()
    }

    /// The number that a file has by its name, if it belongs to this key.
    pub(super) fn number_of(&self, key: &[u8], file: &Path) -> Option<u64> {
        let (stem, ending) = key.split_at(key.len() - self.numbered?);
        let stem = stem.rsplit(|byte| *byte == b'/').next()?;
        let name = file.file_name()?.as_bytes();
        let digits = name.strip_prefix(stem)?.strip_prefix(b".")?.strip_suffix(ending)?;
        let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
        // `+1` and `01` would be other names.
        (number.to_string().as_bytes() == digits).then_some(number)
    }

    /// Whether files are numbered.
    pub(super) fn is_numbered(&self) -> bool {
        self.numbered.is_some()
    }
}

/// The length of what follows the number: `.jsonl`, `.jsonl.gz`. It is the same for all keys, and
/// so two keys never make the same name.
fn ending_len(suffix: &str, format: Format) -> usize {
    let name = suffix.rsplit('/').next().unwrap_or_default();
    let packed = match format {
        Format::Lines => name,
        Format::Gzip => name.strip_suffix(".gz").unwrap_or(name),
        Format::Zstd => name.strip_suffix(".zst").unwrap_or(name),
    };
    let stem = packed.rfind('.').unwrap_or(packed.len());
    name.len() - stem
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistake(path: &str) -> Option<String> {
        mistakes(&path.parse().unwrap()).first().map(|problem| problem.message.clone())
    }

    #[test]
    fn a_path_needs_a_name_and_a_folder_that_no_event_chooses() {
        for good in [
            "x.log",
            "/x.log",
            "../x.log",
            "logs/{a}",
            "logs-{a}.log",
            "{data_dir}/{a}/%F.log",
            "/var/{a}..",
            "a/{b}/..c",
        ] {
            assert_eq!(mistake(good), None, "{good}");
        }
        for (bad, why) in [
            ("{a}/x.log", "needs a folder"),
            ("/{a}", "needs a folder"),
            ("%Y/x", "needs a folder"),
            ("logs/", "names no file"),
            ("logs/..", "names no file"),
            ("", "names no file"),
            ("logs/{a}/../x", "goes up"),
            ("logs/{data_dir}/x", "first folder"),
            ("{data_dir}x/{a}", "first folder"),
            ("{data_dir}", "first folder"),
        ] {
            assert!(mistake(bad).is_some_and(|message| message.contains(why)), "{bad}");
        }
    }

    #[test]
    fn a_number_goes_before_the_ending_and_is_found_again() {
        let place = |suffix: &str, format| Place {
            base: PathBuf::new(),
            is_constant: false,
            numbered: Some(ending_len(suffix, format)),
        };
        for (suffix, format, key, path) in [
            (".jsonl", Format::Lines, "a/b.jsonl", "a/b.7.jsonl"),
            (".jsonl.gz", Format::Gzip, "b.jsonl.gz", "b.7.jsonl.gz"),
            (".zst", Format::Zstd, "b.zst", "b.7.zst"),
            ("", Format::Lines, "a/b.c", "a/b.c.7"),
            ("/log", Format::Lines, "a/log", "a/log.7"),
        ] {
            let place = place(suffix, format);
            assert_eq!(place.path(key.as_bytes(), 7), Path::new(path));
            assert_eq!(place.number_of(key.as_bytes(), Path::new(path)), Some(7), "{path}");
        }
        let place = place(".log", Format::Lines);
        for other in
            ["a.log", "a.x.log", "a.1.2.log", "aa.1.log", "a.01.log", "a.+1.log", "a.1.txt"]
        {
            assert_eq!(place.number_of(b"d/a.log", Path::new(other)), None, "{other}");
        }
    }
}
