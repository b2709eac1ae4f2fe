//! A file that grows over several runs until it is whole: what a cut transfer leaves, and the next one goes on with.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::temp;
use crate::error::{Error, IoContext, Result};

/// Bytes that are read at a time.
const PIECE: usize = 1 << 18;

/// A file in the making, which stays where it is when it is dropped.
#[derive(Debug)]
pub struct Partial {
    path: PathBuf,
    file: File,
    len: u64,
    _lock: File,
}

impl Partial {
    /// Opens what is there, or makes it. Who works on it holds `lock`; where another process does, that is a matter of trying
    /// again (75).
    pub fn open(path: &Path, lock: &Path) -> Result<Partial> {
        for folder in [temp::parent(path), temp::parent(lock)] {
            fs::create_dir_all(folder).path(folder)?;
        }
        let held = OpenOptions::new().write(true).create(true).truncate(false).open(lock).path(lock)?;
        match held.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                let what = format!("{}: another process is making it", path.display());
                return Err(Error::try_again(what).hint("wait until it is done, or end it"));
            }
            Err(fs::TryLockError::Error(error)) => return Err(Error::io(lock.display(), &error)),
        }
        let file = OpenOptions::new().read(true).append(true).create(true).open(path).path(path)?;
        let len = file.metadata().path(path)?.len();
        Ok(Partial { path: path.to_owned(), file, len, _lock: held })
    }

    /// The bytes that are there.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Hands out the bytes that are there, piece by piece.
    pub fn read(&mut self, mut each: impl FnMut(&[u8])) -> Result<()> {
        self.file.seek(SeekFrom::Start(0)).path(&self.path)?;
        let mut piece = vec![0; PIECE];
        let mut left = self.len;
        while left > 0 {
            let most = left.min(PIECE as u64) as usize;
            self.file.read_exact(&mut piece[..most]).path(&self.path)?;
            each(&piece[..most]);
            left -= most as u64;
        }
        Ok(())
    }

    /// Adds bytes at the end.
    pub fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).path(&self.path)?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Begins again with nothing.
    pub fn clear(&mut self) -> Result<()> {
        self.file.set_len(0).path(&self.path)?;
        self.len = 0;
        Ok(())
    }

    /// Puts the file in its place, whole: synced and renamed.
    pub fn finish(self, place: &Path) -> Result<()> {
        self.file.sync_all().path(&self.path)?;
        fs::rename(&self.path, place).path(place)?;
        temp::sync_dir(temp::parent(place))
    }

    /// Removes the file.
    pub fn discard(self) -> Result<()> {
        fs::remove_file(&self.path).path(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn it_grows_over_several_openings_and_one_process_at_a_time_has_it() {
        let place = tempfile::tempdir().unwrap();
        let (path, lock) = (place.path().join("blobs/x.incomplete"), place.path().join("locks/x.lock"));
        let mut first = Partial::open(&path, &lock).unwrap();
        assert!(first.is_empty());
        first.append(b"some ").unwrap();
        let busy = Partial::open(&path, &lock).unwrap_err();
        assert_eq!((busy.kind(), busy.advice()), (Kind::TryAgain, Some("wait until it is done, or end it")));
        drop(first);
        let mut second = Partial::open(&path, &lock).unwrap();
        assert_eq!(second.len(), 5);
        second.append(b"more").unwrap();
        let mut read = Vec::new();
        second.read(|piece| read.extend_from_slice(piece)).unwrap();
        assert_eq!(read, b"some more");
        second.append(b".").unwrap();
        let whole = place.path().join("blobs/x");
        second.finish(&whole).unwrap();
        assert_eq!(fs::read(&whole).unwrap(), b"some more.");
        assert!(!path.exists());
    }

    #[test]
    fn it_can_begin_again_and_be_given_up() {
        let place = tempfile::tempdir().unwrap();
        let (path, lock) = (place.path().join("x.incomplete"), place.path().join("x.lock"));
        let mut partial = Partial::open(&path, &lock).unwrap();
        partial.append(b"wrong").unwrap();
        partial.clear().unwrap();
        partial.append(b"r").unwrap();
        assert_eq!((partial.len(), fs::read(&path).unwrap()), (1, b"r".to_vec()));
        partial.discard().unwrap();
        assert!(!path.exists());
    }
}
