//! Matrix products of quantised numbers, exact in the integers (arithmetic 2; docs/arithmetic-2.md).
//!
//! Each row of the left operand and each column of the right becomes 14-bit integers by a power of two of its own. Their
//! products and sums are exact, so that their order means nothing: threads, tiles, pieces of k and devices are free. Each
//! element is then rounded once to float, and added to where it starts.

mod definition;
mod kernel;
mod quantise;
mod scale;

use super::machine::{Engine, Isa, Kernel, Pair, PairKernel, Pairs, Simd, WIDTH};
use super::matmul::{Mat, MatMut, Operand, Start};
use super::scratch;
use kernel::{LeftBlock, Row, Tiles};
use rayon::prelude::*;
pub use scale::{LARGEST, LONGEST};

impl Engine {
    /// C = A·Bᵀ: `a` \[m × k\], `b` \[n × k\], `c` \[m × n\]. The forward product, with weights \[out × in\].
    pub fn integer_nt(self, a: Mat<'_>, b: Mat<'_>, c: MatMut<'_>, start: Start) {
        self.integer_product("integer_nt", Operand::along(a), Operand::along(b), c, start);
    }

    /// C = A·B: `a` \[m × k\], `b` \[k × n\], `c` \[m × n\]. The gradient of a forward product's input.
    pub fn integer_nn(self, a: Mat<'_>, b: Mat<'_>, c: MatMut<'_>, start: Start) {
        self.integer_product("integer_nn", Operand::along(a), Operand::down(b), c, start);
    }

    /// C = Aᵀ·B: `a` \[k × m\], `b` \[k × n\], `c` \[m × n\]. The gradient of the weights, k over the tokens of a block.
    pub fn integer_tn(self, a: Mat<'_>, b: Mat<'_>, c: MatMut<'_>, start: Start) {
        self.integer_product("integer_tn", Operand::down(a), Operand::down(b), c, start);
    }

    fn integer_product(self, name: &str, a: Operand<'_>, b: Operand<'_>, c: MatMut<'_>, start: Start) {
        let k = a.k_with(b, &c, name);
        assert!(k <= LONGEST, "an integer product runs over at most {LONGEST} steps, not {k}");
        if self.isa() == Isa::Definition {
            return self.define(|| definition::product(k, a, b, c, start));
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

    /// Columns of B become panels; threads share out blocks of rows of C, each of which is quantised and then runs along all
    /// panels. NR is NV vectors.
    fn in_blocks<const MR: usize, const NV: usize, const NR: usize>(
        self,
        k: usize,
        a: Operand<'_>,
        b: Operand<'_>,
        c: MatMut<'_>,
        start: Start,
    ) {
        let MatMut { data: c, rows: m, cols: n, ld } = c;
        let pairs = k.div_ceil(2);
        let threads = rayon::current_num_threads();
        let parallel = threads > 1 && m * n * k > PARALLEL;
        let rows = (LEFT / pairs).clamp(MR, MC) / MR * MR;
        let rows = if parallel { m.div_ceil(4 * threads).next_multiple_of(MR).min(rows) } else { rows };
        let columns = (RIGHT / pairs / NR).max(1) * NR;
        let c = &mut c[..(m - 1) * ld + n];
        for first in (0..n).step_by(columns) {
            let columns = columns.min(n - first);
            scratch::with(columns, |steps: &mut [f32]| {
                scratch::with(columns.next_multiple_of(NR) * pairs, |panels: &mut [Pair]| {
                    self.quantise_right::<NR>(k, b, first, panels, steps, parallel);
                    let (panels, steps) = (&*panels, &*steps);
                    let block = |(i, c): (usize, &mut [f32])| {
                        let first_row = i * rows;
                        let rows = rows.min(m - first_row);
                        let right = Right { panels, steps };
                        self.block_of_rows::<MR, NV>(k, a, first_row, rows, right, &mut c[first..], ld, start);
                    };
                    if parallel {
                        c.par_chunks_mut(rows * ld).enumerate().for_each(block);
                    } else {
                        c.chunks_mut(rows * ld).enumerate().for_each(block);
                    }
                });
            });
        }
    }

    fn quantise_right<const NR: usize>(
        self,
        k: usize,
        b: Operand<'_>,
        first: usize,
        panels: &mut [Pair],
        steps: &mut [f32],
        parallel: bool,
    ) {
        let pairs = k.div_ceil(2);
        let Mat { data, ld, .. } = b.mat;
        // A task takes some panels.
        let width =
            if parallel { RIGHT_TASK.div_ceil(pairs * NR).max(1) * NR } else { steps.len().next_multiple_of(NR) };
        let task = |(i, (panels, steps)): (usize, (&mut [Pair], &mut [f32]))| {
            let first = first + i * width;
            if b.k_along_rows {
                scratch::with(NR * pairs, |room| {
                    self.dispatch(RightRows::<NR> { x: &data[first * ld..], ld, k, room, panels, steps });
                });
            } else {
                self.dispatch(Columns::<NR> { x: &data[first..], ld, k, panels, steps });
            }
        };
        if parallel {
            let parts = panels.par_chunks_mut(width * pairs).zip(steps.par_chunks_mut(width));
            parts.enumerate().for_each(task);
        } else {
            task((0, (panels, steps)));
        }
    }

    fn block_of_rows<const MR: usize, const NV: usize>(
        self,
        k: usize,
        a: Operand<'_>,
        first: usize,
        rows: usize,
        right: Right<'_>,
        c: &mut [f32],
        ld: usize,
        start: Start,
    ) {
        let mut steps = [0.0; MC];
        let steps = &mut steps[..rows];
        let pairs = k.div_ceil(2);
        scratch::with(rows.next_multiple_of(MR) * pairs, |room: &mut [Pair]| {
            let Mat { data, ld: a_ld, .. } = a.mat;
            let left = if a.k_along_rows {
                let room = &mut room[..rows * pairs];
                self.dispatch(LeftRows { x: &data[first * a_ld..], ld: a_ld, k, room, steps });
                LeftBlock::Rows(room)
            } else {
                self.dispatch(Columns::<MR> { x: &data[first..], ld: a_ld, k, panels: room, steps });
                LeftBlock::Panels(room)
            };
            self.dispatch_pairs(BlockOfRows::<MR, NV> { left, steps, right, pairs, c, ld, start });
        });
    }
}

/// Pairs of a block of the left operand: with a panel it fits a second-level cache of half a MiB.
const LEFT: usize = 64 << 10;
/// Rows of C in a block.
const MC: usize = 120;
/// Pairs of the right operand that are quantised at a time: the left one is quantised once for each.
const RIGHT: usize = 1 << 20;
/// Pairs that a thread quantises at a time.
const RIGHT_TASK: usize = 1 << 14;
/// Multiply-adds from which threads are worth their start.
const PARALLEL: usize = 1 << 20;

/// The right operand, quantised.
#[derive(Clone, Copy)]
struct Right<'a> {
    panels: &'a [Pair],
    steps: &'a [f32],
}

/// Rows of the left operand, row after row.
struct LeftRows<'a> {
    x: &'a [f32],
    ld: usize,
    k: usize,
    room: &'a mut [Pair],
    steps: &'a mut [f32],
}

