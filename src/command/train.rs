//! `l402 train`: the inner steps of one worker's round.

use std::path::PathBuf;

use super::checkpoint::{CheckpointArgs, Steps};
use super::common::{AssignmentArgs, RoundArgs, open, read_assignments, say_assumed_zero};
use super::destination::CodedArgs;
use super::device::DeviceArgs;
use super::files::{self, MomentsIn};
use super::kept::Kept;
use super::lists;
use super::made::{Beside, is_kept};
use super::metrics::Metrics;
use crate::artifact::recipe::InnerState;
use crate::artifact::{Meta, Recipe, Room};
use crate::command::args::{OutputArgs, WithoutArgs};
use crate::data::{Assignment, BatchOrder, Shard, Split};
use crate::device::Device;
use crate::error::{Context, Error, Result};
use crate::fsio::Target;
use crate::model::{Model, ModelFolder, Plan};
use crate::optimizer::{Moments, Resident, RoundInput, State, StepReport};
use crate::pay::{Held, NodeId, Offer};
use crate::ui::Ui;
use crate::verify::{self, Leaf, LeafLog, Leaves, Runner, Segments, delta_meta, finish_meta};

/// Take the inner steps of a round on a shard, and write the pseudo-gradient: theta minus the worker's parameters.
///
/// The bits depend on recipe, model, shard, assignment and state alone: not on threads, micro-batches or machine. Where a delta
/// made from the same inputs is in its place, with all that was asked for beside it, nothing is done again; one made from
/// others is refused before the work (73). A process that is at work on the same output is named (75).
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    work: WorkArgs,
    #[command(flatten)]
    escrow: HeldArgs,
    /// The worker's state at the start of the round: the inner optimiser's moments, where the recipe carries them; with --update the
    /// error feedback too, in a flag of its own; zero without
    #[arg(long, value_name = "FILE")]
    state: Vec<PathBuf>,
    /// Write the successor moments
    #[arg(long, value_name = "FILE")]
    state_out: Option<PathBuf>,
    #[command(flatten)]
    coded: CodedArgs,
    /// Write the leaves that the update commits to, for those who check a part of the work
    #[arg(long, value_name = "FILE")]
    leaves: Option<PathBuf>,
    /// Keep leaves and states of this round in a folder, from which `open` shows what is drawn
    #[arg(long, value_name = "DIR")]
    openings: Option<PathBuf>,
    /// States to keep there, each three times the model; what is not kept is recomputed
    #[arg(long, value_name = "N", default_value_t = 4, requires = "openings")]
    keep_states: u32,
    #[command(flatten)]
    checkpoint: CheckpointArgs,
    /// Write a line of JSON for each step as it is done: loss, learning rate, speed, memory
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    #[command(flatten)]
    without: WithoutArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// One worker's work of one round.
#[derive(clap::Args, Debug)]
pub struct WorkArgs {
    #[command(flatten)]
    run: RoundArgs,
    /// The worker's shard
    #[arg(long, value_name = "FILE")]
    shard: PathBuf,
    /// The round
    #[arg(long, value_name = "N")]
    pub(super) round: u64,
    /// The worker
    #[arg(long, value_name = "ID", value_parser = crate::command::args::worker_id)]
    pub(super) worker: String,
    #[command(flatten)]
    assignment: AssignmentArgs,
    #[command(flatten)]
    memory: MemoryArgs,
    #[command(flatten)]
    device: DeviceArgs,
}

/// What [`WorkArgs`] name, read and checked.
pub(super) struct Work {
    pub recipe: Recipe,
    pub folder: ModelFolder,
    pub shard: Shard,
    pub assignment: Assignment,
    pub plan: Plan,
    pub model: Model,
    pub order: BatchOrder,
}

