//! The backward pass: gradients of one micro-batch, added to accumulators in the order of the contract (A4).

use super::activations::Workspace;
use super::fixed::Fixed;
use super::forward::Model;
use super::layout::LayerIds;
use crate::engine::Start;
use crate::engine::linear::Factor;
use std::ops::Range;

/// Accumulators of a gradient: one flat array, and one more for a tied head (A4).
pub struct Gradients {
    /// By the layout.
    pub flat: Vec<f32>,
    /// The head's part where it is tied to the embedding, else empty.
    pub tied_head: Vec<f32>,
}

impl Gradients {
    /// All zero.
    pub fn new(model: &Model) -> Gradients {
        let layout = &model.layout;
        let head = if layout.tied() { layout.tensors[layout.head].len() } else { 0 };
        Gradients { flat: vec![0.0; layout.total], tied_head: vec![0.0; head] }
    }

    /// Back to +0.
    pub fn clear(&mut self) {
        self.flat.fill(0.0);
        self.tied_head.fill(0.0);
    }

    /// After the last micro-batch: the tied head's part is added to the embedding's.
    pub fn finish(&mut self, model: &Model) {
        if model.layout.tied() {
            let embedding = model.layout.of_mut(model.layout.embedding, &mut self.flat);
            model.engine.add_into(embedding, &self.tied_head);
        }
    }
}

