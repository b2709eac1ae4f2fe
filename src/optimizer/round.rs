//! The inner steps of one worker's round: a pure function of theta, moments, shard and order.

use std::ops::Range;

use super::inner::inner_step;
use super::input::RoundInput;
use super::moments::Moments;
use super::place::{Place, all_at_once};
use super::resident::{Resident, State};
use crate::engine::{AdamwStep, Buffer, Part};
use crate::error::{Error, Result};
use crate::model::{Layout, TensorSpec};

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

/// Runs these inner steps of a round, counted from 0, from the state before the first of them. `watch` may ask for the state
/// after each, and may end the round.
pub fn run_steps(
    input: &RoundInput<'_>,
    state: State,
    steps: Range<u32>,
    watch: impl FnMut(&StepReport, &mut Resident) -> Result<()>,
) -> Result<State> {
    input.model.engine.define(|| run(input, state, steps, watch))
}

fn run(
    input: &RoundInput<'_>,
    state: State,
    steps: Range<u32>,
    mut watch: impl FnMut(&StepReport, &mut Resident) -> Result<()>,
) -> Result<State> {
    let inner = &input.recipe.inner;
    let mut trainer = Trainer::new(input);
    let mut state = Resident::new(&input.model.device, state);
    let mut order = input.order.clone();
    for step in steps {
        let global = input.round * u64::from(inner.steps) + u64::from(step);
        let at = |error: Error| error.at(format!("round {} step {step}", input.round));
        let sequences = order.indices(u64::from(step), inner.batch);
        let loss_q32 = trainer.gradient(state.parameters(), &sequences).map_err(at)?;
        let gradient_norm = trainer.gradient_norm().map_err(at)?;
        let clip = inner.clip as f32 / gradient_norm;
        let clip = if clip > 1.0 { 1.0 } else { clip };
        trainer.update(&mut state, global, clip).map_err(at)?;
        let loss = loss_q32 as f64 / 4_294_967_296.0 / input.shard.targets(&sequences) as f64;
        watch(&StepReport { step, loss, loss_q32, gradient_norm, sequences }, &mut state)?;
    }
    state.into_state()
}

/// The memory that the steps of a round share.
struct Trainer<'a> {
    input: &'a RoundInput<'a>,
    /// Where groups of a batch are computed: the model's device first, which has the state.
    places: Vec<Place<'a>>,
    /// The sum over groups where there are several (A4), else empty.
    total: Buffer,
    /// Room for a gradient from another device, on the host and on the model's.
    carried: (Vec<f32>, Buffer),
}

impl<'a> Trainer<'a> {
    fn new(input: &'a RoundInput<'a>) -> Trainer<'a> {
        let (groups, device) = (input.recipe.inner.grad_groups, &input.model.device);
        let total = |wanted: bool| if wanted { input.model.layout.total } else { 0 };
        let beside = input.model.beside.iter().take(groups - 1);
        let places: Vec<Place<'_>> =
            [input.model].into_iter().chain(beside).map(|model| Place::new(input, model)).collect();
        let carried = total(places.len() > 1);
        Trainer {
            input,
            places,
            total: device.zeros(total(groups > 1)),
            carried: (vec![0.0; carried], device.zeros(carried)),
        }
    }

    /// The gradient of the batch's mean loss, into the first place's; returns the summed loss, 32.32 fixed point.
    fn gradient(&mut self, parameters: Part<'_>, sequences: &[usize]) -> Result<i128> {
        let Trainer { input, places, total, carried } = self;
        let device = &input.model.device;
        let scale = 1.0 / input.shard.targets(sequences) as f32;
        let groups = input.recipe.inner.grad_groups;
        let groups: Vec<&[usize]> = sequences.chunks(sequences.len() / groups).collect();
        if let [_, beside @ ..] = &mut places[..]
            && !beside.is_empty()
        {
            device.read(parameters, &mut carried.0)?;
            beside.iter_mut().for_each(|place| place.follow(&carried.0));
        }
        let mut sum = 0i128;
        for (turn, groups_now) in groups.chunks(places.len()).enumerate() {
            sum += all_at_once(places, groups_now, |place, group| place.gradient(parameters, group, scale, turn == 0))?;
            if groups.len() == 1 {
                break;
            }
            for (g, place) in places.iter().take(groups_now.len()).enumerate() {
                let flat = place.bring(device, carried)?;
                match (turn, g) {
                    (0, 0) => device.copy(flat, total.part_mut(..)),
                    _ => device.add_into(total.part_mut(..), flat),
                }
            }
        }
        if groups.len() > 1 {
            std::mem::swap(total, &mut places[0].gradients.flat);
        }
        Ok(sum)
    }

    fn flat(&self) -> Part<'_> {
        self.places[0].gradients.flat.part(..)
    }

    /// The norm over all tensors by ascending name: a chain over the tensors' sums of squares (A3).
    fn gradient_norm(&self) -> Result<f32> {
        let (layout, device) = (&self.input.model.layout, &self.input.model.device);
        let flat = self.flat();
        let ranges: Vec<_> = layout.tensors.iter().map(TensorSpec::range).collect();
        let mut squares = 0f32;
        for (range, sum) in ranges.iter().zip(device.tensor_sums_squares(flat, &ranges)?) {
            if !sum.is_finite() {
                let mut room = vec![0.0; range.len()];
                device.read(flat.part(range.clone()), &mut room)?;
                return Err(non_finite(layout, "the gradient of", &room, range.start));
            }
            squares += sum;
        }
        Ok(squares.sqrt())
    }

    fn update(&self, state: &mut Resident, global: u64, clip: f32) -> Result<()> {
        let (layout, device) = (&self.input.model.layout, &self.input.model.device);
        let step = inner_step(&self.input.recipe.inner, global, state.steps() + 1, clip);
        let scalars = |tensor: &TensorSpec| if tensor.decays() { step.decaying } else { step.plain };
        let tensors: Vec<(Range<usize>, AdamwStep)> =
            layout.tensors.iter().map(|tensor| (tensor.range(), scalars(tensor))).collect();
        let [parameters, first, second] = state.step();
        let Some(bad) = device.adamw(&tensors, parameters, self.flat(), [first, second])? else {
            return Ok(());
        };
        let (range, State { parameters, moments }) = (tensors[bad].0.clone(), state.state()?);
        let parts =
            [("", parameters), ("the first moment of", &moments.first), ("the second moment of", &moments.second)];
        let found = parts.map(|(what, values)| (what, &values[range.clone()]));
        let found = found.into_iter().find(|(_, values)| values.iter().any(|x| !x.is_finite()));
        let (what, values) = found.unwrap_or(("", &[]));
        Err(non_finite(layout, what, values, range.start))
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