impl Kernel for LeftRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let rows = self.room.chunks_exact_mut(self.k.div_ceil(2)).zip(self.steps);
        for (i, (row, step)) in rows.enumerate() {
            *step = quantise::row(&self.x[i * self.ld..][..self.k], row);
        }
    }
}

/// Rows of the right operand, as panels of NR.
struct RightRows<'a, const NR: usize> {
    x: &'a [f32],
    ld: usize,
    k: usize,
    room: &'a mut [Pair],
    panels: &'a mut [Pair],
    steps: &'a mut [f32],
}

impl<const NR: usize> Kernel for RightRows<'_, NR> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let panels = self.panels.chunks_exact_mut(NR * self.k.div_ceil(2)).zip(self.steps.chunks_mut(NR));
        for (i, (panel, steps)) in panels.enumerate() {
            let x = &self.x[i * NR * self.ld..];
            quantise::rows(simd, x, self.ld, self.k, NR, self.room, panel, steps);
        }
    }
}

/// Columns of an operand, as panels of W.
struct Columns<'a, const W: usize> {
    x: &'a [f32],
    ld: usize,
    k: usize,
    panels: &'a mut [Pair],
    steps: &'a mut [f32],
}

impl<const W: usize> Kernel for Columns<'_, W> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        quantise::columns::<W>(self.x, self.ld, self.k, self.panels, self.steps);
    }
}

/// A block of rows of C, along all panels.
struct BlockOfRows<'a, const MR: usize, const NV: usize> {
    left: LeftBlock<'a>,
    steps: &'a [f32],
    right: Right<'a>,
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
        let Right { panels, steps } = self.right;
        let panels = panels.chunks_exact(nr * self.pairs).zip(steps.chunks(nr));
        for (j, (panel, column_steps)) in panels.enumerate() {
            let panel: &[Row<NV>] = panel.as_chunks::<WIDTH>().0.as_chunks().0;
            Tiles::<MR, NV> {
                left: self.left,
                row_steps: self.steps,
                panel,
                column_steps,
                c: &mut self.c[j * nr..],
                ld: self.ld,
                start: self.start,
            }
            .run(pairs);
        }
    }
}

#[cfg(test)]
mod tests;
