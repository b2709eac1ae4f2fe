//! Where a group of a batch is computed: a model on a device, with the memory of its passes.

use super::input::RoundInput;
use crate::data::Gathered;
use crate::device::Device;
use crate::engine::{Buffer, Part};
use crate::error::{Error, Result};
use crate::model::{Batch, Gradients, KeptWeights, Model, Workspace, sum_q32};

/// A model on a device, and the memory of its passes.
pub(super) struct Place<'a> {
    input: &'a RoundInput<'a>,
    model: &'a Model,
    workspace: Workspace,
    weights: KeptWeights,
    /// Of the last group.
    pub gradients: Gradients,
    gathered: Gathered,
    /// The parameters, where the state is on another device.
    copy: Option<Buffer>,
}

impl<'a> Place<'a> {
    pub fn new(input: &'a RoundInput<'a>, model: &'a Model) -> Place<'a> {
        let elsewhere = !std::ptr::eq(model, input.model);
        Place {
            workspace: Workspace::new(&model.device, &model.config, input.plan),
            weights: KeptWeights::new(&model.net, &input.plan),
            gradients: Gradients::new(model),
            gathered: Gathered::default(),
            copy: elsewhere.then(|| model.device.zeros(model.layout.total)),
            input,
            model,
        }
    }

    /// Takes over the parameters of the state.
    pub fn follow(&mut self, parameters: &[f32]) {
        if let Some(copy) = &mut self.copy {
            self.model.device.write(parameters, copy.part_mut(..));
        }
    }

    /// The gradient of `scale` times the summed loss of these sequences, into its own; returns the loss, 32.32 fixed point. Whether
    /// these are the `first` sequences that it computes with these parameters.
    pub fn gradient(&mut self, parameters: Part<'_>, sequences: &[usize], scale: f32, first: bool) -> Result<i128> {
        let Place { input, model, workspace, weights, gradients, gathered, copy } = self;
        let parameters = copy.as_ref().map_or(parameters, |copy| copy.part(..));
        let parameters = match first {
            true => model.fix_in(weights, parameters),
            false => model.fix_again(weights, parameters),
        };
        let mut sum = 0i128;
        gradients.clear(model);
        for micro in sequences.chunks(input.plan.sequences) {
            input.shard.gather(micro, gathered);
            let Gathered { tokens, mask, starts } = &*gathered;
            let losses = model.backward(&parameters, Batch { tokens, mask, starts }, scale, gradients, workspace)?;
            sum += sum_q32(losses).map_err(|i| {
                let (sequence, token) = (micro[i / input.plan.seq_len], i % input.plan.seq_len);
                Error::data(format!("the loss of sequence {sequence}, token {token}, is not finite, or above 2^31"))
            })?;
        }
        gradients.finish(model);
        Ok(sum)
    }

    /// Its gradient where `device` can read it; `room` is the host's and the device's for one that comes from elsewhere.
    pub fn bring<'x>(&'x self, device: &Device, room: &'x mut (Vec<f32>, Buffer)) -> Result<Part<'x>> {
        let flat = self.gradients.flat.part(..);
        if self.copy.is_none() {
            return Ok(flat);
        }
        let (host, there) = room;
        self.model.device.read(flat, host)?;
        device.write(host, there.part_mut(..));
        Ok(there.part(..))
    }
}

/// A group at each place, all at the same time where there are several; the sum of what they give. The error is that of the first.
pub(super) fn all_at_once<'a>(
    places: &mut [Place<'a>],
    groups: &[&[usize]],
    compute: impl Fn(&mut Place<'a>, &[usize]) -> Result<i128> + Sync,
) -> Result<i128> {
    if let ([place, ..], [group]) = (&mut *places, groups) {
        return compute(place, group);
    }
    let compute = &compute;
    std::thread::scope(|scope| {
        let started: Vec<_> = places
            .iter_mut()
            .zip(groups)
            .map(|(place, group)| {
                let engine = place.model.engine;
                scope.spawn(move || engine.define(|| compute(place, group)))
            })
            .collect();
        let ended =
            started.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        ended.collect::<Vec<_>>().into_iter().sum()
    })
}
