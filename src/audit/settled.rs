//! Verdicts again: what the judge must have decided by the scores, and the signed ones that say otherwise.

use serde_json::Value;

use super::differs::{Checked, differs, same, wrong};
use super::evidence::{Evidence, value};
use super::paid::{Paid, list_name, read_paid};
use super::rescoring::{Rescored, Rescoring};
use crate::artifact::record::Line;
use crate::artifact::{Commitment, Digest};
use crate::error::{Kind, Result};
use crate::pay::{Case, Closing, Held, Offer, Verdict, decide, hash_of};
use crate::score::{entitled, votes};

/// What is decided on an offer by the recomputed scores, with this held record and these commitments, at a height.
fn decided(
    round: &Rescoring<'_>,
    again: &Rescored<'_>,
    paid: &Paid,
    offer: &Offer,
    held: &Held,
    commitments: &[Commitment],
    (height, findings): (u32, Option<Digest>),
) -> Checked<Result<Verdict>> {
    let lines: Vec<Line> =
        again.text.lines().map(|line| Line::parse(&round.names.scores, line)).collect::<Result<_>>()?;
    let by_worker = entitled(&lines, &round.start.id, round.round)?;
    let votes = votes(&lines)?;
    let case = Case {
        offer,
        held,
        closing: Closing::on(offer, &paid.closings),
        commitments,
        reveals: &round.lists.reveals,
        score: by_worker.get(&offer.worker),
        scores: again.digest(),
        votes: votes.as_ref(),
        findings,
        height,
    };
    match decide(&case) {
        Err(error) if !matches!(error.kind(), Kind::Refused | Kind::Data | Kind::TryAgain) => Err(error.into()),
        decided => Ok(decided),
    }
}

/// What the judge must have decided on an offer; why where nothing can be decided.
pub fn recompute(
    round: &Rescoring<'_>,
    again: &Rescored<'_>,
    paid: &Paid,
    offer: &Offer,
    signed: &Verdict,
) -> Checked<std::result::Result<Verdict, String>> {
    let named = |held: &&Held| held.verify(offer).is_ok() && hash_of(*held).is_ok_and(|hash| hash == signed.held);
    let held = match paid.held.iter().find(named).map_or_else(|| Held::on(offer, &paid.held), Ok) {
        Ok(held) => held,
        Err(_) => return Ok(Err("nothing is decided without a valid held record".into())),
    };
    // A judge may leave the findings out.
    let then = (signed.height, signed.findings.and(round.lists.findings_digest));
    // What was appended after the closing changes no more than the words of a reason.
    let in_time = round.lists.in_time.as_deref().unwrap_or_default();
    let later = decided(round, again, paid, offer, held, in_time, then)?;
    if let Some(verdict) = later.ok().filter(|verdict| broken(signed, verdict).is_none()) {
        return Ok(Ok(verdict));
    }
    let all = round.lists.commitments.as_deref().unwrap_or_default();
    Ok(decided(round, again, paid, offer, held, all, then)?.map_err(|error| error.to_string()))
}

/// Whether `settle` gives a verdict on an offer that has none: it does where all was held, but waits for a worker that has
/// not opened its commitment. Why, where it waits.
pub fn due(round: &Rescoring<'_>, again: &Rescored<'_>, paid: &Paid, offer: &Offer) -> Checked<Due> {
    let Ok(held) = Held::on(offer, &paid.held) else { return Ok(Due::Never) };
    let in_time = round.lists.in_time.as_deref().unwrap_or_default();
    let last = (offer.heights.reveal_by, None);
    match decided(round, again, paid, offer, held, in_time, last)? {
        Err(error) if error.kind() == Kind::TryAgain => Ok(Due::Waits(error.to_string())),
        _ => Ok(Due::Now),
    }
}

/// When a verdict is due.
pub enum Due {
    /// Not all was held.
    Never,
    /// The worker keeps it waiting: why.
    Waits(String),
    /// It must be there.
    Now,
}

