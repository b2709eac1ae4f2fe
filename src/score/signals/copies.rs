//! Copies, and averages of what others have made: what an update has in common with those that were committed to earlier.
//!
//! Only the earlier count against an update, so that nobody frames honest work by copying it later: the first committer
//! wins. Who knew honest work before it was committed to, and commits to the same first, takes that one along. To more than
//! that it could come by sums that explain a little of many: so where most of a round would be sums of earlier updates, it is
//! those sums that lose their vote.

use super::{Pairs, ppm};

/// What an update has in common with earlier ones. Parts per million.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Likeness {
    /// The largest overlap of its places with those of one of them, see [`Pairs::overlap_ppm`].
    pub overlap_ppm: u64,
    /// The largest cosine with one of them, where it is above zero.
    pub cosine_ppm: u64,
    /// The part of its squared norm that no sum of multiples of them explains.
    pub residual_ppm: u64,
}

/// What is explained to this part of a squared norm is explained.
const PIVOT: f64 = 1e-9;

/// What each update, in the order of their commitments, has in common with those before it. `order` names every update
/// once; the result is by the updates' own numbers.
///
/// What does not `hold`, being refused itself, counts against nobody.
///
/// The residual is what least squares leave of the update on the span of the earlier ones: the squared pivot of its row in
/// the Cholesky factor L of the Gram matrix of all of them at norm 1, `d_i = 1 - sum_{j<i} l_ij^2` with `l_ij = (g_ij -
/// sum_{k<j} l_ik l_jk) / sqrt(d_j)`. One that adds no direction (d_j below 1e-9) is left out of the span.
pub fn against_earlier(pairs: &Pairs, order: &[usize], hold: impl Fn(usize) -> bool) -> Vec<Likeness> {
    let mut found = vec![Likeness { residual_ppm: 1_000_000, ..Likeness::default() }; pairs.count()];
    let (mut held, mut rows): (Vec<usize>, Vec<Vec<f64>>) = (Vec::new(), Vec::with_capacity(order.len()));
    for &update in order {
        let likeness = &mut found[update];
        let (mut row, mut left): (Vec<f64>, f64) = (Vec::with_capacity(held.len() + 1), 1.0);
        for (j, &earlier) in held.iter().enumerate() {
            likeness.overlap_ppm = likeness.overlap_ppm.max(pairs.overlap_ppm(update, earlier));
            let cosine = pairs.cosine(update, earlier);
            likeness.cosine_ppm = likeness.cosine_ppm.max(ppm(cosine));
            let pivot = rows[j][j];
            let explained: f64 = row.iter().zip(&rows[j]).fold(0.0, |sum, (a, b)| sum + a * b);
            let part = if pivot > 0.0 { (cosine - explained) / pivot } else { 0.0 };
            row.push(part);
            left -= part * part;
        }
        let adds = left > PIVOT && pairs.norm(update) > 0.0;
        likeness.residual_ppm = ppm(left);
        if hold(update) {
            row.push(if adds { left.sqrt() } else { 0.0 });
            rows.push(row);
            held.push(update);
        }
    }
    found
}

/// From this cosine on an update is another one, in parts per million: what noise is in it is less than a fiftieth of its
/// square.
const ANOTHERS: u64 = 990_000;

/// Why each of a round's updates is taken for a copy; `None` where it is not. Limits in parts per million, 0 where they do not
/// decide; who is `left` may be refused. Copies of one earlier update each always are; where they and what is only like
/// earlier updates are more than a minority can be, the latter are no copies.
pub fn refuses(
    found: &[Likeness],
    left: impl Fn(usize) -> bool,
    max_overlap_ppm: u64,
    min_residual_ppm: u64,
) -> Vec<Option<String>> {
    let reasons: Vec<Option<String>> = found
        .iter()
        .enumerate()
        .map(|(i, found)| if left(i) { reason(found, max_overlap_ppm, min_residual_ppm) } else { None })
        .collect();
    let minority = (found.len().saturating_sub(1) / 2).max(1);
    if reasons.iter().flatten().count() <= minority {
        return reasons;
    }
    reasons.into_iter().zip(found).map(|(reason, found)| reason.filter(|_| found.cosine_ppm >= ANOTHERS)).collect()
}

