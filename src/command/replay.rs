//! `l402 replay`: the whole submission again, and equality.

use std::path::{Path, PathBuf};

use super::checkpoint::{CheckpointArgs, Checkpoints, Steps};
use super::checks::{CheckArgs, Checks};
use super::common::{AssignmentArgs, RoundArgs, open, read_assignments};
use super::device::DeviceArgs;
use super::dispute::{self, Asked, DisputeArgs};
use super::files::{self, StatesIn};
use super::made::about;
use super::node::{NodeArgs, with_signer};
use super::open::DrawArgs;
use super::place::Run;
use super::shown::{Shown, open_feedback};
use super::train::MemoryArgs;
use crate::artifact::recipe::InnerState;
use crate::artifact::record::Signer;
use crate::artifact::{Digest, Reader, Recipe, record};
use crate::codec::Update;
use crate::command::args::OutputArgs;
use crate::data::{Assignment, Shard};
use crate::error::{Context, Error, IoContext, Kind, Result};
use crate::model::Layout;
use crate::optimizer::{Moments, Resident, StepReport};
use crate::score::update_digest;
use crate::ui::Ui;
use crate::verify::trace::TraceFile;
use crate::verify::{
    Difference, Finding, Leaf, Leaves, ReplayInput, Sampling, Segments, StateGiven, States, Verdict, delta_meta,
    malformed_finding, replay_by, replay_sampled_by,
};

/// Recompute a submission and compare it, every byte of it, or a part of it that a beacon draws.
///
/// Which worker, round and shard it is about comes from the signed assignment, never from the update. Prints a finding;
/// the exit status is 0 where the update is exactly what its inputs make it, and 1 where it is not, with the first
/// thing that differs: recipe, model, shard, state, or a tensor by name.
///
/// With `--beacon` and `--segments` or `--catch`, only the drawn segments are run, each from a state that the worker shows
/// (`--openings`) and its leaves prove, the last one always among them; and of the codec's work the drawn chunks are checked,
/// or all of it where `--state` or what the worker shows has the error feedback. The finding says `sampled`, how much was looked at, and with what
/// chance a cheat would have been missed.
///
/// Who disagrees with another party about the leaves goes down with `--against` to the first step, and to the one operator,
/// that differs; that one is executed by its definition, and the transcript that is printed shows anybody who is right
/// (`--transcript`). The exit status is 0 where it is the one who asks, 75 where the other party's trace is awaited.
///
/// The folder of --checkpoint is believed: it must be the verifier's own, and outside of the run folder and of what the worker
/// shows.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    run: RoundArgs,
    #[command(flatten)]
    assignment: AssignmentArgs,
    /// The worker whose assignment it is; may be left out where the file holds one assignment
    #[arg(long, value_name = "ID", value_parser = crate::command::args::worker_id)]
    worker: Option<String>,
    /// The round [default: that of the assignment]
    #[arg(long, value_name = "N")]
    round: Option<u64>,
    /// The folder of the shards
    #[arg(long, value_name = "DIR")]
    shards: PathBuf,
    /// The update
    #[arg(long, value_name = "FILE", required_unless_present = "all")]
    update: Option<PathBuf>,
    /// In a run folder: every update of a round, as `l402 replay 3 --all`. The exit status is 0 where all are what their work makes
    #[arg(long, conflicts_with_all = ["worker", "update", "output", "state", "previous", "from_zero", "openings", "leaves", "against", "trace"])]
    pub all: bool,
    /// The worker's state at the start of the round: error feedback, moments, or both in two flags; zero without
    #[arg(long, value_name = "FILE", requires = "previous")]
    state: Vec<PathBuf>,
    /// The worker's last update that counted: the states must be those that it left
    #[arg(long, value_name = "UPDATE")]
    previous: Option<PathBuf>,
    /// In a round above the first: the worker has no update that counted, so its states are zero. Without this or --previous
    /// the finding says that this was assumed
    #[arg(long, conflicts_with = "previous")]
    from_zero: bool,
    #[command(flatten)]
    draw: DrawArgs,
    /// What the worker shows of the drawn segments and chunks: the folder that its `open` made; for disputes, one's own
    /// folder of kept states, to begin at the last one before the step
    #[arg(long, value_name = "DIR")]
    openings: Option<PathBuf>,
    /// The worker's leaves: all of them must stand under the update's root
    #[arg(long, value_name = "FILE")]
    leaves: Option<PathBuf>,
    /// For an update of a foreign engine: what is not equal, but within this relative error in every tensor, and with a
    /// cosine as near to 1, is found "near", never "exact"
    #[arg(long, value_name = "PART", value_parser = part, conflicts_with = "drawn")]
    tolerance: Option<u64>,
    /// Vouch for the finding, or the trace: sign it with the key in this file, made by `l402 key`; or name a node. Where the recipe names
    /// validators, nothing counts that none of them has signed
    #[arg(long, value_name = "FILE", conflicts_with_all = ["rpc_file", "lightning_dir"])]
    key: Option<PathBuf>,
    #[command(flatten)]
    node: NodeArgs,
    #[command(flatten)]
    dispute: DisputeArgs,
    #[command(flatten)]
    checkpoint: CheckpointArgs,
    #[command(flatten)]
    memory: MemoryArgs,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    pub(super) checks: CheckArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl Args {
    fn update(&self) -> Result<&Path> {
        self.update.as_deref().ok_or_else(|| Error::bug("the command line lacks what it requires"))
    }

    /// The round's assignments, and where they lie.
    pub(super) fn assigned(&self, ui: &Ui) -> Result<(&Path, Vec<Assignment>)> {
        let path = self.assignment.assignments.as_deref().ok_or_else(|| {
            Error::usage("expected --assignments FILE: whose work on which shard is replayed stands there")
        })?;
        let recipe = Recipe::load(&self.run.recipe)?;
        Ok((path, read_assignments(path, &recipe, &self.assignment.coordinator, ui)?))
    }
}

