//! `l402 aggregate`: the outer step, the next model.

use std::path::{Path, PathBuf};

use super::common::RoundArgs;
use super::{files, init, lists, updates};
use crate::artifact::{ArtifactKind, Meta, Recipe, Room, record};
use crate::codec::Update;
use crate::command::args::OutputDirArgs;
use crate::engine::Engine;
use crate::error::{Context, Error, Result};
use crate::fsio::{Outcome, Source, Target};
use crate::model::ModelFolder;
use crate::optimizer::{Momentum, outer_reads};
use crate::score::{Acceptance, Candidate, Score, Scores, Step, deciding, next_model, one_a_worker, votes};
use crate::ui::Ui;
use crate::verify::{Finding, Verdict, require_machine};

/// Take the outer step with the updates that count, and write the next round's model.
///
/// theta' = theta - alpha * mean of the decoded updates, summed by ascending worker id; or what else the recipe's rule
/// makes of them (`[outer]`). With `--scores` those count that the scores say count, and all of them must be given; with
/// `--findings` those that the recipe accepts; with neither all that are of this round and model. Fewer than the recipe's
/// quorum end with 75, and nothing is written.
///
/// Where the scores or findings of this very round let no update count, the model goes on as it is. Where none counts for
/// another reason, that is a no (1), and nothing is written.
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
    /// Findings of `replay`; as often as there are files
    #[arg(long, value_name = "FILE")]
    findings: Vec<PathBuf>,
    /// The outer momentum that the round before has left [default: zero]
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Where the outer momentum for the next round goes
    #[arg(long, value_name = "FILE")]
    state_out: Option<PathBuf>,
    /// The updates
    #[arg(value_name = "UPDATE", required_unless_present_any = ["scores", "findings"])]
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
    let base = folder.base.as_ref().map(|base| &*base.folder);
    files::not_onto(output, [&*args.run.model].into_iter().chain(base))?;
    let momentum = momentum(args, &recipe, &folder)?;
    let updates::Given { updates, left_out } = updates::read(&args.updates, &recipe, &folder.layout, ui)?;
    let mut reasons: Vec<String> = left_out.into_iter().map(|(_, why)| why).collect();
    let lists = Lists::read(args, &recipe, &folder, round, ui)?;
    let rule = Acceptance { recipe: &recipe, layout: &folder.layout, beacon: None };
    // Whether somebody has looked at this round and its updates: else that none counts is a mistake.
    let mut judged = lists.scores.is_some() || args.updates.is_empty() && !lists.accept_some(&rule, round);
    let mut given = Vec::new();
    for update in updates {
        let foreign = updates::foreign(&Candidate::of(&update), &recipe, &folder.digest, round)?;
        judged |= foreign.is_none() && lists.findings.is_some();
        match foreign.or_else(|| lists.refuse(&update, &rule)) {
            None => given.push(update),
            Some(why) => {
                ui.say(format!("left out: {}: {why}", update.file()));
                reasons.push(format!("{}: {why}", update.file()));
            }
        }
    }
    lists.require_all(&given)?;
    if given.is_empty() && !judged {
        return Err(Error::refused(format!("no update counts, so there is no next model: {}", reasons.join("; ")))
            .hint("`--scores` of a round in which no update counts let the model go on as it is"));
    }
    one_a_worker(given.iter().map(|update| (update.worker(), update.file())))?;

    if !output.force {
        let mut inputs = Meta::new(ArtifactKind::Model);
        let before = momentum.as_ref().map_or("zero".to_owned(), |momentum| momentum.digest.to_string());
        let workers: Vec<&str> = given.iter().map(Update::worker).collect();
        inputs.set("run", recipe.digest()).set("round", round + 1).set("theta", folder.digest);
        inputs.set("workers", workers.join(","));
        if recipe.outer.momentum > 0.0 {
            inputs.set("outer_in", before);
        }
        init::check_model(&output.output, folder.names()[1], &inputs)?;
    }
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
    let built = init::build_folder(
        output,
        Some(&args.run.model),
        folder.names(),
        &folder.config_written()?,
        next.meta,
        &folder.layout,
        &next.parameters,
    )?;
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
        ui.say("no update counts: the next model has the parameters of this one");
    }
    Ok(())
}

/// The outer momentum that is given.
fn momentum(args: &Args, recipe: &Recipe, folder: &ModelFolder) -> Result<Option<Momentum>> {
    let flags = [("--state", &args.state), ("--state-out", &args.state_out)];
    if let Some((flag, _)) = flags.iter().find(|(_, path)| path.is_some() && recipe.outer.momentum == 0.0) {
        let what = format!("{flag}: the recipe has no outer momentum (outer.momentum is 0)");
        return Err(Error::usage(what).hint("leave --state and --state-out out"));
    }
    args.state.as_deref().map(|path| Momentum::read(Source::open(path)?, &folder.layout)).transpose()
}