/// What a verdict was signed on is still there: else that was altered, and nothing is proved against the judge.
pub fn rests(round: &Rescoring<'_>, paid: &Paid, offer: &Offer, signed: &Verdict) -> Checked<()> {
    let what = |of: &str| format!("{of}, as the verdict on the {} has it", offer.name());
    if let (Some(said), Some(found)) = (signed.findings, round.lists.findings_digest) {
        same(&round.names.findings, &what("digest"), said, found)?;
    }
    same(&round.names.scores, &what("digest"), signed.scores, round.run.list_digest(&round.names.scores)?)?;
    let whole = |held: &Held| held.verify(offer).is_ok() && hash_of(held).is_ok_and(|hash| hash == signed.held);
    if !paid.held.iter().any(whole) {
        let file = list_name(round.names, "held");
        return differs(&file, what("the record"), signed.held, "none of it");
    }
    if Closing::on(offer, &paid.closings).is_none()
        && signed.reason.as_deref() != Some("no list of commitments was closed")
    {
        return wrong(&list_name(round.names, "closing"), what("expected the closed list") + ", found none");
    }
    let known = |said| round.lists.commitments.iter().flatten().any(|c| hash_of(c).is_ok_and(|hash| hash == said));
    match signed.commitment.filter(|said| !known(*said)) {
        Some(said) => differs(&round.names.commitments, what("the commitment"), said, "none of it"),
        None => Ok(()),
    }
}

/// Findings that were appended after the judge had signed on the scores that do not rest on them.
pub fn findings_grown(round: &Rescoring<'_>) -> Checked<()> {
    let (Ok(Some(paid)), Some(found)) = (read_paid(round.run, round.names, round.lists), round.lists.findings_digest)
    else {
        return Ok(());
    };
    let recorded = round.run.list_digest(&round.names.scores)?;
    for signed in paid.verdicts.iter().filter(|v| v.scores == recorded) {
        let offer = paid.offers.iter().find(|o| o.id().is_ok_and(|id| id == signed.task.offer));
        let whole = offer.is_some_and(|offer| signed.verify(offer).is_ok());
        if let Some(said) = signed.findings.filter(|said| whole && *said != found) {
            return differs(&round.names.findings, "digest, as a verdict has it", said, found);
        }
    }
    Ok(())
}

/// The rule that a verdict breaks, with both values; none where it is the recomputed one.
pub fn broken(signed: &Verdict, expected: &Verdict) -> Option<(&'static str, String, String)> {
    let text = |digest: Option<Digest>| digest.map_or("none".into(), |d| d.to_string());
    let hash = |v: &Verdict| v.commitment.map_or("none".into(), |c| c.to_string());
    let votes = |v: &Verdict| {
        v.votes.as_ref().map_or("none".into(), |votes| {
            let endorsements: Vec<String> = votes.endorsements.iter().map(ToString::to_string).collect();
            format!("{} of {}: {}", votes.signed, votes.of, endorsements.join(", "))
        })
    };
    let reason = |v: &Verdict| v.reason.clone().unwrap_or_else(|| "none".into());
    let rules: [(&'static str, String, String); 10] = [
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
        ("votes are the signed scores that the scores were merged from", votes(expected), votes(signed)),
        ("findings is the digest of the round's findings", text(expected.findings), text(signed.findings)),
    ];
    rules.into_iter().find(|(_, expected, found)| expected != found)
}

/// Whether a broken rule is proved by what nobody can have altered: the words of a reason may rest on what was sent later.
pub fn proves(rule: &str) -> bool {
    !rule.starts_with("reason ")
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
        against: None,
    })
}

/// The signed verdicts that rest on the scores as they were recorded, and would be others by these ones.
pub fn false_verdicts(round: &Rescoring<'_>, again: &Rescored<'_>, rule: &str) -> Checked<Vec<Evidence>> {
    let Ok(Some(paid)) = read_paid(round.run, round.names, round.lists) else { return Ok(Vec::new()) };
    let recorded = round.run.list_digest(&round.names.scores)?;
    let mut found = Vec::new();
    for signed in paid.verdicts.iter().filter(|v| v.scores == recorded) {
        let Some(offer) = paid.offers.iter().find(|o| o.id().is_ok_and(|id| id == signed.task.offer)) else { continue };
        if signed.verify(offer).is_err() || rests(round, &paid, offer, signed).is_err() {
            continue;
        }
        let expected = recompute(round, again, &paid, offer, signed)?;
        let Ok(expected) = expected else { continue };
        if let Some((broken, ..)) = broken(signed, &expected).filter(|(rule, ..)| proves(rule)) {
            found.push(evidence(round, &paid, signed, Some(&expected), &format!("{rule}: {broken}"))?);
        }
    }
    Ok(found)
}