/// A part as 0.01, in parts per million.
fn part(text: &str) -> std::result::Result<u64, String> {
    let part = text.parse::<f64>().ok().filter(|part| (0.0..=1.0).contains(part));
    part.map(|part| (part * 1e6).round() as u64).ok_or_else(|| "expected a part from 0 to 1, as 0.01".into())
}

/// Runs the verb on one update.
pub fn run(args: &Args, ui: &Ui) -> Result<()> {
    let mut checks = Checks::begin("replay", "one update");
    let done = replay_one(args, ui);
    let name = args.update.as_deref().map_or_else(String::new, |path| path.display().to_string());
    checks.ended(name, &done);
    args.checks.tell(&checks, ui)?;
    done
}

/// Replays one update.
pub(super) fn replay_one(args: &Args, ui: &Ui) -> Result<()> {
    let device = args.device.open(ui)?;
    let update_path = args.update()?;
    let (path, assignments) = args.assigned(ui)?;
    let assignment = choose(&assignments, args).at(path.display())?;
    let (recipe, folder, _) = args.run.load(Some(assignment.round))?;
    let shard_path = args.shards.join(&assignment.shard);
    let shard = Shard::open(open(&shard_path)?)?;
    shard.check_recipe(&recipe).at(shard_path.display())?;
    shard.check_vocabulary(folder.config.vocab_size).at(shard_path.display())?;
    assignment.check_shard(&shard).at(shard_path.display())?;
    let read = Reader::open_within(open(update_path)?, folder.layout.header_room());
    let update = match read.and_then(|reader| Update::open_for(&recipe, reader, folder.layout.shapes())) {
        Err(error) if error.kind() == Kind::Data => {
            return malformed(args, &recipe, &folder.layout, assignment, error, ui);
        }
        other => other?,
    };
    let target = args.output.target();
    if !args.dispute.any() {
        about(&target, |lines| {
            let found: Vec<Finding> = record::select(lines)?;
            let [finding] = &found[..] else { return Err(Error::data("expected one finding")) };
            let of = (finding.run, finding.round, finding.worker.as_str(), finding.update);
            let this = (recipe.digest(), assignment.round, assignment.worker.as_str(), update.digest());
            Ok((of != this).then(|| "update".into()))
        })?;
    }
    let _claim = target.claim()?;
    let mut states = read_states(&args.state, &folder.layout)?;
    let previous = args.previous.as_deref().map(|path| read_previous(path, &recipe, &folder.layout, assignment));
    states.previous = previous.transpose()?;

    let assumed = assumed(args, &recipe, assignment, ui);

    let beside = args.device.beside()?;
    let plan = args.memory.plan(&recipe, &folder, &device, &beside)?;
    let model = folder.model_of(&recipe, device)?.with_beside(beside);
    files::describe(ui, &model.device, &folder, &plan, recipe.inner.grad_groups);
    let input = ReplayInput { recipe: &recipe, folder: &folder, model: &model, plan, assignment, shard: &shard };
    if args.dispute.any() {
        if args.checkpoint.folder().is_some() {
            return Err(Error::usage("--checkpoint: a dispute begins at the states of --openings"));
        }
        let (leaves, openings) = (args.leaves.as_deref(), args.openings.as_deref());
        let sign = |file: &mut TraceFile| vouch(args, |signer| file.sign(signer));
        let asked = Asked { args: &args.dispute, leaves, openings, output: &args.output, sign: &sign };
        return dispute::run(&asked, &input, states.moments, &update, ui);
    }
    let wrong = args.leaves.as_deref().map_or(Ok(None), |path| leaves_differ(path, &recipe, &update))?;
    if let Some(difference) = wrong {
        let finding = Finding::of(&input, &update, states.previous.as_ref(), 0, Some(difference));
        let finding = signed(args, &recipe, Finding { state: assumed, ..finding }, ui)?;
        target.write_text(&record::line(&finding)?)?;
        return conclude(&finding, update_path, ui);
    }
    let segments = Segments::of(&recipe);
    let sampling = args.draw.sampling(&recipe, input.assignment.round, ui)?;
    if args.openings.is_some() && sampling.is_none() {
        return Err(Error::usage("--openings: a whole replay needs none: expected --beacon, --against or --trace"));
    }
    if sampling.is_none() {
        require_states(&states, &recipe)?;
    }
    let mut checkpoints = checkpoints(args, &input, &states, &update, sampling.as_ref(), ui)?;
    let done = checkpoints.as_mut().map_or(Ok(0), |checkpoints| checkpoints.resume(&folder.layout))?;
    let bar = ui.progress("replay", recipe.inner.steps.into());
    bar.at(done.into());
    let watch = |report: &StepReport, _: &mut Resident, _: Option<&Leaf>| {
        bar.tick(format!("loss {:.3}", report.loss));
        Ok(())
    };
    let mut steps = Steps { checkpoints: checkpoints.as_mut(), watch };
    let finding = match sampling {
        None => replay_by(&input, states, &update, args.tolerance, &mut steps)?,
        Some(sampling) => {
            let mut shown = Shown::new(&args.openings, &folder.layout, segments, &sampling);
            replay_sampled_by(&input, states, &update, &sampling, &mut shown, &mut steps)?
        }
    };
    drop(bar);
    let finding = signed(args, &recipe, Finding { state: assumed, ..finding }, ui)?;
    target.write_text(&record::line(&finding)?)?;
    checkpoints.map_or(Ok(()), |checkpoints| checkpoints.remove())?;
    conclude(&finding, update_path, ui)
}

