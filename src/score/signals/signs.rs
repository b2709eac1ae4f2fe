//! Signs: whether an update goes against most others.

use super::Pairs;
use super::ppm_signed;

/// The upper median of the cosines of each of the first `count` updates with the others. In parts per million, towards zero.
/// `None` of fewer than three: of two nobody can say which is the attacker.
///
/// The median of pairs, and not the cosine with a sum, which who knows the others' updates beforehand can turn by sending
/// minus all of them. Where fewer than half of all updates are an attacker's, at least half of an honest one's others are
/// honest; so one of those is at or below the upper median, whatever the attackers send.
pub fn agreement(pairs: &Pairs, count: usize) -> Vec<Option<i64>> {
    let one = |i: usize| -> Option<i64> {
        let mut others: Vec<f64> = (0..count).filter(|&j| j != i).map(|j| pairs.cosine(i, j)).collect();
        others.sort_by(f64::total_cmp);
        (others.len() >= 2).then(|| ppm_signed(others[others.len() / 2]))
    };
    (0..count).map(one).collect()
}

/// Why an update is refused; `None` where it is not. `max_against_ppm`: how far below zero the cosine may be, in parts per
/// million, 0 where it does not decide.
pub fn refuses(agreement: Option<i64>, max_against_ppm: u64) -> Option<String> {
    let against = agreement.filter(|ppm| *ppm < 0).map_or(0, i64::unsigned_abs);
    (max_against_ppm > 0 && against > max_against_ppm).then(|| "goes against most others".into())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{normal, pairs, sum};
    use super::*;

    /// Workers that have a direction in common, and their own noise.
    fn workers(count: u32, common: f32) -> Vec<Vec<f32>> {
        let direction = normal(99, 4000);
        (0..count).map(|seed| sum(common, &direction, 1.0, &normal(seed, 4000))).collect()
    }

    #[test]
    fn who_flips_its_signs_goes_against_most_others_however_large_it_is() {
        let mut all = workers(7, 0.6);
        all[2] = all[2].iter().map(|v| v * -1000.0).collect();
        let found = agreement(&pairs(&all), 7);
        assert!(refuses(found[2], 100_000).is_some() && found[2] < Some(-200_000), "{found:?}");
        for i in [0, 1, 3, 4, 5, 6] {
            assert!(found[i] > Some(200_000) && refuses(found[i], 100_000).is_none(), "{found:?}");
        }
        assert_eq!(refuses(found[2], 0), None);
    }

    #[test]
    fn two_who_flip_are_two_of_seven() {
        let mut all = workers(7, 0.6);
        (0..2).for_each(|i| all[i].iter_mut().for_each(|v| *v = -*v));
        let found = agreement(&pairs(&all), 7);
        let refused: Vec<bool> = found.iter().map(|f| refuses(*f, 100_000).is_some()).collect();
        assert_eq!(refused, [true, true, false, false, false, false, false]);
    }

    #[test]
    fn of_three_one_who_flips_its_signs_takes_nobody_along() {
        let all = pairs(&[vec![1.0], vec![-1.0], vec![1.0], vec![1.0]]);
        assert_eq!(agreement(&all, 2), [None; 2]);
        assert_eq!(refuses(None, 1), None);
        let found = agreement(&all, 3);
        assert_eq!(found, [Some(1_000_000), Some(-1_000_000), Some(1_000_000)]);
        // Of two and two nobody knows: the upper median is the friendlier one.
        let all = pairs(&[vec![1.0], vec![-1.0], vec![1.0], vec![-1.0], vec![1.0]]);
        assert_eq!(agreement(&all, 5), [1, -1, 1, -1, 1].map(|sign: i64| Some(sign * 1_000_000)));
    }
}
