//! A world in memory: files that appear and change exactly when a test says so, a clock that stands
//! still until it is moved, and randomness that is the same in every run.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dpipe_env::{Entry, EntryKind, Env, File, FileId, Files, Names, Open, Space, Stat};
use parking_lot::{Condvar, Mutex};

/// An [`Env`] in memory. Clones are the same world.
#[derive(Clone, Default)]
pub struct MemoryEnv {
    world: Arc<Mutex<World>>,
    /// Whether questions for names have to wait, and who waits.
    names_held: Arc<(Mutex<bool>, Condvar)>,
}

#[derive(Default)]
struct World {
    files: BTreeMap<PathBuf, Arc<Mutex<Content>>>,
    now_millis: i64,
    random: u64,
    /// Counts creations and writes: every change has an id and a time of its own.
    changes: u64,
    /// How many more bytes fit onto the disk.
    room: Option<usize>,
    syncs_fail: bool,
    syncs: usize,
    space: Option<Space>,
    names: BTreeMap<IpAddr, String>,
    names_fail: bool,
    names_asked: usize,
}

struct Content {
    bytes: Vec<u8>,
    inode: u64,
    changed: u64,
}

struct MemoryFile {
    world: Arc<Mutex<World>>,
    content: Arc<Mutex<Content>>,
}

impl MemoryEnv {
    /// An empty world at the time 0.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a file in the place of whatever was there, as a rename over it does.
    pub fn put(&self, path: impl Into<PathBuf>, bytes: impl Into<Vec<u8>>) {
        let mut world = self.world.lock();
        let content = world.content(bytes.into());
        world.files.insert(path.into(), content);
    }

    /// Says how many more bytes fit onto the disk; without a number it has no end. A write that does
    /// not fit is cut off, and fails.
    pub fn set_room(&self, bytes: Option<usize>) {
        self.world.lock().room = bytes;
    }

    /// Lets every sync of a file fail, or no longer.
    pub fn set_syncs_fail(&self, fail: bool) {
        self.world.lock().syncs_fail = fail;
    }

    /// How many syncs of files went well.
    #[must_use]
    pub fn syncs(&self) -> usize {
        self.world.lock().syncs
    }

    /// Says how much room there is on the disk.
    pub fn set_space(&self, space: Space) {
        self.world.lock().space = Some(space);
    }

    /// Gives an address a name.
    ///
    /// # Panics
    /// If that is no address.
    pub fn set_name(&self, address: &str, name: &str) {
        let address = address.parse().expect("an address");
        self.world.lock().names.insert(address, name.to_owned());
    }

    /// Lets every question for a name fail, or no longer.
    pub fn set_names_fail(&self, fail: bool) {
        self.world.lock().names_fail = fail;
    }

    /// How many questions for names were answered.
    #[must_use]
    pub fn names_asked(&self) -> usize {
        self.world.lock().names_asked
    }

    /// Holds back the answers to questions for names, or lets them go.
    pub fn set_names_held(&self, held: bool) {
        let (is_held, changed) = &*self.names_held;
        *is_held.lock() = held;
        changed.notify_all();
    }

    /// Moves the clock.
    pub fn set_now_millis(&self, now: i64) {
        self.world.lock().now_millis = now;
    }
}

impl World {
    fn content(&mut self, bytes: Vec<u8>) -> Arc<Mutex<Content>> {
        self.changes += 1;
        Arc::new(Mutex::new(Content { bytes, inode: self.changes, changed: self.changes }))
    }
}

impl Content {
    fn stat(&self) -> Stat {
        Stat {
            id: FileId { device: 1, inode: self.inode, born_nanos: i128::from(self.inode) },
            len: self.bytes.len() as u64,
            modified_nanos: i128::from(self.changed),
            is_file: true,
            is_dir: false,
        }
    }
}

impl Env for MemoryEnv {
    fn now_millis(&self) -> i64 {
        self.world.lock().now_millis
    }

    fn random(&self) -> u64 {
        // SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators").
        let mut world = self.world.lock();
        world.random = world.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = world.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn files(&self) -> &dyn Files {
        self
    }

    fn names(&self) -> &dyn Names {
        self
    }

    fn host_name(&self) -> String {
        "host".into()
    }
}

impl Names for MemoryEnv {
    fn name_of(&self, address: IpAddr) -> io::Result<Option<String>> {
        Ok(self.ask_names()?.get(&address).cloned())
    }

