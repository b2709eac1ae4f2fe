//! The majority's sign (`sign`): signSGD with majority vote (Bernstein and others, 1810.05291), by the magnitude of scaled
//! sign descent (Karimireddy and others, 1901.09847).
//!
//! Each update votes on every coordinate with its sign, zero with none; the direction is the sign of the votes' sum, +0 in a
//! tie, times one magnitude for the whole tensor: the lower median over the updates of ||x||_1 / d, d the tensor's elements
//! (A3, then a multiplication by the reciprocal). A vote is a vote, whatever its size; and no tensor moves farther, in the
//! sum of its magnitudes, than the median update asks for. DeMo (2411.19870) takes the sign of the decoded sum, which whoever
//! sends the largest value decides.
//!
//! Memory: one model and a tensor. On sparse payloads few coordinates have more than one vote: for dense codecs.

use super::given::Given;
use super::norms::lower_median;
use crate::error::Result;

/// The majority's signs by the median magnitudes.
pub fn sign(given: &mut Given<'_>) -> Result<Vec<f32>> {
    // Sums of fewer than 2^24 votes are exact.
    let (engine, tensors, mut votes) = (given.engine, given.tensors, vec![0f32; given.total()]);
    let mut lengths: Vec<Vec<f32>> = vec![Vec::new(); tensors.len()];
    for update in 0..given.count() {
        let mut lengths = lengths.iter_mut();
        given.read(update, |tensor, mut values| {
            for (votes, value) in votes[tensor.range()].iter_mut().zip(&mut values) {
                *votes += f32::from(i8::from(*value > 0.0) - i8::from(*value < 0.0));
                *value = value.abs();
            }
            let length = engine.tensor_sum(&values);
            lengths.next().into_iter().for_each(|all| all.push(length));
        })?;
    }
    for (tensor, lengths) in tensors.iter().zip(&lengths) {
        let magnitude = lower_median(lengths) * (1.0 / tensor.len() as f32);
        for vote in &mut votes[tensor.range()] {
            *vote = match *vote {
                v if v > 0.0 => magnitude,
                v if v < 0.0 => -magnitude,
                _ => 0.0,
            };
        }
    }
    Ok(votes)
}

#[cfg(test)]
mod tests {
    use crate::artifact::recipe::{OuterRecipe, OuterRule};
    use crate::optimizer::outer::testing::{InMemory, run};

    #[test]
    fn the_majority_decides_and_the_median_says_how_far() {
        // Votes: + + - = +, - - + = -, + 0 - = tie, 0 0 + = +. Mean magnitudes (1 + 2 + 1) / 4 = 1, (3 + 1) / 4 = 1 and
        // (9 + 9 + 9 + 9) / 4 = 9: the median is 1.
        let updates = [vec![1.0, -2.0, 1.0, 0.0], vec![3.0, -1.0, 0.0, 0.0], vec![-9.0, 9.0, -9.0, 9.0]];
        let rule = OuterRecipe { rule: OuterRule::Sign, ..OuterRecipe::default() };
        assert_eq!(run(&rule, &mut InMemory::of(&updates)).values, [1.0, -1.0, 0.0, 1.0]);
    }
}
