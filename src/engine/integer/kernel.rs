//! The inner kernel: a tile of sums held in registers while k runs, and what becomes of the sums.

use crate::engine::machine::{Pair, PairKernel, Pairs, WIDTH};
use crate::engine::matmul::Start;
use crate::engine::matmul::kernel::{Left, Rows, Strided};

/// Two steps of k of the right operand, as a tile reads them.
pub(super) type Row<const NV: usize> = [[Pair; WIDTH]; NV];

/// The sums of a tile.
type Sums<const MR: usize, const NV: usize> = [[[i32; WIDTH]; NV]; MR];

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
    pub panel: &'a [Row<NV>],
    pub to: Part<'a>,
}

/// The part of C that they are.
pub(super) struct Part<'a> {
    /// What an integer of each row is worth.
    pub row_steps: &'a [f32],
    /// And of each of the panel's columns.
    pub column_steps: &'a [f32],
    /// Where the result lies, from the first row and the panel's first column on.
    pub c: &'a mut [f32],
    pub ld: usize,
    pub start: Start,
}

impl<const MR: usize, const NV: usize> PairKernel for Tiles<'_, MR, NV> {
    type Output = ();

    #[inline(always)]
    fn run<P: Pairs>(mut self, pairs: P) {
        let (k, rows) = (self.panel.len(), self.to.row_steps.len());
        let mut sums = [[[0; WIDTH]; NV]; MR];
        for first in (0..rows).step_by(MR) {
            match self.left {
                LeftBlock::Rows(data) => {
                    let left = Rows::<MR, Pair>::new(data, k, first, rows, 0, k);
                    pairs.apart(Tile { left, panel: self.panel, sums: &mut sums });
                }
                LeftBlock::Panels(data) => {
                    let left = Strided { data: &data[first * k..], ld: MR };
                    pairs.apart(Tile { left, panel: self.panel, sums: &mut sums });
                }
            }
            self.to.finish(first, &sums);
        }
    }
}

impl Part<'_> {
    /// A tile's elements, from a row on: their start, and what the sums are worth.
    #[inline(always)]
    pub fn finish<const MR: usize, const NV: usize>(&mut self, first: usize, sums: &Sums<MR, NV>) {
        let rows = self.row_steps[first..].iter().take(MR);
        for (i, (row, sums)) in rows.zip(sums).enumerate() {
            let c = &mut self.c[(first + i) * self.ld..][..self.column_steps.len()];
            let columns = c.iter_mut().zip(sums.as_flattened()).zip(self.column_steps);
            match self.start {
                Start::Zero => columns.for_each(|((c, sum), column)| *c = 0.0 + *sum as f32 * row * column),
                Start::Accumulate => columns.for_each(|((c, sum), column)| *c += *sum as f32 * row * column),
            }
        }
    }
}

/// The sums of a tile. They, and all parts of them, fit 32 bits (`scale`).
struct Tile<'a, L, const MR: usize, const NV: usize> {
    left: L,
    panel: &'a [Row<NV>],
    sums: &'a mut Sums<MR, NV>,
}

impl<L: Left<MR, Pair>, const MR: usize, const NV: usize> PairKernel for Tile<'_, L, MR, NV> {
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
