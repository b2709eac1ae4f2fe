//! CenteredClip (`centered_clip`; Karimireddy, He and Jaggi, 2012.10333, algorithm 2): the estimate v moves, so many times, by
//! the mean of the clipped differences
//!
//! ```text
//! v <- v + 1/n sum_i (x_i - v) min(1, tau / ||x_i - v||)
//! ```
//!
//! v begins at zero. (The paper begins at the last round's estimate, which suits updates that are themselves momenta; here a
//! round stands for itself.) tau is the recipe's `clip_tau`, or where that is 0 the lower median of the updates' norms,
//! the same in all iterations. An update's part in an iteration is at most tau / n, whatever it sends.
//!
//! Differences are one subtraction; norms are A3 over a tensor, a chain over tensors by ascending name; the sum begins at +0
//! and takes the clipped differences by fma, by ascending worker id, then v = fma(1/n, sum, v). An update whose factor is 0 is
//! left out of the sum. Memory: two models and two tensors; every update is read twice an iteration.

use super::given::Given;
use super::norms::{clip, lower_median};
use crate::error::Result;

/// The estimate after so many iterations.
pub fn centered_clip(given: &mut Given<'_>, iterations: u32, tau: f32) -> Result<Vec<f32>> {
    let (engine, count, mut v) = (given.engine, given.count(), vec![0f32; given.total()]);
    let mut radius = tau;
    for iteration in 0..iterations {
        let norms = distances(given, &v)?;
        if iteration == 0 && tau == 0.0 {
            radius = lower_median(&norms);
        }
        let mut sum = vec![0f32; v.len()];
        for (update, norm) in norms.iter().enumerate() {
            let factor = clip(radius, *norm);
            if factor == 0.0 {
                continue;
            }
            given.read(update, |tensor, values| {
                let mut difference = v[tensor.range()].to_vec();
                engine.sub_from(&mut difference, &values);
                engine.fma_into(&mut sum[tensor.range()], factor, &difference);
            })?;
        }
        engine.fma_into(&mut v, 1.0 / count as f32, &sum);
    }
    Ok(v)
}

/// Each update's distance from v.
fn distances(given: &mut Given<'_>, v: &[f32]) -> Result<Vec<f32>> {
    let (engine, count) = (given.engine, given.count());
    let distance = |update| {
        let mut squares = 0f32;
        given.read(update, |tensor, values| {
            let mut difference = v[tensor.range()].to_vec();
            engine.sub_from(&mut difference, &values);
            squares += engine.tensor_sum_squares(&difference);
        })?;
        Ok(squares.sqrt())
    };
    (0..count).map(distance).collect()
}

#[cfg(test)]
mod tests {
    use crate::artifact::recipe::{OuterRecipe, OuterRule};
    use crate::optimizer::outer::testing::{InMemory, run};

    fn rule(clip_iterations: u32, clip_tau: f64) -> OuterRecipe {
        OuterRecipe { rule: OuterRule::CenteredClip, clip_iterations, clip_tau, ..OuterRecipe::default() }
    }

    #[test]
    fn two_iterations_by_hand() {
        // x = (3, 4), (0, 5), (-3, 4), (30, 40), tau = 5.
        // From v = (0, 0): norms 5, 5, 5, 50; the last is scaled by 1/10 to (3, 4).
        // Sum (3 + 0 - 3 + 3, 4 + 5 + 4 + 4) = (3, 17), v = (0.75, 4.25).
        let updates = [vec![3.0, 4.0], vec![0.0, 5.0], vec![-3.0, 4.0], vec![30.0, 40.0]];
        let one = run(&rule(1, 5.0), &mut InMemory::of(&updates)).values;
        assert_eq!(one, [0.75, 4.25]);
        // The median norm is the same 5.
        assert_eq!(run(&rule(1, 0.0), &mut InMemory::of(&updates)).values, one);
        // Differences (2.25, -0.25), (-0.75, 0.75), (-3.75, -0.25), (29.25, 35.75). Norms 2.264, 1.061, 3.758 and
        // sqrt(855.5625 + 1278.0625) = 46.1912; the last is scaled by 0.108246 to (3.16619, 3.86979).
        // Sum (0.91619, 4.11979), a quarter of it (0.22905, 1.02995): v = (0.97905, 5.27995).
        let two = run(&rule(2, 5.0), &mut InMemory::of(&updates)).values;
        assert!((two[0] - 0.97905).abs() < 1e-4 && (two[1] - 5.27995).abs() < 1e-4, "{two:?}");
    }

    #[test]
    fn what_is_close_to_the_estimate_is_not_clipped_and_one_update_is_itself() {
        assert_eq!(run(&rule(1, 100.0), &mut InMemory::of(&[vec![1.0, 2.0], vec![3.0, 6.0]])).values, [2.0, 4.0]);
        assert_eq!(run(&rule(3, 0.0), &mut InMemory::of(&[vec![0.1, -7.0]])).values, [0.1, -7.0]);
        assert_eq!(run(&rule(3, 0.0), &mut InMemory::of(&[vec![0.0, 0.0]])).values, [0.0, 0.0]);
    }

    #[test]
    fn nobody_moves_an_iteration_by_more_than_its_part_of_tau() {
        let honest = [vec![3.0, 4.0], vec![0.0, 5.0], vec![-3.0, 4.0]];
        for size in [1e3, 1e19, 1e30, f32::MAX] {
            let mut updates = honest.to_vec();
            updates.push(vec![size, -size]);
            let made = run(&rule(3, 0.0), &mut InMemory::of(&updates)).values;
            // Without it the estimate is (0, 4.33); three iterations of 5 / 4 are the most that it can do.
            let moved = ((made[0]).powi(2) + (made[1] - 13.0 / 3.0).powi(2)).sqrt();
            assert!(moved < 3.75, "{size:e}: {made:?}");
        }
    }
}
