//! A spool: bytes for many parts at once, more than memory holds, each part read back in the end.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::PathBuf;

use super::temp;
use crate::error::{Error, IoContext, Result};

/// Parts in the making, in the files of one folder. A file is open only while its part is flushed, so there may be
/// more parts than file descriptors.
pub struct Spool {
    folder: PathBuf,
    parts: Vec<Vec<u8>>,
    buffered: usize,
    limit: usize,
}

impl Spool {
    /// Makes `folder` for this many parts; about `limit` bytes are kept in memory.
    pub fn create(folder: PathBuf, parts: usize, limit: usize) -> Result<Spool> {
        fs::create_dir(&folder).path(&folder)?;
        Ok(Spool { folder, parts: vec![Vec::new(); parts], buffered: 0, limit })
    }

    /// Adds bytes to a part.
    pub fn append(&mut self, part: usize, bytes: &[u8]) -> Result<()> {
        self.parts[part].extend_from_slice(bytes);
        self.buffered += bytes.len();
        if self.buffered > self.limit {
            self.flush()?;
        }
        Ok(())
    }

    fn path(&self, part: usize) -> PathBuf {
        self.folder.join(part.to_string())
    }

    fn flush(&mut self) -> Result<()> {
        for part in 0..self.parts.len() {
            if self.parts[part].is_empty() {
                continue;
            }
            let path = self.path(part);
            let _held = temp::hold();
            OpenOptions::new()
                .create(true)
                .append(true)
                .open(&path)
                .and_then(|mut file| file.write_all(&self.parts[part]))
                .path(&path)?;
            self.parts[part].clear();
        }
        self.buffered = 0;
        Ok(())
    }

    /// A part, which leaves the spool: how many bytes it has, and these. They are read from the disk as they are asked for.
    pub fn take(&mut self, part: usize) -> Result<(u64, impl Read + use<>)> {
        let path = self.path(part);
        let tail = std::mem::take(&mut self.parts[part]);
        self.buffered -= tail.len();
        let (len, flushed) = match File::open(&path) {
            Ok(file) => {
                let len = file.metadata().path(&path)?.len();
                // What is open can be read whether or not it still has a name.
                fs::remove_file(&path).path(&path)?;
                (len, Some(file))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => (0, None),
            Err(error) => return Err(Error::io(path.display(), &error)),
        };
        let flushed: Box<dyn Read> = match flushed {
            Some(file) => Box::new(file),
            None => Box::new(io::empty()),
        };
        Ok((len + tail.len() as u64, flushed.chain(io::Cursor::new(tail))))
    }

    /// Removes the folder, whose parts have all been taken.
    pub fn finish(self) -> Result<()> {
        fs::remove_dir(&self.folder).path(&self.folder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_back_whole_when_most_of_them_were_on_disk() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("spool");
        let mut spool = Spool::create(folder.clone(), 3000, 1000).unwrap();
        for round in 0..4u8 {
            for part in 0..3000 {
                spool.append(part, &[round, part as u8]).unwrap();
            }
        }
        for part in 0..3000 {
            let p = part as u8;
            let (len, mut read) = spool.take(part).unwrap();
            let mut bytes = Vec::new();
            read.read_to_end(&mut bytes).unwrap();
            assert_eq!((len, &bytes[..]), (8, &[0, p, 1, p, 2, p, 3, p][..]));
        }
        spool.finish().unwrap();
        assert!(!folder.exists());
    }
}
