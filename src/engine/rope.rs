//! Rotary position embedding (Su et al., "RoFormer", 2021, equation 34), in the layout of Hugging Face's Llama: element
//! i of a head's first half is paired with element i of its second half.

use super::elementwise::worth_threads;
use super::machine::{Engine, Isa, kernel};
use super::rope_scaling::RopeScaling;
use rayon::prelude::*;

/// Cosines and sines for each position and each pair of a head.
#[derive(Clone, Debug, PartialEq)]
pub struct RopeTable {
    head_dim: usize,
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl RopeTable {
    /// The table for positions 0 to `seq_len` - 1 and heads of `head_dim` (even): in f64 with `libm`, rounded once. The angle
    /// of pair i at position t is t / theta^(2i / head_dim), where `theta` is the config's `rope_theta`.
    pub fn new(seq_len: usize, head_dim: usize, theta: f64, scaling: Option<RopeScaling>) -> RopeTable {
        assert!(head_dim > 0 && head_dim.is_multiple_of(2), "rope: a head of {head_dim} does not fall into pairs");
        let plain = |i| 1.0 / libm::pow(theta, (2 * i) as f64 / head_dim as f64);
        let mut frequencies: Vec<f64> = (0..head_dim / 2).map(plain).collect();
        let mut length = 1.0;
        if let Some(scaling) = scaling {
            scaling.stretch(theta, &mut frequencies);
            length = scaling.attention_factor();
        }
        let angles = (0..seq_len).flat_map(|t| frequencies.iter().map(move |f| t as f64 * f));
        let entry = |angle| ((libm::cos(angle) * length) as f32, (libm::sin(angle) * length) as f32);
        let (cos, sin) = angles.map(entry).unzip();
        RopeTable { head_dim, cos, sin }
    }

    /// The number of positions.
    pub fn seq_len(&self) -> usize {
        self.cos.len() / (self.head_dim / 2)
    }

    /// The size of a head.
    pub fn head_dim(&self) -> usize {
        self.head_dim
    }

    /// Cosines \[seq_len × head_dim / 2\].
    pub fn cos(&self) -> &[f32] {
        &self.cos
    }

    /// Sines \[seq_len × head_dim / 2\].
    pub fn sin(&self) -> &[f32] {
        &self.sin
    }
}

/// The plain scalar definitions.
pub mod definition {
    use super::RopeTable;

    /// A pair turned by the angle of cosine `c` and sine `s`.
    #[inline(always)]
    pub fn turn(low: f32, high: f32, c: f32, s: f32) -> (f32, f32) {
        (low.mul_add(c, -(high * s)), high.mul_add(c, low * s))
    }

    /// A pair turned back.
    #[inline(always)]
    pub fn turn_back(low: f32, high: f32, c: f32, s: f32) -> (f32, f32) {
        (low.mul_add(c, high * s), high.mul_add(c, -(low * s)))
    }

    fn every_pair(table: &RopeTable, width: usize, x: &mut [f32], turn: impl Fn(f32, f32, f32, f32) -> (f32, f32)) {
        let half = table.head_dim / 2;
        for (token, x) in x.chunks_mut(width).enumerate() {
            let angles = token % table.seq_len() * half;
            for head in x.chunks_mut(2 * half) {
                for i in 0..half {
                    let (c, s) = (table.cos[angles + i], table.sin[angles + i]);
                    (head[i], head[i + half]) = turn(head[i], head[i + half], c, s);
                }
            }
        }
    }

    /// Every pair of `x` turned by its position's angle.
    pub fn forward(table: &RopeTable, width: usize, x: &mut [f32]) {
        every_pair(table, width, x, turn);
    }

