//! The plain scalar definition: what a product runs over is quantised, row by row of the left operand and column by column of
//! the right, the integers' product is exact, and each element of it is rounded once to float.

use super::scale::{MAGNITUDE, Scale, quantise};
use crate::engine::matmul::{MatMut, Operand, Start};

/// Numbers as integers, and what one is worth.
fn integers(numbers: impl Iterator<Item = f32> + Clone) -> (Vec<i64>, f32) {
    let largest = numbers.clone().map(|x| x.to_bits() & MAGNITUDE).max().unwrap_or(0);
    let integers = |scale: Scale| numbers.clone().map(|x| i64::from(quantise(x, scale.up))).collect::<Vec<_>>();
    let finest = Scale::of(largest);
    let squares: i64 = integers(finest).iter().map(|q| q * q).sum();
    let (scale, _) = finest.coarsened(squares as u64);
    (integers(scale), scale.step)
}

/// `c[i][j]` = start + float(Σ_p a(i, p) b(j, p)) * step of row i * step of column j.
pub(super) fn product(k: usize, a: Operand<'_>, b: Operand<'_>, c: MatMut<'_>, start: Start) {
    let rows: Vec<_> = (0..c.rows).map(|i| integers((0..k).map(|p| a.at(i, p)))).collect();
    let columns: Vec<_> = (0..c.cols).map(|j| integers((0..k).map(|p| b.at(j, p)))).collect();
    for (i, (row, row_step)) in rows.iter().enumerate() {
        for (j, (column, column_step)) in columns.iter().enumerate() {
            let sum: i64 = row.iter().zip(column).map(|(a, b)| a * b).sum();
            let c = &mut c.data[i * c.ld + j];
            let from = match start {
                Start::Zero => 0.0,
                Start::Accumulate => *c,
            };
            *c = from + sum as f32 * row_step * column_step;
        }
    }
}
