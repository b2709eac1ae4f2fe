//! Means with their uncertainty, quantiles, rank correlation.

/// A mean over seeds and half the width of its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mean {
    /// The mean.
    pub mean: f64,
    /// Half the interval.
    pub half: f64,
}

/// Student's t at 97.5 % for so many degrees of freedom.
fn t(freedom: usize) -> f64 {
    const T: [f64; 30] = [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
        2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
    ];
    T.get(freedom.wrapping_sub(1)).copied().unwrap_or(if freedom == 0 { f64::INFINITY } else { 1.96 })
}

/// The ratio of two sums over seeds, measured in pairs: sum a / sum b, its interval by the delta method.
pub fn ratio(pairs: &[(f64, f64)]) -> Mean {
    let n = pairs.len() as f64;
    let (a, b) = pairs.iter().fold((0.0, 0.0), |(a, b), pair| (a + pair.0, b + pair.1));
    let mean = a / b;
    let squares: f64 = pairs.iter().map(|(a, b)| (a - mean * b) * (a - mean * b)).sum();
    let error = (squares / (n - 1.0) / n).sqrt() / (b / n);
    Mean { mean, half: t(pairs.len() - 1) * error }
}

/// The value below which this part of the values lies.
pub fn quantile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(((values.len() as f64 - 1.0) * part).round() as usize).copied().unwrap_or(f64::NAN)
}

/// Spearman's rank correlation; ties take the mean of their ranks.
pub fn rank_correlation(x: &[f64], y: &[f64]) -> f64 {
    let ranks = |values: &[f64]| -> Vec<f64> {
        let below = |v: f64| values.iter().filter(|o| **o < v).count() as f64;
        let equal = |v: f64| values.iter().filter(|o| **o == v).count() as f64;
        values.iter().map(|&v| below(v) + (equal(v) + 1.0) / 2.0).collect()
    };
    let (x, y) = (ranks(x), ranks(y));
    let mean = (x.len() as f64 + 1.0) / 2.0;
    let dot = |x: &[f64], y: &[f64]| -> f64 { x.iter().zip(y).map(|(x, y)| (x - mean) * (y - mean)).sum() };
    dot(&x, &y) / (dot(&x, &x) * dot(&y, &y)).sqrt()
}
