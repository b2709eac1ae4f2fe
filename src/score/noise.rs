//! Whether a gain stands above the noise of its held-out sequences: a paired one-sided z test, in integers.
//!
//! The loss of one sequence before and after an update is a pair, and its difference one sample: what makes a sequence
//! hard or easy cancels. The mean gain is significant where it is more than z of its standard errors above zero.

use super::spread::{MAX_SAMPLES, standard_error};
use crate::error::{Error, Result};

/// The largest gain or harm of one sequence, in 2^-32 nats: more than 8192 tokens at the largest loss that is counted.
const MAX_GAIN: u128 = 1 << 80;

/// The largest z, in thousandths.
const MAX_Z_MILLI: u32 = 100_000;

/// How far an update's gain stands above zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Significance {
    /// The sequences that were measured.
    pub sequences: u64,
    /// The mean gain of a sequence, in 2^-32 nats, rounded down.
    pub mean_q32: i128,
    /// The standard error of that mean in 2^-32 nats, rounded up; `None` for fewer than two sequences.
    pub error_q32: Option<u128>,
    /// Whether the mean is more than z standard errors above zero. Never so for fewer than two sequences.
    pub significant: bool,
    /// How many sequences, of the same mean and variance, would put the mean z standard errors above zero: at least 2,
    /// and `u64::MAX` where no number does or it is larger. n (z error / mean)^2, rounded up.
    pub needed: u64,
}

/// Holds the gains of one update, one a held-out sequence in 2^-32 nats, against their own noise. `z_milli` is z in
/// thousandths, to 100000.
pub fn paired(gains: &[i128], z_milli: u32) -> Result<Significance> {
    if gains.len() > MAX_SAMPLES {
        return Err(Error::data(format!("expected at most {MAX_SAMPLES} sequences, found {}", gains.len())));
    }
    if let Some(i) = gains.iter().position(|gain| gain.unsigned_abs() > MAX_GAIN) {
        return Err(Error::data(format!("the gain on sequence {i} is {}: more than can be", gains[i])));
    }
    if z_milli > MAX_Z_MILLI {
        return Err(Error::data(format!("expected z of at most {MAX_Z_MILLI} thousandths, found {z_milli}")));
    }
    let n = gains.len() as u64;
    let sum: i128 = gains.iter().sum();
    let error_q32 = standard_error(gains);
    // mean > z error, both times 1000 n.
    let mean_side = 1000 * sum;
    let noise_side = error_q32.map(|error| u128::from(z_milli) * error * u128::from(n));
    Ok(Significance {
        sequences: n,
        mean_q32: sum.div_euclid(i128::from(n.max(1))),
        error_q32,
        significant: noise_side.is_some_and(|noise| mean_side > 0 && mean_side.unsigned_abs() > noise),
        needed: match noise_side {
            Some(noise) if mean_side > 0 => needed(n, noise, mean_side.unsigned_abs()),
            _ => u64::MAX,
        },
    })
}

/// n (noise / mean)^2, rounded up, at least 2. Both are scaled down to 50 bits of the larger, so that it is never too
/// small.
fn needed(n: u64, noise: u128, mean: u128) -> u64 {
    let excess = (u128::BITS - noise.max(mean).leading_zeros()).saturating_sub(50);
    let (noise, mean) = (noise.div_ceil(1 << excess), mean >> excess);
    if mean == 0 {
        return u64::MAX;
    }
    let needed = (u128::from(n) * noise * noise).div_ceil(mean * mean);
    u64::try_from(needed.max(2)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::philox;

    #[test]
    fn by_hand() {
        // Mean 4, error 2 (rounded up from 1.1547): 1.96 errors are 3.92, 2.1 are 4.2.
        let found = paired(&[2, 4, 6], 1960).unwrap();
        let expected = Significance { sequences: 3, mean_q32: 4, error_q32: Some(2), significant: true, needed: 3 };
        assert_eq!(found, expected);
        // 3 (4.2 / 4)^2 = 3.3.
        assert_eq!(paired(&[2, 4, 6], 2100).unwrap(), Significance { significant: false, needed: 4, ..expected });
        // Exactly z errors are not more than z errors.
        assert!(!paired(&[2, 4, 6], 2000).unwrap().significant);
    }

    #[test]
    fn a_noisy_gain_needs_more_sequences() {
        // Mean 1, s^2 = 200, error 10: z = 2 needs 2 (20 / 1)^2.
        let found = paired(&[-9, 11], 2000).unwrap();
        assert_eq!((found.mean_q32, found.error_q32, found.significant, found.needed), (1, Some(10), false, 800));
        // In 2^-32 nats the same, to the last bit of 50.
        let found = paired(&[-9 << 40, 11 << 40], 2000).unwrap();
        assert!((800..=801).contains(&found.needed), "{found:?}");
    }

    #[test]
    fn harm_and_nothing_are_never_significant() {
        for gains in [&[-1, -2, -3][..], &[0, 0], &[-5, 5], &[9], &[]] {
            let found = paired(gains, 0).unwrap();
            assert!(!found.significant && found.needed == u64::MAX, "{gains:?} {found:?}");
        }
        assert_eq!(paired(&[-1, -2], 0).unwrap().mean_q32, -2);
    }

    #[test]
    fn the_same_gain_everywhere_is_above_any_noise() {
        let found = paired(&[3; 4], 100_000).unwrap();
        assert_eq!((found.error_q32, found.significant, found.needed), (Some(0), true, 2));
    }

    #[test]
    fn what_is_too_large_is_refused_and_the_largest_is_not() {
        let largest = MAX_GAIN as i128;
        assert!(paired(&[largest + 1, 0], 0).is_err());
        assert!(paired(&[1, 2], MAX_Z_MILLI + 1).is_err());
        let found = paired(&[largest, -largest, 1], MAX_Z_MILLI).unwrap();
        assert!(!found.significant && found.needed == u64::MAX);
        assert!(paired(&vec![largest; 1000], MAX_Z_MILLI).unwrap().significant);
    }

    /// Normal gains of mean `mean` and standard deviation 1, in 2^-32.
    fn gains(seed: u32, count: u64, mean: f64) -> Vec<i128> {
        let one = (1u64 << 32) as f64;
        (0..count).map(|i| ((f64::from(philox::normal([seed, 0x401e], i)) + mean) * one) as i128).collect()
    }

    #[test]
    fn noise_passes_as_often_as_z_says() {
        // One-sided, 1.645: 5 %, and of 2000 seeds two standard errors are 1 %.
        let passed = (0..2000).filter(|&seed| paired(&gains(seed, 64, 0.0), 1645).unwrap().significant).count();
        assert!((70..=140).contains(&passed), "{passed}");
    }

    #[test]
    fn as_many_as_are_needed_are_enough() {
        // A mean of a tenth of the deviation, z 3: 900, known to 14 % from 20000.
        for seed in 0..20 {
            let needed = paired(&gains(seed, 20_000, 0.1), 3000).unwrap().needed;
            assert!((500..1500).contains(&needed), "{needed}");
        }
        let half = (0..200).filter(|&seed| paired(&gains(seed, 900, 0.1), 3000).unwrap().significant).count();
        assert!((70..=130).contains(&half), "{half}");
    }
}
