//! One score of several validators': the clipped median of Yuma consensus, without stake.
//!
//! Bittensor's Yuma consensus: with weights S_i of the validators and W_ij what validator i gives to worker j, the
//! ceiling C_j is the largest w with `sum_i S_i [W_ij >= w] >= kappa sum_i S_i`; what is above it is clipped, Wc =
//! min(W, C); and R_j = `sum_i S_i Wc_ij / sum_i S_i`, the incentive I = R / sum R. There S is stake; here it is one
//! vote a validator, or what a recipe gives each.

use super::payout::Payout;
use crate::error::{Error, Result};

/// One whole, in millionths.
const MILLION: u64 = 1_000_000;

/// What validators agree on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClippedMedian {
    /// C: the most that at least kappa of the weight gives each worker, in msat.
    pub ceiling_msat: Vec<u64>,
    /// R, rounded down, and the rest of the round for the payer.
    pub payout: Payout,
    /// I: each worker's part of all that is paid, in millionths, rounded down; 0 where nothing is.
    pub incentive_ppm: Vec<u64>,
}

/// Merges what validators give: `given[i][j]` is the msat of validator i, of weight `weights[i]`, for worker j.
///
/// Less than `kappa_ppm` (1 to 1000000, 500000 for a half) of the weight cannot raise anybody above what one of the
/// rest gives. With a half and two equal validators each is a half alone: three are the fewest that outvote one.
///
/// Nobody gives more than the round's msat in all, so R never pays more than that.
pub fn clipped_median<R: AsRef<[u64]>>(
    round_msat: u64,
    weights: &[u64],
    kappa_ppm: u64,
    given: &[R],
) -> Result<ClippedMedian> {
    let rows: Vec<&[u64]> = given.iter().map(AsRef::as_ref).collect();
    let total = check(round_msat, weights, kappa_ppm, &rows)?;
    let workers = rows.first().map_or(0, |row| row.len());
    let column = |j: usize| rows.iter().zip(weights).map(move |(row, &weight)| (row[j], weight));
    let ceiling_msat: Vec<u64> = (0..workers).map(|j| ceiling(column(j), total, kappa_ppm)).collect();
    // At most the total weight times a validator's largest gift, and over all workers, times all that it may give.
    let clipped = |(j, &ceiling): (usize, &u64)| -> u128 {
        column(j).map(|(msat, weight)| u128::from(weight) * u128::from(msat.min(ceiling))).sum()
    };
    let weighed: Vec<u128> = ceiling_msat.iter().enumerate().map(clipped).collect();
    let msat: Vec<u64> = weighed.iter().map(|w| (w / u128::from(total)) as u64).collect();
    let paid: u64 = msat.iter().sum();
    let incentive_ppm = incentive(&weighed);
    Ok(ClippedMedian { ceiling_msat, payout: Payout { msat, returned_msat: round_msat - paid }, incentive_ppm })
}

/// The sum of the weights, where all fits together.
fn check(round_msat: u64, weights: &[u64], kappa_ppm: u64, rows: &[&[u64]]) -> Result<u64> {
    if weights.len() != rows.len() {
        let counts = format!("expected a weight for each of {} validators, found {}", rows.len(), weights.len());
        return Err(Error::data(counts));
    }
    if !(1..=MILLION).contains(&kappa_ppm) {
        return Err(Error::data(format!("expected kappa from 1 to 1000000 ppm, found {kappa_ppm}")));
    }
    for (i, row) in rows.iter().enumerate() {
        if row.len() != rows[0].len() {
            let counts = format!("validator {i}: expected {} workers, found {}", rows[0].len(), row.len());
            return Err(Error::data(counts));
        }
        let sum: u128 = row.iter().map(|&msat| u128::from(msat)).sum();
        if sum > u128::from(round_msat) {
            return Err(Error::data(format!("validator {i}: gives {sum} msat of a round's {round_msat}")));
        }
    }
    match weights.iter().try_fold(0u64, |sum, &weight| sum.checked_add(weight)) {
        None => Err(Error::data("the validators' weights: more than 2^64 in all")),
        Some(0) => Err(Error::data("the validators' weights: nobody has any")),
        Some(total) => Ok(total),
    }
}

