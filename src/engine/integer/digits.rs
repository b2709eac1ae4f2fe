//! The product by digits, where the processor multiplies 8-bit integers faster than 16-bit ones.
//!
//! To the base 128 and balanced, q = 128 q1 + q0, and Karatsuba's three products of digits give that of the integers: with
//! H = Σ a1 b1, L = Σ a0 b0 and M = Σ (a1 + a0)(b1 + b0) it is 2^14 H + 2^7 (M - H - L) + L. All of it is modulo 2^32, which the
//! sum itself fits (`scale`), whether the three do or not.

use super::kernel::{LeftBlock, Part};
use super::packed::Packed;
use crate::engine::machine::{Digits, HEIGHT, Pair, WIDTH};
use crate::engine::matmul::Start;
use crate::engine::matmul::kernel::{Left, Rows, Strided};
use crate::engine::scratch;
use rayon::prelude::*;

/// What enters the three products: a vector's high digits, its low ones, their sums.
const PLANES: usize = 3;

/// The right operand's digits: panel after panel, in each plane after plane.
#[derive(Clone, Copy)]
pub(super) struct Planes<'a> {
    digits: Digits,
    planes: &'a [i8],
    /// What an integer of each column is worth.
    steps: &'a [f32],
}

/// Digits of so many vectors: k fills whole groups.
fn digits_of(digits: Digits, pairs: usize, vectors: usize) -> usize {
    PLANES * vectors * (2 * pairs).next_multiple_of(digits.steps())
}

/// Runs `work` with the digits of the right operand.
pub(super) fn split_right<T>(
    digits: Digits,
    pairs: usize,
    right: Packed<'_>,
    parallel: bool,
    work: impl FnOnce(Planes<'_>) -> T,
) -> T {
    let Packed { pairs: panels, steps } = right;
    let (panel, length) = (pairs * WIDTH, digits_of(digits, pairs, WIDTH));
    scratch::with(panels.len() / panel * length, |planes: &mut [i8]| {
        let task = |(panel, planes): (&[Pair], &mut [i8])| {
            split::<WIDTH>(digits, Strided { data: panel, ld: WIDTH }, pairs, planes);
        };
        if parallel {
            panels.par_chunks_exact(panel).zip(planes.par_chunks_exact_mut(length)).for_each(task);
        } else {
            panels.chunks_exact(panel).zip(planes.chunks_exact_mut(length)).for_each(task);
        }
        work(Planes { digits, planes, steps })
    })
}

/// A block of rows of C, along all panels.
pub(super) struct DigitBlock<'a> {
    pub left: LeftBlock<'a>,
    pub steps: &'a [f32],
    pub right: Planes<'a>,
    pub pairs: usize,
    pub c: &'a mut [f32],
    pub ld: usize,
    pub start: Start,
}

impl DigitBlock<'_> {
    /// Splits the left operand, which all panels then meet.
    pub fn run(self) {
        let Planes { digits, planes: panels, steps: column_steps } = self.right;
        let (rows, pairs) = (self.steps.len(), self.pairs);
        let [height, width] = [HEIGHT, WIDTH].map(|vectors| digits_of(digits, pairs, vectors));
        scratch::with(rows.div_ceil(HEIGHT) * height, |left: &mut [i8]| {
            for (i, planes) in left.chunks_exact_mut(height).enumerate() {
                let first = i * HEIGHT;
                match self.left {
                    LeftBlock::Rows(data) => {
                        let rows = Rows::<HEIGHT, Pair>::new(data, pairs, first, rows, 0, pairs);
                        split(digits, rows, pairs, planes);
                    }
                    LeftBlock::Panels(data) => {
                        let panel = Strided { data: &data[first * pairs..], ld: HEIGHT };
                        split::<HEIGHT>(digits, panel, pairs, planes);
                    }
                }
            }
            let panels = panels.chunks_exact(width).zip(column_steps.chunks(WIDTH));
            for (j, (panel, column_steps)) in panels.enumerate() {
                let c = &mut self.c[j * WIDTH..];
                let mut to = Part { row_steps: self.steps, column_steps, c, ld: self.ld, start: self.start };
                for (i, left) in left.chunks_exact(height).enumerate() {
                    to.finish(i * HEIGHT, &tile(digits, left, panel));
                }
            }
        });
    }
}