fn reason(found: &Likeness, max_overlap_ppm: u64, min_residual_ppm: u64) -> Option<String> {
    if max_overlap_ppm > 0 && found.overlap_ppm > max_overlap_ppm {
        return Some("sends the places of an earlier update".into());
    }
    (found.residual_ppm < min_residual_ppm).then(|| "a sum of earlier updates".into())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{normal, pairs, sum};
    use super::*;

    const N: usize = 4000;

    #[test]
    fn who_comes_first_is_no_copy() {
        let work = normal(1, N);
        let found = pairs(&[work.clone(), normal(2, N), work]);
        let first = against_earlier(&found, &[2, 1, 0], |_| true);
        assert_eq!(first[2], Likeness { overlap_ppm: 0, cosine_ppm: 0, residual_ppm: 1_000_000 });
        assert!(first[0].residual_ppm == 0 && first[0].cosine_ppm > 999_000, "{first:?}");
        assert!(reason(&first[0], 500_000, 250_000).is_some() && reason(&first[2], 500_000, 250_000).is_none());
        let other = against_earlier(&found, &[0, 1, 2], |_| true);
        assert_eq!((other[2].residual_ppm, other[0].residual_ppm), (0, 1_000_000));
    }

    #[test]
    fn a_rescaled_average_of_others_leaves_nothing_whatever_its_cosines() {
        let work: Vec<Vec<f32>> = (0..9).map(|seed| normal(seed, N)).collect();
        let zero = vec![0.0; N];
        let average = work.iter().fold(zero, |all, one| sum(1.0, &all, 0.3, one));
        let all: Vec<Vec<f32>> = work.into_iter().chain([average]).collect();
        let found = against_earlier(&pairs(&all), &(0..10).collect::<Vec<_>>(), |_| true);
        // A ninth of its square lies along each.
        assert!((300_000..370_000).contains(&found[9].cosine_ppm), "{:?}", found[9]);
        assert_eq!(found[9].residual_ppm, 0);
        assert!(found[..9].iter().all(|f| f.residual_ppm > 990_000), "{found:?}");
        assert!(reason(&found[9], 500_000, 250_000).is_some());
    }

    #[test]
    fn the_residual_is_the_part_that_is_ones_own() {
        let (a, b, own) = (normal(1, N), normal(2, N), normal(3, N));
        // 0.8^2 of others', 0.6^2 of one's own, nearly orthogonal.
        let mixed = sum(0.8, &sum(0.6, &a, -0.8, &b), 0.6, &own);
        let found = against_earlier(&pairs(&[a, b, mixed]), &[0, 1, 2], |_| true)[2];
        assert!((340_000..380_000).contains(&found.residual_ppm), "{found:?}");
    }

    #[test]
    fn copies_of_copies_and_nothing_at_all_span_nothing() {
        let (a, b) = (normal(1, N), normal(2, N));
        let all = [a.clone(), a.clone(), vec![0.0; N], a.clone(), b, a];
        let found = against_earlier(&pairs(&all), &[0, 1, 2, 3, 4, 5], |_| true);
        assert_eq!([1, 3, 5].map(|i| found[i].residual_ppm), [0; 3]);
        assert_eq!((found[2].residual_ppm, found[2].cosine_ppm), (1_000_000, 0));
        assert!(found[4].residual_ppm > 990_000);
    }

    #[test]
    fn a_limit_of_zero_decides_nothing() {
        let copy = Likeness { overlap_ppm: 1_000_000, cosine_ppm: 1_000_000, residual_ppm: 0 };
        assert_eq!(reason(&copy, 0, 0), None);
    }

    #[test]
    fn who_is_refused_itself_counts_against_nobody() {
        let work = normal(1, N);
        let found = pairs(&[work.clone(), normal(2, N), work]);
        assert_eq!(against_earlier(&found, &[0, 1, 2], |i| i != 0)[2].residual_ppm / 100_000, 9);
        assert_eq!(against_earlier(&found, &[0, 1, 2], |i| i != 2)[2].residual_ppm, 0);
    }

    #[test]
    fn most_of_a_round_is_no_sum_but_copies_are_copies_however_many() {
        let like = |cosine_ppm, residual_ppm| Likeness { overlap_ppm: 0, cosine_ppm, residual_ppm };
        let refused = |found: &[Likeness]| -> Vec<bool> {
            refuses(found, |_| true, 500_000, 500_000).iter().map(Option::is_some).collect()
        };
        let (own, sum, copy) = (like(0, 1_000_000), like(700_000, 400_000), like(1_000_000, 0));
        assert_eq!(refused(&[own, own, own, sum, sum]), [false, false, false, true, true]);
        assert_eq!(refused(&[own, own, sum, sum, sum]), [false; 5]);
        assert_eq!(refused(&[own, own, sum, copy, copy]), [false, false, false, true, true]);
        assert_eq!(refused(&[own, copy, copy, copy, copy]), [false, true, true, true, true]);
        assert_eq!((refused(&[own, sum]), refused(&[own, own, sum, sum])), (vec![false, true], vec![false; 4]));
    }
}