/// The largest gift that validators of at least kappa of the weight give, or more.
fn ceiling(column: impl Iterator<Item = (u64, u64)>, total: u64, kappa_ppm: u64) -> u64 {
    let mut gifts: Vec<(u64, u64)> = column.collect();
    gifts.sort_unstable_by(|a, b| b.cmp(a));
    let enough = u128::from(kappa_ppm) * u128::from(total);
    let mut behind = 0u128;
    for (msat, weight) in gifts {
        behind += u128::from(weight);
        if behind * u128::from(MILLION) >= enough {
            return msat;
        }
    }
    0
}

/// Parts of the sum, in millionths.
fn incentive(weighed: &[u128]) -> Vec<u64> {
    let sum: u128 = weighed.iter().sum();
    // Scaled down together until the product fits.
    let excess = (u128::BITS - sum.leading_zeros()).saturating_sub(100);
    let part = |w: &u128| ((w >> excess) * u128::from(MILLION)).checked_div(sum >> excess).unwrap_or(0) as u64;
    weighed.iter().map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::philox::philox;

    const HALF: u64 = 500_000;

    fn consensus(weights: &[u64], given: &[&[u64]]) -> ClippedMedian {
        clipped_median(1000, weights, HALF, given).unwrap()
    }

    #[test]
    fn the_known_vector_comes_out() {
        // S = (.6, .4), W = ((1, 0), (0, 1)): C = (1, 0), R = (.6, 0), I = (1, 0).
        let found = consensus(&[6, 4], &[&[1000, 0], &[0, 1000]]);
        assert_eq!(found.ceiling_msat, [1000, 0]);
        assert_eq!(found.payout, Payout { msat: vec![600, 0], returned_msat: 400 });
        assert_eq!(found.incentive_ppm, [1_000_000, 0]);
    }

    #[test]
    fn one_of_three_is_clipped_to_the_others() {
        // Columns by hand: 300, 310, 900 has ceiling 310 (two of three give as much); 600, 590, 0 has 590.
        let found = consensus(&[1, 1, 1], &[&[300, 600], &[310, 590], &[900, 0]]);
        assert_eq!(found.ceiling_msat, [310, 590]);
        // (300 + 310 + 310) / 3 = 306.7, (590 + 590 + 0) / 3 = 393.3.
        assert_eq!(found.payout, Payout { msat: vec![306, 393], returned_msat: 301 });
        // 920 and 1180 of 2100.
        assert_eq!(found.incentive_ppm, [438_095, 561_904]);
    }

    #[test]
    fn validators_that_agree_are_followed_to_the_msat() {
        let found = consensus(&[5, 1, 7], &[&[123, 0, 877], &[123, 0, 877], &[123, 0, 877]]);
        assert_eq!(found.payout, Payout { msat: vec![123, 0, 877], returned_msat: 0 });
    }

    #[test]
    fn exactly_kappa_is_enough_and_one_less_is_not() {
        assert_eq!(consensus(&[1, 1], &[&[9], &[1]]).ceiling_msat, [9]);
        assert_eq!(consensus(&[49, 51], &[&[9], &[1]]).ceiling_msat, [1]);
        let at = |kappa| clipped_median(10, &[2, 1], kappa, &[[1], [9]]).unwrap().ceiling_msat[0];
        assert_eq!([at(333_333), at(333_334), at(666_666), at(1_000_000)], [9, 1, 1, 1]);
    }

    #[test]
    fn a_validator_without_weight_decides_nothing() {
        let with = consensus(&[1, 1, 0], &[&[5, 6], &[7, 8], &[900, 100]]);
        assert_eq!(with.payout.msat, consensus(&[1, 1], &[&[5, 6], &[7, 8]]).payout.msat);
    }

    #[test]
    fn nobody_gives_nothing_and_nothing_is_paid() {
        let found = consensus(&[1, 2], &[&[0, 0], &[0, 0]]);
        assert_eq!((found.payout.returned_msat, found.incentive_ppm), (1000, vec![0, 0]));
        assert_eq!(consensus(&[3], &[&[]]).payout.returned_msat, 1000);
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let refused = |weights: &[u64], kappa, given: &[&[u64]]| clipped_median(10, weights, kappa, given).is_err();
        assert!(refused(&[], HALF, &[]));
        assert!(refused(&[0, 0], HALF, &[&[1], &[1]]));
        assert!(refused(&[1], HALF, &[&[1], &[1]]));
        assert!(refused(&[1, 1], HALF, &[&[1], &[1, 2]]));
        assert!(refused(&[1, 1], HALF, &[&[1], &[11]]));
        assert!(refused(&[u64::MAX, 1], HALF, &[&[1], &[1]]));
        assert!(refused(&[1, 1], 0, &[&[1], &[1]]));
        assert!(refused(&[1, 1], 1_000_001, &[&[1], &[1]]));
    }

    #[test]
    fn the_largest_numbers_fit() {
        let all = u64::MAX;
        let found = clipped_median(all, &[all - 1, 1], HALF, &[[all, 0], [0, all]]).unwrap();
        assert_eq!(found.ceiling_msat, [all, 0]);
        assert_eq!(found.incentive_ppm, [1_000_000, 0]);
    }

    #[test]
    fn a_minority_of_liars_raises_nobody_above_what_an_honest_validator_gives() {
        let round = 1_000_000;
        for case in 0..2000 {
            let draw = |i: u32, j: u32| philox([0xc0, 0x5e], [case, i, j, 0]);
            let [count, workers, liars, noise] = draw(0, 0);
            let (count, workers) = (3 + count % 9, 1 + workers % 6);
            let liars = liars % count.div_ceil(2);
            let truth = |j: u32| u64::from(draw(1, j)[0]) % u64::from(500_000 / workers);
            let row = |i: u32| -> Vec<u64> {
                let honest = |j: u32| truth(j) + u64::from(draw(2 + i, j)[0] % (1 + noise % 100));
                let lie = |j: u32| u64::from(draw(2 + i, j)[1]) % (round / u64::from(workers));
                (0..workers).map(|j| if i < liars { lie(j) } else { honest(j) }).collect()
            };
            let rows: Vec<Vec<u64>> = (0..count).map(row).collect();
            let found = clipped_median(round, &vec![1; count as usize], HALF, &rows).unwrap();
            for j in 0..workers as usize {
                let honest = rows[liars as usize..].iter().map(|row| row[j]).max().unwrap();
                assert!(found.ceiling_msat[j] <= honest && found.payout.msat[j] <= honest, "{case}");
                // And lowers nobody by more than its own part of the votes.
                let least = rows[liars as usize..].iter().map(|row| row[j]).min().unwrap();
                let votes = u64::from(count - liars);
                assert!(found.payout.msat[j] >= least.min(found.ceiling_msat[j]) * votes / u64::from(count), "{case}");
            }
            let paid: u64 = found.payout.msat.iter().sum();
            assert_eq!(paid + found.payout.returned_msat, round);
        }
    }

    #[test]
    fn the_order_of_validators_is_nothing_and_more_from_one_is_never_less() {
        for case in 0..500 {
            let draw = |i: u32, j: u32| philox([7, 7], [case, i, j, 0])[0];
            let mut rows: Vec<Vec<u64>> =
                (0..5).map(|i| (0..3).map(|j| u64::from(draw(i, j) % 300)).collect()).collect();
            let mut weights: Vec<u64> = (0..5).map(|i| u64::from(draw(i, 9) % 10 + 1)).collect();
            let before = clipped_median(1000, &weights, HALF, &rows).unwrap();
            rows.rotate_left(2);
            weights.rotate_left(2);
            assert_eq!(clipped_median(1000, &weights, HALF, &rows).unwrap(), before);
            rows[draw(6, 6) as usize % 5][1] += 30;
            let after = clipped_median(1000, &weights, HALF, &rows).unwrap();
            assert!(after.payout.msat[1] >= before.payout.msat[1]);
            assert_eq!(after.payout.msat[0], before.payout.msat[0]);
        }
    }
}
