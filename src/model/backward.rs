//! The backward pass: gradients of one micro-batch, added to accumulators in the order of the contract (A4).

use super::activations::Workspace;
use super::batch::Batch;
use super::branch::Sums;
use super::fixed::Fixed;
use super::forward::Model;
use crate::engine::Start;

/// Accumulators of a gradient: one flat array, and one more for a tied head (A4).
pub struct Gradients {
    /// By the layout of what is trained.
    pub flat: Vec<f32>,
    /// The head's part where it is tied to the embedding and trained, else empty.
    pub tied_head: Vec<f32>,
}

impl Gradients {
    /// All zero.
    pub fn new(model: &Model) -> Gradients {
        let decoder = &model.net.decoder;
        let head = if model.net.trains_tied_head() { decoder.layout.tensors[decoder.head].len() } else { 0 };
        Gradients { flat: vec![0.0; model.layout.total], tied_head: vec![0.0; head] }
    }

    /// Back to +0.
    pub fn clear(&mut self) {
        self.flat.fill(0.0);
        self.tied_head.fill(0.0);
    }

    /// After the last micro-batch: the tied head's part is added to the embedding's.
    pub fn finish(&mut self, model: &Model) {
        if model.net.trains_tied_head() {
            let embedding = model.layout.of_mut(model.net.decoder.embedding, &mut self.flat);
            model.engine.add_into(embedding, &self.tied_head);
        }
    }
}

impl Model {
    /// Adds the gradients of `scale` × the sum of the losses of a micro-batch to `gradients`; returns the losses.
    pub fn backward<'b, 'w>(
        &self,
        parameters: &Fixed<'_>,
        batch: impl Into<Batch<'b>>,
        scale: f32,
        gradients: &mut Gradients,
        ws: &'w mut Workspace,
    ) -> &'w [f32] {
        let n = self.set_batch(batch.into(), &mut ws.scratch);
        let d = self.config.hidden_size;
        self.layers_forward(parameters, n, ws);
        let mut sums = Sums { flat: &mut gradients.flat, tied_head: &mut gradients.tied_head };
        self.head_backward(parameters, n, scale, &mut sums, ws);
        for l in (0..self.net.decoder.layers.len()).rev() {
            let Workspace { plan, stream, layers, scratch } = &mut *ws;
            let (x, acts) = (&stream[l][..n * d], &mut layers[if plan.recompute { 0 } else { l }]);
            if plan.recompute {
                self.layer_forward(parameters, l, x, acts, scratch, None);
            }
            self.feed_forward_backward(parameters, l, n, acts, scratch, &mut sums);
            self.attention_backward(parameters, l, x, acts, scratch, &mut sums);
        }
        let scratch = &mut ws.scratch;
        if !self.net.whole() {
            return &scratch.losses[..n];
        }
        let table = self.layout.of_mut(self.net.decoder.embedding, &mut gradients.flat);
        if let Some(factor) = self.embedding_factor() {
            self.engine.scale(&mut scratch.dx[..n * d], factor);
        }
        self.engine.embedding_backward(&scratch.dx[..n * d], d, &scratch.inputs[..n], table);
        &scratch.losses[..n]
    }

    /// Loss, head and final norm; leaves the gradient of the last residual stream in the scratch.
    fn head_backward(&self, parameters: &Fixed<'_>, n: usize, scale: f32, sums: &mut Sums<'_>, ws: &mut Workspace) {
        let (d, v) = (self.config.hidden_size, self.config.vocab_size);
        let decoder = &self.net.decoder;
        let scratch = &mut ws.scratch;
        let last = &ws.stream.last().expect("there is a stream")[..n * d];
        let normed = &mut scratch.normed[..n * d];
        self.norm(parameters, decoder.norm, last, normed, &mut scratch.rinv[..n]);
        for rows in self.runs(n, ws.plan.logit_rows) {
            let logits = &mut scratch.logits[..rows.len() * v];
            let x = scratch.integers.of(&normed[rows.start * d..rows.end * d], d);
            self.logits(parameters, x, logits);
            let losses = &mut scratch.losses[rows.clone()];
            self.engine.cross_entropy(logits, v, &scratch.targets[rows.clone()], scale, losses);
            if let Some(factor) = self.logits_factor() {
                self.engine.scale(logits, factor);
            }
            let dx = &mut scratch.projected[rows.start * d..rows.end * d];
            self.input_gradient(parameters, decoder.head, logits, dx, Start::Zero);
            if self.net.whole() {
                let dw = match decoder.tied() {
                    true => &mut *sums.tied_head,
                    false => self.layout.of_mut(decoder.head, sums.flat),
                };
                self.head_gradient(rows, x, logits, dw);
            }
        }
        let dx = &mut scratch.dx[..n * d];
        dx.fill(0.0);
        let inputs = [last, &scratch.rinv[..n], &scratch.projected[..n * d]];
        self.norm_backward(parameters, decoder.norm, 1, inputs, dx, sums);
    }
}
