//! Which model of candle-transformers computes a configuration as we do.
//!
//! By what is computed and not by its type's name: each of them leaves out something that a `config.json` of its type can say.
//! What none has right is named, and is ours to compute.

use crate::engine::RopeScaling;
use crate::model::{Gate, ModelConfig, Norms, QkNorm};

/// A model of candle-transformers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// `llama`: no biases, heads as wide together as the model; `llama3` stretches RoPE.
    Llama,
    /// `mistral`: heads of any width. It has windows of one key too many, so it serves below the window alone, as all do.
    Mistral,
    /// `qwen2`: biases of q, k and v.
    Qwen2,
    /// `qwen3`: normed heads of any width.
    Qwen3,
    /// `smol::smollm3`: layers that turn nothing, biases everywhere.
    SmolLm3,
    /// `olmo2`: norms after the branches, and of all heads together.
    Olmo2,
    /// `phi3`: fused projections.
    Phi3,
    /// `gemma3`: one layer in so many is of full attention, and the head is the embedding.
    Gemma3 {
        /// So many.
        pattern: usize,
    },
}

impl Peer {
    /// Its module's name.
    pub fn name(self) -> &'static str {
        match self {
            Peer::Llama => "llama",
            Peer::Mistral => "mistral",
            Peer::Qwen2 => "qwen2",
            Peer::Qwen3 => "qwen3",
            Peer::SmolLm3 => "smollm3",
            Peer::Olmo2 => "olmo2",
            Peer::Phi3 => "phi3",
            Peer::Gemma3 { .. } => "gemma3",
        }
    }

    /// The one for texts of so many tokens; or what candle has not, or otherwise.
    pub fn of(config: &ModelConfig, context: usize) -> Result<Peer, String> {
        let variant = &config.variant;
        if let Some(window) = variant.sliding_window.filter(|window| *window < context) {
            return Err(format!("a window of {window} in a text of up to {context} tokens"));
        }
        let scaling = match config.rope_scaling {
            None => None,
            Some(RopeScaling::Llama3(_)) => Some("llama3"),
            Some(RopeScaling::Linear(_)) => Some("linear"),
            Some(RopeScaling::Yarn(_)) => Some("yarn"),
        };
        let peer = by_shape(config)?;
        let square = config.query_width() == config.hidden_size;
        match (peer, scaling) {
            (Peer::Llama, None | Some("llama3")) if square => Ok(peer),
            (Peer::Llama, None) => Ok(Peer::Mistral),
            (_, Some(scaling)) => Err(format!("RoPE scaled by {scaling} in such a model")),
            (Peer::Qwen3 | Peer::Gemma3 { .. }, None) => Ok(peer),
            _ if square => Ok(peer),
            _ => Err("heads that are not as wide together as the model".into()),
        }
    }
}

/// By norms, projections and biases.
fn by_shape(config: &ModelConfig) -> Result<Peer, String> {
    let variant = &config.variant;
    let none = |what: &str| Err(what.to_owned());
    let scaled = [
        variant.embedding_multiplier,
        variant.residual_multiplier,
        variant.logits_scaling,
        variant.attention_multiplier,
    ];
    let (scaled, biases) = (scaled != [None; 4], [variant.qkv_bias, variant.o_bias, variant.mlp_bias]);
    // Those that have biases of attention have all four.
    let of_attention = |peer| match biases {
        [qkv, o, false] if qkv == o => Ok(peer),
        _ => none("biases in some projections alone"),
    };
    match (variant.norms, variant.qk_norm, variant.fused) {
        (Norms::Both, Some(QkNorm::Head), false) => match (pattern(config), variant.gate) {
            (Some(pattern), Gate::GeluTanh) if config.tie_word_embeddings => of_attention(Peer::Gemma3 { pattern }),
            (None, _) => none("layers that slide in no pattern"),
            _ => none("a head of its own"),
        },
        (Norms::After, Some(QkNorm::Whole), false) => of_attention(Peer::Olmo2),
        (Norms::Before, Some(QkNorm::Head), false) if !scaled => of_attention(Peer::Qwen3),
        (Norms::Before, None, true) if !scaled && biases == [false; 3] => Ok(Peer::Phi3),
        (Norms::Before, None, false) => match biases {
            [false, false, false] if variant.unturned.is_empty() => Ok(Peer::Llama),
            [true, false, false] if variant.unturned.is_empty() => Ok(Peer::Qwen2),
            [qkv, o, _] if qkv == o => Ok(Peer::SmolLm3),
            _ => none("biases in some projections alone"),
        },
        _ => none("norms, projections and factors in such a combination"),
    }
}

