//! Which token comes next: one pure function of logits, a rule and a number.

use std::cmp::Reverse;

use crate::artifact::Digest;
use crate::engine::philox;
use crate::error::{Error, Result};

/// How the next token is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// What logits are divided by; 0 always takes the largest.
    pub temperature: f64,
    /// The largest logits alone are drawn from, so many of them; all where there is none.
    pub top_k: Option<usize>,
    /// And of those the fewest whose probabilities come to this.
    pub top_p: f64,
}

impl Rule {
    /// From all tokens, as the model has them.
    pub const PLAIN: Rule = Rule { temperature: 1.0, top_k: None, top_p: 1.0 };

    /// Refuses what is no rule, by its name.
    pub fn check(&self) -> Result<()> {
        let Rule { temperature, top_p, .. } = self;
        if !(*temperature >= 0.0 && temperature.is_finite()) {
            return Err(Error::usage(format!("temperature: expected 0 or above, found {temperature}")));
        }
        if !(*top_p > 0.0 && *top_p <= 1.0) {
            return Err(Error::usage(format!("top_p: expected above 0 and at most 1, found {top_p}")));
        }
        Ok(())
    }

    /// The token that the number `uniform` of \[0, 1) draws.
    ///
    /// Tokens stand by descending logit, equal ones by ascending id. The first `top_k` stay; their logits divided by the
    /// temperature, and the exponentials of that, are weights; the shortest beginning whose weights come to `top_p` of their sum
    /// stays; `uniform` points into that. Temperature 0 takes the first.
    pub fn pick(&self, logits: &[f32], uniform: f64) -> Result<u32> {
        if let Some(id) = logits.iter().position(|logit| !logit.is_finite()) {
            return Err(Error::data(format!(
                "the model's logit of token {id} is {}, expected finite ones",
                logits[id]
            )));
        }
        let first = logits.iter().enumerate().min_by_key(|(id, logit)| (Reverse(ordered(**logit)), *id));
        let Some((first, largest)) = first else { return Err(Error::bug("no logits to draw from")) };
        if self.temperature == 0.0 || self.top_k == Some(1) {
            return Ok(first as u32);
        }
        let kept = self.largest(logits);
        let weight = |id: u32| libm::exp((f64::from(logits[id as usize]) - f64::from(*largest)) / self.temperature);
        let weights: Vec<f64> = kept.iter().map(|id| weight(*id)).collect();
        let enough = self.top_p * weights.iter().sum::<f64>();
        let mut sums = Vec::with_capacity(weights.len());
        let mut sum = 0.0;
        for weight in &weights {
            sum += weight;
            sums.push(sum);
            if sum >= enough {
                break;
            }
        }
        // Below 1 by the definition of the number: of what is summed up, some place lies above it.
        let at = sums.partition_point(|through| *through <= uniform * sum);
        Ok(kept[at.min(sums.len() - 1)])
    }

    /// The ids of the largest logits in order.
    fn largest(&self, logits: &[f32]) -> Vec<u32> {
        // Order and id in one word: of a large vocabulary sorting is what takes time.
        let key = |(id, logit): (usize, &f32)| u64::from(ordered(*logit)) << 32 | u64::from(!(id as u32));
        let mut keys: Vec<Reverse<u64>> = logits.iter().enumerate().map(|entry| Reverse(key(entry))).collect();
        if let Some(k) = self.top_k.filter(|k| (1..keys.len()).contains(k)) {
            keys.select_nth_unstable(k - 1);
            keys.truncate(k);
        }
        keys.sort_unstable();
        keys.into_iter().map(|Reverse(key)| !(key as u32)).collect()
    }
}

