//! Copies of operands in the order in which the kernel reads them: panels of some columns (or rows), k after k.

use crate::engine::machine::{Simd, WIDTH};

/// Packs columns of `b` \[k × cols\] into panels of `width` columns, k after k; beyond the last column, zeros.
#[inline(always)]
pub(in crate::engine) fn columns(b: &[f32], ld: usize, k: usize, cols: usize, width: usize, panels: &mut [f32]) {
    for (panel, first) in panels.chunks_exact_mut(k * width).zip((0..cols).step_by(width)) {
        let present = width.min(cols - first);
        for (p, to) in panel.chunks_exact_mut(width).enumerate() {
            if present == width {
                to.copy_from_slice(&b[p * ld + first..][..width]);
            } else {
                to[present..].fill(0.0);
                to[..present].copy_from_slice(&b[p * ld + first..][..present]);
            }
        }
    }
}

/// Packs rows of `b` \[rows × k\], transposed, into panels of `width` rows, k after k; beyond the last row, zeros. The width
/// is a multiple of a vector's.
#[inline(always)]
pub(in crate::engine) fn rows<S: Simd>(
    simd: S,
    b: &[f32],
    ld: usize,
    k: usize,
    rows: usize,
    width: usize,
    panels: &mut [f32],
) {
    for (panel, first) in panels.chunks_exact_mut(k * width).zip((0..rows).step_by(width)) {
        for side in (0..width).step_by(WIDTH) {
            let present = WIDTH.min(rows.saturating_sub(first + side));
            let row = |j: usize| &b[(first + side + j) * ld..][..k];
            let mut p = 0;
            while present == WIDTH && p + WIDTH <= k {
                let mut square = [simd.splat(0.0); WIDTH];
                for (j, to) in square.iter_mut().enumerate() {
                    *to = simd.load(row(j)[p..].first_chunk().expect("a square"));
                }
                for (j, from) in simd.transpose(square).into_iter().enumerate() {
                    let to = &mut panel[(p + j) * width + side..];
                    simd.store(from, to.first_chunk_mut().expect("a square"));
                }
                p += WIDTH;
            }
            for p in p..k {
                let to = &mut panel[p * width + side..][..WIDTH];
                for (j, to) in to.iter_mut().enumerate() {
                    *to = if j < present { row(j)[p] } else { 0.0 };
                }
            }
        }
    }
}
