//! The verdict: from scores and signed records to the rungs that are paid. A function of its input alone.

use super::amount::Msat;
use super::messages::{Closing, Held, Verdict, Votes, hash_of};
use super::offer::{MARGIN, Offer};
use crate::artifact::record;
use crate::artifact::{Commitment, Digest, Reveal};
use crate::error::{Context, Error, Result};

/// What the scores say of one update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The update's digest.
    pub update: Digest,
    /// What it is entitled to.
    pub entitled: Msat,
    /// Why it does not count, if it does not.
    pub reason: Option<String>,
}

/// Everything that a verdict rests on.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// The offer.
    pub offer: &'a Offer,
    /// The worker's word that all is held.
    pub held: &'a Held,
    /// The list of commitments, as it was closed.
    pub closing: Option<&'a Closing>,
    /// What the workers committed to.
    pub commitments: &'a [Commitment],
    /// What opens the commitments.
    pub reveals: &'a [Reveal],
    /// The worker's score; none where it sent nothing.
    pub score: Option<&'a Evidence>,
    /// Digest of the scores.
    pub scores: Digest,
    /// The signed scores that they were merged from.
    pub votes: Option<&'a Votes>,
    /// Digest of the findings.
    pub findings: Option<Digest>,
    /// The chain.
    pub height: u32,
}

/// Decides a case; the verdict is not signed yet.
///
/// Refused, and nothing decided: an invalid held record, and payments that expire within [`MARGIN`] blocks. Paid
/// nothing, with the reason in the verdict: no commitment in time, one that does not open to the update that was
/// scored, an update that does not count.
pub fn decide(case: &Case<'_>) -> Result<Verdict> {
    let offer = case.offer;
    case.held.verify(offer)?;
    let expiry = case.held.expires_at();
    if case.height.saturating_add(MARGIN) > expiry {
        return Err(Error::refused(format!(
            "{}: expected {MARGIN} blocks until the payments expire at {expiry}, found height {}",
            offer.name(),
            case.height
        )));
    }
    let ladder = offer.ladder()?;
    let (entitled, commitment, reason) = match earned(case)? {
        Ok((entitled, commitment)) => (entitled, Some(hash_of(commitment)?), None),
        Err(reason) => (Msat::ZERO, None, Some(reason)),
    };
    let rungs = ladder.payable(entitled);
    let paid = ladder.sum(&rungs);
    Ok(Verdict {
        task: offer.task()?,
        entitled_msat: entitled,
        rungs,
        paid_msat: paid,
        returned_msat: ladder.maximum().minus(paid),
        reason,
        scores: case.scores,
        votes: case.votes.cloned(),
        findings: case.findings,
        commitment,
        held: hash_of(case.held)?,
        height: case.height,
        sig: None,
    })
}

/// The entitlement and the commitment that it rests on, or why there is none.
fn earned<'a>(case: &Case<'a>) -> Result<std::result::Result<(Msat, &'a Commitment), String>> {
    let offer = case.offer;
    let no = |reason: String| Ok(Err(reason));
    let Some(closing) = case.closing else {
        // A verdict is for ever: while a commitment may still come there is none.
        if case.height <= offer.heights.commit_by {
            return Err(Error::refused(format!(
                "{}: no list of commitments is closed yet, and until height {} one can be, found {}",
                offer.name(),
                offer.heights.commit_by,
                case.height
            ))
            .hint("commit --close makes it"));
        }
        return no("no list of commitments was closed".into());
    };
    closing.verify(&offer.judge)?;
    if (closing.run, closing.round, closing.attempt) != (offer.run, offer.round, offer.attempt) {
        return Err(Error::refused(format!(
            "closing of round {}, attempt {}: expected round {}, attempt {}",
            closing.round, closing.attempt, offer.round, offer.attempt
        )));
    }
    if closing.height > offer.heights.commit_by {
        return no(format!("commitments closed at height {}, after {}", closing.height, offer.heights.commit_by));
    }
    let Some(score) = case.score else {
        return no("no update was scored".into());
    };
    // The scored update decides which of a worker's commitments is meant: one of them, in time, for this offer.
    let id = offer.id()?;
    let mut why = format!("no commitment by height {}", offer.heights.commit_by);
    let own = |c: &&Commitment| {
        (c.run, c.round, &c.worker) == (offer.run, offer.round, &offer.worker)
            && c.offer.as_deref() == Some(id.to_string().as_str())
    };
    // Who commits to several updates could open whichever looks best once it has seen the others'.
    let mut listed = Vec::new();
    for commitment in case.commitments.iter().filter(own) {
        let hash = hash_of(commitment)?;
        if closing.contains(&hash) && !listed.contains(&hash) && record::verify(commitment, &offer.payee.0)? {
            listed.push(hash);
        }
    }
    if listed.len() > 1 {
        return no(format!("{} commitments for one offer: expected one", listed.len()));
    }
    for commitment in case.commitments.iter().filter(own) {
        if !record::verify(commitment, &offer.payee.0)? {
            why = "the commitment is not signed by the worker's node".into();
        } else if !closing.contains(&hash_of(commitment)?) {
            why = format!("the commitment came after height {}", closing.height);
        } else if case.height <= offer.heights.reveal_by && !case.reveals.iter().any(|r| commitment.opened_by(r)) {
            // A verdict is for ever, and what opens the commitment may be on its way.
            return Err(Error::try_again(format!(
                "{}: nothing opens the commitment yet, and until height {} something may, found {}",
                offer.name(),
                offer.heights.reveal_by,
                case.height
            )));
        } else if !case.reveals.iter().any(|r| r.update == score.update && commitment.opened_by(r)) {
            why = "the commitment does not open to the update that was scored".into();
        } else {
            return Ok(match &score.reason {
                Some(reason) => Err(reason.clone()),
                None => Ok((score.entitled, commitment)),
            });
        }
    }
    no(why).at(offer.name())
}

