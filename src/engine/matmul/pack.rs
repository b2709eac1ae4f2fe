//! Copies of operands in the order in which the kernel reads them: panels of some columns (or rows), k after k.

use crate::engine::machine::{Simd, WIDTH, Word};

/// Packs columns of `b` \[k × cols\] into panels of `width` columns, k after k; beyond the last column, zeros.
#[inline(always)]
pub(in crate::engine) fn columns(b: &[f32], ld: usize, k: usize, cols: usize, width: usize, panels: &mut [f32]) {
    // Copies of a known length are moves of registers. These are the widths of the tiles.
    match width {
        6 => of_width::<6>(b, ld, k, cols, panels),
        12 => of_width::<12>(b, ld, k, cols, panels),
        16 => of_width::<16>(b, ld, k, cols, panels),
        32 => of_width::<32>(b, ld, k, cols, panels),
        _ => unreachable!("no tile is {width} wide"),
    }
}

#[inline(always)]
fn of_width<const W: usize>(b: &[f32], ld: usize, k: usize, cols: usize, panels: &mut [f32]) {
    let panels = panels.as_chunks_mut::<W>().0;
    // Row after row: each is read in one go, and written to all panels.
    for p in 0..k {
        let (chunks, rest) = b[p * ld..][..cols].as_chunks::<W>();
        let mut at = p;
        for from in chunks {
            panels[at] = *from;
            at += k;
        }
        if !rest.is_empty() {
            let (present, absent) = panels[at].split_at_mut(rest.len());
            present.copy_from_slice(rest);
            absent.fill(0.0);
        }
    }
}

/// Packs rows of `b` \[rows × k\], transposed, into panels of `width` rows, k after k; beyond the last row, zeros. The width
/// is a multiple of a vector's.
#[inline(always)]
pub(in crate::engine) fn rows<S: Simd, T: Word>(
    simd: S,
    b: &[T],
    ld: usize,
    k: usize,
    rows: usize,
    width: usize,
    panels: &mut [T],
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
                    *to = if j < present { b[(first + side + j) * ld + p] } else { T::default() };
                }
            }
        }
    }
}
