//! Matrix products of quantised numbers, exact in the integers (arithmetic 2; docs/arithmetic-2.md).
//!
//! Each row of the left operand and each column of the right becomes 14-bit integers by a power of two of its own. Their
//! products and sums are exact, so that their order means nothing: threads, tiles, pieces of k and devices are free. Each
//! element is then rounded once to float, and added to where it starts.

mod definition;
mod digits;
mod kernel;
mod packed;
mod quantise;
mod resident;
mod scale;

use super::machine::{Engine, HEIGHT, Isa, Pair, PairKernel, Pairs, WIDTH};
use super::matmul::{Mat, MatMut, Operand, Start};
use super::scratch;
use digits::{DigitBlock, Planes};
use kernel::{LeftBlock, Part, Row, Tiles};
use packed::{Columns, LeftRows, Packed};
pub(super) use packed::{Side, Slot};
use rayon::prelude::*;
pub(crate) use resident::{PIECE, PLANES, Resident};
pub use scale::{LARGEST, LONGEST};
use std::ops::Range;

impl Engine {
    /// C = A·Bᵀ: `a` \[m × k\], `b` \[n × k\], `c` \[m × n\]. The forward product, with weights \[out × in\].
    pub fn integer_nt(self, a: Mat<'_>, b: Mat<'_>, c: MatMut<'_>, start: Start) {
        self.integer_product("integer_nt", Operand::along(a).into(), Operand::along(b).into(), c, start);
    }

    /// C = A·B: `a` \[m × k\], `b` \[k × n\], `c` \[m × n\]. The gradient of a forward product's input.
    pub fn integer_nn(self, a: Mat<'_>, b: Mat<'_>, c: MatMut<'_>, start: Start) {
        self.integer_product("integer_nn", Operand::along(a).into(), Operand::down(b).into(), c, start);
    }

    /// C = Aᵀ·B: `a` \[k × m\], `b` \[k × n\], `c` \[m × n\]. The gradient of the weights, k over the tokens of a block.
    pub fn integer_tn(self, a: Mat<'_>, b: Mat<'_>, c: MatMut<'_>, start: Start) {
        self.integer_product("integer_tn", Operand::down(a).into(), Operand::down(b).into(), c, start);
    }

    /// The product of operands that may keep their integers for others.
    pub(super) fn integer_product(self, name: &str, a: Side<'_>, b: Side<'_>, c: MatMut<'_>, start: Start) {
        let k = a.operand.k_with(b.operand, &c, name);
        assert!(k <= LONGEST, "an integer product runs over at most {LONGEST} steps, not {k}");
        if self.isa() == Isa::Definition {
            return self.define(|| definition::product(k, a.operand, b.operand, c, start));
        }
        if c.rows == 0 || c.cols == 0 {
            return;
        }
        if k == 0 {
            // The sum of nothing, 0, is added as any other: -0 does not stay.
            let MatMut { data, rows, cols, ld } = c;
            let from = |x: f32| if start == Start::Zero { 0.0 } else { x + 0.0 };
            return (0..rows).for_each(|i| data[i * ld..][..cols].iter_mut().for_each(|x| *x = from(*x)));
        }
        match self.isa() {
            Isa::Avx512 => self.in_blocks::<12, 2, 32>(k, a, b, c, start),
            _ => self.in_blocks::<6, 1, 16>(k, a, b, c, start),
        }
    }

