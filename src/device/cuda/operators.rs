//! A GPU's operators, each by its own file.

use std::ops::Range;

use super::gpu::Cuda;
use super::{
    adamw, attention, bias, blake3, columns, cross_entropy, elementwise, embedding, gated, linear, matmul, rms_norm,
    rope, sum,
};
use crate::device::operators::{Attended, Gating, NormWeight, Operators, Pace, Rope};
use crate::engine::NO_TARGET;
use crate::engine::linear::Factor;
use crate::engine::{
    AdamwStep, Arithmetic, AttentionShape, Buffer, Engine, Held, Part, PartMut, RopeTable, Start, Words,
};
use crate::error::Result;

/// The device's copy of token ids.
fn ids(words: &Words, range: Range<usize>) -> Part<'_, u32> {
    words.device.as_ref().expect("ids that were shown to the device").part(range)
}

/// A kernel reads where it is told to: ids beyond a table are a programming error here as on the host.
fn below(ids: &[u32], bound: usize, what: &str) {
    let beyond = ids.iter().find(|id| **id as usize >= bound && **id != NO_TARGET);
    assert!(beyond.is_none(), "{what} {beyond:?} of {bound}");
}

impl Operators for Cuda {
    fn name(&self) -> String {
        self.driver.name()
    }

    fn engine(&self) -> Engine {
        Engine::detect()
    }

    fn pace(&self) -> Pace {
        Pace::GPU
    }

    fn free(&self) -> Result<Option<u64>> {
        Ok(Some(self.driver.memory()?.0))
    }

    fn widest_head(&self) -> Option<usize> {
        Some(attention::WIDEST)
    }

    fn zeros(&self, len: usize) -> Buffer {
        let mut buffer = self.room(len);
        self.clear(buffer.part_mut(..));
        buffer
    }

    fn words(&self, len: usize) -> Words {
        Words { host: vec![0; len], device: Some(self.room(len)) }
    }

