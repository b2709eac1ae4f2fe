//! Matrix products: each element one chain of fused multiply-adds over ascending k (A2).
//!
//! Chains may pause: k is cut into blocks that fit the caches, and an accumulator stored and loaded again keeps its bits.
//! Threads share out rows of the result.

mod definition;
pub(super) mod kernel;
mod matrix;
pub(super) mod pack;

use super::machine::{Engine, Isa, Kernel, Simd, WIDTH};
use super::scratch;
use kernel::Left;
pub(super) use matrix::Operand;
pub use matrix::{Mat, MatMut, Start};
use rayon::prelude::*;

impl Engine {
    /// C = A·Bᵀ: `a` \[m × k\], `b` \[n × k\], `c` \[m × n\]. The forward product, with weights \[out × in\].
    pub fn matmul_nt(self, a: Mat<'_>, b: Mat<'_>, c: MatMut<'_>, start: Start) {
        self.product("matmul_nt", Operand::along(a), Operand::along(b), c, start);
    }

    /// C = A·B: `a` \[m × k\], `b` \[k × n\], `c` \[m × n\]. The gradient of a forward product's input.
    pub fn matmul_nn(self, a: Mat<'_>, b: Mat<'_>, c: MatMut<'_>, start: Start) {
        self.product("matmul_nn", Operand::along(a), Operand::down(b), c, start);
    }

    /// C = Aᵀ·B: `a` \[k × m\], `b` \[k × n\], `c` \[m × n\]. The gradient of the weights, k over tokens.
    pub fn matmul_tn(self, a: Mat<'_>, b: Mat<'_>, c: MatMut<'_>, start: Start) {
        self.product("matmul_tn", Operand::down(a), Operand::down(b), c, start);
    }

    fn product(self, name: &str, a: Operand<'_>, b: Operand<'_>, c: MatMut<'_>, start: Start) {
        let k = a.k_with(b, &c, name);
        if self.isa() == Isa::Definition {
            return self.define(|| definition::product(k, a, b, c, start));
        }
        if c.rows == 0 || c.cols == 0 {
            return;
        }
        if k == 0 {
            if start == Start::Zero {
                let MatMut { data, rows, cols, ld } = c;
                (0..rows).for_each(|i| data[i * ld..][..cols].fill(0.0));
            }
            return;
        }
        // What is packed of B is used while it is in the cache: a long k goes through it in parts, each going on from C.
        let MatMut { data, rows, cols, ld } = c;
        let part = k.div_ceil(k.div_ceil(KP));
        for first in (0..k).step_by(part) {
            let k = part.min(k - first);
            let (a, b) = (a.part(first, k), b.part(first, k));
            let c = MatMut { data: &mut *data, rows, cols, ld };
            let start = if first > 0 { Start::Accumulate } else { start };
            match self.isa() {
                Isa::Avx512 => self.blocked::<12, 2>(k, a, b, c, start),
                _ => self.blocked::<6, 1>(k, a, b, c, start),
            }
        }
    }

    /// Columns of B are packed into panels, all of k; threads share out blocks of rows of C, and each block runs through k in
    /// pieces, so that its part of C stays in the second-level cache and a panel's piece in the first.
    fn blocked<const MR: usize, const NV: usize>(
        self,
        k: usize,
        a: Operand<'_>,
        b: Operand<'_>,
        c: MatMut<'_>,
        start: Start,
    ) {
        let MatMut { data: c, rows: m, cols: n, ld } = c;
        let nr = NV * WIDTH;
        let threads = rayon::current_num_threads();
        let parallel = threads > 1 && m * n * k > PARALLEL;
        let rows = MC / MR * MR;
        let rows = if parallel { m.div_ceil(4 * threads).next_multiple_of(MR).min(rows) } else { rows };
        // Panels that serve one block of rows only are used up while they are in the cache.
        let panels = if m <= rows && !parallel { PANELS_ONCE } else { PANELS };
        let columns = (panels / k.min(KC) / nr).max(1) * nr;
        let c = &mut c[..(m - 1) * ld + n];
        for first in (0..n).step_by(columns) {
            let columns = columns.min(n - first);
            scratch::with(columns.next_multiple_of(nr) * k, |panels| {
                let pack = |first, columns, panels: &mut [f32]| {
                    self.dispatch(PackRight::<NV> { b, k, first, columns, panels });
                };
                if parallel {
                    panels.par_chunks_mut(nr * k).enumerate().for_each(|(i, panel)| {
                        pack(first + i * nr, nr.min(columns - i * nr), panel);
                    });
                } else {
                    pack(first, columns, panels);
                }
                let panels = &*panels;
                let block = |(i, c): (usize, &mut [f32])| {
                    let first_row = i * rows;
                    let (rows, c) = (rows.min(m - first_row), &mut c[first..]);
                    scratch::with(if a.k_along_rows { 0 } else { rows.next_multiple_of(MR) * KC.min(k) }, |left| {
                        self.dispatch(RowBlock::<MR, NV> {
                            a,
                            first_row,
                            rows,
                            k,
                            panels,
                            c,
                            ld,
                            columns,
                            start,
                            left,
                        });
                    });
                };
                if parallel {
                    c.par_chunks_mut(rows * ld).enumerate().for_each(block);
                } else {
                    c.chunks_mut(rows * ld).enumerate().for_each(block);
                }
            });
        }
    }
}

