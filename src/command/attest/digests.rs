//! A file's content by both digests: the one that our records know, and the one that others do.

use std::io::Read;
use std::path::Path;

use lightning::bitcoin::hashes::{Hash, HashEngine, sha256};

use crate::artifact::Digest;
use crate::error::{Error, IoContext, Result};
use crate::fsio::Source;

/// A longer content is refused, in bytes: a frame of others can hold far more than it takes.
const MOST: u64 = 1 << 40;

/// The digests of a content; of a zstd frame, of what is in it.
pub struct Content {
    /// BLAKE3.
    pub blake3: Digest,
    /// SHA-256.
    pub sha256: [u8; 32],
}

impl Content {
    /// Reads a file once, as a stream.
    pub fn read(path: &Path) -> Result<Content> {
        let mut source = Source::open(path)?.within(MOST)?;
        let (mut ours, mut theirs) = (blake3::Hasher::new(), sha256::Hash::engine());
        let (mut buffer, mut all) = (vec![0; 1 << 16], 0);
        loop {
            let read = match source.read(&mut buffer) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                read => read.path(path)?,
            };
            if read == 0 {
                break;
            }
            all += read as u64;
            if all > MOST {
                return Err(Error::data(format!("{}: expected at most {MOST} bytes, found more", path.display())));
            }
            ours.update(&buffer[..read]);
            theirs.input(&buffer[..read]);
        }
        Ok(Content { blake3: ours.into(), sha256: sha256::Hash::from_engine(theirs).to_byte_array() })
    }
}
