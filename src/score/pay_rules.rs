//! The rules by which worth becomes weight in a round's pay.

use crate::error::{Error, Result};

/// How a worker's weight follows from what its work was worth. Harm and nothing weigh nothing under every rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weighting {
    /// The gain.
    Proportional,
    /// The gain to this power, 1 to 4. Above 1 it is convex: who splits one worker into several with a part of the gain
    /// each earns less with all of them together.
    Power(u32),
    /// n for the largest gain down to 1 for the smallest, of the n that are above zero. Equal gains weigh the mean of
    /// the places that they take.
    Rank,
    /// The Shapley value, which the caller gives as worth.
    Shapley,
}

/// A rule of pay: weights, and a cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayRule {
    weighting: Weighting,
    cap_ppm: u64,
}

impl PayRule {
    /// The largest exponent of [`Weighting::Power`].
    pub const MAX_EXPONENT: u32 = 4;

    /// No cap: all of a round's msat.
    pub const NO_CAP: u64 = 1_000_000;

    /// A rule. `cap_ppm` is the most that one worker can earn, in millionths of the round's msat, 1 to 1000000.
    pub fn new(weighting: Weighting, cap_ppm: u64) -> Result<PayRule> {
        if let Weighting::Power(exponent) = weighting
            && !(1..=Self::MAX_EXPONENT).contains(&exponent)
        {
            return Err(Error::data(format!("expected an exponent of pay from 1 to 4, found {exponent}")));
        }
        if !(1..=Self::NO_CAP).contains(&cap_ppm) {
            return Err(Error::data(format!("expected a cap of pay from 1 to 1000000 ppm, found {cap_ppm}")));
        }
        Ok(PayRule { weighting, cap_ppm })
    }

    /// Pay in proportion to gain, without a cap.
    pub const fn proportional() -> PayRule {
        PayRule { weighting: Weighting::Proportional, cap_ppm: Self::NO_CAP }
    }

    /// How worth becomes weight.
    pub fn weighting(&self) -> Weighting {
        self.weighting
    }

    /// The most that one worker can earn of a round, rounded down.
    pub fn cap_msat(&self, round_msat: u64) -> u64 {
        (u128::from(round_msat) * u128::from(self.cap_ppm) / u128::from(Self::NO_CAP)) as u64
    }

    /// The weight of each: 0 where worth is not above zero, ascending with worth, the sum below 2^126.
    pub(super) fn weights(&self, worth: &[i128]) -> Vec<u128> {
        match self.weighting {
            Weighting::Proportional | Weighting::Shapley => powers(worth, 1),
            Weighting::Power(exponent) => powers(worth, exponent),
            Weighting::Rank => places(worth),
        }
    }
}

/// `worth^exponent`, exact after all were scaled down together by the power of two that makes the sum fit: to 30 bits
/// and less for a fourth power, to 120 and less for a first. What is smaller than that beside the largest weighs
/// nothing.
fn powers(worth: &[i128], exponent: u32) -> Vec<u128> {
    let positive = |w: &i128| w.max(&0).unsigned_abs();
    let bits = |n: u128| u128::BITS - n.leading_zeros();
    let largest = worth.iter().map(positive).max().unwrap_or(0);
    let count = worth.iter().filter(|worth| **worth > 0).count();
    let room = (126 - bits(count as u128)) / exponent;
    let excess = bits(largest).saturating_sub(room);
    worth.iter().map(|w| (positive(w) >> excess).pow(exponent)).collect()
}

/// Twice the weight by rank, so that means of places are integers.
fn places(worth: &[i128]) -> Vec<u128> {
    let count = |passes: &dyn Fn(i128) -> bool| worth.iter().filter(|w| **w > 0 && passes(**w)).count() as u128;
    // In a field of n with b below and e equal, the places are b + 1 ... b + e.
    let weight = |w: i128| 2 * count(&|other| other < w) + count(&|other| other == w) + 1;
    worth.iter().map(|&w| if w > 0 { weight(w) } else { 0 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(weighting: Weighting, worth: &[i128]) -> Vec<u128> {
        PayRule::new(weighting, PayRule::NO_CAP).unwrap().weights(worth)
    }

    #[test]
    fn powers_are_exact_while_they_fit() {
        assert_eq!(weights(Weighting::Proportional, &[3, -4, 0, 5]), [3, 0, 0, 5]);
        assert_eq!(weights(Weighting::Power(2), &[3, -4, 0, 5]), [9, 0, 0, 25]);
        assert_eq!(weights(Weighting::Power(4), &[1000, 1]), [1_000_000_000_000, 1]);
        // 126 bits less 2 for the count, by 4: 31 bits of each.
        assert_eq!(weights(Weighting::Power(4), &[1 << 31, 1 << 30]), [1 << 120, 1 << 116]);
    }

    #[test]
    fn no_worth_is_too_large() {
        for exponent in 1..=4 {
            for count in [1, 2, 64, 1000] {
                let found = weights(Weighting::Power(exponent), &vec![i128::MAX; count]);
                assert!(found.iter().sum::<u128>() < 1 << 126);
                assert!(found.iter().all(|w| *w > 0));
            }
        }
        assert_eq!(weights(Weighting::Power(3), &[i128::MIN, i128::MIN]), [0, 0]);
    }

    #[test]
    fn ranks_are_places_and_equals_share_theirs() {
        // 3, 2, 1, doubled.
        assert_eq!(weights(Weighting::Rank, &[10, 5, 700, -3]), [4, 2, 6, 0]);
        // The two in the middle take the places 2 and 3 of 4: 2.5 each.
        assert_eq!(weights(Weighting::Rank, &[5, 9, 5, 1, 0]), [5, 8, 5, 2, 0]);
        assert_eq!(weights(Weighting::Rank, &[7, 7, 7]), [4, 4, 4]);
        assert_eq!(weights(Weighting::Rank, &[]), []);
    }

    #[test]
    fn contradictions_are_refused() {
        for (weighting, cap) in [
            (Weighting::Power(0), 1),
            (Weighting::Power(5), 1),
            (Weighting::Rank, 0),
            (Weighting::Rank, PayRule::NO_CAP + 1),
        ] {
            assert!(PayRule::new(weighting, cap).is_err(), "{weighting:?} {cap}");
        }
    }
}
