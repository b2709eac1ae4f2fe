//! Shapley values: each worker's mean marginal gain over all orders in which the workers could have come
//! (Shapley, "A value for n-person games", 1953), as integers that add up to the total gain to the last unit.
//!
//! Up to [`EXACT`] workers exactly, from all 2^n coalitions; above that by Monte Carlo over seeded permutations in
//! antithetic pairs, each with its reverse, truncated where nothing is left to gain (Ghorbani and Zou, "Data Shapley",
//! ICML 2019; Mitchell et al., "Sampling permutations for Shapley value estimation", JMLR 2022).

mod coalitions;
mod exact;
mod sampled;

pub use coalitions::Coalitions;
pub use exact::exact;
pub use sampled::{Sampling, sampled};

use crate::error::Result;

/// Up to so many workers the values are exact: 1024 coalitions.
pub const EXACT: usize = 10;

/// Shapley values, in the unit of the coalitions' worth, by ascending worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shapley {
    /// The values. Their sum is the worth of all workers less that of none, exactly.
    pub values: Vec<i128>,
    /// The standard error of each, rounded up; 0 where they are exact.
    pub standard_error: Vec<u128>,
    /// The most that truncation can have moved each where no worker does harm, rounded up: what was still to gain in
    /// the permutations that were cut before this worker, on the mean. Beside the standard error, not in it.
    pub truncation: Vec<u128>,
    /// How many coalitions were evaluated.
    pub evaluations: u64,
}

/// The Shapley values of `workers` workers, 64 at most, by the worth of coalitions, which come as ascending indices.
/// `sampling` and `key` decide above [`EXACT`] workers only.
pub fn shapley<F>(workers: usize, sampling: &Sampling, key: [u32; 2], worth: F) -> Result<Shapley>
where
    F: FnMut(&[usize]) -> Result<i128>,
{
    let mut coalitions = Coalitions::new(workers, worth)?;
    match workers {
        0..=EXACT => exact(&mut coalitions),
        _ => sampled(&mut coalitions, sampling, key),
    }
}

