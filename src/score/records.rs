//! The records that `score` emits. Losses and gains are 32.32 fixed point, summed exactly, in decimal strings:
//! they may be negative, and larger than a JSON integer may be.

use serde::{Deserialize, Serialize};

use crate::artifact::Digest;
use crate::artifact::record::Record;
use crate::verify::StateGiven;

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
    /// Set where that finding's replay took the worker's states to be zero for want of others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<StateGiven>,
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
    /// What the update itself shows, where the lists let it count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signals: Option<Signals>,
    /// The worker's entitlement.
    pub entitled_msat: u64,
    /// Size of the update's content in bytes.
    pub bytes: u64,
}

impl Record for Score {
    const TYPE: &'static str = "score";
}

/// Where a round's standings came from, where nobody said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StandingsGiven {
    /// None were given: none.
    AssumedNone,
}

/// What was measured of an update beside its gain, see [`super::signals`]. Parts per million are rounded down.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signals {
    /// Its norm as a part of the median.
    pub norm_ppm: u64,
    /// The largest overlap of its places with those of an update that was committed to earlier.
    pub overlap_ppm: u64,
    /// The largest cosine with one of those, where it is above zero.
    pub cosine_ppm: u64,
    /// The part of its squared norm that no sum of multiples of those explains.
    pub residual_ppm: u64,
    /// The upper median of the cosines with the others, where there are at least two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agreement_ppm: Option<String>,
    /// The standard error of the gain, in 2^-32 nats.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_q32: Option<String>,
    /// How much more it gains on a sequence of its own than on others', in 2^-32 nats.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub own_q32: Option<String>,
    /// The standard error of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub own_error_q32: Option<String>,
}

/// An update that counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counted {
    /// In this round.
    pub round: u64,
    /// Its digest.
    pub update: Digest,
}

impl Counted {
    /// Where a run folder has it.
    pub fn file(&self, worker: &str) -> String {
        format!("round-{}/{worker}.update", self.round)
    }
}

/// What a worker carries from round to round by its scores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Standing {
    /// The run.
    pub run: Digest,
    /// The round that left it.
    pub round: u64,
    /// The worker.
    pub worker: String,
    /// The average sign of what its updates gained on its own data beyond others', in 2^-32: see [`super::signals::own`].
    pub own_q32: String,
    /// Rounds that are in it.
    pub own_rounds: u64,
    /// Its last updates that counted, as many as the recipe has remembered, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub counted: Vec<Counted>,
    /// The rating's mean, in 2^-32, where the recipe rates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mu_q32: Option<String>,
    /// The rating's deviation, in 2^-32.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sigma_q32: Option<String>,
}

impl Record for Standing {
    const TYPE: &'static str = "standing";
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
    /// How many would put the median update's gain above noise, where the recipe asks for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub needed_sequences: Option<u64>,
    /// Sequences of the workers' own that were scored on too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub own_sequences: Option<u64>,
    /// Set where the recipe has workers carry their standing, and none were given: they begin anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub standings: Option<StandingsGiven>,
    /// Total loss of theta on the held-out sequences, 32.32 fixed point.
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
