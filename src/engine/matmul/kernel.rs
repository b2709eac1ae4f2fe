//! The inner kernel: a tile of the result held in registers while k runs.
//!
//! Every element of the tile is its own chain over ascending k. Rows and columns beyond the result's edge are computed
//! from copies or zeros and dropped; k is never padded.

use crate::engine::machine::{Simd, WIDTH};

/// The chains of a tile: MR rows of NV vectors.
pub(in crate::engine) type Tile<S, const MR: usize, const NV: usize> = [[<S as Simd>::V; NV]; MR];

/// One row of the right operand, as a tile reads it: NV vectors.
pub(in crate::engine) type Row<const NV: usize> = [[f32; WIDTH]; NV];

/// The rows of a packed panel.
#[inline(always)]
pub(in crate::engine) fn panel_rows<const NV: usize>(panel: &[f32]) -> &[Row<NV>] {
    panel.as_chunks().0.as_chunks().0
}

/// Where a tile finds the elements a(i, p) of its rows.
pub(in crate::engine) trait Left<const MR: usize>: Copy {
    /// Column p of the tile's rows.
    fn column(self, p: usize) -> [f32; MR];
}

/// Rows of at least k elements each.
#[derive(Clone, Copy)]
pub(in crate::engine) struct Rows<'a, const MR: usize>([&'a [f32]; MR]);

impl<'a, const MR: usize> Rows<'a, MR> {
    /// Rows `first` to `first + MR` of a matrix with leading dimension `ld`, from column `start`, `k` columns of them; where the
    /// matrix ends before, at row `rows`, its last row again.
    #[inline(always)]
    pub(in crate::engine) fn new(
        data: &'a [f32],
        ld: usize,
        first: usize,
        rows: usize,
        start: usize,
        k: usize,
    ) -> Self {
        let mut tile = [&data[..0]; MR];
        for (i, row) in tile.iter_mut().enumerate() {
            *row = &data[(first + i).min(rows - 1) * ld + start..][..k];
        }
        Rows(tile)
    }
}

impl<const MR: usize> Left<MR> for Rows<'_, MR> {
    #[inline(always)]
    fn column(self, p: usize) -> [f32; MR] {
        let mut column = [0.0; MR];
        for (to, row) in column.iter_mut().zip(self.0) {
            *to = row[p];
        }
        column
    }
}

/// Columns of MR elements, one after the other.
#[derive(Clone, Copy)]
pub(in crate::engine) struct Columns<'a, const MR: usize>(pub &'a [[f32; MR]]);

impl<const MR: usize> Left<MR> for Columns<'_, MR> {
    #[inline(always)]
    fn column(self, p: usize) -> [f32; MR] {
        self.0[p]
    }
}

/// Columns of MR elements, every `ld` elements.
#[derive(Clone, Copy)]
pub(in crate::engine) struct Strided<'a> {
    pub data: &'a [f32],
    pub ld: usize,
}

impl<const MR: usize> Left<MR> for Strided<'_> {
    #[inline(always)]
    fn column(self, p: usize) -> [f32; MR] {
        *self.data[p * self.ld..].first_chunk().expect("a full column")
    }
}

/// Chains that start from +0.
#[inline(always)]
pub(in crate::engine) fn zero<S: Simd, const MR: usize, const NV: usize>(simd: S) -> Tile<S, MR, NV> {
    [[simd.splat(0.0); NV]; MR]
}

/// `acc[i][j]` continued over `b`'s rows, ascending, and as many columns of `a` from `first` on.
#[inline(always)]
pub(in crate::engine) fn tile<S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    mut acc: Tile<S, MR, NV>,
    a: impl Left<MR>,
    first: usize,
    b: &[Row<NV>],
) -> Tile<S, MR, NV> {
    for (p, b) in b.iter().enumerate() {
        acc = step(simd, acc, a.column(first + p), b, |_| true);
    }
    acc
}

