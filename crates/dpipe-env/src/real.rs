//! The machine dpipe runs on.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags};

use crate::beneath;
use crate::names::SystemNames;
use crate::watch::{Inotify, Watch};
use crate::{Entry, EntryKind, Env, File, FileId, Files, Names, Open, Space, Stat};

/// The machine dpipe runs on.
#[derive(Debug, Default)]
pub struct RealEnv;

impl Env for RealEnv {
    fn now_millis(&self) -> i64 {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
        }
    }

    fn random(&self) -> u64 {
        use std::hash::{BuildHasher, Hasher};
        // The standard library seeds each `RandomState` from the operating system.
        let mut hasher = std::hash::RandomState::new().build_hasher();
        hasher.write_i64(self.now_millis());
        hasher.finish()
    }

    fn files(&self) -> &dyn Files {
        &RealFiles
    }

    fn watch(&self) -> io::Result<Box<dyn Watch>> {
        Ok(Box::new(Inotify::new()?))
    }

    fn names(&self) -> &dyn Names {
        &SystemNames
    }

    fn host_name(&self) -> String {
        rustix::system::uname().nodename().to_string_lossy().into_owned()
    }
}

/// The permissions of a file that nobody else may see.
const OWNER_ONLY: u32 = 0o600;

struct RealFiles;

impl Files for RealFiles {
    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn File>> {
        let mut options = fs::OpenOptions::new();
        options.read(true).mode(OWNER_ONLY);
        match how {
            Open::Read => {
                // A named pipe that matches a glob must not block whoever opens it.
                options.custom_flags(OFlags::NONBLOCK.bits() as i32);
            }
            Open::Write => {
                options.write(true).create(true);
            }
            Open::CreateNew => {
                options.write(true).create_new(true);
            }
        }
        Ok(Box::new(RealFile(options.open(path)?)))
    }

    fn open_beneath(&self, base: &Path, path: &Path, how: Open) -> io::Result<Box<dyn File>> {
        let flags = match how {
            Open::Read => OFlags::RDONLY | OFlags::NONBLOCK,
            Open::Write => OFlags::RDWR | OFlags::CREATE,
            Open::CreateNew => OFlags::RDWR | OFlags::CREATE | OFlags::EXCL,
        };
        if how != Open::Read {
            self.create_dir_all(base)?;
        }
        Ok(Box::new(RealFile(beneath::open(base, path, flags, OWNER_ONLY)?.into())))
    }

    fn create_beneath(&self, base: &Path, path: &Path, mode: u32) -> io::Result<Box<dyn File>> {
        let folder = beneath::folder_mode(mode);
        fs::DirBuilder::new().recursive(true).mode(folder).create(base)?;
        let flags = OFlags::RDWR | OFlags::CREATE;
        Ok(Box::new(RealFile(beneath::open(base, path, flags, mode)?.into())))
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        statx(rustix::fs::CWD, path, AtFlags::empty())
    }