/// The checkpoints of this very replay: of the update, and of what is drawn of its work.
fn checkpoints(
    args: &Args,
    input: &ReplayInput<'_>,
    states: &States,
    update: &Update,
    sampling: Option<&Sampling>,
    ui: &Ui,
) -> Result<Option<Checkpoints>> {
    let left = || states.previous.as_ref().and_then(|previous| previous.meta().opt("inner_out"));
    let given = states.moments.as_ref().map(|(_, digest)| digest.to_string());
    let inner_in = given.unwrap_or_else(|| left().unwrap_or("zero").to_owned());
    let mut inputs = delta_meta(input.recipe, input.folder, input.assignment, input.shard, &inner_in)?;
    inputs.set("update", update.digest());
    if let Some(Sampling { beacon, segments, .. }) = sampling {
        inputs.set("beacon", beacon).set("segments", segments);
    }
    args.checkpoint.folder().map_or(Ok(()), |folder| require_own(folder, args.openings.as_deref()))?;
    args.checkpoint.open(inputs, args.output.force, ui)
}

/// Whoever else could write into the folder could say that steps were done which nobody took.
fn require_own(folder: &Path, shown: Option<&Path>) -> Result<()> {
    let own = place(folder)?;
    let of_worker = shown.map(place).transpose()?.is_some_and(|shown| own.starts_with(shown));
    let of_run = own.ancestors().any(Run::is_one);
    match of_worker || of_run {
        false => Ok(()),
        true => Err(Error::usage(format!(
            "--checkpoint {}: expected a folder outside of the run folder and of what the worker shows",
            folder.display()
        ))
        .hint("who made those could have written into it that steps were done which nobody took")),
    }
}

