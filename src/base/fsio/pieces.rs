//! Work in pieces, kept as it is done: each piece lies under the digest of what it was made from, in the order in which it was made.
//! Whoever does the same work again finds them in that order; nobody's place in anything is kept.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::private::require_private;
use crate::error::{Error, IoContext, Kind, Result};

/// Bytes of a digest, and of a piece before its content: what it was made from, and the content's length.
const DIGEST: usize = 32;
const HEAD: usize = DIGEST + 8;
/// The longest content of a piece, in bytes.
const MAX: u64 = 1 << 30;

/// Pieces of work in a file for its owner alone. A piece that is not whole, or not as it was written, ends them: it and what
/// follows is done again.
#[derive(Debug)]
pub struct Pieces {
    path: PathBuf,
    file: File,
    /// What was found or written up to now, and all that there is, in bytes.
    at: u64,
    len: u64,
    /// Pieces that were found, and pieces that were made.
    found: u64,
    made: u64,
    /// What was made from something else gives way.
    force: bool,
}

impl Pieces {
    /// Opens the file, making it if need be. `with` is what all pieces are made with, as text: pieces that were made with
    /// something else are refused (73), and with `force` replaced.
    pub fn open(path: &Path, with: &str, force: bool) -> Result<Pieces> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(libc::O_NONBLOCK);
        let file = options.open(path).path(path)?;
        require_private(path, &file)?;
        let len = file.metadata().path(path)?.len();
        let mut pieces = Pieces { path: path.to_owned(), file, at: 0, len, found: 0, made: 0, force };
        match pieces.next()? {
            Some((_, other)) if other != with.as_bytes() => {
                let other = String::from_utf8_lossy(&other);
                pieces.other(0, format!("made with another: expected {with:?}, found {other:?}"))?;
                pieces.append(blake3::hash(with.as_bytes()).into(), with.as_bytes())?;
            }
            Some(_) => {}
            None => pieces.append(blake3::hash(with.as_bytes()).into(), with.as_bytes())?,
        }
        Ok(pieces)
    }

    /// Bytes that may be found.
    pub fn left(&self) -> u64 {
        self.len - self.at
    }

    /// How many pieces were found, and how many were made.
    pub fn counts(&self) -> (u64, u64) {
        (self.found, self.made)
    }

    /// The next piece, if it is there. One that was made from something else than `of` is refused (73); with `force` it gives
    /// way, and all that follow it.
    pub fn take(&mut self, of: &[u8; DIGEST]) -> Result<Option<Vec<u8>>> {
        let before = self.at;
        match self.next()? {
            None => Ok(None),
            Some((found, content)) if found == *of => {
                self.found += 1;
                Ok(Some(content))
            }
            Some((found, _)) => {
                let [expected, found] = [*of, found].map(|digest| blake3::Hash::from(digest).to_hex());
                let what = format!("piece {}: made from another input: expected {expected}, found {found}", self.found);
                self.other(before, what)?;
                Ok(None)
            }
        }
    }

    /// Adds a piece, where [`Pieces::take`] has found none.
    pub fn keep(&mut self, of: [u8; DIGEST], content: &[u8]) -> Result<()> {
        self.append(of, content)?;
        self.made += 1;
        Ok(())
    }

    /// Removes the file: the work is done.
    pub fn remove(self) -> Result<()> {
        fs::remove_file(&self.path).path(&self.path)
    }

    fn other(&mut self, at: u64, what: String) -> Result<()> {
        if !self.force {
            return Err(Error::new(Kind::Exists, format!("{}: {what}", self.path.display()))
                .hint("every work has a folder of its own; --force goes on from there with this one"));
        }
        self.cut(at)
    }

    fn cut(&mut self, at: u64) -> Result<()> {
        (self.at, self.len) = (at, at);
        self.file.set_len(at).path(&self.path)
    }

    fn append(&mut self, of: [u8; DIGEST], content: &[u8]) -> Result<()> {
        let mut bytes = Vec::with_capacity(HEAD + content.len() + DIGEST);
        bytes.extend_from_slice(&of);
        bytes.extend_from_slice(&(content.len() as u64).to_le_bytes());
        bytes.extend_from_slice(content);
        bytes.extend_from_slice(blake3::hash(&bytes).as_bytes());
        self.cut(self.at)?;
        self.file.seek(SeekFrom::Start(self.at)).and_then(|_| self.file.write_all(&bytes)).path(&self.path)?;
        self.at += bytes.len() as u64;
        self.len = self.at;
        Ok(())
    }

    /// The next piece that is whole: what it was made from, and its content.
    fn next(&mut self) -> Result<Option<([u8; DIGEST], Vec<u8>)>> {
        let start = self.at;
        let piece = self.read(start)?;
        match &piece {
            Some((_, content)) => self.at = start + (HEAD + content.len() + DIGEST) as u64,
            None => self.cut(start)?,
        }
        Ok(piece)
    }

    fn read(&mut self, start: u64) -> Result<Option<([u8; DIGEST], Vec<u8>)>> {
        let room = self.left();
        if room < (HEAD + DIGEST) as u64 {
            return Ok(None);
        }
        let mut head = [0; HEAD];
        self.file.seek(SeekFrom::Start(start)).and_then(|_| self.file.read_exact(&mut head)).path(&self.path)?;
        let (of, len) = head.split_first_chunk::<DIGEST>().expect("a digest");
        let len = u64::from_le_bytes(len.try_into().expect("eight bytes"));
        if len > MAX.min(room - (HEAD + DIGEST) as u64) {
            return Ok(None);
        }
        let mut content = vec![0; len as usize + DIGEST];
        self.file.read_exact(&mut content).path(&self.path)?;
        let seal = content.split_off(len as usize);
        let expected = blake3::Hasher::new().update(&head).update(&content).finalize();
        Ok((seal == expected.as_bytes()).then_some((*of, content)))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn made(path: &Path, contents: &[&[u8]], force: bool) -> Result<(u64, u64)> {
        let mut pieces = Pieces::open(path, "words", force)?;
        for content in contents {
            let of = *blake3::hash(content).as_bytes();
            match pieces.take(&of)? {
                Some(found) => assert_eq!(found, *content),
                None => pieces.keep(of, content)?,
            }
        }
        Ok(pieces.counts())
    }

    const ALL: [&[u8]; 3] = [b"one", b"", b"three"];

    #[test]
    fn what_was_made_is_found_in_its_order_and_the_rest_is_made() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("p");
        assert_eq!(made(&path, &ALL[..2], false).unwrap(), (0, 2));
        assert_eq!(made(&path, &ALL, false).unwrap(), (2, 1));
        assert_eq!(made(&path, &ALL, false).unwrap(), (3, 0));
        let whole = fs::read(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        // Cut or bent anywhere it is the same file again, and never another content.
        for at in 0..whole.len() {
            let mut bent = whole.clone();
            bent[at] ^= 1;
            for bytes in [&whole[..at], &bent] {
                fs::write(&path, bytes).unwrap();
                let (found, made) = made(&path, &ALL, false).unwrap();
                assert_eq!((found + made, made > 0), (3, true), "{at}");
                assert_eq!(fs::read(&path).unwrap(), whole, "{at}");
            }
        }
    }

    #[test]
    fn pieces_of_another_input_are_refused_and_give_way_when_asked_to() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("p");
        made(&path, &ALL, false).unwrap();
        let before = fs::read(&path).unwrap();
        let other: [&[u8]; 3] = [b"one", b"two", b"three"];
        let error = made(&path, &other, false).unwrap_err();
        assert_eq!(error.kind(), Kind::Exists);
        let advice = "every work has a folder of its own; --force goes on from there with this one";
        assert_eq!(error.advice(), Some(advice));
        assert!(error.to_string().contains("p: piece 1: made from another input: expected "), "{error}");
        assert_eq!(fs::read(&path).unwrap(), before);
        assert_eq!(made(&path, &other, true).unwrap(), (1, 2));
        let error = Pieces::open(&path, "letters", false).unwrap_err();
        let says = r#"p: made with another: expected "letters", found "words""#;
        assert!(error.to_string().ends_with(says), "{error}");
        assert_eq!(Pieces::open(&path, "letters", true).unwrap().left(), 0);
        assert_eq!(Pieces::open(&path, "words", false).unwrap_err().kind(), Kind::Exists);
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("p");
        made(&path, &ALL, false).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(Pieces::open(&path, "words", false).unwrap_err().kind(), Kind::Data);
    }
}
