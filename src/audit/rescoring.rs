//! A round scored again, from the same lists and updates.

use super::differs::{Checked, blame, same, wrong};
use super::folder::RunFolder;
use super::given::{Given, open};
use super::lists::{Lists, Names};
use super::start::Start;
use super::validated::Validated;
use crate::artifact::{Digest, record};
use crate::codec::Update;
use crate::data::{Assignment, Shard, Split};
use crate::device::Device;
use crate::error::Error;
use crate::model::ModelFolder;
use crate::score::{
    Candidate, Eligibility, RoundScore, Score, Scores, Scoring, Standing, deciding, in_order, read_assigned,
    read_held_out, read_update, score_round,
};
use crate::verify::Finding;

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
    /// Where losses are measured.
    pub device: &'a Device,
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
            device: self.device,
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
        let validated = Validated::read(self.run, &self.start.recipe, self.names)?;
        let text = validated.text(&self.start.recipe, self.names, &scores)?;
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
    pub fn recorded(&self) -> Checked<(Vec<Score>, RoundScore)> {
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
}

/// The worker that an update names, and its content.
pub fn key<'g>(given: &'g &Given) -> (&'g str, Digest) {
    match &given.update {
        Ok((candidate, _)) => (&candidate.worker, candidate.digest),
        Err(_) => ("", given.content),
    }
}
