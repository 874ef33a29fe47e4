//! Files as dpipe uses them: positioned reads, appends, explicit syncs of data and of folders.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use crate::beneath;

/// The file system.
pub trait Files: Send + Sync {
    /// Opens a file.
    ///
    /// # Errors
    /// Those of the operating system, also for the other methods.
    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn File>>;
    /// Opens the file at `path` below the folder `base`, and never one elsewhere: `path` goes only
    /// down, and no symbolic link below `base` is followed. To write, missing folders are created.
    fn open_beneath(&self, base: &Path, path: &Path, how: Open) -> io::Result<Box<dyn File>> {
        // Where there are no links, the names tell all.
        let path =
            beneath::names(path)?.into_iter().fold(base.to_owned(), |at, name| at.join(name));
        if let (Open::Write | Open::CreateNew, Some(folder)) = (how, path.parent()) {
            self.create_dir_all(folder)?;
        }
        self.open(&path, how)
    }
    /// The same to write, where a new file gets the permissions of `mode`, such as `0o640`, and a new
    /// folder, the base included, those and the right to enter for whoever may read. The process's
    /// umask takes away from both.
    fn create_beneath(&self, base: &Path, path: &Path, mode: u32) -> io::Result<Box<dyn File>> {
        // Where there is only one user, there are no permissions.
        let _ = mode;
        self.open_beneath(base, path, Open::Write)
    }
    /// What is known of a file by its path; symbolic links are followed.
    fn stat(&self, path: &Path) -> io::Result<Stat>;
    /// What is known of several files of one folder, by their places in `names`: faster than one by
    /// one.
    fn stat_each(
        &self,
        folder: &Path,
        names: &[OsString],
        each: &mut dyn FnMut(usize, io::Result<Stat>),
    ) {
        for (at, name) in names.iter().enumerate() {
            each(at, self.stat(&folder.join(name)));
        }
    }
    /// The entries of a folder, in no order.
    fn read_dir(&self, path: &Path) -> io::Result<Vec<Entry>>;
    /// The path without symbolic links.
    fn canonical(&self, path: &Path) -> io::Result<PathBuf>;
    /// Creates a folder and those above it, for its owner only.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Moves a file, over another one if there is one.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// The room on the file system that holds `path`.
    fn space(&self, _path: &Path) -> io::Result<Space> {
        Err(io::ErrorKind::Unsupported.into())
    }
    /// Makes the entries of a folder durable: creations, renames, removals.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// Reads a whole file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let file = self.open(path, Open::Read)?;
        let mut bytes = vec![0; usize::try_from(file.stat()?.len).unwrap_or(usize::MAX)];
        let mut filled = 0;
        loop {
            if filled == bytes.len() {
                bytes.resize(bytes.len() + 4096, 0);
            }
            match file.read_at(&mut bytes[filled..], filled as u64)? {
                0 => break,
                n => filled += n,
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }
}

/// How to open a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// To read; it must exist.
    Read,
    /// To write at positions of it and read back; created for its owner only if it is missing.
    Write,
    /// To write; it must not exist, not even as a symbolic link.
    CreateNew,
}

/// An open file.
pub trait File: Send + Sync {
    /// Reads at `offset` into `into`; returns how many bytes, 0 at the end of the file.
    ///
    /// # Errors
    /// Those of the operating system, also for the other methods.
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `bytes` at `offset`.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Makes what was written durable.
    fn sync_data(&self) -> io::Result<()>;
    /// Cuts or extends the file.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// What is known of the file.
    fn stat(&self) -> io::Result<Stat>;
    /// Takes the file for this process, until it is dropped; false if another process has it. Where
    /// there is only one process, nobody else has it.
    fn try_lock(&self) -> io::Result<bool> {
        Ok(true)
    }
    /// Tells that the file will be read from front to back.
    fn read_ahead(&self) {}
}

/// What a file system tells of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Which file it is.
    pub id: FileId,
    /// Its length, in bytes.
    pub len: u64,
    /// When its content last changed, in nanoseconds since 1970.
    pub modified_nanos: i128,
    /// Whether it is a regular file.
    pub is_file: bool,
    /// Whether it is a folder.
    pub is_dir: bool,
}

/// The room on a file system, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// All of it.
    pub total: u64,
    /// What nothing is stored in.
    pub free: u64,
    /// What of that is there for everybody, and not kept for the administrator.
    pub available: u64,
}

/// Which file it is, whatever it is called: device, number, and time of birth where the file
/// system keeps one (a number is used again after a removal).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId {
    /// The device.
    pub device: u64,
    /// The inode.
    pub inode: u64,
    /// When the file was created, in nanoseconds since 1970; 0 if the file system does not say.
    pub born_nanos: i128,
}

/// An entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its whole path.
    pub path: PathBuf,
    /// What it is.
    pub kind: EntryKind,
}

/// What an entry of a folder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A folder.
    Dir,
    /// A symbolic link.
    Link,
    /// A socket, a device or a pipe.
    Other,
}
