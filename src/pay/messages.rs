//! The signed messages that follow an offer: invoices, held, closing, verdict, claimed; and the one that is secret,
//! the preimages.

use serde::{Deserialize, Serialize};

use super::amount::Msat;
use super::arrivals::ArrivalsEnd;
use super::ids::{NodeId, Preimage, RecordHash};
use super::invoice;
use super::offer::{Offer, Task};
use crate::artifact::Digest;
use crate::artifact::beacon::NamedBlock;
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
    /// Which try at the round: a redo has a list of its own.
    pub attempt: u32,
    /// The chain when the list was closed.
    pub height: u32,
    /// The hashes of the commitments, ascending.
    pub commitments: Vec<RecordHash>,
    /// Up to where the order is signed in which they came, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arrivals: Option<ArrivalsEnd>,
    /// The block that the round's second beacon will come from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block: Option<NamedBlock>,
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
    /// The validators' signed scores that these were merged from, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub votes: Option<Votes>,
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

/// The k of n signed scores that a verdict rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Votes {
    /// The votes of those who signed (k).
    pub signed: u64,
    /// All votes that the recipe gives out (n).
    pub of: u64,
    /// Hashes of the endorsements, by ascending key of their validators.
    pub endorsements: Vec<RecordHash>,
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

    /// Refuses, by the name of the field, what a payer does not pay: what is not the payee's own message, or holds an
    /// invoice that is not what the offer asks for. `now` is the time as seconds since 1970; without it each invoice is
    /// looked at as when it was made.
    pub fn accept(&self, offer: &Offer, now: Option<u64>) -> Result<()> {
        self.verify(offer)?;
        for (rung, bolt11) in (0u32..).zip(&self.invoices) {
            let made = || Ok(invoice::parse(bolt11)?.duration_since_epoch().as_secs());
            let place = || format!("invoice for rung {rung} of the {}", offer.name());
            let now = now.map_or_else(made, Ok).map_err(|e: Error| e.at(place()))?;
            invoice::check(offer, rung, bolt11, now)?;
        }
        Ok(())
    }
}

impl Held {
    /// Of what was sent by anybody, the record that all of an offer is held: the last one that is the payee's and whole; or
    /// why there is none. What lies beside it does not matter, to who settles as to who audits.
    pub fn on<'h>(offer: &Offer, sent: &'h [Held]) -> Result<&'h Held> {
        let mut found = Err(Error::refused(format!("{}: no held record: not all of it was locked", offer.name())));
        for held in sent.iter().filter(|held| held.task.worker == offer.worker) {
            match held.verify(offer) {
                Ok(()) => found = Ok(held),
                Err(error) if found.is_err() => found = Err(error),
                Err(_) => {}
            }
        }
        found
    }

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
            if rung.cltv_expiry < offer.heights.expires_at() {
                return Err(Error::refused(format!(
                    "{place}: rung {i}: cltv_expiry: expected {} at least, found {}",
                    offer.heights.expires_at(),
                    rung.cltv_expiry
                )));
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
    /// Of what was sent by anybody, the list that the judge of an offer has closed for it. A forged one hides no true one.
    pub fn on<'c>(offer: &Offer, sent: &'c [Closing]) -> Option<&'c Closing> {
        let this = (offer.run, offer.round, offer.attempt);
        let mut of_offer = sent.iter().filter(|c| (c.run, c.round, c.attempt) == this);
        of_offer.find(|c| c.verify(&offer.judge).is_ok())
    }

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

