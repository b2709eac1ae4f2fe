//! What a replay found.

use lightning::bitcoin::secp256k1::PublicKey;
use serde::{Deserialize, Serialize};

use super::near::Nearness;
use crate::artifact::record::{self, Record, Signed, Signer};
use crate::artifact::{Digest, key};
use crate::error::{Error, Result};

/// The outcome of recomputing one update.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// The run: the recipe's digest.
    pub run: Digest,
    /// The round of the assignment.
    pub round: u64,
    /// The worker of the assignment.
    pub worker: String,
    /// The content digest of the update that was checked.
    pub update: Digest,
    /// The worker's earlier update whose states it was checked to go on from; none where it began from zero.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous: Option<Digest>,
    /// Set where the worker's states were taken to be zero for want of others: in a round above the first, neither they nor
    /// its last update that counted were given, nor was it said that there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<StateGiven>,
    /// The verdict.
    pub finding: Verdict,
    /// What differs first: recipe, model, shard, state, a tensor by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub differs: Option<String>,
    /// What the replay arrived at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// What the update says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// Inner steps that were run again.
    pub steps: u64,
    /// What was drawn, where only a part was checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample: Option<Sample>,
    /// How near an update is that is not equal, where a tolerance was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub near: Option<Nearness>,
    /// The public key of whoever vouches for it, 66 hex digits; none where nobody does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validator: Option<String>,
    /// Its signature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sig: Option<String>,
}

/// Where the states that a replay began with came from, where nobody said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StateGiven {
    /// None was given: zero.
    AssumedZero,
}

/// What a sampled replay looked at, and what it may have missed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// What drew the segments and chunks.
    pub beacon: Digest,
    /// The segments that were run again, ascending, counted from 0.
    pub segments: Vec<u32>,
    /// How many there are.
    pub of_segments: u32,
    /// Codec chunks that were checked; all of them where the whole error feedback was at hand.
    pub chunks: u64,
    /// How many there are.
    pub of_chunks: u64,
    /// Bytes that the worker had to show beside its update.
    pub opened_bytes: u64,
    /// The chance, in parts per million and rounded up, that a cheat in 1, 2, 3, ... segments would have been missed. One in the
    /// last segment never is.
    pub missed_ppm: Vec<u64>,
    /// The same for a cheat in 1, 10, 100, ... codec chunks.
    pub missed_chunks_ppm: Vec<u64>,
}

/// Whether an update is what its inputs make it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Every byte.
    Exact,
    /// Every byte of what was drawn.
    Sampled,
    /// Within a tolerance, for updates of foreign engines; never equality.
    Near,
    /// Not.
    Mismatch,
}

impl Finding {
    /// Whether both are the same but for what their makers had to assume, and for who vouches.
    pub fn agrees(&self, other: &Finding) -> bool {
        let (validator, sig) = (other.validator.clone(), other.sig.clone());
        Finding { state: other.state, validator, sig, ..self.clone() } == *other
    }

    /// Signs it: whoever does so vouches for it.
    pub fn sign(&mut self, signer: &dyn Signer) -> Result<()> {
        self.validator = Some(signer.public().to_string());
        record::sign(self, signer)
    }

    /// Whose word it is, signature checked; `None` where nobody signed it.
    pub fn signer(&self) -> Result<Option<PublicKey>> {
        let said = match (&self.validator, &self.sig) {
            (None, None) => return Ok(None),
            (Some(said), Some(_)) => said,
            _ => return Err(Error::data("a signature and whose it is belong together")),
        };
        let key = key::parse_public(said)?;
        match record::verify(self, &key)? {
            true => Ok(Some(key)),
            false => Err(Error::refused(format!("{key} did not sign it"))),
        }
    }
}

impl Signed for Finding {
    fn sig(&mut self) -> &mut Option<String> {
        &mut self.sig
    }
}

impl Record for Finding {
    const TYPE: &'static str = "finding";
}
