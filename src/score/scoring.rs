//! What a round is scored by.

use std::sync::Arc;

use super::eligible::Eligibility;
use super::records::Standing;
use crate::artifact::{Digest, Recipe};
use crate::codec::Update;
use crate::data::{Assignment, Shard};
use crate::device::Device;
use crate::error::Result;
use crate::model::ModelFolder;

/// Opens the shard of an assignment.
pub type OpenShard<'a> = dyn Fn(&Assignment) -> Result<Arc<Shard>> + 'a;

/// What a round is scored by.
pub struct Scoring<'a> {
    /// The recipe.
    pub recipe: &'a Recipe,
    /// The round.
    pub round: u64,
    /// The model at its start.
    pub folder: &'a ModelFolder,
    /// Where losses are measured.
    pub device: &'a Device,
    /// The held-out shard.
    pub held_out: &'a Shard,
    /// Draws the held-out sequences.
    pub beacon: Option<Digest>,
    /// What decides which updates count.
    pub lists: &'a Eligibility,
    /// Opens the shards that were assigned, where the recipe measures updates on the workers' own data.
    pub shards: Option<&'a OpenShard<'a>>,
    /// What the round before left of every worker's standing.
    pub standings: &'a [Standing],
    /// The updates that counted in earlier rounds, those at least that the standings name.
    pub earlier: &'a [&'a Update],
}
