//! Checkpoints of one input: a file that changes are appended to, one line a change.
//!
//! A line is `CRC KEY-AND-VALUE`: eight hexadecimal digits of the CRC-32C of the rest, then a JSON
//! array of the key and its value, or of the key alone if it is forgotten. After a crash all changes
//! are there, or an end of them is missing, or, after a power failure, any of those since the last
//! save: whatever is lost is read again by the input, so an older value is never wrong, only slower.
//! Lines that are damaged are left out for that reason.
//!
//! When most of the file is outdated it is replaced as a whole, at a save: that has to wait for the
//! disk anyway.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use dpipe_env::{Env, File, Open};
use parking_lot::Mutex;

use crate::replace::{read_if_there, replace, sync_folder_of};

/// Files up to this size are not worth replacing.
const SMALL_BYTES: u64 = 256 * 1024;

/// How many times larger than at a save a file may get by notes; beyond, a note replaces it.
const NOTES_SLACK: u64 = 8;

/// The checkpoints of one input.
pub struct CheckpointFile {
    env: Arc<dyn Env>,
    path: PathBuf,
    state: Mutex<State>,
    damaged: usize,
}

struct State {
    values: BTreeMap<String, Kept>,
    /// None after a failure: nobody knows what is in the file then, so it is replaced.
    file: Option<Box<dyn File>>,
    len: u64,
    /// The bytes that the values take, one line each.
    live_bytes: u64,
    /// Whether a power failure may undo something.
    unsynced: bool,
}

/// A value, and the length of its line.
struct Kept {
    value: String,
    line_bytes: u64,
}

