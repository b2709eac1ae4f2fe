//! Pay: integer msat, exact sums, ties by worker id.

use super::pay_rules::PayRule;
use super::remainder::{largest, multiply_divide};

/// What each share gets, and what goes back to the payer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payout {
    /// In the order of the shares.
    pub msat: Vec<u64>,
    /// The rest of the round's msat.
    pub returned_msat: u64,
}

/// Splits what `worth.len()` accepted of `tasks` tasks may earn by a rule. `worth` is one number an accepted task: its
/// gain, or under [`Weighting::Shapley`](super::Weighting::Shapley) its Shapley value. Workers come by ascending id.
///
/// Every task that is worth something brings an equal part of the round's msat. The part of one that is worth nothing, was
/// rejected or never done goes back to the payer and not to the other workers, and so does what one earns above the cap.
/// Rounding is by largest remainder, ties to more worth, then to the earlier worker. The sum is exact.
///
/// So all others together never earn more than the parts that they brought, and none of them earns more when a task is
/// rejected that earned nothing, or, but under `rank`, that weighs no more than the mean. (1 msat may move where a share
/// changes by less than that: the Alabama paradox of largest remainders.) When one that weighs *more* is rejected, the
/// others' share of their own parts rises, and under `rank` that of all behind it: what a rejected update would have
/// been worth is not known, and must not lower what the honest earn.
pub fn split(rule: &PayRule, round_msat: u64, tasks: u64, worth: &[i128]) -> Payout {
    let tasks = u128::from(tasks).max(worth.len() as u128).max(1);
    let pool = (u128::from(round_msat) * worth.iter().filter(|worth| **worth > 0).count() as u128 / tasks) as u64;
    let weights = rule.weights(worth);
    let total: u128 = weights.iter().sum();
    if total == 0 {
        return Payout { msat: vec![0; worth.len()], returned_msat: round_msat };
    }
    let shares: Vec<(u64, u128)> = weights.iter().map(|&w| multiply_divide(w, pool, total)).collect();
    let missing = pool - shares.iter().map(|share| share.0).sum::<u64>();
    let mut msat: Vec<u64> = shares.iter().map(|share| share.0).collect();
    // Weights that were scaled down can be equal where worths are not.
    let keys: Vec<(u128, i128)> = shares.iter().zip(worth).map(|(share, &worth)| (share.1, worth)).collect();
    largest(&keys, missing as usize).into_iter().for_each(|i| msat[i] += 1);
    let cap = rule.cap_msat(round_msat);
    msat.iter_mut().for_each(|m| *m = cap.min(*m));
    let paid: u64 = msat.iter().sum();
    Payout { msat, returned_msat: round_msat - paid }
}

/// [`split`] in proportion to positive gains, without a cap.
pub fn proportional(round_msat: u64, tasks: u64, gains: &[i128]) -> Payout {
    split(&PayRule::proportional(), round_msat, tasks, gains)
}

