//! The inner kernel: a tile of sums held in registers while k runs, and what becomes of the sums.

use super::bound::Facts;
use crate::engine::machine::{Pair, PairKernel, Pairs, WIDTH};
use crate::engine::matmul::Start;
use crate::engine::matmul::kernel::{Left, Rows, Strided};

/// Two steps of k of the right operand, as a tile reads them.
pub(super) type Row<const NV: usize> = [[Pair; WIDTH]; NV];

/// The sums of a tile.
type Sums<T, const MR: usize, const NV: usize> = [[[T; WIDTH]; NV]; MR];

/// The quantised left operand: some rows of the result.
#[derive(Clone, Copy)]
pub(super) enum LeftBlock<'a> {
    /// Row after row.
    Rows(&'a [Pair]),
    /// In panels of a tile's rows.
    Panels(&'a [Pair]),
}

/// Some rows of C against one panel of the right operand.
pub(super) struct Tiles<'a, const MR: usize, const NV: usize> {
    pub left: LeftBlock<'a>,
    /// Steps of the rows, and facts of each MR of them.
    pub row_steps: &'a [f32],
    pub row_facts: &'a [Facts],
    /// The panel, its columns' steps, and its facts.
    pub panel: &'a [Row<NV>],
    pub column_steps: &'a [f32],
    pub column_facts: &'a Facts,
    /// Where the result lies, from the first row and the panel's first column on.
    pub c: &'a mut [f32],
    pub ld: usize,
    pub start: Start,
}

impl<const MR: usize, const NV: usize> PairKernel for Tiles<'_, MR, NV> {
    type Output = ();

    #[inline(always)]
    fn run<P: Pairs>(mut self, pairs: P) {
        let (k, rows) = (self.panel.len(), self.row_steps.len());
        let mut sums = [[[0; WIDTH]; NV]; MR];
        for (first, facts) in (0..rows).step_by(MR).zip(self.row_facts) {
            match self.left {
                LeftBlock::Rows(data) => {
                    let left = Rows::<MR, Pair>::new(data, k, first, rows, 0, k);
                    self.tile(pairs, first, facts, left, &mut sums);
                }
                LeftBlock::Panels(data) => {
                    let left = Strided { data: &data[first * k..], ld: MR };
                    self.tile(pairs, first, facts, left, &mut sums);
                }
            }
        }
    }
}

impl<const MR: usize, const NV: usize> Tiles<'_, MR, NV> {
    #[inline(always)]
    fn tile<P: Pairs, L: Left<MR, Pair>>(
        &mut self,
        pairs: P,
        first: usize,
        facts: &Facts,
        left: L,
        sums: &mut Sums<i32, MR, NV>,
    ) {
        let k = self.panel.len();
        let steps = facts.steps_in_a_sum(self.column_facts, 2 * k);
        if steps >= 2 * k {
            pairs.apart(Piece { left, panel: self.panel, sums });
            if facts.floats_scale(self.column_facts) {
                return self.finish(first, sums, |sum, row, column| sum as f32 * (row * column));
            }
            return self.finish(first, sums, |sum, row, column| scaled(f64::from(sum), row, column));
        }
        let mut totals = [[[0f64; WIDTH]; NV]; MR];
        for from in (0..k).step_by(steps / 2) {
            let length = (steps / 2).min(k - from);
            let panel = &self.panel[from..][..length];
            pairs.apart(Piece { left: left.window(from, length), panel, sums });
            for (total, sum) in totals.as_flattened_mut().as_flattened_mut().iter_mut().zip(sums.as_flattened().as_flattened()) {
                *total += f64::from(*sum);
            }
        }
        self.finish(first, &totals, scaled);
    }

    /// The tile's part of C: its start, and what the sums are worth.
    #[inline(always)]
    fn finish<T: Copy>(&mut self, first: usize, sums: &Sums<T, MR, NV>, worth: impl Fn(T, f32, f32) -> f32) {
        let rows = self.row_steps[first..].iter().take(MR);
        for (i, (row, sums)) in rows.zip(sums).enumerate() {
            let c = &mut self.c[(first + i) * self.ld..][..self.column_steps.len()];
            let sums = sums.as_flattened();
            match self.start {
                Start::Zero => {
                    for ((c, sum), column) in c.iter_mut().zip(sums).zip(self.column_steps) {
                        *c = 0.0 + worth(*sum, *row, *column);
                    }
                }
                Start::Accumulate => {
                    for ((c, sum), column) in c.iter_mut().zip(sums).zip(self.column_steps) {
                        *c += worth(*sum, *row, *column);
                    }
                }
            }
        }
    }
}

/// A sum times the two steps, rounded once.
#[inline(always)]
fn scaled(sum: f64, row: f32, column: f32) -> f32 {
    (sum * (f64::from(row) * f64::from(column))) as f32
}

/// Sums over a piece of k that 32 bits hold.
struct Piece<'a, L, const MR: usize, const NV: usize> {
    left: L,
    panel: &'a [Row<NV>],
    sums: &'a mut Sums<i32, MR, NV>,
}

impl<L: Left<MR, Pair>, const MR: usize, const NV: usize> PairKernel for Piece<'_, L, MR, NV> {
    type Output = ();

    #[inline(always)]
    fn run<P: Pairs>(self, pairs: P) {
        let mut sums = [[pairs.zero(); NV]; MR];
        let left = self.left.window(0, self.panel.len());
        for (p, row) in self.panel.iter().enumerate() {
            let mut right = [pairs.right(&row[0]); NV];
            for (right, row) in right.iter_mut().zip(row) {
                *right = pairs.right(row);
            }
            for (sums, left) in sums.iter_mut().zip(left.column(p)) {
                let left = pairs.left(left);
                for (sums, right) in sums.iter_mut().zip(right) {
                    *sums = pairs.dot(*sums, left, right);
                }
            }
        }
        for (sums, to) in sums.into_iter().zip(self.sums) {
            for (sums, to) in sums.into_iter().zip(to) {
                pairs.store(sums, to);
            }
        }
    }
}
