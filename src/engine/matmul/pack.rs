//! Copies of operands in the order in which the kernel reads them: panels of W columns (or rows), k after k.

/// Packs columns of `b` \[k × cols\] into panels of `W` columns, `k` after k; beyond the last column, zeros.
#[inline(always)]
pub(in crate::engine) fn columns<const W: usize>(b: &[f32], ld: usize, k: usize, cols: usize, panels: &mut [f32]) {
    for (panel, first) in panels.chunks_exact_mut(k * W).zip((0..cols).step_by(W)) {
        let width = W.min(cols - first);
        for (p, to) in panel.as_chunks_mut::<W>().0.iter_mut().enumerate() {
            if width == W {
                *to = *b[p * ld + first..].first_chunk().expect("a full panel");
            } else {
                *to = [0.0; W];
                to[..width].copy_from_slice(&b[p * ld + first..][..width]);
            }
        }
    }
}

/// Packs rows of `b` \[rows × k\], transposed, into panels of `W` rows, k after k; beyond the last row, zeros.
#[inline(always)]
pub(in crate::engine) fn rows<const W: usize>(b: &[f32], ld: usize, k: usize, rows: usize, panels: &mut [f32]) {
    const STEP: usize = 16;
    for (panel, first) in panels.chunks_exact_mut(k * W).zip((0..rows).step_by(W)) {
        let width = W.min(rows - first);
        let panel = panel.as_chunks_mut::<W>().0;
        if width < W {
            panel.fill([0.0; W]);
        }
        for j in 0..width {
            let row = &b[(first + j) * ld..][..k];
            let (chunks, rest) = row.as_chunks::<STEP>();
            let mut to = panel.chunks_exact_mut(STEP);
            for (from, to) in chunks.iter().zip(&mut to) {
                for (from, to) in from.iter().zip(to) {
                    to[j] = *from;
                }
            }
            for (from, to) in rest.iter().zip(to.into_remainder()) {
                to[j] = *from;
            }
        }
    }
}
