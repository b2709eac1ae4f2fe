//! The scores that validators signed, beside the ones that the round's files make.

use std::collections::BTreeMap;

use super::differs::{Checked, Stop, blame};
use super::evidence::{Evidence, value};
use super::folder::RunFolder;
use super::lists::Names;
use crate::artifact::key::parse_public;
use crate::artifact::{Digest, Recipe};
use crate::score::{Ballot, Scores, endorse, merge};

/// Ending of the files that hold what validators signed.
pub const ENDING: &str = ".scored";

/// What the validators of a round signed.
#[derive(Default)]
pub struct Validated {
    /// File and content.
    pub ballots: Vec<(String, Ballot)>,
    /// Files that are no ballot, and why: a validator stops no audit by signing nothing.
    pub rubbish: Vec<(String, String)>,
}

impl Validated {
    /// Reads the files of a round, where the recipe names validators.
    pub fn read(run: &RunFolder, recipe: &Recipe, names: &Names) -> Checked<Validated> {
        let mut validated = Validated::default();
        if recipe.score.validators.is_empty() {
            return Ok(validated);
        }
        for file in run.below(&names.folder).filter(|name| name.ends_with(ENDING)) {
            let read = || blame(file, Ballot::read(&run.lines(file)?, recipe));
            match read() {
                Ok(ballot) if ballot.scores.round.round == names.round => {
                    validated.ballots.push((file.to_owned(), ballot));
                }
                Ok(_) => validated.rubbish.push((file.to_owned(), "scores of another round".into())),
                Err(Stop::Differs(why, _)) => validated.rubbish.push((file.to_owned(), why.what)),
                Err(failed) => return Err(failed),
            }
        }
        Ok(validated)
    }

    /// The text of the round's scores: those of a sole coordinator as they are; of validators what they merge into, where
    /// that is what the files make. Without a majority of them there are no scores.
    pub fn text(&self, recipe: &Recipe, names: &Names, truth: &Scores) -> Checked<String> {
        if recipe.score.validators.is_empty() {
            return Ok(truth.text()?);
        }
        let ballots = self.ballots.iter().map(|(_, ballot)| ballot.clone()).collect();
        match merge(recipe, ballots, |_| ()) {
            Ok(merged) if merged.scores == *truth => Ok(merged.text()?),
            Ok(_) => Ok(truth.text()?),
            Err(error) => blame(&names.scores, Err(error)),
        }
    }

    /// The signed scores that are not the true ones.
    fn false_ones(&self, truth: &Scores) -> Checked<Vec<&(String, Ballot)>> {
        let digest = truth.digest()?;
        Ok(self.ballots.iter().filter(|(_, ballot)| ballot.digest() != digest).collect())
    }

    /// A line about each of them.
    pub fn odd(&self, truth: &Scores) -> Checked<Vec<String>> {
        let say = |(file, ballot): &(String, Ballot)| {
            format!("{file}: validator {} signed scores that are not the round's", ballot.endorsement.validator)
        };
        let rubbish = self.rubbish.iter().map(|(file, why)| format!("{file}: passed over: {why}"));
        Ok(self.false_ones(truth)?.into_iter().map(say).chain(rubbish).collect())
    }

    /// What proves it.
    pub fn evidence(&self, run: Digest, round: u64, truth: &Scores) -> Checked<Vec<Evidence>> {
        let mut found = Vec::new();
        for (file, ballot) in self.false_ones(truth)? {
            let signed = &ballot.endorsement;
            found.push(Evidence {
                run,
                round,
                worker: signed.validator.clone(),
                artifact: file.clone(),
                rule: "the scores that a validator signs are what the round's files make them".into(),
                signed: value(signed)?,
                recomputed: Some(value(&endorse(truth, &parse_public(&signed.validator)?)?)?),
                against: None,
            });
        }
        Ok(found)
    }

    /// Validators that have signed two scores of the round, whichever are the true ones.
    pub fn twofold(&self, run: Digest, round: u64) -> Checked<Vec<Evidence>> {
        let mut first: BTreeMap<&str, &Ballot> = BTreeMap::new();
        let mut found = Vec::new();
        for (file, ballot) in &self.ballots {
            let signed = &ballot.endorsement;
            let before = *first.entry(&signed.validator).or_insert(ballot);
            if before.digest() == ballot.digest() {
                continue;
            }
            found.push(Evidence {
                run,
                round,
                worker: signed.validator.clone(),
                artifact: file.clone(),
                rule: "a validator signs one list of scores of a round".into(),
                signed: value(signed)?,
                recomputed: None,
                against: Some(value(&before.endorsement)?),
            });
        }
        Ok(found)
    }
}
