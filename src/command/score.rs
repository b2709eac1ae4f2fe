//! `l402 score`: what each update is worth on held-out data.

use std::path::{Path, PathBuf};

use super::common::{BaseArg, CoordinatorArg, RoundArgs, open, read_assignments};
use super::device::DeviceArgs;
use super::drawn::BeaconArg;
use super::made::about;
use super::node::{NodeArgs, with_signer};
use super::{consensus, lists, model_loss, scored, updates};
use crate::artifact::beacon::Purpose;
use crate::artifact::{Commitment, Digest, Recipe, Room, record};
use crate::codec::Update;
use crate::command::args::{OutputArgs, WithoutArgs};
use crate::data::Assignment;
use crate::error::{Context, Error, Result};
use crate::model::{Layout, ModelFolder};
use crate::pay::{Arrival, Closing, NodeId};
use crate::score::signals::noise::NONE_IS_ENOUGH;
use crate::score::{
    Candidate, Eligibility, OpenShard, Scores, Scoring, Standing, StandingsGiven, Watch, by_arrival, check_standings,
    endorse, in_time, read_assigned, read_held_out, read_update, require_listed, score_round, update_digest,
};
use crate::ui::Ui;

/// Measure each update on held-out data, and split the round's msat by what it is worth.
///
/// An update counts if it is assigned, matches its signed commitment and was replayed to equality, as far as the lists
/// are given, and if it shows nothing of what the recipe refuses (docs/scoring.md). `pay.rule` makes msat of gains
/// (docs/pay.md). Gains are exact integers, so anyone who recomputes them arrives at the same msat. Prints one record an
/// update by ascending worker id, one a worker for what it carries on, and one for the round. Without updates it
/// measures the model alone, on all held-out sequences where no beacon draws some.
///
/// Without a recipe it says what the model's loss on all of the held-out shard is, for people: in nats a token, as perplexity,
/// and in bits a byte, where the shard's tokenizer lies beside it or in the model's folder.
///
/// Where the recipe names validators, each of them signs what it arrives at (--key), and --consensus merges their files:
/// honest ones arrive at the same bytes, and what a minority says changes nothing.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The run's recipe; without one a model alone is measured
    #[arg(long, value_name = "FILE", required_unless_present = "model")]
    recipe: Option<PathBuf>,
    /// The model at the start of the round: a Hugging Face folder
    #[arg(long, value_name = "DIR", required_unless_present = "consensus")]
    model: Option<PathBuf>,
    #[command(flatten)]
    base: BaseArg,
    /// The round [default: the model's]
    #[arg(long, value_name = "N", requires = "recipe")]
    round: Option<u64>,
    /// The held-out shard
    #[arg(long, value_name = "FILE", required_unless_present = "consensus")]
    val: Option<PathBuf>,
    /// A validator: sign the scores, with the key in this file, made by `l402 key`; or name a node
    #[arg(long, value_name = "FILE", requires = "recipe", conflicts_with_all = ["rpc_file", "lightning_dir"])]
    key: Option<PathBuf>,
    #[command(flatten)]
    node: NodeArgs,
    /// Merge the signed scores of the recipe's validators by their clipped median; what is not validly signed is left out
    #[arg(long, value_name = "SCORES", num_args = 1.., requires = "recipe",
          conflicts_with_all = ["model", "val", "key", "rpc_file", "lightning_dir", "beacon", "findings", "assignments",
                                "judge", "shards", "previous", "earlier", "commitments", "updates"])]
    consensus: Vec<PathBuf>,
    /// Draws the held-out sequences, where the recipe takes a part of them: a file of `l402 beacon b`, or 32 bytes in hex, which are
    /// taken on trust
    #[arg(long, value_name = "HEX|FILE", requires = "recipe")]
    beacon: Option<BeaconArg>,
    /// Findings of `replay`: what was not recomputed to equality does not count; as often as there are files
    #[arg(long, value_name = "FILE", requires = "recipe")]
    findings: Vec<PathBuf>,
    /// The round's assignments: what nobody was assigned does not count
    #[arg(long, value_name = "FILE", requires = "recipe")]
    assignments: Option<PathBuf>,
    #[command(flatten)]
    coordinator: CoordinatorArg,
    /// The judge's node id, where that is not the coordinator: what its closing among the commitments does not list came too
    /// late
    #[arg(long, value_name = "NODE", value_parser = super::invoice::node_id, requires = "commitments")]
    judge: Option<NodeId>,
    /// The folder of the shards, where the recipe measures updates on the workers' own data (`score.own`)
    #[arg(long, value_name = "DIR", requires = "assignments")]
    shards: Option<PathBuf>,
    /// The scores of the round before, where the recipe has workers carry something on (`score.own`, `score.rating`,
    /// `score.memory`)
    #[arg(long, value_name = "SCORES", requires = "recipe")]
    previous: Option<PathBuf>,
    /// The run folder with the updates of earlier rounds, where the recipe remembers what counted (`score.memory`):
    /// `round-N/WORKER.update` of those that the scores of the round before name
    #[arg(long, value_name = "DIR", requires = "previous")]
    earlier: Option<PathBuf>,
    /// Commitments, the closing of their list, and what opens them: what does not match does not count. As often as there
    /// are files, or a folder with its `*.jsonl`; each file is read by itself, and one that is malformed is left out
    #[arg(long, value_name = "FILE|DIR", requires = "recipe")]
    commitments: Vec<PathBuf>,
    /// The updates
    #[arg(value_name = "UPDATE", requires = "recipe")]
    updates: Vec<PathBuf>,
    /// Without a recipe: print JSON
    #[arg(long, conflicts_with = "recipe")]
    json: bool,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    without: WithoutArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the verb.
