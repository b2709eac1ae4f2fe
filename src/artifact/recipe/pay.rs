//! What a round pays, and by which rule.

use serde::{Deserialize, Serialize};

use super::rules::Rules;

/// Pay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PayRecipe {
    /// What a round pays at most, in msat.
    #[serde(default)]
    pub round_msat: u64,
    /// How pay follows from gain.
    #[serde(default)]
    pub rule: PayName,
    /// The exponent of the rule `power`.
    #[serde(default = "two")]
    pub exponent: u32,
    /// The most that one worker can earn, in parts per million of the round's msat.
    #[serde(default = "all")]
    pub cap_ppm: u64,
    /// Above ten workers, pairs of permutations that Shapley values are sampled from.
    #[serde(default = "pairs")]
    pub shapley_pairs: u32,
    /// Where the rest of a permutation has less than this part of the total left to gain, it is cut: parts per million.
    #[serde(default)]
    pub shapley_tolerance_ppm: u64,
}

/// The rules of pay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PayName {
    /// In proportion to each update's gain alone.
    #[default]
    Proportional,
    /// To a power of it.
    Power,
    /// By the rank of the gain.
    Rank,
    /// By the Shapley value: the mean marginal gain over all orders.
    Shapley,
    /// By what the others together lack without it.
    LeaveOneOut,
}

fn two() -> u32 {
    2
}
fn all() -> u64 {
    1_000_000
}
fn pairs() -> u32 {
    50
}

impl Default for PayRecipe {
    fn default() -> PayRecipe {
        PayRecipe {
            round_msat: 0,
            rule: PayName::default(),
            exponent: two(),
            cap_ppm: all(),
            shapley_pairs: pairs(),
            shapley_tolerance_ppm: 0,
        }
    }
}

impl PayRecipe {
    pub(super) fn ask(&self, rules: &mut Rules) {
        rules.require(self.round_msat <= 2_100_000_000_000_000_000, "pay.round_msat", "at most 21 million bitcoin");
        rules.require((1..=4).contains(&self.exponent), "pay.exponent", "1 to 4");
        rules.require((1..=1_000_000).contains(&self.cap_ppm), "pay.cap_ppm", "1 to 1000000");
        rules.require((2..=1 << 20).contains(&self.shapley_pairs), "pay.shapley_pairs", "2 to 2^20");
        rules.require(self.shapley_tolerance_ppm <= 1_000_000, "pay.shapley_tolerance_ppm", "at most 1000000");
    }
}
