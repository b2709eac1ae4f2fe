//! The outer step: theta' = theta - alpha * (1/R) * sum_r sent_r (SparseLoCo, 2508.15706).

use crate::error::{Error, Result};

/// One tensor's outer step. `sent` are the decoded updates by ascending worker id (A8); the sum is a chain of
/// additions from the first, the average a multiplication by the reciprocal of their number, and the step one fma.
///
/// Without any update theta stays as it is.
pub fn outer_step(tensor: &str, theta: &mut [f32], sent: &[Vec<f32>], alpha: f32) -> Result<()> {
    let Some((first, rest)) = sent.split_first() else { return Ok(()) };
    let reciprocal = 1.0 / sent.len() as f32;
    for (i, value) in theta.iter_mut().enumerate() {
        let sum = rest.iter().fold(first[i], |sum, update| sum + update[i]);
        *value = (-alpha).mul_add(sum * reciprocal, *value);
        if !value.is_finite() {
            return Err(Error::data(format!("tensor {tensor}: element {i} is not finite after the outer step")));
        }
    }
    Ok(())
}
