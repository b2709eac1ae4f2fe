//! `l402 score`: what each update is worth on held-out data.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::common::{CoordinatorArg, RoundArgs, open, read_assignments};
use super::updates;
use crate::artifact::{Digest, Recipe, record};
use crate::cli::OutputArgs;
use crate::codec::Update;
use crate::data::{Shard, Split};
use crate::engine::Engine;
use crate::error::{Context, Error, Kind, Result};
use crate::model::{Model, ModelFolder, Plan, Workspace};
use crate::score::{Candidate, Eligibility, RoundScore, Score, draw_sequences, judge, proportional, total_loss};
use crate::ui::Ui;
use crate::verify::require_machine;

/// Measure each update on held-out data, and split the round's msat in proportion to what they gained.
///
/// An update counts if it is assigned, matches its signed commitment and was replayed to equality, as far as the lists
/// are given. Gains are exact integers, so anyone who recomputes them arrives at the same msat. Prints one record an
/// update by ascending worker id, and one for the round. Without updates it measures the model alone, on all held-out
/// sequences where no beacon draws some.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    run: RoundArgs,
    /// The round [default: the model's]
    #[arg(long, value_name = "N")]
    round: Option<u64>,
    /// The held-out shard
    #[arg(long, value_name = "FILE")]
    val: PathBuf,
    /// Draws the held-out sequences, where the recipe takes a part of them
    #[arg(long, value_name = "HEX", value_parser = updates::digest)]
    beacon: Option<Digest>,
    /// Findings of `replay`: what was not recomputed to equality does not count
    #[arg(long, value_name = "FILE")]
    findings: Option<PathBuf>,
    /// The round's assignments: what nobody was assigned does not count
    #[arg(long, value_name = "FILE")]
    assignments: Option<PathBuf>,
    #[command(flatten)]
    coordinator: CoordinatorArg,
    /// Commitments and the records that open them: what does not match does not count
    #[arg(long, value_name = "FILE")]
    commitments: Option<PathBuf>,
    /// The updates
    #[arg(value_name = "UPDATE")]
    updates: Vec<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the verb.
pub fn run(args: &Args, ui: &Ui) -> Result<()> {
    require_machine(Engine::detect())?;
    let (recipe, folder, round) = args.run.load(args.round)?;
    let run = recipe.digest();
    let lists = read_lists(args, &recipe, round, ui)?;
    let given = updates::read(&args.updates, &recipe, &folder.layout, ui)?;
    let judged = given.iter().map(|update| {
        let update = Candidate {
            worker: update.worker().to_owned(),
            run: update.run(),
            round: update.round(),
            digest: update.digest(),
        };
        judge(&update, &run, round, &lists)
    });
    let mut reasons: Vec<Option<String>> = judged.collect();
    let counting = given.iter().zip(&reasons).filter(|(_, reason)| reason.is_none());
    updates::one_a_worker(counting.map(|(update, _)| update))?;

    let held_out = Shard::open(open(&args.val)?)?;
    held_out.check_recipe(&recipe).at(args.val.display())?;
    held_out.check_split(Split::Val).at(args.val.display())?;
    held_out.check_vocabulary(folder.config.vocab_size).at(args.val.display())?;
    let beacon = args.beacon.as_ref();
    let count = if given.is_empty() && beacon.is_none() { 0 } else { recipe.score.sequences };
    let drawn = draw_sequences(&run, round, beacon, count, held_out.sequences())?;
    let mut scorer =
        Scorer::new(&recipe, &folder, &held_out, &drawn, ui, 1 + reasons.iter().filter(|r| r.is_none()).count());
    let before = scorer.loss(&folder.parameters)?;
    let mut after = BTreeMap::new();
    for (i, update) in given.iter().enumerate() {
        if reasons[i].is_none() {
            let applied = updates::apply_alone(update, &folder, recipe.outer.lr as f32);
            match applied.and_then(|applied| scorer.loss(&applied)) {
                Ok(loss) => drop(after.insert(i, loss)),
                // Somebody's update that breaks the model is that worker's loss, and no reason to stop the round.
                Err(error) if error.kind() == Kind::Data => {
                    ui.say(format!("does not count: {error}"));
                    reasons[i] = Some("breaks the model".into());
                }
                Err(error) => return Err(error),
            }
        }
    }
    drop(scorer);

    let workers = lists.assignments.as_ref().map_or(given.len(), Vec::len) as u64;
    let gains: Vec<i128> = after.values().map(|after| before - after).collect();
    let payout = proportional(recipe.pay.round_msat, workers, &gains);
    let mut text = String::new();
    let mut paid = after.keys().zip(&payout.msat).map(|(i, msat)| (*i, *msat)).collect::<BTreeMap<_, _>>();
    for (i, (update, reason)) in given.iter().zip(reasons).enumerate() {
        let score = score_of(&run, round, update, reason, before, after.get(&i), paid.remove(&i).unwrap_or(0));
        text += &record::line(&score)?;
    }
    text += &record::line(&RoundScore {
        run,
        round,
        theta: folder.digest,
        held_out: held_out.digest(),
        beacon: args.beacon,
        sequences: drawn.len() as u64,
        tokens: (drawn.len() * recipe.data.seq_len) as u64,
        before_q32: before.to_string(),
        workers,
        round_msat: recipe.pay.round_msat,
        returned_msat: payout.returned_msat,
    })?;
    args.output.target().write_text(&text)?;
    Ok(())
}

