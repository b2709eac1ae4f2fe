//! The folder that a worker shows to those who sample its work.

use std::path::{Path, PathBuf};

use super::common::open;
use crate::artifact::{Meta, Reader, record};
use crate::codec::Feedback;
use crate::error::{Error, Result};
use crate::model::Layout;
use crate::optimizer::State;
use crate::verify::{CHUNKS, FEEDBACK, LEAVES, OpenedLeaf, Openings, state_file};

/// Opened files, counted as they are read.
pub struct Shown<'a> {
    folder: Option<&'a Path>,
    layout: &'a Layout,
    bytes: u64,
}

impl<'a> Shown<'a> {
    /// Of this folder; without one, whatever is needed of it is missing.
    pub fn new(folder: &'a Option<PathBuf>, layout: &'a Layout) -> Shown<'a> {
        Shown { folder: folder.as_deref(), layout, bytes: 0 }
    }

    fn file(&mut self, name: &str) -> Result<PathBuf> {
        let folder = self
            .folder
            .ok_or_else(|| Error::usage(format!("expected --openings: {name} is needed of what the worker shows")))?;
        let path = folder.join(name);
        // No pipe that never ends, and nothing elsewhere.
        if let Ok(meta) = std::fs::symlink_metadata(&path) {
            if !meta.is_file() {
                return Err(Error::data(format!("{}: expected a regular file", path.display())));
            }
            self.bytes += meta.len();
        }
        Ok(path)
    }
}

impl Openings for Shown<'_> {
    fn leaves(&mut self) -> Result<Vec<OpenedLeaf>> {
        record::read(&self.file(LEAVES)?)
    }

    fn state(&mut self, step: u32) -> Result<(Meta, State)> {
        State::read(open(&self.file(&state_file(step))?)?, self.layout)
    }

    fn chunks(&mut self) -> Result<Reader> {
        Reader::open(open(&self.file(CHUNKS)?)?)
    }

    fn feedback(&mut self) -> Result<Feedback> {
        open_feedback(&self.file(FEEDBACK)?, self.layout)
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// An error feedback of this layout, whose tensors are looked at before anything is read.
pub fn open_feedback(path: &Path, layout: &Layout) -> Result<Feedback> {
    let reader = Reader::open(open(path)?)?;
    reader.expect_tensors(layout.infos(""))?;
    let digest = Feedback::digest_of(reader)?;
    Feedback::open(digest, Reader::open(open(path)?)?)
}
