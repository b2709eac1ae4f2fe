//! What each update's pay goes by: its gain alone, or its part in what all of them gain together.

use super::pay_rules::{PayRule, Weighting};
use super::shapley::{Coalitions, Sampling, evaluations, shapley};
use crate::artifact::recipe::{PayName, PayRecipe};
use crate::error::Result;

/// What the updates that count are worth, in the unit of their gains, by ascending worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worth {
    /// What pay goes by.
    pub values: Vec<i128>,
    /// The standard error of each, rounded up, with what truncation can have moved it; none where they are exact.
    pub error: Option<Vec<u128>>,
}

impl PayRule {
    /// The rule of a recipe.
    pub fn of(pay: &PayRecipe) -> Result<PayRule> {
        let weighting = match pay.rule {
            PayName::Proportional | PayName::LeaveOneOut => Weighting::Proportional,
            PayName::Power => Weighting::Power(pay.exponent),
            PayName::Rank => Weighting::Rank,
            PayName::Shapley => Weighting::Shapley,
        };
        PayRule::new(weighting, pay.cap_ppm)
    }
}

/// How many coalitions of two and more workers are measured at most beside each worker alone.
pub fn coalitions(pay: &PayRecipe, workers: usize) -> u64 {
    match pay.rule {
        PayName::Proportional | PayName::Power | PayName::Rank => 0,
        PayName::Shapley => evaluations(workers, &sampling(pay)).saturating_sub(1 + workers as u64),
        // Everybody, and everybody but one: of two workers the latter are the workers alone.
        PayName::LeaveOneOut => match workers {
            0 | 1 => 0,
            2 => 1,
            n => 1 + n as u64,
        },
    }
}

/// The worth of updates with these gains alone. `together` measures the gain of two and more of them, by ascending
/// indices; `key` draws permutations.
pub fn worth(
    pay: &PayRecipe,
    gains: &[i128],
    key: [u32; 2],
    mut together: impl FnMut(&[usize]) -> Result<i128>,
) -> Result<Worth> {
    let value = |members: &[usize]| match members {
        [] => Ok(0),
        [one] => Ok(gains[*one]),
        many => together(many),
    };
    match pay.rule {
        PayName::Proportional | PayName::Power | PayName::Rank => Ok(Worth { values: gains.to_vec(), error: None }),
        PayName::Shapley => {
            let found = shapley(gains.len(), &sampling(pay), key, value)?;
            let error = found.standard_error.iter().zip(&found.truncation).map(|(a, b)| a.saturating_add(*b)).collect();
            Ok(Worth { values: found.values, error: Some(error) })
        }
        PayName::LeaveOneOut => {
            let mut game = Coalitions::new(gains.len(), value)?;
            let everyone = game.everyone();
            let all = game.worth(everyone)?;
            let without = |i: usize| Ok(all - game.worth(everyone & !(1 << i))?);
            Ok(Worth { values: (0..gains.len()).map(without).collect::<Result<_>>()?, error: None })
        }
    }
}

fn sampling(pay: &PayRecipe) -> Sampling {
    // The recipe's check bounds it.
    Sampling { pairs: pay.shapley_pairs, tolerance_ppm: pay.shapley_tolerance_ppm as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(rule: PayName, gains: &[i128]) -> (Worth, u64) {
        let pay = PayRecipe { rule, ..PayRecipe::default() };
        let mut measured = 0;
        // Together they gain the sum of their gains, less 10 for each after the first.
        let worth = worth(&pay, gains, [1, 2], |members| {
            measured += 1;
            Ok(members.iter().map(|&m| gains[m]).sum::<i128>() - 10 * (members.len() as i128 - 1))
        });
        assert!(measured <= coalitions(&pay, gains.len()), "{rule:?}: {measured} of {gains:?}");
        (worth.unwrap(), measured)
    }

    #[test]
    fn gains_alone_need_nothing_more() {
        for rule in [PayName::Proportional, PayName::Power, PayName::Rank] {
            let (worth, measured) = found(rule, &[5, -3, 40]);
            assert_eq!((worth.values, worth.error, measured), (vec![5, -3, 40], None, 0));
        }
    }

    #[test]
    fn leave_one_out_is_what_the_others_lack() {
        // 100 + 60 + 30 - 20 = 170; without the first 80, without the second 120, without the third 150.
        let (worth, measured) = found(PayName::LeaveOneOut, &[100, 60, 30]);
        assert_eq!((worth.values, measured), (vec![90, 50, 20], 4));
        // Of two: 150 less the other alone.
        assert_eq!(found(PayName::LeaveOneOut, &[100, 60]).0.values, [90, 50]);
        assert_eq!(found(PayName::LeaveOneOut, &[100]).0.values, [100]);
        assert_eq!(found(PayName::LeaveOneOut, &[]).0.values, []);
    }

    #[test]
    fn shapley_values_share_what_is_lost_together() {
        // Each of three loses 10 for coming later: on the mean 20 / 3.
        let (worth, measured) = found(PayName::Shapley, &[100, 60, 30]);
        assert_eq!(worth.values.iter().sum::<i128>(), 170);
        assert_eq!((worth.values, worth.error, measured), (vec![94, 53, 23], Some(vec![0; 3]), 4));
        let many: Vec<i128> = (0..14).map(|i| 100 + i).collect();
        let (worth, _) = found(PayName::Shapley, &many);
        assert_eq!(worth.values.iter().sum::<i128>(), many.iter().sum::<i128>() - 130);
        assert!(worth.error.unwrap().iter().all(|e| *e <= 1));
    }
}
