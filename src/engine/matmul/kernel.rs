//! The inner kernel: a tile of the result held in registers while k runs.
//!
//! Every element of the tile is its own chain over ascending k. Rows and columns beyond the result's edge are computed
//! from copies or zeros and dropped; k is never padded.

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
        Rows(std::array::from_fn(|i| &data[(first + i).min(rows - 1) * ld + start..][..k]))
    }
}

impl<const MR: usize> Left<MR> for Rows<'_, MR> {
    #[inline(always)]
    fn column(self, p: usize) -> [f32; MR] {
        std::array::from_fn(|i| self.0[i][p])
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

/// `acc[i][j]` continued over `b`'s rows, ascending, and as many columns of `a` from `first` on.
#[inline(always)]
pub(in crate::engine) fn tile<const MR: usize, const NR: usize>(
    mut acc: [[f32; NR]; MR],
    a: impl Left<MR>,
    first: usize,
    b: &[[f32; NR]],
) -> [[f32; NR]; MR] {
    for (p, b) in b.iter().enumerate() {
        let a = a.column(first + p);
        for i in 0..MR {
            for j in 0..NR {
                acc[i][j] = a[i].mul_add(b[j], acc[i][j]);
            }
        }
    }
    acc
}

/// As [`tile`], but row r of the tile takes part only while fewer than r steps have passed: the triangle right of a tile's
/// first diagonal element.
#[inline(always)]
pub(in crate::engine) fn tile_tapering_off<const MR: usize, const NR: usize>(
    mut acc: [[f32; NR]; MR],
    a: impl Left<MR>,
    first: usize,
    b: &[[f32; NR]],
    passed: usize,
) -> [[f32; NR]; MR] {
    for (step, b) in b.iter().enumerate() {
        let a = a.column(first + step);
        for i in 0..MR {
            if passed + step < i {
                for j in 0..NR {
                    acc[i][j] = a[i].mul_add(b[j], acc[i][j]);
                }
            }
        }
    }
    acc
}

/// As [`tile`], but row r of the tile takes part only once r steps have passed: the triangle below a tile's diagonal, with
/// the diagonal.
#[inline(always)]
pub(in crate::engine) fn tile_setting_in<const MR: usize, const NR: usize>(
    mut acc: [[f32; NR]; MR],
    a: impl Left<MR>,
    first: usize,
    b: &[[f32; NR]],
    passed: usize,
) -> [[f32; NR]; MR] {
    for (step, b) in b.iter().enumerate() {
        let a = a.column(first + step);
        for i in 0..MR {
            if i <= passed + step {
                for j in 0..NR {
                    acc[i][j] = a[i].mul_add(b[j], acc[i][j]);
                }
            }
        }
    }
    acc
}

/// The part of C that a tile covers, at most MR × NR, from the start of `c` on.
#[inline(always)]
pub(in crate::engine) fn load<const MR: usize, const NR: usize>(
    c: &[f32],
    ld: usize,
    rows: usize,
    cols: usize,
) -> [[f32; NR]; MR] {
    let mut acc = [[0.0; NR]; MR];
    if rows == MR && cols == NR {
        for i in 0..MR {
            acc[i] = *c[i * ld..].first_chunk().expect("a full tile");
        }
    } else {
        for (i, acc) in acc.iter_mut().enumerate().take(rows) {
            acc[..cols].copy_from_slice(&c[i * ld..][..cols]);
        }
    }
    acc
}

/// Writes what a tile covers of C.
#[inline(always)]
pub(in crate::engine) fn store<const MR: usize, const NR: usize>(
    acc: &[[f32; NR]; MR],
    c: &mut [f32],
    ld: usize,
    rows: usize,
    cols: usize,
) {
    if rows == MR && cols == NR {
        for i in 0..MR {
            *c[i * ld..].first_chunk_mut().expect("a full tile") = acc[i];
        }
    } else {
        for (i, acc) in acc.iter().enumerate().take(rows) {
            c[i * ld..][..cols].copy_from_slice(&acc[..cols]);
        }
    }
}