/// How many coalitions [`shapley`] evaluates at most: with none and all.
pub fn evaluations(workers: usize, sampling: &Sampling) -> u64 {
    match workers {
        0..=EXACT => 1 << workers,
        _ => sampling.evaluations(workers),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::philox::philox;
    use crate::error::Error;

    const SAMPLING: Sampling = Sampling { pairs: 100, tolerance_ppm: 0 };

    type Game = dyn Fn(&[usize]) -> i128;

    fn values(workers: usize, worth: impl Fn(&[usize]) -> i128) -> Vec<i128> {
        shapley(workers, &SAMPLING, [1, 2], |members| Ok(worth(members))).unwrap().values
    }

    /// Seeded worths of coalitions, without any structure.
    fn noise(seed: u32) -> impl Fn(&[usize]) -> i128 {
        move |members| {
            let mask: u64 = members.iter().map(|m| 1 << m).sum();
            let [a, b, ..] = philox([seed, 0x5a], [mask as u32, (mask >> 32) as u32, 0, 0]);
            if mask == 0 { -3 } else { (i128::from(a as i32) << 32) + i128::from(b) }
        }
    }

    /// Gains with ever less from each further worker, as updates have them.
    fn saturating(workers: usize, members: &[usize]) -> i128 {
        let sum: i128 = members.iter().map(|&m| 100 + (m as i128 * 37) % 91).sum();
        (sum << (64 - workers.ilog2())).isqrt() << 8
    }

    #[test]
    fn the_glove_game() {
        // Workers 0 and 1 have a left glove, 2 the right one: 1/6, 1/6, 4/6.
        let worth = |members: &[usize]| i128::from(members.contains(&2) && members.len() > 1) * 600;
        assert_eq!(values(3, worth), [100, 100, 400]);
    }

    #[test]
    fn the_airport_game() {
        // Runways of 12, 24 and 60: 12/3, then 12/2 more, then 36 more.
        let costs = [12, 24, 60];
        let worth = |members: &[usize]| members.iter().map(|&m| costs[m]).max().unwrap_or(0);
        assert_eq!(values(3, worth), [4, 10, 46]);
    }

    #[test]
    fn equals_share_and_who_adds_nothing_gets_nothing() {
        // Worth 100 once all of 0, 1, 3 are there; 2 is a dummy. The unit left over goes to the first.
        let worth = |members: &[usize]| i128::from([0, 1, 3].iter().all(|m| members.contains(m))) * 100;
        assert_eq!(values(4, worth), [34, 33, 0, 33]);
    }

    #[test]
    fn in_an_additive_game_each_gets_its_own() {
        let own = [5, -7, 0, 1 << 90, -(1 << 80), 3, 3, 11, -1, 2];
        let worth = |members: &[usize]| members.iter().map(|&m| own[m]).sum::<i128>() + 17;
        for workers in 0..=10 {
            assert_eq!(values(workers, worth), own[..workers]);
        }
        // Sampled just as well, whatever is drawn.
        let own: Vec<i128> = (0..20).map(|i| i * i - 50).collect();
        assert_eq!(values(20, |members| members.iter().map(|&m| own[m]).sum::<i128>()), own);
    }

    #[test]
    fn two_that_bring_the_same_share_it() {
        // 1 is a copy of 0: what either brings is there once.
        let worth = |members: &[usize]| {
            let copied = members.contains(&0) || members.contains(&1);
            i128::from(copied) * 1000 + i128::from(members.contains(&2)) * 1000
        };
        assert_eq!(values(3, worth), [500, 500, 1000]);
        assert_eq!(values(1, |members| members.len() as i128 * 77), [77]);
        assert_eq!(values(0, |_| 5), []);
    }

    #[test]
    fn values_add_up_to_the_last_unit_exact_and_sampled() {
        for seed in 0..40 {
            let workers = 1 + seed as usize % 16;
            let worth = noise(seed);
            let everyone: Vec<usize> = (0..workers).collect();
            let total = worth(&everyone) - worth(&[]);
            assert_eq!(values(workers, &worth).iter().sum::<i128>(), total, "{workers}");
            for tolerance_ppm in [0, 10_000, 1_000_000] {
                let mut coalitions = Coalitions::new(workers, |members: &[usize]| Ok(worth(members))).unwrap();
                let found = sampled(&mut coalitions, &Sampling { pairs: 3, tolerance_ppm }, [seed, 9]).unwrap();
                assert_eq!(found.values.iter().sum::<i128>(), total, "{workers} {tolerance_ppm}");
            }
        }
    }

    #[test]
    fn exact_values_are_the_mean_over_all_orders() {
        let worth = noise(4);
        let mut orders = vec![vec![]];
        for next in 0..5 {
            let insert = |order: &Vec<usize>, at: usize| [&order[..at], &[next], &order[at..]].concat();
            orders = orders.iter().flat_map(|order| (0..=order.len()).map(move |at| insert(order, at))).collect();
        }
        assert_eq!(orders.len(), 120);
        let mut sums = [0; 5];
        for order in &orders {
            for at in 0..5 {
                let sorted = |count: usize| {
                    let mut members = order[..count].to_vec();
                    members.sort_unstable();
                    worth(&members)
                };
                sums[order[at]] += sorted(at + 1) - sorted(at);
            }
        }
        for (found, sum) in values(5, &worth).iter().zip(sums) {
            assert!([0, 1].contains(&(found - sum.div_euclid(120))), "{found} {sum}");
        }
    }

    #[test]
    fn monte_carlo_lies_within_its_stated_error_of_the_exact() {
        let (mut within_one, mut within_two, mut all) = (0, 0, 0);
        for seed in 0..40 {
            let unstructured = noise(seed);
            let smooth = |members: &[usize]| saturating(10, members);
            let games: [&Game; 2] = [&unstructured, &smooth];
            for (game, worth) in games.into_iter().enumerate() {
                let exact = values(10, worth);
                let mut coalitions = Coalitions::new(10, |members: &[usize]| Ok(worth(members))).unwrap();
                let sampling = Sampling { pairs: 60, tolerance_ppm: 0 };
                let found = sampled(&mut coalitions, &sampling, [seed, 3]).unwrap();
                assert!(found.evaluations <= sampling.evaluations(10) && found.truncation == [0; 10]);
                for ((value, exact), error) in found.values.iter().zip(&exact).zip(&found.standard_error) {
                    let off = (value - exact).unsigned_abs();
                    assert!(off <= 5 * error + 1, "{seed} {game}: {off} {error}");
                    all += 1;
                    within_one += u32::from(off <= error + 1);
                    within_two += u32::from(off <= 2 * error + 1);
                }
            }
        }
        // Of normal errors 68.3 % and 95.4 %.
        assert!((62..76).contains(&(within_one * 100 / all)), "{within_one} of {all}");
        assert!(within_two * 100 >= all * 93, "{within_two} of {all}");
    }

    #[test]
    fn truncation_saves_evaluations_and_says_what_it_costs() {
        // Nothing is left to gain once eight have come.
        let worth = |members: &[usize]| Ok((members.len().min(8) as i128) << 40);
        let run = |tolerance_ppm| shapley(30, &Sampling { pairs: 20, tolerance_ppm }, [8, 8], worth).unwrap();
        let (whole, cut, coarse) = (run(0), run(1), run(300_000));
        assert!(cut.evaluations < whole.evaluations / 3, "{} {}", cut.evaluations, whole.evaluations);
        assert_eq!((&cut.values, &cut.truncation), (&whole.values, &vec![0; 30]));
        assert!(coarse.evaluations < cut.evaluations);
        for i in 0..30 {
            let off = (coarse.values[i] - whole.values[i]).unsigned_abs();
            assert!(off <= coarse.truncation[i] + 1 && off > 0, "{off} {}", coarse.truncation[i]);
        }
    }

    #[test]
    fn the_same_key_gives_the_same_values_and_another_key_others() {
        let run = |key| shapley(12, &SAMPLING, key, |members| Ok(saturating(12, members))).unwrap();
        assert_eq!(run([1, 1]), run([1, 1]));
        assert_ne!(run([1, 1]).values, run([1, 2]).values);
    }

    #[test]
    fn no_more_is_evaluated_than_was_said_and_nothing_twice() {
        assert_eq!(evaluations(0, &SAMPLING), 1);
        assert_eq!(evaluations(10, &SAMPLING), 1024);
        // None and all, 11 of one or ten, 55 of two or nine, 165 of three or eight; else two a pair.
        assert_eq!(evaluations(11, &SAMPLING), 2 + 22 + 110 + 330 + 4 * 200);
        assert_eq!(evaluations(11, &Sampling { pairs: 1 << 20, tolerance_ppm: 0 }), 1 << 11);
        assert_eq!(evaluations(64, &Sampling { pairs: 1000, tolerance_ppm: 0 }), 2 + 128 + 61 * 2000);
        for workers in [1, 5, 10, 11, 13, 40, 64] {
            let sampling = Sampling { pairs: 7, tolerance_ppm: 0 };
            let mut seen = Vec::new();
            let found = shapley(workers, &sampling, [0, 0], |members| {
                seen.push(members.to_vec());
                Ok(members.len() as i128)
            });
            assert_eq!(found.unwrap().evaluations, seen.len() as u64);
            assert!(seen.len() as u64 <= evaluations(workers, &sampling), "{workers}");
            assert!(seen.iter().all(|members| members.is_sorted()));
            seen.sort();
            seen.dedup();
            assert_eq!(shapley(workers, &sampling, [0, 0], |_| Ok(0)).unwrap().evaluations, seen.len() as u64);
        }
    }

    #[test]
    fn errors_come_through_and_nonsense_is_refused() {
        let fails = |members: &[usize]| match members.len() {
            2 => Err(Error::data("no such model")),
            n => Ok(n as i128),
        };
        assert_eq!(shapley(3, &SAMPLING, [0, 0], fails).unwrap_err().to_string(), "no such model");
        assert!(shapley(65, &SAMPLING, [0, 0], |_| Ok(0)).is_err());
        assert!(shapley(64, &SAMPLING, [0, 0], |_| Ok(0)).is_ok());
        assert!(shapley(2, &SAMPLING, [0, 0], |members| Ok((members.len() as i128) << 96)).is_err());
        for (pairs, tolerance_ppm) in [(0, 0), (1, 0), (1 << 21, 0), (2, 1_000_001)] {
            assert!(shapley(11, &Sampling { pairs, tolerance_ppm }, [0, 0], |_| Ok(0)).is_err());
        }
    }
}
