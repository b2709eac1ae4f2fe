//! What a layer's forward pass leaves for its backward pass.

use super::config::ModelConfig;

/// What a layer's forward pass leaves for its backward pass. `n` tokens.
pub struct LayerActs {
    /// 1/rms of the layer's input \[n\].
    pub rinv1: Vec<f32>,
    /// Queries, turned by RoPE \[n × query width\].
    pub q: Vec<f32>,
    /// Keys, turned by RoPE \[n × key width\].
    pub k: Vec<f32>,
    /// Values \[n × key width\].
    pub v: Vec<f32>,
    /// Attention's output before its projection \[n × query width\].
    pub attention: Vec<f32>,
    /// Row maxima of the scores \[n × heads\].
    pub row_max: Vec<f32>,
    /// Row sums of their exponentials \[n × heads\].
    pub row_sum: Vec<f32>,
    /// The residual stream between attention and feed-forward \[n × d\].
    pub middle: Vec<f32>,
    /// 1/rms of `middle` \[n\].
    pub rinv2: Vec<f32>,
    /// Gate projection \[n × ff\].
    pub gate: Vec<f32>,
    /// Up projection \[n × ff\].
    pub up: Vec<f32>,
}

impl LayerActs {
    /// Zeros for `n` tokens.
    pub fn new(config: &ModelConfig, n: usize) -> LayerActs {
        let zeros = |width: usize| vec![0f32; n * width];
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
        }
    }

    /// Floats a token.
    pub fn floats(config: &ModelConfig) -> usize {
        2 + 2 * config.query_width()
            + 2 * config.key_width()
            + 2 * config.num_attention_heads
            + config.hidden_size
            + 2 * config.intermediate_size
    }
}
