//! The signed messages that follow an offer: invoices, held, closing, verdict, claimed; and the one that is secret,
//! the preimages.

use serde::{Deserialize, Serialize};

use super::amount::Msat;
use super::ids::{NodeId, Preimage, RecordHash};
use super::offer::{Offer, Task};
use crate::artifact::Digest;
use crate::artifact::record::{self, Record, Signed};
use crate::error::{Context, Error, Result};

/// The worker's invoices for an offer, one a rung.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invoices {
    /// The task.
    pub task: Task,
    /// BOLT 11 invoices in the order of the rungs.
    pub invoices: Vec<String>,
    /// The worker's signature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sig: Option<String>,
}

/// A rung that is held: its payment waits at the worker's node for the preimage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeldRung {
    /// SHA-256 of the invoice.
    pub invoice: RecordHash,
    /// What the HTLCs carry.
    pub msat: Msat,
    /// The smallest height at which an HTLC of it expires.
    pub cltv_expiry: u32,
}

/// The worker's word that every rung is held.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Held {
    /// The task.
    pub task: Task,
    /// In the order of the rungs.
    pub rungs: Vec<HeldRung>,
    /// The chain when it was seen.
    pub height: u32,
    /// The worker's signature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sig: Option<String>,
}

/// The judge's word on which commitments were in, and when. What is not in it came late.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Closing {
    /// The run.
    pub run: Digest,
    /// The round.
    pub round: u64,
    /// The chain when the list was closed.
    pub height: u32,
    /// The hashes of the commitments, ascending.
    pub commitments: Vec<RecordHash>,
    /// The judge.
    pub judge: NodeId,
    /// The judge's signature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sig: Option<String>,
}

/// What a judge decided, for all to see: there is one an offer, forever.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    /// The task.
    pub task: Task,
    /// What the worker was entitled to by the scores.
    pub entitled_msat: Msat,
    /// The rungs that are paid, ascending.
    pub rungs: Vec<u32>,
    /// Their sum.
    pub paid_msat: Msat,
    /// The rest of what was locked.
    pub returned_msat: Msat,
    /// Why nothing is paid, if nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Digest of the scores.
    pub scores: Digest,
    /// Digest of the findings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub findings: Option<Digest>,
    /// Hash of the worker's commitment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commitment: Option<RecordHash>,
    /// Hash of the worker's held record.
    pub held: RecordHash,
    /// The chain when it was decided.
    pub height: u32,
    /// The judge's signature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sig: Option<String>,
}

/// A preimage and its rung.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RungPreimage {
    /// The rung.
    pub rung: u32,
    /// What opens its payment.
    pub preimage: Preimage,
}

/// The preimages of what was earned. For the worker alone: whoever routes a payment could claim with them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preimages {
    /// The task.
    pub task: Task,
    /// By ascending rung; none where nothing was earned.
    pub preimages: Vec<RungPreimage>,
}

/// The worker's word that it has its money.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claimed {
    /// The task.
    pub task: Task,
    /// Hash of the verdict.
    pub verdict: RecordHash,
    /// The rungs that were claimed.
    pub rungs: Vec<u32>,
    /// Their sum.
    pub claimed_msat: Msat,
    /// The chain when it was confirmed.
    pub height: u32,
    /// The worker's signature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sig: Option<String>,
}

macro_rules! signed {
    ($($type:ident $name:literal),*) => {$(
        impl Record for $type {
            const TYPE: &'static str = $name;
        }

        impl Signed for $type {
            fn sig(&mut self) -> &mut Option<String> {
                &mut self.sig
            }
        }
    )*};
}
signed!(Invoices "invoices", Held "held", Closing "closing", Verdict "verdict", Claimed "claimed");

impl Record for Preimages {
    const TYPE: &'static str = "preimages";
}

/// The hash of a message, its signature apart: what other messages call it by.
pub fn hash_of<R: Signed>(message: &R) -> Result<RecordHash> {
    record::hash(message).map(RecordHash)
}

/// Refuses a message that its author has not signed.
fn require_sig<R: Signed + Clone>(message: &R, author: &NodeId) -> Result<()> {
    if record::verify(message, &author.0)? {
        return Ok(());
    }
    Err(Error::refused(format!("sig: not a signature of this record by {author}")))
}

