//! What workers carry from round to round by their scores: the average of their proofs of training, a rating, and which of
//! their updates counted last.

use std::collections::BTreeMap;

use super::eligible::Candidate;
use super::rating::{FixedRating, PlackettLuce, Rating, ranks};
use super::records::{Counted, Standing};
use super::scoring::Scoring;
use crate::artifact::recipe::ScoreRecipe;
use crate::artifact::{Recipe, canonical, valid_worker_id};
use crate::codec::Update;
use crate::error::{Context, Error, Result};

/// A worker's standing, its average as a number.
pub(super) struct Held {
    pub standing: Standing,
    /// The average of signs, in 2^-32.
    pub average: i64,
}

/// The standings of a round, by worker.
pub(super) struct Standings<'a> {
    input: &'a Scoring<'a>,
    by_worker: BTreeMap<String, Held>,
}

impl<'a> Standings<'a> {
    /// What the workers stood at before, as of this round, see [`check_standings`].
    pub fn carried(input: &'a Scoring<'a>) -> Result<Standings<'a>> {
        Ok(Standings { input, by_worker: held(input.recipe, input.round, input.standings)? })
    }

    /// A worker's, a new one where it never stood anywhere.
    pub fn of(&mut self, worker: &str) -> &mut Held {
        let fresh = || Standing {
            run: self.input.recipe.digest(),
            round: self.input.round,
            worker: worker.to_owned(),
            own_q32: "0".into(),
            own_rounds: 0,
            counted: Vec::new(),
            mu_q32: None,
            sigma_q32: None,
        };
        self.by_worker.entry(worker.to_owned()).or_insert_with(|| Held { standing: fresh(), average: 0 })
    }

    /// Rates everybody who sent an update, where the recipe rates: by the gains of those that count, the others last and
    /// equal. Who sent none plays no part in the round, whoever sent one in that name.
    pub fn rate(
        &mut self,
        candidates: &[Candidate],
        sent: impl Fn(usize) -> bool,
        gain: impl Fn(usize) -> Option<i128>,
    ) -> Result<()> {
        let rule = &self.input.recipe.score;
        let mut best: BTreeMap<&str, i128> = BTreeMap::new();
        for (i, candidate) in candidates.iter().enumerate().filter(|(i, _)| sent(*i)) {
            let gain = gain(i).unwrap_or(i128::MIN);
            best.entry(&candidate.worker).and_modify(|best| *best = gain.max(*best)).or_insert(gain);
        }
        if !rule.rating || best.is_empty() {
            return Ok(());
        }
        let worth: Vec<i128> = best.values().copied().collect();
        let before: Vec<Rating> =
            best.keys().map(|worker| rating_of(&self.of(worker).standing)).collect::<Result<_>>()?;
        let model = PlackettLuce { beta: rule.rating_beta, tau: rule.rating_tau, ..PlackettLuce::default() };
        for (worker, rating) in best.keys().zip(model.rate(&before, &ranks(&worth))?) {
            let fixed = rating.to_fixed()?;
            let standing = &mut self.of(worker).standing;
            (standing.mu_q32, standing.sigma_q32) = (Some(fixed.mu_q32.to_string()), Some(fixed.sigma_q32.to_string()));
        }
        Ok(())
    }

    /// The updates that are remembered, by ascending worker, each worker's oldest first: what the recipe has of them must be
    /// among [`Scoring::earlier`].
    pub fn remembered(&self) -> Result<Vec<&'a Update>> {
        let earlier = self.input.earlier;
        let find = |(worker, counted): (&String, &Counted)| {
            earlier.iter().copied().find(|update| update.digest() == counted.update).ok_or_else(|| {
                let Counted { round, update } = counted;
                Error::missing(format!("update {update} of {worker}, which counted in round {round}: not given"))
                    .hint("--earlier names the run folder that has it")
            })
        };
        let of = |(worker, held): (&'_ String, &'_ Held)| {
            held.standing.counted.iter().map(|counted| find((worker, counted))).collect::<Vec<_>>()
        };
        self.by_worker.iter().flat_map(of).collect()
    }

    /// Remembers those that count, and forgets what is older than the recipe's memory.
    pub fn remember(&mut self, candidates: &[Candidate], counts: impl Fn(usize) -> bool) {
        let (memory, round) = (self.input.recipe.score.memory as usize, self.input.round);
        if memory == 0 {
            return;
        }
        for (_, candidate) in candidates.iter().enumerate().filter(|(i, _)| counts(*i)) {
            let counted = &mut self.of(&candidate.worker).standing.counted;
            counted.push(Counted { round, update: candidate.digest });
            counted.drain(..counted.len().saturating_sub(memory));
        }
    }

    /// The records, by ascending worker.
    pub fn records(self) -> Vec<Standing> {
        self.by_worker.into_values().map(|held| held.standing).collect()
    }
}

/// Whether standings can be carried into a round: they must be of this run, each worker's once, of a round before.
pub fn check_standings(recipe: &Recipe, round: u64, standings: &[Standing]) -> Result<()> {
    held(recipe, round, standings).map(drop)
}

fn held(recipe: &Recipe, round: u64, standings: &[Standing]) -> Result<BTreeMap<String, Held>> {
    let run = recipe.digest();
    let mut by_worker = BTreeMap::new();
    for standing in standings {
        let place = || format!("standing of {:?}", standing.worker);
        if standing.run != run || standing.round >= round {
            let of = format!("run {}, round {}", standing.run, standing.round);
            return Err(Error::refused(format!("{}: expected one of this run, and earlier, found {of}", place())));
        }
        if !valid_worker_id(&standing.worker) {
            return Err(Error::data(format!("{}: expected a worker's id", place())));
        }
        let average = canonical::integer(&standing.own_q32).filter(|average: &i64| average.unsigned_abs() <= 1 << 32);
        let average = average.ok_or_else(|| Error::data(format!("{}: own_q32: expected -2^32 to 2^32", place())))?;
        rating_of(standing).at(place())?;
        check_counted(standing, &recipe.score).at(place())?;
        let standing = Standing { round, ..standing.clone() };
        if by_worker.insert(standing.worker.clone(), Held { standing, average }).is_some() {
            return Err(Error::data(format!("{}: a second one", place())));
        }
    }
    Ok(by_worker)
}

/// What counted must have done so in earlier rounds, one after the other, and be no more than the recipe has remembered.
fn check_counted(standing: &Standing, rule: &ScoreRecipe) -> Result<()> {
    let Standing { counted, round, .. } = standing;
    let ascending = counted.windows(2).all(|pair| pair[0].round < pair[1].round);
    if counted.len() as u64 > rule.memory || !ascending || counted.last().is_some_and(|last| last.round > *round) {
        let most = rule.memory;
        return Err(Error::data(format!("counted: expected at most {most} updates of ascending rounds up to {round}")));
    }
    Ok(())
}

/// The rating in a standing; that of somebody unknown where there is none.
fn rating_of(standing: &Standing) -> Result<Rating> {
    match (&standing.mu_q32, &standing.sigma_q32) {
        (None, None) => Ok(PlackettLuce::UNKNOWN),
        (Some(mu), Some(sigma)) => match (canonical::integer(mu), canonical::integer(sigma)) {
            (Some(mu_q32), Some(sigma_q32)) => FixedRating { mu_q32, sigma_q32 }.to_float(),
            _ => Err(Error::data(format!("expected a rating in 2^-32, found mu {mu:?}, sigma {sigma:?}"))),
        },
        _ => Err(Error::data("expected mu and sigma together")),
    }
}
