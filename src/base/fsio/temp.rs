//! Temporary neighbours of an output. They are locked while in use, so that what a killed process left can be told from what
//! a living one is writing, and is removed by the next writer of the same output; a process that is asked to end removes
//! its own.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::{Builder, NamedTempFile, TempDir};

use super::found::open_at_once;
use crate::error::{Error, IoContext, Result};

/// What stands in every temporary name.
const MARK: &str = ".l402-tmp.";

/// The temporaries of this process. Who makes, moves or fills one holds the list meanwhile; who ends the process takes it
/// and never gives it back.
static LIVING: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// Holds off the end of the process by a signal while something is half done.
pub(super) fn hold() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    LIVING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes a file or a folder, whatever another thread may still be writing into it.
pub(super) fn remove(path: &Path) {
    for _ in 0..16 {
        let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        match removed {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            _ => return,
        }
    }
}

/// A name in the list of what lives, until it is dropped.
#[derive(Debug)]
struct Listed(PathBuf);

impl Listed {
    /// Makes a temporary and lists it, before any signal can come between.
    fn make<T>(make: impl FnOnce() -> Result<T>, path: impl Fn(&T) -> &Path) -> Result<(T, Listed)> {
        let mut living = hold();
        let made = make()?;
        let path = path(&made).to_owned();
        living.insert(path.clone());
        Ok((made, Listed(path)))
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        hold().remove(&self.0);
    }
}

/// A file beside its place, locked. Dropped, it is gone.
#[derive(Debug)]
pub(super) struct TempFile {
    file: NamedTempFile,
    _listed: Listed,
}

impl TempFile {
    /// Makes one beside `path`, after sweeping away what killed writers left there. `mode` is that before the umask.
    pub fn beside(path: &Path, mode: u32) -> Result<TempFile> {
        sweep(path)?;
        let (prefix, folder) = (prefix(path)?, parent(path));
        let make = || Builder::new().prefix(&prefix).permissions(permissions(mode)).tempfile_in(folder).path(path);
        let (file, _listed) = Listed::make(make, NamedTempFile::path)?;
        file.as_file().lock().path(path)?;
        Ok(TempFile { file, _listed })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// The file.
    pub fn as_file(&self) -> &File {
        self.file.as_file()
    }

    /// Renames it to `path`, over what is there where that is allowed.
    pub fn persist(self, path: &Path, replace: bool) -> io::Result<()> {
        let persisted = if replace { self.file.persist(path) } else { self.file.persist_noclobber(path) };
        persisted.map(drop).map_err(|error| error.error)
    }
}

impl Write for TempFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A folder that is gone when it is dropped.
#[derive(Debug)]
pub struct ScratchDir {
    folder: TempDir,
    _listed: Listed,
}

impl ScratchDir {
    /// Makes one where the system keeps such, named after what it is for.
    pub fn new(purpose: &str) -> Result<ScratchDir> {
        let make = || Builder::new().prefix(purpose).tempdir().map_err(|e| Error::io("temporary folder", &e));
        ScratchDir::made(make)
    }

    /// Makes one beside `path`. `mode` is that before the umask.
    pub(super) fn beside(path: &Path, mode: u32) -> Result<ScratchDir> {
        let (prefix, folder) = (prefix(path)?, parent(path));
        ScratchDir::made(|| Builder::new().prefix(&prefix).permissions(permissions(mode)).tempdir_in(folder).path(path))
    }

    fn made(make: impl FnOnce() -> Result<TempDir>) -> Result<ScratchDir> {
        let (folder, _listed) = Listed::make(make, TempDir::path)?;
        Ok(ScratchDir { folder, _listed })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

fn permissions(mode: u32) -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(mode)
}

/// The folder that an output goes to.
pub fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// The prefix of the temporary names of an output.
fn prefix(path: &Path) -> Result<String> {
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
        let Some(file) = temporary(&stale) else { continue };
        if file.try_lock().is_ok() {
            let _ = if stale.is_dir() { fs::remove_dir_all(&stale) } else { fs::remove_file(&stale) };
        }
    }
    Ok(())
}

/// Opens what can be a temporary: a file or a folder. Whatever else has the name of one is not looked at.
fn temporary(path: &Path) -> Option<File> {
    let of_ours = |kind: fs::FileType| kind.is_file() || kind.is_dir();
    fs::symlink_metadata(path).ok().filter(|found| of_ours(found.file_type()))?;
    let file = open_at_once(path).ok()?;
    file.metadata().is_ok_and(|found| of_ours(found.file_type())).then_some(file)
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
        let Some(file) = temporary(&entry.path()) else { continue };
        if matches!(file.try_lock(), Err(fs::TryLockError::WouldBlock)) {
            let mut text = String::new();
            // Whoever writes its output, or is a moment old, has not said who it is.
            let pid = (&file).take(32).read_to_string(&mut text).ok().and_then(|_| text.trim().parse::<u32>().ok());
            return Ok(Some(pid.map_or("another process".into(), |pid| format!("process {pid}"))));
        }
    }
    Ok(None)
}

/// Makes a rename in `folder` last through a power failure.
pub fn sync_dir(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|f| f.sync_all()).path(folder)
}
