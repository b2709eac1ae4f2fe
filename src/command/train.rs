//! `l402 train`: the inner steps of one worker's round.

use std::path::PathBuf;

use super::common::{AssignmentArgs, RoundArgs, open, read_assignments};
use super::files::{self, MomentsIn};
use crate::artifact::recipe::InnerState;
use crate::artifact::{Recipe, record};
use crate::cli::OutputArgs;
use crate::data::{Assignment, BatchOrder, Shard, Split};
use crate::engine::Engine;
use crate::error::{Context, Error, Result};
use crate::fsio::Output;
use crate::model::{Model, ModelFolder, Plan, write_flat};
use crate::optimizer::{RoundInput, run_round};
use crate::pay::{Held, NodeId, Offer};
use crate::ui::Ui;
use crate::verify::{delta, delta_meta, require_machine};

/// Take the inner steps of a round on a shard, and write the pseudo-gradient: theta minus the worker's parameters.
///
/// The bits depend on recipe, model, shard, assignment and state alone: not on threads, micro-batches or machine.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    run: RoundArgs,
    /// The worker's shard
    #[arg(long, value_name = "FILE")]
    shard: PathBuf,
    /// The round
    #[arg(long, value_name = "N")]
    round: u64,
    /// The worker
    #[arg(long, value_name = "ID", value_parser = crate::cli::worker_id)]
    worker: String,
    #[command(flatten)]
    assignment: AssignmentArgs,
    #[command(flatten)]
    escrow: HeldArgs,
    /// The inner optimiser's moments, where the recipe carries them; zero without
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Write the successor state
    #[arg(long, value_name = "FILE")]
    state_out: Option<PathBuf>,
    #[command(flatten)]
    memory: MemoryArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// No work before its pay is locked.
#[derive(clap::Args, Debug)]
pub struct HeldArgs {
    /// Demand a `held` record of this task's escrow, as `invoice status` prints it
    #[arg(long, value_name = "FILE", requires = "offers", requires = "judge")]
    held: Option<PathBuf>,
    /// The offers that the held record is for
    #[arg(long, value_name = "FILE", requires = "held")]
    offers: Option<PathBuf>,
    /// The judge's node id: an offer that it did not sign is refused
    #[arg(long, value_name = "NODE", value_parser = super::invoice::node_id, requires = "held")]
    judge: Option<NodeId>,
}

impl HeldArgs {
    /// Refuses to begin unless every rung of an offer for this very work is held.
    fn require(&self, assignment: &Assignment, folder: &ModelFolder) -> Result<()> {
        let (Some(held), Some(offers), Some(judge)) = (&self.held, &self.offers, &self.judge) else {
            return Ok(());
        };
        let records: Vec<Held> = record::read(held)?;
        let mut why = Error::refused(format!(
            "{}: expected a held record of worker {} in round {}, found none",
            held.display(),
            assignment.worker,
            assignment.round
        ));
        for offer in record::read::<Offer>(offers)? {
            let task = (&offer.run, offer.round, &offer.worker);
            if task != (&assignment.run, assignment.round, &assignment.worker) {
                continue;
            }
            // What somebody wrote into the file hides no true offer.
            if let Err(error) = offer.verify(judge) {
                why = error.at(offers.display());
                continue;
            }
            for (field, expected, found) in
                [("assignment", assignment.digest()?, offer.assignment), ("theta", folder.digest, offer.theta)]
            {
                if expected != found {
                    let what = format!("{}: {field}: expected {expected}, found {found}", offer.name());
                    return Err(Error::refused(what).at(offers.display()));
                }
            }
            let id = offer.id()?;
            for record in records.iter().filter(|h| h.task.offer == id) {
                match record.verify(&offer) {
                    Ok(()) => return Ok(()),
                    Err(error) => why = error.at(held.display()),
                }
            }
        }
        Err(why)
    }
}

/// Memory and micro-batches: never a matter of bits.
#[derive(clap::Args, Debug)]
pub struct MemoryArgs {
    /// Sequences computed at a time; the bits do not depend on it [default: by memory and caches]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    micro_batch: Option<u32>,
    /// Memory for activations, in MiB; below what keeping them takes, layers are computed twice
    #[arg(long, value_name = "MIB", default_value_t = 2048)]
    activation_memory: u64,
}

