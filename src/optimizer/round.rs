//! The inner steps of one worker's round: a pure function of theta, moments, shard and order.

use std::ops::Range;

use super::inner::inner_step;
use super::moments::Moments;
use crate::artifact::Recipe;
use crate::data::{BatchOrder, Gathered, Shard};
use crate::error::{Error, Result};
use crate::model::{Batch, Gradients, KeptWeights, Layout, Model, Plan, Workspace, sum_q32};

/// What a round starts from.
pub struct RoundInput<'a> {
    /// The recipe.
    pub recipe: &'a Recipe,
    /// The model's shape.
    pub model: &'a Model,
    /// The memory plan.
    pub plan: Plan,
    /// The worker's shard.
    pub shard: &'a Shard,
    /// The order of its sequences.
    pub order: &'a BatchOrder,
    /// The round's number.
    pub round: u64,
}

/// What the inner steps work on.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// The worker's parameters, by the layout: theta before the first step.
    pub parameters: Vec<f32>,
    /// Its moments.
    pub moments: Moments,
}

/// What a round ends with.
pub struct RoundOutput {
    /// The worker's parameters after its inner steps.
    pub parameters: Vec<f32>,
    /// Its moments.
    pub moments: Moments,
    /// The mean loss of each step, in nats.
    pub losses: Vec<f64>,
}

/// One inner step, for whoever watches.
#[derive(Clone, Debug)]
pub struct StepReport {
    /// Counted from 0 within the round.
    pub step: u32,
    /// Mean loss of the batch's targets, in nats.
    pub loss: f64,
    /// Summed loss of the batch in nats, 32.32 fixed point (A8).
    pub loss_q32: i128,
    /// Norm of the gradient before clipping.
    pub gradient_norm: f32,
    /// The batch: sequences of the shard.
    pub sequences: Vec<usize>,
}

/// Runs all inner steps of a round from `parameters` (theta) and `moments`.
pub fn run_round(
    input: &RoundInput<'_>,
    parameters: Vec<f32>,
    moments: Moments,
    mut watch: impl FnMut(&StepReport),
) -> Result<RoundOutput> {
    let mut losses = Vec::with_capacity(input.recipe.inner.steps as usize);
    let state = run_steps(input, State { parameters, moments }, 0..input.recipe.inner.steps, |report, _| {
        losses.push(report.loss);
        watch(report);
        Ok(())
    })?;
    Ok(RoundOutput { parameters: state.parameters, moments: state.moments, losses })
}

/// Runs these inner steps of a round, counted from 0, from the state before the first of them. `watch` sees the state
/// after each, and may end the round.
pub fn run_steps(
    input: &RoundInput<'_>,
    state: State,
    steps: Range<u32>,
    watch: impl FnMut(&StepReport, &State) -> Result<()>,
) -> Result<State> {
    input.model.engine.define(|| run(input, state, steps, watch))
}

fn run(
    input: &RoundInput<'_>,
    mut state: State,
    steps: Range<u32>,
    mut watch: impl FnMut(&StepReport, &State) -> Result<()>,
) -> Result<State> {
    let inner = &input.recipe.inner;
    let mut trainer = Trainer::new(input);
    let mut order = input.order.clone();
    for step in steps {
        let State { parameters, moments } = &mut state;
        let global = input.round * u64::from(inner.steps) + u64::from(step);
        let at = |error: Error| error.at(format!("round {} step {step}", input.round));
        let sequences = order.indices(u64::from(step), inner.batch);
        let loss_q32 = trainer.gradient(parameters, &sequences).map_err(at)?;
        let gradient_norm = trainer.gradient_norm().map_err(at)?;
        moments.steps += 1;
        let clip = inner.clip as f32 / gradient_norm;
        let clip = if clip > 1.0 { 1.0 } else { clip };
        trainer.update(parameters, moments, global, clip).map_err(at)?;
        let loss = loss_q32 as f64 / 4_294_967_296.0 / input.shard.targets(&sequences) as f64;
        watch(&StepReport { step, loss, loss_q32, gradient_norm, sequences }, &state)?;
    }
    Ok(state)
}

/// The memory that the steps of a round share.
struct Trainer<'a> {
    input: &'a RoundInput<'a>,
    workspace: Workspace,
    weights: KeptWeights,
    gradients: Gradients,
    /// The sum over groups where there are several (A4), else empty.
    total: Vec<f32>,
    gathered: Gathered,
}

