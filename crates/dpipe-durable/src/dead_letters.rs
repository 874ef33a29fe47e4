//! Dead letters: events that were refused for good, one JSON line each, in a file per tenant.
//!
//! A tenant has at most two files: `TENANT.jsonl`, and `TENANT.1.jsonl` from before that. When the
//! first is full it takes the place of the second, and what stood there is overwritten, and counted.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use dpipe_env::{Env, File, Files, Open};
use dpipe_event::{EventId, Timestamp, write_base64};
use parking_lot::Mutex;
use serde::{Serialize, Serializer};

use crate::file_name::file_name;
use crate::replace::sync_folder_of;

/// An event that was refused for good.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct DeadLetter<'a> {
    /// When it was refused.
    #[serde(serialize_with = "rfc3339")]
    pub time: Timestamp,
    /// The tenant that owns it.
    pub tenant: &'a str,
    /// Its id.
    #[serde(serialize_with = "text")]
    pub id: EventId,
    /// The input that read it.
    pub input: &'a str,
    /// The tag that its batch had.
    pub tag: &'a str,
    /// The file or peer it came from; empty if there is neither.
    pub file: &'a str,
    /// Where it starts in there.
    pub offset: u64,
    /// Who refused it: `decode`, or the name of a filter or of an output.
    pub stage: &'a str,
    /// Why.
    pub reason: &'a str,
    /// How often it was tried.
    pub attempts: u32,
    /// Its line as it was read: the member `raw`, or `raw_b64` if it is not UTF-8.
    #[serde(flatten, serialize_with = "raw")]
    pub raw: &'a [u8],
}

/// What became of the letters before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Appended {
    /// How many older letters were overwritten to make room.
    pub overwritten: u64,
}

/// The dead letters of all tenants.
pub struct DeadLetters {
    env: Arc<dyn Env>,
    folder: PathBuf,
    file_bytes_max: u64,
    tenants: Mutex<HashMap<String, Arc<Mutex<Tenant>>>>,
}

/// The files of one tenant.
struct Tenant {
    current: PathBuf,
    before: PathBuf,
    /// The length of the current file up to the last whole letter; unknown at the start, and after a
    /// failure.
    len: Option<u64>,
}

impl DeadLetters {
    /// Letters in a folder that exists.
    pub(crate) fn new(env: Arc<dyn Env>, folder: PathBuf, tenant_bytes_max: u64) -> DeadLetters {
        let tenants = Mutex::default();
        DeadLetters { env, folder, file_bytes_max: tenant_bytes_max / 2, tenants }
    }

