//! Commitments: a worker signs what it made before anybody sees it, and opens it later.

use lightning::bitcoin::secp256k1::PublicKey;
use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::record::{self, Record, Signed};
use crate::error::Result;

/// A signed commitment to one update.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Commitment {
    /// The run.
    pub run: Digest,
    /// The round.
    pub round: u64,
    /// The worker.
    pub worker: String,
    /// Digest over run, round, worker, update digest and nonce.
    pub commitment: Digest,
    /// The escrow offer that the work was done for, in hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offer: Option<String>,
    /// Hash of the last arrival that the worker saw before it committed; zeros where it saw that there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen: Option<Digest>,
    /// The signature of the worker's key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sig: Option<String>,
}

impl Record for Commitment {
    const TYPE: &'static str = "commitment";
}

impl Signed for Commitment {
    fn sig(&mut self) -> &mut Option<String> {
        &mut self.sig
    }
}

/// What opens a commitment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reveal {
    /// The run.
    pub run: Digest,
    /// The round.
    pub round: u64,
    /// The worker.
    pub worker: String,
    /// The update's content digest.
    pub update: Digest,
    /// The nonce.
    pub nonce: Digest,
}

impl Record for Reveal {
    const TYPE: &'static str = "reveal";
}

/// A commitment to an update, not signed yet, and the record that opens it. The nonce must be one that nobody else can
/// guess, and the same whenever the same is committed to.
pub fn commit(run: Digest, round: u64, worker: &str, update: Digest, nonce: Digest) -> (Commitment, Reveal) {
    let reveal = Reveal { run, round, worker: worker.to_owned(), update, nonce };
    let commitment = reveal.commitment();
    (Commitment { run, round, worker: worker.to_owned(), commitment, offer: None, seen: None, sig: None }, reveal)
}

impl Reveal {
    /// The commitment that this opens. Bound to the worker: a commitment copied by another opens to nothing.
    fn commitment(&self) -> Digest {
        let parts: [&[u8]; 5] =
            [&self.run.0, &self.round.to_le_bytes(), self.worker.as_bytes(), &self.update.0, &self.nonce.0];
        Digest::of_parts("l402/commitment/1", &parts)
    }
}

impl Commitment {
    /// Whether this opens the commitment.
    pub fn opened_by(&self, reveal: &Reveal) -> bool {
        (self.run, self.round, &self.worker) == (reveal.run, reveal.round, &reveal.worker)
            && self.commitment == reveal.commitment()
    }

    /// Whether it carries a signature by this pinned key.
    pub fn signed_by(&self, key: &PublicKey) -> Result<bool> {
        record::verify(self, key)
    }
}
