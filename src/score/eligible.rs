//! Which updates count: assigned, committed to before they were shown, recomputed to equality.

use std::collections::HashSet;

use super::accept::Acceptance;
use crate::artifact::{Commitment, Digest, Meta, Reveal, WORK, commit};
use crate::codec::Update;
use crate::data::Assignment;
use crate::error::{Error, Result};
use crate::pay::{Arrival, Arrivals, Closing, NodeId, hash_of};
use crate::verify::{Finding, Verdict, input_name};

/// What is known of an update from its own file.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The worker that it names.
    pub worker: String,
    /// The run that it names.
    pub run: Digest,
    /// The round that it names.
    pub round: u64,
    /// What it names as made from, by the keys of [`WORK`].
    pub work: Meta,
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
        let mut work = Meta::default();
        work.copy(update.meta(), &WORK);
        Candidate {
            worker: update.worker().to_owned(),
            run: update.run(),
            round: update.round(),
            work,
            digest: update.digest(),
            bytes: update.bytes(),
            file: update.file().to_owned(),
        }
    }

    /// Why it is none of a round's updates; `None` where it is one.
    pub fn foreign(&self, run: &Digest, round: u64) -> Option<String> {
        if self.run != *run {
            return Some("made for another run".into());
        }
        (self.round != round).then(|| format!("made for round {}", self.round))
    }

    /// The first input that it names otherwise than it must be: the model, and of an assignment that too, and its shard.
    pub fn made_from_another(&self, theta: &Digest, assignment: Option<&Assignment>) -> Result<Option<String>> {
        let mut expected = Meta::default();
        expected.set("theta", theta);
        let mut keys = vec!["theta"];
        if let Some(assignment) = assignment {
            expected.set("assignment", assignment.digest()?).set("shard", assignment.shard_digest);
            keys.extend(["assignment", "shard"]);
        }
        let differs = expected.first_difference(&self.work, &keys);
        Ok(differs.map(|found| format!("made from another {}", input_name(found.key))))
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
    theta: &Digest,
    rule: &Acceptance<'_>,
    lists: &Eligibility,
) -> std::result::Result<usize, Unlisted> {
    let run = &rule.recipe.digest();
    let unsent = |reason: String| Unlisted { reason, sent: false };
    if let Some(reason) = update.foreign(run, round) {
        return Err(unsent(reason));
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
    // A replay has looked at that too, and says it in its own words.
    let from_another = || update.made_from_another(theta, assignment).unwrap_or_else(|error| Some(error.to_string()));
    let refused = refused.or_else(from_another);
    refused.map_or(Ok(place), |reason| Err(Unlisted { reason, sent: true }))
}

impl Eligibility {
    /// Whether a list says of this content that somebody sent it in this round.
    pub fn knows(&self, run: &Digest, round: u64, content: &Digest) -> bool {
        let found = |f: &Finding| (f.run, f.round, f.update) == (*run, round, *content);
        let shown = |r: &Reveal| (r.run, r.round, r.update) == (*run, round, *content);
        self.findings.iter().flatten().any(found) || self.commitments.iter().flat_map(|(_, reveals)| reveals).any(shown)
    }

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
    let shown = || reveals.iter().any(|r| (r.run, r.round, &r.worker) == (update.run, round, &update.worker));
    first.map(|(place, _)| *place).ok_or_else(|| if shown() { UNLIKE } else { UNOPENED }.into())
}

/// What was shown opens no commitment to this update.
const UNLIKE: &str = "does not match its commitment";
/// Nothing was shown that could.
pub const UNOPENED: &str = "its commitment was never opened";

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

/// Commitments in the order in which the judge has signed that they came, where it has; what anybody else says of that decides nothing.
pub fn by_arrival(
    commitments: Vec<Commitment>,
    arrivals: Vec<Arrival>,
    of: (&Digest, u64),
    judge: Option<&NodeId>,
) -> Result<Vec<Commitment>> {
    let Some(judge) = judge else { return Ok(commitments) };
    Arrivals::among(arrivals, of, judge)?.order(commitments)
}

/// Refuses to go on where a list that the judge closed has commitments, and not one of them is among those that were read: that is no
/// worker's fault, and would take everybody's pay.
pub fn require_listed(commitments: &[Commitment], closings: &[Closing], judge: &NodeId) -> Result<()> {
    for closing in closings.iter().filter(|closing| closing.verify(judge).is_ok() && !closing.commitments.is_empty()) {
        let of_round = commitments.iter().filter(|c| (c.run, c.round) == (closing.run, closing.round));
        let hashes = of_round.map(hash_of).collect::<Result<Vec<_>>>()?;
        if !hashes.iter().any(|hash| closing.contains(hash)) {
            return Err(Error::missing(format!(
                "the closing of round {} lists {} commitments, and none of them was read",
                closing.round,
                closing.commitments.len()
            )));
        }
    }
    Ok(())
}
