//! The plain scalar definitions: one chain of fused multiply-adds over ascending k for each element of the result.

use super::matrix::{Mat, MatMut, Start};

/// `c[i][j]` = fma(a(i, k-1), b(k-1, j), ... fma(a(i, 0), b(0, j), start)).
fn chains(
    k: usize,
    c: &mut MatMut<'_>,
    start: Start,
    a: impl Fn(usize, usize) -> f32,
    b: impl Fn(usize, usize) -> f32,
) {
    for i in 0..c.rows {
        for j in 0..c.cols {
            let c = &mut c.data[i * c.ld + j];
            let start = match start {
                Start::Zero => 0.0,
                Start::Accumulate => *c,
            };
            *c = (0..k).fold(start, |acc, p| a(i, p).mul_add(b(p, j), acc));
        }
    }
}

/// C = A·Bᵀ.
pub fn nt(a: Mat<'_>, b: Mat<'_>, mut c: MatMut<'_>, start: Start) {
    chains(a.cols, &mut c, start, |i, p| a.at(i, p), |p, j| b.at(j, p));
}

/// C = A·B.
pub fn nn(a: Mat<'_>, b: Mat<'_>, mut c: MatMut<'_>, start: Start) {
    chains(a.cols, &mut c, start, |i, p| a.at(i, p), |p, j| b.at(p, j));
}

/// C = Aᵀ·B.
pub fn tn(a: Mat<'_>, b: Mat<'_>, mut c: MatMut<'_>, start: Start) {
    chains(a.rows, &mut c, start, |i, p| a.at(p, i), |p, j| b.at(p, j));
}
