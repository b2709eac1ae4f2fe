//! Shapley values by Monte Carlo over permutations.

use super::super::remainder::divide_exactly;
use super::super::spread::standard_error;
use super::Shapley;
use super::coalitions::Coalitions;
use crate::engine::philox::philox;
use crate::error::{Error, Result};

/// How permutations are sampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampling {
    /// Antithetic pairs: a permutation and its reverse, 2 to 2^20.
    pub pairs: u32,
    /// A permutation is cut where what the rest of it still gains is at most so many millionths of the total gain,
    /// either in magnitude. What is left is shared equally by those who were not reached, so that harm among them is
    /// not seen. 0 cuts nothing.
    pub tolerance_ppm: u32,
}

impl Sampling {
    const MAX_PAIRS: u32 = 1 << 20;

    fn check(&self) -> Result<()> {
        if !(2..=Self::MAX_PAIRS).contains(&self.pairs) {
            let count = format!("expected 2 to {} pairs of permutations, found {}", Self::MAX_PAIRS, self.pairs);
            return Err(Error::data(count));
        }
        if self.tolerance_ppm > 1_000_000 {
            let found = self.tolerance_ppm;
            return Err(Error::data(format!("expected a tolerance of at most 1000000 ppm, found {found}")));
        }
        Ok(())
    }

    /// How many coalitions are evaluated at most for so many workers: of each size as many as there are permutations,
    /// or coalitions of that size.
    pub fn evaluations(&self, workers: usize) -> u64 {
        let permutations = 2 * u128::from(self.pairs);
        let n = workers as u128;
        // Binomials of 64 fit.
        let coalitions = (0..n).scan(1u128, |count, size| {
            *count = *count * (n - size) / (size + 1);
            Some(*count)
        });
        let distinct: u128 = coalitions.take(workers.saturating_sub(1)).map(|count| count.min(permutations)).sum();
        distinct as u64 + 1 + u64::from(workers > 0)
    }
}

/// Estimates of the values, from pairs of permutations drawn by `key`.
///
/// A pair is one sample of each worker's value: the mean of its marginal gains in both orders. The marginal gains of
/// every order add up to v(all) - v(none), and so do their means, rounded by largest remainder, ties to the earlier
/// worker.
pub fn sampled<F: FnMut(&[usize]) -> Result<i128>>(
    coalitions: &mut Coalitions<F>,
    sampling: &Sampling,
    key: [u32; 2],
) -> Result<Shapley> {
    sampling.check()?;
    let n = coalitions.workers();
    let pairs = sampling.pairs;
    // The two orders' marginal gains together, by worker and pair.
    let mut samples = vec![vec![0i128; pairs as usize]; n];
    let mut truncated = vec![0u128; n];
    for pair in 0..pairs {
        let mut order = permutation(key, pair, n);
        for _ in 0..2 {
            let mut add = |worker: usize, gain: i128| samples[worker][pair as usize] += gain;
            walk(coalitions, sampling.tolerance_ppm, &order, &mut add, &mut truncated)?;
            order.reverse();
        }
    }
    let orders = 2 * i128::from(pairs);
    let sums: Vec<i128> = samples.iter().map(|sample| sample.iter().sum()).collect();
    // Of the pairs' sums, so of twice the value.
    let error = |sample: &Vec<i128>| standard_error(sample).unwrap_or(0).div_ceil(2);
    Ok(Shapley {
        values: divide_exactly(&sums, orders),
        standard_error: samples.iter().map(error).collect(),
        truncation: truncated.iter().map(|t| t.div_ceil(orders.unsigned_abs())).collect(),
        evaluations: coalitions.evaluations(),
    })
}

/// The workers in the order of 64 bits of the block at each and the pair.
fn permutation(key: [u32; 2], pair: u32, workers: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..workers).collect();
    order.sort_by_cached_key(|&i| {
        let [low, high, ..] = philox(key, [i as u32, pair, 0, 0]);
        (u64::from(high) << 32 | u64::from(low), i)
    });
    order
}

/// Adds every worker's marginal gain in an order, and to `truncated` what was left where the order was cut.
fn walk<F: FnMut(&[usize]) -> Result<i128>>(
    coalitions: &mut Coalitions<F>,
    tolerance_ppm: u32,
    order: &[usize],
    add: &mut impl FnMut(usize, i128),
    truncated: &mut [u128],
) -> Result<()> {
    let none = coalitions.worth(0)?;
    let all = coalitions.worth(coalitions.everyone())?;
    let allowed = (all - none).unsigned_abs() * u128::from(tolerance_ppm);
    let (mut members, mut worth) = (0, none);
    for (at, &worker) in order.iter().enumerate() {
        let rest = all - worth;
        if tolerance_ppm > 0 && at > 0 && rest.unsigned_abs() * 1_000_000 <= allowed {
            let left = &order[at..];
            let count = left.len() as i128;
            for (place, &worker) in left.iter().enumerate() {
                let one_more = i128::from((place as i128) < rest.rem_euclid(count));
                add(worker, rest.div_euclid(count) + one_more);
                truncated[worker] += rest.unsigned_abs();
            }
            return Ok(());
        }
        members |= 1 << worker;
        let with = coalitions.worth(members)?;
        add(worker, with - worth);
        worth = with;
    }
    Ok(())
}
