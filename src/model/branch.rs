//! What the branches of a layer are made of: norms, projections and their gradients.

use super::adapter::Pair;
use super::decoder::{Linear, Projections};
use super::fixed::Fixed;
use super::forward::Model;
use crate::engine::linear::{Factor, Integers};
use crate::engine::{Arithmetic, Buffer, Part, PartMut, Start};
use std::ops::Range;

/// The accumulators of one micro-batch's gradients, by the layout of what is trained, and the accumulator of a tied head.
pub(super) struct Sums<'a> {
    pub flat: PartMut<'a>,
    pub tied_head: PartMut<'a>,
}

impl Model {
    /// The normed rows of `x`, and their factors.
    pub(super) fn norm(&self, parameters: &Fixed<'_>, id: usize, x: Part<'_>, y: PartMut<'_>, rinv: PartMut<'_>) {
        let weight = self.norm_parameter(parameters.factor(id).values());
        self.device.rms_norm(x, weight, self.eps, y, rinv);
    }

    /// The normed rows again, from their factors.
    pub(super) fn norm_again(&self, parameters: &Fixed<'_>, id: usize, x: Part<'_>, rinv: Part<'_>, y: PartMut<'_>) {
        let weight = self.norm_parameter(parameters.factor(id).values());
        self.device.rms_scale(x, weight, rinv, y);
    }

