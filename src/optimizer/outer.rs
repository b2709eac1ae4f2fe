//! The outer step: theta' = theta - alpha * (1/R) * sum_r sent_r (SparseLoCo, 2508.15706).

use crate::engine::Engine;
use crate::error::{Error, Result};

/// One tensor's outer step. `sent` are the decoded updates by ascending worker id (A8); the sum is a chain of
/// additions from the first, the average a multiplication by the reciprocal of their number, and the step one fma.
///
/// Without any update theta stays as it is.
pub fn outer_step(engine: Engine, tensor: &str, theta: &mut [f32], sent: Vec<Vec<f32>>, alpha: f32) -> Result<()> {
    let reciprocal = 1.0 / sent.len() as f32;
    let mut sent = sent.into_iter();
    let Some(mut sum) = sent.next() else { return Ok(()) };
    sent.for_each(|update| engine.add_into(&mut sum, &update));
    engine.scale(&mut sum, reciprocal);
    engine.fma_into(theta, -alpha, &sum);
    match engine.first_non_finite(theta) {
        None => Ok(()),
        Some(i) => Err(Error::data(format!("tensor {tensor}: element {i} is not finite after the outer step"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn theta_moves_against_the_mean_of_what_was_sent() {
        let mut theta = [1.0, 2.0];
        let sent = vec![vec![0.5, -1.0], vec![1.5, 3.0]];
        outer_step(Engine::detect(), "w", &mut theta, sent, 0.5).unwrap();
        assert_eq!(theta, [0.5, 1.5]);
        outer_step(Engine::detect(), "w", &mut theta, Vec::new(), 0.5).unwrap();
        assert_eq!(theta, [0.5, 1.5]);
    }

    #[test]
    fn a_step_out_of_range_names_its_tensor() {
        let error = outer_step(Engine::detect(), "w", &mut [f32::MAX], vec![vec![-f32::MAX]], 2.0).unwrap_err();
        assert!(error.to_string().contains("tensor w: element 0"), "{error}");
    }
}
