//! AdamW's host scalars: schedule and bias corrections, in f64 with the pinned `libm`, rounded once (A5).

use crate::artifact::recipe::{InnerRecipe, Schedule};
use crate::engine::AdamwStep;

/// The scalars of one inner step, for tensors that decay and for those that do not.
#[derive(Clone, Copy, Debug)]
pub struct InnerStep {
    /// For matrices.
    pub decaying: AdamwStep,
    /// For norms.
    pub plain: AdamwStep,
}

/// The scalars of the step `global` of the run (counted from 0; decides the schedule), the `t`-th that these
/// moments see (counted from 1; decides the bias corrections), with the clip factor `clip`.
pub fn inner_step(recipe: &InnerRecipe, global: u64, t: u64, clip: f32) -> InnerStep {
    let lr = learning_rate(recipe, global);
    let bias = |beta: f64| 1.0 - libm::pow(beta, t as f64);
    let step = |decay: f64| AdamwStep {
        clip,
        beta1: recipe.beta1 as f32,
        one_minus_beta1: (1.0 - recipe.beta1) as f32,
        beta2: recipe.beta2 as f32,
        one_minus_beta2: (1.0 - recipe.beta2) as f32,
        bias1: (1.0 / bias(recipe.beta1)) as f32,
        bias2_rsqrt: (1.0 / libm::sqrt(bias(recipe.beta2))) as f32,
        eps: recipe.eps as f32,
        lr: lr as f32,
        decay: (1.0 - lr * decay) as f32,
    };
    InnerStep { decaying: step(recipe.weight_decay), plain: step(0.0) }
}

/// Linear warm-up, then the schedule: constant, or half a cosine down to the floor (SGDR, 1608.03983, eq. 5).
pub(super) fn learning_rate(recipe: &InnerRecipe, global: u64) -> f64 {
    if global < recipe.warmup {
        return recipe.lr * (global + 1) as f64 / recipe.warmup as f64;
    }
    match recipe.schedule {
        Schedule::Constant => recipe.lr,
        Schedule::Cosine => {
            let span = (recipe.decay_steps - recipe.warmup) as f64;
            let at = (global - recipe.warmup) as f64 / span;
            let at = if at > 1.0 { 1.0 } else { at };
            let floor = recipe.lr * recipe.min_lr_ratio;
            floor + 0.5 * (recipe.lr - floor) * (1.0 + libm::cos(std::f64::consts::PI * at))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(schedule: Schedule) -> InnerRecipe {
        let mut recipe: InnerRecipe =
            toml::from_str("steps = 1\nbatch = 1\nlr = 0.5\nwarmup = 4\ndecay_steps = 104").unwrap();
        recipe.schedule = schedule;
        recipe.min_lr_ratio = 0.1;
        recipe
    }

    #[test]
    fn the_schedule_warms_up_peaks_and_ends_at_its_floor() {
        let cosine = recipe(Schedule::Cosine);
        let lr = |step| learning_rate(&cosine, step);
        assert_eq!([lr(0), lr(3), lr(4)], [0.125, 0.5, 0.5]);
        assert!((lr(54) - 0.275).abs() < 1e-12);
        assert_eq!([lr(104), lr(1_000_000)], [0.05, 0.05]);
        assert_eq!(learning_rate(&recipe(Schedule::Constant), 1_000_000), 0.5);
    }

    #[test]
    fn bias_corrections_undo_the_start_from_zero() {
        let step = inner_step(&recipe(Schedule::Constant), 0, 1, 1.0).plain;
        // After one step from zero, m = 0.1 g and v = 0.05 g^2.
        assert!((step.bias1 * step.one_minus_beta1 - 1.0).abs() < 1e-6);
        assert!((step.bias2_rsqrt * step.bias2_rsqrt * step.one_minus_beta2 - 1.0).abs() < 1e-6);
    }
}