impl Model {
    /// Adds the gradients of `scale` × the sum of the losses of a micro-batch to `gradients`; returns the losses.
    pub fn backward<'w>(
        &self,
        parameters: &Fixed<'_>,
        tokens: &[u32],
        scale: f32,
        gradients: &mut Gradients,
        ws: &'w mut Workspace,
    ) -> &'w [f32] {
        let n = self.set_tokens(tokens, &mut ws.scratch);
        let d = self.config.hidden_size;
        self.layers_forward(parameters, n, ws);
        self.head_backward(parameters, n, scale, gradients, ws);
        for (l, ids) in self.layout.layers.iter().enumerate().rev() {
            if ws.plan.recompute {
                let (stream, acts) = (&ws.stream[l][..n * d], &mut ws.layers[0]);
                self.layer_forward(parameters, ids, stream, acts, &mut ws.scratch, None);
            }
            self.layer_backward(parameters, ids, l, n, gradients, ws);
        }
        let table = self.layout.of_mut(self.layout.embedding, &mut gradients.flat);
        let scratch = &mut ws.scratch;
        self.engine.embedding_backward(&scratch.dx[..n * d], d, &scratch.inputs[..n], table);
        &scratch.losses[..n]
    }

    /// dx (+)= dy · W for the parameter `id` \[out × in\].
    fn input_gradient(&self, parameters: &Fixed<'_>, id: usize, dy: &[f32], dx: &mut [f32], start: Start) {
        let arithmetic = self.input_gradient_arithmetic(id);
        self.engine.linear_input_gradient(arithmetic, dy, parameters.factor(id), dx, start);
    }

    /// dW += dyᵀ · x for a weight \[out × in\], over these tokens of the micro-batch.
    fn weight_gradient(&self, tokens: Range<usize>, x: Factor<'_>, dy: &[f32], dw: &mut [f32]) {
        self.engine.linear_weight_gradient(self.arithmetic, x, dy, tokens, self.seq_len, dw);
    }

    /// Loss, head and final norm; leaves the gradient of the last residual stream in the scratch.
    fn head_backward(
        &self,
        parameters: &Fixed<'_>,
        n: usize,
        scale: f32,
        gradients: &mut Gradients,
        ws: &mut Workspace,
    ) {
        let (d, v) = (self.config.hidden_size, self.config.vocab_size);
        let layout = &self.layout;
        let scratch = &mut ws.scratch;
        let last = &ws.stream.last().expect("there is a stream")[..n * d];
        let weight = parameters.factor(layout.norm).values();
        let normed = &mut scratch.normed[..n * d];
        self.engine.rms_norm(last, weight, self.eps, normed, &mut scratch.rinv[..n]);
        for rows in self.runs(n, ws.plan.logit_rows) {
            let logits = &mut scratch.logits[..rows.len() * v];
            let x = scratch.integers.of(&normed[rows.start * d..rows.end * d], d);
            self.project(parameters, layout.head, x, logits);
            let losses = &mut scratch.losses[rows.clone()];
            self.engine.cross_entropy(logits, v, &scratch.targets[rows.clone()], scale, losses);
            let dx = &mut scratch.projected[rows.start * d..rows.end * d];
            let dw = match layout.tied() {
                true => &mut gradients.tied_head[..],
                false => layout.of_mut(layout.head, &mut gradients.flat),
            };
            self.input_gradient(parameters, layout.head, logits, dx, Start::Zero);
            self.weight_gradient(rows, x, logits, dw);
        }
        let dx = &mut scratch.dx[..n * d];
        dx.fill(0.0);
        let dw = layout.of_mut(layout.norm, &mut gradients.flat);
        let rinv = &scratch.rinv[..n];
        self.engine.rms_norm_backward(last, weight, rinv, &scratch.projected[..n * d], self.seq_len, dx, dw);
    }

    /// One layer: the gradient of its output, in the scratch, becomes the gradient of its input.
    fn layer_backward(
        &self,
        parameters: &Fixed<'_>,
        ids: &LayerIds,
        l: usize,
        n: usize,
        gradients: &mut Gradients,
        ws: &mut Workspace,
    ) {
        let engine = self.engine;
        let layout = &self.layout;
        let (d, ff) = (self.config.hidden_size, self.config.intermediate_size);
        let (qw, kvw) = (self.config.query_width(), self.config.key_width());
        let weight = |id: usize| parameters.factor(id).values();
        let g = &mut gradients.flat;
        let acts = if ws.plan.recompute { &mut ws.layers[0] } else { &mut ws.layers[l] };
        let x = &ws.stream[l][..n * d];
        let s = &mut ws.scratch;
        let (dx, normed, d_normed) = (&mut s.dx[..n * d], &mut s.normed[..n * d], &mut s.projected[..n * d]);

        // Feed-forward. Gate, up and hidden become their gradients, hidden comes back, all in place.
        let (gate, up, hidden) = (&mut acts.gate[..n * ff], &mut acts.up[..n * ff], &mut s.hidden[..n * ff]);
        self.input_gradient(parameters, ids.down, dx, hidden, Start::Zero);
        engine.swiglu_backward(gate, up, hidden);
        self.weight_gradient(0..n, Factor::new(hidden, ff), dx, layout.of_mut(ids.down, g));
        let middle = &acts.middle[..n * d];
        engine.rms_scale(middle, weight(ids.norm2), &acts.rinv2[..n], normed);
        let input = s.integers.of(normed, d);
        self.input_gradient(parameters, ids.gate, gate, d_normed, Start::Zero);
        self.weight_gradient(0..n, input, gate, layout.of_mut(ids.gate, g));
        self.input_gradient(parameters, ids.up, up, d_normed, Start::Accumulate);
        self.weight_gradient(0..n, input, up, layout.of_mut(ids.up, g));
        let dw = layout.of_mut(ids.norm2, g);
        engine.rms_norm_backward(middle, weight(ids.norm2), &acts.rinv2[..n], d_normed, self.seq_len, dx, dw);

        // Attention.
        let d_attention = &mut s.d_attention[..n * qw];
        let attention = &acts.attention[..n * qw];
        self.input_gradient(parameters, ids.o, dx, d_attention, Start::Zero);
        self.weight_gradient(0..n, Factor::new(attention, qw), dx, layout.of_mut(ids.o, g));
        let heads = n * self.config.num_attention_heads;
        let (dq, dk, dv) = (&mut s.dq[..n * qw], &mut s.dk[..n * kvw], &mut s.dv[..n * kvw]);
        engine.attention_backward(
            &self.attention_shape(n / self.seq_len),
            &acts.q[..n * qw],
            &acts.k[..n * kvw],
            &acts.v[..n * kvw],
            attention,
            &acts.row_max[..heads],
            &acts.row_sum[..heads],
            d_attention,
            dq,
            dk,
            dv,
        );
        engine.rope_backward(&self.rope, qw, dq);
        engine.rope_backward(&self.rope, kvw, dk);
        engine.rms_scale(x, weight(ids.norm1), &acts.rinv1[..n], normed);
        let input = s.integers.of(normed, d);
        self.input_gradient(parameters, ids.q, dq, d_normed, Start::Zero);
        self.weight_gradient(0..n, input, dq, layout.of_mut(ids.q, g));
        self.input_gradient(parameters, ids.k, dk, d_normed, Start::Accumulate);
        self.weight_gradient(0..n, input, dk, layout.of_mut(ids.k, g));
        self.input_gradient(parameters, ids.v, dv, d_normed, Start::Accumulate);
        self.weight_gradient(0..n, input, dv, layout.of_mut(ids.v, g));
        let dw = layout.of_mut(ids.norm1, g);
        engine.rms_norm_backward(x, weight(ids.norm1), &acts.rinv1[..n], d_normed, self.seq_len, dx, dw);
    }
}