/// Where a folder is, links followed, or where it would be made: below the first folder upwards that is there.
fn place(folder: &Path) -> Result<PathBuf> {
    let named = std::path::absolute(folder).path(folder)?;
    let there = named.ancestors().find(|above| above.exists()).unwrap_or(&named);
    let below = named.strip_prefix(there).unwrap_or(Path::new(""));
    Ok(std::fs::canonicalize(there).path(there)?.join(below))
}

/// Says so where the worker's states are taken to be zero because nobody said what they are.
fn assumed(args: &Args, recipe: &Recipe, assignment: &Assignment, ui: &Ui) -> Option<StateGiven> {
    let Assignment { round, worker, .. } = assignment;
    if *round == 0 || !recipe.carries_state() || args.previous.is_some() || args.from_zero {
        return None;
    }
    ui.say(format!(
        "round {round}: no --previous: the states of {worker} are assumed to be zero, as of a worker none of whose updates \
         has counted (--from-zero says that this is so)"
    ));
    Some(StateGiven::AssumedZero)
}

/// A whole replay begins with the states that the last update left: that they are not given is nothing that could be found on
/// the worker.
fn require_states(states: &States, recipe: &Recipe) -> Result<()> {
    let carries = recipe.inner.state == InnerState::Carry;
    let missing = match (&states.previous, &states.moments, &states.feedback) {
        (Some(_), None, _) if carries => "the inner optimiser's moments",
        (Some(_), _, None) => "the error feedback",
        _ => return Ok(()),
    };
    Err(Error::usage(format!("--state: expected {missing} that the update of --previous left, found none"))
        .hint("a sampled replay (--segments) begins with what the worker shows of it"))
}

/// Parts in a million in percent; nothing is missed of what there is none of.
fn percent(missed: Option<&u64>) -> f64 {
    missed.map_or(0.0, |ppm| *ppm as f64 / 1e4)
}

fn conclude(finding: &Finding, update: &Path, ui: &Ui) -> Result<()> {
    if let (Verdict::Sampled, Some(sample)) = (finding.finding, &finding.sample) {
        ui.say(format!(
            "sampled: {}: segments {:?} of {} are what {} had to make of round {}; a cheat in one other would have been \
             missed with a chance of {} %, one in a codec chunk with {} %",
            update.display(),
            sample.segments,
            sample.of_segments,
            finding.worker,
            finding.round,
            percent(sample.missed_ppm.first()),
            percent(sample.missed_chunks_ppm.first()),
        ));
        return Ok(());
    }
    if let (Verdict::Near, Some(near)) = (finding.finding, &finding.near) {
        ui.say(format!(
            "near, not exact: {}: a relative error of up to {} ppm in tensor {}, a cosine down to {} ppm in tensor {}",
            update.display(),
            near.error_ppm,
            near.error_tensor,
            near.cosine_ppm,
            near.cosine_tensor
        ));
        return Ok(());
    }
    if finding.finding == Verdict::Exact {
        ui.say(format!(
            "exact: {} is what {} had to make of round {}",
            update.display(),
            finding.worker,
            finding.round
        ));
        return Ok(());
    }
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    Err(Error::refused(format!(
        "{}: mismatch: {}: expected {}, found {}",
        update.display(),
        text(&finding.differs),
        text(&finding.expected),
        text(&finding.found)
    )))
}

