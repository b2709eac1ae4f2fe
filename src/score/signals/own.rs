//! Proof that a worker trained on what it was assigned (Gauntlet, 2505.21684): its update gains more on sequences that it
//! trained on than on those that others trained on, beside what most other updates gain on either.
//!
//! The pool is a few sequences of every worker whose update is measured, drawn by the beacon from those that its assignment
//! made it train on this round. With g(u, s) the gain of update u on sequence s, beside one other update v
//!
//! ```text
//! r(s)    = g(u, s) - g(v, s)                      what is easy for both is worth nothing
//! d(u, v) = mean of r(s) over u's own s, not v's  -  mean of r(s) over all s that neither was trained on
//! ```
//!
//! which is zero on average for whoever trained on neither. Beside most of the others it must stand out: of all v the one
//! counts that is in the middle by d over its standard error, the more favourable of two. So attackers fewer than half, who may
//! gain wildly or harm wherever they like, move it no further than to an honest v; and one wild update makes nobody else's d
//! uncertain. All in 2^-32 nats a sequence, means rounded down, errors up.

use std::collections::BTreeSet;

use super::super::spread::{square_root_up, standard_error};
use crate::artifact::{Digest, Recipe};
use crate::data::{Assignment, BatchOrder};
use crate::engine::philox;

/// The sequences of its shard that an assignment makes a worker train on, ascending.
pub fn trained(recipe: &Recipe, assignment: &Assignment, sequences: usize) -> BTreeSet<usize> {
    let mut order = BatchOrder::new(&assignment.order, sequences);
    let inner = &recipe.inner;
    (0..u64::from(inner.steps)).flat_map(|step| order.indices(step, inner.batch)).collect()
}

/// Of these sequences, `count` that the beacon draws; the draw depends on no other worker.
pub fn draw(
    run: &Digest,
    round: u64,
    worker: &str,
    beacon: &Digest,
    trained: &BTreeSet<usize>,
    count: u64,
) -> Vec<usize> {
    let parts = [&run.0[..], &round.to_le_bytes(), worker.as_bytes(), &beacon.0];
    let key = Digest::of_parts("l402/score/own/1", &parts).philox_key();
    let all: Vec<usize> = trained.iter().copied().collect();
    philox::permutation(key, all.len()).into_iter().take(count as usize).map(|i| all[i]).collect()
}

/// How much more an update gains on its own sequences than on others', see above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// d, in 2^-32 nats a sequence.
    pub difference_q32: i128,
    /// Its standard error.
    pub error_q32: u128,
}

impl Difference {
    /// How many standard errors it is, in millionths: what differences are ordered by. An error of nothing counts as the
    /// least that there is.
    fn ratio(self) -> i128 {
        // Below 2^82 and 2^20.
        (self.difference_q32 * 1_000_000).div_euclid(self.error_q32.max(1) as i128)
    }
}

/// The difference of each update, see above. `gains[u][s]` is update u's gain on pool sequence s, below 2^80 in magnitude, and
/// `trained[s]` has the updates whose workers trained on it. `None` where beside half of the others, or more, there is nothing
/// to compare: fewer than two sequences of either kind.
pub fn differences(gains: &[Vec<i128>], trained: &[Vec<usize>]) -> Vec<Option<Difference>> {
    let one = |u: usize| -> Option<Difference> {
        let mut beside: Vec<Option<Difference>> =
            (0..gains.len()).filter(|v| *v != u).map(|v| beside(&gains[u], &gains[v], trained, u, v)).collect();
        beside.sort_by_key(|found| found.map_or(i128::MAX, Difference::ratio));
        beside.get(beside.len() / 2).copied().flatten()
    };
    (0..gains.len()).map(one).collect()
}

/// The difference of update u beside v.
fn beside(gains: &[i128], other: &[i128], trained: &[Vec<usize>], u: usize, v: usize) -> Option<Difference> {
    let (mut own, mut neither) = (Vec::new(), Vec::new());
    for (s, trained) in trained.iter().enumerate().filter(|(_, trained)| !trained.contains(&v)) {
        let list = if trained.contains(&u) { &mut own } else { &mut neither };
        list.push(gains[s] - other[s]);
    }
    let mean = |list: &[i128]| list.iter().sum::<i128>().div_euclid(list.len() as i128);
    let error_q32 = hypotenuse_up(standard_error(&own)?, standard_error(&neither)?);
    Some(Difference { difference_q32: mean(&own) - mean(&neither), error_q32 })
}

