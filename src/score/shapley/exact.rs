//! Shapley values from all coalitions.

use super::super::remainder::divide_exactly;
use super::coalitions::Coalitions;
use super::{EXACT, Shapley};
use crate::error::{Error, Result};

/// The exact values of up to [`EXACT`] workers, from all 2^n coalitions.
///
/// phi_i = sum over S without i of |S|! (n - |S| - 1)! (v(S + i) - v(S)), over n!. The numerators are exact integers,
/// and the quotients are rounded by largest remainder, ties to the earlier worker, so that they add up to v(all) -
/// v(none).
pub fn exact<F: FnMut(&[usize]) -> Result<i128>>(coalitions: &mut Coalitions<F>) -> Result<Shapley> {
    let n = coalitions.workers();
    if n > EXACT {
        return Err(Error::data(format!("expected at most {EXACT} workers for exact Shapley values, found {n}")));
    }
    let worth: Vec<i128> = (0..1u64 << n).map(|members| coalitions.worth(members)).collect::<Result<_>>()?;
    let factorials: Vec<i128> =
        (0..=n as i128).scan(1, |product, i| Some(std::mem::replace(product, *product * (i + 1)))).collect();
    let numerator = |i: usize| -> i128 {
        let without = (0..worth.len()).filter(|members| members >> i & 1 == 0);
        let orders = |members: usize| {
            let before = members.count_ones() as usize;
            factorials[before] * factorials[n - before - 1]
        };
        without.map(|members| orders(members) * (worth[members | 1 << i] - worth[members])).sum()
    };
    let numerators: Vec<i128> = (0..n).map(numerator).collect();
    Ok(Shapley {
        values: divide_exactly(&numerators, factorials[n]),
        standard_error: vec![0; n],
        truncation: vec![0; n],
        evaluations: coalitions.evaluations(),
    })
}
