//! The inner steps of one worker's round: a pure function of theta, moments, shard and order.

use super::inner::inner_step;
use super::moments::Moments;
use crate::artifact::Recipe;
use crate::data::{BatchOrder, Shard};
use crate::error::{Error, Result};
use crate::model::{Gradients, Layout, Model, Plan, Workspace, sum_q32};

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
#[derive(Clone, Copy, Debug)]
pub struct StepReport {
    /// Counted from 0 within the round.
    pub step: u32,
    /// Mean loss of the batch, in nats.
    pub loss: f64,
    /// Norm of the gradient before clipping.
    pub gradient_norm: f32,
}

/// Runs the inner steps from `parameters` (theta) and `moments`.
pub fn run_round(
    input: &RoundInput<'_>,
    parameters: Vec<f32>,
    moments: Moments,
    watch: impl FnMut(StepReport),
) -> Result<RoundOutput> {
    input.model.engine.define(|| steps(input, parameters, moments, watch))
}

fn steps(
    input: &RoundInput<'_>,
    mut parameters: Vec<f32>,
    mut moments: Moments,
    mut watch: impl FnMut(StepReport),
) -> Result<RoundOutput> {
    let inner = &input.recipe.inner;
    let mut trainer = Trainer::new(input);
    let mut order = input.order.clone();
    let mut losses = Vec::with_capacity(inner.steps as usize);
    for step in 0..inner.steps {
        let global = input.round * u64::from(inner.steps) + u64::from(step);
        let at = |error: Error| error.at(format!("round {} step {step}", input.round));
        let sequences = order.indices(u64::from(step), inner.batch);
        let loss = trainer.gradient(&parameters, &sequences).map_err(at)?;
        let gradient_norm = trainer.gradient_norm().map_err(at)?;
        moments.steps += 1;
        let clip = inner.clip as f32 / gradient_norm;
        let clip = if clip > 1.0 { 1.0 } else { clip };
        trainer.update(&mut parameters, &mut moments, global, clip).map_err(at)?;
        watch(StepReport { step, loss, gradient_norm });
        losses.push(loss);
    }
    Ok(RoundOutput { parameters, moments, losses })
}

/// The memory that the steps of a round share.
struct Trainer<'a> {
    input: &'a RoundInput<'a>,
    workspace: Workspace,
    gradients: Gradients,
    /// The sum over groups where there are several (A4), else empty.
    total: Vec<f32>,
    tokens: Vec<u32>,
}

impl<'a> Trainer<'a> {
    fn new(input: &'a RoundInput<'a>) -> Trainer<'a> {
        let grouped = input.recipe.inner.grad_groups > 1;
        Trainer {
            workspace: Workspace::new(&input.model.config, input.plan),
            gradients: Gradients::new(input.model),
            total: vec![0.0; if grouped { input.model.layout.total } else { 0 }],
            tokens: Vec::new(),
            input,
        }
    }

    /// The gradient of the batch's mean loss, into `self.gradients`; returns the loss.
    fn gradient(&mut self, parameters: &[f32], sequences: &[usize]) -> Result<f64> {
        let Trainer { input, workspace, gradients, total, tokens } = self;
        let model = input.model;
        let targets = sequences.len() * input.plan.seq_len;
        let scale = 1.0 / targets as f32;
        let groups = input.recipe.inner.grad_groups;
        let mut sum = 0i128;
        for (g, group) in sequences.chunks(sequences.len() / groups).enumerate() {
            gradients.clear();
            for micro in group.chunks(input.plan.sequences) {
                tokens.clear();
                micro.iter().for_each(|&s| tokens.extend(input.shard.sequence(s)));
                let losses = model.backward(parameters, tokens, scale, gradients, workspace);
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
        Ok(sum as f64 / 4_294_967_296.0 / targets as f64)
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
