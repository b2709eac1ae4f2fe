//! What every round stands on: recipe, roster, keys, shards, the first model.

use lightning::bitcoin::secp256k1::PublicKey;

use super::differs::{Checked, blame, differs};
use super::folder::{RunFolder, records_alone};
use super::shards::check_shards;
use super::theta::check_first;
use crate::artifact::key::parse_public;
use crate::artifact::{Digest, Recipe};
use crate::data::{Manifest, Roster};
use crate::model::ModelFolder;
use crate::pay::NodeId;

/// Whose signatures the caller believes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pins {
    /// Who signs assignments.
    pub coordinator: Option<PublicKey>,
    /// Who signs offers, closings and verdicts, where that is not the coordinator.
    pub judge: Option<NodeId>,
}

/// The checked ground of a run.
pub struct Start {
    /// The recipe.
    pub recipe: Recipe,
    /// Its digest: the run's id.
    pub id: Digest,
    /// Who works.
    pub roster: Roster,
    /// The shards.
    pub manifest: Manifest,
    /// Who signs assignments: pinned, or as `coordinator.pub` says, or nobody.
    pub coordinator: Option<PublicKey>,
    /// Whether the caller pinned that key.
    pub pinned: bool,
    /// Who judges.
    pub judge: Option<NodeId>,
}

const ROSTER: &str = "roster.jsonl";
const COORDINATOR: &str = "coordinator.pub";

/// Checks recipe, roster, coordinator's key, shards and first model.
pub fn check_start(run: &RunFolder, pins: Pins) -> Checked<(Start, ModelFolder)> {
    let recipe = blame("run.toml", Recipe::parse(&run.text("run.toml")?))?;
    let lines = blame(ROSTER, Roster::lines(ROSTER, &run.text(ROSTER)?))?;
    let roster = blame(ROSTER, Roster::new(records_alone(ROSTER, &lines)?))?;
    let mut coordinator = pins.coordinator;
    if run.has(COORDINATOR) {
        let found = public(run, COORDINATOR)?;
        match pins.coordinator {
            Some(pinned) if pinned != found => return differs(COORDINATOR, "key", pinned, found),
            _ => coordinator = Some(found),
        }
    }
    let manifest = check_shards(run)?;
    blame("run.toml", manifest.agrees(&recipe.data))?;
    let first = check_first(run, &recipe)?;
    let id = recipe.digest();
    let judge = pins.judge.or(coordinator.map(NodeId));
    let pinned = pins.coordinator.is_some();
    Ok((Start { recipe, id, roster, manifest, coordinator, pinned, judge }, first))
}

/// The workers' keys in files of their own, where there are such.
pub fn check_keys(run: &RunFolder, roster: &Roster) -> Checked<()> {
    for member in roster.members() {
        let file = format!("{}.pub", member.worker);
        if member.worker != "coordinator" && run.has(&file) {
            let found = public(run, &file)?.to_string();
            let expected = member.key.clone().unwrap_or_else(|| "none".into());
            if found != expected {
                return differs(&file, "key", expected, found);
            }
        }
    }
    Ok(())
}

fn public(run: &RunFolder, name: &str) -> Checked<PublicKey> {
    let text = run.text(name)?;
    blame(name, parse_public(text.strip_suffix('\n').unwrap_or(&text)))
}