impl WorkArgs {
    /// Reads everything, and refuses what does not belong together.
    pub(super) fn load(&self, ui: &Ui) -> Result<Work> {
        let device = self.device.open(ui)?;
        let (recipe, folder, _) = self.run.load(Some(self.round))?;
        let shard = Shard::open(open(&self.shard)?)?;
        shard.check_recipe(&recipe).at(self.shard.display())?;
        shard.check_split(Split::Train).at(self.shard.display())?;
        shard.check_vocabulary(folder.config.vocab_size).at(self.shard.display())?;
        let assignment = match &self.assignment.assignments {
            Some(path) => {
                let assignments = read_assignments(path, &recipe, &self.assignment.coordinator, ui)?;
                Assignment::find(&assignments, self.round, &self.worker).at(path.display())?.clone()
            }
            None => Assignment::unassigned(&recipe, self.round, &self.worker, &shard),
        };
        assignment.check_shard(&shard).at(self.shard.display())?;
        let beside = self.device.beside()?;
        let plan = self.memory.plan(&recipe, &folder, &device, &beside)?;
        let model = folder.model_of(&recipe, device)?.with_beside(beside);
        let order = BatchOrder::new(&assignment.order, shard.sequences());
        Ok(Work { recipe, folder, shard, assignment, plan, model, order })
    }
}

impl Work {
    /// The round's steps.
    pub fn input(&self) -> RoundInput<'_> {
        let Work { recipe, model, plan, shard, order, .. } = self;
        RoundInput { recipe, model, plan: *plan, shard, order, round: self.assignment.round }
    }

    /// Theta with these moments.
    pub fn start(&self, moments: Moments) -> Result<State> {
        Ok(State { parameters: self.folder.parameters.to_vec()?, moments })
    }

    /// Whether the recipe carries the inner optimiser's state.
    pub fn carries(&self) -> bool {
        self.recipe.inner.state == InnerState::Carry
    }

    /// The mean loss of a step, in nats, from its sum as leaves say it.
    fn loss(&self, step: u32, q32: &str) -> f64 {
        let batch = self.order.clone().indices(step.into(), self.recipe.inner.batch);
        q32.parse::<f64>().unwrap_or(f64::NAN) / 4_294_967_296.0 / self.shard.targets(&batch) as f64
    }

    /// The delta's metadata before the work.
    pub fn meta(&self, inner_in: &str) -> Result<Meta> {
        delta_meta(&self.recipe, &self.folder, &self.assignment, &self.shard, inner_in)
    }
}

/// No work before its pay is locked.
#[derive(clap::Args, Debug)]
pub struct HeldArgs {
    /// Demand a `held` record of this task's escrow, as `invoice status` prints it; others may be there too
    #[arg(long, value_name = "FILE|DIR", requires = "offers", requires = "judge")]
    held: Vec<PathBuf>,
    /// The offers that the held record is for; as often as there are files
    #[arg(long, value_name = "FILE", requires = "held")]
    offers: Vec<PathBuf>,
    /// The judge's node id: an offer that it did not sign is refused
    #[arg(long, value_name = "NODE", value_parser = super::invoice::node_id, requires = "held")]
    judge: Option<NodeId>,
}

impl HeldArgs {
    /// Refuses to begin unless every rung of an offer for this very work is held.
    fn require(&self, assignment: &Assignment, folder: &ModelFolder, ui: &Ui) -> Result<()> {
        let Some(judge) = &self.judge else { return Ok(()) };
        let (held, offers) = (lists::name(&self.held), lists::name(&self.offers));
        let records: Vec<Held> = lists::select(&lists::read_many(&self.held, Room::any(), ui)?);
        let mut why = Error::refused(format!(
            "{}: expected a held record of worker {} in round {}, found none",
            held, assignment.worker, assignment.round
        ));
        for offer in lists::read_all::<Offer>(&self.offers, Room::any())? {
            let task = (&offer.run, offer.round, &offer.worker);
            if task != (&assignment.run, assignment.round, &assignment.worker) {
                continue;
            }
            // What somebody wrote into the file hides no true offer.
            if let Err(error) = offer.verify(judge) {
                why = error.at(&offers);
                continue;
            }
            for (field, expected, found) in
                [("assignment", assignment.digest()?, offer.assignment), ("theta", folder.digest, offer.theta)]
            {
                if expected != found {
                    let what = format!("{}: {field}: expected {expected}, found {found}", offer.name());
                    return Err(Error::refused(what).at(&offers));
                }
            }
            let id = offer.id()?;
            for record in records.iter().filter(|h| h.task.offer == id) {
                match record.verify(&offer) {
                    Ok(()) => return Ok(()),
                    Err(error) => why = error.at(&held),
                }
            }
        }
        Err(why)
    }
}

/// Memory for activations on the host, where none is said.
const HOST_ACTIVATIONS: u64 = 2048 << 20;

