//! A disk that stops working at a chosen moment, as if the machine had crashed there: the change
//! at that moment is made by half, and none after it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dpipe_env::{Entry, Env, File, Files, Open, RealEnv, Stat};

/// Runs `scenario` on an empty folder, with a crash at the first change, the second, and so on,
/// until it says that it came to its end.
pub(crate) fn until_it_survives(mut scenario: impl FnMut(Arc<dyn Env>, &Path) -> bool) {
    for changes in 0..10_000 {
        let dir = tempfile::tempdir().unwrap();
        let world = crashing_after(Arc::new(AtomicUsize::new(changes)));
        if scenario(world, dir.path()) {
            return;
        }
    }
    panic!("the scenario has no end");
}

/// The real world, until this many changes were made to its files.
pub(crate) fn crashing_after(left: Arc<AtomicUsize>) -> Arc<dyn Env> {
    Arc::new(Crashing { left, real: RealEnv })
}

struct Crashing {
    /// Changes until the crash.
    left: Arc<AtomicUsize>,
    real: RealEnv,
}

struct CrashingFile {
    left: Arc<AtomicUsize>,
    real: Box<dyn File>,
}

/// Whether a further change is made.
fn change(left: &AtomicUsize) -> io::Result<()> {
    let less = |n: usize| n.checked_sub(1);
    match left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less) {
        Ok(_) => Ok(()),
        Err(_) => Err(io::Error::other("crashed")),
    }
}

impl Env for Crashing {
    fn now_millis(&self) -> i64 {
        self.real.now_millis()
    }
    fn random(&self) -> u64 {
        self.real.random()
    }
    fn files(&self) -> &dyn Files {
        self
    }
    fn host_name(&self) -> String {
        self.real.host_name()
    }
}

impl Files for Crashing {
    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn File>> {
        if how != Open::Read {
            change(&self.left)?;
        }
        let real = self.real.files().open(path, how)?;
        Ok(Box::new(CrashingFile { left: self.left.clone(), real }))
    }
    fn stat(&self, path: &Path) -> io::Result<Stat> {
        self.real.files().stat(path)
    }
    fn read_dir(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.real.files().read_dir(path)
    }
    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        self.real.files().canonical(path)
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        change(&self.left)?;
        self.real.files().create_dir_all(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        change(&self.left)?;
        self.real.files().rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        change(&self.left)?;
        self.real.files().remove(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        change(&self.left)?;
        self.real.files().sync_dir(path)
    }
}

impl File for CrashingFile {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.real.read_at(into, offset)
    }
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let crash = change(&self.left);
        let whole = if crash.is_ok() { bytes } else { &bytes[..bytes.len() / 2] };
        self.real.write_all_at(whole, offset)?;
        crash
    }
    fn sync_data(&self) -> io::Result<()> {
        change(&self.left)?;
        self.real.sync_data()
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        change(&self.left)?;
        self.real.set_len(len)
    }
    fn stat(&self) -> io::Result<Stat> {
        self.real.stat()
    }
}
