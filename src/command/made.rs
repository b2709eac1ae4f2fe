//! What is in an output's place already, looked at before the work: made from other inputs it stays (73), and made from the
//! same ones the work that takes long need not be done again.
//!
//! An output says in its metadata, or its records in their fields, what it was made from. That is believed of one's own
//! training alone. Who verifies (`replay`, `score`, `audit`) believes no file that says it was done, and does it again.

use std::path::Path;

use crate::artifact::{ArtifactKind, Meta, Reader, WORK, record};
use crate::command::kept::{self, Kept};
use crate::error::{Error, Kind, Result};
use crate::fsio::{Source, Target};
use crate::model::Layout;
use crate::optimizer::{Moments, State};
use crate::verify::{Leaf, Leaves, input_name};

/// The error for an output that is not what the command would make.
fn exists(place: impl std::fmt::Display, what: impl std::fmt::Display) -> Error {
    Error::new(Kind::Exists, format!("{place}: exists, {what}")).hint("--force replaces it")
}

/// The metadata of the file that is in the output's place, if one is and is to be kept. It must be of the kind of `inputs`, and
/// say the same of every key that they have.
pub fn made_from(target: &Target, inputs: &Meta) -> Result<Option<Meta>> {
    target.kept().map_or(Ok(None), |path| file_made_from(path, target.name(), inputs))
}

/// The same of a file, which `place` names in errors.
pub fn file_made_from(path: &Path, place: impl std::fmt::Display, inputs: &Meta) -> Result<Option<Meta>> {
    let found = match Source::open(path).and_then(Reader::open) {
        Ok(reader) => Meta(reader.header().metadata.clone()),
        Err(error) if error.kind() == Kind::Data => return Err(exists(place, "with other content")),
        Err(error) => return Err(error),
    };
    let keys: Vec<&str> = inputs.0.keys().filter_map(|key| key.strip_prefix("l402.")).collect();
    if inputs.first_difference(&found, &["kind", "format"]).is_some() {
        return Err(exists(place, "with other content"));
    }
    match inputs.first_difference(&found, &keys) {
        None => Ok(Some(found)),
        Some(differs) => {
            let (what, expected, found) = (input_name(differs.key), differs.expected, differs.found);
            Err(exists(place, format!("made from another {what}: expected {expected}, found {found}")))
        }
    }
}

/// Refuses a file of records in the output's place that is about something else: `differs` says of it what.
pub fn about(target: &Target, differs: impl FnOnce(&[record::Line]) -> Result<Option<String>>) -> Result<()> {
    let Some(path) = target.kept() else { return Ok(()) };
    match record::read_lines(path).and_then(|lines| differs(&lines)) {
        Ok(None) => Ok(()),
        Ok(Some(what)) => Err(exists(path.display(), format!("about another {what}"))),
        Err(error) if matches!(error.kind(), Kind::Data | Kind::Refused) => {
            Err(exists(path.display(), "with other content"))
        }
        Err(error) => Err(error),
    }
}

/// What training leaves beside its delta.
pub struct Beside<'a> {
    /// The successor state.
    pub state: Option<Target>,
    /// The leaves.
    pub leaves: Option<Target>,
    /// The folder of leaves and states.
    pub kept: Option<&'a Kept>,
}

impl Beside<'_> {
    /// Whether all of it is there, and what the delta names. What was made from other inputs, or is not what the delta names,
    /// is refused (73), with or without a delta.
    pub fn complete(&self, inputs: &Meta, context: &Leaves, delta: Option<&Meta>, layout: &Layout) -> Result<bool> {
        let state = self.state.as_ref().map_or(Ok(true), |target| state_is(target, inputs, delta, layout))?;
        let leaves = self.leaves.as_ref().map_or(Ok(true), |target| leaves_are(target, context, delta))?;
        let kept = match (self.kept, delta) {
            (None, _) => true,
            (Some(_), None) => false,
            // What is kept is replaced as it comes, and never in the way.
            (Some(kept), Some(delta)) => {
                let root = delta.opt("leaves").unwrap_or("none");
                kept.complete(
                    |path| root_of(path, context).is_ok_and(|found| found == root),
                    |path, step| is_kept(path, step, inputs),
                )
            }
        };
        Ok(state && leaves && kept)
    }
}

/// Whether this is a file of the state after so many steps of this work.
pub fn is_kept(path: &Path, step: u32, inputs: &Meta) -> bool {
    let mut state = Meta::new(ArtifactKind::State);
    state.copy(inputs, &WORK).set("step", step);
    file_made_from(path, path.display(), &state).is_ok()
}

/// Whether the state is there.
fn state_is(target: &Target, inputs: &Meta, delta: Option<&Meta>, layout: &Layout) -> Result<bool> {
    let Some(path) = target.kept() else { return Ok(false) };
    made_from(target, &Moments::meta_after(inputs))?;
    match delta.and_then(|delta| delta.opt("inner_out")) {
        None => Ok(false),
        Some(left) if Moments::read(Source::open(path)?, layout)?.2.to_string() == left => Ok(true),
        Some(left) => Err(exists(target.name(), format!("and is not the state {left} that the delta left"))),
    }
}

/// Whether the leaves are there.
fn leaves_are(target: &Target, context: &Leaves, delta: Option<&Meta>) -> Result<bool> {
    let Some(path) = target.kept() else { return Ok(false) };
    let found = root_of(path, context).map_err(|error| match error.kind() {
        Kind::Data | Kind::Refused => exists(target.name(), "with other content, or made from other inputs"),
        _ => error,
    })?;
    match delta.and_then(|delta| delta.opt("leaves")) {
        None => Ok(false),
        Some(root) if root == found => Ok(true),
        Some(root) => Err(exists(target.name(), format!("and has not the root {root} that the delta commits to"))),
    }
}

/// The root over a file of leaves, which must be of this work.
fn root_of(path: &Path, context: &Leaves) -> Result<String> {
    let (of, leaves) = Leaves::parse(&record::read_lines(path)?)?;
    if of != *context {
        return Err(Error::refused("leaves of other work"));
    }
    Ok(of.tree(&leaves)?.root().to_string())
}

/// The state that is shown already for the start of a segment, where it is the one that the leaf commits to; another is
/// refused (73).
pub fn shown_state(path: &Path, force: bool, leaf: &Leaf, work: &Meta, layout: &Layout) -> Result<Option<State>> {
    if force || !path.exists() {
        return Ok(None);
    }
    let mut inputs = Meta::new(ArtifactKind::State);
    inputs.copy(work, &WORK).set("step", leaf.step);
    file_made_from(path, path.display(), &inputs)?;
    let (_, state) = State::read(Source::open(path)?, layout)?;
    if kept::is_of(&state, leaf, layout) {
        return Ok(Some(state));
    }
    Err(exists(path.display(), format!("and is not the state after {} steps that the leaves commit to", leaf.step)))
}
