//! The data directory: one dpipe at a time, a known layout, secrets made once.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dpipe_env::{Env, File, Files, Open};

use crate::file_name::file_name;
use crate::replace::{read_if_there, replace};
use crate::{CheckpointFile, DeadLetters};

/// The layout that this program writes.
const FORMAT: u32 = 1;

/// An open data directory. Nobody else opens it while this lives.
pub struct DataDir {
    env: Arc<dyn Env>,
    path: PathBuf,
    id_key: [u8; 32],
    admin_token: String,
    _lock: Box<dyn File>,
}

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process has it.
    #[error("another dpipe{} uses the data directory `{}`", holder(*.pid), .path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The process, if its lock file says so.
        pid: Option<u32>,
    },
    /// A newer dpipe wrote it.
    #[error(
        "the data directory `{}` has format {found}, and this dpipe knows none after {FORMAT}",
        .path.display()
    )]
    Newer {
        /// The directory.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// A file in it does not hold what it must.
    #[error("the file `{}` is damaged: it should hold {expected}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
    },
    /// The system refused something.
    #[error("cannot use `{}` as the data directory", .path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
}

fn holder(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
}

impl DataDir {
    /// Opens a data directory, which is created if it is missing.
    ///
    /// # Errors
    /// If another process has it, a newer dpipe wrote it, a file in it is damaged, or the system
    /// refuses something.
    pub fn open(env: Arc<dyn Env>, path: &Path) -> Result<DataDir, DataDirError> {
        let files = env.files();
        let failed = |source| DataDirError::Io { path: path.to_owned(), source };
        files.create_dir_all(path).map_err(failed)?;
        let lock = lock(files, path)?;
        check_format(files, path)?;
        let id_key = id_key(&*env, path)?;
        let admin_token = admin_token(&*env, path)?;
        Ok(DataDir { path: path.to_owned(), id_key, admin_token, _lock: lock, env })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The secret from which stream ids are derived; the same for the life of the directory.
    #[must_use]
    pub fn id_key(&self) -> &[u8; 32] {
        &self.id_key
    }

    /// What admin commands have to show; also in the file `admin.token`.
    #[must_use]
    pub fn admin_token(&self) -> &str {
        &self.admin_token
    }

    /// The checkpoints of an input.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn checkpoints(&self, input: &str) -> io::Result<CheckpointFile> {
        let folder = self.folder("checkpoints")?;
        CheckpointFile::open(self.env.clone(), folder.join(file_name(input)))
    }

    /// The dead letters of all tenants, each of which keeps at most about `tenant_bytes_max`.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn dead_letters(&self, tenant_bytes_max: u64) -> io::Result<DeadLetters> {
        Ok(DeadLetters::new(self.env.clone(), self.folder("dead")?, tenant_bytes_max))
    }

    fn folder(&self, name: &str) -> io::Result<PathBuf> {
        let folder = self.path.join(name);
        self.env.files().create_dir_all(&folder)?;
        self.env.files().sync_dir(&self.path)?;
        Ok(folder)
    }
}

fn lock(files: &dyn Files, path: &Path) -> Result<Box<dyn File>, DataDirError> {
    let failed = |source| DataDirError::Io { path: path.to_owned(), source };
    let name = path.join("lock");
    let lock = files.open(&name, Open::Write).map_err(failed)?;
    if !lock.try_lock().map_err(failed)? {
        // Only for the message: the holder may not have written it yet.
        let text = files.read(&name).unwrap_or_default();
        let pid = std::str::from_utf8(&text).ok().and_then(|text| text.trim().parse().ok());
        return Err(DataDirError::InUse { path: path.to_owned(), pid });
    }
    let pid = format!("{}\n", std::process::id());
    lock.set_len(0).and_then(|()| lock.write_all_at(pid.as_bytes(), 0)).map_err(failed)?;
    Ok(lock)
}

fn check_format(files: &dyn Files, path: &Path) -> Result<(), DataDirError> {
    let name = path.join("format");
    let text = format!("dpipe {FORMAT}\n");
    let content = read_or_make(files, path, &name, || text.into_bytes())?;
    let number = std::str::from_utf8(&content)
        .ok()
        .and_then(|text| text.strip_prefix("dpipe ")?.trim_end().parse::<u32>().ok());
    match number {
        Some(found) if found > FORMAT => Err(DataDirError::Newer { path: path.to_owned(), found }),
        Some(_) => Ok(()),
        None => Err(DataDirError::Damaged { path: name, expected: "`dpipe` and a number" }),
    }
}

