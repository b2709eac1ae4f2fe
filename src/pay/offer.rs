//! The offer: what a judge promises a worker for a task, before anything is locked.

use serde::{Deserialize, Serialize};

use super::amount::Msat;
use super::ids::{Instance, NodeId, OfferId, PaymentHash, RecordHash};
use super::ladder::Ladder;
use super::secret::EscrowSecret;
use crate::artifact::record::{self, Record, Signed};
use crate::artifact::{Digest, WORKER_ID, valid_worker_id};
use crate::error::{Context, Error, Result};

/// Blocks before a payment's expiry in which nothing is locked and nothing settled: time to go on chain.
pub const MARGIN: u32 = 72;

/// The most that a payment may be locked for in all, in blocks: Core Lightning pays no further.
pub const MAX_DELAY: u32 = 2016;

/// Which task a message is about. Every message carries it, and it must be the offer's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// Which try at this round, from 0.
    pub attempt: u32,
    /// The run folder.
    pub instance: Instance,
    /// The offer.
    pub offer: OfferId,
    /// The round.
    pub round: u64,
    /// Digest of the recipe.
    pub run: Digest,
    /// The worker.
    pub worker: String,
}

impl Task {
    /// Refuses another task, by the name of what differs.
    pub fn require(&self, expected: &Task) -> Result<()> {
        let fields = [
            ("run", self.run.to_string(), expected.run.to_string()),
            ("round", self.round.to_string(), expected.round.to_string()),
            ("worker", self.worker.clone(), expected.worker.clone()),
            ("attempt", self.attempt.to_string(), expected.attempt.to_string()),
            ("instance", self.instance.to_string(), expected.instance.to_string()),
            ("offer", self.offer.to_string(), expected.offer.to_string()),
        ];
        match fields.into_iter().find(|(_, found, expected)| found != expected) {
            None => Ok(()),
            Some((field, found, expected)) => {
                Err(Error::refused(format!("{field}: expected {expected}, found {found}")))
            }
        }
    }
}

/// Block heights by which each step must be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heights {
    /// The chain when the offer was made.
    pub offered_at: u32,
    /// All rungs are held, or the worker cancels them all.
    pub lock_by: u32,
    /// The commitment is in a closed list, or the verdict is zero.
    pub commit_by: u32,
    /// The verdict is out.
    pub reveal_by: u32,
    /// The worker has claimed what was earned and cancelled the rest.
    pub claim_by: u32,
}

impl Heights {
    /// Refuses heights out of order, and such as would lock a payment for too long.
    pub fn check(&self, max_delay: u32) -> Result<()> {
        let Heights { offered_at, lock_by, commit_by, reveal_by, claim_by } = *self;
        if !(offered_at < lock_by && lock_by < commit_by && commit_by < reveal_by && reveal_by < claim_by) {
            return Err(Error::data(format!(
                "heights: expected offered_at < lock_by < commit_by < reveal_by < claim_by, found {offered_at}, \
                 {lock_by}, {commit_by}, {reveal_by}, {claim_by}"
            )));
        }
        let delay = u64::from(claim_by - offered_at) + u64::from(MARGIN);
        if delay > u64::from(max_delay.min(MAX_DELAY)) {
            return Err(Error::data(format!(
                "heights: expected payments locked for at most {} blocks, found {delay}",
                max_delay.min(MAX_DELAY)
            )));
        }
        Ok(())
    }

    /// The final CLTV delta of the rungs' invoices. A payment made at any height from the offer on then expires no
    /// earlier than [`MARGIN`] blocks after `claim_by`. (Counted from `lock_by` instead, a payment that is locked at
    /// once would expire within the margin while its claim is still due.)
    pub fn final_delta(&self) -> u32 {
        self.claim_by - self.offered_at + MARGIN
    }

    /// The height that no payment of the rungs may expire before: one that does would be gone before its verdict is
    /// due, however good the work.
    pub fn expires_at(&self) -> u32 {
        self.claim_by.saturating_add(MARGIN)
    }
}

