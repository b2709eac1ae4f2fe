//! The attention branch of a layer, forward and backward.

use super::activations::Scratch;
use super::attend::Attended;
use super::branch::Sums;
use super::fixed::Fixed;
use super::forward::Model;
use super::layer_acts::LayerActs;
use crate::engine::Start;
use crate::engine::linear::Factor;

impl Model {
    /// From the residual stream `x` before the layer to the one between attention and feed-forward.
    pub(super) fn attention_forward(
        &self,
        parameters: &Fixed<'_>,
        layer: usize,
        x: &[f32],
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
                let normed = &mut scratch.normed[..x.len()];
                self.norm(parameters, norm, x, normed, &mut acts.rinv1[..n]);
                normed
            }
        };
        let (q, k, v) = (&mut acts.q[..n * qw], &mut acts.k[..n * kvw], &mut acts.v[..n * kvw]);
        let input = scratch.integers.of(entering, d);
        match ids.qk_norm {
            None => {
                let y = [(&mut *q, qw), (&mut *k, kvw), (v, kvw)];
                self.project_all(parameters, ids.qkv, input, &mut scratch.fused, y);
            }
            Some(norms) => {
                let [raw_q, raw_k] = &mut acts.raw;
                let (raw_q, raw_k) = (&mut raw_q[..n * qw], &mut raw_k[..n * kvw]);
                let y = [(&mut *raw_q, qw), (&mut *raw_k, kvw), (v, kvw)];
                self.project_all(parameters, ids.qkv, input, &mut scratch.fused, y);
                let sides = [(raw_q, &mut *q), (raw_k, &mut *k)];
                let kept = norms.into_iter().zip(&mut acts.raw_rinv).zip(self.qk_norm_rows());
                for ((raw, y), ((norm, rinv), (rows, _))) in sides.into_iter().zip(kept) {
                    self.norm(parameters, norm, raw, y, &mut rinv[..n * rows]);
                }
            }
        }
        self.turn(layer, &scratch.documents, false, qw, q);
        self.turn(layer, &scratch.documents, false, kvw, k);
        let heads = n * self.config.num_attention_heads;
        let attention = &mut acts.attention[..n * qw];
        let rows = [&mut acts.row_max[..heads], &mut acts.row_sum[..heads]];
        self.attend(layer, &scratch.documents, [q, k, &acts.v[..n * kvw]], attention, rows);
        let kept = [&mut acts.left[0], &mut acts.left_rinv[0]];
        let projected = &mut scratch.projected[..x.len()];
        let streams = (x, &mut acts.middle[..x.len()]);
        let last = (ids.o, ids.post_norm1);
        self.leave(parameters, last, Factor::new(attention, qw), kept, projected, streams);
    }

    /// The gradient of the stream between attention and feed-forward, in the scratch, becomes that of the stream `x` before the
    /// layer.
    pub(super) fn attention_backward(
        &self,
        parameters: &Fixed<'_>,
        layer: usize,
        x: &[f32],
        acts: &LayerActs,
        s: &mut Scratch,
        sums: &mut Sums<'_>,
    ) {
        let ids = &self.net.decoder.layers[layer];
        let d = self.config.hidden_size;
        let n = x.len() / d;
        let (qw, kvw) = (self.config.query_width(), self.config.key_width());
        let dx = &mut s.dx[..x.len()];
        let (attention, d_attention) = (&acts.attention[..n * qw], &mut s.d_attention[..n * qw]);
        let kept = [&acts.left[0][..], &acts.left_rinv[0]];
        let d_left = self.leave_backward(parameters, ids.post_norm1, kept, dx, &mut s.d_branch, sums);
        self.input_gradient(parameters, ids.o.weight, d_left, d_attention, Start::Zero);
        self.weight_gradient(parameters, ids.o, Factor::new(attention, qw), d_left, sums);

        let heads = n * self.config.num_attention_heads;
        let (dq, dk, dv) = (&mut s.dq[..n * qw], &mut s.dk[..n * kvw], &mut s.dv[..n * kvw]);
        let attended = Attended {
            qkv: [&acts.q[..n * qw], &acts.k[..n * kvw], &acts.v[..n * kvw]],
            out: attention,
            rows: [&acts.row_max[..heads], &acts.row_sum[..heads]],
            d_out: d_attention,
        };
        self.attend_backward(layer, &s.documents, &attended, [&mut *dq, &mut *dk, &mut *dv]);
        self.turn(layer, &s.documents, true, qw, dq);
        self.turn(layer, &s.documents, true, kvw, dk);
        let (mut dq, mut dk) = (&*dq, &*dk);
        if let Some(norms) = ids.qk_norm {
            let [d_raw_q, d_raw_k] = &mut s.d_raw;
            let (d_raw_q, d_raw_k) = (&mut d_raw_q[..n * qw], &mut d_raw_k[..n * kvw]);
            let sides = [(dq, &mut *d_raw_q), (dk, &mut *d_raw_k)];
            let kept = acts.raw.iter().zip(&acts.raw_rinv).zip(norms.into_iter().zip(self.qk_norm_rows()));
            for ((dy, d_raw), ((raw, rinv), (norm, (rows, _)))) in sides.into_iter().zip(kept) {
                d_raw.fill(0.0);
                let inputs = [&raw[..dy.len()], &rinv[..n * rows], dy];
                self.norm_backward(parameters, norm, rows, inputs, d_raw, sums);
            }
            (dq, dk) = (d_raw_q, d_raw_k);
        }
        let normed = &mut s.normed[..x.len()];
        let rinv = &acts.rinv1[..n];
        let input = self.entered(parameters, ids.norm1, [x, rinv], normed, &mut s.integers);
        let dy = [(dq, qw), (dk, kvw), (&*dv, kvw)];
        match ids.norm1 {
            None => {
                let start = Start::Accumulate;
                self.project_all_backward(parameters, ids.qkv, input, &mut s.fused, dy, start, dx, sums);
            }
            Some(norm) => {
                let d_normed = &mut s.projected[..x.len()];
                self.project_all_backward(parameters, ids.qkv, input, &mut s.fused, dy, Start::Zero, d_normed, sums);
                self.norm_backward(parameters, norm, 1, [x, rinv, d_normed], dx, sums);
            }
        }
    }
}
