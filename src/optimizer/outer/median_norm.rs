//! Clipping to the median norm (`median_norm`), as Gauntlet does it (2505.21684): every tensor of an update is scaled by
//! min(1, median / own), the median over the updates' norms of that tensor; then the mean.
//!
//! The median is the lower one. A tensor of a norm that is not finite is scaled by 0. Fewer than half of the updates move the
//! result by no more than the median norm times their part of all. Memory: one model, one tensor, n norms a tensor; every
//! update is read twice.

use super::given::Given;
use super::mean::weighted;
use super::norms::{clip, lower_median, of_tensors};
use crate::error::Result;

/// The mean of the clipped updates.
pub fn median_norm(given: &mut Given<'_>) -> Result<Vec<f32>> {
    let norms = of_tensors(given)?;
    let of_tensor = |t: usize| norms.iter().map(|update| update[t]).collect::<Vec<f32>>();
    let medians: Vec<f32> = (0..given.tensors.len()).map(|t| lower_median(&of_tensor(t))).collect();
    let all: Vec<usize> = (0..given.count()).collect();
    weighted(given, &all, |update, tensor| clip(medians[tensor], norms[update][tensor]))
}
