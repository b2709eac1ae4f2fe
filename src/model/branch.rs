//! What the branches of a layer are made of: norms, projections and their gradients.

use super::adapter::Pair;
use super::decoder::{Linear, Projections};
use super::fixed::Fixed;
use super::forward::Model;
use crate::engine::linear::{Factor, Integers};
use crate::engine::{Arithmetic, Start};
use std::ops::Range;

/// The accumulators of one micro-batch's gradients, by the layout of what is trained, and the accumulator of a tied head.
pub(super) struct Sums<'a> {
    pub flat: &'a mut [f32],
    pub tied_head: &'a mut [f32],
}

impl Model {
    /// The normed rows of `x`, and their factors.
    pub(super) fn norm(&self, parameters: &Fixed<'_>, id: usize, x: &[f32], y: &mut [f32], rinv: &mut [f32]) {
        let weight = self.norm_weight(parameters.factor(id).values());
        self.engine.rms_norm(x, &weight, self.eps, y, rinv);
    }

    /// The normed rows again, from their factors.
    pub(super) fn norm_again(&self, parameters: &Fixed<'_>, id: usize, x: &[f32], rinv: &[f32], y: &mut [f32]) {
        let weight = self.norm_weight(parameters.factor(id).values());
        self.engine.rms_scale(x, &weight, rinv, y);
    }

    /// Adds the gradient of a norm's input to `dx`. A token has `rows` rows.
    pub(super) fn norm_backward(
        &self,
        parameters: &Fixed<'_>,
        id: usize,
        rows: usize,
        [x, rinv, dy]: [&[f32]; 3],
        dx: &mut [f32],
        sums: &mut Sums<'_>,
    ) {
        let weight = self.norm_weight(parameters.factor(id).values());
        let rows = rows * self.seq_len;
        match self.net.whole() {
            true => {
                let dw = self.layout.of_mut(id, sums.flat);
                self.engine.rms_norm_backward(x, &weight, rinv, dy, rows, dx, dw);
            }
            // Nobody asks for the gradient of a weight that stays.
            false => {
                self.engine.rms_norm_backward(x, &weight, rinv, dy, rows, dx, &mut vec![0.0; weight.len()]);
            }
        }
    }

    /// y = x · Wᵀ + b, and what an adapter adds.
    pub(super) fn project(&self, parameters: &Fixed<'_>, linear: Linear, x: Factor<'_>, y: &mut [f32]) {
        self.engine.linear(self.arithmetic, x, parameters.factor(linear.weight), y);
        if let Some(bias) = linear.bias {
            self.engine.bias(parameters.factor(bias).values(), y);
        }
        if let Some(pair) = self.net.pair(linear.weight) {
            let u = self.low_rank(parameters, pair, x);
            self.engine.low_rank_add(&u, parameters.adapter(pair.b), y);
        }
    }

    /// s · (x · Aᵀ) of an adapter \[n × rank\].
    fn low_rank(&self, parameters: &Fixed<'_>, pair: Pair, x: Factor<'_>) -> Vec<f32> {
        let a = parameters.adapter(pair.a);
        let mut u = vec![0.0; x.rows() * a.rows()];
        self.engine.low_rank(x, a, self.adapter_scale(), &mut u);
        u
    }

    /// The gradient of x · Aᵀ of an adapter \[n × rank\].
    fn low_rank_backward(&self, parameters: &Fixed<'_>, pair: Pair, dy: &[f32]) -> Vec<f32> {
        let b = parameters.adapter(pair.b);
        let mut du = vec![0.0; dy.len() / b.rows() * (b.values().len() / b.rows())];
        self.engine.low_rank_backward(dy, b, self.adapter_scale(), &mut du);
        du
    }

    /// Logits of normed rows.
    pub(super) fn logits(&self, parameters: &Fixed<'_>, x: Factor<'_>, logits: &mut [f32]) {
        self.project(parameters, Linear { weight: self.net.decoder.head, bias: None }, x, logits);
        if let Some(factor) = self.logits_factor() {
            self.engine.scale(logits, factor);
        }
    }

    /// Several projections of one input, each \[n × its width\]. `fused` is room for those that are one.
    pub(super) fn project_all<const N: usize>(
        &self,
        parameters: &Fixed<'_>,
        projections: Projections<N>,
        x: Factor<'_>,
        fused: &mut [f32],
        y: [(&mut [f32], usize); N],
    ) {
        match projections {
            Projections::Apart(each) => {
                for (linear, (y, _)) in each.into_iter().zip(y) {
                    self.project(parameters, linear, x, y);
                }
            }
            Projections::Fused(linear) => {
                let fused = &mut fused[..y.iter().map(|(y, _)| y.len()).sum()];
                self.project(parameters, linear, x, fused);
                self.engine.split_columns(fused, y);
            }
        }
    }

