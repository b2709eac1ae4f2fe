//! Cross-entropy of softmax over the vocabulary, on rows of logits; the gradient replaces the logits.

use super::elementwise::worth_threads;
use super::exp::{exp, log};
use super::machine::{Engine, Isa, Simd, WIDTH, kernel};
use super::sum::{self, Lanes};
use rayon::prelude::*;

/// The target of a token that has none: its loss is +0, and its gradient is +0 throughout.
pub const NO_TARGET: u32 = u32::MAX;

/// The plain scalar definitions.
pub mod definition {
    use super::NO_TARGET;
    use crate::engine::exp::{exp, log};
    use crate::engine::sum::definition::sum;

    /// The greatest element. A zero maximum is +0: the order of the comparisons never shows.
    pub fn row_max(x: &[f32]) -> f32 {
        x.iter().fold(f32::NEG_INFINITY, |m, &x| if x > m { x } else { m }) + 0.0
    }

    /// `loss = log(l) - (z[y] - m)`, with m the row's maximum and l the sum of exp(z - m); and, where `gradient_scale` is
    /// given, the row becomes `exp(z - m) * (scale / l)`, minus the scale at the target.
    pub fn row(z: &mut [f32], target: u32, gradient_scale: Option<f32>) -> f32 {
        if target == NO_TARGET {
            z.fill(0.0);
            return 0.0;
        }
        let target = target as usize;
        let m = row_max(z);
        let e: Vec<f32> = z.iter().map(|&z| exp(z - m)).collect();
        let l = sum(&e);
        let loss = log(l) - (z[target] - m);
        if let Some(scale) = gradient_scale {
            let factor = scale / l;
            for (z, e) in z.iter_mut().zip(&e) {
                *z = e * factor;
            }
            z[target] -= scale;
        }
        loss
    }
}

/// The greatest element of a row, +0 for either zero, inside a kernel.
#[inline(always)]
pub(super) fn row_max<S: Simd>(simd: S, x: &[f32]) -> f32 {
    let (vectors, rest) = x.as_chunks::<WIDTH>();
    let (fours, last) = vectors.as_chunks::<4>();
    let mut maxima = [simd.splat(f32::NEG_INFINITY); 4];
    for four in fours {
        for (m, x) in maxima.iter_mut().zip(four) {
            *m = simd.max(simd.load(x), *m);
        }
    }
    for (m, x) in maxima.iter_mut().zip(last) {
        *m = simd.max(simd.load(x), *m);
    }
    let m = simd.max(simd.max(maxima[0], maxima[1]), simd.max(maxima[2], maxima[3]));
    let mut lanes = [0.0; WIDTH];
    simd.store(m, &mut lanes);
    for (m, x) in lanes.iter_mut().zip(rest) {
        *m = if *x > *m { *x } else { *m };
    }
    for width in [8, 4, 2, 1] {
        let (low, high) = lanes.split_at_mut(width);
        for (low, high) in low.iter_mut().zip(high) {
            *low = if *high > *low { *high } else { *low };
        }
    }
    lanes[0] + 0.0
}

#[inline(always)]
fn rows<S: Simd>(simd: S, logits: &mut [f32], vocabulary: usize, targets: &[u32], losses: &mut [f32], scale: f32) {
    for ((z, &target), loss) in logits.chunks_exact_mut(vocabulary).zip(targets).zip(losses) {
        if target == NO_TARGET {
            z.fill(0.0);
            *loss = 0.0;
            continue;
        }
        let m = row_max(simd, z);
        let shifted = z[target as usize] - m;
        for z in &mut *z {
            *z = exp(*z - m);
        }
        let l = sum::sum(simd, z);
        *loss = log(l) - shifted;
        let factor = scale / l;
        for z in &mut *z {
            *z *= factor;
        }
        z[target as usize] -= scale;
    }
}

/// Losses alone; the logits stay.
#[inline(always)]
fn losses_of_rows<S: Simd>(simd: S, logits: &[f32], vocabulary: usize, targets: &[u32], losses: &mut [f32]) {
    for ((z, &target), loss) in logits.chunks_exact(vocabulary).zip(targets).zip(losses) {
        if target == NO_TARGET {
            *loss = 0.0;
            continue;
        }
        let m = row_max(simd, z);
        let mut lanes = Lanes::new(simd);
        let mut rest = [0.0; sum::LANES];
        // The exponentials pass through a short buffer: a whole number of lanes.
        let mut e = [0.0; 16 * sum::LANES];
        for z in z.chunks(e.len()) {
            let e = &mut e[..z.len()];
            for (e, z) in e.iter_mut().zip(z) {
                *e = exp(*z - m);
            }
            let (chunks, last) = e.as_chunks::<{ sum::LANES }>();
            for e in chunks {
                lanes.add(e);
            }
            // Only the last buffer may be ragged. No lane is -0, so that the +0 of absent elements change nothing.
            rest[..last.len()].copy_from_slice(last);
        }
        lanes.add(&rest);
        *loss = log(sum::fold(&lanes.values())) - (z[target as usize] - m);
    }
}

kernel!(Rows<'a> { logits: &'a mut [f32], vocabulary: usize, targets: &'a [u32], losses: &'a mut [f32], scale: f32 }
    -> (), simd = rows(simd, logits, vocabulary, targets, losses, scale));
kernel!(LossesOfRows<'a> { logits: &'a [f32], vocabulary: usize, targets: &'a [u32], losses: &'a mut [f32] } -> (), simd =
    losses_of_rows(simd, logits, vocabulary, targets, losses));

