//! RMSNorm (Zhang and Sennrich, "Root mean square layer normalization", NeurIPS 2019, equation 4): each row divided by
//! its root mean square, then multiplied by a weight.

use super::elementwise::worth_threads;
use super::machine::{Engine, Isa, Simd, kernel};
use super::scratch;
use super::sum::{self, Lanes};
use rayon::prelude::*;

/// The plain scalar definitions.
pub mod definition {
    use super::sum::definition as sum;

    /// `rinv = 1 / sqrt(sum(x^2) / d + eps)` for each row, `y = (x * rinv) * weight`.
    pub fn forward(x: &[f32], weight: &[f32], eps: f32, y: &mut [f32], rinv: &mut [f32]) {
        let d = weight.len();
        for ((x, y), rinv) in x.chunks(d).zip(y.chunks_mut(d)).zip(rinv) {
            let mean_square = sum::dot(x, x) / d as f32;
            *rinv = 1.0 / (mean_square + eps).sqrt();
            for i in 0..d {
                y[i] = (x[i] * *rinv) * weight[i];
            }
        }
    }

    /// `y = (x * rinv) * weight`, the factors known.
    pub fn scale(x: &[f32], weight: &[f32], rinv: &[f32], y: &mut [f32]) {
        let d = weight.len();
        for ((x, y), rinv) in x.chunks(d).zip(y.chunks_mut(d)).zip(rinv) {
            for i in 0..d {
                y[i] = (x[i] * rinv) * weight[i];
            }
        }
    }

    /// With `xhat = x * rinv` and `g = dy * weight`: `dx = fma(-xhat, dot(g, xhat) / d, g) * rinv`, added to `dx_acc`;
    /// for the weight, a chain of `fma(dy, xhat, .)` over a sequence's tokens from +0, added to `d_weight` sequence
    /// after sequence.
    pub fn backward(
        x: &[f32],
        weight: &[f32],
        rinv: &[f32],
        dy: &[f32],
        seq_len: usize,
        dx_acc: &mut [f32],
        d_weight: &mut [f32],
    ) {
        let d = weight.len();
        let mut partial = vec![0.0f32; d];
        for (row, &rinv) in rinv.iter().enumerate() {
            let (x, dy) = (&x[row * d..][..d], &dy[row * d..][..d]);
            let xhat: Vec<f32> = x.iter().map(|x| x * rinv).collect();
            let g: Vec<f32> = dy.iter().zip(weight).map(|(dy, w)| dy * w).collect();
            let c = sum::dot(&g, &xhat) / d as f32;
            for i in 0..d {
                dx_acc[row * d + i] += (-xhat[i]).mul_add(c, g[i]) * rinv;
                partial[i] = dy[i].mul_add(xhat[i], partial[i]);
            }
            if (row + 1) % seq_len == 0 {
                for (acc, partial) in d_weight.iter_mut().zip(&mut partial) {
                    *acc += *partial;
                    *partial = 0.0;
                }
            }
        }
    }
}

#[inline(always)]
fn forward<S: Simd>(simd: S, x: &[f32], weight: &[f32], eps: f32, y: &mut [f32], rinv: &mut [f32]) {
    let d = weight.len();
    for ((x, y), rinv) in x.chunks_exact(d).zip(y.chunks_exact_mut(d)).zip(rinv) {
        let mean_square = sum::dot(simd, x, x) / d as f32;
        let r = 1.0 / (mean_square + eps).sqrt();
        *rinv = r;
        for ((y, x), w) in y.iter_mut().zip(x).zip(weight) {
            *y = (x * r) * w;
        }
    }
}

/// The rows of one sequence: adds to `dx_acc`, and chains the weight's part in `partial`, from +0.
#[inline(always)]
fn backward<S: Simd>(
    simd: S,
    x: &[f32],
    weight: &[f32],
    rinv: &[f32],
    dy: &[f32],
    dx_acc: &mut [f32],
    partial: &mut [f32],
) {
    let d = weight.len();
    partial.fill(0.0);
    let rows = x.chunks_exact(d).zip(dy.chunks_exact(d)).zip(dx_acc.chunks_exact_mut(d));
    for (((x, dy), dx_acc), &r) in rows.zip(rinv) {
        let (x_chunks, x_rest) = x.as_chunks::<{ sum::LANES }>();
        let (dy_chunks, dy_rest) = dy.as_chunks::<{ sum::LANES }>();
        let (w_chunks, w_rest) = weight.as_chunks::<{ sum::LANES }>();
        let mut lanes = Lanes::new(simd);
        for ((x, dy), w) in x_chunks.iter().zip(dy_chunks).zip(w_chunks) {
            let (mut g, mut xhat) = ([0.0; sum::LANES], [0.0; sum::LANES]);
            for j in 0..sum::LANES {
                g[j] = dy[j] * w[j];
                xhat[j] = x[j] * r;
            }
            lanes.mul_add(&g, &xhat);
        }
        let mut lanes = lanes.values();
        for (lane, ((x, dy), w)) in lanes.iter_mut().zip(x_rest.iter().zip(dy_rest).zip(w_rest)) {
            *lane = (dy * w).mul_add(x * r, *lane);
        }
        let c = sum::fold(&lanes) / d as f32;
        for ((((x, dy), w), dx), partial) in x.iter().zip(dy).zip(weight).zip(dx_acc).zip(&mut *partial) {
            let xhat = x * r;
            *dx += (-xhat).mul_add(c, dy * w) * r;
            *partial = dy.mul_add(xhat, *partial);
        }
    }
}