impl<'a> Trainer<'a> {
    fn new(input: &'a RoundInput<'a>) -> Trainer<'a> {
        let grouped = input.recipe.inner.grad_groups > 1;
        Trainer {
            workspace: Workspace::new(&input.model.config, input.plan),
            weights: KeptWeights::new(&input.model.net, &input.plan),
            gradients: Gradients::new(input.model),
            total: vec![0.0; if grouped { input.model.layout.total } else { 0 }],
            gathered: Gathered::default(),
            input,
        }
    }

    /// The gradient of the batch's mean loss, into `self.gradients`; returns the summed loss, 32.32 fixed point.
    fn gradient(&mut self, parameters: &[f32], sequences: &[usize]) -> Result<i128> {
        let Trainer { input, workspace, weights, gradients, total, gathered } = self;
        let model = input.model;
        let parameters = weights.fix(&model.net, parameters);
        let scale = 1.0 / input.shard.targets(sequences) as f32;
        let groups = input.recipe.inner.grad_groups;
        let mut sum = 0i128;
        for (g, group) in sequences.chunks(sequences.len() / groups).enumerate() {
            gradients.clear();
            for micro in group.chunks(input.plan.sequences) {
                input.shard.gather(micro, gathered);
                let Gathered { tokens, mask, starts } = &*gathered;
                let batch = Batch { tokens, mask, starts };
                let losses = model.backward(&parameters, batch, scale, gradients, workspace);
                sum += sum_q32(losses).map_err(|i| {
                    let (sequence, token) = (micro[i / input.plan.seq_len], i % input.plan.seq_len);
                    Error::data(format!("the loss of sequence {sequence}, token {token}, is not finite, or above 2^31"))
                })?;
            }
            gradients.finish(model);
            match g {
                _ if groups == 1 => {}
                0 => total.copy_from_slice(&gradients.flat),
                _ => model.engine.add_into(total, &gradients.flat),
            }
        }
        if groups > 1 {
            std::mem::swap(total, &mut gradients.flat);
        }
        Ok(sum)
    }

    /// The norm over all tensors by ascending name: a chain over the tensors' sums of squares (A3).
    fn gradient_norm(&self) -> Result<f32> {
        let (layout, engine) = (&self.input.model.layout, self.input.model.engine);
        let mut squares = 0f32;
        for tensor in &layout.tensors {
            let gradient = &self.gradients.flat[tensor.range()];
            let sum = engine.tensor_sum_squares(gradient);
            if !sum.is_finite() {
                return Err(non_finite(layout, "the gradient of", gradient, tensor.offset));
            }
            squares += sum;
        }
        Ok(squares.sqrt())
    }

    fn update(&self, parameters: &mut [f32], moments: &mut Moments, global: u64, clip: f32) -> Result<()> {
        let (layout, engine) = (&self.input.model.layout, self.input.model.engine);
        let step = inner_step(&self.input.recipe.inner, global, moments.steps, clip);
        for tensor in &layout.tensors {
            let range = tensor.range();
            let scalars = if tensor.decays() { &step.decaying } else { &step.plain };
            let (first, second) = (&mut moments.first[range.clone()], &mut moments.second[range.clone()]);
            let values = &mut parameters[range.clone()];
            if !engine.adamw(scalars, values, &self.gradients.flat[range.clone()], first, second) {
                let found = [("", &*values), ("the first moment of", first), ("the second moment of", second)]
                    .into_iter()
                    .find(|(_, v)| v.iter().any(|x| !x.is_finite()));
                let (what, values) = found.unwrap_or(("", &[]));
                return Err(non_finite(layout, what, values, range.start));
            }
        }
        Ok(())
    }
}

fn non_finite(layout: &Layout, what: &str, values: &[f32], offset: usize) -> Error {
    let tensor = layout.tensor_at(offset);
    let which = match values.iter().position(|v| !v.is_finite()) {
        Some(i) => format!("is not finite at element {i}"),
        None => "overflows".to_owned(),
    };
    let what = if what.is_empty() { String::new() } else { format!("{what} ") };
    Error::data(format!("{what}tensor {} {which}", tensor.name))
}
