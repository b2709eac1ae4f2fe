//! Sums in the one fixed order of the arithmetic contract (A3).
//!
//! A row is summed in 32 lanes: each starts at +0, and lane j adds elements j, j + 32, ... in ascending order, products
//! by fma. Lanes are then folded, `lane[i] += lane[i + w]` for w = 16, 8, 4, 2, 1. Elements that a ragged row does not
//! have add nothing. (A lane starts at +0, so it is never -0 unless a product underflowed to -0 in an fma, and
//! adding +0 for the absent elements would give the same bits but for that case; the definition is: nothing.)
//!
//! A whole tensor is summed in blocks of 4096, then its block sums likewise, until one value is left.

use super::elementwise::worth_threads;
use super::machine::{Engine, Isa, Simd, WIDTH, kernel};
use super::scratch;
use rayon::prelude::*;

/// Lanes of a row sum.
pub const LANES: usize = 32;
/// Elements in a block of a tensor sum.
pub const BLOCK: usize = 4096;

/// The plain scalar definitions.
pub mod definition {
    use super::{BLOCK, LANES};

    fn fold(mut lanes: [f32; LANES]) -> f32 {
        for width in [16, 8, 4, 2, 1] {
            for i in 0..width {
                lanes[i] += lanes[i + width];
            }
        }
        lanes[0]
    }

    /// The sum of a row.
    pub fn sum(x: &[f32]) -> f32 {
        let mut lanes = [0.0; LANES];
        for (i, x) in x.iter().enumerate() {
            lanes[i % LANES] += x;
        }
        fold(lanes)
    }

    /// The sum of `x[i] * y[i]`, each product entering its lane by fma.
    pub fn dot(x: &[f32], y: &[f32]) -> f32 {
        let mut lanes = [0.0f32; LANES];
        for (i, (x, y)) in x.iter().zip(y).enumerate() {
            lanes[i % LANES] = x.mul_add(*y, lanes[i % LANES]);
        }
        fold(lanes)
    }

    /// The sum of a tensor of any size: +0 if it is empty.
    pub fn tensor_sum(x: &[f32]) -> f32 {
        let mut sums: Vec<f32> = x.chunks(BLOCK).map(sum).collect();
        while sums.len() > 1 {
            sums = sums.chunks(BLOCK).map(sum).collect();
        }
        sums.first().copied().unwrap_or(0.0)
    }

    /// The sum of the squares of a tensor of any size: +0 if it is empty.
    pub fn tensor_sum_squares(x: &[f32]) -> f32 {
        let sums: Vec<f32> = x.chunks(BLOCK).map(|x| dot(x, x)).collect();
        if sums.len() == 1 { sums[0] } else { tensor_sum(&sums) }
    }
}

/// The lanes' total.
#[inline(always)]
pub(super) fn fold(lanes: &[f32; LANES]) -> f32 {
    let mut lanes = *lanes;
    for width in [16, 8, 4, 2, 1] {
        let (low, high) = lanes.split_at_mut(width);
        for (low, high) in low.iter_mut().zip(high) {
            *low += *high;
        }
    }
    lanes[0]
}

/// The lanes of a row sum while it runs, inside a kernel.
#[derive(Clone, Copy)]
pub(super) struct Lanes<S: Simd> {
    simd: S,
    halves: [S::V; 2],
}

impl<S: Simd> Lanes<S> {
    /// All lanes +0.
    #[inline(always)]
    pub(super) fn new(simd: S) -> Self {
        Lanes { simd, halves: [simd.splat(0.0); 2] }
    }

    /// Adds the next 32 elements.
    #[inline(always)]
    pub(super) fn add(&mut self, x: &[f32; LANES]) {
        for (half, x) in self.halves.iter_mut().zip(x.as_chunks::<WIDTH>().0) {
            *half = self.simd.add(*half, self.simd.load(x));
        }
    }

    /// Adds the products of the next 32 elements.
    #[inline(always)]
    pub(super) fn mul_add(&mut self, x: &[f32; LANES], y: &[f32; LANES]) {
        let vectors = x.as_chunks::<WIDTH>().0.iter().zip(y.as_chunks::<WIDTH>().0);
        for (half, (x, y)) in self.halves.iter_mut().zip(vectors) {
            *half = self.simd.mul_add(self.simd.load(x), self.simd.load(y), *half);
        }
    }

    /// What each lane holds.
    #[inline(always)]
    pub(super) fn values(self) -> [f32; LANES] {
        let mut values = [0.0; LANES];
        for (half, to) in self.halves.into_iter().zip(values.as_chunks_mut::<WIDTH>().0) {
            self.simd.store(half, to);
        }
        values
    }
}

/// The sum of a row, inside a kernel.
#[inline(always)]
pub(super) fn sum<S: Simd>(simd: S, x: &[f32]) -> f32 {
    let (chunks, rest) = x.as_chunks::<LANES>();
    let mut lanes = Lanes::new(simd);
    for x in chunks {
        lanes.add(x);
    }
    let mut lanes = lanes.values();
    for (lane, x) in lanes.iter_mut().zip(rest) {
        *lane += x;
    }
    fold(&lanes)
}

/// The sum of products of a row, inside a kernel.
#[inline(always)]
pub(super) fn dot<S: Simd>(simd: S, x: &[f32], y: &[f32]) -> f32 {
    let (xs, x_rest) = x.as_chunks::<LANES>();
    let (ys, y_rest) = y.as_chunks::<LANES>();
    let mut lanes = Lanes::new(simd);
    for (x, y) in xs.iter().zip(ys) {
        lanes.mul_add(x, y);
    }
    let mut lanes = lanes.values();
    for (lane, (x, y)) in lanes.iter_mut().zip(x_rest.iter().zip(y_rest)) {
        *lane = x.mul_add(*y, *lane);
    }
    fold(&lanes)
}

