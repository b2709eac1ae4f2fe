//! A part of a file that is read again and again, and never held whole.
//!
//! It is read, not mapped: a file that others may write could be shortened while it is mapped, and reading it would then end
//! the process by a signal. Whoever reads twice compares digests.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::found::open_at_once;
use crate::error::{Error, IoContext, Result};

/// Bytes that are read at a time.
const PIECE: usize = 1 << 20;

/// Bytes of an open file: renaming another over it changes nothing here.
#[derive(Debug)]
pub struct Stored {
    name: String,
    file: File,
    offset: u64,
    len: u64,
}

impl Stored {
    /// `len` bytes at `offset` of a regular file; `None` of anything else, and where they are not all there.
    pub fn open(path: &Path, offset: u64, len: u64) -> Result<Option<Stored>> {
        let file = open_at_once(path).path(path)?;
        let meta = file.metadata().path(path)?;
        let end = offset.checked_add(len).filter(|end| meta.is_file() && *end <= meta.len());
        Ok(end.map(|_| Stored { name: path.display().to_string(), file, offset, len }))
    }

    /// The name used in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All of it in order, piece by piece: where a piece begins, and its bytes. Pieces begin at multiples of 4.
    pub fn read(&self, mut take: impl FnMut(u64, &[u8]) -> Result<()>) -> Result<()> {
        let mut buffer = vec![0; PIECE.min(self.len as usize)];
        let mut at = 0;
        while at < self.len {
            let piece = &mut buffer[..PIECE.min((self.len - at) as usize)];
            self.file.read_exact_at(piece, self.offset + at).map_err(|e| Error::io(&self.name, &e))?;
            take(at, piece)?;
            at += piece.len() as u64;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::error::Kind;

    #[test]
    fn a_file_that_is_shortened_while_it_is_read_is_an_error_and_a_renamed_one_stays() {
        let place = tempfile::tempdir().unwrap();
        let (path, other) = (place.path().join("a"), place.path().join("b"));
        let bytes: Vec<u8> = (0..PIECE + 1000).map(|i| i as u8).collect();
        fs::write(&path, &bytes).unwrap();
        assert!(Stored::open(&path, 9, bytes.len() as u64 - 8).unwrap().is_none());
        assert!(Stored::open(place.path(), 0, 0).unwrap().is_none());
        let stored = Stored::open(&path, 8, bytes.len() as u64 - 8).unwrap().unwrap();
        let whole = || {
            let mut read = Vec::new();
            stored.read(|at, piece| {
                assert_eq!(at, read.len() as u64);
                read.extend_from_slice(piece);
                Ok(())
            })?;
            Ok::<_, Error>(read)
        };
        assert_eq!(whole().unwrap(), bytes[8..]);
        fs::write(&other, b"another").unwrap();
        fs::hard_link(&path, place.path().join("kept")).unwrap();
        fs::rename(&other, &path).unwrap();
        assert_eq!(whole().unwrap(), bytes[8..]);
        let shortened = |_: u64, _: &[u8]| {
            fs::OpenOptions::new().write(true).open(place.path().join("kept")).unwrap().set_len(100).path(&path)
        };
        let error = stored.read(shortened).unwrap_err();
        assert_eq!(error.kind(), Kind::Data);
        assert!(error.to_string().contains("ends before it is complete"), "{error}");
    }
}
