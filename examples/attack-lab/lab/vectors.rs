//! Sums of updates, and noise.

use l402::engine::philox;

/// sqrt of the sum of squares.
pub fn norm(x: &[f32]) -> f64 {
    x.iter().map(|v| f64::from(*v) * f64::from(*v)).sum::<f64>().sqrt()
}

/// a x.
pub fn scaled(x: &[f32], a: f64) -> Vec<f32> {
    x.iter().map(|v| (f64::from(*v) * a) as f32).collect()
}

/// x + y.
pub fn sum(x: &[f32], y: &[f32]) -> Vec<f32> {
    x.iter().zip(y).map(|(x, y)| x + y).collect()
}

/// The mean of vectors, of which there is one at least.
pub fn mean(all: &[Vec<f32>]) -> Vec<f32> {
    let total = all[1..].iter().fold(all[0].clone(), |total, one| sum(&total, one));
    scaled(&total, 1.0 / all.len() as f64)
}

/// The standard deviation of each coordinate.
pub fn deviation(all: &[Vec<f32>]) -> Vec<f32> {
    let mean = mean(all);
    let square =
        |i: usize| all.iter().map(|one| f64::from(one[i] - mean[i]) * f64::from(one[i] - mean[i])).sum::<f64>();
    (0..mean.len()).map(|i| (square(i) / all.len() as f64).sqrt() as f32).collect()
}

/// Normal noise of this norm.
pub fn noise(key: [u32; 2], len: usize, norm_wanted: f64) -> Vec<f32> {
    let drawn: Vec<f32> = (0..len as u64).map(|i| philox::normal(key, i)).collect();
    scaled(&drawn, norm_wanted / norm(&drawn))
}
