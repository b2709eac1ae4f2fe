//! A bias added to every row, and its gradient.

use super::elementwise::worth_threads;
use super::machine::{Engine, Isa, kernel};
use super::scratch;
use rayon::prelude::*;

/// The plain scalar definitions.
pub mod definition {
    /// `x[row][i] = x[row][i] + bias[i]`.
    pub fn forward(bias: &[f32], x: &mut [f32]) {
        for row in x.chunks_mut(bias.len()) {
            for i in 0..bias.len() {
                row[i] += bias[i];
            }
        }
    }

    /// A chain of sums over a sequence's rows from +0, added to `d_bias` sequence after sequence.
    pub fn backward(dy: &[f32], seq_len: usize, d_bias: &mut [f32]) {
        let width = d_bias.len();
        for sequence in dy.chunks(seq_len * width) {
            for i in 0..width {
                d_bias[i] += sequence.chunks(width).fold(0.0, |chain, row| chain + row[i]);
            }
        }
    }
}

#[inline(always)]
fn forward(bias: &[f32], x: &mut [f32]) {
    for row in x.chunks_exact_mut(bias.len()) {
        for (x, bias) in row.iter_mut().zip(bias) {
            *x += *bias;
        }
    }
}

/// The rows of one sequence, chained in `partial` from +0.
#[inline(always)]
fn backward(dy: &[f32], partial: &mut [f32]) {
    partial.fill(0.0);
    for row in dy.chunks_exact(partial.len()) {
        for (partial, dy) in partial.iter_mut().zip(row) {
            *partial += *dy;
        }
    }
}

kernel!(Forward<'a> { bias: &'a [f32], x: &'a mut [f32] } -> () = forward(bias, x));
kernel!(Backward<'a> { dy: &'a [f32], partial: &'a mut [f32] } -> () = backward(dy, partial));

impl Engine {
    /// Adds `bias` \[width\] to every row of `x` \[rows × width\].
    pub fn bias(self, bias: &[f32], x: &mut [f32]) {
        let width = bias.len();
        assert!(width > 0 && x.len().is_multiple_of(width), "bias: whole rows of {width}");
        if self.isa() == Isa::Definition {
            return self.define(|| definition::forward(bias, x));
        }
        if worth_threads(x.len()) {
            let rows = (1usize << 13).div_ceil(width);
            x.par_chunks_mut(rows * width).for_each(|x| self.dispatch(Forward { bias, x }));
        } else {
            self.dispatch(Forward { bias, x });
        }
    }

    /// Adds the gradient of a bias to `d_bias` \[width\]: `dy` \[rows × width\] summed over whole sequences of `seq_len` rows, a
    /// partial for each, sequences ascending.
    pub fn bias_backward(self, dy: &[f32], seq_len: usize, d_bias: &mut [f32]) {
        let width = d_bias.len();
        assert!(
            width > 0 && seq_len > 0 && dy.len().is_multiple_of(seq_len * width),
            "bias_backward: whole sequences of {seq_len} rows of {width}"
        );
        if self.isa() == Isa::Definition {
            return self.define(|| definition::backward(dy, seq_len, d_bias));
        }
        let sequences = dy.len() / (seq_len * width);
        scratch::with(sequences * width, |partials: &mut [f32]| {
            let partial = |(dy, partial)| self.dispatch(Backward { dy, partial });
            if worth_threads(dy.len()) {
                dy.par_chunks(seq_len * width).zip(partials.par_chunks_mut(width)).for_each(partial);
            } else {
                dy.chunks(seq_len * width).zip(partials.chunks_mut(width)).for_each(partial);
            }
            partials.chunks(width).for_each(|partial| self.add_into(d_bias, partial));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::{assert_same_bits, on_every_engine};

    #[test]
    fn both_passes_equal_their_definitions() {
        on_every_engine(|engine, numbers| {
            for (sequences, seq_len) in [(1, 1), (3, 5), (7, 40), (2, 300)] {
                let (width, rows) = (numbers.up_to(200), sequences * seq_len);
                let [x, dy] = [(); 2].map(|()| numbers.tame(rows * width));
                let [bias, d_bias] = [(); 2].map(|()| numbers.tame(width));
                let run = |engine: Engine| {
                    let (mut x, mut d_bias) = (x.clone(), d_bias.clone());
                    engine.bias(&bias, &mut x);
                    engine.bias_backward(&dy, seq_len, &mut d_bias);
                    [x, d_bias].concat()
                };
                assert_same_bits("bias", &run(engine), &run(Engine::definition()));
            }
        });
    }

    #[test]
    fn the_gradient_is_the_sum_over_rows() {
        let mut d_bias = [1.0, 2.0];
        definition::backward(&[1.0, 10.0, 2.0, 20.0, 3.0, 30.0, 4.0, 40.0], 2, &mut d_bias);
        assert_eq!(d_bias, [11.0, 102.0]);
    }
}
