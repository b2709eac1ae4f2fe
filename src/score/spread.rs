//! The standard error of a mean, in integers.

/// What [`standard_error`] takes: magnitudes to 2^98, so that deviations of a sum of 2^24 of them fit 128 bits.
pub(super) const MAX_SAMPLE: u128 = 1 << 98;

/// The most samples that [`standard_error`] takes.
pub(super) const MAX_SAMPLES: usize = 1 << 24;

/// The standard error of the mean of `samples`, s / sqrt(n) with s^2 = sum (x - mean)^2 / (n - 1), rounded up.
///
/// `None` for fewer than two. With d = n x - sum x, which is exact, its square is sum d^2 / (n^3 (n - 1)). Deviations
/// above 50 bits are scaled down together by a power of two, away from zero: the result is never too small.
pub(super) fn standard_error(samples: &[i128]) -> Option<u128> {
    let n = samples.len() as u128;
    debug_assert!(samples.len() <= MAX_SAMPLES && samples.iter().all(|x| x.unsigned_abs() <= MAX_SAMPLE));
    if n < 2 {
        return None;
    }
    let sum: i128 = samples.iter().sum();
    let deviation = |x: &i128| (x * n as i128 - sum).unsigned_abs();
    let largest = samples.iter().map(deviation).max().unwrap_or(0);
    let excess = (u128::BITS - largest.leading_zeros()).saturating_sub(50);
    let scaled = |x: &i128| deviation(x).div_ceil(1 << excess);
    let squares: u128 = samples.iter().map(|x| scaled(x) * scaled(x)).sum();
    // sqrt(squares / (n^3 (n - 1))) = sqrt(squares / (n (n - 1))) / n, with as many fraction bits as there is room for.
    let fraction = (squares.leading_zeros() / 2).min(32);
    let root = square_root_up((squares << (2 * fraction)).div_ceil(n * (n - 1)));
    let (numerator, denominator) = match excess.checked_sub(fraction) {
        Some(more) => (root << more, n),
        None => (root, n << (fraction - excess)),
    };
    Some(numerator.div_ceil(denominator))
}

/// The smallest integer whose square is at least `n`.
pub(super) fn square_root_up(n: u128) -> u128 {
    let root = n.isqrt();
    if root * root < n { root + 1 } else { root }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::philox::philox;

    #[test]
    fn by_hand() {
        // Mean 4, squares 4 + 0 + 4 = 8, s^2 = 4, error sqrt(4 / 3) = 1.1547.
        assert_eq!(standard_error(&[2, 4, 6]), Some(2));
        // A thousand and a million times that.
        assert_eq!(standard_error(&[2000, 4000, 6000]), Some(1155));
        assert_eq!(standard_error(&[2_000_000_000, 4_000_000_000, 6_000_000_000]), Some(1_154_700_539));
        // s^2 = 50, by 2: exactly 5.
        assert_eq!(standard_error(&[-5, 5]), Some(5));
        assert_eq!(standard_error(&[7; 9]), Some(0));
        assert_eq!((standard_error(&[3]), standard_error(&[])), (None, None));
    }

    #[test]
    fn it_is_not_below_the_real_number_and_hardly_above() {
        for case in 0..300u32 {
            let draw = |i: u32| philox([3, 5], [case, i, 0, 0]);
            let [count, shift, ..] = draw(u32::MAX);
            let sample = |i: u32| i128::from(draw(i)[0] as i32) << (shift % 67);
            let samples: Vec<i128> = (0..2 + count % 200).map(sample).collect();
            let n = samples.len() as f64;
            let mean = samples.iter().map(|x| *x as f64).sum::<f64>() / n;
            let squares: f64 = samples.iter().map(|x| (*x as f64 - mean) * (*x as f64 - mean)).sum();
            let real = (squares / (n * (n - 1.0))).sqrt();
            let found = standard_error(&samples).unwrap() as f64;
            assert!(found >= real * (1.0 - 1e-12) && found <= real * (1.0 + 1e-6) + 1.0, "{found} {real}");
        }
    }

    #[test]
    fn the_largest_samples_fit() {
        let largest = MAX_SAMPLE as i128;
        let found = standard_error(&[largest, -largest]).unwrap();
        assert!((MAX_SAMPLE..=MAX_SAMPLE + (MAX_SAMPLE >> 30)).contains(&found), "{found}");
        assert_eq!(standard_error(&[largest; 1000]), Some(0));
    }

    #[test]
    fn roots_are_rounded_up() {
        assert_eq!([0, 1, 2, 4, 5, 9].map(square_root_up), [0, 1, 2, 2, 3, 3]);
        assert_eq!(square_root_up(u128::MAX), 1 << 64);
    }
}
