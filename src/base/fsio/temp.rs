//! Temporary neighbours of an output: locked while in use, so that what a killed process left can be told
//! from what a living one is writing, and is removed by the next writer of the same output.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use crate::error::{Error, IoContext, Result};

/// What stands in every temporary name.
const MARK: &str = ".l402-tmp.";

/// The folder that an output goes to.
pub fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// The prefix of the temporary names of an output.
pub fn prefix(path: &Path) -> Result<String> {
    let name = path
        .file_name()
        .and_then(OsStr::to_str)
        .ok_or_else(|| Error::usage(format!("{}: expected the name of a file, in UTF-8, as output", path.display())))?;
    Ok(format!(".{name}{MARK}"))
}

/// Removes what killed writers of `path` left behind.
pub fn sweep(path: &Path) -> Result<()> {
    let prefix = prefix(path)?;
    let folder = parent(path);
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(());
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if !name.to_str().is_some_and(|name| name.starts_with(&prefix)) {
            continue;
        }
        let stale = entry.path();
        // A living writer holds the lock from a moment after it made the file or folder; losing that
        // race costs it an error, never a wrong output.
        let Ok(file) = File::open(&stale) else { continue };
        if file.try_lock().is_ok() {
            let _ = if stale.is_dir() { fs::remove_dir_all(&stale) } else { fs::remove_file(&stale) };
        }
    }
    Ok(())
}

/// Who is making `path`: what a living process has written into the first line of a temporary of it, but for `own`.
pub fn maker(path: &Path, own: Option<&Path>) -> Result<Option<String>> {
    let prefix = prefix(path)?;
    let Ok(entries) = fs::read_dir(parent(path)) else { return Ok(None) };
    for entry in entries.flatten() {
        let named = entry.file_name().to_str().is_some_and(|name| name.starts_with(&prefix));
        if !named || own.is_some_and(|own| own.file_name() == Some(&entry.file_name())) {
            continue;
        }
        let Ok(mut file) = File::open(entry.path()) else { continue };
        if matches!(file.try_lock(), Err(fs::TryLockError::WouldBlock)) {
            let mut text = String::new();
            // Whoever writes its output, or is a moment old, has not said who it is.
            let pid =
                file.by_ref().take(32).read_to_string(&mut text).ok().and_then(|_| text.trim().parse::<u32>().ok());
            return Ok(Some(pid.map_or("another process".into(), |pid| format!("process {pid}"))));
        }
    }
    Ok(None)
}

/// Makes a rename in `folder` last through a power failure.
pub fn sync_dir(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|f| f.sync_all()).path(folder)
}
