//! The feed-forward branch of a layer, forward and backward.

use super::activations::Scratch;
use super::branch::Sums;
use super::fixed::Fixed;
use super::forward::Model;
use super::layer_acts::LayerActs;
use super::variant::Gate;
use crate::engine::Start;
use crate::engine::linear::Factor;

impl Model {
    /// From the residual stream after attention to `out`, the one after the layer. Without `out` as far as a backward pass needs it.
    pub(super) fn feed_forward(
        &self,
        parameters: &Fixed<'_>,
        layer: usize,
        n: usize,
        acts: &mut LayerActs,
        scratch: &mut Scratch,
        out: Option<&mut [f32]>,
    ) {
        let ids = &self.net.decoder.layers[layer];
        let (d, ff) = (self.config.hidden_size, self.config.intermediate_size);
        let middle = &acts.middle[..n * d];
        let entering = match ids.norm2 {
            None => middle,
            Some(norm) => {
                let normed = &mut scratch.normed[..n * d];
                self.norm(parameters, norm, middle, normed, &mut acts.rinv2[..n]);
                normed
            }
        };
        let input = scratch.integers.of(entering, d);
        let (gate, up) = (&mut acts.gate[..n * ff], &mut acts.up[..n * ff]);
        let y = [(&mut *gate, ff), (&mut *up, ff)];
        self.project_all(parameters, ids.gate_up, input, &mut scratch.fused, y);
        // A backward pass needs gate and up, and what a norm on the way out has kept.
        if out.is_none() && ids.post_norm2.is_none() {
            return;
        }
        let hidden = &mut scratch.hidden[..n * ff];
        match self.config.variant.gate {
            Gate::Silu => self.engine.swiglu(gate, up, hidden),
            Gate::GeluTanh => self.engine.geglu(gate, up, hidden),
        }
        let projected = &mut scratch.projected[..n * d];
        let kept = [&mut acts.left[1], &mut acts.left_rinv[1]];
        let last = (ids.down, ids.post_norm2);
        let hidden = Factor::new(hidden, ff);
        match out {
            Some(out) => self.leave(parameters, last, hidden, kept, projected, (middle, out)),
            None => self.leave(parameters, last, hidden, kept, projected, (middle, &mut scratch.normed[..n * d])),
        }
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
        let (engine, ids) = (self.engine, &self.net.decoder.layers[layer]);
        let (d, ff) = (self.config.hidden_size, self.config.intermediate_size);
        let (gate, up, hidden) = (&mut acts.gate[..n * ff], &mut acts.up[..n * ff], &mut s.hidden[..n * ff]);
        let dx = &mut s.dx[..n * d];
        let kept = [&acts.left[1][..], &acts.left_rinv[1]];
        let d_left = self.leave_backward(parameters, ids.post_norm2, kept, dx, &mut s.d_branch, sums);
        self.input_gradient(parameters, ids.down.weight, d_left, hidden, Start::Zero);
        // Hidden comes back in place of its gradient.
        match self.config.variant.gate {
            Gate::Silu => engine.swiglu_backward(gate, up, hidden),
            Gate::GeluTanh => engine.geglu_backward(gate, up, hidden),
        }
        self.weight_gradient(parameters, ids.down, Factor::new(hidden, ff), d_left, sums);
        let (middle, rinv) = (&acts.middle[..n * d], &acts.rinv2[..n]);
        let normed = &mut s.normed[..n * d];
        let input = self.entered(parameters, ids.norm2, [middle, rinv], normed, &mut s.integers);
        let dy = [(&*gate, ff), (&*up, ff)];
        match ids.norm2 {
            None => {
                let start = Start::Accumulate;
                self.project_all_backward(parameters, ids.gate_up, input, &mut s.fused, dy, start, dx, sums);
            }
            Some(norm) => {
                let d_normed = &mut s.projected[..n * d];
                let start = Start::Zero;
                self.project_all_backward(parameters, ids.gate_up, input, &mut s.fused, dy, start, d_normed, sums);
                self.norm_backward(parameters, norm, 1, [middle, rinv, d_normed], dx, sums);
            }
        }
    }
}