fn id_key(env: &dyn Env, path: &Path) -> Result<[u8; 32], DataDirError> {
    let name = path.join("id.key");
    let key = read_or_make(env.files(), path, &name, || random(env).to_vec())?;
    // A new key would give every event a new id, so a damaged one is not replaced.
    key.try_into().map_err(|_| DataDirError::Damaged { path: name, expected: "32 bytes" })
}

fn admin_token(env: &dyn Env, path: &Path) -> Result<String, DataDirError> {
    let name = path.join("admin.token");
    let make = || {
        let digits: String = random(env).iter().map(|byte| format!("{byte:02x}")).collect();
        (digits + "\n").into_bytes()
    };
    let text = read_or_make(env.files(), path, &name, make)?;
    let token = std::str::from_utf8(&text).unwrap_or_default().trim();
    // An empty token would let everybody in.
    if token.len() < 16 || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        let expected = "at least 16 characters without spaces";
        return Err(DataDirError::Damaged { path: name, expected });
    }
    Ok(token.to_owned())
}

fn read_or_make(
    files: &dyn Files,
    path: &Path,
    name: &Path,
    make: impl FnOnce() -> Vec<u8>,
) -> Result<Vec<u8>, DataDirError> {
    let read_or_made = || {
        if let Some(content) = read_if_there(files, name)? {
            return Ok(content);
        }
        let content = make();
        replace(files, name, &content)?;
        Ok(content)
    };
    read_or_made().map_err(|source| DataDirError::Io { path: path.to_owned(), source })
}

fn random(env: &dyn Env) -> [u8; 32] {
    let mut bytes = [0; 32];
    for chunk in bytes.chunks_exact_mut(8) {
        chunk.copy_from_slice(&env.random().to_le_bytes());
    }
    bytes
}

impl fmt::Debug for DataDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataDir").field("path", &self.path).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use dpipe_env::RealEnv;

    use super::*;
    use crate::crashing::until_it_survives;

    fn open(path: &Path) -> Result<DataDir, DataDirError> {
        DataDir::open(Arc::new(RealEnv), path)
    }

    #[test]
    fn secrets_are_made_once_and_for_the_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/data");
        let first = open(&path).unwrap();
        let (key, token) = (*first.id_key(), first.admin_token().to_owned());
        assert_eq!(token.len(), 64);
        drop(first);
        let again = open(&path).unwrap();
        assert_eq!((again.id_key(), again.admin_token()), (&key, &*token));
        let mode =
            |name: &str| std::fs::metadata(path.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(""), 0o700);
        for name in ["lock", "format", "id.key", "admin.token"] {
            assert_eq!(mode(name), 0o600, "{name}");
        }
        let other = open(&dir.path().join("other")).unwrap();
        assert_ne!(other.id_key(), &key);
    }

    #[test]
    fn a_second_dpipe_is_told_who_has_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let first = open(dir.path()).unwrap();
        let error = open(dir.path()).unwrap_err().to_string();
        let path = dir.path().display();
        let pid = std::process::id();
        assert_eq!(
            error,
            format!("another dpipe (process {pid}) uses the data directory `{path}`")
        );
        drop(first);
        open(dir.path()).unwrap();
    }

    #[test]
    fn a_newer_layout_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("format"), "dpipe 2\n").unwrap();
        assert!(matches!(open(dir.path()), Err(DataDirError::Newer { found: 2, .. })));
        assert!(!dir.path().join("id.key").exists());
    }

    #[test]
    fn a_damaged_file_is_named_and_not_replaced() {
        for (name, content) in [("format", "x"), ("id.key", "short"), ("admin.token", " \n")] {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join(name), content).unwrap();
            let error = open(dir.path()).unwrap_err();
            let DataDirError::Damaged { path, .. } = &error else { panic!("{name}: {error}") };
            assert_eq!(*path, dir.path().join(name));
            assert_eq!(std::fs::read_to_string(path).unwrap(), content);
        }
    }

    #[test]
    fn a_crash_while_it_is_made_leaves_a_directory_that_opens() {
        until_it_survives(|env, path| {
            let made = DataDir::open(env, path);
            let again = open(path).unwrap();
            match made {
                Ok(made) => {
                    assert_eq!(made.id_key(), again.id_key());
                    true
                }
                Err(_) => false,
            }
        });
    }
}
