//! What names a file's content: the SHA-256 of a large file (Git LFS), the SHA-1 of any other as Git's blob. It is the name of
//! its blob in the cache, too.

use std::fmt;
use std::str::FromStr;

use lightning::bitcoin::hashes::{Hash, HashEngine, sha1, sha256};

use crate::error::{Error, Result};

/// The digest of a file's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oid {
    /// SHA-256 of the content: a file in Git LFS.
    Sha256([u8; 32]),
    /// SHA-1 of `blob`, the length and the content: a file in Git itself.
    GitBlob([u8; 20]),
}

impl FromStr for Oid {
    type Err = Error;

    fn from_str(text: &str) -> Result<Oid> {
        let lower = !text.bytes().any(|b| b.is_ascii_uppercase());
        let (mut sha256, mut sha1) = ([0; 32], [0; 20]);
        if lower && hex::decode_to_slice(text, &mut sha256).is_ok() {
            Ok(Oid::Sha256(sha256))
        } else if lower && hex::decode_to_slice(text, &mut sha1).is_ok() {
            Ok(Oid::GitBlob(sha1))
        } else {
            let shown: String = text.chars().take(80).collect();
            Err(Error::data(format!("expected the digest of a file, 64 or 40 lowercase hex digits, found {shown:?}")))
        }
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Oid::Sha256(bytes) => f.write_str(&hex::encode(bytes)),
            Oid::GitBlob(bytes) => f.write_str(&hex::encode(bytes)),
        }
    }
}

/// A file's content as one knows it before one has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    /// Its digest.
    pub oid: Oid,
    /// Its bytes.
    pub size: u64,
}

impl Content {
    /// Whether it is of those files that are too large for Git itself.
    pub fn is_large(&self) -> bool {
        matches!(self.oid, Oid::Sha256(_))
    }
}

/// Takes the digests of a file as it comes.
pub struct Hasher {
    sha256: sha256::HashEngine,
    git: Option<sha1::HashEngine>,
    expected: Oid,
}

impl Hasher {
    /// For a file of this content.
    pub fn new(content: &Content) -> Hasher {
        let git = matches!(content.oid, Oid::GitBlob(_)).then(|| {
            let mut engine = sha1::Hash::engine();
            engine.input(format!("blob {}\0", content.size).as_bytes());
            engine
        });
        Hasher { sha256: sha256::Hash::engine(), git, expected: content.oid }
    }

    /// The next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.sha256.input(bytes);
        if let Some(git) = &mut self.git {
            git.input(bytes);
        }
    }

    /// The content's SHA-256, where its digest is the one that it should have; else the digest that it has.
    pub fn finish(self) -> std::result::Result<Sha256, Oid> {
        let sha256 = sha256::Hash::from_engine(self.sha256).to_byte_array();
        let found = match self.git {
            Some(git) => Oid::GitBlob(sha1::Hash::from_engine(git).to_byte_array()),
            None => Oid::Sha256(sha256),
        };
        if found == self.expected { Ok(Sha256(sha256)) } else { Err(found) }
    }
}

/// The SHA-256 of a file's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sha256(pub [u8; 32]);

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(oid: &str, bytes: &[u8]) -> std::result::Result<String, String> {
        let mut hasher = Hasher::new(&Content { oid: oid.parse().unwrap(), size: bytes.len() as u64 });
        bytes.chunks(2).for_each(|piece| hasher.update(piece));
        hasher.finish().map(|sha| sha.to_string()).map_err(|oid| oid.to_string())
    }

    #[test]
    fn a_file_is_checked_by_either_digest_and_its_sha256_is_known() {
        let sha256 = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
        // `echo hello | git hash-object --stdin`
        let git = "ce013625030ba8dba906f756967f9e9ca394464a";
        assert_eq!(digest(sha256, b"hello\n").unwrap(), sha256);
        assert_eq!(digest(git, b"hello\n").unwrap(), sha256);
        assert_eq!(digest(git, b"Hello\n").unwrap_err().len(), 40);
        assert_eq!(digest(sha256, b"Hello\n").unwrap_err().len(), 64);
        for text in ["", "main", &sha256.to_uppercase(), &sha256[1..], "../../x"] {
            let refused = text.parse::<Oid>().unwrap_err().to_string();
            assert!(
                refused.starts_with("expected the digest of a file, 64 or 40 lowercase hex digits, found "),
                "{refused}"
            );
        }
    }
}