impl Invoices {
    /// Refuses what is not the payee's own message about this offer; the invoices are checked one by one, see
    /// [`super::invoice::check`].
    pub fn verify(&self, offer: &Offer) -> Result<()> {
        let place = format!("invoices for the {}", offer.name());
        self.task.require(&offer.task()?).at(&place)?;
        let (expected, found) = (offer.rungs_msat.len(), self.invoices.len());
        if expected != found {
            return Err(Error::refused(format!("{place}: invoices: expected {expected}, found {found}")));
        }
        require_sig(self, &offer.payee).at(place)
    }
}

impl Held {
    /// Refuses what is not the payee's word that every rung of this offer is held for its whole amount.
    pub fn verify(&self, offer: &Offer) -> Result<()> {
        let place = format!("held record for the {}", offer.name());
        self.task.require(&offer.task()?).at(&place)?;
        let (expected, found) = (offer.rungs_msat.len(), self.rungs.len());
        if expected != found {
            return Err(Error::refused(format!("{place}: rungs: expected {expected}, found {found}")));
        }
        for (i, (rung, msat)) in self.rungs.iter().zip(&offer.rungs_msat).enumerate() {
            if rung.msat != *msat {
                return Err(Error::refused(format!("{place}: rung {i}: expected {msat}, found {}", rung.msat)));
            }
        }
        let heights = offer.heights;
        if !(heights.offered_at..=heights.lock_by).contains(&self.height) {
            return Err(Error::refused(format!(
                "{place}: height: expected {} to {}, found {}",
                heights.offered_at, heights.lock_by, self.height
            )));
        }
        require_sig(self, &offer.payee).at(place)
    }

    /// The smallest height at which any of it expires.
    pub fn expires_at(&self) -> u32 {
        self.rungs.iter().map(|r| r.cltv_expiry).min().unwrap_or(0)
    }
}

impl Closing {
    /// Refuses a list that the pinned judge did not close.
    pub fn verify(&self, judge: &NodeId) -> Result<()> {
        let place = format!("closing of round {}", self.round);
        if self.judge != *judge {
            return Err(Error::refused(format!("{place}: judge: expected {judge}, found {}", self.judge)));
        }
        if !self.commitments.is_sorted() {
            return Err(Error::data(format!("{place}: commitments: expected them in ascending order")));
        }
        require_sig(self, judge).at(place)
    }

    /// Whether a commitment is in it.
    pub fn contains(&self, commitment: &RecordHash) -> bool {
        self.commitments.binary_search(commitment).is_ok()
    }
}

impl Verdict {
    /// Refuses what is not the judge's verdict on this offer, or does not add up.
    pub fn verify(&self, offer: &Offer) -> Result<()> {
        let place = format!("verdict on the {}", offer.name());
        self.task.require(&offer.task()?).at(&place)?;
        let count = offer.rungs_msat.len() as u32;
        if !self.rungs.windows(2).all(|w| w[0] < w[1]) || self.rungs.iter().any(|&i| i >= count) {
            return Err(Error::data(format!(
                "{place}: rungs: expected ascending numbers below {count}, found {:?}",
                self.rungs
            )));
        }
        let ladder = offer.ladder()?;
        let paid = ladder.sum(&self.rungs);
        if (self.paid_msat, self.returned_msat) != (paid, ladder.maximum().minus(paid)) {
            return Err(Error::data(format!(
                "{place}: expected {paid} paid and {} returned by its rungs, found {} and {}",
                ladder.maximum().minus(paid),
                self.paid_msat,
                self.returned_msat
            )));
        }
        require_sig(self, &offer.judge).at(place)
    }
}

impl Preimages {
    /// Refuses preimages that are not those of the verdict's rungs.
    pub fn verify(&self, offer: &Offer, verdict: &Verdict) -> Result<()> {
        let place = format!("preimages for the {}", offer.name());
        self.task.require(&offer.task()?).at(&place)?;
        let rungs: Vec<u32> = self.preimages.iter().map(|p| p.rung).collect();
        if rungs != verdict.rungs {
            return Err(Error::refused(format!("{place}: expected rungs {:?}, found {rungs:?}", verdict.rungs)));
        }
        for found in &self.preimages {
            let hash = offer.hashes[found.rung as usize];
            if found.preimage.hash() != hash {
                return Err(Error::refused(format!("{place}: rung {}: not the preimage of {hash}", found.rung)));
            }
        }
        Ok(())
    }
}
