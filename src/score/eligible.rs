//! Which updates count: assigned, committed to before they were shown, recomputed to equality.

use super::accept::Acceptance;
use crate::artifact::{Commitment, Digest, Reveal};
use crate::codec::Update;
use crate::data::Assignment;
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

/// Why the update does not count; `None` where it does.
pub fn judge(update: &Candidate, round: u64, rule: &Acceptance<'_>, lists: &Eligibility) -> Option<String> {
    let run = &rule.recipe.digest();
    if update.run != *run {
        return Some("made for another run".into());
    }
    if update.round != round {
        return Some(format!("made for round {}", update.round));
    }
    let assignment = match &lists.assignments {
        None => None,
        Some(list) => match Assignment::find(list, round, &update.worker) {
            Ok(assignment) => Some(assignment),
            Err(_) => return Some("no assignment".into()),
        },
    };
    if let Some((commitments, reveals)) = &lists.commitments
        && let Some(reason) = uncommitted(update, round, assignment, commitments, reveals)
    {
        return Some(reason);
    }
    lists.findings.as_ref()?;
    match lists.finding_of(update, run, round) {
        None => Some("not replayed".into()),
        Some(finding) => rule.refuses(finding),
    }
}

impl Eligibility {
    /// The finding that decides on an update: of several a mismatch, else the strongest, and of those the last one.
    pub fn finding_of(&self, update: &Candidate, run: &Digest, round: u64) -> Option<&Finding> {
        let about =
            |f: &&Finding| f.run == *run && f.round == round && f.worker == update.worker && f.update == update.digest;
        let all = || self.findings.iter().flatten().filter(about);
        let last = |verdict: Verdict| all().rfind(|f| f.finding == verdict);
        [Verdict::Mismatch, Verdict::Exact, Verdict::Sampled, Verdict::Near].into_iter().find_map(last)
    }
}

/// Why commitments and reveals do not let an update count; `None` where they do.
pub fn uncommitted(
    update: &Candidate,
    round: u64,
    assignment: Option<&Assignment>,
    commitments: &[Commitment],
    reveals: &[Reveal],
) -> Option<String> {
    let named = |c: &&Commitment| c.run == update.run && c.round == round && c.worker == update.worker;
    let mut own: Vec<&Commitment> = commitments.iter().filter(named).collect();
    if own.is_empty() {
        return Some("no commitment".into());
    }
    // Only what the worker signed can count for or against it. Where the roster names no key, anybody could have written
    // a second commitment in its name, so that cannot count against it.
    if let Some(key) = assignment.and_then(|a| a.worker_key().ok().flatten()) {
        own.retain(|c| c.signed_by(&key).unwrap_or(false));
        let Some((commitment, others)) = own.split_first() else {
            return Some("the commitment is not signed by the worker".into());
        };
        if others.iter().any(|other| other.commitment != commitment.commitment) {
            return Some("two commitments".into());
        }
    }
    let opens = |reveal: &Reveal| own.iter().any(|c| c.opened_by(reveal));
    let opened = reveals.iter().any(|r| r.update == update.digest && opens(r));
    (!opened).then(|| "does not match its commitment".into())
}
