//! A checkpoint in its folder: `checkpoint-NNNNNNNN.state`, a state as `train --openings` keeps it, and
//! `checkpoint-NNNNNNNN.jsonl`, which is there when the state is: the leaves so far, one record that says what the work is made
//! from and which state is meant, and a seal over all of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::artifact::record::{self, Record};
use crate::artifact::{ArtifactKind, Digest, Meta};
use crate::error::{Context, Error, IoContext, Kind, Result};
use crate::fsio::{Source, Target, read_text_within};
use crate::model::Layout;
use crate::optimizer::State;
use crate::verify::Leaf;

/// A longer list of leaves is none of ours, in bytes.
const MAX: u64 = 1 << 30;
/// What all names begin with; temporaries of theirs, with a dot before it.
const PREFIX: &str = "checkpoint-";
const RECORD: &str = ".jsonl";
const STATE: &str = ".state";

/// The work that was done when it was written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Checkpoint {
    /// Inner steps of the round.
    step: u32,
    /// What the work is made from: keys of a delta's metadata, and what else decides it.
    inputs: BTreeMap<String, String>,
    /// The content of the state.
    state: Digest,
    /// Summed losses of the steps since the last leaf.
    losses_q32: Vec<String>,
}

impl Record for Checkpoint {
    const TYPE: &'static str = "checkpoint";
}

/// The last line.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seal {
    /// Over the bytes of all lines before it.
    digest: Digest,
}

impl Record for Seal {
    const TYPE: &'static str = "seal";
}

/// Work that was begun.
pub struct Begun {
    /// Inner steps of the round that are done.
    pub step: u32,
    /// What it was made from.
    pub inputs: Meta,
    /// The leaves so far.
    pub leaves: Vec<Leaf>,
    /// Summed losses of the steps since the last of them.
    pub losses: Vec<String>,
    /// The content of the state.
    state: Digest,
}

/// Where the record of a checkpoint is.
pub fn record_path(folder: &Path, step: u32) -> PathBuf {
    folder.join(format!("{PREFIX}{step:08}{RECORD}"))
}

fn state_path(folder: &Path, step: u32) -> PathBuf {
    folder.join(format!("{PREFIX}{step:08}{STATE}"))
}

/// Writes a checkpoint: it is there when this returns, and not before all of it is on disk.
pub fn write(
    folder: &Path,
    step: u32,
    inputs: &Meta,
    state: &State,
    leaves: &[Leaf],
    losses: &[String],
    layout: &Layout,
) -> Result<()> {
    let path = state_path(folder, step);
    let target = Target::new(Some(&path), true);
    let mut meta = Meta::new(ArtifactKind::State);
    meta.copy_all(inputs).set("step", step);
    let (out, digest) = state.write(&target.name(), target.create()?, meta, layout)?;
    out.finish()?;
    let checkpoint = Checkpoint { step, inputs: inputs.0.clone(), state: digest, losses_q32: losses.to_vec() };
    let mut text = leaves.iter().map(record::line).collect::<Result<String>>()?;
    text += &record::line(&checkpoint)?;
    text += &record::line(&Seal { digest: Digest::of(text.as_bytes()) })?;
    Target::new(Some(&record_path(folder, step)), true).write_text(&text).map(drop)
}

/// Reads what a checkpoint says, but for its state. What is not whole, or not as it was written, is malformed (65).
pub fn read(folder: &Path, step: u32) -> Result<Begun> {
    let path = record_path(folder, step);
    let place = path.display().to_string();
    let text = read_text_within(&path, MAX)?;
    let lines = record::parse_lines(&place, &text)?;
    let seals: Vec<Seal> = record::select(&lines)?;
    let checkpoints: Vec<Checkpoint> = record::select(&lines)?;
    let ([seal], Ok([of])) = (&seals[..], <[Checkpoint; 1]>::try_from(checkpoints)) else {
        return Err(Error::data(format!("{place}: expected a checkpoint and its seal")));
    };
    let body = text.strip_suffix(&record::line(seal)?);
    if body.is_none_or(|body| seal.digest != Digest::of(body.as_bytes())) || of.step != step {
        return Err(Error::data(format!("{place}: it is not as it was written")));
    }
    let leaves = record::select(&lines)?;
    Ok(Begun { step, inputs: Meta(of.inputs), leaves, losses: of.losses_q32, state: of.state })
}

impl Begun {
    /// The state. One that is not the one that was written is malformed (65).
    pub fn state(&self, folder: &Path, layout: &Layout) -> Result<State> {
        let path = state_path(folder, self.step);
        let read = Source::open(&path).and_then(|source| State::read_whole(source, layout));
        match read {
            Ok((_, state, digest)) if digest == self.state => Ok(state),
            Ok(_) => Err(Error::data("it is not as it was written")).at(path.display()),
            Err(error) if error.kind() == Kind::Missing => Err(Error::data(error.to_string())),
            Err(error) => Err(error),
        }
    }
}

/// After how many steps there are checkpoints, the last one first.
pub fn steps(folder: &Path) -> Result<Vec<u32>> {
    let mut steps: Vec<u32> = names(folder)?.iter().filter_map(|name| step_of(name, RECORD)).collect();
    steps.sort_unstable_by(|a, b| b.cmp(a));
    Ok(steps)
}

/// Removes what killed processes left in the making. Whoever calls it has the folder to itself.
pub fn sweep(folder: &Path) -> Result<()> {
    let named = steps(folder)?;
    remove(folder, |name| step_of(name, STATE).is_some_and(|step| !named.contains(&step)) || name.starts_with('.'))
}

/// Removes all checkpoints but the one after `step`.
pub fn remove_but(folder: &Path, step: Option<u32>) -> Result<()> {
    let kept = step.map(|step| format!("{PREFIX}{step:08}."));
    // Records go first: one without its state would be a damaged one.
    let others = |name: &str| kept.as_deref().is_none_or(|kept| !name.starts_with(kept));
    remove(folder, |name| others(name) && name.ends_with(RECORD))?;
    remove(folder, others)
}

fn remove(folder: &Path, which: impl Fn(&str) -> bool) -> Result<()> {
    for name in names(folder)?.iter().filter(|name| which(name)) {
        let path = folder.join(name);
        fs::remove_file(&path).path(&path)?;
    }
    Ok(())
}

/// The step in a name that ends so, where it is one that we write: `checkpoint-3` of another program is none of ours.
fn step_of(name: &str, ending: &str) -> Option<u32> {
    let digits = name.strip_prefix(PREFIX)?.strip_suffix(ending)?;
    let step = digits.parse::<u32>().ok()?;
    (digits == format!("{step:08}")).then_some(step)
}

/// The names in the folder that are ours, those of what is in the making too.
fn names(folder: &Path) -> Result<Vec<String>> {
    let whole = |name: &str| step_of(name, RECORD).or(step_of(name, STATE)).is_some();
    let made = |name: &str| name.strip_prefix('.').and_then(|name| name.split_once(".l402-tmp.")).map(|of| whole(of.0));
    let ours = |name: &String| whole(name) || made(name) == Some(true);
    let entries = fs::read_dir(folder).path(folder)?;
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).filter(ours).collect())
}
