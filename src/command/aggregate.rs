//! `l402 aggregate`: the outer step, the next model.

use std::collections::HashSet;
use std::path::PathBuf;

use super::common::RoundArgs;
use super::{files, init, updates};
use crate::artifact::{Digest, Recipe, record};
use crate::command::args::OutputDirArgs;
use crate::engine::Engine;
use crate::error::{Context, Error, Result};
use crate::fsio::{Outcome, Source, Target};
use crate::model::{Layout, ModelFolder};
use crate::optimizer::{Momentum, outer_reads};
use crate::score::{Acceptance, Score, Step, next_model, one_a_worker, votes};
use crate::ui::Ui;
use crate::verify::{Finding, Verdict, require_machine};

/// Take the outer step with the updates that count, and write the next round's model.
///
/// theta' = theta - alpha * mean of the decoded updates, summed by ascending worker id; or what else the recipe's rule
/// makes of them (`[outer]`). With `--scores` those count that the scores say count, with `--findings` those that the
/// recipe accepts, with neither all of them. Fewer than the recipe's quorum end with 75, and nothing is written.
///
/// An outer momentum goes on in a state file, as a worker's states do: `--state` is what the round before has left, and
/// no other than the model names; without it the state is zero.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    run: RoundArgs,
    /// The round [default: the model's]
    #[arg(long, value_name = "N")]
    round: Option<u64>,
    /// Records of `score`
    #[arg(long, value_name = "FILE")]
    scores: Option<PathBuf>,
    /// Findings of `replay`
    #[arg(long, value_name = "FILE")]
    findings: Option<PathBuf>,
    /// The outer momentum that the round before has left [default: zero]
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Where the outer momentum for the next round goes
    #[arg(long, value_name = "FILE")]
    state_out: Option<PathBuf>,
    /// The updates
    #[arg(value_name = "UPDATE", required = true)]
    updates: Vec<PathBuf>,
    #[command(flatten)]
    output: OutputDirArgs,
}

/// Runs the verb.
pub fn run(args: &Args, ui: &Ui) -> Result<()> {
    let Args { state, state_out, output, .. } = args;
    let named = [("--state", state), ("--state-out", state_out)];
    if let Some((flag, _)) = named.iter().find(|(_, path)| path.as_deref().is_some_and(|p| p.as_os_str() == "-")) {
        return Err(Error::usage(format!("{flag}: expected a file, found -")));
    }
    files::distinct(&named.map(|(flag, path)| (flag, path.as_deref())))?;
    require_machine(Engine::detect())?;
    let (recipe, folder, round) = args.run.load(args.round)?;
    let momentum = momentum(args, &recipe, &folder)?;
    let mut given = updates::read(&args.updates, &recipe, &folder.layout, ui)?;
    let counting = counting(args, &recipe, &folder.layout, round)?;
    given.retain(|update| {
        let counts = update.round() == round
            && counting.iter().all(|list| list.contains(&(update.worker().to_owned(), update.digest())));
        if !counts {
            ui.say(format!("left out: {}: it does not count", update.file()));
        }
        counts
    });
    one_a_worker(given.iter().map(|update| (update.worker(), update.file())))?;

    let reads = outer_reads(&recipe.outer, &folder.layout.tensors, given.len());
    let bar = ui.progress("aggregate", reads);
    let step = Step { recipe: &recipe, folder: &folder, round, momentum };
    let next = next_model(step, given.len(), |i| Ok(&given[i]), || bar.tick(""))?;
    drop(bar);
    if let Some(faulty) = next.faulty.filter(|faulty| *faulty < recipe.outer.faulty as usize) {
        let (rule, asked) = (recipe.outer.rule.name(), recipe.outer.faulty);
        ui.say(format!("{rule}: {} updates withstand {faulty} faulty ones, not {asked}", given.len()));
    }
    // Two outputs that belong together: the state goes to its place first, but not where the model could not follow.
    let built = init::build_folder(output, &folder.config_text, next.meta, &folder.layout, &next.parameters)?;
    built.check_place()?;
    match (&next.momentum, state_out) {
        (Some(momentum), Some(path)) => {
            let target = Target::new(Some(path), output.force);
            momentum.write(&target.name(), target.create()?, &folder.layout)?.0.finish()?;
        }
        (Some(_), None) => ui.say("no --state-out: the next round cannot go on without this one's outer momentum"),
        (None, _) => {}
    }
    let outcome = built.finish()?;
    ui.say(format!(
        "{}: round {round} of {} updates: {} in {}",
        if outcome == Outcome::UpToDate { "up to date" } else { "aggregated" },
        given.len(),
        next.digest.short(),
        output.output.display()
    ));
    if given.is_empty() {
        ui.say("no update counts: the model stays as it is");
    }
    Ok(())
}

/// The outer momentum that is given.
fn momentum(args: &Args, recipe: &Recipe, folder: &ModelFolder) -> Result<Option<Momentum>> {
    let given = args.state.is_some() || args.state_out.is_some();
    if given && recipe.outer.momentum == 0.0 {
        return Err(Error::usage("--state: the recipe has no outer momentum (outer.momentum)"));
    }
    args.state.as_deref().map(|path| Momentum::read(Source::open(path)?, &folder.layout)).transpose()
}

/// Who and what counts by each list that was given.
fn counting(args: &Args, recipe: &Recipe, layout: &Layout, round: u64) -> Result<Vec<HashSet<(String, Digest)>>> {
    let (mut lists, run) = (Vec::new(), &recipe.digest());
    if let Some(path) = &args.scores {
        let lines = record::read_lines(path)?;
        let scores: Vec<Score> = record::select(&lines)?;
        if !recipe.score.validators.is_empty() && votes(&lines).at(path.display())?.is_none() {
            return Err(Error::refused(format!(
                "{}: scores that no majority of validators has signed",
                path.display()
            ))
            .hint("the recipe names validators: `score --consensus` merges what they sign"));
        }
        if scores.iter().any(|s| s.run != *run || s.round != round) {
            return Err(Error::refused(format!("{}: scores of another run or round", path.display())));
        }
        lists.push(scores.into_iter().filter(|s| s.counts).map(|s| (s.worker, s.update)).collect());
    }
    if let Some(path) = &args.findings {
        let findings: Vec<Finding> = record::read(path)?;
        let rule = Acceptance { recipe, layout, beacon: None };
        let good = |f: &Finding| rule.refuses(f).is_none() && f.run == *run && f.round == round;
        let bad: HashSet<Digest> =
            findings.iter().filter(|f| f.finding == Verdict::Mismatch).map(|f| f.update).collect();
        let good = findings.into_iter().filter(|f| good(f) && !bad.contains(&f.update));
        lists.push(good.map(|f| (f.worker, f.update)).collect());
    }
    Ok(lists)
}
