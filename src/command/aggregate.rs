//! `l402 aggregate`: the outer step, the next model.

use std::collections::HashSet;
use std::path::PathBuf;

use super::common::RoundArgs;
use super::{init, updates};
use crate::artifact::{Digest, Recipe, record};
use crate::cli::OutputDirArgs;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::fsio::Outcome;
use crate::model::Layout;
use crate::score::{Acceptance, Score, next_model, one_a_worker};
use crate::ui::Ui;
use crate::verify::{Finding, Verdict, require_machine};

/// Take the outer step with the updates that count, and write the next round's model.
///
/// theta' = theta - alpha * mean of the decoded updates, summed by ascending worker id. With `--scores` those count that
/// the scores say count, with `--findings` those that the recipe accepts, with neither all of them.
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
    /// The updates
    #[arg(value_name = "UPDATE", required = true)]
    updates: Vec<PathBuf>,
    #[command(flatten)]
    output: OutputDirArgs,
}

/// Runs the verb.
pub fn run(args: &Args, ui: &Ui) -> Result<()> {
    require_machine(Engine::detect())?;
    let (recipe, folder, round) = args.run.load(args.round)?;
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

    let bar = ui.progress("aggregate", given.len() as u64);
    let next = next_model(&recipe, &folder, round, given.len(), |i| Ok(&given[i]), || bar.tick(""))?;
    drop(bar);
    let digest = next.digest;
    let outcome = init::write_folder(&args.output, &folder.config_text, next.meta, &folder.layout, &next.parameters)?;
    ui.say(format!(
        "{}: round {round} of {} updates: {} in {}",
        if outcome == Outcome::UpToDate { "up to date" } else { "aggregated" },
        given.len(),
        digest.short(),
        args.output.output.display()
    ));
    if given.is_empty() {
        ui.say("no update counts: the model stays as it is");
    }
    Ok(())
}

/// Who and what counts by each list that was given.
fn counting(args: &Args, recipe: &Recipe, layout: &Layout, round: u64) -> Result<Vec<HashSet<(String, Digest)>>> {
    let (mut lists, run) = (Vec::new(), &recipe.digest());
    if let Some(path) = &args.scores {
        let scores: Vec<Score> = record::read(path)?;
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