/// The longest part of k that is packed at a time.
const KP: usize = 2048;
/// The longest piece of a chain between two visits to C.
const KC: usize = 256;
/// Rows of C in a block.
const MC: usize = 120;
/// Elements of a piece of B: with a block of C and a piece of A it fits a second-level cache of 1 MiB.
const PANELS: usize = 96 << 10;
/// The same, where nothing but the packing reads B more than once.
const PANELS_ONCE: usize = 16 << 10;
/// Multiply-adds from which threads are worth their start.
const PARALLEL: usize = 1 << 20;

struct PackRight<'a, const NV: usize> {
    b: Operand<'a>,
    k: usize,
    first: usize,
    columns: usize,
    panels: &'a mut [f32],
}

impl<const NV: usize> Kernel for PackRight<'_, NV> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Mat { data, ld, .. } = self.b.mat;
        let width = NV * WIDTH;
        if self.b.k_along_rows {
            pack::rows(simd, &data[self.first * ld..], ld, self.k, self.columns, width, self.panels);
        } else {
            pack::columns(&data[self.first..], ld, self.k, self.columns, width, self.panels);
        }
    }
}

/// Some rows of C, the columns of the packed panels.
struct RowBlock<'a, const MR: usize, const NV: usize> {
    a: Operand<'a>,
    first_row: usize,
    rows: usize,
    k: usize,
    panels: &'a [f32],
    c: &'a mut [f32],
    ld: usize,
    columns: usize,
    start: Start,
    /// Room for a piece of A, where it must be packed.
    left: &'a mut [f32],
}

impl<const MR: usize, const NV: usize> Kernel for RowBlock<'_, MR, NV> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Mat { data, ld, .. } = self.a.mat;
        let width = NV * WIDTH;
        let piece = self.k.div_ceil(self.k.div_ceil(KC));
        // Rows in full tiles, and those of a last one, in a small tile if they fit.
        let rest = self.rows % MR;
        let small = if rest <= SMALL { rest } else { 0 };
        let full = self.rows - small;
        for first_k in (0..self.k).step_by(piece) {
            let k = piece.min(self.k - first_k);
            let left = if self.a.k_along_rows {
                LeftPart::Rows { data: &data[self.first_row * ld + first_k..], ld }
            } else {
                let from = &data[first_k * ld + self.first_row..];
                pack::columns(from, ld, k, self.rows, MR, self.left);
                LeftPart::Packed { panels: self.left, width: MR }
            };
            let from_c = self.start == Start::Accumulate || first_k > 0;
            for (panel, j) in self.panels.chunks_exact(self.k * width).zip((0..self.columns).step_by(width)) {
                let b = &kernel::panel_rows::<NV>(panel)[first_k..][..k];
                let cols = width.min(self.columns - j);
                let (c, ld) = (&mut self.c[j..], self.ld);
                if full > 0 {
                    simd.apart(Tiles::<MR, NV> { left, first: 0, rows: full, b, c, ld, cols, from_c });
                }
                if small > 0 {
                    simd.apart(Tiles::<SMALL, NV> { left, first: full, rows: small, b, c, ld, cols, from_c });
                }
            }
        }
    }
}

/// Rows of a small tile.
const SMALL: usize = 4;

/// A piece of the left operand.
#[derive(Clone, Copy)]
enum LeftPart<'a> {
    /// As it lies in memory, k along rows.
    Rows { data: &'a [f32], ld: usize },
    /// Packed in panels of `width` rows, k after k.
    Packed { panels: &'a [f32], width: usize },
}

/// Tiles of a block of rows, one below the other, against one panel.
struct Tiles<'a, const MR: usize, const NV: usize> {
    left: LeftPart<'a>,
    first: usize,
    rows: usize,
    b: &'a [kernel::Row<NV>],
    c: &'a mut [f32],
    ld: usize,
    cols: usize,
    from_c: bool,
}

impl<const MR: usize, const NV: usize> Tiles<'_, MR, NV> {
    #[inline(always)]
    fn tile<S: Simd>(&mut self, simd: S, i: usize, a: impl Left<MR>) {
        let rows = MR.min(self.rows - i);
        let c = &mut self.c[(self.first + i) * self.ld..];
        let acc: kernel::Tile<S, MR, NV> =
            if self.from_c { kernel::load(simd, c, self.ld, rows, self.cols) } else { kernel::zero(simd) };
        let acc = kernel::tile(simd, acc, a, self.b);
        kernel::store(simd, acc, c, self.ld, rows, self.cols);
    }
}

