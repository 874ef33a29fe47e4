//! Replacing a whole file so that a crash leaves the old one or the new one, never a mixture.

use std::io;
use std::path::{Path, PathBuf};

use dpipe_env::{File, Files, Open};

/// Gives `path` this content; returns the open file.
pub(crate) fn replace(files: &dyn Files, path: &Path, content: &[u8]) -> io::Result<Box<dyn File>> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    let file = files.open(&temporary, Open::Write)?;
    // One that a crash left behind may be longer.
    file.set_len(0)?;
    file.write_all_at(content, 0)?;
    file.sync_data()?;
    files.rename(&temporary, path)?;
    sync_folder_of(files, path)?;
    Ok(file)
}

/// Makes the creation or renaming of a file durable.
pub(crate) fn sync_folder_of(files: &dyn Files, path: &Path) -> io::Result<()> {
    files.sync_dir(path.parent().expect("the data directory is above every file in it"))
}

/// The content of a file, if there is one.
pub(crate) fn read_if_there(files: &dyn Files, path: &Path) -> io::Result<Option<Vec<u8>>> {
    match files.read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        content => content.map(Some),
    }
}