fn check(logits: &[f32], vocabulary: usize, targets: &[u32], losses: &[f32]) {
    assert!(vocabulary > 0, "cross_entropy: a vocabulary of at least one token");
    assert_eq!(logits.len(), targets.len() * vocabulary, "cross_entropy: a row of {vocabulary} for each target");
    assert_eq!(losses.len(), targets.len(), "cross_entropy: a loss for each target");
    let outside = |&&target: &&u32| target != NO_TARGET && target as usize >= vocabulary;
    if let Some(target) = targets.iter().find(outside) {
        panic!("cross_entropy: target {target} in a vocabulary of {vocabulary}");
    }
}

impl Engine {
    /// Losses, and the gradient of `scale` times their sum in place of `logits` \[tokens × vocabulary\]: `scale` is one over
    /// the number of targets in the whole batch. A target may be [`NO_TARGET`].
    pub fn cross_entropy(self, logits: &mut [f32], vocabulary: usize, targets: &[u32], scale: f32, losses: &mut [f32]) {
        check(logits, vocabulary, targets, losses);
        if self.isa() == Isa::Definition {
            return self.define(|| {
                for ((z, &target), loss) in logits.chunks_mut(vocabulary).zip(targets).zip(losses) {
                    *loss = definition::row(z, target, Some(scale));
                }
            });
        }
        if worth_threads(logits.len()) {
            let rows = (1usize << 13).div_ceil(vocabulary);
            let blocks = logits.par_chunks_mut(rows * vocabulary).zip(targets.par_chunks(rows));
            blocks.zip(losses.par_chunks_mut(rows)).for_each(|((logits, targets), losses)| {
                self.dispatch(Rows { logits, vocabulary, targets, losses, scale });
            });
        } else {
            self.dispatch(Rows { logits, vocabulary, targets, losses, scale });
        }
    }

    /// Losses alone, of `logits` \[tokens × vocabulary\].
    pub fn cross_entropy_loss(self, logits: &[f32], vocabulary: usize, targets: &[u32], losses: &mut [f32]) {
        check(logits, vocabulary, targets, losses);
        if self.isa() == Isa::Definition {
            return self.define(|| {
                for ((z, &target), loss) in logits.chunks(vocabulary).zip(targets).zip(losses) {
                    *loss = definition::row(&mut z.to_vec(), target, None);
                }
            });
        }
        if worth_threads(logits.len()) {
            let rows = (1usize << 13).div_ceil(vocabulary);
            let blocks = logits.par_chunks(rows * vocabulary).zip(targets.par_chunks(rows));
            blocks.zip(losses.par_chunks_mut(rows)).for_each(|((logits, targets), losses)| {
                self.dispatch(LossesOfRows { logits, vocabulary, targets, losses });
            });
        } else {
            self.dispatch(LossesOfRows { logits, vocabulary, targets, losses });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::{assert_same_bits, assert_slope, on_every_engine};

    #[test]
    fn losses_and_gradients_equal_their_definitions() {
        on_every_engine(|engine, numbers| {
            for (tokens, vocabulary) in [(1, 1), (5, 100), (3, 1000), (40, 1111)] {
                let vocabulary = vocabulary + numbers.up_to(70) - 1;
                let logits = numbers.tame(tokens * vocabulary);
                let mut targets: Vec<u32> = (0..tokens).map(|_| numbers.up_to(vocabulary) as u32 - 1).collect();
                if tokens > 2 {
                    targets[1] = NO_TARGET;
                }
                let run = |engine: Engine| {
                    let mut gradient = logits.clone();
                    let [mut losses, mut alone] = [(); 2].map(|()| vec![9.0; tokens]);
                    engine.cross_entropy(&mut gradient, vocabulary, &targets, 0.01, &mut losses);
                    engine.cross_entropy_loss(&logits, vocabulary, &targets, &mut alone);
                    assert_same_bits("losses alone", &alone, &losses);
                    [gradient, losses]
                };
                for (ours, truth) in run(engine).iter().zip(&run(Engine::definition())) {
                    assert_same_bits("cross_entropy", ours, truth);
                }
            }
        });
    }

    kernel!(Max<'a> { x: &'a [f32] } -> f32, simd = row_max(simd, x));

    #[test]
    fn a_zero_maximum_is_positive_zero_in_any_order() {
        on_every_engine(|engine, _| {
            for z in [[0.0, -0.0, -1.0], [-0.0, 0.0, -1.0], [-0.0, -0.0, -1.0]] {
                assert_eq!(engine.dispatch(Max { x: &z }).to_bits(), 0);
                assert_eq!(definition::row_max(&z).to_bits(), 0);
            }
        });
    }

    #[test]
    fn the_gradient_is_the_slope_of_the_loss() {
        let z: Vec<f32> = (0..9).map(|i| (i as f32 * 1.7).sin() * 3.0).collect();
        let loss = |z: &[f64]| libm::log(z.iter().map(|&z| libm::exp(z)).sum::<f64>()) - z[4];
        let mut gradient = z.clone();
        let ours = definition::row(&mut gradient, 4, Some(1.0));
        let exact: Vec<f64> = z.iter().map(|&z| f64::from(z)).collect();
        assert!((f64::from(ours) - loss(&exact)).abs() < 1e-6);
        assert_slope(loss, &z, &gradient);
    }

    #[test]
    #[should_panic(expected = "target 3 in a vocabulary of 3")]
    fn a_target_outside_the_vocabulary_is_refused() {
        Engine::detect().cross_entropy_loss(&[0.0; 3], 3, &[3], &mut [0.0]);
    }
}
