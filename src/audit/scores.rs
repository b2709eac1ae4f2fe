//! The scores of a round again, and what was altered where they differ.

use std::collections::BTreeSet;

use super::differs::{Checked, Stop, blame, differs, near, same, wrong};
use super::folder::RunFolder;
use super::lists::{Lists, Names};
use super::settled::{false_verdicts, findings_grown};
use super::start::Start;
use super::validated::Validated;
use crate::artifact::{Digest, Meta, record};
use crate::codec::Update;
use crate::data::{Assignment, Shard, Split};
use crate::error::{Error, Kind, Result};
use crate::model::{Layout, ModelFolder};
use crate::score::{
    Candidate, Eligibility, RoundScore, Score, Scores, Scoring, Standing, committed, deciding, finding_digest,
    in_order, read_assigned, read_held_out, read_update, score_round, update_digest,
};
use crate::verify::{Finding, malformed_finding};

/// Ending of the files that hold what validators signed.
pub const ENDING: &str = ".scored";

/// A file that holds an update, or should.
pub struct Given {
    /// Whose it is by its name.
    pub worker: String,
    /// The file.
    pub file: String,
    /// The digest of what is there.
    pub content: Digest,
    /// What it says of itself, with its metadata; or why it cannot be read.
    pub update: Result<(Candidate, Meta)>,
}

/// The updates of a round, one after the other.
pub fn read_given(run: &RunFolder, start: &Start, layout: &Layout, names: &Names) -> Checked<Vec<Given>> {
    let mut given = Vec::new();
    for file in run.below(&names.folder) {
        let Some(worker) = file[names.folder.len()..].strip_suffix(".update").filter(|w| !w.contains('/')) else {
            continue;
        };
        let update = run.source(file).map(|source| read_update(source, &start.recipe, layout))?;
        let update = match update {
            Ok(update) => Ok((Candidate::of(&update), update.meta().clone())),
            Err(error) if matches!(error.kind(), Kind::Data | Kind::Refused) => Err(error),
            Err(error) => return Err(error.into()),
        };
        // What has no content, a cut frame, has no digest either, nor what no update can be.
        let content = match update_digest(&run.path(file), layout) {
            Ok(digest) => digest,
            Err(error) if error.kind() == Kind::Data => Digest([0; 32]),
            Err(error) => return Err(error.into()),
        };
        given.push(Given { worker: worker.to_owned(), file: file.to_owned(), content, update });
    }
    Ok(given)
}

/// Opens an update that was read before, and is still what it was.
pub fn open(run: &RunFolder, start: &Start, layout: &Layout, file: &str, digest: Digest) -> Result<Update> {
    let source = run.source(file).map_err(|_| Error::missing(format!("{file}: it was there before")))?;
    let update = read_update(source, &start.recipe, layout)?;
    if update.digest() == digest {
        return Ok(update);
    }
    Err(Error::new(Kind::Io, format!("{}: it changed while it was audited", update.file())))
}

/// A round being scored again.
pub struct Rescoring<'a> {
    /// The run folder.
    pub run: &'a RunFolder,
    /// What it stands on.
    pub start: &'a Start,
    /// The round.
    pub round: u64,
    /// The model at its start.
    pub folder: &'a ModelFolder,
    /// Its assignments.
    pub assignments: &'a [Assignment],
    /// Its lists.
    pub lists: &'a Lists,
    /// Its updates.
    pub given: &'a [Given],
    /// Their names.
    pub names: &'a Names,
}

/// Scores, and the updates that they are of.
pub struct Rescored<'a> {
    /// The scores.
    pub scores: Scores,
    /// Their canonical lines.
    pub text: String,
    /// The updates, in the scores' order.
    pub given: Vec<&'a Given>,
    /// What validators signed.
    pub validated: Validated,
}

impl Rescored<'_> {
    /// The updates that count.
    pub fn counting(&self) -> impl Iterator<Item = &Given> {
        self.given.iter().zip(&self.scores.scores).filter(|(_, score)| score.counts).map(|(given, _)| *given)
    }

    /// Whether a worker's update counts.
    pub fn counts(&self, candidate: &Candidate) -> bool {
        self.score(candidate).is_some_and(|score| score.counts)
    }

    /// Why it does not.
    pub fn reason(&self, candidate: &Candidate) -> Option<&str> {
        self.score(candidate)?.reason.as_deref()
    }

    fn score(&self, candidate: &Candidate) -> Option<&Score> {
        self.scores.scores.iter().find(|s| (&s.worker, s.update) == (&candidate.worker, candidate.digest))
    }

    /// The digest of the scores' file.
    pub fn digest(&self) -> Digest {
        Digest::of(self.text.as_bytes())
    }
}

