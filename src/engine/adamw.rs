//! One step of AdamW (Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019, algorithm 2) on one
//! tensor, with gradient clipping folded in.

use super::elementwise::{BLOCK, worth_threads};
use super::machine::{Engine, Isa, kernel};
use rayon::prelude::*;

/// Moments smaller than this are stored as +0.
pub const MOMENT_FLOOR: f32 = f32::from_bits((127 - 100) << 23);

/// The scalars of one step, each rounded once from f64.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamwStep {
    /// What the gradient is multiplied by first: min(1, c / norm).
    pub clip: f32,
    /// Decay of the first moment.
    pub beta1: f32,
    /// 1 - beta1.
    pub one_minus_beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// 1 - beta2.
    pub one_minus_beta2: f32,
    /// 1 / (1 - beta1^t).
    pub bias1: f32,
    /// 1 / sqrt(1 - beta2^t).
    pub bias2_rsqrt: f32,
    /// Added to the root of the second moment.
    pub eps: f32,
    /// Learning rate.
    pub lr: f32,
    /// 1 - lr * weight decay: 1 where nothing decays.
    pub decay: f32,
}

/// The plain scalar definition.
pub mod definition {
    use super::{AdamwStep, MOMENT_FLOOR};

    /// One element: parameter, gradient and moments to parameter and moments.
    #[inline(always)]
    pub fn element(step: &AdamwStep, p: f32, g: f32, m: f32, v: f32) -> (f32, f32, f32) {
        let g = g * step.clip;
        let m = step.beta1.mul_add(m, step.one_minus_beta1 * g);
        let v = step.beta2.mul_add(v, step.one_minus_beta2 * (g * g));
        let m = if m.abs() < MOMENT_FLOOR { 0.0 } else { m };
        let v = if v < MOMENT_FLOOR { 0.0 } else { v };
        let denominator = v.sqrt().mul_add(step.bias2_rsqrt, step.eps);
        let update = (m * step.bias1) / denominator;
        let p = (-step.lr).mul_add(update, p * step.decay);
        (p, m, v)
    }

    /// Every element in turn; whether all parameters and moments came out finite.
    pub fn step(step: &AdamwStep, p: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32]) -> bool {
        let mut finite = true;
        for i in 0..p.len() {
            (p[i], m[i], v[i]) = element(step, p[i], g[i], m[i], v[i]);
            finite &= p[i].is_finite() && m[i].is_finite() && v[i].is_finite();
        }
        finite
    }
}

#[inline(always)]
fn run(step: &AdamwStep, p: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32]) -> bool {
    // The greatest magnitude as an integer: infinities and NaN are above all finite values.
    let mut greatest = 0u32;
    for (((p, g), m), v) in p.iter_mut().zip(g).zip(m).zip(v) {
        (*p, *m, *v) = definition::element(step, *p, *g, *m, *v);
        for x in [*p, *m, *v] {
            greatest = greatest.max(x.to_bits() & 0x7fff_ffff);
        }
    }
    greatest < f32::INFINITY.to_bits()
}

kernel!(Step<'a> { step: &'a AdamwStep, p: &'a mut [f32], g: &'a [f32], m: &'a mut [f32], v: &'a mut [f32] } -> bool =
    run(step, p, g, m, v));

impl Engine {
    /// One step on the parameters `p` with gradient `g` and moments `m`, `v`. Gives whether every parameter and moment
    /// came out finite.
    pub fn adamw(self, step: &AdamwStep, p: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32]) -> bool {
        let sizes = [g.len(), m.len(), v.len()];
        assert_eq!(sizes, [p.len(); 3], "adamw: gradient and moments as large as the parameters");
        if self.isa() == Isa::Definition {
            return self.define(|| definition::step(step, p, g, m, v));
        }
        if worth_threads(p.len()) {
            let blocks = p.par_chunks_mut(BLOCK).zip(g.par_chunks(BLOCK));
            let moments = m.par_chunks_mut(BLOCK).zip(v.par_chunks_mut(BLOCK));
            let finite = blocks.zip(moments).map(|((p, g), (m, v))| self.dispatch(Step { step, p, g, m, v }));
            finite.reduce(|| true, |a, b| a & b)
        } else {
            self.dispatch(Step { step, p, g, m, v })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::{assert_same_bits, on_every_engine};

    const STEP: AdamwStep = AdamwStep {
        clip: 0.7,
        beta1: 0.9,
        one_minus_beta1: 0.1,
        beta2: 0.95,
        one_minus_beta2: 0.05,
        bias1: 3.69,
        bias2_rsqrt: 2.65,
        eps: 1e-8,
        lr: 1e-3,
        decay: 0.9999,
    };

    #[test]
    fn a_step_equals_its_definition() {
        on_every_engine(|engine, numbers| {
            for length in [0, 1, numbers.up_to(100), BLOCK + numbers.up_to(BLOCK)] {
                let [p, g, m] = [(); 3].map(|()| numbers.tame(length));
                let v: Vec<f32> = numbers.tame(length).iter().map(|v| v.abs()).collect();
                let run = |engine: Engine| {
                    let (mut p, mut m, mut v) = (p.clone(), m.clone(), v.clone());
                    assert!(engine.adamw(&STEP, &mut p, &g, &mut m, &mut v));
                    [p, m, v]
                };
                for (ours, truth) in run(engine).iter().zip(&run(Engine::definition())) {
                    assert_same_bits("adamw", ours, truth);
                }
            }
        });
    }

    #[test]
    fn a_non_finite_gradient_is_reported() {
        on_every_engine(|engine, numbers| {
            let length = BLOCK + numbers.up_to(BLOCK);
            let mut g = numbers.tame(length);
            g[numbers.up_to(length) - 1] = if numbers.up_to(2) == 1 { f32::NAN } else { f32::INFINITY };
            let (mut p, mut m, mut v) = (vec![0.0; length], vec![0.0; length], vec![0.0; length]);
            assert!(!engine.adamw(&STEP, &mut p, &g, &mut m, &mut v));
        });
    }

    #[test]
    fn tiny_moments_become_zero() {
        let below = MOMENT_FLOOR.next_down() / STEP.beta1;
        let (_, m, v) = definition::element(&STEP, 1.0, 0.0, -below, MOMENT_FLOOR);
        assert_eq!([m.to_bits(), v.to_bits()], [0, 0]);
        assert_eq!(MOMENT_FLOOR, libm::scalbnf(1.0, -100));
    }

    /// Against the paper's algorithm in f64.
    #[test]
    fn the_first_step_moves_by_the_learning_rate() {
        let (beta1, beta2, lr, decay) = (0.9f64, 0.95f64, 1e-3f64, 1e-2f64);
        let step = AdamwStep {
            clip: 1.0,
            bias1: (1.0 / (1.0 - beta1)) as f32,
            bias2_rsqrt: (1.0 / (1.0 - beta2).sqrt()) as f32,
            decay: (1.0 - lr * decay) as f32,
            ..STEP
        };
        let (p, ..) = definition::element(&step, 2.0, -0.3, 0.0, 0.0);
        assert!((f64::from(p) - (2.0 * (1.0 - lr * decay) + lr)).abs() < 1e-6);
    }
}