#[cfg(test)]
mod tests {
    use super::super::ids::RecordHash;
    use super::super::testing::{held, held_with, judge, offer, offer_with, payer, refused, worker};
    use super::*;
    use crate::artifact;

    /// A round that went well, to be spoilt.
    struct Round {
        offer: Offer,
        held: Held,
        closing: Closing,
        commitments: Vec<Commitment>,
        reveals: Vec<Reveal>,
        score: Option<Evidence>,
        height: u32,
    }

    fn commitment(offer: &Offer, update: &[u8], nonce: &[u8]) -> (Commitment, Reveal) {
        let (mut commitment, reveal) =
            artifact::commit(offer.run, offer.round, &offer.worker, Digest::of(update), Digest::of(nonce));
        commitment.offer = Some(offer.id().unwrap().to_string());
        record::sign(&mut commitment, &worker()).unwrap();
        (commitment, reveal)
    }

    fn closing(offer: &Offer, commitments: &[Commitment], height: u32) -> Closing {
        let mut hashes: Vec<RecordHash> = commitments.iter().map(|c| hash_of(c).unwrap()).collect();
        hashes.sort_unstable();
        let (run, round, attempt) = (offer.run, offer.round, offer.attempt);
        let mut closing = Closing {
            run,
            round,
            attempt,
            height,
            commitments: hashes,
            arrivals: None,
            block: None,
            judge: judge().id(),
            sig: None,
        };
        record::sign(&mut closing, &judge()).unwrap();
        closing
    }

    impl Round {
        fn new() -> Round {
            let offer = offer();
            let (commitment, reveal) = commitment(&offer, b"update", b"nonce");
            let commitments = vec![commitment];
            let score = Evidence { update: Digest::of(b"update"), entitled: Msat(99_999), reason: None };
            Round {
                held: held(&offer),
                closing: closing(&offer, &commitments, 262),
                commitments,
                reveals: vec![reveal],
                score: Some(score),
                offer,
                height: 300,
            }
        }

        fn decide(&self) -> Result<Verdict> {
            decide(&Case {
                offer: &self.offer,
                held: &self.held,
                closing: Some(&self.closing),
                commitments: &self.commitments,
                reveals: &self.reveals,
                score: self.score.as_ref(),
                scores: Digest::of(b"scores"),
                votes: None,
                findings: None,
                height: self.height,
            })
        }

        #[track_caller]
        fn pays_nothing(&self, why: &str) {
            let verdict = self.decide().unwrap();
            assert_eq!((verdict.paid_msat, verdict.rungs.len()), (Msat::ZERO, 0));
            let reason = verdict.reason.unwrap();
            assert!(reason.contains(why), "{reason}");
        }
    }

    #[test]
    fn what_was_earned_is_paid_in_rungs_and_the_rest_goes_back() {
        let verdict = Round::new().decide().unwrap();
        assert_eq!(verdict.rungs, [0, 3]);
        assert_eq!((verdict.paid_msat, verdict.returned_msat), (Msat(90_000), Msat(60_000)));
        assert_eq!(verdict.entitled_msat, Msat(99_999));
        assert!(verdict.reason.is_none() && verdict.commitment.is_some());
    }

    #[test]
    fn a_commitment_that_came_late_earns_nothing() {
        let mut round = Round::new();
        round.closing = closing(&round.offer, &[], 262);
        round.pays_nothing("came after height 262");
        let mut round = Round::new();
        round.closing = closing(&round.offer, &round.commitments, 263);
        round.pays_nothing("closed at height 263");
        let mut round = Round::new();
        round.commitments.clear();
        round.pays_nothing("no commitment by height 262");
    }

