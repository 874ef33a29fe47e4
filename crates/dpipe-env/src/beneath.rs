//! Opening files below a folder that nothing may lead out of: not `..`, not an absolute path, not a
//! symbolic link that somebody put in the way.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

const FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW);

/// The names along a path that goes only down.
///
/// # Errors
/// If the path is empty, absolute, or has a `..`.
pub(crate) fn names(path: &Path) -> io::Result<Vec<&OsStr>> {
    let name = |component| match component {
        Component::Normal(name) => Ok(name),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "the path leads out of its folder")),
    };
    let names: Vec<&OsStr> = path.components().map(name).collect::<io::Result<_>>()?;
    if names.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"));
    }
    Ok(names)
}

/// Opens the file at `path` below `base`. With [`OFlags::CREATE`], missing folders in between are
/// created too. What is created gets the permissions of `new`; see [`folder_mode`].
pub(crate) fn open(base: &Path, path: &Path, flags: OFlags, new: u32) -> io::Result<OwnedFd> {
    let names = names(path)?;
    let flags = flags | OFlags::CLOEXEC;
    // The base is the operator's: links in it are meant.
    let base = rustix::fs::open(base, FOLDER.difference(OFlags::NOFOLLOW), Mode::empty())?;
    match in_one_call(base.as_fd(), path, flags, new) {
        // A kernel before 5.6, a sandbox that does not know the call, a race with a rename.
        Err(Errno::NOSYS | Errno::PERM | Errno::AGAIN) => {}
        Err(Errno::NOENT) if flags.contains(OFlags::CREATE) => {}
        opened => return Ok(opened?),
    }
    step_by_step(base, &names, flags, new)
}

/// The permissions of a folder for files with these: whoever may read those may enter it.
pub(crate) fn folder_mode(file: u32) -> u32 {
    file | (file & 0o444) >> 2
}

fn in_one_call(base: impl AsFd, path: &Path, flags: OFlags, new: u32) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    rustix::fs::openat2(base, path, flags, mode(flags, new), resolve)
}

/// The same, folder by folder: each is opened below the one before, and none may be a link.
fn step_by_step(base: OwnedFd, names: &[&OsStr], flags: OFlags, new: u32) -> io::Result<OwnedFd> {
    let (file, folders) = names.split_last().expect("a path has at least one name");
    let mut at = base;
    for name in folders {
        at = match rustix::fs::openat(&at, *name, FOLDER | OFlags::CLOEXEC, Mode::empty()) {
            Err(Errno::NOENT) if flags.contains(OFlags::CREATE) => {
                match rustix::fs::mkdirat(&at, *name, Mode::from_raw_mode(folder_mode(new))) {
                    // Somebody else may have been faster.
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(error.into()),
                }
                rustix::fs::openat(&at, *name, FOLDER | OFlags::CLOEXEC, Mode::empty())?
            }
            opened => opened?,
        };
    }
    Ok(rustix::fs::openat(&at, *file, flags | OFlags::NOFOLLOW, mode(flags, new))?)
}

/// Without `CREATE` a mode would be refused.
fn mode(flags: OFlags, new: u32) -> Mode {
    if flags.contains(OFlags::CREATE) { Mode::from_raw_mode(new) } else { Mode::empty() }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    const CREATE: OFlags = OFlags::RDWR.union(OFlags::CREATE);

    /// Both ways to the same end.
    fn ways() -> [fn(&Path, &Path) -> io::Result<OwnedFd>; 2] {
        [|base, path| open(base, path, CREATE, 0o600), |base, path| walk(base, path, 0o600)]
    }

    fn walk(base: &Path, path: &Path, new: u32) -> io::Result<OwnedFd> {
        let folder = FOLDER.difference(OFlags::NOFOLLOW);
        let base = rustix::fs::open(base, folder, Mode::empty())?;
        step_by_step(base, &names(path)?, CREATE, new)
    }

    #[test]
    fn what_is_created_has_the_permissions_that_were_asked_for() {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let umask = status.lines().find_map(|line| line.strip_prefix("Umask:")).unwrap().trim();
        let allowed = !u32::from_str_radix(umask, 8).unwrap();
        for (file, folder) in [(0o600, 0o700), (0o640, 0o750), (0o644, 0o755)] {
            for open in [|base: &Path, path: &Path, new| open(base, path, CREATE, new), walk] {
                let dir = tempfile::tempdir().unwrap();
                open(dir.path(), Path::new("a/b/c.log"), file).unwrap();
                open(dir.path(), Path::new("a/b/c.log"), file).unwrap();
                let mode = |path| fs::metadata(dir.path().join(path)).unwrap().permissions().mode();
                let wanted = (folder & allowed, file & allowed);
                assert_eq!((mode("a/b") & 0o777, mode("a/b/c.log") & 0o777), wanted);
            }
        }
    }

    #[test]
    fn no_path_leads_out() {
        for open in ways() {
            let dir = tempfile::tempdir().unwrap();
            let base = dir.path().join("base");
            fs::create_dir(&base).unwrap();
            for path in ["../out", "/tmp/out", "a/../../out", "..", "", "a/b/../../../out"] {
                assert!(open(&base, Path::new(path)).is_err(), "{path}");
            }
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
            assert_eq!(fs::read_dir(&base).unwrap().count(), 0);
        }
    }

    #[test]
    fn no_link_is_followed_below_the_base() {
        for open in ways() {
            let dir = tempfile::tempdir().unwrap();
            let (base, out) = (dir.path().join("base"), dir.path().join("out"));
            fs::create_dir(&base).unwrap();
            fs::create_dir(&out).unwrap();
            symlink(&out, base.join("folder")).unwrap();
            symlink(out.join("new"), base.join("file")).unwrap();
            symlink(".", base.join("within")).unwrap();
            for path in ["folder/x", "file", "within/x", "folder"] {
                assert!(open(&base, Path::new(path)).is_err(), "{path}");
            }
            assert_eq!(fs::read_dir(&out).unwrap().count(), 0);
        }
    }

    #[test]
    fn the_base_itself_may_be_reached_by_a_link() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("real")).unwrap();
        symlink(dir.path().join("real"), dir.path().join("base")).unwrap();
        for open in ways() {
            open(&dir.path().join("base"), Path::new("x")).unwrap();
        }
        assert!(dir.path().join("real/x").exists());
    }
}