    /// The gradients of several projections of one input: `dx` from `start`, weights and biases.
    pub(super) fn project_all_backward<const N: usize>(
        &self,
        parameters: &Fixed<'_>,
        projections: Projections<N>,
        x: Factor<'_>,
        fused: &mut [f32],
        dy: [(&[f32], usize); N],
        mut start: Start,
        dx: &mut [f32],
        sums: &mut Sums<'_>,
    ) {
        match projections {
            Projections::Apart(each) => {
                for (linear, (dy, _)) in each.into_iter().zip(dy) {
                    self.input_gradient(parameters, linear.weight, dy, dx, start);
                    self.weight_gradient(parameters, linear, x, dy, sums);
                    start = Start::Accumulate;
                }
            }
            Projections::Fused(linear) => {
                let fused = &mut fused[..dy.iter().map(|(dy, _)| dy.len()).sum()];
                self.engine.join_columns(dy, fused);
                self.input_gradient(parameters, linear.weight, fused, dx, start);
                self.weight_gradient(parameters, linear, x, fused, sums);
            }
        }
    }

    /// dx (+)= dy · W for the parameter `id` \[out × in\], and what comes through an adapter.
    pub(super) fn input_gradient(&self, parameters: &Fixed<'_>, id: usize, dy: &[f32], dx: &mut [f32], start: Start) {
        let arithmetic = self.input_gradient_arithmetic(id);
        self.engine.linear_input_gradient(arithmetic, dy, parameters.factor(id), dx, start);
        if let Some(pair) = self.net.pair(id) {
            let (du, a) = (self.low_rank_backward(parameters, pair, dy), parameters.adapter(pair.a));
            self.engine.linear_input_gradient(Arithmetic::Float, &du, a, dx, Start::Accumulate);
        }
    }

    /// dW += dyᵀ · x and db += Σ dy, over all tokens of the micro-batch; or the gradients of an adapter's factors.
    pub(super) fn weight_gradient(
        &self,
        parameters: &Fixed<'_>,
        linear: Linear,
        x: Factor<'_>,
        dy: &[f32],
        sums: &mut Sums<'_>,
    ) {
        if self.net.whole() {
            self.head_gradient(0..x.rows(), x, dy, self.layout.of_mut(linear.weight, sums.flat));
            if let Some(bias) = linear.bias {
                self.engine.bias_backward(dy, self.seq_len, self.layout.of_mut(bias, sums.flat));
            }
        } else if let Some(pair) = self.net.pair(linear.weight) {
            let (u, du) = (self.low_rank(parameters, pair, x), self.low_rank_backward(parameters, pair, dy));
            let rank = parameters.adapter(pair.a).rows();
            for (id, x, dy) in [(pair.b, Factor::new(&u, rank), dy), (pair.a, x, &du)] {
                let dw = self.layout.of_mut(id, sums.flat);
                self.engine.linear_weight_gradient(Arithmetic::Float, x, dy, 0..x.rows(), self.seq_len, dw);
            }
        }
    }

    /// dW += dyᵀ · x over these tokens of the micro-batch.
    pub(super) fn head_gradient(&self, tokens: Range<usize>, x: Factor<'_>, dy: &[f32], dw: &mut [f32]) {
        self.engine.linear_weight_gradient(self.arithmetic, x, dy, tokens, self.seq_len, dw);
    }

    /// A branch leaves: its last projection, normed and scaled where the model has it so, onto the residual stream. `left` and
    /// `left_rinv` are what its norm keeps.
    pub(super) fn leave(
        &self,
        parameters: &Fixed<'_>,
        (linear, norm): (Linear, Option<usize>),
        x: Factor<'_>,
        [left, left_rinv]: [&mut Vec<f32>; 2],
        projected: &mut [f32],
        (stream, out): (&[f32], &mut [f32]),
    ) {
        match norm {
            None => self.project(parameters, linear, x, projected),
            Some(norm) => {
                let left = &mut left[..projected.len()];
                self.project(parameters, linear, x, left);
                self.norm(parameters, norm, left, projected, &mut left_rinv[..x.rows()]);
            }
        }
        if let Some(factor) = self.residual_factor() {
            self.engine.scale(projected, factor);
        }
        self.engine.add(stream, projected, out);
    }

    /// The gradient of a branch's last projection, from that of the residual stream.
    pub(super) fn leave_backward<'s>(
        &self,
        parameters: &Fixed<'_>,
        norm: Option<usize>,
        [left, left_rinv]: [&[f32]; 2],
        dx: &'s [f32],
        [scaled, unnormed]: &'s mut [Vec<f32>; 2],
        sums: &mut Sums<'_>,
    ) -> &'s [f32] {
        let mut d = dx;
        if let Some(factor) = self.residual_factor() {
            let scaled = &mut scaled[..dx.len()];
            scaled.copy_from_slice(dx);
            self.engine.scale(scaled, factor);
            d = scaled;
        }
        if let Some(norm) = norm {
            let unnormed = &mut unnormed[..dx.len()];
            unnormed.fill(0.0);
            let n = dx.len() / self.config.hidden_size;
            self.norm_backward(parameters, norm, 1, [&left[..dx.len()], &left_rinv[..n], d], unnormed, sums);
            d = unnormed;
        }
        d
    }

    /// What enters a branch on its way back, as a factor of weight gradients: the residual stream, normed again.
    pub(super) fn entered<'s>(
        &self,
        parameters: &Fixed<'_>,
        norm: Option<usize>,
        [x, rinv]: [&'s [f32]; 2],
        normed: &'s mut [f32],
        integers: &'s mut Integers,
    ) -> Factor<'s> {
        let d = self.config.hidden_size;
        match norm {
            None => integers.of(x, d),
            Some(norm) => {
                self.norm_again(parameters, norm, x, rinv, normed);
                integers.of(normed, d)
            }
        }
    }
}
