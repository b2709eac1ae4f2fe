//! What the workers of a round have committed to and shown, what replays found, and the second beacon.

use super::differs::{Checked, differs, wrong};
use super::folder::RunFolder;
use crate::artifact::record::Line;
use crate::artifact::{Commitment, Digest, Reveal, record};
use crate::data::Assignment;
use crate::error::Error;
use crate::pay::Closing;
use crate::verify::Finding;

/// A round's lists.
pub struct Lists {
    /// The list of commitments, if there is one.
    pub commitments: Option<Vec<Commitment>>,
    /// What opens them.
    pub reveals: Vec<Reveal>,
    /// Lines of that list that no honest party has written.
    pub odd: Vec<String>,
    /// The findings.
    pub findings: Option<Vec<Finding>>,
    /// Digest of the findings' file.
    pub findings_digest: Option<Digest>,
    /// The second beacon.
    pub beacon: Option<Digest>,
}

/// The names of a round's lists.
pub struct Names {
    /// `round-N/`
    pub folder: String,
    /// The commitments.
    pub commitments: String,
    /// The findings.
    pub findings: String,
    /// The scores.
    pub scores: String,
    /// The second beacon.
    pub beacon: String,
}

impl Names {
    /// Of a round.
    pub fn of(round: u64) -> Names {
        let name = |file: &str| format!("round-{round}/{file}");
        Names {
            folder: name(""),
            commitments: name("commitments.jsonl"),
            findings: name("findings.jsonl"),
            scores: name("scores.jsonl"),
            beacon: name("beacon-b"),
        }
    }
}

/// Reads a round's lists. What is odd among the commitments is for later: only where something rests on it was it altered.
pub fn read_lists(run: &RunFolder, assignments: &[Assignment], names: &Names) -> Checked<Lists> {
    let mut lists = Lists {
        commitments: None,
        reveals: Vec::new(),
        odd: Vec::new(),
        findings: None,
        findings_digest: None,
        beacon: run.beacon(&names.beacon)?,
    };
    if run.has(&names.commitments) {
        let (lines, malformed) = run.lines_of_many(&names.commitments)?;
        let commitments: Vec<Commitment> = record::select_well_formed(&lines);
        lists.reveals = record::select_well_formed(&lines);
        lists.odd = odd(&lines, &malformed, &commitments, &lists.reveals, assignments);
        lists.commitments = Some(commitments);
    }
    if run.has(&names.findings) {
        lists.findings = Some(run.records(&names.findings)?);
        lists.findings_digest = Some(run.digest(&names.findings)?);
    }
    Ok(lists)
}

/// Why lines are not what the round's workers write: malformed, of another type, not signed, opening nothing.
fn odd(
    lines: &[Line],
    malformed: &[Error],
    commitments: &[Commitment],
    reveals: &[Reveal],
    assignments: &[Assignment],
) -> Vec<String> {
    let mut odd: Vec<String> = malformed.iter().map(Error::to_string).collect();
    let known = |line: &Line| {
        line.get::<Commitment>().is_ok_and(|c| c.is_some())
            || line.get::<Reveal>().is_ok_and(|r| r.is_some())
            || line.get::<Closing>().is_ok_and(|c| c.is_some())
    };
    odd.extend(lines.iter().filter(|l| !known(l)).map(|l| format!("a record of type {:?}", l.kind())));
    for commitment in commitments {
        let of = assignments
            .iter()
            .find(|a| (a.run, a.round, &a.worker) == (commitment.run, commitment.round, &commitment.worker));
        let signed = of.is_some_and(|a| match a.worker_key() {
            Ok(Some(key)) => commitment.signed_by(&key).unwrap_or(false),
            _ => true,
        });
        if !signed {
            odd.push(format!("a commitment of {:?} that it did not sign", commitment.worker));
        }
    }
    let opens = |reveal: &&Reveal| commitments.iter().any(|c| c.opened_by(reveal));
    odd.extend(reveals.iter().filter(|r| !opens(r)).map(|r| format!("a reveal of {:?} that opens nothing", r.worker)));
    odd.iter().map(|why| super::differs::printable(why)).collect()
}

impl Lists {
    /// The updates that a worker has committed to, signed, and shown.
    pub fn opened<'a>(&'a self, assignment: &'a Assignment) -> impl Iterator<Item = Digest> + 'a {
        let key = assignment.worker_key().ok().flatten();
        let signed = move |c: &&Commitment| key.is_none_or(|key| c.signed_by(&key).unwrap_or(false));
        self.commitments.iter().flatten().filter(signed).flat_map(move |commitment| {
            let own = |r: &&Reveal| r.worker == assignment.worker && commitment.opened_by(r);
            self.reveals.iter().filter(own).map(|r| r.update)
        })
    }

    /// What decides which updates count, by these lists.
    pub fn eligibility(&self, assignments: &[Assignment]) -> crate::score::Eligibility {
        crate::score::Eligibility {
            assignments: Some(assignments.to_vec()),
            commitments: self.commitments.clone().map(|c| (c, self.reveals.clone())),
            findings: self.findings.clone(),
        }
    }
}

/// Files of one record each that lists are put together from (`recipes/round.mk` leaves them): their lines stand in the
/// lists.
pub fn check_parts(run: &RunFolder, names: &Names) -> Checked<()> {
    for (ending, list) in
        [(".commitment", &names.commitments), (".reveal", &names.commitments), (".finding", &names.findings)]
    {
        let parts: Vec<&str> = run.below(&names.folder).filter(|name| name.ends_with(ending)).collect();
        if parts.is_empty() {
            continue;
        }
        let whole = run.text(list)?;
        for part in parts {
            let text = run.text(part)?;
            if text.is_empty() || !text.ends_with('\n') {
                return wrong(part, "expected whole lines");
            }
            if let Some(line) = text.lines().find(|line| !whole.lines().any(|other| other == *line)) {
                return differs(part, "a line", format!("one of {list}"), line);
            }
        }
    }
    Ok(())
}