/// An offer, signed by the judge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Offer {
    /// The network that the payments are on, as Core Lightning names it.
    pub network: String,
    /// The run folder that makes it.
    pub instance: Instance,
    /// Digest of the recipe.
    pub run: Digest,
    /// The round.
    pub round: u64,
    /// The worker.
    pub worker: String,
    /// Which try at this round, from 0: hashes are offered once, ever.
    pub attempt: u32,
    /// Who is paid: the worker's node.
    pub payee: NodeId,
    /// Who pays.
    pub payer: NodeId,
    /// Who decides, and alone can reveal.
    pub judge: NodeId,
    /// Whether payer and judge are one.
    pub self_judged: bool,
    /// Digest of the worker's assignment.
    pub assignment: Digest,
    /// Digest of the model that the work begins from.
    pub theta: Digest,
    /// Digest of the error feedback that the worker goes on from, or `zero`.
    pub state_in: String,
    /// The rungs' amounts, the largest first.
    pub rungs_msat: Vec<Msat>,
    /// The rungs' payment hashes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hashes: Vec<PaymentHash>,
    /// By when what must be done.
    pub heights: Heights,
    /// The judge's signature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sig: Option<String>,
}

impl Record for Offer {
    const TYPE: &'static str = "offer";
}

impl Signed for Offer {
    fn sig(&mut self) -> &mut Option<String> {
        &mut self.sig
    }
}

impl Offer {
    /// What the offer is called by: SHA-256 of its canonical terms, hashes and signature apart, so that the hashes can
    /// be made from it.
    pub fn id(&self) -> Result<OfferId> {
        record::hash(&Offer { hashes: Vec::new(), ..self.clone() }).map(OfferId)
    }

    /// What stands in every rung's invoice as its description hash: the worker's signature on an invoice is its
    /// acceptance of these very terms.
    pub fn description_hash(&self) -> Result<RecordHash> {
        record::hash(self).map(RecordHash)
    }

    /// The task that messages about it carry.
    pub fn task(&self) -> Result<Task> {
        Ok(Task {
            attempt: self.attempt,
            instance: self.instance,
            offer: self.id()?,
            round: self.round,
            run: self.run,
            worker: self.worker.clone(),
        })
    }

    fn fill_hashes(&mut self, secret: &EscrowSecret) -> Result<()> {
        let id = self.id()?;
        self.hashes = (0..self.rungs_msat.len() as u32).map(|i| secret.preimage(&id, i).hash()).collect();
        Ok(())
    }

    /// Completes the terms with the hashes that follow from the secret.
    pub fn with_hashes(mut self, secret: &EscrowSecret) -> Result<Offer> {
        self.fill_hashes(secret)?;
        Ok(self)
    }

    /// Its rungs as a ladder.
    pub fn ladder(&self) -> Result<Ladder> {
        Ladder::of(&self.rungs_msat).at("rungs_msat")
    }

    /// `offer to alice of round 3`, for errors.
    pub fn name(&self) -> String {
        let again = if self.attempt > 0 { format!(", attempt {}", self.attempt) } else { String::new() };
        format!("offer to {} of round {}{again}", self.worker, self.round)
    }

    /// Checks what the offer says of itself.
    pub fn check(&self) -> Result<()> {
        let place = self.name();
        if !valid_worker_id(&self.worker) {
            return Err(Error::data(format!("offer: worker: expected {WORKER_ID}, found {:?}", self.worker)));
        }
        super::network::currency(&self.network).at(&place)?;
        self.ladder().at(&place)?;
        if self.hashes.len() != self.rungs_msat.len() {
            let (expected, found) = (self.rungs_msat.len(), self.hashes.len());
            return Err(Error::data(format!("{place}: hashes: expected {expected}, found {found}")));
        }
        let mut hashes = self.hashes.clone();
        hashes.sort_unstable();
        hashes.dedup();
        if hashes.len() != self.hashes.len() {
            return Err(Error::data(format!("{place}: hashes: one stands there twice")));
        }
        if self.self_judged != (self.judge == self.payer) {
            return Err(Error::data(format!("{place}: self_judged: expected {}", self.judge == self.payer)));
        }
        if self.state_in != "zero" && self.state_in.parse::<Digest>().is_err() {
            return Err(Error::data(format!("{place}: state_in: expected a digest or zero")));
        }
        self.heights.check(MAX_DELAY).at(&place)
    }

    /// Refuses an offer that is not whole, or not signed by the judge that the caller has pinned.
    pub fn verify(&self, judge: &NodeId) -> Result<()> {
        self.check()?;
        if self.judge != *judge {
            return Err(Error::refused(format!("{}: judge: expected {judge}, found {}", self.name(), self.judge)));
        }
        if !record::verify(self, &judge.0)? {
            return Err(Error::refused(format!("{}: sig: not a signature of this offer by {judge}", self.name())));
        }
        Ok(())
    }

