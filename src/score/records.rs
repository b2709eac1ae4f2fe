//! The records that `score` emits. Losses and gains are 32.32 fixed point, summed exactly, in decimal strings:
//! they may be negative, and larger than a JSON integer may be.

use serde::{Deserialize, Serialize};

use crate::artifact::Digest;
use crate::artifact::record::Record;

/// One update's score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Score {
    /// The run.
    pub run: Digest,
    /// The round.
    pub round: u64,
    /// The worker.
    pub worker: String,
    /// The update's content digest.
    pub update: Digest,
    /// Whether the update counts.
    pub counts: bool,
    /// Why it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Digest of the finding that this rests on: of its canonical line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finding: Option<Digest>,
    /// Total loss after applying this update alone, 32.32 fixed point.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_q32: Option<String>,
    /// Total loss before minus after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gain_q32: Option<String>,
    /// What pay goes by, where that is not the gain alone: the Shapley value, or what the others lack without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worth_q32: Option<String>,
    /// Its standard error, where it is sampled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worth_error_q32: Option<String>,
    /// The worker's entitlement.
    pub entitled_msat: u64,
    /// Size of the update's content in bytes.
    pub bytes: u64,
}

impl Record for Score {
    const TYPE: &'static str = "score";
}

/// What a round's scores have in common.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoundScore {
    /// The run.
    pub run: Digest,
    /// The round.
    pub round: u64,
    /// The model's digest.
    pub theta: Digest,
    /// The held-out shard's digest.
    pub held_out: Digest,
    /// The beacon that drew the sequences.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beacon: Option<Digest>,
    /// Sequences scored on.
    pub sequences: u64,
    /// Target tokens in them.
    pub tokens: u64,
    /// Total loss of theta on them, 32.32 fixed point.
    pub before_q32: String,
    /// Workers with a task.
    pub workers: u64,
    /// What the round may pay.
    pub round_msat: u64,
    /// What goes back to the payer.
    pub returned_msat: u64,
}

impl Record for RoundScore {
    const TYPE: &'static str = "round_score";
}
