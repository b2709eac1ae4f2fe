//! Verdicts again: what the judge must have decided by the scores, and the signed ones that say otherwise.

use serde_json::Value;

use super::differs::Checked;
use super::evidence::{Evidence, value};
use super::scores::{Rescored, Rescoring};
use crate::artifact::Digest;
use crate::artifact::record::Line;
use crate::error::Kind;
use crate::pay::{Case, Closing, Held, Offer, Verdict, decide};
use crate::score::entitled;

/// The files of a paid round that a verdict rests on.
pub struct Paid {
    /// The offers.
    pub offers: Vec<Offer>,
    /// The workers' word that all is held.
    pub held: Vec<Held>,
    /// The closed lists of commitments.
    pub closings: Vec<Closing>,
    /// The verdicts.
    pub verdicts: Vec<Verdict>,
    /// Where the verdicts stand.
    pub file: String,
}

/// What the judge must have decided on an offer; none where nothing can be decided.
pub fn recompute(
    round: &Rescoring<'_>,
    again: &Rescored<'_>,
    paid: &Paid,
    offer: &Offer,
    signed: &Verdict,
) -> Checked<Result<Verdict, String>> {
    let lines: Vec<Line> =
        again.text.lines().map(|line| Line::parse(&round.names.scores, line)).collect::<crate::error::Result<_>>()?;
    let by_worker = entitled(&lines, &round.start.id, round.round)?;
    let Some(held) = paid.held.iter().rfind(|held| held.verify(offer).is_ok()) else {
        return Ok(Err("nothing is decided without a valid held record".into()));
    };
    let of_offer = |c: &&Closing| (c.run, c.round, c.attempt) == (offer.run, offer.round, offer.attempt);
    let closing = paid.closings.iter().filter(of_offer).find(|c| c.verify(&offer.judge).is_ok());
    let none = Vec::new();
    let case = Case {
        offer,
        held,
        closing,
        commitments: round.lists.commitments.as_ref().unwrap_or(&none),
        reveals: &round.lists.reveals,
        score: by_worker.get(&offer.worker),
        scores: again.digest(),
        // A judge may leave them out.
        findings: signed.findings.and(round.lists.findings_digest),
        height: signed.height,
    };
    match decide(&case) {
        Ok(verdict) => Ok(Ok(verdict)),
        Err(error) if matches!(error.kind(), Kind::Refused | Kind::Data | Kind::TryAgain) => Ok(Err(error.to_string())),
        Err(error) => Err(error.into()),
    }
}

/// The rule that a verdict breaks, with both values; none where it is the recomputed one.
pub fn broken(signed: &Verdict, expected: &Verdict) -> Option<(&'static str, String, String)> {
    let text = |digest: Option<Digest>| digest.map_or("none".into(), |d| d.to_string());
    let hash = |v: &Verdict| v.commitment.map_or("none".into(), |c| c.to_string());
    let reason = |v: &Verdict| v.reason.clone().unwrap_or_else(|| "none".into());
    let rules: [(&'static str, String, String); 9] = [
        ("entitled_msat is what the scores say", expected.entitled_msat.to_string(), signed.entitled_msat.to_string()),
        ("reason is why nothing is paid, if nothing is", reason(expected), reason(signed)),
        (
            "rungs are those with the largest sum within what was earned",
            format!("{:?}", expected.rungs),
            format!("{:?}", signed.rungs),
        ),
        ("paid_msat is the sum of the rungs", expected.paid_msat.to_string(), signed.paid_msat.to_string()),
        ("returned_msat is the rest", expected.returned_msat.to_string(), signed.returned_msat.to_string()),
        ("commitment is the one that was scored", hash(expected), hash(signed)),
        ("held is the worker's record", expected.held.to_string(), signed.held.to_string()),
        ("scores is the digest of the round's scores", expected.scores.to_string(), signed.scores.to_string()),
        ("findings is the digest of the round's findings", text(expected.findings), text(signed.findings)),
    ];
    rules.into_iter().find(|(_, expected, found)| expected != found)
}

/// Evidence against a verdict.
pub fn evidence(
    round: &Rescoring<'_>,
    paid: &Paid,
    signed: &Verdict,
    recomputed: Option<&Verdict>,
    rule: &str,
) -> Checked<Evidence> {
    let recomputed: Option<Value> = recomputed.map(value).transpose()?;
    Ok(Evidence {
        run: round.start.id,
        round: round.round,
        worker: signed.task.worker.clone(),
        artifact: paid.file.clone(),
        rule: rule.to_owned(),
        signed: value(signed)?,
        recomputed,
    })
}

/// The signed verdicts that rest on the scores as they were recorded, and would be others by these ones.
pub fn false_verdicts(round: &Rescoring<'_>, again: &Rescored<'_>, rule: &str) -> Checked<Vec<Evidence>> {
    let Ok(Some(paid)) = super::pay::read(round) else { return Ok(Vec::new()) };
    let recorded = round.run.digest(&round.names.scores)?;
    let mut found = Vec::new();
    for signed in paid.verdicts.iter().filter(|v| v.scores == recorded) {
        let Some(offer) = paid.offers.iter().find(|o| o.id().is_ok_and(|id| id == signed.task.offer)) else { continue };
        if signed.verify(offer).is_err() {
            continue;
        }
        let expected = recompute(round, again, &paid, offer, signed)?;
        let Ok(expected) = expected else { continue };
        if let Some((broken, ..)) = broken(signed, &expected) {
            found.push(evidence(round, &paid, signed, Some(&expected), &format!("{rule}: {broken}"))?);
        }
    }
    Ok(found)
}