/// A tile's sums, from the digits of its rows and columns.
fn tile(digits: Digits, left: &[i8], right: &[i8]) -> [[[i32; WIDTH]; 1]; HEIGHT] {
    let plane = |i: usize| {
        let [left, right] = [left, right].map(|all| &all[i * (all.len() / PLANES)..][..all.len() / PLANES]);
        digits.tile(left, right)
    };
    let [high, low, sums] = [0, 1, 2].map(plane);
    let mut tile = [[[0; WIDTH]; 1]; HEIGHT];
    let parts = high.as_flattened().iter().zip(low.as_flattened()).zip(sums.as_flattened());
    for (to, ((high, low), sum)) in tile.as_flattened_mut().as_flattened_mut().iter_mut().zip(parts) {
        let middle = sum.wrapping_sub(*high).wrapping_sub(*low);
        *to = (high << 14).wrapping_add(middle << 7).wrapping_add(*low);
    }
    tile
}

/// The digits of W vectors, in the order in which an instruction takes them.
fn split<const W: usize>(digits: Digits, vectors: impl Left<W, Pair>, pairs: usize, planes: &mut [i8]) {
    match digits.steps() {
        4 => in_groups::<W, 2>(vectors, pairs, planes),
        8 => in_groups::<W, 4>(vectors, pairs, planes),
        steps => unreachable!("no instruction takes {steps} steps"),
    }
}

/// In groups of so many pairs; those beyond the last one are zeros.
#[inline(always)]
fn in_groups<const W: usize, const PAIRS: usize>(vectors: impl Left<W, Pair>, pairs: usize, planes: &mut [i8]) {
    let (high, rest) = planes.split_at_mut(planes.len() / PLANES);
    let (low, sum) = rest.split_at_mut(rest.len() / 2);
    let planes = [high, low, sum].map(|plane| plane.as_chunks_mut::<2>().0.as_chunks_mut::<PAIRS>().0);
    let [high, low, sum] = planes.map(|plane| plane.as_chunks_mut::<W>().0.iter_mut());
    for (group, ((high, low), sum)) in high.zip(low).zip(sum).enumerate() {
        let mut integers = [[[0; 2]; PAIRS]; W];
        for (i, p) in (group * PAIRS..pairs).take(PAIRS).enumerate() {
            for (integers, pair) in integers.iter_mut().zip(vectors.column(p)) {
                integers[i] = pair;
            }
        }
        let [high, low, sum] = [high, low, sum].map(|plane| plane.as_flattened_mut().as_flattened_mut().iter_mut());
        let integers = integers.as_flattened().as_flattened();
        for (((q, high), low), sum) in integers.iter().zip(high).zip(low).zip(sum) {
            [*high, *low] = digits(*q);
            *sum = high.wrapping_add(*low);
        }
    }
}

/// An integer's balanced digits to the base 128. What a number that is not finite became is no matter.
#[inline(always)]
fn digits(q: i16) -> [i8; 2] {
    // The low one is the low seven bits with a sign, the high one the rest, by 128.
    [(q.wrapping_add(64) >> 7) as i8, (q << 9 >> 9) as i8]
}

#[cfg(test)]
mod tests {
    use super::super::LARGEST;
    use super::*;

    #[test]
    fn digits_are_balanced_and_their_sums_fit_8_bits() {
        for q in -LARGEST..=LARGEST {
            let [q1, q0] = digits(q as i16).map(i32::from);
            assert_eq!(128 * q1 + q0, q);
            assert!([q1, q0].iter().all(|digit| (-64..64).contains(digit)), "{q}: {q1}, {q0}");
            assert!(i8::try_from(q1 + q0).is_ok(), "{q}");
        }
    }

    #[test]
    fn digits_lie_in_groups_of_k_of_each_vector() {
        let pairs: Vec<Pair> = (0..5 * 3i16).map(|i| [1000 * i - 8000, 7 - 500 * i]).collect();
        let mut planes = [1; 3 * 3 * 16];
        in_groups::<3, 4>(Strided { data: &pairs, ld: 3 }, 5, &mut planes);
        for i in 0..48 {
            let [high, low, sum] = [0, 48, 96].map(|plane| planes[plane + i]);
            let (group, vector, step) = (i / 24, i / 8 % 3, i % 8);
            let q = pairs.get((group * 4 + step / 2) * 3 + vector).map_or(0, |pair| pair[step % 2]);
            assert_eq!(([high, low], sum), (digits(q), high.wrapping_add(low)), "digit {i}");
        }
    }
}