    /// Every pair of the gradient `x` turned back.
    pub fn backward(table: &RopeTable, width: usize, x: &mut [f32]) {
        every_pair(table, width, x, turn_back);
    }
}

/// Rows from token `first` on.
#[inline(always)]
fn rotate<const BACK: bool>(table: &RopeTable, width: usize, first: usize, x: &mut [f32]) {
    let half = table.head_dim / 2;
    for (row, x) in x.chunks_exact_mut(width).enumerate() {
        let angles = (first + row) % table.seq_len() * half;
        let (cos, sin) = (&table.cos[angles..][..half], &table.sin[angles..][..half]);
        for head in x.chunks_exact_mut(2 * half) {
            let (low, high) = head.split_at_mut(half);
            for (((low, high), &c), &s) in low.iter_mut().zip(high).zip(cos).zip(sin) {
                (*low, *high) =
                    if BACK { definition::turn_back(*low, *high, c, s) } else { definition::turn(*low, *high, c, s) };
            }
        }
    }
}

kernel!(Forward<'a> { table: &'a RopeTable, width: usize, first: usize, x: &'a mut [f32] } -> () =
    rotate::<false>(table, width, first, x));
kernel!(Backward<'a> { table: &'a RopeTable, width: usize, first: usize, x: &'a mut [f32] } -> () =
    rotate::<true>(table, width, first, x));

impl Engine {
    /// Rotates every head of `x` \[tokens × width\], in place, by the angles of its position: the token's index modulo
    /// the table's length. `width` is a multiple of the head size.
    pub fn rope(self, table: &RopeTable, width: usize, x: &mut [f32]) {
        check(table, width, x);
        if self.isa() == Isa::Definition {
            return self.define(|| definition::forward(table, width, x));
        }
        in_rows(width, x, |first, x| self.dispatch(Forward { table, width, first, x }));
    }

    /// The transpose of [`Engine::rope`], for gradients: rotates back.
    pub fn rope_backward(self, table: &RopeTable, width: usize, x: &mut [f32]) {
        check(table, width, x);
        if self.isa() == Isa::Definition {
            return self.define(|| definition::backward(table, width, x));
        }
        in_rows(width, x, |first, x| self.dispatch(Backward { table, width, first, x }));
    }
}

fn check(table: &RopeTable, width: usize, x: &[f32]) {
    assert!(width > 0 && width.is_multiple_of(table.head_dim), "rope: a row of {width} in heads of {}", table.head_dim);
    assert!(x.len().is_multiple_of(width), "rope: whole rows of {width}");
    assert!(x.is_empty() || table.seq_len() > 0, "rope: a table of at least one position");
}

fn in_rows(width: usize, x: &mut [f32], work: impl Fn(usize, &mut [f32]) + Sync) {
    if worth_threads(x.len()) {
        let rows = (1usize << 13).div_ceil(width);
        x.par_chunks_mut(rows * width).enumerate().for_each(|(block, x)| work(block * rows, x));
    } else {
        work(0, x);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::{assert_same_bits, on_every_engine};

    #[test]
    fn both_passes_equal_their_definitions() {
        on_every_engine(|engine, numbers| {
            for (tokens, heads) in [(1, 1), (40, 3), (90, 11)] {
                let head_dim = 2 * numbers.up_to(40);
                let table = RopeTable::new(1 + tokens / 3, head_dim, 1e4, None);
                let width = heads * head_dim;
                let x = numbers.wild(tokens * width);
                let run = |engine: Engine| {
                    let (mut y, mut z) = (x.clone(), x.clone());
                    engine.rope(&table, width, &mut y);
                    engine.rope_backward(&table, width, &mut z);
                    [y, z]
                };
                for (ours, truth) in run(engine).iter().zip(&run(Engine::definition())) {
                    assert_same_bits("rope", ours, truth);
                }
            }
        });
    }

    #[test]
    fn turning_back_undoes_turning_and_is_its_transpose() {
        let table = RopeTable::new(7, 6, 1e4, None);
        let x: Vec<f32> = (0..7 * 12).map(|i| (i as f32).sin()).collect();
        let y: Vec<f32> = (0..7 * 12).map(|i| (i as f32 * 0.3).cos()).collect();
        let (mut turned, mut back) = (x.clone(), y.clone());
        definition::forward(&table, 12, &mut turned);
        definition::backward(&table, 12, &mut back);
        let inner = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        assert!((inner(&turned, &y) - inner(&x, &back)).abs() < 1e-5);
        definition::backward(&table, 12, &mut turned);
        assert!(x.iter().zip(&turned).all(|(x, z)| (x - z).abs() < 1e-6));
    }

    #[test]
    fn the_table_holds_the_angles_of_the_formula() {
        let table = RopeTable::new(100, 8, 1e4, None);
        // Position 99, pair 1: 99 / 10000^(2/8) = 9.9.
        assert_eq!(table.cos()[99 * 4 + 1], libm::cos(9.9) as f32);
        assert_eq!(table.sin()[99 * 4 + 1], libm::sin(9.9) as f32);
        assert_eq!((table.seq_len(), table.head_dim()), (100, 8));
    }
}
