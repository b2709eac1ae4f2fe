//! The host as a device: an engine's operators on slices, nothing copied.

use std::borrow::Cow;
use std::ops::Range;

use super::operators::{Attended, Gating, NormWeight, Operators, Pace, Rope};
use crate::engine::adamw::AdamwStep;
use crate::engine::attention::AttentionShape;
use crate::engine::linear::{Arithmetic, Factor};
use crate::engine::machine::Engine;
use crate::engine::matmul::Start;
use crate::engine::memory::{Buffer, Held, Part, PartMut, Words};
use crate::engine::rope::RopeTable;
use crate::error::Result;

impl<'a> NormWeight<'a> {
    /// The weight \[d\] in host memory.
    fn host(self) -> Cow<'a, [f32]> {
        let parameter = self.parameter.host();
        match self.plus_one {
            false => Cow::Borrowed(parameter),
            true => Cow::Owned(parameter.iter().map(|w| 1.0 + w).collect()),
        }
    }
}

impl Operators for Engine {
    fn name(&self) -> String {
        format!("the processor ({})", Engine::name(*self))
    }

    fn engine(&self) -> Engine {
        *self
    }

    fn pace(&self) -> Pace {
        Pace::HOST
    }

    fn free(&self) -> Result<Option<u64>> {
        Ok(None)
    }

    fn widest_head(&self) -> Option<usize> {
        None
    }

    fn zeros(&self, len: usize) -> Buffer {
        Buffer::Host(vec![0.0; len])
    }

    fn words(&self, len: usize) -> Words {
        Words { host: vec![0; len], device: None }
    }

