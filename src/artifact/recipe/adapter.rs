//! Low-rank adapters: what is trained where the model itself stays as it is.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::rules::Rules;
use crate::error::Result;

/// The largest rank.
pub const MAX_RANK: usize = 4096;

/// A LoRA adapter (Hu et al., 2106.09685): a linear layer gives x·Wᵀ + (alpha / rank) · (x·Aᵀ)·Bᵀ, and A \[rank × in\] and
/// B \[out × rank\] alone are trained. There is no dropout: a step is a function of its inputs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdapterRecipe {
    /// Rows of A, columns of B.
    pub rank: usize,
    /// The scale's numerator.
    pub alpha: f64,
    /// The linear layers that have one, by the last part of their names (`q_proj`); none is all of a layer's.
    #[serde(default)]
    pub targets: BTreeSet<String>,
}

impl AdapterRecipe {
    /// Refuses what no adapter can be, by the name of the field in this table.
    pub fn check(&self, table: &str) -> Result<()> {
        let mut rules = Rules::default();
        self.ask(table, &mut rules);
        rules.hold()
    }

    /// Asks what an adapter must be.
    pub(super) fn ask(&self, table: &str, rules: &mut Rules) {
        rules.require((1..=MAX_RANK).contains(&self.rank), &format!("{table}rank"), "1 to 4096");
        let alpha = self.alpha.is_finite() && (1e-6..=1e6).contains(&self.alpha);
        rules.require(alpha, &format!("{table}alpha"), "0.000001 to 1000000");
    }

    /// alpha / rank, rounded once.
    pub fn scale(&self) -> f32 {
        (self.alpha / self.rank as f64) as f32
    }
}