impl Claimed {
    /// Refuses what is not the payee's word that it has what this verdict paid.
    pub fn verify(&self, offer: &Offer, verdict: &Verdict) -> Result<()> {
        let place = format!("claimed by {}", offer.worker);
        self.task.require(&offer.task()?).at(&place)?;
        let fields = [
            ("verdict", hash_of(verdict)?.to_string(), self.verdict.to_string()),
            ("claimed_msat", verdict.paid_msat.to_string(), self.claimed_msat.to_string()),
            ("rungs", format!("{:?}", verdict.rungs), format!("{:?}", self.rungs)),
        ];
        if let Some((field, expected, found)) = fields.into_iter().find(|(_, expected, found)| expected != found) {
            return Err(Error::refused(format!("{place}: {field}: expected {expected}, found {found}")));
        }
        require_sig(self, &offer.payee).at(place)
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

#[cfg(test)]
mod tests {
    use super::super::ids::Instance;
    use super::super::testing::{
        held, held_with, invoices_message, judge, offer, offer_with, payer, refused, secret, worker,
    };
    use super::*;

    type Change = fn(&mut Task);

    fn tasks() -> [(Change, &'static str); 6] {
        [
            (|t| t.run = Digest::of(b"other"), "run"),
            (|t| t.round += 1, "round"),
            (|t| t.attempt += 1, "attempt"),
            (|t| t.worker = "bob".into(), "worker"),
            (|t| t.instance = Instance([0; 32]), "instance"),
            (|t| t.offer = offer_with(|o| o.round = 9).id().unwrap(), "offer"),
        ]
    }

    #[test]
    fn invoices_of_another_task_are_refused_by_the_field_that_differs() {
        for (change, field) in tasks() {
            let mut message = invoices_message(&offer());
            change(&mut message.task);
            record::sign(&mut message, &worker()).unwrap();
            refused(message.verify(&offer()), &[field]);
        }
        invoices_message(&offer()).verify(&offer()).unwrap();
    }

    #[test]
    fn invoices_too_few_too_many_or_signed_by_another_are_refused() {
        let offer = offer();
        let mut fewer = invoices_message(&offer);
        fewer.invoices.pop();
        record::sign(&mut fewer, &worker()).unwrap();
        refused(fewer.verify(&offer), &["invoices for the offer to alice of round 3: invoices: expected 4, found 3"]);
        let mut more = invoices_message(&offer);
        more.invoices.push(more.invoices[0].clone());
        record::sign(&mut more, &worker()).unwrap();
        refused(more.verify(&offer), &["invoices: expected 4, found 5"]);
        let mut forged = invoices_message(&offer);
        record::sign(&mut forged, &payer()).unwrap();
        refused(forged.verify(&offer), &["sig"]);
        let mut altered = invoices_message(&offer);
        altered.invoices.swap(0, 1);
        refused(altered.verify(&offer), &["sig"]);
    }

    #[test]
    fn a_forged_stale_or_foreign_held_record_is_refused() {
        let offer = offer();
        held(&offer).verify(&offer).unwrap();
        for (change, field) in tasks() {
            refused(held_with(&offer, |h| change(&mut h.task)).verify(&offer), &[field]);
        }
        let mut forged = held(&offer);
        record::sign(&mut forged, &payer()).unwrap();
        refused(forged.verify(&offer), &["sig"]);
        let mut altered = held(&offer);
        altered.rungs[2].cltv_expiry += 1000;
        refused(altered.verify(&offer), &["sig"]);
        refused(
            held_with(&offer, |h| h.rungs.truncate(3)).verify(&offer),
            &["held record for the offer to alice of round 3: rungs: expected 4, found 3"],
        );
        refused(
            held_with(&offer, |h| h.rungs[3].msat.0 -= 1).verify(&offer),
            &["held record for the offer to alice of round 3: rung 3: expected 10000 msat, found 9999 msat"],
        );
        // It would expire before the verdict is due: nothing to work for.
        let least = offer.heights.claim_by + 72;
        held_with(&offer, |h| h.rungs[3].cltv_expiry = least).verify(&offer).unwrap();
        refused(
            held_with(&offer, |h| h.rungs[3].cltv_expiry = least - 1).verify(&offer),
            &[&format!(
                "held record for the offer to alice of round 3: rung 3: cltv_expiry: expected {least} at least, found {}",
                least - 1
            )],
        );
        refused(
            held_with(&offer, |h| h.height = 99).verify(&offer),
            &["held record for the offer to alice of round 3: height: expected 100 to 118, found 99"],
        );
        refused(held_with(&offer, |h| h.height = 119).verify(&offer), &["height"]);
        let stale = held(&offer_with(|o| o.attempt = 1));
        refused(stale.verify(&offer), &["attempt"]);
    }

    fn verdict(change: impl FnOnce(&mut Verdict)) -> Verdict {
        let offer = offer();
        let mut verdict = Verdict {
            task: offer.task().unwrap(),
            entitled_msat: Msat(125_000),
            rungs: vec![0, 1],
            paid_msat: Msat(120_000),
            returned_msat: Msat(30_000),
            reason: None,
            scores: Digest::of(b"scores"),
            votes: None,
            findings: None,
            commitment: None,
            held: hash_of(&held(&offer)).unwrap(),
            height: 300,
            sig: None,
        };
        change(&mut verdict);
        record::sign(&mut verdict, &judge()).unwrap();
        verdict
    }

    #[test]
    fn a_verdict_that_does_not_add_up_or_is_not_the_judges_is_refused() {
        let offer = offer();
        verdict(|_| {}).verify(&offer).unwrap();
        for (change, field) in tasks() {
            refused(verdict(|v| change(&mut v.task)).verify(&offer), &[field]);
        }
        refused(
            verdict(|v| v.rungs = vec![1, 0]).verify(&offer),
            &["verdict on the offer to alice of round 3: rungs: expected ascending numbers below 4, found [1, 0]"],
        );
        refused(verdict(|v| v.rungs = vec![0, 4]).verify(&offer), &["rungs"]);
        refused(verdict(|v| v.rungs = vec![0, 0]).verify(&offer), &["rungs"]);
        refused(verdict(|v| v.paid_msat.0 += 1).verify(&offer), &["paid"]);
        refused(
            verdict(|v| v.returned_msat.0 += 1).verify(&offer),
            &["verdict on the offer to alice of round 3: expected ", " paid and ", " returned by its rungs, found "],
        );
        let mut forged = verdict(|_| {});
        record::sign(&mut forged, &payer()).unwrap();
        refused(forged.verify(&offer), &["sig"]);
    }

    #[test]
    fn preimages_are_those_of_the_verdict_and_no_others() {
        let (offer, verdict) = (offer(), verdict(|_| {}));
        let id = offer.id().unwrap();
        let of = |rungs: &[u32]| Preimages {
            task: offer.task().unwrap(),
            preimages: rungs
                .iter()
                .map(|&rung| RungPreimage { rung, preimage: secret().preimage(&id, rung) })
                .collect(),
        };
        of(&[0, 1]).verify(&offer, &verdict).unwrap();
        refused(
            of(&[0]).verify(&offer, &verdict),
            &["preimages for the offer to alice of round 3: expected rungs [0, 1], found [0]"],
        );
        refused(of(&[0, 1, 2]).verify(&offer, &verdict), &["rungs"]);
        let mut swapped = of(&[0, 1]);
        swapped.preimages[1].preimage = swapped.preimages[0].preimage;
        refused(
            swapped.verify(&offer, &verdict),
            &["preimages for the offer to alice of round 3: rung 1: not the preimage of "],
        );
        for (change, field) in tasks() {
            let mut foreign = of(&[0, 1]);
            change(&mut foreign.task);
            refused(foreign.verify(&offer, &verdict), &[field]);
        }
    }

    #[test]
    fn a_published_verdict_holds_no_preimage() {
        let id = offer().id().unwrap();
        let text = record::line(&verdict(|_| {})).unwrap();
        for rung in 0..4 {
            assert!(!text.contains(&hex::encode(secret().preimage(&id, rung).0)));
        }
    }
}
