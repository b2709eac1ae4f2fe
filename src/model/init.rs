//! Random initial weights: each element a function of seed, tensor name and index (A6).

use rayon::prelude::*;

use super::config::ModelConfig;
use super::layout::Layout;
use crate::artifact::Digest;
use crate::engine::philox;

/// Normal weights with the configuration's deviation; projections into the residual stream are scaled by
/// 1/sqrt(2 layers) (GPT-2, section 2.3); norms multiply by 1; biases are 0.
pub fn initial_parameters(config: &ModelConfig, layout: &Layout, seed: u64) -> Vec<f32> {
    let residual = 1.0 / libm::sqrt(2.0 * config.num_hidden_layers as f64);
    let mut flat = vec![0f32; layout.total];
    for tensor in &layout.tensors {
        let values = &mut flat[tensor.range()];
        if !tensor.decays() {
            let zero = config.variant.norm_plus_one || tensor.name.ends_with(".bias");
            values.fill(if zero { 0.0 } else { 1.0 });
            continue;
        }
        let into_residual = tensor.name.ends_with("o_proj.weight") || tensor.name.ends_with("down_proj.weight");
        let deviation = config.initializer_range * if into_residual { residual } else { 1.0 };
        let deviation = deviation as f32;
        let key = Digest::of_parts("l402/init/1", &[&seed.to_le_bytes(), tensor.name.as_bytes()]).philox_key();
        values.par_iter_mut().enumerate().for_each(|(i, value)| *value = philox::normal(key, i as u64) * deviation);
    }
    flat
}
