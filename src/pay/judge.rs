//! The verdict: from scores and signed records to the rungs that are paid. A function of its input alone.

use super::amount::Msat;
use super::messages::{Closing, Held, Verdict, hash_of};
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
        return no("no list of commitments was closed".into());
    };
    closing.verify(&offer.judge)?;
    if (closing.run, closing.round) != (offer.run, offer.round) {
        return Err(Error::refused(format!("closing of round {}: expected round {}", closing.round, offer.round)));
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
    for commitment in case.commitments.iter().filter(|c| {
        (c.run, c.round, &c.worker) == (offer.run, offer.round, &offer.worker)
            && c.offer.as_deref() == Some(id.to_string().as_str())
    }) {
        if !record::verify(commitment, &offer.payee.0)? {
            why = "the commitment is not signed by the worker's node".into();
        } else if !closing.contains(&hash_of(commitment)?) {
            why = format!("the commitment came after height {}", closing.height);
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
