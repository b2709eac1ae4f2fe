//! What the workers of a round have committed to and shown, what replays found, and the second beacon.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::differs::{Checked, Stop, differs, wrong};
use super::evidence::{Evidence, value};
use super::folder::RunFolder;
use super::start::Start;
use crate::artifact::record::Line;
use crate::artifact::{Commitment, Digest, Reveal, record};
use crate::data::Assignment;
use crate::error::Error;
use crate::pay::Closing;
use crate::score::{Believed, in_time, opened_commitment};
use crate::verify::Finding;

/// A round's lists.
pub struct Lists {
    /// The list of commitments, if there is one.
    pub commitments: Option<Vec<Commitment>>,
    /// Those of them that were in time, where the judge has closed the list.
    pub in_time: Option<Vec<Commitment>>,
    /// Every closing that lies in the round, whoever made it.
    pub closings: Vec<Closing>,
    /// Whether the judge has closed the list.
    pub closed: bool,
    /// By worker, the updates that it has committed to, signed, in time, and shown.
    opened: BTreeMap<String, BTreeSet<Digest>>,
    /// What opens them.
    pub reveals: Vec<Reveal>,
    /// Lines of that list that no honest party has written.
    pub odd: Vec<String>,
    /// The findings that count by who signed them.
    pub findings: Option<Vec<Finding>>,
    /// The others, and why.
    pub believed: Believed,
    /// Digest of the findings' file.
    pub findings_digest: Option<Digest>,
    /// The second beacon.
    pub beacon: Option<Digest>,
}

/// The names of a round's lists.
pub struct Names {
    /// The round.
    pub round: u64,
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
            round,
            folder: name(""),
            commitments: name("commitments.jsonl"),
            findings: name("findings.jsonl"),
            scores: name("scores.jsonl"),
            beacon: name("beacon-b"),
        }
    }
}