    /// Adds the gradient of a norm's input to `dx`. A token has `rows` rows.
    pub(super) fn norm_backward(
        &self,
        parameters: &Fixed<'_>,
        id: usize,
        rows: usize,
        inputs: [Part<'_>; 3],
        dx: PartMut<'_>,
        sums: &mut Sums<'_>,
    ) {
        let weight = self.norm_parameter(parameters.factor(id).values());
        // Nobody asks for the gradient of a weight that stays.
        let dw = self.net.whole().then(|| self.layout.part_mut(id, &mut sums.flat));
        self.device.rms_norm_backward(inputs, weight, rows * self.seq_len, dx, dw);
    }

    /// y = x · Wᵀ + b, and what an adapter adds.
    pub(super) fn project(&self, parameters: &Fixed<'_>, linear: Linear, x: Factor<'_>, mut y: PartMut<'_>) {
        self.device.linear(self.arithmetic, x, parameters.factor(linear.weight), y.again());
        if let Some(bias) = linear.bias {
            self.device.bias(parameters.factor(bias).values(), y.again());
        }
        if let Some(pair) = self.net.pair(linear.weight) {
            let u = self.low_rank(parameters, pair, x);
            self.device.low_rank_add(u.part(..), parameters.adapter(pair.b), y);
        }
    }

    /// s · (x · Aᵀ) of an adapter \[n × rank\].
    fn low_rank(&self, parameters: &Fixed<'_>, pair: Pair, x: Factor<'_>) -> Buffer {
        let a = parameters.adapter(pair.a);
        let mut u = self.device.zeros(x.rows() * a.rows());
        self.device.low_rank(x, a, self.adapter_scale(), u.part_mut(..));
        u
    }

    /// The gradient of x · Aᵀ of an adapter \[n × rank\].
    fn low_rank_backward(&self, parameters: &Fixed<'_>, pair: Pair, dy: Part<'_>) -> Buffer {
        let b = parameters.adapter(pair.b);
        let mut du = self.device.zeros(dy.len() / b.rows() * b.inner());
        self.device.low_rank_backward(dy, b, self.adapter_scale(), du.part_mut(..));
        du
    }

    /// Logits of normed rows.
    pub(super) fn logits(&self, parameters: &Fixed<'_>, x: Factor<'_>, mut logits: PartMut<'_>) {
        self.project(parameters, Linear { weight: self.net.decoder.head, bias: None }, x, logits.again());
        if let Some(factor) = self.logits_factor() {
            self.device.scale(logits, factor);
        }
    }

    /// Several projections of one input, each \[n × its width\]. `fused` is room for those that are one.
    pub(super) fn project_all<const N: usize>(
        &self,
        parameters: &Fixed<'_>,
        projections: Projections<N>,
        x: Factor<'_>,
        fused: &mut Buffer,
        mut y: [(PartMut<'_>, usize); N],
    ) {
        match projections {
            Projections::Apart(each) => {
                for (linear, (y, _)) in each.into_iter().zip(y) {
                    self.project(parameters, linear, x, y);
                }
            }
            Projections::Fused(linear) => {
                let mut fused = fused.part_mut(..y.iter().map(|(y, _)| y.len()).sum::<usize>());
                self.project(parameters, linear, x, fused.again());
                self.device.split_columns(fused.shared(), &mut y);
            }
        }
    }

    /// The gradients of several projections of one input: `dx` from `start`, weights and biases.
    pub(super) fn project_all_backward<const N: usize>(
        &self,
        parameters: &Fixed<'_>,
        projections: Projections<N>,
        x: Factor<'_>,
        fused: &mut Buffer,
        dy: [(Part<'_>, usize); N],
        mut start: Start,
        mut dx: PartMut<'_>,
        sums: &mut Sums<'_>,
    ) {
        match projections {
            Projections::Apart(each) => {
                for (linear, (dy, _)) in each.into_iter().zip(dy) {
                    self.input_gradient(parameters, linear.weight, dy, dx.again(), start);
                    self.weight_gradient(parameters, linear, x, dy, sums);
                    start = Start::Accumulate;
                }
            }
            Projections::Fused(linear) => {
                let mut fused = fused.part_mut(..dy.iter().map(|(dy, _)| dy.len()).sum::<usize>());
                self.device.join_columns(&dy, fused.again());
                self.input_gradient(parameters, linear.weight, fused.shared(), dx, start);
                self.weight_gradient(parameters, linear, x, fused.shared(), sums);
            }
        }
    }

    /// dx (+)= dy · W for the parameter `id` \[out × in\], and what comes through an adapter.
    pub(super) fn input_gradient(
        &self,
        parameters: &Fixed<'_>,
        id: usize,
        dy: Part<'_>,
        mut dx: PartMut<'_>,
        start: Start,
    ) {
        let arithmetic = self.input_gradient_arithmetic(id);
        self.device.linear_input_gradient(arithmetic, dy, parameters.factor(id), dx.again(), start);
        if let Some(pair) = self.net.pair(id) {
            let (du, a) = (self.low_rank_backward(parameters, pair, dy), parameters.adapter(pair.a));
            self.device.linear_input_gradient(Arithmetic::Float, du.part(..), a, dx, Start::Accumulate);
        }
    }

    /// dW += dyᵀ · x and db += Σ dy, over all tokens of the micro-batch; or the gradients of an adapter's factors.
    pub(super) fn weight_gradient(
        &self,
        parameters: &Fixed<'_>,
        linear: Linear,
        x: Factor<'_>,
        dy: Part<'_>,
        sums: &mut Sums<'_>,
    ) {
        if self.net.whole() {
            self.head_gradient(0..x.rows(), x, dy, self.layout.part_mut(linear.weight, &mut sums.flat));
            if let Some(bias) = linear.bias {
                self.device.bias_backward(dy, self.seq_len, self.layout.part_mut(bias, &mut sums.flat));
            }
        } else if let Some(pair) = self.net.pair(linear.weight) {
            let (u, du) = (self.low_rank(parameters, pair, x), self.low_rank_backward(parameters, pair, dy));
            let rank = parameters.adapter(pair.a).rows();
            for (id, x, dy) in [(pair.b, Factor::new(u.part(..), rank), dy), (pair.a, x, du.part(..))] {
                let dw = self.layout.part_mut(id, &mut sums.flat);
                self.device.linear_weight_gradient(Arithmetic::Float, x, dy, 0..x.rows(), self.seq_len, dw);
            }
        }
    }

    /// dW += dyᵀ · x over these tokens of the micro-batch.
    pub(super) fn head_gradient(&self, tokens: Range<usize>, x: Factor<'_>, dy: Part<'_>, dw: PartMut<'_>) {
        self.device.linear_weight_gradient(self.arithmetic, x, dy, tokens, self.seq_len, dw);
    }

    /// A branch leaves: its last projection, normed and scaled where the model has it so, onto the residual stream. `left` and
    /// `left_rinv` are what its norm keeps.
    pub(super) fn leave(
        &self,
        parameters: &Fixed<'_>,
        (linear, norm): (Linear, Option<usize>),
        x: Factor<'_>,
        [left, left_rinv]: [&mut Buffer; 2],
        mut projected: PartMut<'_>,
        (stream, out): (Part<'_>, PartMut<'_>),
    ) {
        match norm {
            None => self.project(parameters, linear, x, projected.again()),
            Some(norm) => {
                let mut left = left.part_mut(..projected.len());
                self.project(parameters, linear, x, left.again());
                self.norm(parameters, norm, left.shared(), projected.again(), left_rinv.part_mut(..x.rows()));
            }
        }
        if let Some(factor) = self.residual_factor() {
            self.device.scale(projected.again(), factor);
        }
        self.device.add(stream, projected.shared(), out);
    }

    /// The gradient of a branch's last projection, from that of the residual stream.
    pub(super) fn leave_backward<'s>(
        &self,
        parameters: &Fixed<'_>,
        norm: Option<usize>,
        [left, left_rinv]: [&Buffer; 2],
        dx: Part<'s>,
        [scaled, unnormed]: &'s mut [Buffer; 2],
        sums: &mut Sums<'_>,
    ) -> Part<'s> {
        let mut d = dx;
        if let Some(factor) = self.residual_factor() {
            let mut scaled = scaled.part_mut(..dx.len());
            self.device.copy(dx, scaled.again());
            self.device.scale(scaled.again(), factor);
            d = scaled.into_shared();
        }
        if let Some(norm) = norm {
            let mut unnormed = unnormed.part_mut(..dx.len());
            self.device.clear(unnormed.again());
            let n = dx.len() / self.config.hidden_size;
            let inputs = [left.part(..dx.len()), left_rinv.part(..n), d];
            self.norm_backward(parameters, norm, 1, inputs, unnormed.again(), sums);
            d = unnormed.into_shared();
        }
        d
    }

    /// What enters a branch on its way back, as a factor of weight gradients: the residual stream, normed again.
    pub(super) fn entered<'s>(
        &self,
        parameters: &Fixed<'_>,
        norm: Option<usize>,
        [x, rinv]: [Part<'s>; 2],
        mut normed: PartMut<'s>,
        integers: &'s mut Integers,
    ) -> Factor<'s> {
        let d = self.config.hidden_size;
        match norm {
            None => integers.of(x, d),
            Some(norm) => {
                self.norm_again(parameters, norm, x, rinv, normed.again());
                integers.of(normed.into_shared(), d)
            }
        }
    }
}
