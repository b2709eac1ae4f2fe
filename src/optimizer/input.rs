//! What the inner steps of a round work on.

use crate::artifact::Recipe;
use crate::data::{BatchOrder, Shard};
use crate::model::{Model, Plan};

/// What a round starts from.
pub struct RoundInput<'a> {
    /// The recipe.
    pub recipe: &'a Recipe,
    /// The model's shape.
    pub model: &'a Model,
    /// The memory plan.
    pub plan: Plan,
    /// The worker's shard.
    pub shard: &'a Shard,
    /// The order of its sequences.
    pub order: &'a BatchOrder,
    /// The round's number.
    pub round: u64,
}
