//! What the updates themselves say, beside what the lists say of them and what they gain: copies, norms, signs, proof of
//! training on one's own data, and noise. Pure functions of exact integers, or of f64 by + - * / sqrt in the order that
//! they are written in, so that anybody who recomputes a round refuses the same updates for the same figures.

pub mod copies;
#[cfg(test)]
mod crowd;
pub mod noise;
pub mod norms;
pub mod own;
mod pairs;
pub mod signs;

pub use pairs::Pairs;

/// Parts per million, rounded down; what is not above zero is 0, and so is what is not a number.
pub(super) fn ppm(part: f64) -> u64 {
    (part * 1e6) as u64
}

/// Parts per million with their sign, rounded towards zero.
pub(super) fn ppm_signed(part: f64) -> i64 {
    (part * 1e6) as i64
}

#[cfg(test)]
pub(super) mod testing {
    use super::Pairs;
    use crate::engine::philox;

    /// So many values that are seeded and normal.
    pub fn normal(seed: u32, count: usize) -> Vec<f32> {
        (0..count as u64).map(|i| philox::normal([seed, 0x516e], i)).collect()
    }

    /// a x + b y.
    pub fn sum(a: f32, x: &[f32], b: f32, y: &[f32]) -> Vec<f32> {
        x.iter().zip(y).map(|(x, y)| a * x + b * y).collect()
    }

    /// The pairs of updates of one tensor.
    pub fn pairs(updates: &[Vec<f32>]) -> Pairs {
        let mut pairs = Pairs::new(updates.len());
        pairs.add(updates.to_vec());
        pairs
    }
}