    /// Appends letters; on disk when this returns.
    ///
    /// # Errors
    /// Those of the disk. Some of the letters may be there all the same.
    pub fn append(&self, letters: &[DeadLetter<'_>]) -> io::Result<Appended> {
        let mut appended = Appended::default();
        for letters in letters.chunk_by(|a, b| a.tenant == b.tenant) {
            let tenant = self.tenant(letters[0].tenant);
            // A slow disk keeps one tenant waiting, not the others.
            let overwritten =
                tenant.lock().append(self.env.files(), self.file_bytes_max, letters)?;
            appended.overwritten += overwritten;
        }
        Ok(appended)
    }

    fn tenant(&self, name: &str) -> Arc<Mutex<Tenant>> {
        let mut tenants = self.tenants.lock();
        if let Some(tenant) = tenants.get(name) {
            return tenant.clone();
        }
        let file = file_name(name);
        let tenant = Tenant {
            current: self.folder.join(format!("{file}.jsonl")),
            before: self.folder.join(format!("{file}.1.jsonl")),
            len: None,
        };
        let tenant = Arc::new(Mutex::new(tenant));
        tenants.insert(name.to_owned(), tenant.clone());
        tenant
    }
}

impl std::fmt::Debug for DeadLetters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeadLetters").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Tenant {
    /// Returns how many letters were overwritten.
    fn append(
        &mut self,
        files: &dyn Files,
        file_bytes_max: u64,
        letters: &[DeadLetter<'_>],
    ) -> io::Result<u64> {
        let mut overwritten = 0;
        let (mut file, mut len) = self.open(files)?;
        let mut lines = Vec::new();
        for letter in letters {
            let start = lines.len();
            serde_json::to_writer(&mut lines, letter)?;
            lines.push(b'\n');
            let full = len + lines.len() as u64 > file_bytes_max;
            if full && len + start as u64 > 0 {
                let next = lines.split_off(start);
                write(&*file, &lines, len)?;
                overwritten += self.turn_over(files)?;
                (file, len) = self.open(files)?;
                lines = next;
            }
        }
        write(&*file, &lines, len)?;
        self.len = Some(len + lines.len() as u64);
        Ok(overwritten)
    }

    /// Opens the current file, and tells where to go on. Until the letters are written that is
    /// unknown again.
    fn open(&mut self, files: &dyn Files) -> io::Result<(Box<dyn File>, u64)> {
        let is_new = files.stat(&self.current).is_err();
        let file = files.open(&self.current, Open::Write)?;
        if is_new {
            sync_folder_of(files, &self.current)?;
        }
        let len = match self.len.take() {
            Some(len) => len,
            None => {
                let len = whole_letters(&*file)?;
                file.set_len(len)?;
                len
            }
        };
        Ok((file, len))
    }

    /// Makes the current file the one before; returns how many letters stood there.
    fn turn_over(&mut self, files: &dyn Files) -> io::Result<u64> {
        let overwritten = match files.open(&self.before, Open::Read) {
            Ok(file) => count_lines(&*file)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        files.rename(&self.current, &self.before)?;
        sync_folder_of(files, &self.current)?;
        Ok(overwritten)
    }
}

fn write(file: &dyn File, lines: &[u8], at: u64) -> io::Result<()> {
    file.write_all_at(lines, at)?;
    file.sync_data()
}

/// The length of the file up to its last whole letter: a crash may have torn those after it, which
/// nobody was told are safe.
fn whole_letters(file: &dyn File) -> io::Result<u64> {
    let mut end = file.stat()?.len;
    loop {
        let start = last_line_start(file, end)?;
        let mut line = vec![0; usize::try_from(end - start).unwrap_or(usize::MAX)];
        read_exact(file, &mut line, start)?;
        let whole = line.ends_with(b"\n")
            && serde_json::from_slice::<&serde_json::value::RawValue>(&line).is_ok();
        if whole || end == 0 {
            return Ok(end);
        }
        end = start;
    }
}

/// Where the line starts that ends at `end`, with or without its newline.
fn last_line_start(file: &dyn File, end: u64) -> io::Result<u64> {
    let mut block = [0; 4096];
    let mut to = end.saturating_sub(1);
    while to > 0 {
        let from = to.saturating_sub(block.len() as u64);
        let block = &mut block[..(to - from) as usize];
        read_exact(file, block, from)?;
        if let Some(at) = block.iter().rposition(|&byte| byte == b'\n') {
            return Ok(from + at as u64 + 1);
        }
        to = from;
    }
    Ok(0)
}

fn read_exact(file: &dyn File, mut into: &mut [u8], mut at: u64) -> io::Result<()> {
    while !into.is_empty() {
        match file.read_at(into, at)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => {
                into = &mut into[n..];
                at += n as u64;
            }
        }
    }
    Ok(())
}

fn count_lines(file: &dyn File) -> io::Result<u64> {
    let mut block = vec![0; 64 * 1024];
    let (mut at, mut lines) = (0, 0);
    loop {
        match file.read_at(&mut block, at)? {
            0 => return Ok(lines),
            n => {
                lines += block[..n].iter().filter(|&&byte| byte == b'\n').count() as u64;
                at += n as u64;
            }
        }
    }
}

fn rfc3339<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}

fn text<S: Serializer>(id: &EventId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}