/// sqrt(a^2 + b^2), rounded up; from 2^62 on with the low bits rounded up first.
fn hypotenuse_up(a: u128, b: u128) -> u128 {
    let excess = (u128::BITS - a.max(b).leading_zeros()).saturating_sub(62);
    let (a, b) = (a.div_ceil(1 << excess), b.div_ceil(1 << excess));
    square_root_up(a * a + b * b) << excess
}

/// Why one round's difference refuses an update; `None` where it does not. It must be more than `z_milli` thousandths of
/// its standard error, which may be below zero.
pub fn refuses(found: Option<Difference>, z_milli: i64) -> Option<String> {
    let Difference { difference_q32, error_q32 } = found?;
    // Gains below 2^80 make errors below 2^81.
    let least = i128::from(z_milli) * error_q32 as i128;
    (1000 * difference_q32 <= least).then(|| "it does not gain clearly more on its own data than on others'".into())
}

/// A mean that forgets, of the differences' signs: 1 for above zero, else -1, in 2^-32, from 0. `rate_ppm` is the part of
/// the distance to this round's sign that it moves, in parts per million, rounded towards zero.
pub fn average(before_q32: i64, found: Option<Difference>, rate_ppm: u64) -> i64 {
    let Some(found) = found else { return before_q32 };
    let sign: i128 = if found.difference_q32 > 0 { 1 << 32 } else { -(1 << 32) };
    let step = (sign - i128::from(before_q32)) * i128::from(rate_ppm.min(1_000_000)) / 1_000_000;
    (i128::from(before_q32) + step) as i64
}

