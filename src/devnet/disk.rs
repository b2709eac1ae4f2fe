//! Files that are complete or absent, whenever the process dies: written beside, synced, renamed.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, IoContext, Result};

/// Replaces a file. A folder has one writer, so that the name beside it is fixed and nothing piles up.
pub fn replace(path: &Path, content: &[u8]) -> Result<()> {
    replace_unsynced(path, content)?;
    sync_dir(path.parent().unwrap_or(Path::new(".")))
}

/// Replaces a file whose folder the caller syncs. Only its owner can read it: keys and preimages are among what is written.
pub fn replace_unsynced(path: &Path, content: &[u8]) -> Result<()> {
    let beside = beside(path);
    let mut options = OpenOptions::new();
    let mut file = options.create(true).write(true).truncate(true).mode(0o600).open(&beside).path(&beside)?;
    file.write_all(content).and_then(|()| file.sync_all()).path(&beside)?;
    fs::rename(&beside, path).path(path)
}

fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".new");
    path.with_file_name(name)
}

/// Makes renames in a folder last.
pub fn sync_dir(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|f| f.sync_all()).path(folder)
}

/// A file's bytes, nothing where there is no file.
pub fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(path.display(), &error)),
    }
}
