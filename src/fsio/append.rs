//! A file that only grows, for its owner alone: every line is on disk before its writer acts on it.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::temp;
use crate::error::{Context, Error, IoContext, Result};

/// A larger file is refused, in bytes.
const MAX: u64 = 1 << 30;

/// A folder that one process at a time works in, made if need be, for its owner alone.
#[derive(Debug)]
pub struct LockedDir {
    path: PathBuf,
    _lock: File,
}

impl LockedDir {
    /// Opens and locks the folder; where another process has it, that is a matter of trying again.
    pub fn open(path: &Path, create: bool) -> Result<LockedDir> {
        if create && !path.exists() {
            fs::DirBuilder::new().mode(0o700).recursive(true).create(path).path(path)?;
            temp::sync_dir(temp::parent(path))?;
        }
        let lock = File::open(path).path(path)?;
        if !lock.metadata().path(path)?.is_dir() {
            return Err(Error::data(format!("{}: expected a folder", path.display())));
        }
        match lock.try_lock() {
            Ok(()) => Ok(LockedDir { path: path.to_owned(), _lock: lock }),
            Err(fs::TryLockError::WouldBlock) => {
                Err(Error::try_again(format!("{}: another process works in this folder", path.display())))
            }
            Err(fs::TryLockError::Error(e)) => Err(Error::io(path.display(), &e)),
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// An append-only file, mode 0600.
#[derive(Debug)]
pub struct AppendFile {
    path: PathBuf,
    file: File,
}

impl AppendFile {
    /// Opens a file and reads it, making it if need be.
    pub fn open(path: &Path) -> Result<(AppendFile, Vec<u8>)> {
        let existed = path.exists();
        let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path).path(path)?;
        if !existed {
            file.sync_all().path(path)?;
            temp::sync_dir(temp::parent(path))?;
        }
        let mut file = AppendFile { path: path.to_owned(), file };
        let bytes = file.read()?;
        Ok((file, bytes))
    }

    fn read(&mut self) -> Result<Vec<u8>> {
        require_private(&self.path, &self.file)?;
        read_bounded(&self.path, &mut self.file)
    }

    /// Cuts off what stands after `len` bytes.
    pub fn truncate(&mut self, len: u64) -> Result<()> {
        self.file.set_len(len).and_then(|()| self.file.sync_all()).path(&self.path)
    }

    /// Appends, and returns when it is on disk.
    pub fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.seek(SeekFrom::End(0)).path(&self.path)?;
        self.file.write_all(bytes).and_then(|()| self.file.sync_all()).path(&self.path)
    }
}

/// Reads a file that is for its owner alone, as text.
pub fn read_private(path: &Path) -> Result<String> {
    let mut file = File::open(path).path(path)?;
    require_private(path, &file)?;
    String::from_utf8(read_bounded(path, &mut file)?).map_err(|_| Error::data("not UTF-8")).at(path.display())
}

fn read_bounded(path: &Path, file: &mut File) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(MAX + 1).read_to_end(&mut bytes).path(path)?;
    if bytes.len() as u64 > MAX {
        return Err(Error::data(format!("{}: expected at most {MAX} bytes", path.display())));
    }
    Ok(bytes)
}

fn require_private(path: &Path, file: &File) -> Result<()> {
    let meta = file.metadata().path(path)?;
    if !meta.is_file() {
        return Err(Error::data(format!("{}: expected a file", path.display())));
    }
    let mode = meta.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(Error::data(format!("{}: expected a file that only its owner can read, found mode {mode:03o}", path.display()))
        .hint(format!("chmod 600 {}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn what_was_appended_is_read_back_and_is_for_its_owner_alone() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("j");
        let (mut file, bytes) = AppendFile::open(&path).unwrap();
        assert!(bytes.is_empty());
        file.append(b"one\n").unwrap();
        file.append(b"two\nto").unwrap();
        drop(file);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let (mut file, bytes) = AppendFile::open(&path).unwrap();
        assert_eq!(bytes, b"one\ntwo\nto");
        file.truncate(8).unwrap();
        file.append(b"three\n").unwrap();
        assert_eq!(read_private(&path).unwrap(), "one\ntwo\nthree\n");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(AppendFile::open(&path).unwrap_err().kind(), Kind::Data);
        assert_eq!(read_private(&path).unwrap_err().kind(), Kind::Data);
    }

    #[test]
    fn one_process_at_a_time_works_in_a_folder() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a/b");
        assert_eq!(LockedDir::open(&path, false).unwrap_err().kind(), Kind::Missing);
        let held = LockedDir::open(&path, true).unwrap();
        assert_eq!(LockedDir::open(held.path(), true).unwrap_err().kind(), Kind::TryAgain);
        drop(held);
        LockedDir::open(&path, true).unwrap();
    }
}