    fn hold<'a>(&self, values: &'a [f32]) -> Held<'a> {
        Held::Copy(self.upload(values))
    }

    fn write(&self, from: &[f32], to: PartMut<'_>) {
        assert_eq!(from.len(), to.len(), "write: as many values as there is room for");
        self.driver.copy_in(from, to.address());
    }

    fn show(&self, words: &mut Words, range: Range<usize>) {
        let to = ids(words, range.clone()).address();
        self.driver.copy_in(&words.host[range], to);
    }

    fn read(&self, from: Part<'_>, to: &mut [f32]) -> Result<()> {
        assert_eq!(from.len(), to.len(), "read: as much room as there are values");
        self.driver.copy_out(from.address(), to)
    }

    fn copy(&self, from: Part<'_>, to: PartMut<'_>) {
        assert_eq!(from.len(), to.len(), "copy: as much room as there are values");
        self.driver.copy(from.address(), to.address(), from.len() * size_of::<f32>());
    }

    fn clear(&self, x: PartMut<'_>) {
        self.driver.zero(x.address(), x.len() * size_of::<f32>());
    }

    fn rope_table(&self, table: RopeTable) -> Rope {
        let device = Some([table.cos(), table.sin()].map(|values| self.upload(values)));
        Rope { table, device }
    }

    fn add_into(&self, acc: PartMut<'_>, x: Part<'_>) {
        elementwise::add_into(self, acc, x);
    }

    fn add(&self, x: Part<'_>, y: Part<'_>, out: PartMut<'_>) {
        elementwise::add(self, x, y, out);
    }

    fn scale(&self, x: PartMut<'_>, factor: f32) {
        elementwise::scale(self, x, factor);
    }

    fn bias(&self, bias: Part<'_>, x: PartMut<'_>) {
        bias::bias(self, bias, x);
    }

    fn bias_backward(&self, dy: Part<'_>, seq_len: usize, d_bias: PartMut<'_>) {
        bias::bias_backward(self, dy, seq_len, d_bias);
    }

    fn split_columns(&self, x: Part<'_>, parts: &mut [(PartMut<'_>, usize)]) {
        columns::split_columns(self, x, parts);
    }

    fn join_columns(&self, parts: &[(Part<'_>, usize)], x: PartMut<'_>) {
        columns::join_columns(self, parts, x);
    }

    fn embedding(&self, table: Part<'_>, width: usize, tokens: &Words, range: Range<usize>, x: PartMut<'_>) {
        below(&tokens.host[range.clone()], table.len() / width, "embedding: token");
        embedding::embedding(self, table, width, ids(tokens, range), x);
    }

    fn embedding_backward(
        &self,
        dx: Part<'_>,
        width: usize,
        tokens: &Words,
        range: Range<usize>,
        d_table: PartMut<'_>,
    ) {
        below(&tokens.host[range.clone()], d_table.len() / width, "embedding: token");
        embedding::embedding_backward(self, dx, width, &tokens.host[range], d_table);
    }

    fn rms_norm(&self, x: Part<'_>, weight: NormWeight<'_>, eps: f32, y: PartMut<'_>, rinv: PartMut<'_>) {
        rms_norm::rms_norm(self, x, weight, eps, y, rinv);
    }

    fn rms_scale(&self, x: Part<'_>, weight: NormWeight<'_>, rinv: Part<'_>, y: PartMut<'_>) {
        rms_norm::rms_scale(self, x, weight, rinv, y);
    }

    fn rms_norm_backward(
        &self,
        inputs: [Part<'_>; 3],
        weight: NormWeight<'_>,
        seq_len: usize,
        dx_acc: PartMut<'_>,
        d_weight: Option<PartMut<'_>>,
    ) {
        rms_norm::rms_norm_backward(self, inputs, weight, seq_len, dx_acc, d_weight);
    }

    fn rope(&self, rope: &Rope, width: usize, x: PartMut<'_>, back: bool) {
        rope::rope(self, rope, width, x, back);
    }

    fn attention(&self, shape: &AttentionShape, qkv: [Part<'_>; 3], out: PartMut<'_>, rows: [PartMut<'_>; 2]) {
        attention::attention(self, shape, qkv, out, rows);
    }

    fn attention_backward(&self, shape: &AttentionShape, of: &Attended<'_>, gradients: [PartMut<'_>; 3]) {
        attention::attention_backward(self, shape, of, gradients);
    }

    fn linear(&self, arithmetic: Arithmetic, x: Factor<'_>, w: Factor<'_>, y: PartMut<'_>) {
        linear::linear(self, arithmetic, x, w, y);
    }

    fn linear_input_gradient(
        &self,
        arithmetic: Arithmetic,
        dy: Part<'_>,
        w: Factor<'_>,
        dx: PartMut<'_>,
        start: Start,
    ) {
        linear::linear_input_gradient(self, arithmetic, dy, w, dx, start);
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
        linear::linear_weight_gradient(self, arithmetic, x, dy, tokens, seq_len, dw);
    }

    fn low_rank(&self, x: Factor<'_>, a: Factor<'_>, scale: f32, mut u: PartMut<'_>) {
        linear::linear(self, Arithmetic::Float, x, a, u.again());
        self.scale(u, scale);
    }

    fn low_rank_add(&self, u: Part<'_>, b: Factor<'_>, y: PartMut<'_>) {
        let rank = b.inner();
        matmul::matmul_nt(self, u, b.values(), y, [u.len() / rank, b.rows(), rank], Start::Accumulate);
    }

    fn low_rank_backward(&self, dy: Part<'_>, b: Factor<'_>, scale: f32, mut du: PartMut<'_>) {
        linear::linear_input_gradient(self, Arithmetic::Float, dy, b, du.again(), Start::Zero);
        self.scale(du, scale);
    }

    fn gated(&self, gating: Gating, gate: Part<'_>, up: Part<'_>, hidden: PartMut<'_>) {
        gated::gated(self, gating, gate, up, hidden);
    }

    fn gated_backward(&self, gating: Gating, gate: PartMut<'_>, up: PartMut<'_>, hidden: PartMut<'_>) {
        gated::gated_backward(self, gating, gate, up, hidden);
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
        below(&targets.host[range.clone()], vocabulary, "cross_entropy: target");
        cross_entropy::cross_entropy(self, logits, vocabulary, ids(targets, range), scale, losses);
    }

    fn cross_entropy_loss(
        &self,
        logits: Part<'_>,
        vocabulary: usize,
        targets: &Words,
        range: Range<usize>,
        losses: PartMut<'_>,
    ) {
        below(&targets.host[range.clone()], vocabulary, "cross_entropy: target");
        cross_entropy::cross_entropy_loss(self, logits, vocabulary, ids(targets, range), losses);
    }

    fn tensor_sums_squares(&self, flat: Part<'_>, tensors: &[Range<usize>]) -> Result<Vec<f32>> {
        sum::tensor_sums_squares(self, flat, tensors)
    }

    fn tensor_roots(&self, flat: Part<'_>, tensors: &[(usize, &[usize])]) -> Result<Option<Vec<[u8; 32]>>> {
        blake3::tensor_roots(self, flat, tensors).map(Some)
    }

    fn adamw(
        &self,
        tensors: &[(Range<usize>, AdamwStep)],
        parameters: PartMut<'_>,
        gradients: Part<'_>,
        moments: [PartMut<'_>; 2],
    ) -> Result<Option<usize>> {
        adamw::adamw(self, tensors, parameters, gradients, moments)
    }
}
