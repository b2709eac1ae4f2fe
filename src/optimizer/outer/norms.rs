//! Norms and their median, as several rules need them.
//!
//! A norm that overflows is infinite and counts as the greatest; that of finite values is never a NaN.

use super::given::Given;
use crate::error::Result;

/// The lower median: of an even number the smaller one of the middle, so that fewer than half of the values, however
/// great, never lift it above all others. Of none 0.
pub fn lower_median(values: &[f32]) -> f32 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f32::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or(0.0)
}

/// What brings a norm down to at most `bound`: 1 where it is not above it, else bound / norm, one division.
pub fn clip(bound: f32, norm: f32) -> f32 {
    if norm <= bound { 1.0 } else { bound / norm }
}

/// The norm of every tensor of every update.
pub fn of_tensors(given: &mut Given<'_>) -> Result<Vec<Vec<f32>>> {
    let (engine, count) = (given.engine, given.count());
    let norms = |update| {
        let mut norms = Vec::new();
        given.read(update, |_, values| norms.push(engine.tensor_sum_squares(&values).sqrt()))?;
        Ok(norms)
    };
    (0..count).map(norms).collect()
}