/// As [`tile`], but row r of the tile takes part only while fewer than r steps have passed: the triangle right of a tile's
/// first diagonal element.
#[inline(always)]
pub(in crate::engine) fn tile_tapering_off<S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    mut acc: Tile<S, MR, NV>,
    a: impl Left<MR>,
    first: usize,
    b: &[Row<NV>],
    passed: usize,
) -> Tile<S, MR, NV> {
    for (p, b) in b.iter().enumerate() {
        acc = step(simd, acc, a.column(first + p), b, |row| passed + p < row);
    }
    acc
}

/// As [`tile`], but row r of the tile takes part only once r steps have passed: the triangle below a tile's diagonal, with
/// the diagonal.
#[inline(always)]
pub(in crate::engine) fn tile_setting_in<S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    mut acc: Tile<S, MR, NV>,
    a: impl Left<MR>,
    first: usize,
    b: &[Row<NV>],
    passed: usize,
) -> Tile<S, MR, NV> {
    for (p, b) in b.iter().enumerate() {
        acc = step(simd, acc, a.column(first + p), b, |row| row <= passed + p);
    }
    acc
}

/// One k, for the rows that take part.
#[inline(always)]
fn step<S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    mut acc: Tile<S, MR, NV>,
    a: [f32; MR],
    b: &Row<NV>,
    takes_part: impl Fn(usize) -> bool,
) -> Tile<S, MR, NV> {
    let mut right = [simd.splat(0.0); NV];
    for (right, b) in right.iter_mut().zip(b) {
        *right = simd.load(b);
    }
    for (i, (acc, a)) in acc.iter_mut().zip(a).enumerate() {
        if takes_part(i) {
            let a = simd.splat(a);
            for (acc, b) in acc.iter_mut().zip(right) {
                *acc = simd.mul_add(a, b, *acc);
            }
        }
    }
    acc
}

/// Each row times its factor.
#[inline(always)]
pub(in crate::engine) fn scale<S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    mut acc: Tile<S, MR, NV>,
    factors: [f32; MR],
) -> Tile<S, MR, NV> {
    for (acc, factor) in acc.iter_mut().zip(factors) {
        for acc in acc {
            *acc = simd.mul(*acc, simd.splat(factor));
        }
    }
    acc
}

/// Each row over its divisor.
#[inline(always)]
pub(in crate::engine) fn divide<S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    mut acc: Tile<S, MR, NV>,
    divisors: [f32; MR],
) -> Tile<S, MR, NV> {
    for (acc, divisor) in acc.iter_mut().zip(divisors) {
        for acc in acc {
            *acc = simd.div(*acc, simd.splat(divisor));
        }
    }
    acc
}

/// The part of C that a tile covers, at most MR × NV vectors, from the start of `c` on.
#[inline(always)]
pub(in crate::engine) fn load<S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    c: &[f32],
    ld: usize,
    rows: usize,
    cols: usize,
) -> Tile<S, MR, NV> {
    let mut acc = zero(simd);
    for (i, acc) in acc.iter_mut().enumerate() {
        if i < rows {
            let c = &c[i * ld..][..cols];
            if cols == NV * WIDTH {
                for (acc, c) in acc.iter_mut().zip(c.as_chunks().0) {
                    *acc = simd.load(c);
                }
            } else {
                let mut row = [[0.0; WIDTH]; NV];
                row.as_flattened_mut()[..cols].copy_from_slice(c);
                for (acc, row) in acc.iter_mut().zip(&row) {
                    *acc = simd.load(row);
                }
            }
        }
    }
    acc
}

/// Writes what a tile covers of C.
#[inline(always)]
pub(in crate::engine) fn store<S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    acc: Tile<S, MR, NV>,
    c: &mut [f32],
    ld: usize,
    rows: usize,
    cols: usize,
) {
    for (i, acc) in acc.into_iter().enumerate() {
        if i < rows {
            let c = &mut c[i * ld..][..cols];
            if cols == NV * WIDTH {
                for (acc, c) in acc.into_iter().zip(c.as_chunks_mut().0) {
                    simd.store(acc, c);
                }
            } else {
                let mut row = [[0.0; WIDTH]; NV];
                for (acc, row) in acc.into_iter().zip(&mut row) {
                    simd.store(acc, row);
                }
                c.copy_from_slice(&row.as_flattened()[..cols]);
            }
        }
    }
}