fn raw<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    let member = match std::str::from_utf8(bytes) {
        Ok(text) => ("raw", std::borrow::Cow::Borrowed(text)),
        Err(_) => {
            let mut text = Vec::new();
            write_base64(&mut text, bytes);
            ("raw_b64", String::from_utf8(text).expect("base64 is ASCII").into())
        }
    };
    serializer.collect_map([member])
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use dpipe_env::RealEnv;
    use dpipe_event::StreamId;

    use super::*;
    use crate::crashing::until_it_survives;

    fn letter<'a>(tenant: &'a str, raw: &'a [u8]) -> DeadLetter<'a> {
        DeadLetter {
            time: Timestamp::from_millis(1_393_675_200_250),
            tenant,
            id: EventId::derive(StreamId::default(), 7, 0),
            input: "rs_logs",
            tag: "rs_logs",
            file: "/logs/pv.log",
            offset: 7,
            stage: "decode",
            reason: "the area is empty",
            attempts: 1,
            raw,
        }
    }

    fn open(folder: &Path, tenant_bytes_max: u64) -> DeadLetters {
        DeadLetters::new(Arc::new(RealEnv), folder.to_owned(), tenant_bytes_max)
    }

    fn raws(path: &Path) -> Vec<String> {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let raw = |line: &str| {
            let letter: serde_json::Value = serde_json::from_str(line).unwrap();
            letter["raw"].as_str().unwrap().to_owned()
        };
        text.lines().map(raw).collect()
    }

    #[test]
    fn a_letter_is_one_line_that_says_everything() {
        let dir = tempfile::tempdir().unwrap();
        let letters = open(dir.path(), 1 << 20);
        letters.append(&[letter("rs", b",1,{}\n\x1b"), letter("rs", b"\xff\xfe")]).unwrap();
        let text = std::fs::read_to_string(dir.path().join("rs.jsonl")).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        let id = EventId::derive(StreamId::default(), 7, 0);
        assert_eq!(
            lines[0],
            format!(r#"{{"time":"2014-03-01T12:00:00.250Z","tenant":"rs","id":"{id}","#)
                + r#""input":"rs_logs","tag":"rs_logs","file":"/logs/pv.log","offset":7,"#
                + r#""stage":"decode","reason":"the area is empty","attempts":1,"#
                + r#""raw":",1,{}\n\u001b"}"#
        );
        assert!(lines[1].ends_with(r#""raw_b64":"//4="}"#), "{}", lines[1]);
    }

    #[test]
    fn each_tenant_has_its_file_whatever_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let letters = open(dir.path(), 1 << 20);
        letters.append(&[letter("rs", b"1"), letter("../x", b"2"), letter("rs", b"3")]).unwrap();
        assert_eq!(raws(&dir.path().join("rs.jsonl")), ["1", "3"]);
        assert_eq!(raws(&dir.path().join("%2E.%2Fx.jsonl")), ["2"]);
    }

    #[test]
    fn the_oldest_letters_are_overwritten_and_counted() {
        let dir = tempfile::tempdir().unwrap();
        let one = serde_json::to_vec(&letter("rs", b"00")).unwrap().len() as u64 + 1;
        // Room for two files of three letters.
        let letters = open(dir.path(), one * 6);
        let mut overwritten = 0;
        let all: Vec<String> = (0..20).map(|n| format!("{n:02}")).collect();
        for group in all.chunks(4) {
            let group: Vec<_> = group.iter().map(|raw| letter("rs", raw.as_bytes())).collect();
            overwritten += letters.append(&group).unwrap().overwritten;
        }
        let (current, before) = (dir.path().join("rs.jsonl"), dir.path().join("rs.1.jsonl"));
        assert_eq!([raws(&before), raws(&current)].concat(), all[15..]);
        assert_eq!(overwritten, 15);
        assert!(std::fs::metadata(current).unwrap().len() <= one * 3);
    }

    #[test]
    fn a_letter_larger_than_the_room_is_kept_alone() {
        let dir = tempfile::tempdir().unwrap();
        let letters = open(dir.path(), 10);
        let appended = letters.append(&[letter("rs", b"a"), letter("rs", b"b")]).unwrap();
        assert_eq!(appended.overwritten, 0);
        assert_eq!(letters.append(&[letter("rs", b"c")]).unwrap().overwritten, 1);
        assert_eq!(raws(&dir.path().join("rs.1.jsonl")), ["b"]);
        assert_eq!(raws(&dir.path().join("rs.jsonl")), ["c"]);
    }

    #[test]
    fn a_torn_last_letter_is_cut_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rs.jsonl");
        let long = "x".repeat(10_000);
        open(dir.path(), 1 << 20).append(&[letter("rs", b"1"), letter("rs", b"2")]).unwrap();
        let two = std::fs::read(&path).unwrap().len();
        open(dir.path(), 1 << 20).append(&[letter("rs", long.as_bytes())]).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for cut in (two..whole.len()).step_by(97).chain([whole.len() - 1]) {
            std::fs::write(&path, &whole[..cut]).unwrap();
            open(dir.path(), 1 << 20).append(&[letter("rs", b"3")]).unwrap();
            assert_eq!(raws(&path), ["1", "2", "3"], "cut at {cut}");
        }
        // A file system may also leave zeros where nothing was written yet.
        std::fs::write(&path, [&whole[..two], b"\0\0\0\n\0\0"].concat()).unwrap();
        open(dir.path(), 1 << 20).append(&[letter("rs", b"3")]).unwrap();
        assert_eq!(raws(&path), ["1", "2", "3"]);
    }

    #[test]
    fn a_crash_at_any_moment_leaves_what_was_appended() {
        let one = serde_json::to_vec(&letter("rs", b"0")).unwrap().len() as u64 + 1;
        until_it_survives(|env, path| {
            let letters = DeadLetters::new(env, path.to_owned(), one * 4);
            let mut safe = 0;
            let survived = (0..4).all(|n: u8| {
                let raw = n.to_string();
                let appended = letters.append(&[letter("rs", raw.as_bytes())]).is_ok();
                safe += usize::from(appended);
                appended
            });
            open(path, one * 100).append(&[letter("rs", b"end")]).unwrap();
            let found = [raws(&path.join("rs.1.jsonl")), raws(&path.join("rs.jsonl"))].concat();
            let expected: Vec<String> = (0..safe).map(|n| n.to_string()).collect();
            assert!(found.starts_with(&expected), "{found:?} without {expected:?}");
            survived
        });
    }
}
