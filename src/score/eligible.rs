//! Which updates count: assigned, committed to before they were shown, recomputed to equality.

use std::collections::HashMap;

use crate::artifact::{Commitment, Digest, Reveal};
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
pub fn judge(update: &Candidate, run: &Digest, round: u64, lists: &Eligibility) -> Option<String> {
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
    let findings = lists.findings.as_ref()?;
    let of_update: HashMap<bool, &Finding> = findings
        .iter()
        .filter(|f| f.run == *run && f.round == round && f.worker == update.worker && f.update == update.digest)
        .map(|f| (f.finding == Verdict::Exact, f))
        .collect();
    match (of_update.get(&true), of_update.get(&false)) {
        (_, Some(mismatch)) => {
            let what = mismatch.differs.as_deref().unwrap_or("unknown");
            Some(format!("replay differs: {what}"))
        }
        (Some(_), None) => None,
        (None, None) => Some("not replayed".into()),
    }
}

fn uncommitted(
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
