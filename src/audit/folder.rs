//! A run folder, as far as an audit reads it: regular files by their names within it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::differs::{Checked, blame, wrong};
use crate::artifact::record::{Line, Record};
use crate::artifact::{Digest, Room, record};
use crate::error::{Error, Result};
use crate::fsio::{Source, content_digest_within, read_text_within};

/// A run folder.
#[derive(Clone, Debug)]
pub struct RunFolder {
    root: PathBuf,
    names: BTreeSet<String>,
    /// How much a list may have.
    room: Room,
}

/// The records of one type among the lines of a file that holds no others.
pub fn records_alone<R: Record>(name: &str, lines: &[Line]) -> Checked<Vec<R>> {
    if let Some(other) = lines.iter().find(|line| line.kind() != R::TYPE) {
        return wrong(name, format!("expected {} records alone, found type {:?}", R::TYPE, other.kind()));
    }
    blame(name, record::select(lines))
}

impl RunFolder {
    /// The folder at `root` with these regular files; links are none.
    pub fn new(root: &Path, names: BTreeSet<String>) -> RunFolder {
        RunFolder { root: root.to_owned(), names, room: Room::any() }
    }

    /// The same, of a run with so many workers: each may have a commitment, what opens it, and as much again.
    pub fn of_workers(self, workers: usize) -> RunFolder {
        RunFolder { room: Room::of(4 * workers), ..self }
    }

    /// The same without files that are no part of it, given in ascending order.
    pub fn without(&self, foreign: &[&str]) -> RunFolder {
        let names = self.names.iter().filter(|name| foreign.binary_search(&name.as_str()).is_err()).cloned().collect();
        RunFolder { root: self.root.clone(), names, room: self.room }
    }

    /// Where a file lies.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// All files, ascending.
    pub fn names(&self) -> &BTreeSet<String> {
        &self.names
    }

    /// Whether there is such a file.
    pub fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// How many bytes a list may have.
    pub fn list_bytes(&self) -> u64 {
        self.room.bytes
    }

    /// The files below a folder, with the folder's name: `round-3/`.
    pub fn below<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = &'a str> {
        self.names.iter().map(String::as_str).filter(move |name| name.starts_with(folder))
    }

    fn require(&self, name: &str) -> Result<PathBuf> {
        if self.has(name) {
            return Ok(self.path(name));
        }
        Err(Error::missing(format!("{}: no such file in the run folder", self.path(name).display())))
    }

    /// A file's content as a stream.
    pub fn source(&self, name: &str) -> Checked<Source> {
        blame(name, Source::open(&self.require(name)?))
    }

    /// A file's text, no longer than a list may be.
    pub fn text(&self, name: &str) -> Checked<String> {
        self.text_within(name, self.room.bytes)
    }

    /// A file's text, of at most so many bytes.
    pub fn text_within(&self, name: &str, most: u64) -> Checked<String> {
        blame(name, read_text_within(&self.require(name)?, most))
    }

    /// The digest of a list.
    pub fn list_digest(&self, name: &str) -> Checked<Digest> {
        self.text(name).map(|text| Digest::of(text.as_bytes()))
    }

    /// The digest of a file of tensors, which has at most so many bytes: of a longer one nothing is read.
    pub fn digest(&self, name: &str, most: u64) -> Checked<Digest> {
        blame(name, content_digest_within(&self.require(name)?, most)).map(|hash| Digest(*hash.as_bytes()))
    }

    /// A file of records, all well formed.
    pub fn lines(&self, name: &str) -> Checked<Vec<Line>> {
        self.lines_within(name, self.room)
    }

    /// [`RunFolder::lines`] of a file that may hold this much.
    pub fn lines_within(&self, name: &str, room: Room) -> Checked<Vec<Line>> {
        blame(name, record::read_lines_within(&self.require(name)?, room))
    }

    /// A file of records of one type, and of no other.
    pub fn records<R: Record>(&self, name: &str) -> Checked<Vec<R>> {
        records_alone(name, &self.lines(name)?)
    }

    /// A file of records that many parties have written to: what is well formed, and whether anything is not.
    pub fn lines_of_many(&self, name: &str) -> Checked<(Vec<Line>, Vec<Error>)> {
        blame(name, record::read_lines_of_many(&self.require(name)?, self.room))
    }

    /// The records of one type in such a file, and a line about everything else in it.
    pub fn records_of_many<R: Record>(&self, name: &str) -> Checked<(Vec<R>, Vec<String>)> {
        if !self.has(name) {
            return Ok((Vec::new(), Vec::new()));
        }
        let (lines, malformed) = self.lines_of_many(name)?;
        let mut odd: Vec<String> = malformed.iter().map(Error::to_string).collect();
        for line in &lines {
            match line.get::<R>() {
                Ok(Some(_)) => {}
                Ok(None) => odd.push(format!("a record of type {:?}", line.kind())),
                Err(error) => odd.push(error.to_string()),
            }
        }
        Ok((record::select_well_formed(&lines), odd))
    }
}
