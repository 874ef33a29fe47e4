//! Looking at every known file, for changes that nobody tells of. With many files this is what polling
//! costs, so it is done folder by folder and out of one compact list.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use dpipe_env::{FileId, Files, Stat};

use super::tail::Tail;

/// The known files, by folder.
#[derive(Default)]
pub(super) struct Rounds {
    /// Whether names came or went since the list was made.
    pub(super) stale: bool,
    folders: Vec<Folder>,
}

struct Folder {
    path: PathBuf,
    names: Vec<OsString>,
    /// What was found last, in the same order.
    files: Vec<Seen>,
}

/// Of a file that was not found: no file was changed then.
const NEVER: i128 = i128::MIN;

#[derive(Clone, Copy)]
struct Seen {
    id: FileId,
    len: u64,
    modified_nanos: i128,
}

impl Rounds {
    /// Makes the list anew if that is needed.
    pub(super) fn update(
        &mut self,
        paths: &HashMap<PathBuf, FileId>,
        tails: &HashMap<FileId, Tail>,
    ) {
        if !std::mem::take(&mut self.stale) {
            return;
        }
        let mut folders: HashMap<&Path, Folder> = HashMap::new();
        for (path, &id) in paths {
            let (Some(path), Some(name)) = (path.parent(), path.file_name()) else { continue };
            let empty = || Folder { path: path.to_owned(), names: Vec::new(), files: Vec::new() };
            let folder = folders.entry(path).or_insert_with(empty);
            folder.names.push(name.to_owned());
            let (len, modified_nanos) = tails.get(&id).map_or((0, NEVER), |tail| tail.seen);
            folder.files.push(Seen { id, len, modified_nanos });
        }
        self.folders = folders.into_values().collect();
    }

    /// Looks at each file; returns the names that stand for something else than at the last look.
    pub(super) fn make(&mut self, files: &dyn Files) -> Vec<PathBuf> {
        let mut changed = Vec::new();
        for Folder { path, names, files: seen } in &mut self.folders {
            files.stat_each(path, names, &mut |at, stat| {
                let before = seen[at];
                let now = stat.map(|Stat { id, len, modified_nanos, .. }| Seen {
                    id,
                    len,
                    modified_nanos,
                });
                match now {
                    Ok(now) if now.is_same(before) => return,
                    Ok(now) => seen[at] = now,
                    Err(_) => seen[at].modified_nanos = NEVER,
                }
                changed.push(path.join(&names[at]));
            });
        }
        changed
    }
}

impl Seen {
    fn is_same(self, other: Seen) -> bool {
        // What changes most often first.
        (self.len, self.modified_nanos) == (other.len, other.modified_nanos) && self.id == other.id
    }
}