/// Why the average over rounds refuses an update; `None` where it does not: below `least_ppm` after `rounds` rounds.
pub fn stands_low(average_q32: i64, seen: u64, least_ppm: u64, rounds: u64) -> Option<String> {
    let low = i128::from(average_q32) * 1_000_000 < i128::from(least_ppm) << 32;
    (least_ppm > 0 && seen >= rounds && low)
        .then(|| "over rounds it does not gain more on its own data than on others'".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::philox::normal;

    #[test]
    fn by_hand() {
        // Three updates on two sequences each of their own. Of the first, beside the second: r = 8, 8 on its own, and on the
        // third's 1, 3: d = 8 - 2, errors of (8, 8) and (1, 3) 0 and 1. Beside the third: r = 9 - 4, 11 - 2 on its own, 2 and
        // -2 on the second's: d = 7 - 0, errors 2 and 2, together 2.83, rounded up. 6 / 1 and 7 / 3: the better one.
        let trained = [vec![0], vec![0], vec![1], vec![1], vec![2], vec![2]];
        let gains = [vec![9, 11, 3, 5, 2, 4], vec![1, 3, 6, 10, 1, 1], vec![4, 2, 1, 7, 9, 9]];
        let found = differences(&gains, &trained);
        assert_eq!(found[0], Some(Difference { difference_q32: 6, error_q32: 1 }));
        // Two have nothing to compare: on the others' sequences nobody is left.
        assert_eq!(differences(&gains[..2], &trained[..4]), [None, None]);
        // One that trained on nothing has nothing of its own.
        let found = differences(
            &[gains[0].clone(), gains[1].clone(), vec![2; 6]],
            &[trained[..4].to_vec(), vec![vec![]; 2]].concat(),
        );
        assert!(found[2].is_none() && found[0].is_some(), "{found:?}");
    }

    /// Gains of seven updates on eight sequences each of their own, `own` more where they were trained.
    fn round(seed: u32, own: f64, liar: usize) -> (Vec<Vec<i128>>, Vec<Vec<usize>>) {
        let trained: Vec<Vec<usize>> = (0..56).map(|s| vec![s / 8]).collect();
        let gain = |u: usize, s: usize| {
            let easy = 5.0 * f64::from(normal([seed, 1], s as u64));
            let noise = f64::from(normal([seed, 2 + u as u32], s as u64));
            let more = if s / 8 == u && u != liar { own } else { 0.0 };
            ((easy + noise + more) * 4_294_967_296.0) as i128
        };
        ((0..7).map(|u| (0..56).map(|s| gain(u, s)).collect()).collect(), trained)
    }

    #[test]
    fn who_trained_on_something_else_is_found_and_who_did_not_is_not() {
        let (mut liars, mut honest) = (0, 0);
        for seed in 0..50 {
            let (gains, trained) = round(seed, 3.0, 3);
            for (u, found) in differences(&gains, &trained).into_iter().enumerate() {
                let refused = refuses(found, 2000).is_some();
                if u == 3 { liars += usize::from(refused) } else { honest += usize::from(refused) }
            }
        }
        // Beside one other d is uncertain by sqrt 2 (1 / sqrt 8 + ...) = 0.55: an honest one has 3 / 0.55 = 5.4 less 2.
        assert!(liars >= 45 && honest <= 6, "{liars} of 50 liars, {honest} of 300 honest");
    }

    #[test]
    fn whoever_trained_on_neither_has_no_difference_on_average() {
        let z = |d: Difference| d.difference_q32 as f64 / d.error_q32 as f64;
        let all: Vec<f64> = (0..200)
            .filter_map(|seed| {
                let (g, t) = round(seed, 2.0, 3);
                differences(&g, &t)[3].map(z)
            })
            .collect();
        let mean = all.iter().sum::<f64>() / all.len() as f64;
        assert!(all.len() == 200 && mean.abs() < 0.25, "{mean}");
    }

    #[test]
    fn one_wild_update_makes_nobody_else_uncertain() {
        let (mut gains, trained) = round(1, 2.0, 7);
        let before = differences(&gains, &trained);
        for (s, gain) in gains[6].iter_mut().enumerate() {
            *gain = i128::from(normal([9, 9], s as u64) as i64 * 1000) << 32;
        }
        let after = differences(&gains, &trained);
        for u in 0..6 {
            let (before, after) = (before[u].unwrap(), after[u].unwrap());
            assert!(after.error_q32 < before.error_q32 * 3 / 2, "{before:?} {after:?}");
            assert!(refuses(Some(after), 0).is_none());
        }
    }

    #[test]
    fn the_average_of_signs_is_gauntlets() {
        let up = Some(Difference { difference_q32: 1, error_q32: 1 });
        let down = Some(Difference { difference_q32: 0, error_q32: 1 });
        // 1 - 0.95^n.
        let after = |n: usize, found| (0..n).fold(0, |before, _| average(before, found, 50_000));
        let part = after(10, up) as f64 / 4_294_967_296.0;
        assert!((part - (1.0 - 0.95f64.powi(10))).abs() < 1e-6, "{part}");
        assert_eq!(after(10, down), -after(10, up));
        assert_eq!(average(77, None, 50_000), 77);
        assert!(stands_low(after(10, down), 10, 100_000, 10).is_some());
        assert!(stands_low(after(9, down), 9, 100_000, 10).is_none());
        assert!(stands_low(after(10, up), 10, 100_000, 10).is_none());
        // Six up and four down of ten: 0.1 and less is low.
        assert!(stands_low(0, 10, 100_000, 10).is_some() && stands_low(0, 10, 0, 10).is_none());
    }

    #[test]
    fn large_errors_are_rounded_up() {
        assert_eq!([hypotenuse_up(3, 4), hypotenuse_up(1, 1), hypotenuse_up(0, 0)], [5, 2, 0]);
        let large = hypotenuse_up(3 << 80, 4 << 80);
        assert!((5 << 80..(5 << 80) + (1 << 30)).contains(&large));
    }

    #[test]
    fn the_draw_is_of_what_was_trained_on_and_the_same_for_everybody() {
        let all: BTreeSet<usize> = (0..100).filter(|i| i % 3 == 0).collect();
        let (run, beacon) = (Digest::of(b"run"), Digest::of(b"beacon"));
        let drawn = draw(&run, 3, "ann", &beacon, &all, 8);
        assert!(drawn.len() == 8 && drawn.iter().all(|s| all.contains(s)));
        assert_eq!(drawn.iter().collect::<BTreeSet<_>>().len(), 8);
        assert_eq!(drawn, draw(&run, 3, "ann", &beacon, &all, 8));
        assert_ne!(drawn, draw(&run, 3, "bob", &beacon, &all, 8));
        assert_eq!(draw(&run, 3, "ann", &beacon, &all, 1000).len(), 34);
    }
}