impl MemoryArgs {
    /// The plan for a round.
    pub(super) fn plan(&self, recipe: &Recipe, folder: &ModelFolder) -> Plan {
        let inner = &recipe.inner;
        let group = inner.batch / inner.grad_groups;
        let micro_batch = self.micro_batch.map(|n| n as usize);
        Plan::training(&folder.config, recipe.data.seq_len, group, micro_batch, self.activation_memory << 20)
    }
}

/// Runs the verb.
pub fn run(args: &Args, ui: &Ui) -> Result<()> {
    args.output.target().check(true)?;
    let named = [("--state", &args.state), ("--state-out", &args.state_out), ("--output", &args.output.output)];
    files::distinct(&named.map(|(flag, path)| (flag, path.as_deref())))?;
    require_machine(Engine::detect())?;
    let (recipe, folder, _) = args.run.load(Some(args.round))?;
    let shard = Shard::open(open(&args.shard)?)?;
    shard.check_recipe(&recipe).at(args.shard.display())?;
    shard.check_split(Split::Train).at(args.shard.display())?;
    shard.check_vocabulary(folder.config.vocab_size).at(args.shard.display())?;
    let assignment = match &args.assignment.assignments {
        Some(path) => {
            let assignments = read_assignments(path, &recipe, &args.assignment.coordinator, ui)?;
            Assignment::find(&assignments, args.round, &args.worker).at(path.display())?.clone()
        }
        None => Assignment::unassigned(&recipe, args.round, &args.worker, &shard),
    };
    assignment.check_shard(&shard).at(args.shard.display())?;
    args.escrow.require(&assignment, &folder)?;
    let carries = recipe.inner.state == InnerState::Carry;
    if !carries && (args.state.is_some() || args.state_out.is_some()) {
        return Err(Error::usage("--state: the recipe resets the inner optimiser every round (inner.state)"));
    }
    let moments = match &args.state {
        Some(path) => MomentsIn::read(path, &folder.layout, &recipe, args.round, &args.worker)?,
        None => MomentsIn::zero(&folder.layout),
    };

    let plan = args.memory.plan(&recipe, &folder);
    let model = Model::new(folder.config.clone(), Engine::detect(), recipe.data.seq_len);
    let order = BatchOrder::new(&assignment.order, shard.sequences());
    files::describe(ui, &folder, &plan, recipe.inner.grad_groups);
    let input = RoundInput { recipe: &recipe, model: &model, plan, shard: &shard, order: &order, round: args.round };
    let bar = ui.progress("train", recipe.inner.steps.into());
    let output = run_round(&input, folder.parameters.to_vec(), moments.moments, |report| {
        ui.detail(format!(
            "round {} step {}: loss {:.4}, gradient norm {:.4}",
            args.round, report.step, report.loss, report.gradient_norm
        ));
        bar.tick(format!("loss {:.3}", report.loss));
    })?;
    drop(bar);

    let mut meta = delta_meta(&recipe, &folder, &assignment, &shard, &moments.digest)?;
    let mut state = None;
    if carries {
        let (path, force) = (args.state_out.as_deref(), args.output.force);
        let (out, digest) = files::write_moments(path, force, &meta, &output.moments, &folder.layout)?;
        meta.set("inner_out", digest);
        state = out;
    }
    let target = args.output.target();
    // Two outputs that belong together: the state goes to its place first, but not where the delta could not follow.
    // Standard output cannot wait.
    if target.is_stdout() {
        state.take().map(Output::finish).transpose()?;
    }
    let delta = delta(model.engine, &folder.parameters, output.parameters);
    let (out, digest) = write_flat(&target.name(), target.create()?, meta, &folder.layout, &delta)?;
    out.check_place()?;
    state.map(Output::finish).transpose()?;
    let outcome = out.finish()?;
    files::finished(ui, &target, outcome, &digest);
    if let (Some(first), Some(last)) = (output.losses.first(), output.losses.last()) {
        ui.say(format!("{} round {}: loss {first:.4} -> {last:.4}", args.worker, args.round));
    }
    Ok(())
}