/// `p` where all layers slide but each `p`-th.
fn pattern(config: &ModelConfig) -> Option<usize> {
    let layers = config.num_hidden_layers;
    let slides = |p: usize| (0..layers).all(|layer| config.variant.slides(layer) != (layer + 1).is_multiple_of(p));
    (1..=layers + 1).find(|p| slides(*p))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(fields: &str, context: usize) -> Result<Peer, String> {
        let text = format!(
            r#"{{"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 3, "num_attention_heads": 4,
            "num_key_value_heads": 2, "vocab_size": 32, {fields}}}"#
        );
        Peer::of(&ModelConfig::parse(&text).unwrap(), context)
    }

    #[test]
    fn what_is_computed_decides() {
        let linear = r#""rope_scaling": {"rope_type": "linear", "factor": 2.0}"#;
        let llama3 = r#""rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 32}"#;
        let gemma = r#""model_type": "gemma3_text", "head_dim": 8"#;
        for (fields, expected) in [
            (r#""model_type": "llama""#, Ok(Peer::Llama)),
            (llama3, Ok(Peer::Llama)),
            (r#""head_dim": 8"#, Ok(Peer::Mistral)),
            (&format!(r#"{llama3}, "head_dim": 8"#), Err("RoPE scaled by llama3 in such a model")),
            (linear, Err("RoPE scaled by linear in such a model")),
            (r#""attention_bias": true, "mlp_bias": true"#, Ok(Peer::SmolLm3)),
            (r#""attention_bias": true, "head_dim": 8"#, Err("heads that are not as wide together as the model")),
            (r#""model_type": "mistral""#, Ok(Peer::Llama)),
            (r#""model_type": "qwen2""#, Ok(Peer::Qwen2)),
            (r#""model_type": "qwen3""#, Ok(Peer::Qwen3)),
            (&format!(r#""model_type": "qwen3", {linear}"#), Err("RoPE scaled by linear")),
            (r#""model_type": "smollm3""#, Ok(Peer::Llama)),
            (r#""model_type": "smollm3", "no_rope_layer_interval": 2"#, Ok(Peer::SmolLm3)),
            (r#""model_type": "olmo2""#, Ok(Peer::Olmo2)),
            (r#""model_type": "phi3""#, Ok(Peer::Phi3)),
            (r#""model_type": "granite", "logits_scaling": 8.0"#, Ok(Peer::Llama)),
            (gemma, Ok(Peer::Gemma3 { pattern: 4 })),
            (&format!(r#"{gemma}, "sliding_window_pattern": 2"#), Ok(Peer::Gemma3 { pattern: 2 })),
            (&format!(r#"{gemma}, "tie_word_embeddings": false"#), Err("a head of its own")),
        ] {
            match (of(fields, 64), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{fields}"),
                (Err(found), Err(expected)) => assert!(found.contains(expected), "{fields}: {found}"),
                (found, expected) => panic!("{fields}: expected {expected:?}, found {found:?}"),
            }
        }
    }

    #[test]
    fn a_window_serves_texts_that_fit_into_it() {
        let mistral = r#""model_type": "mistral", "sliding_window": 16"#;
        assert_eq!(of(mistral, 16), Ok(Peer::Llama));
        assert_eq!(of(mistral, 17), Err("a window of 16 in a text of up to 17 tokens".into()));
    }
}
