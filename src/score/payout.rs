//! Pay: integer msat, exact sums, ties by worker id.

/// What each share gets, and what goes back to the payer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payout {
    /// In the order of the shares.
    pub msat: Vec<u64>,
    /// The rest of the round's msat.
    pub returned_msat: u64,
}

/// Splits what `accepted` of `workers` tasks may earn in proportion to positive gains.
///
/// Every task brings an equal part of the round's msat. The part of a task that was rejected, or never done, goes back
/// to the payer and not to the other workers, so that nobody gains by framing another. Rounding is by largest
/// remainder, ties to the earlier share; shares come by ascending worker id. The sum is exact.
pub fn proportional(round_msat: u64, workers: u64, gains: &[i128]) -> Payout {
    let accepted = gains.len() as u128;
    let pool = u128::from(round_msat) * accepted / u128::from(workers.max(1)).max(accepted);
    let positive: Vec<u128> = gains.iter().map(|&g| g.max(0) as u128).collect();
    let total: u128 = positive.iter().sum();
    let mut msat = vec![0u64; gains.len()];
    if total > 0 {
        // Gains are sums of 32.32 losses: scaled down together until the products fit 128 bits.
        let excess = (128 - total.leading_zeros()).saturating_sub(60);
        let weights: Vec<u128> = positive.iter().map(|g| g >> excess).collect();
        let total: u128 = weights.iter().sum::<u128>().max(1);
        let shares: Vec<(u128, u128)> = weights.iter().map(|w| (w * pool / total, w * pool % total)).collect();
        let given: u128 = shares.iter().map(|s| s.0).sum();
        let mut order: Vec<usize> = (0..shares.len()).filter(|&i| weights[i] > 0).collect();
        order.sort_by(|&a, &b| shares[b].1.cmp(&shares[a].1).then(a.cmp(&b)));
        for (i, share) in shares.iter().enumerate() {
            msat[i] = share.0 as u64;
        }
        for &i in order.iter().take((pool - given) as usize) {
            msat[i] += 1;
        }
    }
    let paid: u64 = msat.iter().sum();
    Payout { msat, returned_msat: round_msat - paid }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pay_follows_gain_to_the_msat() {
        let payout = proportional(1000, 3, &[1, 1, 1]);
        assert_eq!(payout.msat, [334, 333, 333]);
        assert_eq!(payout.returned_msat, 0);
        assert_eq!(proportional(900, 2, &[2 << 70, 1 << 70]).msat, [600, 300]);
    }

    #[test]
    fn a_rejected_share_goes_back_to_the_payer_and_to_nobody_else() {
        let all = proportional(1_000_000, 4, &[5, 5, 5, 5]);
        let one_rejected = proportional(1_000_000, 4, &[5, 5, 5]);
        assert_eq!(all.msat[..3], one_rejected.msat[..]);
        assert_eq!(one_rejected.returned_msat, 250_000);
    }

    #[test]
    fn harm_and_nothing_earn_nothing() {
        let payout = proportional(100, 3, &[-5, 0, 7]);
        assert_eq!(payout.msat, [0, 0, 100]);
        assert_eq!(proportional(100, 2, &[-1, -2]), Payout { msat: vec![0, 0], returned_msat: 100 });
        assert_eq!(proportional(100, 0, &[]), Payout { msat: vec![], returned_msat: 100 });
    }

    #[test]
    fn every_split_adds_up_whatever_the_gains() {
        let key = crate::artifact::Digest::of(b"payout").philox_key();
        for case in 0..2000u32 {
            let draw = |i: u32| crate::engine::philox::philox(key, [case, i, 0, 0]);
            let count = 1 + draw(0)[0] as usize % 9;
            let gains: Vec<i128> = (0..count as u32)
                .map(|i| {
                    let r = draw(i + 1);
                    (i128::from(r[0] as i32) << (r[1] % 90)) + i128::from(r[2])
                })
                .collect();
            let round = u64::from(draw(0)[1]) << (draw(0)[2] % 28);
            let workers = count as u64 + u64::from(draw(0)[3] % 3);
            let payout = proportional(round, workers, &gains);
            assert_eq!(payout.msat.iter().sum::<u64>() + payout.returned_msat, round);
            let paid_harm = gains.iter().zip(&payout.msat).any(|(g, m)| *g <= 0 && *m > 0);
            assert!(!paid_harm, "{gains:?} {payout:?}");
        }
    }
}
