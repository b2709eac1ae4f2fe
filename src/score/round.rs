//! A round's scores: a pure function of recipe, model, held-out data, beacon, signed lists and updates.

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashSet};

use super::accept::Acceptance;
use super::eligible::{Candidate, Eligibility, judge};
use super::gain::{draw_sequences, total_loss};
use super::next::Opened;
use super::pay_rules::PayRule;
use super::payout::split;
use super::records::{RoundScore, Score};
use super::worth::{coalitions, worth};
use crate::artifact::recipe::PayName;
use crate::artifact::{Digest, Reader, Recipe, record};
use crate::codec::Update;
use crate::data::{Shard, Split};
use crate::engine::Engine;
use crate::error::{Context, Error, Kind, Result};
use crate::fsio::Source;
use crate::model::{Layout, Model, ModelFolder, Plan, Workspace};
use crate::optimizer::{aggregate, descend, outer_step};

/// What a round is scored by.
pub struct Scoring<'a> {
    /// The recipe.
    pub recipe: &'a Recipe,
    /// The round.
    pub round: u64,
    /// The model at its start.
    pub folder: &'a ModelFolder,
    /// The held-out shard.
    pub held_out: &'a Shard,
    /// Draws the held-out sequences.
    pub beacon: Option<Digest>,
    /// What decides which updates count.
    pub lists: &'a Eligibility,
}

/// What a round's scores are.
#[derive(Clone, Debug)]
pub struct Scores {
    /// One an update, in the candidates' order.
    pub scores: Vec<Score>,
    /// What they have in common.
    pub round: RoundScore,
}

impl Scores {
    /// The canonical lines.
    pub fn text(&self) -> Result<String> {
        let lines: Result<String> = self.scores.iter().map(record::line).collect();
        Ok(lines? + &record::line(&self.round)?)
    }
}

/// For whoever watches a round being scored.
pub enum Watch<'a> {
    /// The rule of pay needs so many forward passes over the held-out data, at most.
    Passes(u64),
    /// So many micro-batches are ahead.
    Begin(u64),
    /// One is done.
    MicroBatch,
    /// An update breaks the model, and does not count.
    Breaks(&'a Error),
}

/// Reads an update of this run and model, decoded once so that nothing in it can fail later. A malformed one is
/// malformed data, one of another run a refusal.
pub fn read_update(source: Source, recipe: &Recipe, layout: &Layout) -> Result<Update> {
    let update = Update::open_for(recipe, Reader::open(source)?, layout.shapes())?;
    update.verify()?;
    Ok(update)
}

/// Updates in the order in which they are scored and summed: by ascending worker id, then by digest. Whoever sends
/// another's update as it is adds nothing to it, and takes nothing from it: `again` is told of those left out.
pub fn in_order<T>(mut given: Vec<T>, key: impl Fn(&T) -> (&str, Digest), mut again: impl FnMut(&T, &T)) -> Vec<T> {
    given.sort_by(|a, b| key(a).cmp(&key(b)));
    given.dedup_by(|twice, first| {
        let same = key(twice).1 == key(first).1;
        if same {
            again(twice, first);
        }
        same
    });
    given
}

/// At most one update a worker can count. Where lists of commitments or findings decide, a second one never does.
pub fn one_a_worker<'a>(counting: impl Iterator<Item = (&'a str, &'a str)>) -> Result<()> {
    let mut seen = HashSet::new();
    for (worker, file) in counting {
        if !seen.insert(worker) {
            let twice = format!("{file}: a second update of worker {worker}");
            return Err(Error::data(twice).hint("--commitments or --findings say which one counts"));
        }
    }
    Ok(())
}