#[cfg(test)]
mod tests {
    use super::super::pay_rules::Weighting;
    use super::*;
    use crate::engine::philox::philox;

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
        assert_eq!(payout, Payout { msat: vec![0, 0, 33], returned_msat: 67 });
        assert_eq!(proportional(100, 2, &[-1, -2]), Payout { msat: vec![0, 0], returned_msat: 100 });
        assert_eq!(proportional(100, 0, &[]), Payout { msat: vec![], returned_msat: 100 });
    }

    #[test]
    fn every_split_adds_up_whatever_the_gains() {
        let key = crate::artifact::Digest::of(b"payout").philox_key();
        for case in 0..2000u32 {
            let draw = |i: u32| philox(key, [case, i, 0, 0]);
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

    fn rule(weighting: Weighting, cap_ppm: u64) -> PayRule {
        PayRule::new(weighting, cap_ppm).unwrap()
    }

    const WEIGHTINGS: [Weighting; 7] = [
        Weighting::Proportional,
        Weighting::Power(1),
        Weighting::Power(2),
        Weighting::Power(3),
        Weighting::Power(4),
        Weighting::Rank,
        Weighting::Shapley,
    ];

    /// A seeded round: its rule, msat, tasks and worths.
    fn case(number: u32) -> (PayRule, u64, u64, Vec<i128>) {
        let draw = |i: u32| philox([0x5eed, 0x9a1], [number, i, 0, 0]);
        let [count, kind, cap, more] = draw(0);
        let rule = rule(WEIGHTINGS[kind as usize % 7], [1_000_000, 1_000_000, 400_000, 1][cap as usize % 4]);
        let wide = draw(1)[2] % 90;
        let worth = |i: u32| {
            let [a, b, c, d] = draw(2 + i);
            // Some equal, some next to equal, some harm.
            let sign = if d % 5 == 0 { -1 } else { 1 };
            sign * ((i128::from(a % 7 + 1) << wide) + i128::from(if b % 2 == 0 { 0 } else { c % 3 }))
        };
        let worth: Vec<i128> = (0..1 + count % 9).map(worth).collect();
        let [low, shift, ..] = draw(1);
        (rule, u64::from(low) << (shift % 33), worth.len() as u64 + u64::from(more % 3), worth)
    }

    #[test]
    fn each_rule_by_hand() {
        let pay = |weighting, worth: &[i128]| split(&rule(weighting, PayRule::NO_CAP), 1000, 4, worth).msat;
        assert_eq!(pay(Weighting::Proportional, &[1, 2, 3, 4]), [100, 200, 300, 400]);
        // 1, 4, 9 and 16 of 30: 33.3, 133.3, 300 and 533.3.
        assert_eq!(pay(Weighting::Power(2), &[1, 2, 3, 4]), [33, 133, 300, 534]);
        // 1, 16, 81 and 256 of 354: 2.82, 45.20, 228.81 and 723.16.
        assert_eq!(pay(Weighting::Power(4), &[1, 2, 3, 4]), [3, 45, 229, 723]);
        assert_eq!(pay(Weighting::Rank, &[1000, 2, 3, 900]), [400, 100, 200, 300]);
        assert_eq!(pay(Weighting::Rank, &[5, 5, -1, 5]), [250, 250, 0, 250]);
        assert_eq!(pay(Weighting::Shapley, &[-50, 20, 60, 0]), [0, 125, 375, 0]);
        // Three of four tasks: 750 to share.
        assert_eq!(pay(Weighting::Rank, &[8, 9, 1]), [250, 375, 125]);
    }

    #[test]
    fn what_is_above_the_cap_goes_back_and_to_nobody_else() {
        let worth = [90, 5, 5];
        let free = split(&rule(Weighting::Proportional, PayRule::NO_CAP), 1000, 3, &worth);
        let capped = split(&rule(Weighting::Proportional, 400_000), 1000, 3, &worth);
        assert_eq!(free, Payout { msat: vec![900, 50, 50], returned_msat: 0 });
        assert_eq!(capped, Payout { msat: vec![400, 50, 50], returned_msat: 500 });
    }

    #[test]
    fn splitting_a_worker_loses_under_a_convex_power() {
        let whole = split(&rule(Weighting::Power(2), PayRule::NO_CAP), 1_000_000, 2, &[10, 10]).msat[1];
        // The same gain under five names, a fifth each, though five tasks bring five parts of the round.
        let parts = split(&rule(Weighting::Power(2), PayRule::NO_CAP), 1_000_000, 6, &[10, 2, 2, 2, 2, 2]).msat;
        assert_eq!((whole, parts[1..].iter().sum::<u64>()), (500_000, 166_666));
    }

    #[test]
    fn every_rule_adds_up_pays_no_harm_and_keeps_the_cap_and_the_order() {
        for number in 0..5000 {
            let (rule, round, tasks, worth) = case(number);
            let payout = split(&rule, round, tasks, &worth);
            let paid: u64 = payout.msat.iter().sum();
            assert_eq!(paid.checked_add(payout.returned_msat), Some(round), "{number}");
            let brought = worth.iter().filter(|w| **w > 0).count() as u128;
            assert!(u128::from(paid) * u128::from(tasks) <= u128::from(round) * brought, "{number}");
            for (i, (&w, &m)) in worth.iter().zip(&payout.msat).enumerate() {
                assert!(w > 0 || m == 0, "{number}: harm was paid");
                assert!(m <= rule.cap_msat(round), "{number}: above the cap");
                for (&other, &earned) in worth.iter().zip(&payout.msat).skip(i + 1) {
                    assert!(w < other || m >= earned, "{number}: {w} earns {m}, {other} earns {earned}");
                    assert!(w >= other || m <= earned, "{number}: {w} earns {m}, {other} earns {earned}");
                    assert!(w != other || m - earned <= 1, "{number}: equals differ by more than one msat");
                }
            }
        }
    }

    #[test]
    fn a_rejected_task_up_to_the_mean_raises_nobody() {
        let (mut seen, mut strict) = (0, 0);
        for number in 0..5000 {
            let (rule, round, tasks, worth) = case(number);
            if rule.weighting() == Weighting::Rank {
                continue;
            }
            let weights = rule.weights(&worth);
            let before = split(&rule, round, tasks, &worth);
            let cap = rule.cap_msat(round);
            for gone in 0..worth.len() {
                if weights[gone] * worth.len() as u128 > weights.iter().sum() {
                    continue;
                }
                let mut left = worth.clone();
                left.remove(gone);
                let after = split(&rule, round, tasks, &left).msat;
                let mut others = before.msat.clone();
                others.remove(gone);
                for (&after, &before) in after.iter().zip(&others) {
                    assert!(after <= (before + 1).min(cap), "{number}: from {before} to {after}");
                    (seen, strict) = (seen + 1, strict + u32::from(after <= before));
                }
            }
        }
        assert!(seen > 10_000 && strict * 1000 > seen * 995, "{strict} of {seen}");
    }

    #[test]
    fn a_rejected_task_above_the_mean_lifts_the_others_within_their_own_parts() {
        let all = split(&PayRule::proportional(), 300, 3, &[10, 1, 1]);
        let framed = split(&PayRule::proportional(), 300, 3, &[1, 1]);
        assert_eq!((all.msat, framed.msat, framed.returned_msat), (vec![250, 25, 25], vec![100, 100], 100));
    }

    #[test]
    fn a_rejected_task_that_gained_nothing_changes_nothing_under_any_rule() {
        let mut seen = 0;
        for number in 0..5000 {
            let (rule, round, tasks, mut worth) = case(number);
            let before = split(&rule, round, tasks, &worth).msat;
            let Some(gone) = worth.iter().position(|w| *w <= 0) else { continue };
            worth.remove(gone);
            let others: Vec<u64> =
                before.iter().enumerate().filter(|(i, _)| *i != gone).map(|(_, msat)| *msat).collect();
            assert_eq!(split(&rule, round, tasks, &worth).msat, others, "{number}");
            seen += 1;
        }
        assert!(seen > 1000, "{seen}");
    }
}