#[inline(always)]
fn scale(x: &[f32], weight: &[f32], rinv: &[f32], y: &mut [f32]) {
    let d = weight.len();
    for ((x, y), rinv) in x.chunks_exact(d).zip(y.chunks_exact_mut(d)).zip(rinv) {
        for ((x, w), y) in x.iter().zip(weight).zip(y) {
            *y = (x * rinv) * w;
        }
    }
}

kernel!(Forward<'a> { x: &'a [f32], weight: &'a [f32], eps: f32, y: &'a mut [f32], rinv: &'a mut [f32] } -> (), simd =
    forward(simd, x, weight, eps, y, rinv));
kernel!(Scale<'a> { x: &'a [f32], weight: &'a [f32], rinv: &'a [f32], y: &'a mut [f32] } -> () =
    scale(x, weight, rinv, y));
kernel!(Backward<'a> { x: &'a [f32], weight: &'a [f32], rinv: &'a [f32], dy: &'a [f32], dx_acc: &'a mut [f32],
    partial: &'a mut [f32] } -> (), simd = backward(simd, x, weight, rinv, dy, dx_acc, partial));

impl Engine {
    /// RMSNorm of `x` \[rows × d\] with `weight` \[d\]: gives `y` \[rows × d\] and, for the backward pass, each row's
    /// factor `rinv` \[rows\].
    pub fn rms_norm(self, x: &[f32], weight: &[f32], eps: f32, y: &mut [f32], rinv: &mut [f32]) {
        let d = weight.len();
        assert!(d > 0, "rms_norm: rows of at least one element");
        assert_eq!([x.len(), y.len()], [rinv.len() * d; 2], "rms_norm: x and y of {} rows of {d}", rinv.len());
        if self.isa() == Isa::Definition {
            return self.define(|| definition::forward(x, weight, eps, y, rinv));
        }
        if worth_threads(x.len()) {
            let rows = (1usize << 13).div_ceil(d);
            let blocks = x.par_chunks(rows * d).zip(y.par_chunks_mut(rows * d)).zip(rinv.par_chunks_mut(rows));
            blocks.for_each(|((x, y), rinv)| self.dispatch(Forward { x, weight, eps, y, rinv }));
        } else {
            self.dispatch(Forward { x, weight, eps, y, rinv });
        }
    }

    /// RMSNorm's output again, from the factors `rinv` that it gave: what a backward pass needs instead of keeping it.
    pub fn rms_scale(self, x: &[f32], weight: &[f32], rinv: &[f32], y: &mut [f32]) {
        let d = weight.len();
        assert!(d > 0, "rms_scale: rows of at least one element");
        assert_eq!([x.len(), y.len()], [rinv.len() * d; 2], "rms_scale: x and y of {} rows of {d}", rinv.len());
        if self.isa() == Isa::Definition {
            return self.define(|| definition::scale(x, weight, rinv, y));
        }
        if worth_threads(x.len()) {
            let rows = (1usize << 13).div_ceil(d);
            let blocks = x.par_chunks(rows * d).zip(y.par_chunks_mut(rows * d)).zip(rinv.par_chunks(rows));
            blocks.for_each(|((x, y), rinv)| self.dispatch(Scale { x, weight, rinv, y }));
        } else {
            self.dispatch(Scale { x, weight, rinv, y });
        }
    }

    /// Gradient of RMSNorm over whole sequences of `seq_len` rows: adds the gradient of `x` to `dx_acc` \[rows × d\], and
    /// that of the weight to `d_weight` \[d\], a partial for each sequence, sequences ascending.
    pub fn rms_norm_backward(
        self,
        x: &[f32],
        weight: &[f32],
        rinv: &[f32],
        dy: &[f32],
        seq_len: usize,
        dx_acc: &mut [f32],
        d_weight: &mut [f32],
    ) {
        let d = weight.len();
        let rows = rinv.len();
        assert!(d > 0 && seq_len > 0 && rows.is_multiple_of(seq_len), "rms_norm: whole sequences of {seq_len} rows");
        let sizes = [x.len(), dy.len(), dx_acc.len()];
        assert_eq!(sizes, [rows * d; 3], "rms_norm: x, dy and dx of {rows} rows of {d}");
        assert_eq!(d_weight.len(), d, "rms_norm: a gradient as large as the weight");
        if self.isa() == Isa::Definition {
            return self.define(|| definition::backward(x, weight, rinv, dy, seq_len, dx_acc, d_weight));
        }
        if worth_threads(x.len()) {
            scratch::with(rows / seq_len * d, |partials| {
                let inputs = x.par_chunks(seq_len * d).zip(dy.par_chunks(seq_len * d)).zip(rinv.par_chunks(seq_len));
                let outputs = dx_acc.par_chunks_mut(seq_len * d).zip(partials.par_chunks_mut(d));
                inputs.zip(outputs).for_each(|(((x, dy), rinv), (dx_acc, partial))| {
                    self.dispatch(Backward { x, weight, rinv, dy, dx_acc, partial });
                });
                for partial in partials.chunks(d) {
                    self.add_into(d_weight, partial);
                }
            });
        } else {
            scratch::with(d, |partial| {
                let inputs = x.chunks(seq_len * d).zip(dy.chunks(seq_len * d)).zip(rinv.chunks(seq_len));
                for (((x, dy), rinv), dx_acc) in inputs.zip(dx_acc.chunks_mut(seq_len * d)) {
                    self.dispatch(Backward { x, weight, rinv, dy, dx_acc, partial: &mut *partial });
                    self.add_into(d_weight, partial);
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::{assert_same_bits, assert_slope, on_every_engine};

    #[test]
    fn both_passes_equal_their_definitions() {
        on_every_engine(|engine, numbers| {
            for (sequences, seq_len) in [(1, 1), (3, 5), (7, 40)] {
                let (d, rows) = (numbers.up_to(200), sequences * seq_len);
                let [x, dy, dx] = [(); 3].map(|()| numbers.tame(rows * d));
                let [weight, d_weight] = [(); 2].map(|()| numbers.tame(d));
                let run = |engine: Engine| {
                    let (mut y, mut rinv) = (vec![9.0; rows * d], vec![9.0; rows]);
                    engine.rms_norm(&x, &weight, 1e-5, &mut y, &mut rinv);
                    let (mut dx, mut d_weight) = (dx.clone(), d_weight.clone());
                    engine.rms_norm_backward(&x, &weight, &rinv, &dy, seq_len, &mut dx, &mut d_weight);
                    [y, rinv, dx, d_weight]
                };
                for (ours, truth) in run(engine).iter().zip(&run(Engine::definition())) {
                    assert_same_bits("rms_norm", ours, truth);
                }
            }
        });
    }

    #[test]
    fn the_gradient_is_the_slope_of_the_forward_pass() {
        let (rows, d) = (2, 5);
        // The loss is the sum of dy * y; x and weight one after the other.
        let dy: Vec<f64> = (0..rows * d).map(|i| (i as f64 * 0.7).sin()).collect();
        let loss = |input: &[f64]| {
            let (x, w) = input.split_at(rows * d);
            let mut total = 0.0;
            for (x, dy) in x.chunks(d).zip(dy.chunks(d)) {
                let r = 1.0 / (x.iter().map(|x| x * x).sum::<f64>() / d as f64 + 1e-5).sqrt();
                total += (0..d).map(|i| dy[i] * x[i] * r * w[i]).sum::<f64>();
            }
            total
        };
        let input: Vec<f32> = (0..rows * d + d).map(|i| (i as f32 * 1.3).cos() + 0.3).collect();
        let dy: Vec<f32> = dy.iter().map(|&x| x as f32).collect();
        let (x, weight) = input.split_at(rows * d);
        let (mut y, mut rinv) = (vec![0.0; rows * d], vec![0.0; rows]);
        definition::forward(x, weight, 1e-5, &mut y, &mut rinv);
        let mut gradient = vec![0.0; input.len()];
        let (dx, d_weight) = gradient.split_at_mut(rows * d);
        definition::backward(x, weight, &rinv, &dy, rows, dx, d_weight);
        assert_slope(loss, &input, &gradient);
    }
}
