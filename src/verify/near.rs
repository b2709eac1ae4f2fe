//! Nearness: how far an update of a foreign engine is from the one that its inputs make, tensor by tensor. It is never
//! equality, and a finding that rests on it says so: work within a tolerance can be made without doing it (2208.03567).

use serde::{Deserialize, Serialize};

use super::difference::Difference;
use crate::artifact::Recipe;
use crate::codec::{EncodedUpdate, Update};
use crate::error::Result;

/// The least similar tensors of an update, and what was allowed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nearness {
    /// What relative error, and what distance of the cosine from 1, were allowed, in parts per million.
    pub tolerance_ppm: u64,
    /// The greatest relative error of a tensor, |found - expected| / |expected|, in parts per million, rounded up.
    pub error_ppm: u64,
    /// That tensor.
    pub error_tensor: String,
    /// The least cosine between a tensor and what it should be, in parts per million, rounded down; 0 for negative ones.
    pub cosine_ppm: u64,
    /// That tensor.
    pub cosine_tensor: String,
}

/// Error and cosine of one tensor, both in f64: sums by ascending index, the same on every machine.
fn compare(expected: &[f32], found: &[f32]) -> (f64, f64) {
    let (mut dot, mut left, mut right, mut apart) = (0f64, 0f64, 0f64, 0f64);
    for (a, b) in expected.iter().zip(found) {
        let (a, b) = (f64::from(*a), f64::from(*b));
        dot += a * b;
        left += a * a;
        right += b * b;
        apart += (a - b) * (a - b);
    }
    match (left == 0.0, right == 0.0) {
        (true, true) => (0.0, 1.0),
        (true, false) | (false, true) => (f64::MAX, 0.0),
        _ => ((apart / left).sqrt(), dot / (left.sqrt() * right.sqrt())),
    }
}

/// Compares what both updates decode to. `Err` is the first tensor beyond the tolerance.
pub(super) fn nearness(
    recipe: &Recipe,
    expected: &EncodedUpdate,
    update: &Update,
    tolerance_ppm: u64,
) -> Result<std::result::Result<Nearness, Difference>> {
    let mut worst = Nearness {
        tolerance_ppm,
        error_ppm: 0,
        error_tensor: String::new(),
        cosine_ppm: 1_000_000,
        cosine_tensor: String::new(),
    };
    for (name, values) in expected.decoded(recipe)? {
        let (error, cosine) = compare(&values, &update.decode(&name)?);
        // Conversions saturate: an error beyond all bounds stays one.
        let (error_ppm, cosine_ppm) = ((error * 1e6).ceil() as u64, (cosine * 1e6).floor() as u64);
        if error_ppm > tolerance_ppm || cosine_ppm.saturating_add(tolerance_ppm) < 1_000_000 {
            return Ok(Err(Difference {
                what: format!("tensor {name}"),
                expected: format!("a relative error of at most {tolerance_ppm} ppm, and such a cosine"),
                found: format!("an error of {error_ppm} ppm, a cosine of {cosine_ppm} ppm"),
            }));
        }
        if error_ppm >= worst.error_ppm {
            (worst.error_ppm, worst.error_tensor) = (error_ppm, name.clone());
        }
        if cosine_ppm <= worst.cosine_ppm {
            (worst.cosine_ppm, worst.cosine_tensor) = (cosine_ppm, name);
        }
    }
    // A record holds integers up to 2^53 - 1.
    worst.tolerance_ppm = worst.tolerance_ppm.min((1 << 53) - 1);
    Ok(Ok(worst))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_and_cosines_are_those_of_the_textbook() {
        assert_eq!(compare(&[3.0, 4.0], &[3.0, 4.0]), (0.0, 1.0));
        assert_eq!(compare(&[3.0, 4.0], &[-3.0, -4.0]), (2.0, -1.0));
        assert_eq!(compare(&[1.0, 0.0], &[0.0, 1.0]), (2f64.sqrt(), 0.0));
        assert_eq!(compare(&[0.0], &[0.0]), (0.0, 1.0));
        assert_eq!(compare(&[0.0], &[1e-30]), (f64::MAX, 0.0));
        assert_eq!(compare(&[1e-30], &[0.0]), (f64::MAX, 0.0));
    }
}