/// Measures every update that counts, alone, and splits the round's msat by what they gained. `candidates` are
/// [`in_order`]; `open` gives the update of one, which is held no longer than it is measured.
pub fn score_round<U: Borrow<Update>>(
    input: &Scoring<'_>,
    candidates: &[Candidate],
    open: impl Fn(usize) -> Result<U>,
    watch: &mut dyn FnMut(Watch<'_>),
) -> Result<Scores> {
    let Scoring { recipe, round, folder, held_out, lists, .. } = *input;
    let run = recipe.digest();
    let rule = Acceptance { recipe, layout: &folder.layout, beacon: input.beacon.as_ref() };
    let mut reasons: Vec<Option<String>> = candidates.iter().map(|c| judge(c, round, &rule, lists)).collect();
    let counting = candidates.iter().zip(&reasons).filter(|(_, reason)| reason.is_none());
    one_a_worker(counting.clone().map(|(c, _)| (c.worker.as_str(), c.file.as_str())))?;
    let counted = counting.count();
    let coalitions = coalitions(&recipe.pay, counted);
    let passes = 1 + counted as u64 + coalitions;

    let beacon = input.beacon.as_ref();
    let count = if candidates.is_empty() && beacon.is_none() { 0 } else { recipe.score.sequences };
    let drawn = draw_sequences(&run, round, beacon, count, held_out.sequences())?;
    let mut meter = Meter::new(input, &drawn);
    let batches = drawn.len().div_ceil(meter.plan.sequences) as u64;
    if coalitions > 0 {
        watch(Watch::Passes(passes));
    }
    watch(Watch::Begin(batches.saturating_mul(passes)));
    let before = meter.loss(&folder.parameters, watch)?;
    let mut after = BTreeMap::new();
    for (i, reason) in reasons.iter_mut().enumerate().filter(|(_, reason)| reason.is_none()) {
        let update = open(i)?;
        let applied = apply_alone(update.borrow(), folder, recipe.outer.lr as f32);
        drop(update);
        match applied.and_then(|applied| meter.loss(&applied, watch)) {
            Ok(loss) => drop(after.insert(i, loss)),
            // Somebody's update that breaks the model is that worker's loss, and no reason to stop the round.
            Err(error) if error.kind() == Kind::Data => {
                watch(Watch::Breaks(&error));
                *reason = Some("breaks the model".into());
            }
            Err(error) => return Err(error),
        }
    }

    let workers = lists.assignments.as_ref().map_or(candidates.len(), Vec::len) as u64;
    let gains: Vec<i128> = after.values().map(|after| before - after).collect();
    let members: Vec<usize> = after.keys().copied().collect();
    let purpose = Digest::of_parts("l402/score/shapley/1", &[&run.0, &round.to_le_bytes()]);
    let worth = worth(&recipe.pay, &gains, purpose.philox_key(), |coalition| {
        let open = |i: usize| open(members[coalition[i]]);
        match together(input, coalition.len(), open).and_then(|theta| meter.loss(&theta, watch)) {
            Ok(loss) => Ok(before - loss),
            // Each alone did not break the model; together they undo it.
            Err(error) if error.kind() == Kind::Data => Ok(-before),
            Err(error) => Err(error),
        }
    })?;
    let payout = split(&PayRule::of(&recipe.pay)?, recipe.pay.round_msat, workers, &worth.values);
    let by_rule = coalitions > 0 || recipe.pay.rule == PayName::Shapley;
    let place = |i: usize| members.iter().position(|member| *member == i).filter(|_| by_rule);
    let mut paid: BTreeMap<usize, u64> = after.keys().copied().zip(payout.msat.iter().copied()).collect();
    let score = |(i, (candidate, reason)): (usize, (&Candidate, Option<String>))| -> Result<Score> {
        let finding = lists.finding_of(candidate, &run, round);
        Ok(Score {
            run,
            round,
            worker: candidate.worker.clone(),
            update: candidate.digest,
            counts: reason.is_none(),
            reason,
            finding: finding.map(finding_digest).transpose()?,
            after_q32: after.get(&i).map(i128::to_string),
            gain_q32: after.get(&i).map(|after| (before - after).to_string()),
            worth_q32: place(i).map(|at| worth.values[at].to_string()),
            worth_error_q32: place(i).and_then(|at| Some(worth.error.as_ref()?[at].to_string())),
            entitled_msat: paid.remove(&i).unwrap_or(0),
            bytes: candidate.bytes,
        })
    };
    Ok(Scores {
        scores: candidates.iter().zip(reasons).enumerate().map(score).collect::<Result<_>>()?,
        round: RoundScore {
            run,
            round,
            theta: folder.digest,
            held_out: held_out.digest(),
            beacon: input.beacon,
            sequences: drawn.len() as u64,
            tokens: (drawn.len() * recipe.data.seq_len) as u64,
            before_q32: before.to_string(),
            workers,
            round_msat: recipe.pay.round_msat,
            returned_msat: payout.returned_msat,
        },
    })
}

/// What a score calls a finding by: the digest of its canonical line, newline included.
pub fn finding_digest(finding: &crate::verify::Finding) -> Result<Digest> {
    record::line(finding).map(|line| Digest::of(line.as_bytes()))
}

/// Reads a held-out shard for a recipe and a model.
pub fn read_held_out(source: Source, recipe: &Recipe, vocab_size: usize) -> Result<Shard> {
    let name = source.name().to_owned();
    let held_out = Shard::open(source)?;
    held_out.check_recipe(recipe).at(&name)?;
    held_out.check_split(Split::Val).at(&name)?;
    held_out.check_vocabulary(vocab_size).at(&name)?;
    Ok(held_out)
}

/// Theta after the outer step with this update alone.
fn apply_alone(update: &Update, folder: &ModelFolder, alpha: f32) -> Result<Vec<f32>> {
    let mut parameters = folder.parameters.to_vec();
    for tensor in &folder.layout.tensors {
        let sent = vec![update.decode(&tensor.name)?];
        let values = &mut parameters[tensor.range()];
        outer_step(Engine::detect(), &tensor.name, values, sent, alpha).at(update.file())?;
    }
    Ok(parameters)
}

/// Theta after the outer step with `count` updates together, by the recipe's rule, without a momentum.
fn together<U: Borrow<Update>>(
    input: &Scoring<'_>,
    count: usize,
    open: impl Fn(usize) -> Result<U>,
) -> Result<Vec<f32>> {
    let (folder, outer) = (input.folder, &input.recipe.outer);
    let (engine, layout) = (Engine::detect(), &folder.layout);
    let mut parameters = folder.parameters.to_vec();
    let direction = aggregate(engine, outer, &layout.tensors, &mut Opened::new(count, open, || ()))?;
    descend(engine, outer, &layout.tensors, &mut parameters, direction.values, None)?;
    Ok(parameters)
}

/// Losses on the drawn sequences, one workspace for all.
struct Meter<'a> {
    model: Model,
    plan: Plan,
    workspace: Workspace,
    shard: &'a Shard,
    drawn: &'a [usize],
}

impl<'a> Meter<'a> {
    fn new(input: &Scoring<'a>, drawn: &'a [usize]) -> Self {
        let config = &input.folder.config;
        let plan = Plan::evaluation(config, input.recipe.data.seq_len, drawn.len());
        Meter {
            model: Model::new(config.clone(), Engine::detect(), input.recipe.data.seq_len),
            workspace: Workspace::new(config, plan),
            plan,
            shard: input.held_out,
            drawn,
        }
    }

    fn loss(&mut self, parameters: &[f32], watch: &mut dyn FnMut(Watch<'_>)) -> Result<i128> {
        let tick = || watch(Watch::MicroBatch);
        total_loss(&self.model, &self.plan, &mut self.workspace, parameters, self.shard, self.drawn, tick)
    }
}