/// What a change has to survive.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Survives {
    /// The end of the process.
    Crash,
    /// The end of the machine.
    PowerFailure,
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
        let live_bytes = values.values().map(|kept| kept.line_bytes).sum();
        // What is there may have been noted only.
        let state = State { values, file: Some(file), len: end, live_bytes, unsynced: end > 0 };
        Ok(CheckpointFile { env, path, state: Mutex::new(state), damaged })
    }

    /// How many lines were damaged when the file was opened, a torn last one among them.
    #[must_use]
    pub fn damaged(&self) -> usize {
        self.damaged
    }

    /// Everything that was noted or saved: by key.
    #[must_use]
    pub fn load(&self) -> Vec<(String, String)> {
        let state = self.state.lock();
        state.values.iter().map(|(key, kept)| (key.clone(), kept.value.clone())).collect()
    }

    /// Notes changed keys, and forgets those without a value. That survives the end of this process
    /// when this returns, however it comes, and that of the machine after the next save. Costs a
    /// write, and nothing if everything is noted already.
    ///
    /// # Errors
    /// Those of the disk; what was saved before is still there then.
    pub fn note(&self, changes: &[(String, Option<String>)]) -> io::Result<()> {
        self.write(changes, Survives::Crash)
    }

    /// Notes changes, and makes these and all before them survive a power failure. Costs nothing if
    /// everything is saved already.
    ///
    /// # Errors
    /// Those of the disk; what was saved before is still there then.
    pub fn save(&self, changes: &[(String, Option<String>)]) -> io::Result<()> {
        self.write(changes, Survives::PowerFailure)
    }

    fn write(&self, changes: &[(String, Option<String>)], survives: Survives) -> io::Result<()> {
        let is_save = survives == Survives::PowerFailure;
        let mut state = self.state.lock();
        let mut lines = Vec::new();
        let mut news: BTreeMap<&str, Option<(&str, u64)>> = BTreeMap::new();
        for (key, value) in changes {
            let value = value.as_deref();
            let known = match news.get(&**key) {
                Some(new) => new.map(|(value, _)| value),
                None => state.values.get(key).map(|kept| &*kept.value),
            };
            if known != value {
                let line_bytes = write_line(key, value, &mut lines);
                news.insert(key, value.map(|value| (value, line_bytes)));
            }
        }
        if news.is_empty() && !(is_save && state.unsynced) {
            return Ok(());
        }
        let mut live_bytes = state.live_bytes;
        for (&key, value) in &news {
            live_bytes -= state.values.get(key).map_or(0, |kept| kept.line_bytes);
            live_bytes += value.map_or(0, |(_, line_bytes)| line_bytes);
        }
        let len = state.len + lines.len() as u64;
        let len_max = SMALL_BYTES.max(2 * live_bytes) * if is_save { 1 } else { NOTES_SLACK };
        let file = state.file.take();
        state.unsynced = true;
        match file {
            Some(file) if len <= len_max => {
                if !lines.is_empty() {
                    file.write_all_at(&lines, state.len)?;
                }
                if is_save {
                    file.sync_data()?;
                }
                (state.file, state.len, state.unsynced) = (Some(file), len, !is_save);
            }
            _ => {
                let mut content = Vec::with_capacity(live_bytes as usize);
                let kept = state.values.iter().filter(|(key, _)| !news.contains_key(&***key));
                let kept = kept.map(|(key, kept)| (&**key, &*kept.value));
                let changed =
                    news.iter().filter_map(|(&key, value)| Some((key, value.as_ref()?.0)));
                for (key, value) in kept.chain(changed) {
                    write_line(key, Some(value), &mut content);
                }
                let file = replace(self.env.files(), &self.path, &content)?;
                (state.file, state.len, state.unsynced) = (Some(file), content.len() as u64, false);
            }
        }
        state.live_bytes = live_bytes;
        for (key, value) in news {
            match value {
                Some((value, line_bytes)) => {
                    state.values.insert(key.into(), Kept { value: value.into(), line_bytes })
                }
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

#[derive(Default)]
struct Recovered {
    values: BTreeMap<String, Kept>,
    /// After the last good line.
    end: u64,
    damaged: usize,
}

fn recover(content: &[u8]) -> Recovered {
    let mut recovered = Recovered::default();
    let mut at = 0;
    for line in content.split_inclusive(|&byte| byte == b'\n') {
        let line_bytes = line.len() as u64;
        at += line_bytes;
        let Some((key, value)) = read_line(line) else {
            recovered.damaged += 1;
            continue;
        };
        recovered.end = at;
        match value {
            Some(value) => recovered.values.insert(key, Kept { value, line_bytes }),
            None => recovered.values.remove(&key),
        };
    }
    recovered
}

/// Appends the line of a change; returns its length.
fn write_line(key: &str, value: Option<&str>, out: &mut Vec<u8>) -> u64 {
    /// The digits of the checksum, and a space.
    const PREFIX: usize = 9;
    let start = out.len();
    out.extend_from_slice(&[b' '; PREFIX]);
    match value {
        Some(value) => serde_json::to_writer(&mut *out, &[key, value]),
        None => serde_json::to_writer(&mut *out, &[key]),
    }
    .expect("strings are JSON");
    out.push(b'\n');
    let digits = format!("{:08x}", crc32c::crc32c(&out[start + PREFIX..]));
    out[start..start + PREFIX - 1].copy_from_slice(digits.as_bytes());
    (out.len() - start) as u64
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
    use std::sync::atomic::{AtomicUsize, Ordering};

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
            assert!(values.len() >= 2, "bit {bit} left {}", values.len());
            assert!(values.iter().all(|(key, kept)| "abcd".contains(key) && kept.value == "1"));
        }
    }

    #[test]
    fn the_file_does_not_grow_with_the_number_of_saves() {
        let dir = tempfile::tempdir().unwrap();
        let file = open(dir.path());
        let value = "x".repeat(SMALL_BYTES as usize / 4);
        for n in 0..50 {
            file.save(&[set("a", format!("{value}{n}")), set("b", n)]).unwrap();
            assert!(bytes(dir.path()).len() as u64 <= SMALL_BYTES);
        }
        let again = open(dir.path());
        assert_eq!(loaded(&again), [("a".into(), format!("{value}49")), ("b".into(), "49".into())]);
    }

    #[test]
    fn nor_with_that_of_notes() {
        let dir = tempfile::tempdir().unwrap();
        let file = open(dir.path());
        let value = "x".repeat(SMALL_BYTES as usize / 4);
        for n in 0..100 {
            file.note(&[set("a", format!("{value}{n}"))]).unwrap();
            assert!(bytes(dir.path()).len() as u64 <= SMALL_BYTES * NOTES_SLACK);
        }
        file.save(&[]).unwrap();
        assert_eq!(loaded(&open(dir.path())), [("a".into(), format!("{value}99"))]);
    }

    #[test]
    fn a_note_is_one_write_and_the_next_save_syncs_it() {
        let dir = tempfile::tempdir().unwrap();
        let left = Arc::new(AtomicUsize::new(100));
        let env = crate::crashing::crashing_after(left.clone());
        let file = CheckpointFile::open(env, dir.path().join("in")).unwrap();
        let changes = |act: &dyn Fn()| {
            left.store(100, Ordering::SeqCst);
            act();
            100 - left.load(Ordering::SeqCst)
        };
        assert_eq!(changes(&|| file.note(&[set("a", 1), set("b", 1)]).unwrap()), 1);
        assert_eq!(loaded(&open(dir.path())), pairs(&[("a", "1"), ("b", "1")]));
        assert_eq!(changes(&|| file.note(&[set("a", 1)]).unwrap()), 0);
        assert_eq!(changes(&|| file.save(&[set("a", 1)]).unwrap()), 1);
        assert_eq!(changes(&|| file.save(&[]).unwrap()), 0);
    }

    #[test]
    fn what_an_earlier_process_noted_is_synced_with_the_first_save() {
        let dir = tempfile::tempdir().unwrap();
        open(dir.path()).note(&[set("a", 1)]).unwrap();
        let left = Arc::new(AtomicUsize::new(100));
        let env = crate::crashing::crashing_after(left.clone());
        let file = CheckpointFile::open(env, dir.path().join("in")).unwrap();
        left.store(100, Ordering::SeqCst);
        file.save(&[]).unwrap();
        assert_eq!(left.load(Ordering::SeqCst), 99);
    }

    #[test]
    fn a_crash_at_any_moment_leaves_what_was_noted_and_saved() {
        until_it_survives(|env, path| {
            let mut saved = 0;
            let mut tried = 0;
            let attempt = || -> io::Result<()> {
                let file = CheckpointFile::open(env, path.join("in"))?;
                for n in (1..=16).step_by(2) {
                    tried = n;
                    file.note(&[set("n", n)])?;
                    (saved, tried) = (n, n + 1);
                    // Large enough to replace the file now and then.
                    let filler = "x".repeat(SMALL_BYTES as usize / 3 + n);
                    file.save(&[set("n", n + 1), set("filler", filler)])?;
                    saved = n + 1;
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
