//! Which updates count: assigned, committed to before they were shown, recomputed to equality.

use std::collections::HashSet;

use super::accept::Acceptance;
use crate::artifact::{Commitment, Digest, Reveal, commit};
use crate::codec::Update;
use crate::data::Assignment;
use crate::error::Result;
use crate::pay::{Closing, NodeId, hash_of};
use crate::verify::{Finding, Verdict};

/// What is known of an update from its own file.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The worker that it names.
    pub worker: String,
    /// The run that it names.
    pub run: Digest,
    /// The round that it names.
    pub round: u64,
    /// Its content digest.
    pub digest: Digest,
    /// The size of its content in bytes.
    pub bytes: u64,
    /// Its file, for messages.
    pub file: String,
}

impl Candidate {
    /// What an update says of itself.
    pub fn of(update: &Update) -> Candidate {
        Candidate {
            worker: update.worker().to_owned(),
            run: update.run(),
            round: update.round(),
            digest: update.digest(),
            bytes: update.bytes(),
            file: update.file().to_owned(),
        }
    }
}

/// The signed lists that decide; what is absent decides nothing.
#[derive(Default)]
pub struct Eligibility {
    /// The round's assignments.
    pub assignments: Option<Vec<Assignment>>,
    /// Commitments and what opens them.
    pub commitments: Option<(Vec<Commitment>, Vec<Reveal>)>,
    /// Findings of replays.
    pub findings: Option<Vec<Finding>>,
}

/// Why the lists do not let an update count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unlisted {
    /// Why.
    pub reason: String,
    /// Whether it is the worker that it names who sent it: anybody can put a name on a file.
    pub sent: bool,
}

/// Whether the lists let the update count: then the place of the commitment that it opens in the list, 0 without one.
pub fn judge(
    update: &Candidate,
    round: u64,
    rule: &Acceptance<'_>,
    lists: &Eligibility,
) -> std::result::Result<usize, Unlisted> {
    let run = &rule.recipe.digest();
    let unsent = |reason: String| Unlisted { reason, sent: false };
    if update.run != *run {
        return Err(unsent("made for another run".into()));
    }
    if update.round != round {
        return Err(unsent(format!("made for round {}", update.round)));
    }
    let assignment = match &lists.assignments {
        None => None,
        Some(list) => Some(Assignment::find(list, round, &update.worker).map_err(|_| unsent("no assignment".into()))?),
    };
    let place = match &lists.commitments {
        None => 0,
        Some((commitments, reveals)) => committed(update, round, assignment, commitments, reveals).map_err(unsent)?,
    };
    let refused = match lists.findings.as_ref().map(|_| lists.finding_of(update, run, round)) {
        None => None,
        Some(None) => Some("not replayed".into()),
        Some(Some(finding)) => rule.refuses(finding),
    };
    refused.map_or(Ok(place), |reason| Err(Unlisted { reason, sent: true }))
}

impl Eligibility {
    /// The finding that decides on an update: of several a mismatch, else the strongest, and of those the last one.
    pub fn finding_of(&self, update: &Candidate, run: &Digest, round: u64) -> Option<&Finding> {
        let about =
            |f: &&Finding| f.run == *run && f.round == round && f.worker == update.worker && f.update == update.digest;
        deciding(|| self.findings.iter().flatten().filter(about))
    }
}

/// Of findings on one update, the one that decides.
pub fn deciding<'f, I: Iterator<Item = &'f Finding>>(all: impl Fn() -> I) -> Option<&'f Finding> {
    let last = |verdict: Verdict| all().filter(|f| f.finding == verdict).last();
    [Verdict::Mismatch, Verdict::Exact, Verdict::Sampled, Verdict::Near].into_iter().find_map(last)
}

/// Where in the list the commitment stands that the update opens, the worker's own; or why commitments and reveals do not
/// let it count.
pub fn committed(
    update: &Candidate,
    round: u64,
    assignment: Option<&Assignment>,
    commitments: &[Commitment],
    reveals: &[Reveal],
) -> std::result::Result<usize, String> {
    let named = |c: &Commitment| c.run == update.run && c.round == round && c.worker == update.worker;
    let mut own: Vec<(usize, &Commitment)> = commitments.iter().enumerate().filter(|(_, c)| named(c)).collect();
    if own.is_empty() {
        return Err("no commitment".into());
    }
    // Only what the worker signed can count for or against it. Where the roster names no key, anybody could have written
    // a second commitment in its name, so that cannot count against it.
    if let Some(key) = assignment.and_then(|a| a.worker_key().ok().flatten()) {
        own.retain(|(_, c)| c.signed_by(&key).unwrap_or(false));
        let Some(((_, commitment), others)) = own.split_first() else {
            return Err("the commitment is not signed by the worker".into());
        };
        if others.iter().any(|(_, other)| other.commitment != commitment.commitment) {
            return Err("two commitments".into());
        }
    }
    let about =
        |r: &&Reveal| (r.run, r.round, &r.worker, r.update) == (update.run, round, &update.worker, update.digest);
    let opened: HashSet<Digest> = reveals.iter().filter(about).map(opened_commitment).collect();
    let first = own.iter().find(|(_, commitment)| opened.contains(&commitment.commitment));
    first.map(|(place, _)| *place).ok_or_else(|| "does not match its commitment".into())
}

/// The commitment that a reveal opens.
pub fn opened_commitment(reveal: &Reveal) -> Digest {
    commit(reveal.run, reveal.round, &reveal.worker, reveal.update, reveal.nonce).0.commitment
}

/// The commitments that can count: where the judge has closed the list, those that it lists, in any of its closings of this
/// round; else all. What anybody else has closed decides nothing.
pub fn in_time(
    commitments: Vec<Commitment>,
    closings: &[Closing],
    run: &Digest,
    round: u64,
    judge: Option<&NodeId>,
) -> Result<Vec<Commitment>> {
    let own = |c: &&Closing| c.run == *run && c.round == round && judge.is_some_and(|judge| c.verify(judge).is_ok());
    let closings: Vec<&Closing> = closings.iter().filter(own).collect();
    if closings.is_empty() {
        return Ok(commitments);
    }
    let mut listed = Vec::new();
    for commitment in commitments {
        let hash = hash_of(&commitment)?;
        if closings.iter().any(|closing| closing.contains(&hash)) {
            listed.push(commitment);
        }
    }
    Ok(listed)
}