#[inline(always)]
fn block_sums<S: Simd>(simd: S, x: &[f32], sums: &mut [f32]) {
    for (x, sum_of_block) in x.chunks(BLOCK).zip(sums) {
        *sum_of_block = sum(simd, x);
    }
}

#[inline(always)]
fn block_sums_of_squares<S: Simd>(simd: S, x: &[f32], sums: &mut [f32]) {
    for (x, sum_of_block) in x.chunks(BLOCK).zip(sums) {
        *sum_of_block = dot(simd, x, x);
    }
}

kernel!(Sum<'a> { x: &'a [f32] } -> f32, simd = sum(simd, x));
kernel!(Dot<'a> { x: &'a [f32], y: &'a [f32] } -> f32, simd = dot(simd, x, y));
kernel!(BlockSums<'a> { x: &'a [f32], sums: &'a mut [f32] } -> (), simd = block_sums(simd, x, sums));
kernel!(BlockSumsOfSquares<'a> { x: &'a [f32], sums: &'a mut [f32] } -> (), simd =
    block_sums_of_squares(simd, x, sums));

impl Engine {
    /// The sum of a row.
    pub fn sum(self, x: &[f32]) -> f32 {
        if self.isa() == Isa::Definition {
            return self.define(|| definition::sum(x));
        }
        self.dispatch(Sum { x })
    }

    /// The sum of `x[i] * y[i]` over a row.
    pub fn dot(self, x: &[f32], y: &[f32]) -> f32 {
        assert_eq!(x.len(), y.len(), "dot: rows of different lengths");
        if self.isa() == Isa::Definition {
            return self.define(|| definition::dot(x, y));
        }
        self.dispatch(Dot { x, y })
    }

    /// The sum of squares of a row.
    pub fn sum_squares(self, x: &[f32]) -> f32 {
        self.dot(x, x)
    }

    /// The sum of a tensor of any size: +0 if it is empty.
    pub fn tensor_sum(self, x: &[f32]) -> f32 {
        if self.isa() == Isa::Definition {
            return self.define(|| definition::tensor_sum(x));
        }
        self.tree(x, |x, sums| self.dispatch(BlockSums { x, sums }))
    }

    /// The sum of the squares of a tensor of any size: +0 if it is empty.
    pub fn tensor_sum_squares(self, x: &[f32]) -> f32 {
        if self.isa() == Isa::Definition {
            return self.define(|| definition::tensor_sum_squares(x));
        }
        self.tree(x, |x, sums| self.dispatch(BlockSumsOfSquares { x, sums }))
    }

    /// Block sums of `x` by `first`, then block sums of those until one is left.
    fn tree(self, x: &[f32], first: impl Fn(&[f32], &mut [f32]) + Sync) -> f32 {
        /// Blocks that one task sums.
        const TASK: usize = 16;
        scratch::with(x.len().div_ceil(BLOCK), |sums| {
            if worth_threads(x.len()) {
                let tasks = x.par_chunks(TASK * BLOCK).zip(sums.par_chunks_mut(TASK));
                tasks.for_each(|(x, sums)| first(x, sums));
            } else {
                first(x, sums);
            }
            match sums {
                [] => 0.0,
                [sum] => *sum,
                sums => self.tensor_sum(sums),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::on_every_engine;

    #[test]
    fn row_sums_equal_their_definitions() {
        on_every_engine(|engine, numbers| {
            for length in 0..100 {
                let (x, y) = (numbers.wild(length), numbers.wild(length));
                assert_eq!(engine.sum(&x).to_bits(), definition::sum(&x).to_bits());
                assert_eq!(engine.dot(&x, &y).to_bits(), definition::dot(&x, &y).to_bits());
                assert_eq!(engine.sum_squares(&x).to_bits(), definition::dot(&x, &x).to_bits());
            }
        });
    }

    #[test]
    fn tensor_sums_equal_their_definitions() {
        on_every_engine(|engine, numbers| {
            for length in [0, 1, BLOCK, BLOCK + 1, 40 * BLOCK + numbers.up_to(BLOCK)] {
                let x = numbers.tame(length);
                assert_eq!(engine.tensor_sum(&x).to_bits(), definition::tensor_sum(&x).to_bits());
                let squares = definition::tensor_sum_squares(&x);
                assert_eq!(engine.tensor_sum_squares(&x).to_bits(), squares.to_bits());
            }
        });
    }

    #[test]
    fn three_levels_of_blocks_are_folded_too() {
        let x = vec![1.0; BLOCK * BLOCK + 1];
        assert_eq!(Engine::detect().tensor_sum(&x), 16_777_216.0);
        assert_eq!(Engine::detect().tensor_sum(&x[..BLOCK * BLOCK - 1]), 16_777_215.0);
    }

    #[test]
    fn a_sum_of_negative_zeros_is_zero() {
        let negative_zero = [-0.0; 40];
        assert_eq!(definition::sum(&negative_zero).to_bits(), 0);
        assert_eq!(definition::dot(&negative_zero, &[1.0; 40]).to_bits(), 0);
    }

    #[test]
    fn sums_are_near_the_true_sum() {
        let x: Vec<f32> = (0..100_000).map(|i| (i as f32 * 0.37).fract() - 0.5).collect();
        let truth: f64 = x.iter().map(|&x| f64::from(x)).sum();
        assert!((f64::from(definition::tensor_sum(&x)) - truth).abs() < 1e-2);
    }
}
