//! How far AdamW can move a parameter, whatever the gradients: what no work could have done is refused outright.
//!
//! With zero moments before step 1, Cauchy and Schwarz give for the moments after step t
//!
//! ```text
//! |m_t| <= (1 - b1) sqrt(sum_{k<t} (b1^2 / b2)^k) sqrt(v_t / (1 - b2))
//! ```
//!
//! so that a step moves a parameter by at most lr times
//! `(1 - b1) / sqrt(1 - b2) sqrt(sum) sqrt(1 - b2^t) / (1 - b1^t)`, and weight decay by lr wd |p|. Storing zero for
//! moments below 2^-100 (A7) loses at most 2^-47 of a root of v, which eps alone may then stand under.

use super::inner::learning_rate;
use crate::artifact::recipe::InnerRecipe;

/// Room for the rounding of the steps, as a part of them.
const SLACK: f64 = 1e-3;
/// What storing a moment as zero may hide.
const HIDDEN: f64 = 1.0 / (1u64 << 46) as f64;
/// Rounding of a parameter in one step, as a part of it, with room.
const ROUNDING: f64 = 1.0 / (1u64 << 22) as f64;

/// Bounds on the distance from theta after some steps of a round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reach {
    /// What steps alone can add up to.
    pub steps: f64,
    /// What weight decay and rounding can change of a parameter, as a part of it.
    pub relative: f64,
}

impl Reach {
    /// After the first `steps` of round `round`, with moments that have seen `seen` steps before it. The same on every
    /// machine.
    pub fn new(inner: &InnerRecipe, round: u64, steps: u32, seen: u64) -> Reach {
        let ratio = inner.beta1 * inner.beta1 / inner.beta2;
        let mut reach = Reach { steps: 0.0, relative: 0.0 };
        let mut kept = 1.0;
        for step in 0..u64::from(steps) {
            let t = (seen + step + 1) as f64;
            let lr = learning_rate(inner, round * u64::from(inner.steps) + step);
            let sum = geometric(ratio, t);
            let bias = (1.0 - libm::pow(inner.beta2, t)).sqrt() / (1.0 - libm::pow(inner.beta1, t));
            let most = (1.0 - inner.beta1) / (1.0 - inner.beta2).sqrt() * sum.sqrt() * bias;
            reach.steps += lr * (most + HIDDEN / inner.eps) * (1.0 + SLACK);
            kept *= 1.0 - lr * inner.weight_decay;
        }
        reach.relative = (1.0 - kept).abs() + f64::from(steps) * ROUNDING;
        reach
    }

    /// Whether a parameter can have come from `theta` to `now`.
    pub fn holds(&self, theta: f32, now: f32) -> bool {
        let (theta, now) = (f64::from(theta), f64::from(now));
        // What steps have added decays too, which only shortens it while lr wd is at most 2.
        (now - theta).abs() <= self.steps + theta.abs() * self.relative
    }

    /// The first parameter that cannot have come from theta.
    pub fn first_beyond(&self, theta: &[f32], now: &[f32]) -> Option<usize> {
        theta.iter().zip(now).position(|(theta, now)| !self.holds(*theta, *now))
    }
}

/// 1 + ratio + ... of t terms. Without a second moment's memory there is no bound; without a first one's, one term.
fn geometric(ratio: f64, t: f64) -> f64 {
    match ratio {
        _ if ratio.is_nan() => 1.0,
        _ if ratio.is_infinite() => f64::INFINITY,
        _ if ratio == 1.0 => t,
        _ => (1.0 - libm::pow(ratio, t)) / (1.0 - ratio),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::adamw::definition::element;
    use crate::optimizer::inner_step;

    /// One parameter under these gradients, beside the bound after each step.
    fn walk(inner: &InnerRecipe, theta: f32, gradients: impl Iterator<Item = f32>) -> f64 {
        let (mut p, mut m, mut v, mut nearest) = (theta, 0.0, 0.0, 0f64);
        for (step, g) in (0u64..).zip(gradients) {
            let scalars = inner_step(inner, step, step + 1, 1.0).decaying;
            (p, m, v) = element(&scalars, p, g, m, v);
            let reach = Reach::new(inner, 0, step as u32 + 1, 0);
            assert!(reach.holds(theta, p), "step {step}: {theta} -> {p}, {reach:?}");
            nearest =
                nearest.max(f64::from((p - theta).abs()) / (reach.steps + f64::from(theta.abs()) * reach.relative));
        }
        nearest
    }

    fn inner(text: &str) -> InnerRecipe {
        toml::from_str(&format!("steps = 30\nbatch = 1\nlr = 0.01\n{text}")).unwrap()
    }

    #[test]
    fn no_gradients_lead_beyond_the_bound_and_some_come_near() {
        let mut nearest = 0f64;
        for text in
            ["", "beta1 = 0.0", "beta1 = 0.99", "weight_decay = 0.5", "beta2 = 0.999\nwarmup = 9", "eps = 1e-12"]
        {
            let inner = inner(text);
            for scale in [1.0, 1e-12, 1e-15, 1e-20, 1e12] {
                for growth in [0.2f32, 0.9, 1.0, 1.05, 3.0] {
                    let gradients = (0..30).map(|i| scale * growth.powi(i) * if i % 7 == 6 { -1.0 } else { 1.0 });
                    nearest = nearest.max(walk(&inner, 0.3, gradients.filter(|g| *g < 1e15)));
                    nearest = nearest.max(walk(&inner, -7.0, (0..30).map(|i| scale * growth.powi(i).min(1e3))));
                }
            }
        }
        assert!(nearest > 0.8, "{nearest}");
    }

    #[test]
    fn carried_moments_are_bounded_by_all_they_have_seen() {
        let inner = inner("");
        let fresh = Reach::new(&inner, 0, 30, 0);
        let carried = Reach::new(&inner, 5, 30, 150);
        assert!(fresh.steps < 0.36 && carried.steps < 0.36, "{fresh:?} {carried:?}");
        assert_eq!(fresh.first_beyond(&[0.0, 1.0], &[0.3, 1.5]), Some(1));
        assert_eq!(fresh.first_beyond(&[0.0], &[f32::NAN]), Some(0));
    }
}