    fn hold<'a>(&self, values: &'a [f32]) -> Held<'a> {
        Held::Caller(values)
    }

    fn write(&self, from: &[f32], to: PartMut<'_>) {
        to.host().copy_from_slice(from);
    }

    fn show(&self, _: &mut Words, _: Range<usize>) {}

    fn read(&self, from: Part<'_>, to: &mut [f32]) -> Result<()> {
        to.copy_from_slice(from.host());
        Ok(())
    }

    fn copy(&self, from: Part<'_>, to: PartMut<'_>) {
        to.host().copy_from_slice(from.host());
    }

    fn clear(&self, x: PartMut<'_>) {
        x.host().fill(0.0);
    }

    fn rope_table(&self, table: RopeTable) -> Rope {
        Rope { table, device: None }
    }

    fn add_into(&self, acc: PartMut<'_>, x: Part<'_>) {
        Engine::add_into(*self, acc.host(), x.host());
    }

    fn add(&self, x: Part<'_>, y: Part<'_>, out: PartMut<'_>) {
        Engine::add(*self, x.host(), y.host(), out.host());
    }

    fn scale(&self, x: PartMut<'_>, factor: f32) {
        Engine::scale(*self, x.host(), factor);
    }

    fn bias(&self, bias: Part<'_>, x: PartMut<'_>) {
        Engine::bias(*self, bias.host(), x.host());
    }

    fn bias_backward(&self, dy: Part<'_>, seq_len: usize, d_bias: PartMut<'_>) {
        Engine::bias_backward(*self, dy.host(), seq_len, d_bias.host());
    }

    fn split_columns(&self, x: Part<'_>, parts: &mut [(PartMut<'_>, usize)]) {
        let mut parts: Vec<_> = parts.iter_mut().map(|(part, width)| (part.again().host(), *width)).collect();
        Engine::split_columns(*self, x.host(), &mut parts);
    }

    fn join_columns(&self, parts: &[(Part<'_>, usize)], x: PartMut<'_>) {
        let parts: Vec<_> = parts.iter().map(|(part, width)| (part.host(), *width)).collect();
        Engine::join_columns(*self, &parts, x.host());
    }

    fn embedding(&self, table: Part<'_>, width: usize, tokens: &Words, range: Range<usize>, x: PartMut<'_>) {
        Engine::embedding(*self, table.host(), width, &tokens.host[range], x.host());
    }

    fn embedding_backward(
        &self,
        dx: Part<'_>,
        width: usize,
        tokens: &Words,
        range: Range<usize>,
        d_table: PartMut<'_>,
    ) {
        Engine::embedding_backward(*self, dx.host(), width, &tokens.host[range], d_table.host());
    }

    fn rms_norm(&self, x: Part<'_>, weight: NormWeight<'_>, eps: f32, y: PartMut<'_>, rinv: PartMut<'_>) {
        Engine::rms_norm(*self, x.host(), &weight.host(), eps, y.host(), rinv.host());
    }

    fn rms_scale(&self, x: Part<'_>, weight: NormWeight<'_>, rinv: Part<'_>, y: PartMut<'_>) {
        Engine::rms_scale(*self, x.host(), &weight.host(), rinv.host(), y.host());
    }

    fn rms_norm_backward(
        &self,
        inputs: [Part<'_>; 3],
        weight: NormWeight<'_>,
        seq_len: usize,
        dx_acc: PartMut<'_>,
        d_weight: Option<PartMut<'_>>,
    ) {
        let ([x, rinv, dy], weight) = (inputs.map(Part::host), weight.host());
        let mut unasked = Vec::new();
        let d_weight = d_weight.map_or_else(
            || {
                unasked.resize(weight.len(), 0.0);
                &mut unasked[..]
            },
            PartMut::host,
        );
        Engine::rms_norm_backward(*self, x, &weight, rinv, dy, seq_len, dx_acc.host(), d_weight);
    }

    fn rope(&self, rope: &Rope, width: usize, x: PartMut<'_>, back: bool) {
        match back {
            false => Engine::rope(*self, &rope.table, width, x.host()),
            true => Engine::rope_backward(*self, &rope.table, width, x.host()),
        }
    }

    fn attention(&self, shape: &AttentionShape, qkv: [Part<'_>; 3], out: PartMut<'_>, rows: [PartMut<'_>; 2]) {
        let ([q, k, v], [row_max, row_sum]) = (qkv.map(Part::host), rows.map(PartMut::host));
        Engine::attention(*self, shape, q, k, v, out.host(), row_max, row_sum);
    }

    fn attention_backward(&self, shape: &AttentionShape, of: &Attended<'_>, gradients: [PartMut<'_>; 3]) {
        let ([q, k, v], [row_max, row_sum]) = (of.qkv.map(Part::host), of.rows.map(Part::host));
        let [dq, dk, dv] = gradients.map(PartMut::host);
        let (out, d_out) = (of.out.host(), of.d_out.host());
        Engine::attention_backward(*self, shape, q, k, v, out, row_max, row_sum, d_out, dq, dk, dv);
    }

    fn linear(&self, arithmetic: Arithmetic, x: Factor<'_>, w: Factor<'_>, y: PartMut<'_>) {
        Engine::linear(*self, arithmetic, x, w, y.host());
    }

    fn linear_input_gradient(
        &self,
        arithmetic: Arithmetic,
        dy: Part<'_>,
        w: Factor<'_>,
        dx: PartMut<'_>,
        start: Start,
    ) {
        Engine::linear_input_gradient(*self, arithmetic, dy.host(), w, dx.host(), start);
    }

    fn linear_weight_gradient(
        &self,
        arithmetic: Arithmetic,
        x: Factor<'_>,
        dy: Part<'_>,
        tokens: Range<usize>,
        seq_len: usize,
        dw: PartMut<'_>,
    ) {
        Engine::linear_weight_gradient(*self, arithmetic, x, dy.host(), tokens, seq_len, dw.host());
    }

    fn low_rank(&self, x: Factor<'_>, a: Factor<'_>, scale: f32, u: PartMut<'_>) {
        Engine::low_rank(*self, x, a, scale, u.host());
    }

    fn low_rank_add(&self, u: Part<'_>, b: Factor<'_>, y: PartMut<'_>) {
        Engine::low_rank_add(*self, u.host(), b, y.host());
    }

    fn low_rank_backward(&self, dy: Part<'_>, b: Factor<'_>, scale: f32, du: PartMut<'_>) {
        Engine::low_rank_backward(*self, dy.host(), b, scale, du.host());
    }

    fn gated(&self, gating: Gating, gate: Part<'_>, up: Part<'_>, hidden: PartMut<'_>) {
        match gating {
            Gating::Swiglu => Engine::swiglu(*self, gate.host(), up.host(), hidden.host()),
            Gating::Geglu => Engine::geglu(*self, gate.host(), up.host(), hidden.host()),
        }
    }

    fn gated_backward(&self, gating: Gating, gate: PartMut<'_>, up: PartMut<'_>, hidden: PartMut<'_>) {
        match gating {
            Gating::Swiglu => Engine::swiglu_backward(*self, gate.host(), up.host(), hidden.host()),
            Gating::Geglu => Engine::geglu_backward(*self, gate.host(), up.host(), hidden.host()),
        }
    }

    fn cross_entropy(
        &self,
        logits: PartMut<'_>,
        vocabulary: usize,
        targets: &Words,
        range: Range<usize>,
        scale: f32,
        losses: PartMut<'_>,
    ) {
        Engine::cross_entropy(*self, logits.host(), vocabulary, &targets.host[range], scale, losses.host());
    }

    fn cross_entropy_loss(
        &self,
        logits: Part<'_>,
        vocabulary: usize,
        targets: &Words,
        range: Range<usize>,
        losses: PartMut<'_>,
    ) {
        Engine::cross_entropy_loss(*self, logits.host(), vocabulary, &targets.host[range], losses.host());
    }

    fn tensor_sums_squares(&self, flat: Part<'_>, tensors: &[Range<usize>]) -> Result<Vec<f32>> {
        let flat = flat.host();
        Ok(tensors.iter().map(|tensor| self.tensor_sum_squares(&flat[tensor.clone()])).collect())
    }

    fn tensor_roots(&self, _: Part<'_>, _: &[(usize, &[usize])]) -> Result<Option<Vec<[u8; 32]>>> {
        Ok(None)
    }

    fn adamw(
        &self,
        tensors: &[(Range<usize>, AdamwStep)],
        parameters: PartMut<'_>,
        gradients: Part<'_>,
        moments: [PartMut<'_>; 2],
    ) -> Result<Option<usize>> {
        let (parameters, gradients, [first, second]) =
            (parameters.host(), gradients.host(), moments.map(PartMut::host));
        Ok(tensors.iter().position(|(range, step)| {
            let (p, g) = (&mut parameters[range.clone()], &gradients[range.clone()]);
            let (m, v) = (&mut first[range.clone()], &mut second[range.clone()]);
            !Engine::adamw(*self, step, p, g, m, v)
        }))
    }
}
