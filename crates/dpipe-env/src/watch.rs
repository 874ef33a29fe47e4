//! Changes in folders, told by the operating system as they happen.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Watches folders, not what is below them. What it tells is a hint to look; a change may be told
/// more than once.
pub trait Watch: Send {
    /// Watches a folder from now on; to watch it twice does no harm. One that has several paths, by
    /// links, is told of by each that it was added by.
    ///
    /// # Errors
    /// If there is no such folder, or the operating system watches no more.
    fn add(&mut self, folder: &Path) -> io::Result<()>;

    /// Waits for changes and appends them. To stop waiting loses none.
    fn changes<'a>(
        &'a mut self,
        into: &'a mut Vec<Change>,
    ) -> Pin<Box<dyn Future<Output = io::Result<()>> + Send + 'a>>;
}

/// A change in a watched folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The content of a file changed.
    Content(PathBuf),
    /// A name came or went: a creation, a removal, a rename.
    Name(PathBuf),
    /// The same, of a folder.
    Folder(PathBuf),
    /// There were too many changes to tell.
    Lost,
}

/// Changes that one read of the kernel's queue may bring; each has a name of up to 255 bytes.
const READ_BYTES: usize = 64 << 10;

/// The `inotify` of Linux.
pub(crate) struct Inotify {
    fd: AsyncFd<OwnedFd>,
    folders: HashMap<i32, Vec<PathBuf>>,
    buffer: Vec<MaybeUninit<u8>>,
}

impl Inotify {
    pub(crate) fn new() -> io::Result<Self> {
        let fd = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        // What took its place is `unsafe`, for descriptors that may close early. An owned one cannot.
        #[expect(deprecated)]
        let fd = AsyncFd::with_interest(fd, Interest::READABLE)?;
        Ok(Inotify { fd, folders: HashMap::new(), buffer: vec![MaybeUninit::uninit(); READ_BYTES] })
    }
}

impl Watch for Inotify {
    fn add(&mut self, folder: &Path) -> io::Result<()> {
        let flags = WatchFlags::MODIFY
            | WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::EXCL_UNLINK
            | WatchFlags::ONLYDIR;
        let descriptor = inotify::add_watch(self.fd.get_ref(), folder, flags)?;
        let paths = self.folders.entry(descriptor).or_default();
        if !paths.iter().any(|path| path == folder) {
            paths.push(folder.to_owned());
        }
        Ok(())
    }

    fn changes<'a>(
        &'a mut self,
        into: &'a mut Vec<Change>,
    ) -> Pin<Box<dyn Future<Output = io::Result<()>> + Send + 'a>> {
        Box::pin(async move {
            let Inotify { fd, folders, buffer } = self;
            loop {
                let mut ready = fd.readable().await?;
                if let Ok(result) = ready.try_io(|fd| read(fd.get_ref(), folders, buffer, into)) {
                    return result;
                }
            }
        })
    }
}

/// Reads what the kernel has queued; an error if that is nothing.
fn read(
    fd: &OwnedFd,
    folders: &mut HashMap<i32, Vec<PathBuf>>,
    buffer: &mut [MaybeUninit<u8>],
    into: &mut Vec<Change>,
) -> io::Result<()> {
    let mut reader = inotify::Reader::new(fd, buffer);
    loop {
        let event = reader.next()?;
        let what = event.events();
        if what.contains(ReadFlags::QUEUE_OVERFLOW) {
            into.push(Change::Lost);
        } else if let Some(paths) = folders.get(&event.wd()) {
            // Without a name, the folder itself was moved or removed.
            let name = event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()));
            for folder in paths {
                let path = name.map_or_else(|| folder.clone(), |name| folder.join(name));
                into.push(if name.is_none() || what.contains(ReadFlags::ISDIR) {
                    Change::Folder(path)
                } else if what.contains(ReadFlags::MODIFY) {
                    Change::Content(path)
                } else {
                    Change::Name(path)
                });
            }
            if what.contains(ReadFlags::IGNORED) {
                folders.remove(&event.wd());
            }
        }
        if reader.is_buffer_empty() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Env, RealEnv};

    async fn until(watch: &mut dyn Watch, wanted: &Change) {
        let mut seen = Vec::new();
        while !seen.contains(wanted) {
            watch.changes(&mut seen).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_watch_tells_of_names_contents_and_folders() {
        let dir = tempfile::tempdir().unwrap();
        let mut watch = RealEnv.watch().unwrap();
        watch.add(dir.path()).unwrap();
        watch.add(dir.path()).unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        std::fs::write(&a, "").unwrap();
        until(&mut *watch, &Change::Name(a.clone())).await;
        std::fs::write(&a, "x").unwrap();
        until(&mut *watch, &Change::Content(a.clone())).await;
        std::fs::rename(&a, &b).unwrap();
        until(&mut *watch, &Change::Name(b)).await;
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        until(&mut *watch, &Change::Folder(dir.path().join("sub"))).await;
    }

    #[tokio::test]
    async fn a_folder_with_two_paths_is_told_of_by_both() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        std::fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        for order in [[&link, &real], [&real, &link]] {
            let mut watch = RealEnv.watch().unwrap();
            order.into_iter().for_each(|path| watch.add(path).unwrap());
            let name = real.join("a");
            std::fs::write(&name, "").unwrap();
            let mut seen = Vec::new();
            watch.changes(&mut seen).await.unwrap();
            for path in order {
                assert!(seen.contains(&Change::Name(path.join("a"))), "{seen:?}");
            }
            std::fs::remove_file(name).unwrap();
        }
    }

    #[tokio::test]
    async fn only_folders_can_be_watched() {
        let dir = tempfile::tempdir().unwrap();
        let mut watch = RealEnv.watch().unwrap();
        assert!(watch.add(&dir.path().join("missing")).is_err());
        std::fs::write(dir.path().join("file"), "").unwrap();
        assert!(watch.add(&dir.path().join("file")).is_err());
    }
}
