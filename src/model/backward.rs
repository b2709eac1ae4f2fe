//! The backward pass: gradients of one micro-batch, added to accumulators in the order of the contract (A4).

use super::activations::{Workspace, last_stream};
use super::batch::Batch;
use super::branch::Sums;
use super::fixed::Fixed;
use super::forward::Model;
use crate::engine::{Buffer, Start};
use crate::error::Result;

/// Accumulators of a gradient: one flat array, and one more for a tied head (A4).
pub struct Gradients {
    /// By the layout of what is trained.
    pub flat: Buffer,
    /// The head's part where it is tied to the embedding and trained, else empty.
    pub tied_head: Buffer,
}

impl Gradients {
    /// All zero.
    pub fn new(model: &Model) -> Gradients {
        let decoder = &model.net.decoder;
        let head = if model.net.trains_tied_head() { decoder.layout.tensors[decoder.head].len() } else { 0 };
        Gradients { flat: model.device.zeros(model.layout.total), tied_head: model.device.zeros(head) }
    }

    /// Back to +0.
    pub fn clear(&mut self, model: &Model) {
        model.device.clear(self.flat.part_mut(..));
        model.device.clear(self.tied_head.part_mut(..));
    }

    /// After the last micro-batch: the tied head's part is added to the embedding's.
    pub fn finish(&mut self, model: &Model) {
        if model.net.trains_tied_head() {
            let mut flat = self.flat.part_mut(..);
            let embedding = model.layout.part_mut(model.net.decoder.embedding, &mut flat);
            model.device.add_into(embedding, self.tied_head.part(..));
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
    ) -> Result<&'w [f32]> {
        let n = self.set_batch(batch.into(), &mut ws.scratch);
        let d = self.config.hidden_size;
        self.layers_forward(parameters, n, ws);
        let mut sums = Sums { flat: gradients.flat.part_mut(..), tied_head: gradients.tied_head.part_mut(..) };
        self.head_backward(parameters, n, scale, &mut sums, ws);
        for l in (0..self.net.decoder.layers.len()).rev() {
            let Workspace { plan, stream, layers, scratch } = &mut *ws;
            let (x, acts) = (stream[l].part(..n * d), &mut layers[if plan.recompute { 0 } else { l }]);
            if plan.recompute {
                self.layer_forward(parameters, l, x, acts, scratch, None);
            }
            self.feed_forward_backward(parameters, l, n, acts, scratch, &mut sums);
            self.attention_backward(parameters, l, x, acts, scratch, &mut sums);
        }
        let scratch = &mut ws.scratch;
        if self.net.whole() {
            if let Some(factor) = self.embedding_factor() {
                self.device.scale(scratch.dx.part_mut(..n * d), factor);
            }
            let table = self.layout.part_mut(self.net.decoder.embedding, &mut sums.flat);
            self.device.embedding_backward(scratch.dx.part(..n * d), d, &scratch.inputs, 0..n, table);
        }
        self.device.seen(&scratch.losses, n, &mut scratch.seen)
    }

    /// Loss, head and final norm; leaves the gradient of the last residual stream in the scratch.
    fn head_backward(&self, parameters: &Fixed<'_>, n: usize, scale: f32, sums: &mut Sums<'_>, ws: &mut Workspace) {
        let (d, v) = (self.config.hidden_size, self.config.vocab_size);
        let decoder = &self.net.decoder;
        let scratch = &mut ws.scratch;
        let last = last_stream(&ws.plan, &ws.stream).part(..n * d);
        let mut normed = scratch.normed.part_mut(..n * d);
        self.norm(parameters, decoder.norm, last, normed.again(), scratch.rinv.part_mut(..n));
        for rows in self.runs(n, ws.plan.logit_rows) {
            let elements = rows.start * d..rows.end * d;
            let mut logits = scratch.logits.part_mut(..rows.len() * v);
            let x = scratch.integers.of(normed.shared().part(elements.clone()), d);
            self.logits(parameters, x, logits.again());
            let losses = scratch.losses.part_mut(rows.clone());
            self.device.cross_entropy(logits.again(), v, &scratch.targets, rows.clone(), scale, losses);
            if let Some(factor) = self.logits_factor() {
                self.device.scale(logits.again(), factor);
            }
            let (dy, dx) = (logits.shared(), scratch.projected.part_mut(elements));
            self.input_gradient(parameters, decoder.head, dy, dx, Start::Zero);
            if self.net.whole() {
                let dw = match decoder.tied() {
                    true => sums.tied_head.again(),
                    false => self.layout.part_mut(decoder.head, &mut sums.flat),
                };
                self.head_gradient(rows, x, dy, dw);
            }
        }
        let mut dx = scratch.dx.part_mut(..n * d);
        self.device.clear(dx.again());
        let inputs = [last, scratch.rinv.part(..n), scratch.projected.part(..n * d)];
        self.norm_backward(parameters, decoder.norm, 1, inputs, dx, sums);
    }
}
