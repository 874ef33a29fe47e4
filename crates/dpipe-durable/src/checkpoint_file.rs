//! Checkpoints of one input: a file that changes are appended to, one line a change.
//!
//! A line is `CRC KEY-AND-VALUE`: eight hexadecimal digits of the CRC-32C of the rest, then a JSON
//! array of the key and its value, or of the key alone if it is forgotten. All changes of one save
//! are on disk, or an end of them is missing: whatever is lost is read again by the input, so an
//! older value is never wrong, only slower. Lines that are damaged are left out for that reason.
//!
//! When most of the file is outdated it is replaced as a whole.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use dpipe_env::{Env, File, Open};
use parking_lot::Mutex;

use crate::replace::{read_if_there, replace, sync_folder_of};

/// Files up to this size are not worth replacing.
const SMALL_BYTES: u64 = 64 * 1024;

/// The checkpoints of one input.
pub struct CheckpointFile {
    env: Arc<dyn Env>,
    path: PathBuf,
    state: Mutex<State>,
    damaged: usize,
}

struct State {
    values: BTreeMap<String, String>,
    /// None after a failure: nobody knows what is in the file then, so it is replaced.
    file: Option<Box<dyn File>>,
    len: u64,
    /// The bytes that the values take, one line each.
    live_bytes: u64,
}

impl CheckpointFile {
    /// Opens the file, which is created if it is missing. A torn end is cut off.
    pub(crate) fn open(env: Arc<dyn Env>, path: PathBuf) -> io::Result<CheckpointFile> {
        let content = read_if_there(env.files(), &path)?;
        let is_new = content.is_none();
        let Recovered { values, end, damaged } = recover(&content.unwrap_or_default());
        let file = env.files().open(&path, Open::Write)?;
        if is_new {
            sync_folder_of(env.files(), &path)?;
        }
        if file.stat()?.len > end {
            file.set_len(end)?;
        }
        let live_bytes = values.iter().map(|(key, value)| line_len(key, value)).sum();
        let state = Mutex::new(State { values, file: Some(file), len: end, live_bytes });
        Ok(CheckpointFile { env, path, state, damaged })
    }

    /// How many lines were damaged when the file was opened, a torn last one among them.
    #[must_use]
    pub fn damaged(&self) -> usize {
        self.damaged
    }

    /// Everything that was saved: by key.
    #[must_use]
    pub fn load(&self) -> Vec<(String, String)> {
        self.state.lock().values.clone().into_iter().collect()
    }

    /// Saves changed keys, and forgets those without a value; on disk when this returns. Costs
    /// nothing if everything is saved already.
    ///
    /// # Errors
    /// Those of the disk; what was saved before is still there then.
    pub fn save(&self, changes: &[(String, Option<String>)]) -> io::Result<()> {
        let mut state = self.state.lock();
        let mut lines = Vec::new();
        let mut news = BTreeMap::new();
        for (key, value) in changes {
            let known = news.get(key).copied().unwrap_or_else(|| state.values.get(key));
            if known != value.as_ref() {
                write_line(key, value.as_deref(), &mut lines);
                news.insert(key, value.as_ref());
            }
        }
        if news.is_empty() {
            return Ok(());
        }
        let mut live_bytes = state.live_bytes;
        for (&key, value) in &news {
            live_bytes -= state.values.get(key).map_or(0, |value| line_len(key, value));
            live_bytes += value.map_or(0, |value| line_len(key, value));
        }
        let len = state.len + lines.len() as u64;
        match state.file.take() {
            Some(file) if len <= SMALL_BYTES.max(2 * live_bytes) => {
                file.write_all_at(&lines, state.len)?;
                file.sync_data()?;
                state.file = Some(file);
                state.len = len;
            }
            _ => {
                let mut content = Vec::with_capacity(live_bytes as usize);
                let kept = state.values.iter().filter(|(key, _)| !news.contains_key(key));
                let changed = news.iter().filter_map(|(&key, &value)| Some((key, value?)));
                for (key, value) in kept.chain(changed) {
                    write_line(key, Some(value), &mut content);
                }
                state.file = Some(replace(self.env.files(), &self.path, &content)?);
                state.len = content.len() as u64;
            }
        }
        state.live_bytes = live_bytes;
        for (key, value) in news {
            match value {
                Some(value) => state.values.insert(key.clone(), value.clone()),
                None => state.values.remove(key),
            };
        }
        Ok(())
    }
}

