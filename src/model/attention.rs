//! The attention branch of a layer, forward and backward.

use super::activations::Scratch;
use super::branch::Sums;
use super::fixed::Fixed;
use super::forward::Model;
use super::layer_acts::LayerActs;
use crate::device::Attended;
use crate::engine::linear::Factor;
use crate::engine::{Part, Start};

impl Model {
    /// From the residual stream `x` before the layer to the one between attention and feed-forward.
    pub(super) fn attention_forward(
        &self,
        parameters: &Fixed<'_>,
        layer: usize,
        x: Part<'_>,
        acts: &mut LayerActs,
        scratch: &mut Scratch,
    ) {
        let ids = &self.net.decoder.layers[layer];
        let d = self.config.hidden_size;
        let n = x.len() / d;
        let (qw, kvw) = (self.config.query_width(), self.config.key_width());
        let entering = match ids.norm1 {
            None => x,
            Some(norm) => {
                let mut normed = scratch.normed.part_mut(..x.len());
                self.norm(parameters, norm, x, normed.again(), acts.rinv1.part_mut(..n));
                normed.into_shared()
            }
        };
        let (mut q, mut k) = (acts.q.part_mut(..n * qw), acts.k.part_mut(..n * kvw));
        let v = acts.v.part_mut(..n * kvw);
        let input = scratch.integers.of(entering, d);
        match ids.qk_norm {
            None => {
                let y = [(q.again(), qw), (k.again(), kvw), (v, kvw)];
                self.project_all(parameters, ids.qkv, input, &mut scratch.fused, y);
            }
            Some(norms) => {
                let [raw_q, raw_k] = &mut acts.raw;
                let (mut raw_q, mut raw_k) = (raw_q.part_mut(..n * qw), raw_k.part_mut(..n * kvw));
                let y = [(raw_q.again(), qw), (raw_k.again(), kvw), (v, kvw)];
                self.project_all(parameters, ids.qkv, input, &mut scratch.fused, y);
                let sides = [(raw_q.shared(), q.again()), (raw_k.shared(), k.again())];
                let kept = norms.into_iter().zip(&mut acts.raw_rinv).zip(self.qk_norm_rows());
                for ((raw, y), ((norm, rinv), (rows, _))) in sides.into_iter().zip(kept) {
                    self.norm(parameters, norm, raw, y, rinv.part_mut(..n * rows));
                }
            }
        }
        self.turn(layer, &scratch.documents, false, qw, q.again());
        self.turn(layer, &scratch.documents, false, kvw, k.again());
        let heads = n * self.config.num_attention_heads;
        let mut attention = acts.attention.part_mut(..n * qw);
        let rows = [acts.row_max.part_mut(..heads), acts.row_sum.part_mut(..heads)];
        let qkv = [q.shared(), k.shared(), acts.v.part(..n * kvw)];
        self.attend(layer, &scratch.documents, qkv, attention.again(), rows);
        let kept = [&mut acts.left[0], &mut acts.left_rinv[0]];
        let projected = scratch.projected.part_mut(..x.len());
        let streams = (x, acts.middle.part_mut(..x.len()));
        let last = (ids.o, ids.post_norm1);
        self.leave(parameters, last, Factor::new(attention.shared(), qw), kept, projected, streams);
    }

    /// The gradient of the stream between attention and feed-forward, in the scratch, becomes that of the stream `x` before the
    /// layer.
    pub(super) fn attention_backward(
        &self,
        parameters: &Fixed<'_>,
        layer: usize,
        x: Part<'_>,
        acts: &LayerActs,
        s: &mut Scratch,
        sums: &mut Sums<'_>,
    ) {
        let ids = &self.net.decoder.layers[layer];
        let d = self.config.hidden_size;
        let n = x.len() / d;
        let (qw, kvw) = (self.config.query_width(), self.config.key_width());
        let (attention, mut d_attention) = (acts.attention.part(..n * qw), s.d_attention.part_mut(..n * qw));
        let kept = [&acts.left[0], &acts.left_rinv[0]];
        let dx = s.dx.part(..x.len());
        let d_left = self.leave_backward(parameters, ids.post_norm1, kept, dx, &mut s.d_branch, sums);
        self.input_gradient(parameters, ids.o.weight, d_left, d_attention.again(), Start::Zero);
        self.weight_gradient(parameters, ids.o, Factor::new(attention, qw), d_left, sums);

        let heads = n * self.config.num_attention_heads;
        let (mut dq, mut dk) = (s.dq.part_mut(..n * qw), s.dk.part_mut(..n * kvw));
        let mut dv = s.dv.part_mut(..n * kvw);
        let attended = Attended {
            qkv: [acts.q.part(..n * qw), acts.k.part(..n * kvw), acts.v.part(..n * kvw)],
            out: attention,
            rows: [acts.row_max.part(..heads), acts.row_sum.part(..heads)],
            d_out: d_attention.shared(),
        };
        self.attend_backward(layer, &s.documents, &attended, [dq.again(), dk.again(), dv.again()]);
        self.turn(layer, &s.documents, true, qw, dq.again());
        self.turn(layer, &s.documents, true, kvw, dk.again());
        let (mut dq, mut dk) = (dq.into_shared(), dk.into_shared());
        if let Some(norms) = ids.qk_norm {
            let [d_raw_q, d_raw_k] = &mut s.d_raw;
            let (mut d_raw_q, mut d_raw_k) = (d_raw_q.part_mut(..n * qw), d_raw_k.part_mut(..n * kvw));
            let sides = [(dq, d_raw_q.again()), (dk, d_raw_k.again())];
            let kept = acts.raw.iter().zip(&acts.raw_rinv).zip(norms.into_iter().zip(self.qk_norm_rows()));
            for ((dy, mut d_raw), ((raw, rinv), (norm, (rows, _)))) in sides.into_iter().zip(kept) {
                self.device.clear(d_raw.again());
                let inputs = [raw.part(..dy.len()), rinv.part(..n * rows), dy];
                self.norm_backward(parameters, norm, rows, inputs, d_raw, sums);
            }
            (dq, dk) = (d_raw_q.into_shared(), d_raw_k.into_shared());
        }
        let normed = s.normed.part_mut(..x.len());
        let rinv = acts.rinv1.part(..n);
        let input = self.entered(parameters, ids.norm1, [x, rinv], normed, &mut s.integers);
        let dy = [(dq, qw), (dk, kvw), (dv.shared(), kvw)];
        let mut dx = s.dx.part_mut(..x.len());
        match ids.norm1 {
            None => {
                let start = Start::Accumulate;
                self.project_all_backward(parameters, ids.qkv, input, &mut s.fused, dy, start, dx, sums);
            }
            Some(norm) => {
                let mut d_normed = s.projected.part_mut(..x.len());
                let (start, to) = (Start::Zero, d_normed.again());
                self.project_all_backward(parameters, ids.qkv, input, &mut s.fused, dy, start, to, sums);
                self.norm_backward(parameters, norm, 1, [x, rinv, d_normed.shared()], dx.again(), sums);
            }
        }
    }
}
