//! `l402 score`: what each update is worth on held-out data.

use std::path::PathBuf;

use super::common::{CoordinatorArg, RoundArgs, open, read_assignments};
use super::updates;
use crate::artifact::{Digest, Recipe, record};
use crate::cli::OutputArgs;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::pay::NodeId;
use crate::score::{Candidate, Eligibility, Scoring, Watch, in_time, read_held_out, score_round};
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
    let lists = read_lists(args, &recipe, round, ui)?;
    let given = updates::read(&args.updates, &recipe, &folder.layout, ui)?;
    let candidates: Vec<Candidate> = given.iter().map(Candidate::of).collect();
    let held_out = read_held_out(open(&args.val)?, &recipe, folder.config.vocab_size)?;
    let input =
        Scoring { recipe: &recipe, round, folder: &folder, held_out: &held_out, beacon: args.beacon, lists: &lists };
    let mut bar = None;
    let scores = score_round(&input, &candidates, |i| Ok(&given[i]), &mut |watch| match watch {
        Watch::Begin(total) => bar = Some(ui.progress("score", total)),
        Watch::MicroBatch => bar.iter().for_each(|bar| bar.tick("")),
        Watch::Breaks(error) => ui.say(format!("does not count: {error}")),
    })?;
    drop(bar);
    args.output.target().write_text(&scores.text()?)?;
    Ok(())
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
        // Where the judge's closing is among them, what it does not list came too late.
        let judge = args.coordinator.coordinator.map(NodeId);
        let (all, closings) = (record::select_well_formed(&lines), record::select_well_formed(&lines));
        let commitments = in_time(all, &closings, &recipe.digest(), round, judge.as_ref())?;
        lists.commitments = Some((commitments, record::select_well_formed(&lines)));
    }
    if let Some(path) = &args.findings {
        lists.findings = Some(record::read(path)?);
    }
    Ok(lists)
}