/// Memory and micro-batches: never a matter of bits.
#[derive(clap::Args, Debug)]
pub struct MemoryArgs {
    /// Sequences computed at a time; the bits do not depend on it [default: by memory and caches]
    #[arg(help_heading = "Memory", long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    micro_batch: Option<u32>,
    /// Memory for activations, in MiB; below what keeping them takes, layers are computed twice, and where some is left, the
    /// integers of weights (arithmetic = 2) are kept for all of a step [default: 2048; on a GPU what is free]
    #[arg(help_heading = "Memory", long, value_name = "MIB")]
    activation_memory: Option<u64>,
}

impl MemoryArgs {
    /// The plan for a round on this device. What its memory cannot hold at all is refused before anything is begun (69).
    pub(super) fn plan(
        &self,
        recipe: &Recipe,
        folder: &ModelFolder,
        device: &Device,
        beside: &[Device],
    ) -> Result<Plan> {
        let micro_batch = self.micro_batch.map(|n| n as usize);
        let asked = self.activation_memory.map(|mib| mib << 20);
        let groups = recipe.inner.grad_groups;
        // Gradients of other devices pass through room of the first.
        let passing = if beside.is_empty() || groups == 1 { 0 } else { 4 * folder.layout.total as u64 };
        let held = files::training_bytes(folder, groups) + passing;
        let mut free = device.free()?;
        for other in beside {
            free = free.min(other.free()?);
        }
        let budget = asked.or(device.budget(held)?).unwrap_or(HOST_ACTIVATIONS);
        let plan = Plan::of_at(device.pace(), recipe, &folder.config, micro_batch, budget);
        match free {
            Some(free) if held + plan.bytes(&folder.config) > free => {
                let least = Plan::of_at(device.pace(), recipe, &folder.config, Some(1), 0);
                let mib = |bytes: u64| bytes.div_ceil(1 << 20);
                let (takes, could) = (held + plan.bytes(&folder.config), held + least.bytes(&folder.config));
                let what = format!(
                    "{}: expected {} MiB of free memory for {} MiB of parameters, gradients and moments and what is \
                     computed, found {} MiB",
                    device.name(),
                    mib(takes),
                    mib(held),
                    mib(free)
                );
                Err(Error::unavailable(what).hint(match could <= free {
                    true => format!("--micro-batch 1 --activation-memory 0 takes {} MiB", mib(could)),
                    false => {
                        format!("no plan takes less than {} MiB; --device cpu uses the machine's memory", mib(could))
                    }
                }))
            }
            _ => Ok(plan),
        }
    }
}