    /// Whether another offer is for the same task with the same terms, whatever heights and hashes it has.
    pub fn same_terms(&self, other: &Offer) -> bool {
        let bare = |offer: &Offer| Offer {
            heights: Heights { offered_at: 0, lock_by: 0, commit_by: 0, reveal_by: 0, claim_by: 0 },
            hashes: Vec::new(),
            sig: None,
            ..offer.clone()
        };
        bare(self) == bare(other)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{judge, offer, offer_with, refused, secret, worker};
    use super::*;

    #[test]
    fn an_offer_is_called_by_its_terms_and_its_hashes_follow_from_them() {
        let (one, two) = (offer(), offer());
        assert_eq!(one, two);
        assert_eq!(one.id().unwrap(), Offer { hashes: vec![], sig: None, ..one.clone() }.id().unwrap());
        let id = one.id().unwrap();
        assert_eq!(one.hashes[2], secret().preimage(&id, 2).hash());
        one.verify(&judge().id()).unwrap();
    }

    #[test]
    fn whatever_term_differs_every_hash_differs() {
        let plain = offer();
        let changes: [fn(&mut Offer); 12] = [
            |o| o.network = "signet".into(),
            |o| o.instance = Instance([6; 32]),
            |o| o.run = Digest::of(b"other"),
            |o| o.round += 1,
            |o| o.worker = "bob".into(),
            |o| o.attempt += 1,
            |o| o.payee = judge().id(),
            |o| o.assignment = Digest::of(b"other"),
            |o| o.theta = Digest::of(b"other"),
            |o| o.state_in = Digest::of(b"state").to_string(),
            |o| o.rungs_msat[0].0 += 1,
            |o| o.heights.claim_by += 1,
        ];
        for change in changes {
            let other = offer_with(change);
            assert_ne!(other.id().unwrap(), plain.id().unwrap());
            assert!(other.hashes.iter().all(|h| !plain.hashes.contains(h)));
            assert_ne!(other.description_hash().unwrap(), plain.description_hash().unwrap());
        }
    }

    #[test]
    fn an_offer_that_somebody_altered_or_signed_for_the_judge_is_refused() {
        let changes: [fn(&mut Offer); 4] = [
            |o| o.rungs_msat = vec![Msat(16_000), Msat(8000), Msat(4000), Msat(2000)],
            |o| o.hashes.reverse(),
            |o| o.heights.reveal_by += 1,
            |o| o.sig = None,
        ];
        for change in changes {
            let mut offer = offer();
            change(&mut offer);
            refused(offer.verify(&judge().id()), &["sig"]);
        }
        let mut forged = offer();
        record::sign(&mut forged, &worker()).unwrap();
        refused(forged.verify(&judge().id()), &["sig", "alice", "round 3"]);
        refused(offer().verify(&worker().id()), &["judge"]);
    }

    #[test]
    fn offers_that_make_no_sense_are_refused_by_the_name_of_the_field() {
        type Change = fn(&mut Offer);
        let cases: [(Change, &str); 7] = [
            (|o| o.network = "liquid".into(), "network"),
            (|o| o.rungs_msat = vec![Msat(500); 4], "rungs_msat"),
            (|o| o.rungs_msat = vec![Msat(9000), Msat(4000), Msat(2000), Msat(1001)], "rungs_msat"),
            (|o| o.self_judged = true, "self_judged"),
            (|o| o.state_in = "none".into(), "state_in"),
            (|o| o.heights.lock_by = 100, "heights"),
            (|o| o.heights.claim_by = 100 + MAX_DELAY, "heights"),
        ];
        for (change, field) in cases {
            refused(offer_with(change).verify(&judge().id()), &[field]);
        }
        let mut twice = offer();
        twice.hashes[1] = twice.hashes[0];
        refused(twice.check(), &["hashes"]);
        twice.hashes.pop();
        refused(twice.check(), &["hashes"]);
    }

    #[test]
    fn whenever_it_is_locked_a_payment_expires_no_earlier_than_the_margin_after_claim_by() {
        let heights = offer().heights;
        for locked_at in heights.offered_at..heights.lock_by {
            assert!(locked_at + heights.final_delta() >= heights.claim_by + MARGIN);
        }
    }
}
