//! What a layer's forward pass leaves for its backward pass.

use super::config::ModelConfig;
use super::variant::{Norms, QkNorm};
use crate::device::Device;
use crate::engine::Buffer;

/// What a layer's forward pass leaves for its backward pass. `n` tokens.
pub struct LayerActs {
    /// 1/rms of the layer's input \[n\].
    pub rinv1: Buffer,
    /// Queries, turned by RoPE \[n × query width\].
    pub q: Buffer,
    /// Keys, turned by RoPE \[n × key width\].
    pub k: Buffer,
    /// Values \[n × key width\].
    pub v: Buffer,
    /// Attention's output before its projection \[n × query width\].
    pub attention: Buffer,
    /// Row maxima of the scores \[n × heads\].
    pub row_max: Buffer,
    /// Row sums of their exponentials \[n × heads\].
    pub row_sum: Buffer,
    /// The residual stream between attention and feed-forward \[n × d\].
    pub middle: Buffer,
    /// 1/rms of `middle` \[n\].
    pub rinv2: Buffer,
    /// Gate projection \[n × ff\].
    pub gate: Buffer,
    /// Up projection \[n × ff\].
    pub up: Buffer,
    /// Where queries and keys are normed: what they were before \[n × query width\], \[n × key width\], and 1/rms of what was
    /// normed together.
    pub raw: [Buffer; 2],
    /// See `raw`.
    pub raw_rinv: [Buffer; 2],
    /// Where branches are normed as they leave: attention's and the feed-forward layer's output \[n × d\] twice, and 1/rms \[n\].
    pub left: [Buffer; 2],
    /// See `left`.
    pub left_rinv: [Buffer; 2],
}

/// Floats a token of what only some variants keep: queries and keys before their norm, their factors, branches as they leave, their
/// factors.
fn kept_by_variants(config: &ModelConfig) -> ([usize; 2], [usize; 2], usize, usize) {
    let widths = [config.query_width(), config.key_width()];
    let (raw, factors) = match config.variant.qk_norm {
        None => ([0; 2], [0; 2]),
        Some(QkNorm::Head) => (widths, [config.num_attention_heads, config.num_key_value_heads]),
        Some(QkNorm::Whole) => (widths, [1; 2]),
    };
    match config.variant.norms {
        Norms::Before => (raw, factors, 0, 0),
        Norms::After | Norms::Both => (raw, factors, config.hidden_size, 1),
    }
}

impl LayerActs {
    /// Zeros for `n` tokens.
    pub fn new(device: &Device, config: &ModelConfig, n: usize) -> LayerActs {
        let zeros = |width: usize| device.zeros(n * width);
        let (raw, raw_rinv, left, left_rinv) = kept_by_variants(config);
        LayerActs {
            rinv1: zeros(1),
            q: zeros(config.query_width()),
            k: zeros(config.key_width()),
            v: zeros(config.key_width()),
            attention: zeros(config.query_width()),
            row_max: zeros(config.num_attention_heads),
            row_sum: zeros(config.num_attention_heads),
            middle: zeros(config.hidden_size),
            rinv2: zeros(1),
            gate: zeros(config.intermediate_size),
            up: zeros(config.intermediate_size),
            raw: raw.map(zeros),
            raw_rinv: raw_rinv.map(zeros),
            left: [zeros(left), zeros(left)],
            left_rinv: [zeros(left_rinv), zeros(left_rinv)],
        }
    }

    /// Floats a token.
    pub fn floats(config: &ModelConfig) -> usize {
        let (raw, raw_rinv, left, left_rinv) = kept_by_variants(config);
        let of_variants = raw.into_iter().chain(raw_rinv).sum::<usize>() + 2 * (left + left_rinv);
        of_variants
            + 2
            + 2 * config.query_width()
            + 2 * config.key_width()
            + 2 * config.num_attention_heads
            + config.hidden_size
            + 2 * config.intermediate_size
    }
}
