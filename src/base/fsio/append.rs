//! A file that only grows, for its owner alone: every line is on disk before its writer acts on it.

use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::private::{private_dir, read_bounded, require_private};
use super::temp;
use crate::error::{Error, IoContext, Result};

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
            private_dir(path)?;
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::error::Kind;
    use crate::fsio::read_private;

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

    #[test]
    fn a_file_is_no_folder_and_what_others_can_read_is_no_secret() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("f");
        fs::write(&path, "x").unwrap();
        let folder = LockedDir::open(&path, false).err().unwrap();
        assert_eq!(folder.to_string(), format!("{}: expected a folder", path.display()));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let open = read_private(&path).unwrap_err();
        let says = format!("{}: expected a file that only its owner can read, found mode 640", path.display());
        assert_eq!((open.to_string(), open.advice()), (says, Some(&*format!("chmod 600 {}", path.display()))));
    }
}
