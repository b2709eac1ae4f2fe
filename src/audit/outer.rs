//! The outer step again: the next model, and the momentum that goes on with it from round to round.

use super::differs::{Checked, blame, same, wrong};
use super::folder::RunFolder;
use super::replays::{StateRoom, state_name};
use super::start::Start;
use super::theta::{check_next, weights};
use crate::artifact::Digest;
use crate::codec::Update;
use crate::error::Result;
use crate::model::{Layout, ModelFolder};
use crate::optimizer::Momentum;
use crate::score::{Step, next_model};

/// The state file that a round may publish.
pub const MOMENTUM: &str = "outer.momentum";

/// The name of the momentum that a round leaves, in the audit's own room.
pub fn momentum_name(round: u64) -> String {
    state_name("outer", round, "momentum")
}

/// Whether an audit's own state of this name is an outer momentum, which every later round needs, however deep the audit
/// looks.
pub fn is_momentum(name: &str) -> bool {
    name.ends_with(".momentum")
}

/// Takes the outer step again with the updates that count, from the momentum that the audit itself has arrived at, and
/// compares the next model, to the byte; and the momentum where the round has published it. Returns the digest of that model's
/// weights.
pub fn check_outer_step(
    run: &RunFolder,
    start: &Start,
    room: &dyn StateRoom,
    folder: &ModelFolder,
    round: u64,
    count: usize,
    open: impl Fn(usize) -> Result<Update>,
) -> Checked<Digest> {
    let recipe = &start.recipe;
    let carries = recipe.outer.momentum > 0.0;
    let before = match round.checked_sub(1).filter(|_| carries) {
        Some(before) => Some(Momentum::read(room.open(&momentum_name(before))?, &folder.layout)?),
        None => None,
    };
    let step = Step { recipe, folder, round, momentum: before };
    let next = blame(&weights(recipe, round + 1), next_model(step, count, open, || ()))?;
    let digest = check_next(run, recipe, folder, &next, round)?;
    match next.momentum {
        Some(momentum) => keep(room, run, &momentum, &folder.layout, round)?,
        None if run.has(&published(round)) => wrong(&published(round), "the recipe has no outer momentum")?,
        None => {}
    }
    Ok(digest)
}

fn published(round: u64) -> String {
    format!("round-{round}/{MOMENTUM}")
}

fn keep(room: &dyn StateRoom, run: &RunFolder, momentum: &Momentum, layout: &Layout, round: u64) -> Checked<()> {
    let name = momentum_name(round);
    let (out, digest) = momentum.write(&name, room.create(&name)?, layout)?;
    out.keep()?;
    let published = published(round);
    match run.has(&published) {
        true => same(&published, "digest", digest, run.digest(&published, layout.file_room(1))?),
        false => Ok(()),
    }
}