/// An integer that is larger where the float is; both zeros are one.
fn ordered(logit: f32) -> u32 {
    let bits = (logit + 0.0).to_bits();
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

/// The number of \[0, 1) that draws the token of this index under a seed: 53 bits of the block at that counter, and nothing
/// that was drawn before it.
pub fn uniform(seed: u64, index: u64) -> f64 {
    let key = Digest::of_parts("l402/sample/1", &[&seed.to_le_bytes()]).philox_key();
    let [low, high, ..] = philox::philox(key, [index as u32, (index >> 32) as u32, 0, 0]);
    ((u64::from(high) << 32 | u64::from(low)) >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn rule(temperature: f64, top_k: Option<usize>, top_p: f64) -> Rule {
        Rule { temperature, top_k, top_p }
    }

    /// How often each of the tokens is drawn by evenly spaced numbers.
    fn shares(rule: Rule, logits: &[f32]) -> Vec<f64> {
        const DRAWS: usize = 100_000;
        let mut counts = vec![0.0; logits.len()];
        for i in 0..DRAWS {
            counts[rule.pick(logits, i as f64 / DRAWS as f64).unwrap() as usize] += 1.0 / DRAWS as f64;
        }
        counts
    }

    fn near(found: &[f64], expected: &[f64]) {
        assert!(found.iter().zip(expected).all(|(f, e)| (f - e).abs() < 2e-5), "{found:?} {expected:?}");
    }

    /// ln 1, ln 2, ln 4, ln 1.
    const LOGITS: [f32; 4] = [0.0, std::f32::consts::LN_2, 1.386_294_4, 0.0];

    #[test]
    fn tokens_are_drawn_by_their_probabilities() {
        near(&shares(Rule::PLAIN, &LOGITS), &[0.125, 0.25, 0.5, 0.125]);
        // Twice as cold: squared.
        near(&shares(rule(0.5, None, 1.0), &LOGITS), &[1.0 / 22.0, 4.0 / 22.0, 16.0 / 22.0, 1.0 / 22.0]);
    }

    #[test]
    fn the_first_of_the_largest_is_taken_without_temperature_and_of_one() {
        for greedy in [rule(0.0, None, 1.0), rule(1.0, Some(1), 1.0), rule(1e-300, None, 1.0), rule(0.0, Some(3), 0.1)]
        {
            assert_eq!(greedy.pick(&[1.0, 3.0, -2.0, 3.0], 0.0).unwrap(), 1, "{greedy:?}");
        }
        assert_eq!(rule(0.0, None, 1.0).pick(&[-0.0, 0.0], 0.5).unwrap(), 0);
        assert_eq!(rule(1e-9, None, 1.0).pick(&[1.0, 3.0, -2.0, 2.9], 0.999_999).unwrap(), 1);
    }

    #[test]
    fn top_k_keeps_the_largest_and_of_equal_ones_the_lower_ids() {
        near(&shares(rule(1.0, Some(2), 1.0), &LOGITS), &[0.0, 1.0 / 3.0, 2.0 / 3.0, 0.0]);
        near(&shares(rule(1.0, Some(3), 1.0), &LOGITS), &[1.0 / 7.0, 2.0 / 7.0, 4.0 / 7.0, 0.0]);
        near(&shares(rule(1.0, Some(9), 1.0), &LOGITS), &[0.125, 0.25, 0.5, 0.125]);
    }

    #[test]
    fn top_p_keeps_the_fewest_that_come_to_it() {
        near(&shares(rule(1.0, None, 0.5), &LOGITS), &[0.0, 0.0, 1.0, 0.0]);
        near(&shares(rule(1.0, None, 0.51), &LOGITS), &[0.0, 1.0 / 3.0, 2.0 / 3.0, 0.0]);
        near(&shares(rule(1.0, None, 0.76), &LOGITS), &[1.0 / 7.0, 2.0 / 7.0, 4.0 / 7.0, 0.0]);
        // Of what top-k left: three quarters of 6/8 are 4/6 and more.
        near(&shares(rule(1.0, Some(2), 0.6), &LOGITS), &[0.0, 0.0, 1.0, 0.0]);
        near(&shares(rule(1.0, None, 1e-300), &LOGITS), &[0.0, 0.0, 1.0, 0.0]);
    }

    #[test]
    fn far_logits_overflow_nothing() {
        let far = [f32::MAX, -f32::MAX, 0.0, f32::MIN_POSITIVE];
        for temperature in [1e-300, 1.0, 1e300] {
            for uniform in [0.0, 0.5, 1.0 - f64::EPSILON] {
                assert!(rule(temperature, None, 1.0).pick(&far, uniform).unwrap() < 4);
            }
        }
        assert_eq!(Rule::PLAIN.pick(&far, 1.0 - f64::EPSILON / 2.0).unwrap(), 0);
    }

    #[test]
    fn what_is_no_number_is_refused_with_its_token() {
        for (bad, says) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf"), (f32::NEG_INFINITY, "-inf")] {
            let error = rule(0.0, None, 1.0).pick(&[0.0, bad], 0.0).unwrap_err();
            assert_eq!(error.kind(), Kind::Data);
            assert_eq!(error.to_string(), format!("the model's logit of token 1 is {says}, expected finite ones"));
        }
        let none = rule(0.0, None, 1.0).pick(&[], 0.0).unwrap_err();
        assert_eq!((none.kind(), none.to_string().as_str()), (Kind::Bug, "no logits to draw from"));
    }

    #[test]
    fn what_is_no_rule_is_refused_by_name() {
        assert!(rule(0.0, None, 1.0).check().is_ok() && rule(2.0, Some(40), 0.9).check().is_ok());
        for temperature in [-0.1, f64::NAN, f64::INFINITY] {
            assert!(rule(temperature, None, 1.0).check().unwrap_err().to_string().starts_with("temperature: "));
        }
        for top_p in [0.0, -0.5, 1.1, f64::NAN] {
            assert!(rule(1.0, None, top_p).check().unwrap_err().to_string().starts_with("top_p: "));
        }
    }

    #[test]
    fn numbers_depend_on_seed_and_index_alone_and_fill_the_unit() {
        assert_eq!(uniform(7, 3), uniform(7, 3));
        assert_ne!(uniform(7, 3), uniform(7, 4));
        assert_ne!(uniform(7, 3), uniform(8, 3));
        let mean = (0..10_000).map(|index| uniform(402, index)).sum::<f64>() / 10_000.0;
        assert!((0.49..0.51).contains(&mean), "{mean}");
        assert!((0..10_000).all(|index| (0.0..1.0).contains(&uniform(1, index))));
    }
}