/// Has whoever vouches sign, if anybody does.
fn vouch(args: &Args, sign: impl FnOnce(&dyn Signer) -> Result<()>) -> Result<()> {
    with_signer(args.key.as_deref(), &args.node, |signer| signer.map_or(Ok(()), sign))
}

/// The finding with the signature of whoever vouches for it, if anybody does.
fn signed(args: &Args, recipe: &Recipe, mut finding: Finding, ui: &Ui) -> Result<Finding> {
    vouch(args, |signer| finding.sign(signer))?;
    let seats = &recipe.score.validators;
    match &finding.validator {
        None if !seats.is_empty() => {
            ui.say("not signed: the recipe names validators, and nothing counts that none of them has signed (--key)");
        }
        Some(key) if !seats.is_empty() && !seats.iter().any(|seat| seat.key == *key) => {
            ui.say(format!("signed by {key}, who is no validator of this recipe: it does not count"));
        }
        _ => {}
    }
    Ok(finding)
}

/// An update that cannot be read is no reason to stop: that it is malformed is the finding.
fn malformed(
    args: &Args,
    recipe: &Recipe,
    layout: &Layout,
    assignment: &Assignment,
    error: Error,
    ui: &Ui,
) -> Result<()> {
    let update_path = args.update()?;
    // What has no content, a cut frame or a pipe that was read, has no digest either, nor what no update can be.
    let digest = update_digest(update_path, layout).unwrap_or(Digest([0; 32]));
    let finding = malformed_finding(recipe.digest(), assignment, digest, &update_path.display().to_string(), &error);
    let finding = signed(args, recipe, finding, ui)?;
    args.output.target().write_text(&record::line(&finding)?)?;
    conclude(&finding, update_path, ui)
}

/// The leaves travel beside the update, and must be those that it commits to.
fn leaves_differ(path: &Path, recipe: &Recipe, update: &Update) -> Result<Option<Difference>> {
    let lines = record::read_lines_within(path, Segments::of(recipe).leaves_room());
    let root = match lines.and_then(|lines| Leaves::parse(&lines)).and_then(|(context, all)| context.tree(&all)) {
        Ok(tree) => tree.root().to_string(),
        Err(error) if error.kind() == Kind::Data => format!("malformed leaves: {error}"),
        Err(error) => return Err(error),
    };
    Ok(Difference::between("leaves", update.meta().opt("leaves").unwrap_or("none"), root))
}

fn read_previous(path: &Path, recipe: &Recipe, layout: &Layout, assignment: &Assignment) -> Result<Update> {
    let reader = Reader::open_within(open(path)?, layout.header_room())?;
    let update = Update::open_for(recipe, reader, layout.shapes())?;
    if update.worker() != assignment.worker || update.round() >= assignment.round {
        return Err(Error::data(format!(
            "{}: expected an update of {} from a round before {}, found one of {} from round {}",
            path.display(),
            assignment.worker,
            assignment.round,
            update.worker(),
            update.round()
        )));
    }
    Ok(update)
}

fn choose<'a>(assignments: &'a [Assignment], args: &Args) -> Result<&'a Assignment> {
    match (&args.worker, args.round, assignments) {
        (None, _, [one]) => Ok(one),
        (None, ..) => Err(Error::usage("expected --worker ID: the file holds assignments of several")),
        (Some(worker), Some(round), _) => Assignment::find(assignments, round, worker),
        (Some(worker), None, _) => {
            let round = assignments.iter().find(|a| a.worker == *worker).map_or(0, |a| a.round);
            Assignment::find(assignments, round, worker)
        }
    }
}

fn read_states(paths: &[PathBuf], layout: &Layout) -> Result<States> {
    let given = StatesIn::sort(paths, layout)?;
    let mut states = States::default();
    if let Some(path) = &given.moments {
        // Whose they say they are is part of the digest: another's are a finding, as another's error feedback is.
        let (_, moments, digest) = Moments::read(open(path)?, layout)?;
        states.moments = Some((moments, digest));
    }
    states.feedback = given.feedback.map(|path| open_feedback(&path, layout)).transpose()?;
    Ok(states)
}
