//! The inner kernel: a tile of the result held in registers while k runs.
//!
//! Every element of the tile is its own chain over ascending k. Rows and columns beyond the result's edge are computed
//! from copies or zeros and dropped; k is never padded. In attention the steps before (or after) the diagonal belong to
//! some rows of a tile only: the others leave them out.

use crate::engine::machine::{Kernel, Simd, WIDTH};

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
pub(in crate::engine) trait Left<const MR: usize, T = f32>: Copy {
    /// Columns `first` to `first + length`.
    fn window(self, first: usize, length: usize) -> Self;
    /// Column p of the tile's rows.
    fn column(self, p: usize) -> [T; MR];
}

/// Rows of at least k elements each.
#[derive(Clone, Copy)]
pub(in crate::engine) struct Rows<'a, const MR: usize, T = f32>([&'a [T]; MR]);

impl<'a, const MR: usize, T> Rows<'a, MR, T> {
    /// Rows `first` to `first + MR` of a matrix with leading dimension `ld`, from column `start`, `k` columns of them; where the
    /// matrix ends before, at row `rows`, its last row again.
    #[inline(always)]
    pub(in crate::engine) fn new(data: &'a [T], ld: usize, first: usize, rows: usize, start: usize, k: usize) -> Self {
        let mut tile = [&data[..0]; MR];
        for (i, row) in tile.iter_mut().enumerate() {
            *row = &data[(first + i).min(rows - 1) * ld + start..][..k];
        }
        Rows(tile)
    }
}

impl<const MR: usize, T: Copy + Default> Left<MR, T> for Rows<'_, MR, T> {
    #[inline(always)]
    fn window(mut self, first: usize, length: usize) -> Self {
        for row in &mut self.0 {
            *row = &row[first..][..length];
        }
        self
    }

    #[inline(always)]
    fn column(self, p: usize) -> [T; MR] {
        let mut column = [T::default(); MR];
        for (to, row) in column.iter_mut().zip(self.0) {
            *to = row[p];
        }
        column
    }
}

/// Columns of MR elements, every `ld` elements.
#[derive(Clone, Copy)]
pub(in crate::engine) struct Strided<'a, T = f32> {
    pub data: &'a [T],
    pub ld: usize,
}

impl<const MR: usize, T: Copy> Left<MR, T> for Strided<'_, T> {
    #[inline(always)]
    fn window(self, first: usize, _: usize) -> Self {
        Strided { data: &self.data[first * self.ld..], ..self }
    }

    #[inline(always)]
    fn column(self, p: usize) -> [T; MR] {
        *self.data[p * self.ld..].first_chunk().expect("a full column")
    }
}

/// Chains that start from +0.
#[inline(always)]
pub(in crate::engine) fn zero<S: Simd, const MR: usize, const NV: usize>(simd: S) -> Tile<S, MR, NV> {
    [[simd.splat(0.0); NV]; MR]
}

/// `acc[i][j]` continued over `b`'s rows, ascending, and as many columns of `a`.
#[inline(always)]
pub(in crate::engine) fn tile<S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    mut acc: Tile<S, MR, NV>,
    a: impl Left<MR>,
    b: &[Row<NV>],
) -> Tile<S, MR, NV> {
    for (p, b) in b.iter().enumerate() {
        acc = step(simd, acc, a.column(p), b, |_| true);
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

/// One row of tiles: chains of `a`'s rows, over all panels of the right operand.
pub(in crate::engine) struct Strip<'a, L, const MR: usize, const NV: usize> {
    /// The rows of the tiles, from the first step on.
    pub a: L,
    /// Panels of `k` rows each.
    pub panels: &'a [f32],
    pub k: usize,
    /// The first row of each panel to use, and the number of steps.
    pub first: usize,
    pub steps: usize,
    /// The result: at most MR rows, and its columns.
    pub c: &'a mut [f32],
    pub ld: usize,
    pub rows: usize,
    pub cols: usize,
    /// Whether chains go on from what `c` holds, and what they are multiplied by at the end.
    pub from_c: bool,
    pub scale: Option<f32>,
}

impl<L: Left<MR>, const MR: usize, const NV: usize> Kernel for Strip<'_, L, MR, NV> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let nr = NV * WIDTH;
        let a = self.a.window(0, self.steps);
        for (panel, j) in self.panels.chunks_exact(self.k * nr).zip((0..self.cols).step_by(nr)) {
            let (c, cols) = (&mut self.c[j..], nr.min(self.cols - j));
            let b = &panel_rows::<NV>(panel)[self.first..][..self.steps];
            let acc: Tile<S, MR, NV> = if self.from_c { load(simd, c, self.ld, self.rows, cols) } else { zero(simd) };
            let mut acc = tile(simd, acc, a, b);
            if let Some(scale) = self.scale {
                for acc in acc.as_flattened_mut() {
                    *acc = simd.mul(*acc, simd.splat(scale));
                }
            }
            store(simd, acc, c, self.ld, self.rows, cols);
        }
    }
}

impl<L: Left<MR>, const MR: usize, const NV: usize> Strip<'_, L, MR, NV> {
    /// Some of the steps, in turn: chains go on from those before.
    #[inline(always)]
    pub(in crate::engine) fn part(&mut self, from: usize, to: usize) -> Strip<'_, L, MR, NV> {
        Strip {
            a: self.a.window(from, to - from),
            first: self.first + from,
            steps: to - from,
            c: self.c,
            from_c: self.from_c || from > 0,
            ..*self
        }
    }
}

/// The steps of a strip across the diagonal, in which only some rows take part: chains go on from what `c` holds.
pub(in crate::engine) struct Diagonal<'a, L, const MR: usize, const NV: usize> {
    pub strip: Strip<'a, L, MR, NV>,
    /// How many such steps have passed before these.
    pub passed: usize,
    pub rows: Edge,
}

/// Which rows take part in the p-th step across the diagonal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum Edge {
    /// Rows up to p: one after the other they set in.
    SettingIn,
    /// Rows after p: one after the other they taper off.
    TaperingOff,
}

impl<L: Left<MR>, const MR: usize, const NV: usize> Kernel for Diagonal<'_, L, MR, NV> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let nr = NV * WIDTH;
        let Strip { a, panels, k, first, steps, c, ld, rows, cols, .. } = self.strip;
        for (panel, j) in panels.chunks_exact(k * nr).zip((0..cols).step_by(nr)) {
            let (c, cols) = (&mut c[j..], nr.min(cols - j));
            let mut acc: Tile<S, MR, NV> = load(simd, c, ld, rows, cols);
            for (p, b) in panel_rows::<NV>(panel)[first..][..steps].iter().enumerate() {
                let p_th = self.passed + p;
                acc = match self.rows {
                    Edge::SettingIn => step(simd, acc, a.column(p), b, |row| row <= p_th),
                    Edge::TaperingOff => step(simd, acc, a.column(p), b, |row| row > p_th),
                };
            }
            store(simd, acc, c, ld, rows, cols);
        }
    }
}
