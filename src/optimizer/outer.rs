//! The outer step: theta' = theta - alpha * (1/R) * sum_r sent_r (SparseLoCo, 2508.15706).

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::model::Layout;

/// One tensor's outer step. `sent` are the decoded updates by ascending worker id (A8); the sum is a chain of
/// additions from the first, the average a multiplication by the reciprocal of their number, and the step one fma.
///
/// Without any update theta stays as it is.
pub fn outer_step(engine: Engine, tensor: &str, theta: &mut [f32], sent: Vec<Vec<f32>>, alpha: f32) -> Result<()> {
    let count = sent.len();
    let mut sent = sent.into_iter();
    let Some(mut sum) = sent.next() else { return Ok(()) };
    sent.for_each(|update| engine.add_into(&mut sum, &update));
    step(engine, tensor, theta, &mut sum, count, alpha)
}

/// The step by a sum of `count` updates.
fn step(engine: Engine, tensor: &str, theta: &mut [f32], sum: &mut [f32], count: usize, alpha: f32) -> Result<()> {
    engine.scale(sum, 1.0 / count as f32);
    engine.fma_into(theta, -alpha, sum);
    match engine.first_non_finite(theta) {
        None => Ok(()),
        Some(i) => Err(Error::data(format!("tensor {tensor}: element {i} is not finite after the outer step"))),
    }
}

/// The sum of many updates, taken one after the other: memory for one model, however many there are.
#[derive(Default)]
pub struct OuterSum {
    sum: Vec<f32>,
    count: usize,
}

impl OuterSum {
    /// Takes the next update, by ascending worker id; `decode` gives the values of a tensor by its name.
    pub fn add(
        &mut self,
        engine: Engine,
        layout: &Layout,
        mut decode: impl FnMut(&str) -> Result<Vec<f32>>,
    ) -> Result<()> {
        self.sum.resize(layout.total, 0.0);
        for tensor in &layout.tensors {
            let (values, sum) = (decode(&tensor.name)?, &mut self.sum[tensor.range()]);
            match self.count {
                0 => sum.copy_from_slice(&values),
                _ => engine.add_into(sum, &values),
            }
        }
        self.count += 1;
        Ok(())
    }

    /// Takes the outer step: the bits of [`outer_step`], tensor by tensor.
    pub fn step(mut self, engine: Engine, layout: &Layout, theta: &mut [f32], alpha: f32) -> Result<()> {
        if self.count == 0 {
            return Ok(());
        }
        for tensor in &layout.tensors {
            let range = tensor.range();
            step(engine, &tensor.name, &mut theta[range.clone()], &mut self.sum[range], self.count, alpha)?;
        }
        Ok(())
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
