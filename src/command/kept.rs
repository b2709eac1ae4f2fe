//! The states that a worker keeps while it trains, to open what is drawn of them later.
//!
//! A folder with `leaves.jsonl` and `step-NNNNNNNN.state` files, at most as many as asked for, spread over the round; a
//! state that was not kept is recomputed from the last one before it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::artifact::{ArtifactKind, Meta, WORK, merkle};
use crate::command::args::OutputArgs;
use crate::error::{Error, Result};
use crate::fsio::{Source, Target};
use crate::model::Layout;
use crate::optimizer::State;
use crate::verify::{Leaf, Segments, state_file};

/// Leaves as `train --openings` keeps them.
pub const LEAVES: &str = "leaves.jsonl";

/// A worker's folder of states.
pub struct Kept {
    folder: PathBuf,
    /// After which numbers of steps a state is kept.
    steps: Vec<u32>,
}

impl Kept {
    /// A folder for at most `count` states: none before the first step, nor after the last, which no segment begins in.
    pub fn create(folder: &Path, segments: Segments, count: u32) -> Result<Kept> {
        fs::create_dir_all(folder).map_err(|e| Error::io(folder.display(), &e))?;
        let starts = segments.count() - 1;
        let kept = count.min(starts);
        let spread = |i: u32| (u64::from(i + 1) * u64::from(starts + 1) / u64::from(kept + 1)) as u32;
        let steps = (0..kept).map(|i| segments.range(spread(i) - 1).end).collect();
        Ok(Kept { folder: folder.to_owned(), steps })
    }

    /// Whether all of it is there, as these say of the leaves' file and of the file of the state after so many steps.
    pub fn complete(&self, leaves: impl FnOnce(&Path) -> bool, state: impl Fn(&Path, u32) -> bool) -> bool {
        leaves(&self.folder.join(LEAVES)) && self.begun(u32::MAX, state)
    }

    /// Whether the states are there that are kept until `done` steps are done.
    pub fn begun(&self, done: u32, state: impl Fn(&Path, u32) -> bool) -> bool {
        let at = |step: &u32| state(&self.folder.join(state_file(*step)), *step);
        self.steps.iter().filter(|step| **step <= done).all(at)
    }

    /// Keeps the state after `step` steps, if it is one of those.
    pub fn keep(&self, step: u32, state: &State, delta: &Meta, layout: &Layout) -> Result<()> {
        if !self.steps.contains(&step) {
            return Ok(());
        }
        write_state(&self.folder.join(state_file(step)), true, step, state, delta, layout)
    }

    /// Writes the leaves, when all are made.
    pub fn finish(&self, leaves: &str) -> Result<()> {
        let output = OutputArgs { output: Some(self.folder.join(LEAVES)), force: true };
        output.target().write_text(leaves).map(drop)
    }
}

/// Writes a state of the midst of a round, whole or not at all.
pub fn write_state(path: &Path, force: bool, step: u32, state: &State, delta: &Meta, layout: &Layout) -> Result<()> {
    let mut meta = Meta::new(ArtifactKind::State);
    meta.copy(delta, &WORK).set("step", step);
    let target = Target::new(Some(path), force);
    let (out, _) = state.write(&target.name(), target.create()?, meta, layout)?;
    out.finish().map(drop)
}

/// Whether a state is the one that its leaf commits to.
pub fn is_of(state: &State, leaf: &Leaf, layout: &Layout) -> bool {
    let [first, second] = state.moments.roots(layout);
    let parameters = merkle::root(layout.tensor_roots(&state.parameters));
    (parameters, first, second, state.moments.steps) == (leaf.parameters, leaf.first, leaf.second, leaf.optimizer_steps)
}

/// The last state that a folder holds at or before `step` steps, read and checked for the work that it is of.
pub fn last_kept(folder: &Path, step: u32, delta: &Meta, layout: &Layout) -> Result<Option<(u32, State)>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => return Err(Error::io(folder.display(), &error)),
    };
    let steps = entries.filter_map(|entry| {
        let name = entry.ok()?.file_name().into_string().ok()?;
        name.strip_prefix("step-")?.strip_suffix(".state")?.parse::<u32>().ok()
    });
    let Some(found) = steps.filter(|found| *found <= step).max() else { return Ok(None) };
    let path = folder.join(state_file(found));
    let (meta, state) = State::read(Source::open(&path)?, layout)?;
    delta.require(path.display(), &meta, &WORK)?;
    Ok(Some((found, state)))
}