/// Reads a round's lists. What is odd among the commitments is for later: only where something rests on it was it altered.
pub fn read_lists(run: &RunFolder, start: &Start, assignments: &[Assignment], names: &Names) -> Checked<Lists> {
    let mut lists = Lists {
        commitments: None,
        in_time: None,
        closings: Vec::new(),
        closed: false,
        opened: BTreeMap::new(),
        reveals: Vec::new(),
        odd: Vec::new(),
        findings: None,
        believed: Believed::default(),
        findings_digest: None,
        beacon: None,
    };
    let file = format!("{}closing.jsonl", names.folder);
    if run.has(&file) {
        lists.closings = run.records(&file)?;
    }
    if run.has(&names.commitments) {
        let (lines, malformed) = run.lines_of_many(&names.commitments)?;
        let commitments: Vec<Commitment> = record::select_well_formed(&lines);
        lists.reveals = record::select_well_formed(&lines);
        lists.odd = odd(&lines, &malformed, &commitments, &lists.reveals, assignments);
        // As `score` and `settle` take it: the judge's closing may stand among the commitments.
        let own = |c: &Closing| start.judge.is_none_or(|judge| c.verify(&judge).is_ok());
        let (among, forged): (Vec<Closing>, Vec<Closing>) =
            record::select_well_formed(&lines).into_iter().partition(own);
        lists.odd.extend(forged.iter().map(|c| format!("a closing of round {} that the judge did not sign", c.round)));
        lists.closings.extend(among);
        let in_time = in_time(commitments.clone(), &lists.closings, &start.id, names.round, start.judge.as_ref())?;
        lists.closed = lists.closings.iter().any(|c| start.judge.is_some_and(|judge| c.verify(&judge).is_ok()));
        lists.opened = opened(&in_time, &lists.reveals, assignments);
        lists.commitments = Some(commitments);
        lists.in_time = Some(in_time);
    }
    if run.has(&names.findings) {
        lists.believed = Believed::recorded(run.records(&names.findings)?, &start.recipe);
        lists.findings = Some(std::mem::take(&mut lists.believed.findings));
        lists.findings_digest = Some(run.list_digest(&names.findings)?);
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
    let assigned: HashMap<&str, &Assignment> = assignments.iter().map(|a| (a.worker.as_str(), a)).collect();
    for commitment in commitments {
        let of = assigned.get(commitment.worker.as_str());
        let of = of.filter(|a| (a.run, a.round) == (commitment.run, commitment.round));
        let signed = of.is_some_and(|a| match a.worker_key() {
            Ok(Some(key)) => commitment.signed_by(&key).unwrap_or(false),
            _ => true,
        });
        if !signed {
            odd.push(format!("a commitment of {:?} that it did not sign", commitment.worker));
        }
    }
    let index: HashSet<(Digest, u64, &str, Digest)> =
        commitments.iter().map(|c| (c.run, c.round, c.worker.as_str(), c.commitment)).collect();
    let opens = |r: &&Reveal| index.contains(&(r.run, r.round, &r.worker, opened_commitment(r)));
    odd.extend(reveals.iter().filter(|r| !opens(r)).map(|r| format!("a reveal of {:?} that opens nothing", r.worker)));
    odd.iter().map(|why| super::differs::printable(why)).collect()
}

/// By worker, the updates that a signed commitment opens to.
fn opened(
    commitments: &[Commitment],
    reveals: &[Reveal],
    assignments: &[Assignment],
) -> BTreeMap<String, BTreeSet<Digest>> {
    // Signatures are for those that are opened: anybody can write the others.
    let mut by_worker: HashMap<(&str, Digest), Vec<&Commitment>> = HashMap::new();
    for commitment in commitments {
        by_worker.entry((&commitment.worker, commitment.commitment)).or_default().push(commitment);
    }
    let mut opened: BTreeMap<String, BTreeSet<Digest>> = BTreeMap::new();
    let mut seen = HashSet::new();
    let assigned: HashMap<&str, &Assignment> = assignments.iter().map(|a| (a.worker.as_str(), a)).collect();
    for reveal in reveals {
        let Some(assignment) = assigned.get(reveal.worker.as_str()) else { continue };
        let digest = opened_commitment(reveal);
        if !seen.insert((&reveal.worker, digest)) {
            continue;
        }
        let key = assignment.worker_key().ok().flatten();
        let signed = |c: &&Commitment| {
            (c.run, c.round) == (reveal.run, reveal.round) && key.is_none_or(|key| c.signed_by(&key).unwrap_or(false))
        };
        if by_worker.get(&(reveal.worker.as_str(), digest)).is_some_and(|own| own.iter().any(signed)) {
            opened.entry(reveal.worker.clone()).or_default().insert(reveal.update);
        }
    }
    opened
}

/// What the keys prove that have signed of one work that it is exact, and that it is not.
pub fn contradictions(lists: &Lists, names: &Names) -> Checked<Vec<Evidence>> {
    let mut found = Vec::new();
    for [one, other] in &lists.believed.contradictions {
        found.push(Evidence {
            run: one.run,
            round: one.round,
            worker: one.validator.clone().unwrap_or_default(),
            artifact: names.findings.clone(),
            rule: "a validator finds one thing of one work".into(),
            signed: value(one)?,
            recomputed: None,
            against: Some(value(other)?),
        });
    }
    Ok(found)
}

impl Lists {
    /// The updates that a worker has committed to, signed, and shown.
    pub fn opened(&self, assignment: &Assignment) -> impl Iterator<Item = Digest> + '_ {
        self.opened.get(&assignment.worker).into_iter().flatten().copied()
    }

    /// What decides which updates count, by these lists.
    pub fn eligibility(&self, assignments: &[Assignment]) -> crate::score::Eligibility {
        crate::score::Eligibility {
            assignments: Some(assignments.to_vec()),
            commitments: self.in_time.clone().map(|c| (c, self.reveals.clone())),
            findings: self.findings.clone(),
        }
    }
}

/// Files of single parties that lists are put together from (`recipes/round.mk` leaves them): their lines stand in the lists. What
/// is a worker's own, and stands there not or is no record, is said.
pub fn check_parts(run: &RunFolder, names: &Names) -> Checked<Vec<String>> {
    let mut odd = Vec::new();
    for (ending, list, workers) in [
        (".commitment", &names.commitments, true),
        (".reveal", &names.commitments, true),
        (".finding", &names.findings, false),
    ] {
        let parts: Vec<&str> = run.below(&names.folder).filter(|name| name.ends_with(ending)).collect();
        if parts.is_empty() {
            continue;
        }
        let whole = run.text(list)?;
        let whole: HashSet<&str> = whole.lines().collect();
        for part in parts {
            match check_part(run, part, list, &whole) {
                Err(Stop::Differs(difference, _)) if workers => odd.push(difference.to_string()),
                checked => checked?,
            }
        }
    }
    Ok(odd)
}

fn check_part(run: &RunFolder, part: &str, list: &str, whole: &HashSet<&str>) -> Checked<()> {
    let text = run.text(part)?;
    if text.is_empty() || !text.ends_with('\n') {
        return wrong(part, "expected whole lines");
    }
    match text.lines().find(|line| !whole.contains(line)) {
        Some(line) => differs(part, "a line", format!("one of {list}"), line),
        None => Ok(()),
    }
}
