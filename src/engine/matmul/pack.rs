//! Copies of operands in the order in which the kernel reads them: panels of some columns (or rows), k after k.

use crate::engine::machine::{Simd, WIDTH};

/// Packs columns of `b` \[k × cols\] into panels of `width` columns, k after k; beyond the last column, zeros.
#[inline(always)]
pub(in crate::engine) fn columns(b: &[f32], ld: usize, k: usize, cols: usize, width: usize, panels: &mut [f32]) {
    // Row after row: each is read in one go, and written to all panels.
    for p in 0..k {
        let row = &b[p * ld..][..cols];
        let mut chunks = row.chunks_exact(width);
        let mut at = p * width;
        for from in &mut chunks {
            panels[at..][..width].copy_from_slice(from);
            at += k * width;
        }
        let rest = chunks.remainder();
        if !rest.is_empty() {
            let (present, absent) = panels[at..][..width].split_at_mut(rest.len());
            present.copy_from_slice(rest);
            absent.fill(0.0);
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
            let mut p = 0;
            while present == WIDTH && p + WIDTH <= k {
                simd.transpose(&b[(first + side) * ld + p..], ld, &mut panel[p * width + side..], width);
                p += WIDTH;
            }
            for p in p..k {
                let to = &mut panel[p * width + side..][..WIDTH];
                for (j, to) in to.iter_mut().enumerate() {
                    *to = if j < present { b[(first + side + j) * ld + p] } else { 0.0 };
                }
            }
        }
    }
}