    fn addresses_of(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let names = self.ask_names()?;
        Ok(names.into_iter().filter(|(_, of)| of == name).map(|(address, _)| address).collect())
    }
}

impl MemoryEnv {
    fn ask_names(&self) -> io::Result<BTreeMap<IpAddr, String>> {
        let (is_held, changed) = &*self.names_held;
        changed.wait_while(&mut is_held.lock(), |held| *held);
        let mut world = self.world.lock();
        world.names_asked += 1;
        if world.names_fail {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(world.names.clone())
    }
}

impl Files for MemoryEnv {
    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn File>> {
        let mut world = self.world.lock();
        let known = world.files.get(path).cloned();
        let content = match (how, known) {
            (Open::CreateNew, Some(_)) => return Err(io::ErrorKind::AlreadyExists.into()),
            (_, Some(content)) => content,
            (Open::Read, None) => return Err(io::ErrorKind::NotFound.into()),
            (Open::Write | Open::CreateNew, None) => {
                let content = world.content(Vec::new());
                world.files.insert(path.to_owned(), content.clone());
                content
            }
        };
        Ok(Box::new(MemoryFile { world: self.world.clone(), content }))
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        let world = self.world.lock();
        if let Some(content) = world.files.get(path) {
            return Ok(content.lock().stat());
        }
        if world.files.keys().any(|file| file.starts_with(path)) {
            let id = FileId { device: 1, ..FileId::default() };
            return Ok(Stat { id, len: 0, modified_nanos: 0, is_file: false, is_dir: true });
        }
        Err(io::ErrorKind::NotFound.into())
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let mut entries: Vec<Entry> = Vec::new();
        for file in self.world.lock().files.keys() {
            let Ok(below) = file.strip_prefix(path) else { continue };
            let mut parts = below.components();
            let Some(first) = parts.next() else { continue };
            let kind = if parts.next().is_some() { EntryKind::Dir } else { EntryKind::File };
            let entry = Entry { path: path.join(first), kind };
            if entries.last() != Some(&entry) {
                entries.push(entry);
            }
        }
        Ok(entries)
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        self.stat(path).map(|_| path.to_owned())
    }

    fn space(&self, _path: &Path) -> io::Result<Space> {
        self.world.lock().space.ok_or_else(|| io::ErrorKind::Unsupported.into())
    }

    fn create_dir_all(&self, _path: &Path) -> io::Result<()> {
        // A folder is there as soon as a file is in it.
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.world.lock();
        let content = world.files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        world.files.insert(to.to_owned(), content);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let removed = self.world.lock().files.remove(path);
        removed.map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }
}

impl MemoryFile {
    /// Changes the file, and answers for the room on the disk.
    fn change(&self, change: impl FnOnce(&mut Vec<u8>, usize) -> io::Result<()>) -> io::Result<()> {
        let mut world = self.world.lock();
        world.changes += 1;
        let mut content = self.content.lock();
        content.changed = world.changes;
        let before = content.bytes.len();
        let changed = change(&mut content.bytes, world.room.unwrap_or(usize::MAX));
        if let Some(room) = &mut world.room {
            *room = (*room + before).saturating_sub(content.bytes.len());
        }
        changed
    }
}

impl File for MemoryFile {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let content = self.content.lock();
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(content.bytes.len());
        let len = into.len().min(content.bytes.len() - start);
        into[..len].copy_from_slice(&content.bytes[start..start + len]);
        Ok(len)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        self.change(|content, room| {
            let fits = content.len().saturating_add(room).saturating_sub(start).min(bytes.len());
            content.resize(content.len().max(start + fits), 0);
            content[start..start + fits].copy_from_slice(&bytes[..fits]);
            if fits < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut world = self.world.lock();
        if world.syncs_fail {
            return Err(io::Error::other("the disk does not answer"));
        }
        world.syncs += 1;
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(io::Error::other)?;
        self.change(|content, _| {
            content.resize(len, 0);
            Ok(())
        })
    }

    fn stat(&self) -> io::Result<Stat> {
        Ok(self.content.lock().stat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_changes_the_time_and_a_new_file_changes_the_id() {
        let env = MemoryEnv::new();
        env.put("/a", "one");
        let path = Path::new("/a");
        let first = env.stat(path).unwrap();
        env.open(path, Open::Write).unwrap().write_all_at(b"two", 0).unwrap();
        let second = env.stat(path).unwrap();
        assert_eq!((second.id, second.len), (first.id, first.len));
        assert_ne!(second.modified_nanos, first.modified_nanos);
        assert_eq!(env.files().read(path).unwrap(), b"two");
        env.put("/a", "two");
        assert_ne!(env.stat(path).unwrap().id, first.id);
    }

    #[test]
    fn a_disk_takes_what_fits_and_has_room_again_after_a_cut() {
        let env = MemoryEnv::new();
        env.put("/a", "one");
        env.set_room(Some(2));
        let file = env.open(Path::new("/a"), Open::Write).unwrap();
        assert!(file.write_all_at(b"ONE", 0).is_ok(), "it grows by nothing");
        let full = file.write_all_at(b"three", 3).unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
        assert_eq!(env.files().read(Path::new("/a")).unwrap(), b"ONEth");
        file.set_len(3).unwrap();
        assert!(file.write_all_at(b"tw", 3).is_ok());
        assert!(file.write_all_at(b"o", 5).is_err());
    }

    #[test]
    fn folders_are_there_through_their_files() {
        let env = MemoryEnv::new();
        env.put("/logs/a/1", "");
        env.put("/logs/a/2", "");
        env.put("/logs/b", "");
        let names: Vec<(PathBuf, EntryKind)> = env
            .read_dir(Path::new("/logs"))
            .unwrap()
            .into_iter()
            .map(|entry| (entry.path, entry.kind))
            .collect();
        let expected = [("/logs/a".into(), EntryKind::Dir), ("/logs/b".into(), EntryKind::File)];
        assert_eq!(names, expected);
        assert!(env.stat(Path::new("/logs")).unwrap().is_dir);
        assert!(env.stat(Path::new("/nowhere")).is_err());
    }
}
