//! Factors of a model that candle's knows none of, multiplied into its weights.

use std::collections::HashMap;

use candle_core::{Device, Result, Tensor};

use crate::model::{Decoder, Layout, ModelConfig, QkNorm};

/// A model's tensors by name, with a head in any case, computing without factors what the model computes with them.
///
/// The values are by the layout, and are let go one tensor after the other: beside them there is never more than the largest.
pub fn tensors(config: &ModelConfig, layout: &Layout, mut values: Vec<f32>) -> Result<HashMap<String, Tensor>> {
    let mut tensors = HashMap::new();
    for spec in layout.tensors.iter().rev() {
        // A whole vector of its own: what is left gives its memory back.
        let own = values.split_off(spec.offset);
        values.shrink_to_fit();
        tensors.insert(spec.name.clone(), Tensor::from_vec(own, &spec.shape[..], &Device::Cpu)?);
    }
    let decoder = Decoder::new(config);
    let embedding = &decoder.layout.tensors[decoder.embedding].name;
    if decoder.tied() {
        // The same memory, until one of them is scaled.
        tensors.insert(HEAD.to_owned(), tensors[embedding].clone());
    }
    for (name, tensor) in &mut tensors {
        let (by, plus) = factor(config, name);
        if (by, plus) != (1.0, 0.0) {
            *tensor = tensor.affine(by, plus)?;
        }
    }
    Ok(tensors)
}

/// The head's name.
const HEAD: &str = "lm_head.weight";

/// What a tensor is multiplied by, and what is added to it.
fn factor(config: &ModelConfig, name: &str) -> (f64, f64) {
    let variant = &config.variant;
    // Candle divides scores by the root of a head's width, and Gemma's embeddings it multiplies itself.
    let scores = variant.attention_multiplier.map_or(1.0, |scale| scale * libm::sqrt(config.head_dim as f64));
    let part = name.strip_suffix(".weight").or(name.strip_suffix(".bias")).unwrap_or(name);
    let part = part.rsplit('.').next().unwrap_or(part);
    match part {
        // A norm of queries multiplies by its weight plus one.
        "q_norm" if variant.qk_norm == Some(QkNorm::Head) && variant.norm_plus_one => (scores, scores - 1.0),
        "q_proj" if variant.qk_norm.is_none() => (scores, 0.0),
        "o_proj" | "down_proj" => (variant.residual_multiplier.unwrap_or(1.0), 0.0),
        "embed_tokens" if !variant.norm_plus_one => (variant.embedding_multiplier.unwrap_or(1.0), 0.0),
        "lm_head" => (1.0 / variant.logits_scaling.unwrap_or(1.0), 0.0),
        _ => (1.0, 0.0),
    }
}
