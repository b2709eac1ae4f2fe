//! Signs: whether an update goes against what all others together do.

use super::Pairs;

/// The cosine of each of these updates with the sum of the others, each of them at norm 1, so that nobody has more of a
/// vote by being larger. In parts per million, towards zero. `None` of fewer than four: of two
/// others one may be the attacker, and who is honest would go against their sum.
///
/// From the Gram matrix G at norm 1: `sum_{j != i} g_ij / sqrt(sum_{j, k != i} g_jk)`, both sums chains by ascending
/// number.
pub fn agreement(pairs: &Pairs, among: &[usize]) -> Vec<Option<i64>> {
    let one = |i: usize| -> Option<i64> {
        let others: Vec<usize> = among.iter().copied().filter(|&j| j != i).collect();
        if others.len() < 3 {
            return None;
        }
        let with = others.iter().fold(0.0, |sum, &j| sum + pairs.cosine(i, j));
        let mut square = 0.0;
        for &j in &others {
            square = others.iter().fold(square, |sum, &k| sum + pairs.cosine(j, k));
        }
        Some(if square > 0.0 { (with / square.sqrt() * 1e6) as i64 } else { 0 })
    };
    among.iter().map(|&i| one(i)).collect()
}

/// Why an update is refused; `None` where it is not. `max_against_ppm`: how far below zero the cosine may be, in parts per
/// million, 0 where it does not decide.
pub fn refuses(agreement: Option<i64>, max_against_ppm: u64) -> Option<String> {
    let against = agreement.filter(|ppm| *ppm < 0).map_or(0, i64::unsigned_abs);
    (max_against_ppm > 0 && against > max_against_ppm).then(|| "goes against all others".into())
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
    fn who_flips_its_signs_goes_against_all_others_however_large_it_is() {
        let mut all = workers(7, 0.6);
        all[2] = all[2].iter().map(|v| v * -1000.0).collect();
        let found = agreement(&pairs(&all), &[0, 1, 2, 3, 4, 5, 6]);
        assert!(refuses(found[2], 100_000).is_some() && found[2] < Some(-300_000), "{found:?}");
        for i in [0, 1, 3, 4, 5, 6] {
            assert!(found[i] > Some(200_000) && refuses(found[i], 100_000).is_none(), "{found:?}");
        }
        assert_eq!(refuses(found[2], 0), None);
    }

    #[test]
    fn two_who_flip_are_two_of_seven() {
        let mut all = workers(7, 0.6);
        (0..2).for_each(|i| all[i].iter_mut().for_each(|v| *v = -*v));
        let found = agreement(&pairs(&all), &[0, 1, 2, 3, 4, 5, 6]);
        let refused: Vec<bool> = found.iter().map(|f| refuses(*f, 100_000).is_some()).collect();
        assert_eq!(refused, [true, true, false, false, false, false, false]);
    }

    #[test]
    fn of_three_one_who_flips_its_signs_takes_nobody_along() {
        let all = pairs(&[vec![1.0], vec![-1.0], vec![1.0], vec![1.0]]);
        assert_eq!(agreement(&all, &[0, 1, 2]), [None; 3]);
        assert_eq!(refuses(None, 1), None);
        let found = agreement(&all, &[0, 1, 2, 3]);
        assert_eq!(found, [Some(1_000_000), Some(-1_000_000), Some(1_000_000), Some(1_000_000)]);
    }
}
