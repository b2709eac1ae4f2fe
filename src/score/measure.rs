//! Losses of one model after the other on a round's held-out sequences, and on the workers' own.

use std::sync::Arc;

use super::gain::sequence_losses;
use super::next::Opened;
use super::pool::Pool;
use super::scoring::Scoring;
use super::watch::Watch;
use crate::codec::Update;
use crate::data::Shard;
use crate::engine::Engine;
use crate::error::{Context, Result};
use crate::model::{Fixed, KeptWeights, Model, ModelFolder, Plan, Workspace};
use crate::optimizer::{aggregate, descend, outer_step};

/// Losses of each sequence in nats, 32.32 fixed point.
pub(super) struct Losses {
    /// On the held-out sequences.
    pub held_out: Vec<i128>,
    /// On the pool's.
    pub own: Vec<i128>,
}

impl Losses {
    /// What was gained from here to there.
    pub fn gains(&self, after: &Losses) -> Losses {
        let minus = |before: &[i128], after: &[i128]| before.iter().zip(after).map(|(b, a)| b - a).collect();
        Losses { held_out: minus(&self.held_out, &after.held_out), own: minus(&self.own, &after.own) }
    }
}

/// What losses are measured on, and one workspace for all of them.
pub(super) struct Meter<'a> {
    model: Model,
    passes: Passes,
    weights: KeptWeights,
    held_out: (&'a Shard, &'a [usize]),
    own: &'a [(Arc<Shard>, Vec<usize>)],
}

/// Forward passes.
struct Passes {
    plan: Plan,
    workspace: Workspace,
}

impl<'a> Meter<'a> {
    pub fn new(input: &Scoring<'a>, drawn: &'a [usize], pool: &'a Pool) -> Result<Self> {
        let config = &input.folder.config;
        let sizes = || pool.parts.iter().map(|(_, sequences)| sequences.len()).chain([drawn.len()]);
        let model = input.folder.model_of(input.recipe, input.device.clone())?;
        let budget = model.device.budget(4 * input.folder.layout.total as u64)?.unwrap_or(u64::MAX);
        let (pace, seq_len, most) = (model.device.pace(), input.recipe.data.seq_len, sizes().max().unwrap_or(0));
        let plan = Plan::evaluation_at(pace, config, model.arithmetic, seq_len, most, budget);
        let micro_batches = sizes().map(|sequences| sequences.div_ceil(plan.sequences)).sum();
        let plan = plan.keeping_weights(config, model.arithmetic, micro_batches, budget);
        Ok(Meter {
            weights: KeptWeights::new(&model.net, &plan),
            passes: Passes { workspace: Workspace::new(&model.device, config, plan), plan },
            model,
            held_out: (input.held_out, drawn),
            own: &pool.parts,
        })
    }

    /// Micro-batches of one pass over everything.
    pub fn micro_batches(&self) -> usize {
        let sizes = self.own.iter().map(|(_, sequences)| sequences.len()).chain([self.held_out.1.len()]);
        sizes.map(|sequences| sequences.div_ceil(self.passes.plan.sequences)).sum()
    }

    /// Micro-batches of one pass over the held-out sequences.
    pub fn held_out_batches(&self) -> usize {
        self.held_out.1.len().div_ceil(self.passes.plan.sequences)
    }

    /// The total on the held-out sequences alone.
    pub fn held_out_loss(&mut self, parameters: &[f32], watch: &mut dyn FnMut(Watch<'_>)) -> Result<i128> {
        let held = self.model.device.hold(parameters);
        let parameters = self.model.fix_in(&mut self.weights, held.part());
        let (held_out, drawn) = self.held_out;
        Ok(self.passes.over(&self.model, &parameters, held_out, drawn, watch)?.iter().sum())
    }

    pub fn losses(&mut self, parameters: &[f32], watch: &mut dyn FnMut(Watch<'_>)) -> Result<Losses> {
        let held = self.model.device.hold(parameters);
        let parameters = self.model.fix_in(&mut self.weights, held.part());
        let (held_out, drawn) = self.held_out;
        let held_out = self.passes.over(&self.model, &parameters, held_out, drawn, watch)?;
        let mut own = Vec::new();
        for (shard, sequences) in self.own {
            own.extend(self.passes.over(&self.model, &parameters, shard, sequences, watch)?);
        }
        Ok(Losses { held_out, own })
    }
}

impl Passes {
    fn over(
        &mut self,
        model: &Model,
        parameters: &Fixed<'_>,
        shard: &Shard,
        sequences: &[usize],
        watch: &mut dyn FnMut(Watch<'_>),
    ) -> Result<Vec<i128>> {
        let tick = || watch(Watch::MicroBatch);
        sequence_losses(model, &self.plan, &mut self.workspace, parameters, shard, sequences, tick)
    }
}

/// Theta after the outer step with this update alone, scaled by `clip`.
pub(super) fn apply_alone(update: &Update, folder: &ModelFolder, alpha: f32, clip: f32) -> Result<Vec<f32>> {
    let engine = Engine::detect();
    let mut parameters = folder.parameters.to_vec()?;
    for tensor in &folder.layout.tensors {
        let mut sent = update.decode(&tensor.name)?;
        if clip < 1.0 {
            engine.scale(&mut sent, clip);
        }
        let values = &mut parameters[tensor.range()];
        outer_step(engine, &tensor.name, values, vec![sent], alpha).at(update.file())?;
    }
    Ok(parameters)
}

/// Theta after the outer step with these updates together, by ascending worker id: by the recipe's rule, without momentum.
pub(super) fn together(input: &Scoring<'_>, updates: &[&Update]) -> Result<Vec<f32>> {
    let (folder, outer) = (input.folder, &input.recipe.outer);
    let (engine, layout) = (Engine::detect(), &folder.layout);
    let mut parameters = folder.parameters.to_vec()?;
    let direction =
        aggregate(engine, outer, &layout.tensors, &mut Opened::new(updates.len(), |i| Ok(updates[i]), || ()))?;
    descend(engine, outer, &layout.tensors, &mut parameters, direction.values, None)?;
    Ok(parameters)
}
