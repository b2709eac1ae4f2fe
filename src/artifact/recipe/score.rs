//! Scoring: what is measured, what it decides, and who signs it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::super::key;
use super::rules::Rules;

/// Scoring: what is measured of an update, and for which figures it does not count. Parts per million; a limit of 0
/// decides nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoreRecipe {
    /// Held-out sequences a round, drawn by the beacon; 0 takes all of them.
    #[serde(default)]
    pub sequences: u64,
    /// The part of the outer learning rate at which an update is applied when it is measured.
    #[serde(default = "whole_ppm")]
    pub rate_ppm: u64,
    /// The norm, as a part of the median of norms, to which an update is scaled down when it is measured; 0 never.
    #[serde(default)]
    pub clip_ppm: u64,
    /// The largest norm as a part of the median.
    #[serde(default = "default_max_norm")]
    pub max_norm_ppm: u64,
    /// The largest overlap of an update's places with those of an earlier one.
    #[serde(default = "default_max_overlap")]
    pub max_overlap_ppm: u64,
    /// The least part of an update's squared norm that no sum of multiples of earlier ones explains.
    #[serde(default = "default_min_residual")]
    pub min_residual_ppm: u64,
    /// Of each worker the last so many updates that counted, which are committed to earlier than any of this round.
    #[serde(default)]
    pub memory: u64,
    /// How far below zero the cosine with the sum of the others may be.
    #[serde(default = "default_max_against")]
    pub max_against_ppm: u64,
    /// Standard errors, in thousandths, that a gain must be above zero.
    #[serde(default = "default_z")]
    pub z_milli: u32,
    /// The least gain as a part of the median of gains.
    #[serde(default = "default_floor")]
    pub floor_ppm: u64,
    /// Sequences that each worker was to train on, drawn by the beacon, on which all updates are measured too; 0 none.
    #[serde(default)]
    pub own: u64,
    /// Standard errors, in thousandths, that the gain on one's own sequences must be above that on others'.
    #[serde(default = "default_own_z")]
    pub own_z_milli: i64,
    /// How fast the average of its sign over rounds moves.
    #[serde(default = "default_own_rate")]
    pub own_rate_ppm: u64,
    /// The least such average.
    #[serde(default = "default_own_least")]
    pub own_least_ppm: u64,
    /// Rounds after which the average decides.
    #[serde(default = "default_own_rounds")]
    pub own_rounds: u64,
    /// Whether workers are rated over rounds, by Plackett and Luce's model as OpenSkill has it.
    #[serde(default)]
    pub rating: bool,
    /// Its beta: how much luck there is in a round's gains.
    #[serde(default = "default_beta")]
    pub rating_beta: f64,
    /// Its tau: how much a rating's deviation grows from round to round.
    #[serde(default = "default_tau")]
    pub rating_tau: f64,
    /// Who signs scores, where one coordinator's are not enough.
    #[serde(default)]
    pub validators: Vec<Validator>,
    /// The part of all validators' votes that decides, in parts per million.
    #[serde(default = "more_than_half")]
    pub kappa_ppm: u64,
}

impl Default for ScoreRecipe {
    fn default() -> ScoreRecipe {
        ScoreRecipe {
            sequences: 0,
            rate_ppm: whole_ppm(),
            clip_ppm: 0,
            max_norm_ppm: default_max_norm(),
            max_overlap_ppm: default_max_overlap(),
            min_residual_ppm: default_min_residual(),
            memory: 0,
            max_against_ppm: default_max_against(),
            z_milli: default_z(),
            floor_ppm: default_floor(),
            own: 0,
            own_z_milli: default_own_z(),
            own_rate_ppm: default_own_rate(),
            own_least_ppm: default_own_least(),
            own_rounds: default_own_rounds(),
            rating: false,
            rating_beta: default_beta(),
            rating_tau: default_tau(),
            validators: Vec::new(),
            kappa_ppm: more_than_half(),
        }
    }
}

/// One who signs scores.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Validator {
    /// The public key, 66 hex digits.
    pub key: String,
    /// Its votes.
    #[serde(default = "one_vote")]
    pub weight: u64,
}

fn whole_ppm() -> u64 {
    1_000_000
}
fn default_max_norm() -> u64 {
    3_000_000
}
fn default_max_overlap() -> u64 {
    900_000
}
fn default_min_residual() -> u64 {
    10_000
}
fn default_max_against() -> u64 {
    100_000
}
fn default_z() -> u32 {
    0
}
fn default_floor() -> u64 {
    0
}
fn default_own_z() -> i64 {
    1000
}
fn default_own_rate() -> u64 {
    50_000
}
fn default_own_least() -> u64 {
    100_000
}
fn default_own_rounds() -> u64 {
    10
}
fn more_than_half() -> u64 {
    500_001
}
fn one_vote() -> u64 {
    1
}
fn default_beta() -> f64 {
    7.0
}
fn default_tau() -> f64 {
    0.1
}

impl ScoreRecipe {
    /// Whether workers carry something from one round's scores to the next.
    pub fn carries(&self) -> bool {
        self.own > 0 || self.rating || self.memory > 0
    }

    pub(super) fn ask(&self, rules: &mut Rules) {
        rules.require((1..=1_000_000).contains(&self.kappa_ppm), "score.kappa_ppm", "1 to 1000000");
        let validators = &self.validators;
        let keys: BTreeSet<&str> = validators.iter().map(|v| v.key.as_str()).collect();
        let known = validators.iter().all(|v| key::parse_public(&v.key).is_ok());
        rules.require(known, "score.validators", "public keys of 66 hex digits");
        rules.require(
            keys.len() == validators.len() && validators.len() <= 1000,
            "score.validators",
            "1000 different ones at most",
        );
        let votes = |v: &Validator| (1..=1_000_000).contains(&v.weight);
        rules.require(validators.iter().all(votes), "score.validators", "weights of 1 to 1000000");
        let part = |ppm: u64| ppm <= 1_000_000;
        rules.require(self.rate_ppm > 0 && part(self.rate_ppm), "score.rate_ppm", "1 to 1000000");
        rules.require(self.clip_ppm <= 1_000_000_000, "score.clip_ppm", "at most 1000000000");
        rules.require(self.max_norm_ppm <= 1_000_000_000, "score.max_norm_ppm", "at most 1000000000");
        rules.require(part(self.max_overlap_ppm), "score.max_overlap_ppm", "at most 1000000");
        rules.require(part(self.min_residual_ppm), "score.min_residual_ppm", "at most 1000000");
        rules.require(self.memory <= 100, "score.memory", "at most 100");
        rules.require(part(self.max_against_ppm), "score.max_against_ppm", "at most 1000000");
        rules.require(self.z_milli <= 100_000, "score.z_milli", "at most 100000");
        rules.require(part(self.floor_ppm), "score.floor_ppm", "at most 1000000");
        rules.require(self.own != 1 && self.own <= 1 << 20, "score.own", "0, or 2 to 2^20");
        rules.require(self.own_z_milli.abs() <= 100_000, "score.own_z_milli", "-100000 to 100000");
        rules.require(part(self.own_rate_ppm), "score.own_rate_ppm", "at most 1000000");
        rules.require(part(self.own_least_ppm), "score.own_least_ppm", "at most 1000000");
        let within = |v: f64, low: f64, high: f64| v.is_finite() && (low..=high).contains(&v);
        rules.require(within(self.rating_beta, 1e-3, 1e3), "score.rating_beta", "0.001 to 1000");
        rules.require(within(self.rating_tau, 0.0, 1e3), "score.rating_tau", "0 to 1000");
    }
}