/// The lists that say what counts, of this run and round.
struct Lists {
    scores: Option<Vec<Score>>,
    findings: Option<Vec<Finding>>,
}

impl Lists {
    fn read(args: &Args, recipe: &Recipe, folder: &ModelFolder, round: u64, ui: &Ui) -> Result<Lists> {
        let scores = args.scores.as_deref().map(|path| read_scores(path, recipe, folder, round).at(path.display()));
        let findings = match &args.findings[..] {
            [] => None,
            paths => {
                let run = recipe.digest();
                let findings = lists::read_findings(paths, Room::any(), recipe, ui)?;
                if !findings.iter().any(|f| f.run == run && f.round == round) {
                    let what = format!("{}: expected findings of round {round} of this run", lists::name(paths));
                    return Err(Error::refused(format!("{what}, found {} of others", findings.len())));
                }
                Some(findings)
            }
        };
        Ok(Lists { scores: scores.transpose()?, findings })
    }

    /// Why the lists do not let an update count.
    fn refuse(&self, update: &Update, rule: &Acceptance<'_>) -> Option<String> {
        self.scores_refuse(update).or_else(|| self.findings_refuse(update, rule))
    }

    fn scores_refuse(&self, update: &Update) -> Option<String> {
        let scores = self.scores.as_ref()?;
        match scores.iter().find(|s| (s.worker.as_str(), s.update) == (update.worker(), update.digest())) {
            None => Some("the scores do not know it".into()),
            Some(score) if score.counts => None,
            Some(score) => Some(score.reason.clone().unwrap_or_else(|| "it does not count by the scores".into())),
        }
    }

    fn findings_refuse(&self, update: &Update, rule: &Acceptance<'_>) -> Option<String> {
        let findings = self.findings.as_ref()?;
        // A mismatch is one, whosever update it was found on.
        let of_update = || findings.iter().filter(|f| f.update == update.digest());
        if let Some(mismatch) = of_update().find(|f| f.finding == Verdict::Mismatch) {
            return rule.refuses(mismatch);
        }
        let own = |f: &&Finding| (f.run, f.round, f.worker.as_str()) == (update.run(), update.round(), update.worker());
        match deciding(|| of_update().filter(own)) {
            None => Some("it was not replayed: no finding is about it".into()),
            Some(finding) => rule.refuses(finding),
        }
    }

    /// Whether a finding of this round lets an update count.
    fn accept_some(&self, rule: &Acceptance<'_>, round: u64) -> bool {
        let run = rule.recipe.digest();
        let good = |f: &Finding| f.run == run && f.round == round && rule.refuses(f).is_none();
        self.findings.iter().flatten().any(good)
    }

    /// A model without an update that counts would be none of the run's.
    fn require_all(&self, given: &[Update]) -> Result<()> {
        let missing = |s: &&Score| s.counts && !given.iter().any(|u| (u.worker(), u.digest()) == (&s.worker, s.update));
        match self.scores.iter().flatten().find(missing) {
            None => Ok(()),
            Some(score) => Err(Error::missing(format!(
                "the scores count the update {} of worker {}: expected it among the updates, found none of that digest",
                score.update, score.worker
            ))),
        }
    }
}

/// The scores of this round, from this model.
fn read_scores(path: &Path, recipe: &Recipe, folder: &ModelFolder, round: u64) -> Result<Vec<Score>> {
    let lines = record::read_lines(path)?;
    if !recipe.score.validators.is_empty() && votes(&lines)?.is_none() {
        return Err(Error::refused("scores that no majority of validators has signed")
            .hint("the recipe names validators: `score --consensus` merges what they sign"));
    }
    let scores = Scores::of_lines(&lines)?;
    let of = &scores.round;
    let elsewhere = |s: &Score| (s.run, s.round) != (of.run, of.round);
    if (of.run, of.round) != (recipe.digest(), round) || scores.scores.iter().any(elsewhere) {
        let what = format!(
            "scores of another run or round: expected round {round}, found round {} of run {}",
            of.round, of.run
        );
        return Err(Error::refused(what).hint("the recipe, the model and the scores must be of one round"));
    }
    if of.theta != folder.digest {
        let what = format!("scores of updates of model {}, expected those of {}", of.theta, folder.digest);
        return Err(Error::refused(what));
    }
    Ok(scores.scores)
}