impl<const MR: usize, const NV: usize> Kernel for Tiles<'_, MR, NV> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let k = self.b.len();
        match self.left {
            LeftPart::Rows { data, ld } => {
                for i in (0..self.rows).step_by(MR) {
                    let a = kernel::Rows::<MR>::new(data, ld, self.first + i, self.first + self.rows, 0, k);
                    self.tile(simd, i, a);
                }
            }
            LeftPart::Packed { panels, width } => {
                for i in (0..self.rows).step_by(MR) {
                    let a = kernel::Strided { data: &panels[(self.first + i) * k..], ld: width };
                    self.tile(simd, i, a);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::{Numbers, assert_same_bits, on_every_engine};

    type Product = fn(Engine, Mat<'_>, Mat<'_>, MatMut<'_>, Start);

    /// A matrix in a larger allocation.
    fn drawn(numbers: &mut Numbers, rows: usize, cols: usize) -> (Vec<f32>, usize) {
        let ld = cols + if numbers.up_to(2) == 1 { 0 } else { numbers.up_to(5) };
        (numbers.tame(rows * ld), ld)
    }

    fn check(engine: Engine, numbers: &mut Numbers, m: usize, n: usize, k: usize) {
        let products: [(&str, Product, [usize; 4]); 3] = [
            ("nt", Engine::matmul_nt, [m, k, n, k]),
            ("nn", Engine::matmul_nn, [m, k, k, n]),
            ("tn", Engine::matmul_tn, [k, m, k, n]),
        ];
        for (name, product, [a_rows, a_cols, b_rows, b_cols]) in products {
            let (a, a_ld) = drawn(numbers, a_rows, a_cols);
            let (b, b_ld) = drawn(numbers, b_rows, b_cols);
            let (c, c_ld) = drawn(numbers, m, n);
            for start in [Start::Zero, Start::Accumulate] {
                let run = |engine: Engine| {
                    let mut c = c.clone();
                    let a = Mat::with_ld(&a, a_rows, a_cols, a_ld);
                    let b = Mat::with_ld(&b, b_rows, b_cols, b_ld);
                    product(engine, a, b, MatMut::with_ld(&mut c, m, n, c_ld), start);
                    c
                };
                let what = format!("{name} of {m} × {n} × {k}, {start:?}");
                assert_same_bits(&what, &run(engine), &run(Engine::definition()));
            }
        }
    }

    #[test]
    fn small_and_ragged_products_equal_their_definitions() {
        on_every_engine(|engine, numbers| {
            for _ in 0..12 {
                let (m, n, k) = (numbers.up_to(40), numbers.up_to(70), numbers.up_to(40));
                check(engine, numbers, m, n, k);
            }
            for (m, n, k) in [(0, 3, 2), (3, 0, 2), (3, 2, 0), (1, 1, 1), (12, 32, 5), (24, 64, 1)] {
                check(engine, numbers, m, n, k);
            }
        });
    }

    #[test]
    fn products_of_several_blocks_equal_their_definitions() {
        on_every_engine(|engine, numbers| {
            let (m, n) = (numbers.up_to(30), numbers.up_to(30));
            check(engine, numbers, m, n, 2 * KC + 7);
            check(engine, numbers, 7, n, KP + 9);
            let m = MC + numbers.up_to(MC);
            check(engine, numbers, m, 50, 30);
            check(engine, numbers, 13, PANELS_ONCE / 30, 31);
            check(engine, numbers, 150, 150, 150);
            // More columns than are packed at a time.
            check(engine, numbers, 2, 45, PANELS_ONCE / 32 + 3);
        });
    }

    #[test]
    fn a_product_of_negative_zeros_keeps_its_sign_rules() {
        on_every_engine(|engine, _| {
            // fma(-0, 1, +0) is +0; carried on from -0, it stays -0.
            let (a, b) = ([-0.0f32; 3], [1.0f32; 3]);
            let mut c = [-0.0f32];
            engine.matmul_nt(Mat::new(&a, 1, 3), Mat::new(&b, 1, 3), MatMut::new(&mut c, 1, 1), Start::Accumulate);
            assert_eq!(c[0].to_bits(), (-0.0f32).to_bits());
            engine.matmul_nt(Mat::new(&a, 1, 3), Mat::new(&b, 1, 3), MatMut::new(&mut c, 1, 1), Start::Zero);
            assert_eq!(c[0].to_bits(), 0);
        });
    }

    #[test]
    fn a_careless_float_mode_changes_nothing() {
        use crate::engine::machine::in_a_careless_float_mode;
        for engine in Engine::available() {
            let mut numbers = Numbers::new(3);
            let (a, b) = (numbers.tame(200 * 70), numbers.tame(90 * 70));
            let run = || {
                let mut c = vec![0.0; 200 * 90];
                let (a, b) = (Mat::new(&a, 200, 70), Mat::new(&b, 90, 70));
                engine.matmul_nt(a, b, MatMut::new(&mut c, 200, 90), Start::Zero);
                c
            };
            let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().expect("a thread pool");
            let careless = pool.install(|| in_a_careless_float_mode(run));
            assert_same_bits("careless", &careless, &run());
        }
    }
}
