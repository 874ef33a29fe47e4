//! The files that are written to: opened when they are needed, closed when they are not, and put
//! back to where they were when something fails.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dpipe_env::{Env, File, FileId, Open};
use rustix::io::Errno;

use super::ending;
use super::frame::Format;
use super::place::Place;

/// How often a file is looked at for whether it is still where it was.
const LOOK_AGAIN_MS: i64 = 1000;

pub(super) struct Limits {
    /// Open files.
    pub(super) open_files: usize,
    /// The size of a file.
    pub(super) bytes: Option<u64>,
    /// How long a file stays open without being written to.
    pub(super) idle: Duration,
    /// Files are synced by each commit.
    pub(super) sync: bool,
    /// The permissions of new files.
    pub(super) mode: u32,
}

/// Why bytes could not be appended.
#[derive(Debug)]
pub(super) enum Failure {
    /// Their path cannot be.
    Refuse(String),
    /// Something is wrong that may be right later.
    Retry(String),
}

pub(super) struct Targets {
    env: Arc<dyn Env>,
    place: Place,
    format: Format,
    limits: Limits,
    open: HashMap<Box<[u8]>, Target>,
    /// What to cut off if the current commit fails, the latest last.
    journal: Vec<Cut>,
    /// The journal has to be undone first.
    is_undoing: bool,
}

/// An open file.
struct Target {
    file: Box<dyn File>,
    path: Arc<Path>,
    id: FileId,
    number: u64,
    /// Where the next byte goes.
    end: u64,
    used_millis: i64,
    looked_millis: i64,
    is_dirty: bool,
}

struct Cut {
    path: Arc<Path>,
    len: u64,
}

impl Targets {
    pub(super) fn new(env: Arc<dyn Env>, place: Place, format: Format, limits: Limits) -> Self {
        Targets {
            env,
            place,
            format,
            limits,
            open: HashMap::new(),
            journal: Vec::new(),
            is_undoing: false,
        }
    }

    /// Whether the file of this key is open or exists.
    pub(super) fn has(&self, key: &[u8]) -> bool {
        if self.open.contains_key(key) {
            return true;
        }
        if self.place.is_numbered() {
            return self.last_number(key).is_ok_and(|number| number.is_some());
        }
        self.env.files().stat(&self.place.base.join(self.place.path(key, 0))).is_ok()
    }

    /// Appends whole pieces to the file of a key. It is final with [`Targets::commit`]; where files
    /// are synced, a key has one append a commit.
    pub(super) fn append(&mut self, key: &[u8], bytes: &[u8]) -> Result<(), Failure> {
        self.finish_undo().map_err(Failure::Retry)?;
        if bytes.is_empty() {
            return Ok(());
        }
        let mut target = self.target(key)?;
        if target.end > 0
            && self.limits.bytes.is_some_and(|max| target.end + bytes.len() as u64 > max)
        {
            target = self.open_file(key, target.number + 1)?;
        }
        self.journal.push(Cut { path: target.path.clone(), len: target.end });
        let written = target.file.write_all_at(bytes, target.end);
        if written.is_ok() {
            target.end += bytes.len() as u64;
            target.is_dirty = self.limits.sync;
        }
        let path = target.path.clone();
        self.open.insert(key.into(), target);
        written.map_err(|error| Failure::Retry(self.cannot("write to", &path, &error)))
    }

    /// Makes everything that was appended final.
    pub(super) fn commit(&mut self) -> Result<(), String> {
        if self.limits.sync {
            for target in self.open.values_mut().filter(|target| target.is_dirty) {
                if let Err(error) = target.file.sync_data() {
                    let path = target.path.clone();
                    return Err(self.cannot("sync", &path, &error));
                }
                target.is_dirty = false;
            }
        }
        self.journal.clear();
        Ok(())
    }

    /// Cuts off what was appended since the last commit. If that fails too, it is tried again
    /// before anything else is written.
    pub(super) fn undo(&mut self) {
        self.is_undoing = true;
        // Nobody waits for this attempt: the next write says what is wrong.
        let _ = self.finish_undo();
    }

    fn finish_undo(&mut self) -> Result<(), String> {
        if !self.is_undoing {
            return Ok(());
        }
        while let Some(Cut { path, len }) = self.journal.last() {
            // Opened anew, for it may have been closed, and its state is not to be trusted.
            self.open.retain(|_, target| target.path != *path);
            let files = self.env.files();
            let cut = files
                .open_beneath(&self.place.base, path, Open::Write)
                .and_then(|file| if file.stat()?.len > *len { file.set_len(*len) } else { Ok(()) });
            if let Err(error) = cut {
                return Err(self.cannot("cut back", path, &error));
            }
            self.journal.pop();
        }
        self.is_undoing = false;
        Ok(())
    }

