//! One file, from the hub into its blob: bounded by the size that is known before, resumed where it was cut off, and checked
//! by its digest before it is anything.

use std::io::{self, Read};
use std::path::Path;

use super::client::{Answer, Client, Said, cut};
use super::commit::Commit;
use super::name::FileName;
use super::oid::{Content, Hasher, Oid, Sha256};
use super::patience::{Failure, Patience, persist};
use super::repository::Repository;
use super::watch::Watch;
use crate::error::{Error, Kind, Result};
use crate::fsio::Partial;

/// Bytes that are read at a time.
const PIECE: usize = 1 << 18;
/// Bytes that make up for a cut: a transfer that brings so many may be cut as often as it likes.
const PROGRESS: u64 = 1 << 20;

/// A file of a repository at a commit.
pub struct File<'a> {
    /// Whom to ask.
    pub client: &'a Client,
    /// The repository.
    pub repository: &'a Repository,
    /// The commit.
    pub commit: &'a Commit,
    /// The name.
    pub name: &'a FileName,
}

impl File<'_> {
    fn what(&self) -> String {
        format!("{}: {}", self.repository.name(), self.name)
    }

    fn path(&self) -> String {
        self.repository.file_path(self.commit, self.name)
    }

    /// What the hub says that the file holds, where its list does not.
    pub fn content(&self, watch: &dyn Watch) -> Result<Content> {
        let said = persist(watch, || self.client.head(&self.what(), self.repository, &self.path()))?;
        self.check_commit(&said)?;
        match (said.oid, said.size) {
            (Some(oid), Some(size)) => Ok(Content { oid, size }),
            _ => Err(Error::data(format!("{}: the hub does not say its digest and its size", self.what()))),
        }
    }

    /// Brings the content into `place` over `partial`, and gives its SHA-256. `before` bytes of other files are here already.
    /// What is not what it should be leaves nothing; what was cut off stays, and the next call goes on with it.
    pub fn fetch(
        &self,
        content: &Content,
        partial: Partial,
        place: &Path,
        before: u64,
        watch: &dyn Watch,
    ) -> Result<Sha256> {
        // What an earlier process left may be anything.
        let mut inherited = !partial.is_empty();
        let mut growing = Growing { hasher: Hasher::new(content), partial, content, before, watch };
        growing.reread()?;
        loop {
            match self.complete(&mut growing) {
                Ok(sha256) => return growing.partial.finish(place).map(|()| sha256),
                Err(error) if error.kind() != Kind::Data => return Err(error),
                Err(_) if inherited => {
                    watch.note(&format!("{}: what was there of it does not fit; it is fetched again", self.what()));
                    inherited = false;
                    growing.restart()?;
                }
                Err(error) => return growing.partial.discard().and(Err(error)),
            }
        }
    }

    /// Adds what is missing, in as many requests as it takes, and checks the whole.
    fn complete(&self, growing: &mut Growing<'_>) -> Result<Sha256> {
        let mut patience = Patience::new(growing.watch);
        let mut furthest = growing.partial.len();
        while growing.partial.len() < growing.content.size {
            let failure = self.transfer(growing).err();
            if growing.partial.len() >= furthest + PROGRESS {
                furthest = growing.partial.len();
                patience.restore();
            }
            failure.map_or(Ok(()), |failure| patience.after(failure))?;
        }
        growing.check().map_err(|found| {
            Error::data(format!("{}: expected the digest {}, found {found}", self.what(), growing.content.oid))
        })
    }

    /// One request, for everything that is missing.
    fn transfer(&self, growing: &mut Growing<'_>) -> std::result::Result<(), Failure> {
        let (what, size) = (self.what(), growing.content.size);
        let from = growing.partial.len();
        let Answer { said, length, part, mut body } = self.client.get(&what, self.repository, &self.path(), from)?;
        self.check_commit(&said)?;
        let lies = |says: String| Err(Failure::Final(Error::data(format!("{what}: {says}"))));
        if let Some(found) = said.oid.filter(|oid| *oid != growing.content.oid) {
            return lies(format!("expected the digest {}, the hub says {found}", growing.content.oid));
        }
        let start = part.map_or(0, |(first, ..)| first);
        let left = size - start.min(size);
        match (part, said.size, length) {
            (Some(found), ..) if found != (from, size - 1, size) => {
                let (first, last, whole) = found;
                lies(format!("expected bytes {from}-{} of {size}, the hub sends {first}-{last} of {whole}", size - 1))
            }
            (_, Some(found), _) if found != size => lies(format!("expected {size} bytes, the hub says {found}")),
            (_, _, Some(found)) if found != left => {
                lies(format!("expected {left} bytes to come, the hub announces {found}"))
            }
            _ => Ok(()),
        }?;
        if start != from {
            // All of it comes again.
            growing.restart()?;
        }
        let mut piece = vec![0; PIECE];
        loop {
            let read = match body.read(&mut piece) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read.map_err(|error| cut(&what, &error))?,
            };
            if read as u64 > size - growing.partial.len() {
                return lies(format!("expected {size} bytes, the hub sends more"));
            }
            match (read, growing.partial.len() == size) {
                (0, true) => return Ok(()),
                (0, false) => return Err(cut(&what, &io::ErrorKind::UnexpectedEof.into())),
                _ => growing.append(&piece[..read])?,
            }
        }
    }

    /// Every file of a pull is of one commit, whatever happens to its branch meanwhile.
    fn check_commit(&self, said: &Said) -> Result<()> {
        match &said.commit {
            Some(found) if found != self.commit => {
                let expected = self.commit;
                Err(Error::data(format!("{}: expected commit {expected}, the hub sends {found}", self.what())))
            }
            _ => Ok(()),
        }
    }
}

/// A file on its way.
struct Growing<'a> {
    partial: Partial,
    hasher: Hasher,
    content: &'a Content,
    before: u64,
    watch: &'a dyn Watch,
}

impl Growing<'_> {
    /// Takes the digest of what is there; of what is too much, nothing stays.
    fn reread(&mut self) -> Result<()> {
        if self.partial.len() > self.content.size {
            self.partial.clear()?;
        }
        self.hasher = Hasher::new(self.content);
        self.partial.read(|piece| self.hasher.update(piece))?;
        self.watch.at(self.before + self.partial.len());
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.partial.append(bytes)?;
        self.hasher.update(bytes);
        self.watch.at(self.before + self.partial.len());
        Ok(())
    }

    fn restart(&mut self) -> Result<()> {
        self.partial.clear()?;
        self.reread()
    }

    /// The SHA-256 of what is there, where its digest is right; else the digest that it has.
    fn check(&mut self) -> std::result::Result<Sha256, Oid> {
        std::mem::replace(&mut self.hasher, Hasher::new(self.content)).finish()
    }
}
