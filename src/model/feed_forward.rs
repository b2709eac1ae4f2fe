//! The feed-forward branch of a layer, forward and backward.

use super::activations::Scratch;
use super::branch::Sums;
use super::fixed::Fixed;
use super::forward::Model;
use super::layer_acts::LayerActs;
use super::variant::Gate;
use crate::device::Gating;
use crate::engine::linear::Factor;
use crate::engine::{PartMut, Start};

impl Model {
    /// From the residual stream after attention to `out`, the one after the layer. Without `out` as far as a backward pass needs it.
    pub(super) fn feed_forward(
        &self,
        parameters: &Fixed<'_>,
        layer: usize,
        n: usize,
        acts: &mut LayerActs,
        scratch: &mut Scratch,
        out: Option<PartMut<'_>>,
    ) {
        let ids = &self.net.decoder.layers[layer];
        let (d, ff) = (self.config.hidden_size, self.config.intermediate_size);
        let middle = acts.middle.part(..n * d);
        let entering = match ids.norm2 {
            None => middle,
            Some(norm) => {
                let mut normed = scratch.normed.part_mut(..n * d);
                self.norm(parameters, norm, middle, normed.again(), acts.rinv2.part_mut(..n));
                normed.into_shared()
            }
        };
        let input = scratch.integers.of(entering, d);
        let y = [(acts.gate.part_mut(..n * ff), ff), (acts.up.part_mut(..n * ff), ff)];
        self.project_all(parameters, ids.gate_up, input, &mut scratch.fused, y);
        // A backward pass needs gate and up, and what a norm on the way out has kept.
        if out.is_none() && ids.post_norm2.is_none() {
            return;
        }
        let (gate, up) = (acts.gate.part(..n * ff), acts.up.part(..n * ff));
        self.device.gated(self.gating(), gate, up, scratch.hidden.part_mut(..n * ff));
        let projected = scratch.projected.part_mut(..n * d);
        let kept = [&mut acts.left[1], &mut acts.left_rinv[1]];
        let last = (ids.down, ids.post_norm2);
        let hidden = Factor::new(scratch.hidden.part(..n * ff), ff);
        let out = out.unwrap_or_else(|| scratch.normed.part_mut(..n * d));
        self.leave(parameters, last, hidden, kept, projected, (middle, out));
    }

    /// The gradient of the stream after the layer, in the scratch, becomes that of the stream after attention. Gate and up become
    /// their gradients.
    pub(super) fn feed_forward_backward(
        &self,
        parameters: &Fixed<'_>,
        layer: usize,
        n: usize,
        acts: &mut LayerActs,
        s: &mut Scratch,
        sums: &mut Sums<'_>,
    ) {
        let ids = &self.net.decoder.layers[layer];
        let (d, ff) = (self.config.hidden_size, self.config.intermediate_size);
        let mut hidden = s.hidden.part_mut(..n * ff);
        let kept = [&acts.left[1], &acts.left_rinv[1]];
        let d_left = self.leave_backward(parameters, ids.post_norm2, kept, s.dx.part(..n * d), &mut s.d_branch, sums);
        self.input_gradient(parameters, ids.down.weight, d_left, hidden.again(), Start::Zero);
        // Hidden comes back in place of its gradient.
        let (gate, up) = (acts.gate.part_mut(..n * ff), acts.up.part_mut(..n * ff));
        self.device.gated_backward(self.gating(), gate, up, hidden.again());
        self.weight_gradient(parameters, ids.down, Factor::new(hidden.shared(), ff), d_left, sums);
        let (middle, rinv) = (acts.middle.part(..n * d), acts.rinv2.part(..n));
        let normed = s.normed.part_mut(..n * d);
        let input = self.entered(parameters, ids.norm2, [middle, rinv], normed, &mut s.integers);
        let dy = [(acts.gate.part(..n * ff), ff), (acts.up.part(..n * ff), ff)];
        let mut dx = s.dx.part_mut(..n * d);
        match ids.norm2 {
            None => {
                let start = Start::Accumulate;
                self.project_all_backward(parameters, ids.gate_up, input, &mut s.fused, dy, start, dx, sums);
            }
            Some(norm) => {
                let mut d_normed = s.projected.part_mut(..n * d);
                let (start, to) = (Start::Zero, d_normed.again());
                self.project_all_backward(parameters, ids.gate_up, input, &mut s.fused, dy, start, to, sums);
                self.norm_backward(parameters, norm, 1, [middle, rinv, d_normed.shared()], dx.again(), sums);
            }
        }
    }

    fn gating(&self) -> Gating {
        match self.config.variant.gate {
            Gate::Silu => Gating::Swiglu,
            Gate::GeluTanh => Gating::Geglu,
        }
    }
}