/// Runs the verb.
pub fn run(args: &Args, ui: &Ui) -> Result<()> {
    let Args { state, state_out, leaves, log, coded, output, .. } = args;
    let target = coded.target(output);
    target.check(true)?;
    let states = state.iter().map(|path| ("--state", Some(path.as_path())));
    let outputs = [
        ("--state-out", state_out),
        ("--leaves", leaves),
        ("--log", log),
        ("--update", &coded.update),
        ("--feedback", &coded.feedback),
        ("--output", &output.output),
    ];
    let named: Vec<_> = states.chain(outputs.map(|(flag, path)| (flag, path.as_deref()))).collect();
    files::distinct(&named)?;
    let work = args.work.load(ui)?;
    args.escrow.require(&work.assignment, &work.folder, ui)?;
    let layout = &work.folder.layout;
    let (round, worker) = (args.work.round, &args.work.worker);
    let useless = |flag: &str| {
        let what = format!("{flag}: the recipe begins every round with zero moments (inner.state is \"reset\")");
        Err(Error::usage(what).hint("leave --state and --state-out out"))
    };
    match (work.carries(), state.is_empty() || coded.update.is_some(), state_out) {
        (false, false, _) => return useless("--state"),
        (false, _, Some(_)) => return useless("--state-out"),
        _ => {}
    }
    let given = files::StatesIn::sort(state, layout)?;
    if given.moments.is_some() && !work.carries() {
        return useless("--state");
    }
    if let Some(path) = given.feedback.as_ref().filter(|_| coded.update.is_none()) {
        let what = format!("--state {}: expected moments, found the error feedback", path.display());
        return Err(Error::data(what).hint("`compress` goes on from it, or --update does that too"));
    }
    if let Some(path) = &given.feedback {
        files::check_feedback(path, layout, &work.recipe, round, worker)?;
    }
    let moments = match &given.moments {
        Some(path) => MomentsIn::read(path, layout, &work.recipe, round, worker)?,
        None => {
            if work.carries() && round > 0 {
                say_assumed_zero(ui, round, "the state of the inner optimiser");
            }
            MomentsIn::zero(layout)
        }
    };
    let mut meta = work.meta(&moments.digest)?;
    let segments = Segments::of(&work.recipe);
    let kept = args.openings.as_deref().map(|folder| Kept::create(folder, segments, args.keep_states)).transpose()?;
    let destination = coded.begin(&work.recipe, given.feedback.as_deref(), &target, output.force)?;
    let beside = |path: &Option<PathBuf>| path.as_deref().map(|path| Target::new(Some(path), args.output.force));
    let others = Beside { state: beside(state_out), leaves: beside(leaves), kept: kept.as_ref() };
    let made = destination.made(&meta)?;
    let delta = made.as_ref().map(|(made, _)| made);
    let mut checkpoints = args.checkpoint.open(meta.clone(), args.output.force, ui)?;
    if others.complete(&meta, &Leaves::of(&work.recipe, &meta)?, delta, layout)? && made.as_ref().is_some_and(|m| m.1) {
        [Some(&target), others.state.as_ref(), others.leaves.as_ref()]
            .into_iter()
            .flatten()
            .try_for_each(Target::sweep)?;
        checkpoints.map_or(Ok(()), |checkpoints| checkpoints.remove())?;
        ui.say(format!("up to date: {} was made from the same inputs; --force does it again", target.name()));
        return Ok(());
    }
    let _claim = target.claim()?;
    let mut done = checkpoints.as_mut().map_or(Ok(0), |checkpoints| checkpoints.resume(layout))?;
    if let (Some(kept), Some(checkpoints)) = (&kept, &mut checkpoints)
        && !kept.begun(done, |path, step| is_kept(path, step, &meta))
    {
        checkpoints.begin_again("what --openings was to keep until the checkpoint is not there");
        done = 0;
    }

    files::describe(ui, &work.model.device, &work.folder, &work.plan, work.recipe.inner.grad_groups);
    let bar = ui.progress("train", work.recipe.inner.steps.into());
    bar.at(done.into());
    let input = work.input();
    let metrics = |path| Metrics::begin(path, &input, &work.assignment, done, ui);
    let mut metrics = log.as_deref().map(metrics).transpose()?;
    let mut log = LeafLog::new(layout, segments);
    let watch = |report: &StepReport, state: &mut Resident, leaf: Option<&Leaf>| {
        ui.detail(format!(
            "round {round} step {}: loss {:.4}, gradient norm {:.4}",
            report.step, report.loss, report.gradient_norm
        ));
        bar.tick(format!("loss {:.3}", report.loss));
        if let Some(metrics) = &mut metrics {
            metrics.step(report);
        }
        match (&kept, leaf) {
            (Some(kept), Some(leaf)) => kept.keep(leaf.step, state.state()?, &meta, layout),
            _ => Ok(()),
        }
    };
    let mut steps = Steps { checkpoints: checkpoints.as_mut(), watch };
    let state = steps.run(&input, work.start(moments.moments)?, 0..segments.steps, &mut log)?;
    drop(bar);

    let first = log.losses().next().map(|q32| work.loss(0, q32));
    let last = log.losses().next_back().map(|q32| work.loss(segments.steps - 1, q32));
    let leaves = log.leaves();
    let text = Leaves::of(&work.recipe, &meta)?.to_text(&leaves)?;
    if let Some(path) = &args.leaves {
        Target::new(Some(path), args.output.force).write_text(&text)?;
    }
    kept.map_or(Ok(()), |kept| kept.finish(&text))?;
    let mut next = None;
    if work.carries() {
        next = files::write_moments(state_out.as_deref(), args.output.force, &meta, &state.moments, layout)?;
    }
    finish_meta(&work.recipe, &mut meta, layout, &leaves, &state.moments)?;
    let delta = verify::delta(work.model.engine, &work.folder.parameters, state.parameters)?;
    destination.put(meta, layout, &delta, next, ui)?;
    // Whether it has arrived where standard output leads nobody knows here.
    checkpoints.filter(|_| !target.is_stdout()).map_or(Ok(()), |checkpoints| checkpoints.remove())?;
    if let (Some(first), Some(last)) = (first, last) {
        ui.say(format!("{worker} round {round}: loss {first:.4} -> {last:.4}"));
    }
    Ok(())
}