    /// Closes files that were not used for a while.
    pub(super) fn close_idle(&mut self) {
        let now = self.env.now_millis();
        let idle = i64::try_from(self.limits.idle.as_millis()).unwrap_or(i64::MAX);
        self.open
            .retain(|_, target| target.is_dirty || now.saturating_sub(target.used_millis) < idle);
    }

    pub(super) fn close_all(&mut self) {
        self.open.clear();
    }

    /// The open file of a key, taken out of the map.
    fn target(&mut self, key: &[u8]) -> Result<Target, Failure> {
        let now = self.env.now_millis();
        if let Some(mut target) = self.open.remove(key) {
            let looked = (0..LOOK_AGAIN_MS).contains(&(now - target.looked_millis));
            if looked || target.is_dirty || self.is_in_place(&target) {
                target.used_millis = now;
                if !looked {
                    target.looked_millis = now;
                }
                return Ok(target);
            }
        }
        self.make_room().map_err(Failure::Retry)?;
        let number = match self.place.is_numbered() {
            false => 0,
            true => self.last_number(key).map_err(Failure::Retry)?.unwrap_or(1),
        };
        self.open_file(key, number)
    }

    /// Whether nobody has moved, removed or cut the file.
    fn is_in_place(&self, target: &Target) -> bool {
        let there = self.env.files().stat(&self.place.base.join(&target.path));
        there.is_ok_and(|stat| stat.id == target.id && stat.len == target.end)
    }

    /// Closes the file that was not used for longest, if there are as many as there may be.
    fn make_room(&mut self) -> Result<(), String> {
        while self.open.len() + 1 > self.limits.open_files {
            let oldest = self.open.iter().min_by_key(|(_, target)| target.used_millis);
            let Some(key) = oldest.map(|(key, _)| key.clone()) else { break };
            if let Some(target) = self.open.remove(&key)
                && target.is_dirty
            {
                let synced = target.file.sync_data();
                synced.map_err(|error| self.cannot("sync", &target.path, &error))?;
            }
        }
        Ok(())
    }

    /// The highest number that a file of this key has.
    fn last_number(&self, key: &[u8]) -> Result<Option<u64>, String> {
        let path = self.place.base.join(self.place.path(key, 1));
        let folder = path.parent().unwrap_or(&path);
        match self.env.files().read_dir(folder) {
            Ok(entries) => {
                let number = |entry: &dpipe_env::Entry| self.place.number_of(key, &entry.path);
                Ok(entries.iter().filter_map(number).max())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("cannot list `{}`: {error}", folder.display())),
        }
    }

    fn open_file(&self, key: &[u8], number: u64) -> Result<Target, Failure> {
        let path = self.place.path(key, number);
        let opened = self.try_open(&path).map_err(|error| {
            let what = self.cannot("open", &path, &error);
            if !self.place.is_constant && is_of_name(&error) {
                Failure::Refuse(what)
            } else {
                Failure::Retry(what)
            }
        })?;
        let (file, id, end) = opened;
        let now = self.env.now_millis();
        Ok(Target {
            file,
            path: path.into(),
            id,
            number,
            end,
            used_millis: now,
            looked_millis: now,
            is_dirty: false,
        })
    }

    fn try_open(&self, path: &Path) -> io::Result<(Box<dyn File>, FileId, u64)> {
        let files = self.env.files();
        let file = files.create_beneath(&self.place.base, path, self.limits.mode)?;
        let stat = file.stat()?;
        if !stat.is_file {
            let what = "it is not a regular file";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        if !file.try_lock()? {
            return Err(io::Error::other("another output or another dpipe writes to it"));
        }
        let end = ending::whole_len(&*file, stat.len, self.format)?;
        if end < stat.len {
            file.set_len(end)?;
            let (path, cut) = (self.place.base.join(path), stat.len - end);
            tracing::warn!(path = %path.display(), bytes = cut, "cut off a torn end of a file");
        }
        if self.limits.sync && stat.len == 0 {
            self.sync_folders(path)?;
        }
        Ok((file, stat.id, end))
    }

    /// Makes a new file's name durable, and those of the folders above it.
    fn sync_folders(&self, path: &Path) -> io::Result<()> {
        for folder in self.place.base.join(path).ancestors().skip(1) {
            let synced = self.env.files().sync_dir(folder);
            // Above the base there may be folders that dpipe may not open, and has not created.
            if folder.starts_with(&self.place.base) {
                synced?;
            }
        }
        Ok(())
    }

    fn cannot(&self, act: &str, path: &Path, error: &io::Error) -> String {
        format!("cannot {act} `{}`: {error}", self.place.base.join(path).display())
    }
}

/// Whether an error comes from the name that a file would have.
fn is_of_name(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidInput
        || matches!(
            Errno::from_io_error(error),
            Some(
                Errno::LOOP
                    | Errno::NOTDIR
                    | Errno::ISDIR
                    | Errno::NAMETOOLONG
                    | Errno::INVAL
                    | Errno::ILSEQ
                    | Errno::XDEV
                    | Errno::NXIO
            )
        )
}