impl std::fmt::Debug for CheckpointFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CheckpointFile").field("path", &self.path).finish_non_exhaustive()
    }
}

#[derive(Debug, Default, PartialEq)]
struct Recovered {
    values: BTreeMap<String, String>,
    /// After the last good line.
    end: u64,
    damaged: usize,
}

fn recover(content: &[u8]) -> Recovered {
    let mut recovered = Recovered::default();
    let mut at = 0;
    for line in content.split_inclusive(|&byte| byte == b'\n') {
        at += line.len() as u64;
        let Some((key, value)) = read_line(line) else {
            recovered.damaged += 1;
            continue;
        };
        recovered.end = at;
        match value {
            Some(value) => recovered.values.insert(key, value),
            None => recovered.values.remove(&key),
        };
    }
    recovered
}

fn write_line(key: &str, value: Option<&str>, out: &mut Vec<u8>) {
    let mut json = match value {
        Some(value) => serde_json::to_vec(&[key, value]),
        None => serde_json::to_vec(&[key]),
    }
    .expect("strings are JSON");
    json.push(b'\n');
    out.extend_from_slice(format!("{:08x} ", crc32c::crc32c(&json)).as_bytes());
    out.extend_from_slice(&json);
}

fn line_len(key: &str, value: &str) -> u64 {
    let mut line = Vec::new();
    write_line(key, Some(value), &mut line);
    line.len() as u64
}