impl<'a> Rescoring<'a> {
    /// The recorded findings on an update as this worker's.
    pub fn findings_on(&self, worker: &str, update: &Candidate) -> impl Iterator<Item = &Finding> + use<'_, 'a> {
        let (run, round, worker, update) = (self.start.id, self.round, worker.to_owned(), update.digest);
        let about = move |f: &&Finding| (f.run, f.round, &f.worker, f.update) == (run, round, &worker, update);
        self.lists.findings.iter().flatten().filter(about)
    }

    /// The one of them that decides, as for the scores.
    pub fn finding_of(&self, worker: &str, update: &Candidate) -> Option<&Finding> {
        deciding(|| self.findings_on(worker, update))
    }

    /// The scores by the lists as they are, or by other findings.
    pub fn scores(&self, findings: Option<Vec<Finding>>, beacon: Option<Digest>) -> Checked<Rescored<'a>> {
        let mut lists: Eligibility = self.lists.eligibility(self.assignments);
        if let Some(findings) = findings {
            lists.findings = Some(findings);
        }
        let held_out = self.held_out()?;
        let mut readable: Vec<&Given> = self.given.iter().filter(|g| g.update.is_ok()).collect();
        // Of two files with one update, the one that has its worker's name.
        readable.sort_by_key(|g| key(g).0 != g.worker);
        let given = in_order(readable, |g: &&Given| key(g), |_, _| ());
        let candidates: Vec<Candidate> = given.iter().filter_map(|g| Some(g.update.as_ref().ok()?.0.clone())).collect();
        let vocabulary = self.folder.config.vocab_size;
        let shard = |assignment: &Assignment| {
            let file = format!("shards/{}", assignment.shard);
            let missing = |_| Error::missing(format!("{file}: no such file, though it was assigned"));
            read_assigned(self.run.source(&file).map_err(missing)?, assignment, &self.start.recipe, vocabulary)
        };
        let standings = self.standings()?;
        let earlier = self.earlier(&standings)?;
        let input = Scoring {
            recipe: &self.start.recipe,
            round: self.round,
            folder: self.folder,
            held_out: &held_out,
            beacon,
            lists: &lists,
            shards: Some(&shard),
            standings: &standings,
            earlier: &earlier.iter().collect::<Vec<_>>(),
        };
        let layout = &self.folder.layout;
        let open = |i: usize| open(self.run, self.start, layout, &given[i].file, candidates[i].digest);
        let scores = blame(&self.names.scores, score_round(&input, &candidates, open, &mut |_| ()))?;
        let validated = Validated::read(self)?;
        let text = validated.text(self, &scores)?;
        Ok(Rescored { scores, text, given, validated })
    }

    /// What the workers carry into the round: the scores of the round before, which were checked with it.
    fn standings(&self) -> Checked<Vec<Standing>> {
        let carries = self.start.recipe.score.carries();
        let Some(before) = self.round.checked_sub(1).filter(|_| carries) else {
            return Ok(Vec::new());
        };
        let file = Names::of(before).scores;
        blame(&file, record::select(&self.run.lines(&file)?))
    }

    /// The updates of earlier rounds that the standings name: they were looked at with their rounds.
    fn earlier(&self, standings: &[Standing]) -> Checked<Vec<Update>> {
        let mut earlier = Vec::new();
        for standing in standings {
            for counted in &standing.counted {
                let file = counted.file(&standing.worker);
                let found = read_update(self.run.source(&file)?, &self.start.recipe, &self.folder.layout);
                let found = blame(&file, found)?;
                same(&file, "digest", counted.update, found.digest())?;
                earlier.push(found);
            }
        }
        Ok(earlier)
    }

    /// The held-out shard that the scores name, else the first.
    fn held_out(&self) -> Checked<Shard> {
        let named = self.recorded().ok().map(|(_, round)| round.held_out);
        let entries: Vec<_> = self.start.manifest.split(Split::Val).collect();
        let entry = entries.iter().find(|e| Some(e.digest) == named).or(entries.first());
        let Some(entry) = entry else {
            return wrong("shards/shards.jsonl", "expected a held-out shard, found none");
        };
        let file = format!("shards/{}", entry.file);
        let vocabulary = self.folder.config.vocab_size;
        blame(&file, read_held_out(self.run.source(&file)?, &self.start.recipe, vocabulary))
    }

    /// The scores as they were recorded.
    fn recorded(&self) -> Checked<(Vec<Score>, RoundScore)> {
        let file = &self.names.scores;
        let lines = self.run.lines(file)?;
        let Scores { scores, standings, round } = blame(file, Scores::of_lines(&lines))?;
        if scores.len() + standings.len() + 1 + self.consensus() == lines.len() {
            return Ok((scores, round));
        }
        wrong(file, "expected records of scores alone, and with validators one consensus")
    }

    /// How many consensus records the scores have.
    fn consensus(&self) -> usize {
        usize::from(!self.start.recipe.score.validators.is_empty())
    }

    /// The beacon that the scores rest on: the file's, else as the scores name it.
    pub fn beacon(&self) -> Option<Digest> {
        self.lists.beacon.or_else(|| self.recorded().ok()?.1.beacon)
    }

    /// Scores the round again, and compares. Where the recorded scores differ, what was altered is named: an input that
    /// they still remember, or they themselves.
    pub fn check(&self) -> Checked<Rescored<'a>> {
        self.all_shown()?;
        let again = self.scores(None, self.beacon())?;
        let recorded = self.run.text(&self.names.scores)?;
        if again.text == recorded {
            self.under_their_names(&again)?;
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
                    proof.extend(again.validated.evidence(self, &again.scores).unwrap_or_default());
                }
                Stop::Differs(difference, proof)
            }
            other => other,
        })
    }

    /// What counts, and what was committed to and shown, lies under its worker's name: a replay looks there.
    fn under_their_names(&self, again: &Rescored<'_>) -> Checked<()> {
        for given in again.counting() {
            same(&given.file, "the worker that it names, as it counts", given.worker.as_str(), key(&given).0)?;
        }
        for assignment in self.assignments {
            let opened: BTreeSet<Digest> = self.lists.opened(assignment).collect();
            let shown = |g: &&Given| opened.contains(&g.content);
            if self.given.iter().filter(shown).any(|g| g.worker == assignment.worker) {
                continue;
            }
            if let Some(given) = self.given.iter().find(shown) {
                let what = "the worker who committed to it and showed it";
                return differs(&given.file, what, &given.worker, &assignment.worker);
            }
        }
        Ok(())
    }

    /// Every update that was committed to and shown is there.
    fn all_shown(&self) -> Checked<()> {
        for assignment in self.assignments {
            let there = self.given.iter().any(|g| g.worker == assignment.worker);
            if !there && self.lists.opened(assignment).next().is_some() {
                let file = format!("{}{}.update", self.names.folder, assignment.worker);
                let shown = "no such file, though it was committed to and shown";
                return Err(Error::missing(format!("{}: {shown}", self.run.path(&file).display())).into());
            }
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
            if *finding != expected && error.kind() == Kind::Data {
                let (expected, found) = (record::line(&expected)?, record::line(finding)?);
                return differs(list, "a line", expected.trim_end(), found.trim_end());
            }
        }
        Ok(())
    }
}

/// Why a commitment does not let an update count: see [`uncommitted`].
const UNCOMMITTED: [&str; 4] =
    ["no commitment", "the commitment is not signed by the worker", "two commitments", "does not match its commitment"];

/// Whether scores rest on the same updates and findings: those that whoever signed the ones has seen.
fn same_inputs(recorded: &[Score], again: &[Score]) -> bool {
    let inputs = |scores: &[Score]| -> BTreeSet<_> {
        scores.iter().map(|s| (s.worker.clone(), s.update.to_string(), s.finding.map(|f| f.to_string()))).collect()
    };
    inputs(recorded) == inputs(again)
}

fn key<'g>(given: &'g &Given) -> (&'g str, Digest) {
    match &given.update {
        Ok((candidate, _)) => (&candidate.worker, candidate.digest),
        Err(_) => ("", given.content),
    }
}
