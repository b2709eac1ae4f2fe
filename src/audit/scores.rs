//! Recomputed scores against the recorded ones, and what was altered where they differ.

use std::collections::BTreeSet;

use super::differs::{Checked, Stop, differs, near, same, wrong};
use super::given::Given;
use super::rescoring::{Rescored, Rescoring, key};
use super::settled::{false_verdicts, findings_grown};
use crate::artifact::{Digest, record};
use crate::error::{Error, Kind, Result};
use crate::score::{Score, committed, finding_digest};
use crate::verify::{Finding, malformed_finding};

impl<'a> Rescoring<'a> {
    /// Scores the round again, and compares. Where the recorded scores differ, what was altered is named: an input that
    /// they still remember, or they themselves.
    /// What workers have kept to themselves or put in each other's names is odd, and harms nobody but them.
    pub fn check(&self, odd: &mut Vec<String>) -> Checked<Rescored<'a>> {
        self.all_shown(odd)?;
        let again = self.scores(None, self.beacon())?;
        let recorded = self.run.text(&self.names.scores)?;
        if again.text == recorded {
            self.under_their_names(&again, odd)?;
            self.findings_are_on_updates()?;
            return Ok(again);
        }
        // What stood in the consensus when it was made, and stands there no more.
        let rest = recorded.strip_prefix(again.scores.text()?.as_str());
        if let (Some((file, why)), Some(1)) = (again.validated.rubbish.first(), rest.map(|rest| rest.lines().count())) {
            return wrong(file, why);
        }
        self.locate(&again, &recorded).map_err(|stop| match stop {
            // What the judge has signed on false scores proves it.
            Stop::Differs(difference, _) if difference.artifact == self.names.scores => {
                let rule = "the scores are what the round's files make them";
                let same = self.recorded().is_ok_and(|(scores, _)| same_inputs(&scores, &again.scores.scores));
                let mut proof = if same { false_verdicts(self, &again, rule).unwrap_or_default() } else { Vec::new() };
                if same {
                    proof
                        .extend(again.validated.evidence(self.start.id, self.round, &again.scores).unwrap_or_default());
                }
                Stop::Differs(difference, proof)
            }
            other => other,
        })
    }

    /// What counts, and what was committed to and shown, lies under its worker's name: a replay looks there.
    fn under_their_names(&self, again: &Rescored<'_>, odd: &mut Vec<String>) -> Checked<()> {
        for given in again.counting() {
            same(&given.file, "the worker that it names, as it counts", given.worker.as_str(), key(&given).0)?;
        }
        for assignment in self.assignments {
            let opened: BTreeSet<Digest> = self.lists.opened(assignment).collect();
            // Whoever commits to another's update makes it nobody else's.
            let shown = |g: &&Given| opened.contains(&g.content) && key(g).0 == assignment.worker;
            if self.given.iter().filter(shown).any(|g| g.worker == assignment.worker) {
                continue;
            }
            let Some(given) = self.given.iter().find(shown) else { continue };
            let what = "the worker who committed to it and showed it";
            let about = |f: &Finding| (&f.worker, f.update) == (&assignment.worker, given.content);
            if self.lists.findings.iter().flatten().any(about) {
                return differs(&given.file, what, &given.worker, &assignment.worker);
            }
            // Nobody looked at it as this worker's: it was sent in another's name.
            odd.push(format!("{}: {what} is {}, and it was not sent as its own", given.file, assignment.worker));
        }
        Ok(())
    }

    /// Every update that was committed to and shown is there, if the scores know of it.
    fn all_shown(&self, odd: &mut Vec<String>) -> Checked<()> {
        for assignment in self.assignments {
            let (worker, opened) = (&assignment.worker, self.lists.opened(assignment).collect::<BTreeSet<Digest>>());
            if opened.is_empty() || self.given.iter().any(|g| g.worker == *worker) {
                continue;
            }
            let file = format!("{}{worker}.update", self.names.folder);
            let scored = |s: &Score| s.worker == *worker && opened.contains(&s.update);
            if self.recorded().is_ok_and(|(scores, _)| scores.iter().any(scored)) {
                let shown = "no such file, though it was committed to, shown and scored";
                return Err(Error::missing(format!("{}: {shown}", self.run.path(&file).display())).into());
            }
            odd.push(format!(
                "{file}: {worker} committed to it and said what it is, and it is not there: it was never sent, or was left \
                 out, which {worker} can prove by showing it"
            ));
        }
        Ok(())
    }

    fn locate<T>(&self, again: &Rescored<'_>, recorded: &str) -> Checked<T> {
        let (scores, round) = self.recorded()?;
        let file = &self.names.scores;
        for given in self.given {
            self.update_altered(given, &scores)?;
        }
        for score in &scores {
            self.commitment_altered(score, again)?;
            self.finding_altered(score)?;
        }
        if let Some(held) = self.lists.beacon.filter(|held| Some(*held) != round.beacon) {
            let with = self.scores(None, round.beacon)?;
            let said = round.beacon.map_or("none".into(), |b| b.to_string());
            return match with.text == recorded {
                true => differs(&self.names.beacon, "the beacon, as the scores have it", said, held),
                false => differs(file, "the beacon", held, said),
            };
        }
        findings_grown(self)?;
        let mut lines = again.text.lines().zip(recorded.lines());
        match lines.find(|(expected, found)| expected != found) {
            Some((expected, found)) => differs(file, "a line", expected, found),
            None => differs(file, "its lines", again.text.lines().count(), recorded.lines().count()),
        }
    }

    /// A file that no longer holds the update that was scored.
    fn update_altered(&self, given: &Given, scores: &[Score]) -> Checked<()> {
        let gone = |s: &&Score| s.worker == given.worker && !self.given.iter().any(|g| g.content == s.update);
        let Some(score) = scores.iter().find(gone) else { return Ok(()) };
        let assignment = self.assignments.iter().find(|a| a.worker == given.worker);
        let opened: Vec<Digest> = assignment.map(|a| self.lists.opened(a).collect()).unwrap_or_default();
        let (said, found) = (score.update.to_string(), given.content.to_string());
        if opened.contains(&given.content) || !opened.contains(&score.update) && near(&said, &found) {
            return differs(&self.names.scores, format!("update of {}", given.worker), found, said);
        }
        differs(&given.file, "digest", said, found)
    }

    /// A commitment that no longer lets an update count that was scored on other grounds.
    fn commitment_altered(&self, score: &Score, again: &Rescored<'_>) -> Checked<()> {
        let Some(list) = &self.lists.in_time else { return Ok(()) };
        let assignment = self.assignments.iter().find(|a| a.worker == score.worker);
        let of = |g: &&&Given| key(g) == (score.worker.as_str(), score.update);
        let candidate = again.given.iter().find(of).and_then(|g| g.update.as_ref().ok());
        let (Some(assignment), Some((candidate, _))) = (assignment, candidate) else { return Ok(()) };
        let why = committed(candidate, self.round, Some(assignment), list, &self.lists.reveals).err();
        // A closed list neither grows nor shrinks: two in it are what the judge has seen.
        let seen = self.lists.closed && why.as_deref() == Some("two commitments");
        let was = score.reason.as_deref().filter(|reason| UNCOMMITTED.contains(reason));
        if why == score.reason || seen || why.is_none() && was.is_none() {
            return Ok(());
        }
        match self.lists.odd.first() {
            Some(odd) if why.is_some() => wrong(&self.names.commitments, odd),
            _ => {
                let show = |reason: Option<&str>| reason.unwrap_or("none").to_owned();
                let what = format!("what is wrong with the commitment of {}", score.worker);
                differs(&self.names.commitments, what, show(was), show(why.as_deref()))
            }
        }
    }

    /// A finding that is no longer the one that a score rests on.
    fn finding_altered(&self, score: &Score) -> Checked<()> {
        let Some(said) = score.finding else { return Ok(()) };
        let Some(findings) = &self.lists.findings else {
            return self.run.source(&self.names.findings).map(drop);
        };
        let digests: Vec<Digest> = findings.iter().map(finding_digest).collect::<Result<_>>()?;
        if digests.contains(&said) {
            return Ok(());
        }
        let what = format!("finding of {}", score.worker);
        if let Some(truth) = digests.iter().find(|d| near(&said.to_string(), &d.to_string())) {
            return differs(&self.names.scores, what, truth, said);
        }
        let own = findings.iter().zip(&digests).find(|(f, _)| f.worker == score.worker);
        let found = own.map_or("none".into(), |(_, digest)| digest.to_string());
        differs(&self.names.findings, format!("{what}: digest"), said, found)
    }

    /// Findings are about the updates that are there. Those on updates that cannot be read are made again: no score names
    /// them.
    fn findings_are_on_updates(&self) -> Checked<()> {
        let list = &self.names.findings;
        for finding in self.lists.findings.iter().flatten() {
            let given = self.given.iter().find(|g| g.worker == finding.worker);
            let assignment = self.assignments.iter().find(|a| a.worker == finding.worker);
            let of_round = (finding.run, finding.round) == (self.start.id, self.round);
            let (Some(given), Some(assignment), true) = (given, assignment, of_round) else {
                let what = format!("a finding on worker {:?} in round {}", finding.worker, finding.round);
                return wrong(list, format!("{what}: expected one on an update of this round"));
            };
            let Err(error) = &given.update else {
                same(list, "an update that a finding is on", given.content, finding.update)?;
                continue;
            };
            if finding.update != given.content {
                let shown = self.lists.opened(assignment).any(|update| update == finding.update);
                let altered = !shown && near(&finding.update.to_string(), &given.content.to_string());
                let file = if altered { list } else { &given.file };
                return differs(file, format!("the update of {}", given.worker), finding.update, given.content);
            }
            let path = self.run.path(&given.file).display().to_string();
            let expected = malformed_finding(self.start.id, assignment, given.content, &path, error);
            if !finding.agrees(&expected) && error.kind() == Kind::Data {
                let (expected, found) = (record::line(&expected)?, record::line(finding)?);
                return differs(list, "a line", expected.trim_end(), found.trim_end());
            }
        }
        Ok(())
    }
}

/// Why a commitment does not let an update count: see [`uncommitted`].
const UNCOMMITTED: [&str; 5] = [
    "no commitment",
    "the commitment is not signed by the worker",
    "two commitments",
    "does not match its commitment",
    "its commitment was never opened",
];

/// Whether scores rest on the same updates and findings: those that whoever signed the ones has seen.
fn same_inputs(recorded: &[Score], again: &[Score]) -> bool {
    let inputs = |scores: &[Score]| -> BTreeSet<_> {
        scores.iter().map(|s| (s.worker.clone(), s.update.to_string(), s.finding.map(|f| f.to_string()))).collect()
    };
    inputs(recorded) == inputs(again)
}
