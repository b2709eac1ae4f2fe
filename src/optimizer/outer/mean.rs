//! The mean (`mean`): a chain of additions from the first update, then a multiplication by the reciprocal of their number.
//!
//! Memory: one model, however many updates there are. Whoever sends the largest values decides: nothing is bounded.

use super::given::Given;
use crate::error::Result;

/// The mean of all.
pub fn mean(given: &mut Given<'_>) -> Result<Vec<f32>> {
    let all: Vec<usize> = (0..given.count()).collect();
    weighted(given, &all, |_, _| 1.0)
}

/// The mean of the updates `chosen`, ascending, each tensor scaled first by `factor` of update and tensor.
pub fn weighted(given: &mut Given<'_>, chosen: &[usize], factor: impl Fn(usize, usize) -> f32) -> Result<Vec<f32>> {
    let (engine, mut sum) = (given.engine, vec![0.0; given.total()]);
    for (nth, &update) in chosen.iter().enumerate() {
        let mut tensors = 0..;
        given.read(update, |tensor, mut values| {
            let factor = factor(update, tensors.next().unwrap_or(0));
            if factor != 1.0 {
                engine.scale(&mut values, factor);
            }
            let sum = &mut sum[tensor.range()];
            match nth {
                0 => sum.copy_from_slice(&values),
                _ => engine.add_into(sum, &values),
            }
        })?;
    }
    engine.scale(&mut sum, 1.0 / chosen.len() as f32);
    Ok(sum)
}
