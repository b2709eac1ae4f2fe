//! Gains that are no more than noise: too near to zero by the held-out sequences' own scatter, or beside the others' gains.
//! Noise of a tiny norm descends half of the time; without a floor it would be paid for that.

use super::super::noise::{Significance, paired};
use crate::error::Result;

/// A gain beside its noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gain {
    /// The sum over all sequences, in 2^-32 nats.
    pub total_q32: i128,
    /// The standard error of that sum in 2^-32 nats; `None` where there are fewer than two sequences.
    pub error_q32: Option<u128>,
    /// Whether it stands out of the noise.
    pub significant: bool,
    /// Sequences that it would take.
    pub needed: u64,
}

/// Two standard errors.
const TWO: u32 = 2000;

impl Gain {
    /// Of the gains on each sequence; `z_milli` standard errors, in thousandths, stand out. With `z_milli` 0 nothing is
    /// noise, and what it takes is reckoned for two.
    pub fn of(gains: &[i128], z_milli: u32) -> Result<Gain> {
        let z = if z_milli == 0 { TWO } else { z_milli };
        let Significance { sequences, error_q32, significant, needed, .. } = paired(gains, z)?;
        Ok(Gain {
            total_q32: gains.iter().sum(),
            error_q32: error_q32.map(|error| error * u128::from(sequences)),
            significant: significant || z_milli == 0,
            needed,
        })
    }
}

/// The lower median; 0 of none. Of all gains, and not of those above zero alone: among all of them attackers are the fewer, and
/// fewer than half never lift it above every honest one.
fn median(gains: &[Gain]) -> i128 {
    let mut totals: Vec<i128> = gains.iter().map(|g| g.total_q32).collect();
    totals.sort_unstable();
    totals.get(totals.len().saturating_sub(1) / 2).copied().unwrap_or(0)
}

/// Why each of these gains is nothing; `None` where it is something. `floor_ppm` of their median, in parts per million, is
/// the least that is; where the median update gains nothing alone, no gain is too small.
pub fn refuses(gains: &[Gain], floor_ppm: u64) -> Vec<Option<String>> {
    let median = median(gains).max(0);
    let reason = |gain: &Gain| {
        if !gain.significant {
            return Some("its gain is not above noise".to_owned());
        }
        // Both sides are integers; gains of a round stay below 2^104.
        let low = floor_ppm > 0 && median > 0 && gain.total_q32 * 1_000_000 < median * i128::from(floor_ppm);
        low.then(|| "its gain is far below the median".to_owned())
    };
    gains.iter().map(reason).collect()
}

/// What [`needed`] says where no number of sequences is enough, or none that a record can hold.
pub const NONE_IS_ENOUGH: u64 = (1 << 53) - 1;

/// How many sequences put the median update's gain above noise: the lower median of what each needs, at most
/// [`NONE_IS_ENOUGH`].
pub fn needed(gains: &[Gain]) -> Option<u64> {
    let mut needed: Vec<u64> = gains.iter().map(|gain| gain.needed).collect();
    needed.sort_unstable();
    needed.get(needed.len().saturating_sub(1) / 2).map(|needed| *needed.min(&NONE_IS_ENOUGH))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gain(values: &[i128]) -> Gain {
        Gain::of(values, 2000).unwrap()
    }

    #[test]
    fn by_hand() {
        // Mean 4, error 1.15 rounded up to 2, three sequences: 12 and 6. z = 2 errors are 4, not less than the mean.
        let found = gain(&[2, 4, 6]);
        assert_eq!(found, Gain { total_q32: 12, error_q32: Some(6), significant: false, needed: 3 });
        assert!(Gain::of(&[2, 4, 6], 0).unwrap().significant);
    }

    #[test]
    fn noise_and_what_is_far_below_the_others_are_nothing() {
        let gains = [
            gain(&[100; 9]),
            gain(&[110; 9]),
            gain(&[90; 9]),
            gain(&[1; 9]),
            gain(&[-100; 9]),
            gain(&[50, -49]),
            gain(&[105; 9]),
        ];
        let reasons = refuses(&gains, 100_000);
        let nothing: Vec<bool> = reasons.iter().map(Option::is_some).collect();
        assert_eq!(nothing, [false, false, false, true, true, true, false]);
        assert!(reasons[3].as_ref().unwrap().contains("median") && reasons[4].as_ref().unwrap().contains("noise"));
        assert!(refuses(&gains, 0)[3].is_none());
    }

    #[test]
    fn a_round_says_how_many_sequences_its_median_update_needs() {
        let gains = [gain(&[3, 5, 4, 4]), gain(&[10, -8, 12, -6]), gain(&[-1, -1, -1, -1])];
        assert_eq!(needed(&gains), Some(gains[1].needed));
        assert!(gains[1].needed > 4);
        assert_eq!(needed(&gains[2..]), Some(NONE_IS_ENOUGH));
        assert_eq!(needed(&[]), None);
    }
}
