//! The plain scalar definition: one chain of fused multiply-adds over ascending k for each element of the result.

use super::matrix::{MatMut, Operand, Start};

/// `c[i][j]` = fma(a(i, k-1), b(j, k-1), ... fma(a(i, 0), b(j, 0), start)).
pub(super) fn product(k: usize, a: Operand<'_>, b: Operand<'_>, c: MatMut<'_>, start: Start) {
    for i in 0..c.rows {
        for j in 0..c.cols {
            let c = &mut c.data[i * c.ld + j];
            let start = match start {
                Start::Zero => 0.0,
                Start::Accumulate => *c,
            };
            *c = (0..k).fold(start, |acc, p| a.at(i, p).mul_add(b.at(j, p), acc));
        }
    }
}