    #[test]
    fn a_commitment_by_another_for_another_offer_or_to_another_update_earns_nothing() {
        let mut round = Round::new();
        record::sign(&mut round.commitments[0], &payer()).unwrap();
        round.closing = closing(&round.offer, &round.commitments, 262);
        round.pays_nothing("not signed by the worker's node");

        let mut round = Round::new();
        let stale = commitment(&offer_with(|o| o.attempt = 1), b"update", b"nonce");
        (round.commitments, round.reveals) = (vec![stale.0], vec![stale.1]);
        round.closing = closing(&round.offer, &round.commitments, 262);
        round.pays_nothing("no commitment");

        let mut round = Round::new();
        round.score.as_mut().unwrap().update = Digest::of(b"bobs update");
        round.pays_nothing("does not open to the update");

        // Another worker's commitment and its opening, relabelled.
        let mut round = Round::new();
        let bobs = commitment(&offer_with(|o| o.worker = "bob".into()), b"update", b"bobs nonce");
        round.commitments[0].commitment = bobs.0.commitment;
        record::sign(&mut round.commitments[0], &worker()).unwrap();
        round.closing = closing(&round.offer, &round.commitments, 262);
        round.reveals = vec![Reveal { worker: "alice".into(), ..bobs.1 }];
        // What opens it may still come, until the verdict is due.
        refused(round.decide(), &["nothing opens the commitment yet, and until height ", " something may, found "]);
        round.height = round.offer.heights.reveal_by + 1;
        round.pays_nothing("does not open to the update");
    }

    #[test]
    fn an_update_that_does_not_count_earns_nothing_and_the_verdict_says_why() {
        let mut round = Round::new();
        round.score.as_mut().unwrap().reason = Some("replay found it different".into());
        round.pays_nothing("replay found it different");
        round.score = None;
        round.pays_nothing("no update was scored");
    }

    #[test]
    fn before_all_is_held_nothing_is_decided() {
        let mut round = Round::new();
        round.held = held_with(&round.offer, |h| h.rungs.truncate(3));
        refused(round.decide(), &["rungs: expected 4, found 3"]);
    }

    #[test]
    fn within_the_margin_of_the_expiry_nothing_is_decided() {
        let mut round = Round::new();
        let expiry = round.held.expires_at();
        round.height = expiry - MARGIN;
        round.decide().unwrap();
        round.height += 1;
        refused(round.decide(), &[&format!("expected 72 blocks until the payments expire at {expiry}, found height ")]);
        // The rung that expires first decides.
        round.held = held_with(&round.offer, |h| h.rungs[3].cltv_expiry = expiry - 2);
        round.height = expiry - MARGIN - 1;
        refused(round.decide(), &["72 blocks", &(expiry - 2).to_string()]);
    }

    #[test]
    fn before_the_list_is_closed_nothing_is_decided_for_ever() {
        let round = Round::new();
        let decide_at = |height| {
            decide(&Case {
                offer: &round.offer,
                held: &round.held,
                closing: None,
                commitments: &round.commitments,
                reveals: &round.reveals,
                score: round.score.as_ref(),
                scores: Digest::of(b"scores"),
                votes: None,
                findings: None,
                height,
            })
        };
        refused(decide_at(262), &["no list of commitments is closed yet, and until height 262 one can be, found 262"]);
        assert_eq!(decide_at(263).unwrap().paid_msat, Msat::ZERO);
    }

    #[test]
    fn a_worker_that_commits_to_several_updates_to_choose_from_later_earns_nothing() {
        let mut round = Round::new();
        let other = commitment(&round.offer, b"another update", b"another nonce");
        round.commitments.push(other.0);
        // The same one twice is one.
        round.commitments.push(round.commitments[0].clone());
        round.closing = closing(&round.offer, &round.commitments[..1], 262);
        assert_eq!(round.decide().unwrap().rungs, [0, 3]);
        round.closing = closing(&round.offer, &round.commitments, 262);
        round.pays_nothing("2 commitments for one offer: expected one");
        // One that somebody else made in its name takes nothing from it.
        record::sign(&mut round.commitments[1], &payer()).unwrap();
        assert_eq!(round.decide().unwrap().rungs, [0, 3]);
    }

    #[test]
    fn a_list_that_somebody_else_closed_decides_nothing() {
        let mut round = Round::new();
        record::sign(&mut round.closing, &worker()).unwrap();
        refused(round.decide(), &["closing", "sig"]);
        let mut round = Round::new();
        round.closing.round += 1;
        record::sign(&mut round.closing, &judge()).unwrap();
        refused(round.decide(), &["round 3"]);
        let mut round = Round::new();
        round.closing.attempt += 1;
        record::sign(&mut round.closing, &judge()).unwrap();
        refused(round.decide(), &["closing of round 3, attempt ", ": expected round 3, attempt 0"]);
    }
}
