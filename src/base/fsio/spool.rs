//! A spool: bytes for many parts at once, more than memory holds, each part read back whole in the end.

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

    /// The bytes of a part, which leaves the spool.
    pub fn take(&mut self, part: usize) -> Result<Vec<u8>> {
        let path = self.path(part);
        let tail = std::mem::take(&mut self.parts[part]);
        self.buffered -= tail.len();
        let mut bytes = Vec::new();
        match File::open(&path) {
            Ok(mut file) => {
                let len = file.metadata().path(&path)?.len();
                bytes.reserve_exact(len as usize + tail.len());
                file.read_to_end(&mut bytes).path(&path)?;
                fs::remove_file(&path).path(&path)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io(path.display(), &error)),
        }
        bytes.extend_from_slice(&tail);
        Ok(bytes)
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
            assert_eq!(spool.take(part).unwrap(), [0, p, 1, p, 2, p, 3, p]);
        }
        spool.finish().unwrap();
        assert!(!folder.exists());
    }
}
