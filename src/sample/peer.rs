//! Logits by a model of candle-transformers, which keeps keys and values of what it has read.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::{Activation, VarBuilder};
use candle_transformers::models::{gemma3, llama, mistral, olmo2, phi3, qwen2, qwen3, smol::smollm3};

use super::choice::Peer;
use super::folded::tensors;
use crate::engine::RopeScaling;
use crate::model::{Layout, ModelConfig};

/// Tokens of a prompt that are read at a time: there are scores of so many rows alone.
const AT_A_TIME: usize = 128;

/// The logits after tokens at an offset.
type Step = Box<dyn FnMut(&Tensor, usize) -> Result<Tensor> + Send>;

/// A model with what it has read.
pub struct Reader {
    step: Step,
    at_a_time: usize,
    read: usize,
}

impl Reader {
    /// A model for texts of up to so many tokens.
    pub fn new(peer: Peer, config: &ModelConfig, layout: &Layout, values: Vec<f32>, context: usize) -> Result<Reader> {
        let weights = VarBuilder::from_tensors(tensors(config, layout, values)?, DType::F32, &Device::Cpu);
        // Gemma's keeps values of several tokens in an order that it then refuses.
        let at_a_time = if matches!(peer, Peer::Gemma3 { .. }) { 1 } else { AT_A_TIME };
        Ok(Reader { step: step(peer, config, context, weights)?, at_a_time, read: 0 })
    }

    /// Reads on; gives the logits of what comes next.
    pub fn push(&mut self, tokens: &[u32]) -> Result<Vec<f32>> {
        let mut logits = Vec::new();
        for some in tokens.chunks(self.at_a_time) {
            let input = Tensor::new(some, &Device::Cpu)?.unsqueeze(0)?;
            let output = (self.step)(&input, self.read)?;
            self.read += some.len();
            logits = output.flatten_all()?.to_vec1()?;
        }
        Ok(logits)
    }
}

