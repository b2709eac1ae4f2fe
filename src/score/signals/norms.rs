//! Norms: how large an update is beside the others. Inflation must gain nothing.

use super::{Pairs, ppm};

/// The lower median of norms; 0 of none.
pub fn median(mut norms: Vec<f64>) -> f64 {
    norms.sort_by(f64::total_cmp);
    norms.get(norms.len().saturating_sub(1) / 2).copied().unwrap_or(0.0)
}

/// Norms of updates beside their median.
#[derive(Clone, Debug)]
pub struct Norms {
    norms: Vec<f64>,
    median: f64,
}

impl Norms {
    /// Of the first `count` updates.
    pub fn of(pairs: &Pairs, count: usize) -> Norms {
        let norms: Vec<f64> = (0..count).map(|i| pairs.norm(i)).collect();
        let median = median(norms.clone());
        Norms { norms, median }
    }

    /// An update's norm as a part of the median, in parts per million; 1000000 where the median is nothing and the
    /// update is too.
    pub fn ppm(&self, i: usize) -> u64 {
        match (self.norms[i], self.median) {
            (0.0, 0.0) => 1_000_000,
            (own, median) => ppm(own / median).min(MOST),
        }
    }

    /// What an update is multiplied by so that it is at most `clip_ppm` parts per million of the median; 1 where it is,
    /// and where `clip_ppm` is 0.
    pub fn clip(&self, i: usize, clip_ppm: u64) -> f32 {
        let most = self.median * (clip_ppm as f64 / 1e6);
        if clip_ppm == 0 || self.norms[i] <= most { 1.0 } else { (most / self.norms[i]) as f32 }
    }

    /// Why an update is refused; `None` where it is not. `max_ppm` in parts per million of the median, 0 where it does not
    /// decide.
    pub fn refuses(&self, i: usize, max_ppm: u64) -> Option<String> {
        if self.norms[i] == 0.0 {
            return Some("sends nothing".into());
        }
        (max_ppm > 0 && self.ppm(i) > max_ppm).then(|| "its norm is far above the median".into())
    }
}

/// What a record can hold.
const MOST: u64 = (1 << 53) - 1;

#[cfg(test)]
mod tests {
    use super::super::testing::pairs;
    use super::*;

    fn norms(values: &[f32]) -> Norms {
        Norms::of(&pairs(&values.iter().map(|v| vec![*v, 0.0]).collect::<Vec<_>>()), values.len())
    }

    #[test]
    fn inflation_is_measured_refused_and_clipped() {
        let found = norms(&[1.0, -2.0, 2.0, 100.0, 3.0]);
        assert_eq!(
            (0..5).map(|i| found.ppm(i)).collect::<Vec<_>>(),
            [500_000, 1_000_000, 1_000_000, 50_000_000, 1_500_000]
        );
        assert!(found.refuses(3, 2_000_000).unwrap().contains("norm"));
        assert!([0, 1, 2, 4].iter().all(|&i| found.refuses(i, 2_000_000).is_none()));
        assert_eq!(found.refuses(3, 0), None);
        assert_eq!([0, 1, 3, 4].map(|i| found.clip(i, 1_000_000)), [1.0, 1.0, 0.02, 2.0 / 3.0]);
        assert_eq!((found.clip(4, 1_500_000), found.clip(3, 0)), (1.0, 1.0));
    }

    #[test]
    fn a_minority_moves_the_median_nowhere_and_nothing_is_refused() {
        let found = norms(&[1.0, 1.0, 1.0, 1e30, 1e30]);
        assert_eq!((found.ppm(0), found.ppm(3)), (1_000_000, MOST));
        assert!(norms(&[1.0, 0.0]).refuses(1, 0).unwrap().contains("nothing"));
        assert_eq!(norms(&[0.0, 0.0]).ppm(0), 1_000_000);
        assert_eq!(median(vec![]), 0.0);
    }
}
