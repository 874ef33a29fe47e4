//! A table read from a file, and read again when the file changes.
//!
//! The lanes' copies of a step share one [`Watched`]. Each looks at the file on its tick; the first
//! to see a change reads and parses it, and the new table holds for all from their next batch on. A
//! new file that is no good leaves the old table in force and is complained about once.
//!
//! Reading happens on a lane, which handles no batch meanwhile: some tens of milliseconds for a
//! large table. A file should be replaced by a rename; one that is caught while it is being written
//! is left for the next tick.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dpipe_env::{Env, Stat};
use dpipe_plugin::{BuildContext, BuildError, StepContext};
use parking_lot::{Mutex, RwLock};

/// Makes a table of the bytes of its file, or says what is wrong with them.
type Parse<T> = Box<dyn Fn(Vec<u8>) -> Result<T, String> + Send + Sync>;

/// A table that follows its file.
pub(crate) struct Watched<T> {
    env: Arc<dyn Env>,
    path: PathBuf,
    parse: Parse<T>,
    table: RwLock<Arc<T>>,
    /// The file as it was last looked at; none if it was not there.
    seen: Mutex<Option<Stat>>,
}

impl<T: Send + Sync + 'static> Watched<T> {
    /// The table of the file at `path`, shared by all steps that read this file.
    ///
    /// # Errors
    /// If the file cannot be read or parsed.
    pub(crate) fn open(
        context: &BuildContext<'_>,
        path: &str,
        parse: fn(Vec<u8>) -> Result<T, String>,
    ) -> Result<Arc<Self>, BuildError> {
        Self::open_as(context, path, "", parse)
    }

    /// The same of a file that may be read in several ways, shared by those who name theirs alike.
    ///
    /// # Errors
    /// If the file cannot be read or parsed.
    pub(crate) fn open_as(
        context: &BuildContext<'_>,
        path: &str,
        way: &str,
        parse: impl Fn(Vec<u8>) -> Result<T, String> + Send + Sync + 'static,
    ) -> Result<Arc<Self>, BuildError> {
        let path = context.resolve(path);
        let name = path.to_string_lossy();
        context.shared.get_or_make(&format!("{name}\0{way}"), || {
            let cannot = |error| BuildError::caused(format!("cannot load {name}"), error);
            let stat =
                context.env.files().stat(&path).map_err(|error| cannot(error.to_string()))?;
            let table = load(&**context.env, &path, &parse).map_err(cannot)?;
            Ok(Watched {
                env: context.env.clone(),
                path: path.clone(),
                parse: Box::new(parse),
                table: RwLock::new(Arc::new(table)),
                seen: Mutex::new(Some(stat)),
            })
        })
    }

    /// The table in force.
    pub(crate) fn table(&self) -> Arc<T> {
        self.table.read().clone()
    }

    /// Reads the file again if it changed since anyone last looked.
    pub(crate) fn look(&self, context: &mut StepContext) {
        // Whoever else is looking does it for all.
        let Some(mut seen) = self.seen.try_lock() else { return };
        let stat = self.env.files().stat(&self.path);
        let now = stat.as_ref().ok().copied();
        if now == *seen {
            return;
        }
        let loaded = match stat {
            Ok(_) => load(&*self.env, &self.path, &self.parse),
            Err(error) => Err(error.to_string()),
        };
        if self.env.files().stat(&self.path).ok() != now {
            return;
        }
        *seen = now;
        match loaded {
            Ok(table) => *self.table.write() = Arc::new(table),
            Err(error) => context.complain(format!(
                "cannot load {}, so the table read before stays in force: {error}",
                self.path.display()
            )),
        }
    }
}

fn load<T>(
    env: &dyn Env,
    path: &Path,
    parse: impl Fn(Vec<u8>) -> Result<T, String>,
) -> Result<T, String> {
    let bytes = env.files().read(path).map_err(|error| error.to_string())?;
    parse(bytes)
}