/// The model, as candle's own configuration of it says. Its tables are as long as the text may get, and its head is never the
/// embedding, for the tensors have one.
fn step(peer: Peer, config: &ModelConfig, context: usize, weights: VarBuilder<'_>) -> Result<Step> {
    let ModelConfig {
        hidden_size,
        intermediate_size,
        vocab_size,
        num_hidden_layers,
        num_attention_heads,
        num_key_value_heads,
        head_dim,
        rms_norm_eps,
        rope_theta,
        ref variant,
        ..
    } = *config;
    let (max_position_embeddings, attention_bias) = (context, variant.o_bias);
    let (hidden_act, tie_word_embeddings) = (Activation::Silu, false);
    Ok(match peer {
        Peer::Llama => {
            let rope_scaling = match config.rope_scaling {
                Some(RopeScaling::Llama3(scaling)) => Some(llama::Llama3RopeConfig {
                    factor: scaling.factor as f32,
                    low_freq_factor: scaling.low_freq_factor as f32,
                    high_freq_factor: scaling.high_freq_factor as f32,
                    original_max_position_embeddings: scaling.original_max_position_embeddings as usize,
                    rope_type: llama::Llama3RopeType::Llama3,
                }),
                _ => None,
            };
            let config = llama::Config {
                hidden_size,
                intermediate_size,
                vocab_size,
                num_hidden_layers,
                num_attention_heads,
                num_key_value_heads,
                use_flash_attn: false,
                rms_norm_eps,
                rope_theta: rope_theta as f32,
                bos_token_id: None,
                eos_token_id: None,
                rope_scaling,
                // It cuts heads where there are more of them than positions.
                max_position_embeddings: context.max(num_key_value_heads),
                tie_word_embeddings,
            };
            let mut cache = llama::Cache::new(true, DType::F32, &config, &Device::Cpu)?;
            let model = llama::Llama::load(weights, &config)?;
            Box::new(move |input, at| model.forward(input, at, &mut cache))
        }
        Peer::Mistral => {
            let config = mistral::Config {
                vocab_size,
                hidden_size,
                intermediate_size,
                num_hidden_layers,
                num_attention_heads,
                head_dim: Some(head_dim),
                num_key_value_heads,
                hidden_act,
                max_position_embeddings,
                rms_norm_eps,
                rope_theta,
                sliding_window: None,
                use_flash_attn: false,
            };
            let mut model = mistral::Model::new(&config, weights)?;
            Box::new(move |input, at| model.forward(input, at))
        }
        Peer::Qwen2 => {
            let config = qwen2::Config {
                vocab_size,
                hidden_size,
                intermediate_size,
                num_hidden_layers,
                num_attention_heads,
                num_key_value_heads,
                max_position_embeddings,
                sliding_window: context,
                max_window_layers: num_hidden_layers,
                tie_word_embeddings,
                rope_theta,
                rms_norm_eps,
                use_sliding_window: false,
                hidden_act,
            };
            let mut model = qwen2::ModelForCausalLM::new(&config, weights)?;
            Box::new(move |input, at| model.forward(input, at))
        }
        Peer::Qwen3 => {
            let config = qwen3::Config {
                vocab_size,
                hidden_size,
                intermediate_size,
                num_hidden_layers,
                num_attention_heads,
                head_dim,
                attention_bias,
                num_key_value_heads,
                max_position_embeddings,
                sliding_window: None,
                max_window_layers: num_hidden_layers,
                tie_word_embeddings,
                rope_theta,
                rms_norm_eps,
                use_sliding_window: false,
                hidden_act,
            };
            let mut model = qwen3::ModelForCausalLM::new(&config, weights)?;
            Box::new(move |input, at| model.forward(input, at))
        }
        Peer::SmolLm3 => {
            let config = smollm3::Config {
                vocab_size,
                hidden_size,
                intermediate_size,
                num_hidden_layers,
                num_attention_heads,
                num_key_value_heads,
                max_position_embeddings,
                tie_word_embeddings,
                rope_theta,
                rms_norm_eps,
                hidden_act,
                attention_bias: Some(attention_bias),
                attention_dropout: None,
                mlp_bias: Some(variant.mlp_bias),
                sliding_window: None,
                use_sliding_window: None,
                rope_scaling: None,
                bos_token_id: None,
                eos_token_id: None,
                pad_token_id: None,
                max_window_layers: None,
                no_rope_layers: Some((0..num_hidden_layers).map(|layer| variant.turns(layer).into()).collect()),
                no_rope_layer_interval: None,
            };
            let mut model = smollm3::ModelForCausalLM::new(&config, weights)?;
            Box::new(move |input, at| model.forward(input, at))
        }
        Peer::Olmo2 => {
            let config = olmo2::Config {
                vocab_size,
                hidden_size,
                intermediate_size,
                attention_bias,
                num_hidden_layers,
                num_attention_heads,
                num_key_value_heads,
                rms_norm_eps,
                hidden_act,
                max_position_embeddings,
                rope_theta,
                tie_word_embeddings,
                clip_qkv: None,
            };
            let mut model = olmo2::Model::new(&config, weights)?;
            Box::new(move |input, at| model.forward(input, at))
        }
        Peer::Phi3 => {
            let config = phi3::Config {
                vocab_size,
                hidden_act,
                hidden_size,
                intermediate_size,
                num_hidden_layers,
                num_attention_heads,
                num_key_value_heads,
                rms_norm_eps,
                rope_theta,
                bos_token_id: None,
                eos_token_id: None,
                rope_scaling: None,
                max_position_embeddings,
                original_max_position_embeddings: None,
                partial_rotary_factor: None,
                tie_word_embeddings,
            };
            let mut model = phi3::Model::new(&config, weights)?;
            Box::new(move |input, at| model.forward(input, at))
        }
        Peer::Gemma3 { pattern } => {
            let config = gemma3::Config {
                attention_bias,
                head_dim,
                hidden_activation: Activation::GeluPytorchTanh,
                hidden_size,
                intermediate_size,
                num_attention_heads,
                num_hidden_layers,
                num_key_value_heads,
                rms_norm_eps,
                rope_theta,
                rope_local_base_freq: variant.local_rope_theta.unwrap_or(rope_theta),
                vocab_size,
                final_logit_softcapping: None,
                attn_logit_softcapping: None,
                query_pre_attn_scalar: head_dim,
                // Nothing is read that would not fit.
                sliding_window: context,
                sliding_window_pattern: pattern,
                max_position_embeddings,
            };
            let mut model = gemma3::Model::new(false, &config, weights)?;
            Box::new(move |input, at| model.forward(input, at))
        }
    })
}