fn read_line(line: &[u8]) -> Option<(String, Option<String>)> {
    let (digits, json) = line.split_at_checked(9)?;
    let crc = u32::from_str_radix(std::str::from_utf8(digits).ok()?.strip_suffix(' ')?, 16).ok()?;
    if crc != crc32c::crc32c(json) {
        return None;
    }
    let mut fields = serde_json::from_slice::<Vec<String>>(json).ok()?.into_iter();
    Some((fields.next()?, fields.next()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use dpipe_env::RealEnv;

    use super::*;
    use crate::crashing::until_it_survives;

    fn open(dir: &Path) -> CheckpointFile {
        CheckpointFile::open(Arc::new(RealEnv), dir.join("in")).unwrap()
    }

    fn set(key: &str, value: impl ToString) -> (String, Option<String>) {
        (key.into(), Some(value.to_string()))
    }

    fn bytes(dir: &Path) -> Vec<u8> {
        std::fs::read(dir.join("in")).unwrap()
    }

    fn loaded(file: &CheckpointFile) -> Vec<(String, String)> {
        file.load()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|&(key, value)| (key.into(), value.into())).collect()
    }

    #[test]
    fn what_was_saved_is_there_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let file = open(dir.path());
        assert_eq!(loaded(&file), []);
        file.save(&[set("a", 1), set("b\n\"", "{\"x\":1}"), set("c", 3)]).unwrap();
        file.save(&[set("a", 2), ("c".into(), None), ("never".into(), None)]).unwrap();
        let expected = pairs(&[("a", "2"), ("b\n\"", "{\"x\":1}")]);
        assert_eq!(loaded(&file), expected);
        let again = open(dir.path());
        assert_eq!((loaded(&again), again.damaged()), (expected, 0));
    }

    #[test]
    fn the_last_word_on_a_key_counts_within_one_save_too() {
        let dir = tempfile::tempdir().unwrap();
        let file = open(dir.path());
        file.save(&[set("a", 1), set("a", 2), set("b", 1), ("b".into(), None)]).unwrap();
        file.save(&[set("a", 3), set("a", 2)]).unwrap();
        assert_eq!(loaded(&file), pairs(&[("a", "2")]));
        assert_eq!(loaded(&open(dir.path())), pairs(&[("a", "2")]));
    }

    #[test]
    fn saving_what_is_saved_writes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = open(dir.path());
        file.save(&[set("a", 1)]).unwrap();
        let before = bytes(dir.path());
        file.save(&[set("a", 1), ("b".into(), None)]).unwrap();
        file.save(&[]).unwrap();
        assert_eq!(bytes(dir.path()), before);
    }

    #[test]
    fn a_file_cut_anywhere_gives_the_saves_before_the_cut() {
        let dir = tempfile::tempdir().unwrap();
        let file = open(dir.path());
        let mut states = vec![(0, loaded(&file))];
        for n in 0..4 {
            file.save(&[set("position", n)]).unwrap();
            states.push((bytes(dir.path()).len(), loaded(&file)));
        }
        let whole = bytes(dir.path());
        for cut in 0..=whole.len() {
            std::fs::write(dir.path().join("in"), &whole[..cut]).unwrap();
            let (len, expected) = states.iter().rev().find(|(len, _)| *len <= cut).unwrap();
            let file = open(dir.path());
            assert_eq!(loaded(&file), *expected, "cut at {cut}");
            assert_eq!(file.damaged(), usize::from(*len != cut));
            file.save(&[set("more", 1)]).unwrap();
            let again = open(dir.path());
            assert_eq!((loaded(&again), again.damaged()), (loaded(&file), 0), "cut at {cut}");
        }
    }

    #[test]
    fn a_flipped_bit_costs_at_most_the_lines_it_touches() {
        let dir = tempfile::tempdir().unwrap();
        let file = open(dir.path());
        for key in ["a", "b", "c", "d"] {
            file.save(&[set(key, 1)]).unwrap();
        }
        let whole = bytes(dir.path());
        for bit in 0..whole.len() * 8 {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let values = recover(&damaged).values;
            // The end of a line may go, and with it the line and its neighbor.
            assert!(values.len() >= 2, "bit {bit} left {values:?}");
            assert!(values.iter().all(|(key, value)| "abcd".contains(key) && value == "1"));
        }
    }

    #[test]
    fn the_file_does_not_grow_with_the_number_of_saves() {
        let dir = tempfile::tempdir().unwrap();
        let file = open(dir.path());
        let value = "x".repeat(20_000);
        for n in 0..50 {
            file.save(&[set("a", format!("{value}{n}")), set("b", n)]).unwrap();
            assert!(bytes(dir.path()).len() as u64 <= SMALL_BYTES);
        }
        let again = open(dir.path());
        assert_eq!(loaded(&again), [("a".into(), format!("{value}49")), ("b".into(), "49".into())]);
    }

    #[test]
    fn a_crash_at_any_moment_leaves_what_was_saved() {
        until_it_survives(|env, path| {
            let mut saved = 0;
            let mut tried = 0;
            let attempt = || -> io::Result<()> {
                let file = CheckpointFile::open(env, path.join("in"))?;
                for n in 1..=4 {
                    tried = n;
                    // Large enough to replace the file now and then.
                    file.save(&[set("n", n), set("filler", "x".repeat(30_000 + n))])?;
                    saved = n;
                }
                Ok(())
            };
            let survived = attempt().is_ok();
            let found = open(path).load().into_iter().find(|(key, _)| key == "n");
            let found: usize = found.map_or(0, |(_, value)| value.parse().unwrap());
            assert!((saved..=tried).contains(&found), "{found} is not in {saved}..={tried}");
            survived
        });
    }

    #[test]
    fn a_save_that_failed_can_be_tried_again() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        for allowed in 3..12 {
            let dir = tempfile::tempdir().unwrap();
            let left = Arc::new(AtomicUsize::new(allowed));
            let env = crate::crashing::crashing_after(left.clone());
            let file = CheckpointFile::open(env, dir.path().join("in")).unwrap();
            let mut failed = false;
            for n in 0..4 {
                while file.save(&[set("n", n)]).is_err() {
                    failed = true;
                    left.store(20, Ordering::SeqCst);
                }
                assert_eq!(loaded(&open(dir.path())), pairs(&[("n", &n.to_string())]));
            }
            assert_eq!(failed, allowed < 2 + 4 * 2);
        }
    }
}