pub fn run(args: &Args, ui: &Ui) -> Result<()> {
    let Some(recipe) = &args.recipe else {
        let (Some(model), Some(val)) = (&args.model, &args.val) else {
            return Err(Error::bug("the command line lacks what it requires"));
        };
        return model_loss::run(&args.base, model, val, args.json, &args.output, args.device.open(ui)?, ui);
    };
    if !args.consensus.is_empty() {
        return consensus::run(recipe, &args.consensus, args.round, &args.output, ui);
    }
    let (Some(model), Some(val)) = (&args.model, &args.val) else {
        return Err(Error::bug("the command line lacks what it requires"));
    };
    let device = args.device.open(ui)?;
    let (recipe, folder, round) =
        RoundArgs { recipe: recipe.clone(), model: model.clone(), base: args.base.clone() }.load(args.round)?;
    let lists = read_lists(args, &recipe, round, ui)?;
    let updates::Given { updates: given, left_out } = updates::read(&args.updates, &recipe, &folder.layout, ui)?;
    let beacon = beacon(args, &recipe, round, ui)?;
    let candidates: Vec<Candidate> = given.iter().map(Candidate::of).collect();
    require_some(&candidates, &left_out, &lists, &recipe, &folder, round)?;
    let vocabulary = folder.config.vocab_size;
    let held_out = read_held_out(open(val)?, &recipe, vocabulary)?;
    let standings = standings(args, &recipe, round)?;
    let earlier = earlier(args, &recipe, &folder.layout, &standings)?;
    let shard = |assignment: &Assignment| {
        let folder = args.shards.as_deref().unwrap_or(Path::new("."));
        read_assigned(open(&folder.join(&assignment.shard))?, assignment, &recipe, vocabulary)
    };
    let target = args.output.target();
    about(&target, |lines| {
        let of = Scores::of_lines(lines)?.round;
        let differs = [
            ("run", of.run != recipe.digest()),
            ("round", of.round != round),
            ("model", of.theta != folder.digest),
            ("held-out shard", of.held_out != held_out.digest()),
            ("beacon", of.beacon != beacon),
        ];
        Ok(differs.iter().find(|(_, differs)| *differs).map(|(what, _)| (*what).to_owned()))
    })?;
    let _claim = target.claim()?;
    let input = Scoring {
        recipe: &recipe,
        round,
        folder: &folder,
        device: &device,
        held_out: &held_out,
        beacon,
        lists: &lists,
        shards: args.shards.is_some().then_some(&shard as &OpenShard<'_>),
        standings: &standings,
        earlier: &earlier.iter().collect::<Vec<_>>(),
    };
    let mut bar = None;
    let mut scores = score_round(&input, &candidates, |i| Ok(&given[i]), &mut |watch| match watch {
        Watch::Passes(count) => ui.say(format!(
            "the rule of pay measures updates together too: up to {count} forward passes over the held-out data"
        )),
        Watch::Begin(total) => bar = Some(ui.progress("score", total)),
        Watch::MicroBatch => bar.iter().for_each(|bar| bar.tick("")),
        Watch::Few { drawn, needed } => {
            let what = "held-out sequences the median update";
            ui.say(match needed {
                NONE_IS_ENOUGH => format!(
                    "on {drawn} {what} gains nothing: it may be that this round's updates do not help, and more sequences would \
                     not show otherwise"
                ),
                needed => format!(
                    "on {drawn} {what} gains something, but no more than chance would: about {needed} would tell (score.sequences \
                     in the recipe, 0 for all; `shard --val-fraction` holds out more)"
                ),
            });
        }
        Watch::Breaks(error) => ui.say(format!("an update breaks the model, and does not count: {error}")),
    })?;
    drop(bar);
    for score in &scores.scores {
        let why = score.reason.iter().map(|reason| format!("does not count: update of {}: {reason}", score.worker));
        why.for_each(|why| ui.say(why));
    }
    for score in scores.scores.iter().filter(|score| score.state.is_some()) {
        let (worker, before) = (&score.worker, "of a replay whose states were");
        ui.say(format!(
            "update of {worker}: its finding is {before} assumed to be zero: was --previous forgotten there?"
        ));
    }
    if recipe.score.carries() && round > 0 && args.previous.is_none() {
        ui.say("no --previous: workers carry their standing from round to round, and these scores begin anew");
        scores.round.standings = Some(StandingsGiven::AssumedNone);
    }
    target.write_text(&(scores.text()? + &endorsement(args, &recipe, &scores)?))?;
    scored::say(&scores, &recipe, ui);
    Ok(())
}

/// Refuses where not one of the files is an update of this round and model, nor known to a list: that no update counts
/// would be a mistake of whoever gave them. What a list knows is what a worker has sent, and that may be rubbish.
fn require_some(
    updates: &[Candidate],
    left_out: &[(PathBuf, String)],
    lists: &Eligibility,
    recipe: &Recipe,
    folder: &ModelFolder,
    round: u64,
) -> Result<()> {
    let mut reasons: Vec<&str> = Vec::new();
    for (path, why) in left_out {
        // What cannot be read to its end has no digest, and a finding on it names zero.
        let digest = update_digest(path, &folder.layout).unwrap_or(Digest([0; 32]));
        if lists.knows(&recipe.digest(), round, &digest) {
            return Ok(());
        }
        reasons.push(why);
    }
    let mut foreign = Vec::new();
    for update in updates {
        match updates::foreign(update, recipe, &folder.digest, round)? {
            None => return Ok(()),
            Some(why) => foreign.push(format!("{}: {why}", update.file)),
        }
    }
    reasons.extend(foreign.iter().map(String::as_str));
    if reasons.is_empty() {
        return Ok(());
    }
    let what = format!("expected updates of round {round}, made from this model, found none: {}", reasons.join("; "));
    Err(Error::refused(what))
}

/// What draws the held-out sequences: bound to a block by who closes the lists, where that is known.
fn beacon(args: &Args, recipe: &Recipe, round: u64, ui: &Ui) -> Result<Option<Digest>> {
    let Some(beacon) = &args.beacon else { return Ok(None) };
    let drawn = beacon.draw(recipe, round, Purpose::B, ui)?;
    let judge = args.judge.map(|judge| judge.0).or(args.coordinator.coordinator);
    if let (Some(bound), Some(judge)) = (&drawn.bound, judge) {
        bound.require_by(&judge)?;
    }
    Ok(Some(drawn.value))
}

/// What the workers carry into the round, from the scores of the round before and no other. A round that forgets it would
/// forgive them everything.
fn standings(args: &Args, recipe: &Recipe, round: u64) -> Result<Vec<Standing>> {
    match &args.previous {
        Some(path) => {
            let before = Scores::of_lines(&record::read_lines(path)?).at(path.display())?;
            let (of, expected) = ((before.round.run, before.round.round), round.checked_sub(1));
            if of.0 != recipe.digest() || Some(of.1) != expected {
                let expected =
                    expected.map_or("no scores, in the first round".into(), |n| format!("the scores of round {n}"));
                let found =
                    format!("{}: expected {expected} of this run, found run {}, round {}", path.display(), of.0, of.1);
                return Err(Error::refused(found));
            }
            check_standings(recipe, round, &before.standings).at(path.display())?;
            Ok(before.standings)
        }
        None if recipe.score.carries() && round > 0 && !args.updates.is_empty() => {
            Err(Error::usage("the recipe has workers carry their standing from round to round: none given")
                .hint("--previous names the scores of the round before"))
        }
        None => Ok(Vec::new()),
    }
}

/// The updates of earlier rounds that the standings name.
fn earlier(args: &Args, recipe: &Recipe, layout: &Layout, standings: &[Standing]) -> Result<Vec<Update>> {
    let Some(folder) = &args.earlier else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for standing in standings {
        for counted in &standing.counted {
            let path = folder.join(counted.file(&standing.worker));
            let update = read_update(open(&path)?, recipe, layout)?;
            if update.digest() != counted.update {
                let (file, expected, found) = (path.display(), counted.update, update.digest());
                return Err(Error::data(format!("{file}: expected update {expected}, which counted, found {found}")));
            }
            found.push(update);
        }
    }
    Ok(found)
}

/// The line that signs the scores, where a validator is named.
fn endorsement(args: &Args, recipe: &Recipe, scores: &Scores) -> Result<String> {
    with_signer(args.key.as_deref(), &args.node, |signer| {
        let Some(signer) = signer else { return Ok(String::new()) };
        let public = signer.public().to_string();
        if !recipe.score.validators.iter().any(|validator| validator.key == public) {
            return Err(Error::refused(format!("{public} is no validator of this recipe (score.validators)")));
        }
        let mut made = endorse(scores, &signer.public())?;
        record::sign(&mut made, signer)?;
        record::line(&made)
    })
}

fn read_lists(args: &Args, recipe: &Recipe, round: u64, ui: &Ui) -> Result<Eligibility> {
    let mut by = Eligibility::default();
    if let Some(path) = &args.assignments {
        let mut assignments = read_assignments(path, recipe, &args.coordinator, ui)?;
        assignments.retain(|a| a.round == round);
        if assignments.is_empty() {
            return Err(Error::missing(format!("{}: no assignment of round {round}", path.display())));
        }
        by.assignments = Some(assignments);
    }
    // Each worker has an update, a commitment, what opens it, and a finding.
    let workers = by.assignments.as_ref().map_or(0, Vec::len).max(args.updates.len());
    if !args.commitments.is_empty() {
        // They come from the workers: nobody stops a round by sending rubbish.
        let list = lists::read_many(&args.commitments, Room::of(2 * workers), ui)?;
        // Where the judge's closing is among them, what it does not list came too late.
        let judge = args.judge.or(args.coordinator.coordinator.map(NodeId));
        let (all, closings): (Vec<Commitment>, Vec<Closing>) = (lists::select(&list), lists::select(&list));
        judge.map_or(Ok(()), |judge| require_listed(&all, &closings, &judge)).at(lists::name(&args.commitments))?;
        let commitments = in_time(all, &closings, &recipe.digest(), round, judge.as_ref())?;
        let arrivals: Vec<Arrival> = lists::select(&list);
        if arrivals.is_empty() && recipe.pay.round_msat > 0 && commitments.len() > 1 {
            ui.say(
                "the order of the commitments, which decides who copied, is signed by nobody: there are no arrivals",
            );
        }
        let of = (&recipe.digest(), round);
        let commitments = by_arrival(commitments, arrivals, of, judge.as_ref()).at(lists::name(&args.commitments))?;
        by.commitments = Some((commitments, lists::select(&list)));
    }
    if !args.findings.is_empty() {
        by.findings = Some(lists::read_findings(&args.findings, Room::of(workers), recipe, ui)?);
    }
    Ok(by)
}
