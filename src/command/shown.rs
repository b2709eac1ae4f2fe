//! The folder that a worker shows to those who sample its work.

use std::path::{Path, PathBuf};

use super::common::open;
use crate::artifact::{Meta, Reader, record};
use crate::codec::Feedback;
use crate::error::{Error, Result};
use crate::model::Layout;
use crate::optimizer::State;
use crate::verify::{CHUNKS, FEEDBACK, LEAVES, OpenedLeaf, Openings, Sampling, Segments, chunks_header, state_file};

/// Opened files, counted as they are read.
pub struct Shown<'a> {
    folder: Option<&'a Path>,
    layout: &'a Layout,
    segments: Segments,
    chunks: usize,
    bytes: u64,
}

impl<'a> Shown<'a> {
    /// Of this folder; without one, whatever is needed of it is missing.
    pub fn new(folder: &'a Option<PathBuf>, layout: &'a Layout, segments: Segments, sampling: &Sampling) -> Shown<'a> {
        Shown { folder: folder.as_deref(), layout, segments, chunks: sampling.chunks, bytes: 0 }
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
        record::select(&record::read_lines_within(&self.file(LEAVES)?, self.segments.leaves_room())?)
    }

    fn state(&mut self, step: u32) -> Result<(Meta, State)> {
        State::read(open(&self.file(&state_file(step))?)?, self.layout)
    }

    fn chunks(&mut self) -> Result<Reader> {
        Reader::open_within(open(&self.file(CHUNKS)?)?, chunks_header(self.chunks))
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
    let opened = || Reader::open_within(open(path)?, layout.header_room());
    let reader = opened()?;
    reader.expect_tensors(layout.infos(""))?;
    let digest = Feedback::digest_of(reader)?;
    Feedback::open(digest, opened()?)
}
