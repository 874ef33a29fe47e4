//! Where a batch comes from.

use std::sync::Arc;

use crate::StreamId;

/// The origin that the events of a batch share.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The tenant that owns the stream.
    pub tenant: Arc<str>,
    /// The input that reads it.
    pub input: Arc<str>,
    /// The file's path or the peer's address; empty where there is neither.
    pub file: Arc<str>,
    /// The file's name without its date, number and suffix; see [`logfile_name`].
    pub logfile: Arc<str>,
    /// The machine that the events come from.
    pub host: Arc<str>,
    /// What ids are derived from.
    pub stream: StreamId,
}

/// The name of the log that a file belongs to: `mongo_slow.0.log` → `mongo_slow`,
/// `/a/pv-2014-06-01.log.gz` → `pv`, `session.20140601` → `session`.
#[must_use]
pub fn logfile_name(path: &str) -> &str {
    let mut name = path.rsplit('/').next().unwrap_or(path);
    for suffix in [".gz", ".zst", ".zip", ".bz2", ".xz"] {
        name = name.strip_suffix(suffix).unwrap_or(name);
    }
    loop {
        // One ending at a time: `.log`, `.txt`, or a piece without letters (a date or a number).
        let cut = name.rfind(['.', '-', '_']).filter(|&at| at > 0);
        let Some(at) = cut else { return name };
        let ending = &name[at + 1..];
        let counts = !ending.is_empty() && ending.bytes().all(|b| b.is_ascii_digit() || b == b'T');
        let known = matches!(ending, "log" | "txt" | "json" | "jsonl" | "csv" | "out")
            && name.as_bytes()[at] == b'.';
        if counts || known {
            name = &name[..at];
        } else {
            return name;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::logfile_name;

    #[test]
    fn a_logfile_is_named_without_date_number_and_suffix() {
        for (path, name) in [
            ("mongo_slow.0.log", "mongo_slow"),
            ("/mnt/logs/fp_rstory/pv-2014-06-01.log.gz", "pv"),
            ("session.20140601", "session"),
            ("access.log.1", "access"),
            ("dau_2014.log", "dau"),
            ("plain", "plain"),
            (".log", ".log"),
            ("a/b.c/xx.jsonl", "xx"),
            ("app-server.log", "app-server"),
        ] {
            assert_eq!(logfile_name(path), name, "{path}");
        }
    }
}
