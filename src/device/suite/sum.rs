//! Sums of whole tensors.

use super::case::{Case, Check, all};
use crate::engine::sum::BLOCK;
use crate::error::Result;

pub(super) const CHECKS: &[(&str, Check)] = &[("sum", sum)];

fn sum(case: &mut Case<'_>) -> Result<()> {
    let lengths = [1, BLOCK, BLOCK + 1, 0, case.up_to(BLOCK), 70 * BLOCK + case.up_to(BLOCK), 33];
    let mut n = 0;
    // Tensors that begin anywhere.
    let tensors = lengths.map(|length| {
        n += 1 + length;
        n - length..n
    });
    let x = case.tensor(n);
    case.compare(&format!("tensors of {lengths:?}"), |on| {
        let flat = on.buffer(&x);
        let mut sums = on.tensor_sums_squares(all(&flat), &tensors)?;
        sums.extend(on.tensor_sums_squares(all(&flat), &tensors[3..4])?);
        Ok(vec![on.buffer(&sums)])
    })
}