    fn stat_each(
        &self,
        folder: &Path,
        names: &[OsString],
        each: &mut dyn FnMut(usize, io::Result<Stat>),
    ) {
        // The way to the folder is looked up once.
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::open(folder, flags, Mode::empty());
        for (at, name) in names.iter().enumerate() {
            let stat = match &opened {
                Ok(folder) => statx(folder, Path::new(name), AtFlags::empty()),
                Err(error) => Err((*error).into()),
            };
            each(at, stat);
        }
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let entry = |entry: io::Result<fs::DirEntry>| {
            let entry = entry?;
            let kind = entry.file_type()?;
            let kind = match () {
                () if kind.is_file() => EntryKind::File,
                () if kind.is_dir() => EntryKind::Dir,
                () if kind.is_symlink() => EntryKind::Link,
                () => EntryKind::Other,
            };
            Ok(Entry { path: entry.path(), kind })
        };
        fs::read_dir(path)?.map(entry).collect()
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        fs::canonicalize(path)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        let found = rustix::fs::statvfs(path)?;
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        Ok(Space {
            total: bytes(found.f_blocks),
            free: bytes(found.f_bfree),
            available: bytes(found.f_bavail),
        })
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mode = beneath::folder_mode(OWNER_ONLY);
        fs::DirBuilder::new().recursive(true).mode(mode).create(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        fs::File::open(path)?.sync_all()
    }
}

struct RealFile(fs::File);

impl File for RealFile {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        loop {
            match self.0.read_at(into, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn stat(&self) -> io::Result<Stat> {
        statx(&self.0, Path::new(""), AtFlags::EMPTY_PATH)
    }

    fn try_lock(&self) -> io::Result<bool> {
        match self.0.try_lock() {
            Ok(()) => Ok(true),
            Err(fs::TryLockError::WouldBlock) => Ok(false),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }

    fn read_ahead(&self) {
        // Advice only: a file system that knows none is read all the same.
        let _ = rustix::fs::fadvise(&self.0, 0, None, rustix::fs::Advice::Sequential);
    }
}

fn statx(at: impl AsFd, path: &Path, flags: AtFlags) -> io::Result<Stat> {
    let wanted = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
    let x = rustix::fs::statx(at, path, flags, wanted)?;
    let nanos = |t: rustix::fs::StatxTimestamp| {
        i128::from(t.tv_sec) * 1_000_000_000 + i128::from(t.tv_nsec)
    };
    let has_birth = StatxFlags::from_bits_retain(x.stx_mask).contains(StatxFlags::BTIME);
    let kind = rustix::fs::FileType::from_raw_mode(x.stx_mode.into());
    Ok(Stat {
        id: FileId {
            device: u64::from(x.stx_dev_major) << 32 | u64::from(x.stx_dev_minor),
            inode: x.stx_ino,
            born_nanos: if has_birth { nanos(x.stx_btime) } else { 0 },
        },
        len: x.stx_size,
        modified_nanos: nanos(x.stx_mtime),
        is_file: kind.is_file(),
        is_dir: kind.is_dir(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_keeps_its_id_through_a_rename_and_a_new_one_gets_another() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        let files = RealFiles;
        let file = files.open(&a, Open::Write).unwrap();
        file.write_all_at(b"hello", 0).unwrap();
        let before = file.stat().unwrap();
        files.rename(&a, &b).unwrap();
        assert_eq!(files.stat(&b).unwrap().id, before.id);
        files.open(&a, Open::CreateNew).unwrap();
        assert_ne!(files.stat(&a).unwrap().id, before.id);
        assert_eq!(files.read(&b).unwrap(), b"hello");
        assert_eq!(before.len, 5);
    }

    #[test]
    fn several_files_of_a_folder_are_looked_at_together() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a"), "one").unwrap();
        fs::create_dir(dir.path().join("b")).unwrap();
        std::os::unix::fs::symlink("a", dir.path().join("c")).unwrap();
        let names = ["a", "missing", "b", "c"].map(OsString::from);
        let mut found = Vec::new();
        RealFiles.stat_each(dir.path(), &names, &mut |at, stat| found.push((at, stat.ok())));
        let one_by_one = names.iter().map(|name| RealFiles.stat(&dir.path().join(name)).ok());
        assert_eq!(found, one_by_one.enumerate().collect::<Vec<_>>());
        assert_eq!(found.iter().filter(|(_, stat)| stat.is_some()).count(), 3);
        let mut errors = 0;
        RealFiles.stat_each(&dir.path().join("missing"), &names, &mut |_, stat| {
            assert_eq!(stat.unwrap_err().kind(), io::ErrorKind::NotFound);
            errors += 1;
        });
        assert_eq!(errors, names.len());
    }

    #[test]
    fn a_lock_is_held_until_its_file_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let first = RealFiles.open(&path, Open::Write).unwrap();
        let second = RealFiles.open(&path, Open::Write).unwrap();
        assert!(first.try_lock().unwrap());
        assert!(!second.try_lock().unwrap());
        drop(first);
        assert!(second.try_lock().unwrap());
    }

    #[test]
    fn a_new_file_is_for_its_owner_only_and_never_goes_through_a_link() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(dir.path().join("elsewhere"), &link).unwrap();
        assert!(RealFiles.open(&link, Open::CreateNew).is_err());
        let path = dir.path().join("own");
        RealFiles.open(&path, Open::CreateNew).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