fn score_of(
    run: &Digest,
    round: u64,
    update: &Update,
    reason: Option<String>,
    before: i128,
    after: Option<&i128>,
    entitled_msat: u64,
) -> Score {
    Score {
        run: *run,
        round,
        worker: update.worker().to_owned(),
        update: update.digest(),
        counts: reason.is_none(),
        reason,
        after_q32: after.map(i128::to_string),
        gain_q32: after.map(|after| (before - after).to_string()),
        entitled_msat,
        bytes: update.bytes(),
    }
}

fn read_lists(args: &Args, recipe: &Recipe, round: u64, ui: &Ui) -> Result<Eligibility> {
    let mut lists = Eligibility::default();
    if let Some(path) = &args.assignments {
        let mut assignments = read_assignments(path, recipe, &args.coordinator, ui)?;
        assignments.retain(|a| a.round == round);
        if assignments.is_empty() {
            return Err(Error::missing(format!("{}: no assignment of round {round}", path.display())));
        }
        lists.assignments = Some(assignments);
    }
    if let Some(path) = &args.commitments {
        let (lines, malformed) = record::read_lines_of_many(path)?;
        // They come from the workers: nobody stops a round by sending rubbish.
        malformed.iter().for_each(|error| ui.say(format!("left out: {error}")));
        lists.commitments = Some((record::select_well_formed(&lines), record::select_well_formed(&lines)));
    }
    if let Some(path) = &args.findings {
        lists.findings = Some(record::read(path)?);
    }
    Ok(lists)
}

/// Losses on the drawn sequences, one workspace for all.
struct Scorer<'a> {
    model: Model,
    plan: Plan,
    workspace: Workspace,
    shard: &'a Shard,
    drawn: &'a [usize],
    bar: crate::ui::Progress,
}

impl<'a> Scorer<'a> {
    fn new(
        recipe: &Recipe,
        folder: &ModelFolder,
        shard: &'a Shard,
        drawn: &'a [usize],
        ui: &Ui,
        passes: usize,
    ) -> Self {
        let plan = Plan::evaluation(&folder.config, recipe.data.seq_len, drawn.len());
        let micro = drawn.len().div_ceil(plan.sequences) * passes;
        Scorer {
            model: Model::new(folder.config.clone(), Engine::detect(), recipe.data.seq_len),
            workspace: Workspace::new(&folder.config, plan),
            plan,
            shard,
            drawn,
            bar: ui.progress("score", micro as u64),
        }
    }

    fn loss(&mut self, parameters: &[f32]) -> Result<i128> {
        let bar = &self.bar;
        total_loss(&self.model, &self.plan, &mut self.workspace, parameters, self.shard, self.drawn, || bar.tick(""))
    }
}