    /// Columns of B become panels; threads share out blocks of rows of C, each of which is quantised, if it is not yet, and
    /// then runs along all panels. NR is NV vectors.
    fn in_blocks<const MR: usize, const NV: usize, const NR: usize>(
        self,
        k: usize,
        a: Side<'_>,
        b: Side<'_>,
        c: MatMut<'_>,
        start: Start,
    ) {
        let MatMut { data: c, rows: m, cols: n, ld } = c;
        let pairs = k.div_ceil(2);
        let threads = rayon::current_num_threads();
        let parallel = threads > 1 && m * n * k > PARALLEL;
        let rows = (LEFT / pairs).clamp(MR, MC) / MR * MR;
        let rows = if parallel { m.div_ceil(4 * threads).next_multiple_of(MR).min(rows) } else { rows };
        let c = &mut c[..(m - 1) * ld + n];
        let left = match a.slot.filter(|_| a.operand.k_along_rows) {
            None => Left::Operand(a.operand),
            Some(slot) => {
                let quantise =
                    |room: &mut _, steps: &mut _| self.quantise_left(k, a.operand.mat, room, steps, parallel);
                Left::Packed(slot.get(m * pairs, m, quantise))
            }
        };
        let mut blocks = |first: usize, right: Right<'_>| {
            let block = |(i, c): (usize, &mut [f32])| {
                let (first_row, c) = (i * rows, &mut c[first..]);
                let block = first_row..m.min(first_row + rows);
                self.block_of_rows::<MR, NV>(k, left, block, right, c, ld, start);
            };
            if parallel {
                c.par_chunks_mut(rows * ld).enumerate().for_each(block);
            } else {
                c.chunks_mut(rows * ld).enumerate().for_each(block);
            }
        };
        let mut pass = |first: usize, right: Packed<'_>| match self.digits() {
            None => blocks(first, Right::Pairs(right)),
            Some(digits) => {
                assert_eq!((MR, NR), (HEIGHT, WIDTH), "a tile of digits");
                digits::split_right(digits, pairs, right, parallel, |planes| blocks(first, Right::Digits(planes)));
            }
        };
        let columns = (RIGHT / pairs / NR).max(1) * NR;
        let quantise = |first: usize, panels: &mut _, steps: &mut _| {
            self.quantise_right::<NR>(k, b.operand, first, panels, steps, parallel);
        };
        if let Some(slot) = b.slot {
            let Packed { pairs: panels, steps } =
                slot.get(n.next_multiple_of(NR) * pairs, n, |panels, steps| quantise(0, panels, steps));
            for (i, (panels, steps)) in panels.chunks(columns * pairs).zip(steps.chunks(columns)).enumerate() {
                pass(i * columns, Packed { pairs: panels, steps });
            }
            return;
        }
        for first in (0..n).step_by(columns) {
            let columns = columns.min(n - first);
            scratch::with(columns, |steps: &mut [f32]| {
                scratch::with(columns.next_multiple_of(NR) * pairs, |panels: &mut [Pair]| {
                    quantise(first, panels, steps);
                    pass(first, Packed { pairs: panels, steps });
                });
            });
        }
    }

    fn block_of_rows<const MR: usize, const NV: usize>(
        self,
        k: usize,
        left: Left<'_>,
        rows: Range<usize>,
        right: Right<'_>,
        c: &mut [f32],
        ld: usize,
        start: Start,
    ) {
        let pairs = k.div_ceil(2);
        let mut run = |left: LeftBlock<'_>, steps: &[f32]| match right {
            Right::Pairs(right) => {
                self.dispatch_pairs(BlockOfRows::<MR, NV> { left, steps, right, pairs, c, ld, start });
            }
            Right::Digits(right) => self.define(|| DigitBlock { left, steps, right, pairs, c, ld, start }.run()),
        };
        let a = match left {
            Left::Operand(a) => a,
            Left::Packed(left) => {
                let block = &left.pairs[rows.start * pairs..rows.end * pairs];
                return run(LeftBlock::Rows(block), &left.steps[rows]);
            }
        };
        let mut steps = [0.0; MC];
        let steps = &mut steps[..rows.len()];
        scratch::with(rows.len().next_multiple_of(MR) * pairs, |room: &mut [Pair]| {
            let Mat { data, ld, .. } = a.mat;
            if a.k_along_rows {
                let room = &mut room[..rows.len() * pairs];
                self.dispatch(LeftRows { x: &data[rows.start * ld..], ld, k, room, steps });
                run(LeftBlock::Rows(room), steps);
            } else {
                self.dispatch(Columns::<MR> { x: &data[rows.start..], ld, k, panels: room, steps });
                run(LeftBlock::Panels(room), steps);
            }
        });
    }
}

/// The left operand, quantised or not.
#[derive(Clone, Copy)]
enum Left<'a> {
    Operand(Operand<'a>),
    Packed(Packed<'a>),
}

/// The right operand, as the kernel takes it.
#[derive(Clone, Copy)]
enum Right<'a> {
    Pairs(Packed<'a>),
    Digits(Planes<'a>),
}

/// Pairs of a block of the left operand: with a panel it fits a second-level cache of half a MiB.
const LEFT: usize = 64 << 10;
/// Rows of C in a block.
const MC: usize = 120;
/// Pairs of the right operand that are read at a time, by one block of rows after the other.
const RIGHT: usize = 1 << 20;
/// Multiply-adds from which threads are worth their start.
const PARALLEL: usize = 1 << 20;

/// A block of rows of C, along all panels.
struct BlockOfRows<'a, const MR: usize, const NV: usize> {
    left: LeftBlock<'a>,
    steps: &'a [f32],
    right: Packed<'a>,
    pairs: usize,
    c: &'a mut [f32],
    ld: usize,
    start: Start,
}

impl<const MR: usize, const NV: usize> PairKernel for BlockOfRows<'_, MR, NV> {
    type Output = ();

    #[inline(always)]
    fn run<P: Pairs>(self, pairs: P) {
        let nr = NV * WIDTH;
        let Packed { pairs: panels, steps } = self.right;
        let panels = panels.chunks_exact(nr * self.pairs).zip(steps.chunks(nr));
        for (j, (panel, column_steps)) in panels.enumerate() {
            let panel: &[Row<NV>] = panel.as_chunks::<WIDTH>().0.as_chunks().0;
            let c = &mut self.c[j * nr..];
            let to = Part { row_steps: self.steps, column_steps, c, ld: self.ld, start: self.start };
            Tiles::<MR, NV> { left: self.left, panel, to }.run(pairs);
        }
    }
}

#[cfg(test)]
mod tests;
