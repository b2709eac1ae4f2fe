//! Copies of operands in the order in which the kernel reads them: panels of some columns (or rows), k after k.

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

/// Packs rows of `b` \[rows × k\], transposed, into panels of `width` rows, k after k; beyond the last row, zeros.
#[inline(always)]
pub(in crate::engine) fn rows(b: &[f32], ld: usize, k: usize, rows: usize, width: usize, panels: &mut [f32]) {
    const STEP: usize = 16;
    for (panel, first) in panels.chunks_exact_mut(k * width).zip((0..rows).step_by(width)) {
        let present = width.min(rows - first);
        if present < width {
            panel.fill(0.0);
        }
        for j in 0..present {
            let row = &b[(first + j) * ld..][..k];
            let (chunks, rest) = row.as_chunks::<STEP>();
            let mut to = panel.chunks_exact_mut(STEP * width);
            for (from, to) in chunks.iter().zip(&mut to) {
                for (from, to) in from.iter().zip(to.chunks_exact_mut(width)) {
                    to[j] = *from;
                }
            }
            for (from, to) in rest.iter().zip(to.into_remainder().chunks_exact_mut(width)) {
                to[j] = *from;
            }
        }
    }
}
