//! In what a model is otherwise than Llama, by its type in `config.json`.

use serde::Serialize;

use super::fields::Fields;
use crate::error::{Error, Result};

/// Where a branch of a layer is normed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum Norms {
    /// What enters it (Llama).
    #[default]
    Before,
    /// What leaves it, before it is added (OLMo 2).
    After,
    /// Both (Gemma 3).
    Both,
}

/// What queries and keys are normed by, before they are turned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum QkNorm {
    /// Each head by itself, all by one weight (Qwen 3).
    Head,
    /// All heads of a token together (OLMo 2).
    Whole,
}

/// The gate of the feed-forward layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum Gate {
    /// SiLU: SwiGLU.
    #[default]
    Silu,
    /// GELU by tanh: GEGLU.
    GeluTanh,
}

/// In what a model is otherwise than Llama. The default is Llama.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Variant {
    /// Whether the projections to queries, keys and values have a bias.
    pub qkv_bias: bool,
    /// Whether attention's output projection has one.
    pub o_bias: bool,
    /// Whether the feed-forward layer's projections have one.
    pub mlp_bias: bool,
    /// Whether q, k and v are one projection, and gate and up are.
    pub fused: bool,
    /// The norm of queries and keys.
    pub qk_norm: Option<QkNorm>,
    /// Where branches are normed.
    pub norms: Norms,
    /// Whether a norm multiplies by its weight plus one.
    pub norm_plus_one: bool,
    /// The feed-forward layer's gate.
    pub gate: Gate,
    /// What embeddings are multiplied by.
    pub embedding_multiplier: Option<f64>,
    /// What a branch is multiplied by before it is added.
    pub residual_multiplier: Option<f64>,
    /// What logits are divided by.
    pub logits_scaling: Option<f64>,
    /// What scores are multiplied by, where it is not 1 / sqrt(head_dim).
    pub attention_multiplier: Option<f64>,
    /// The keys that a query of a sliding layer sees.
    pub sliding_window: Option<usize>,
    /// Which layers slide; none where the list is empty.
    pub sliding: Vec<bool>,
    /// RoPE's base in sliding layers, unstretched, where it is another.
    pub local_rope_theta: Option<f64>,
    /// Which layers do not turn queries and keys; none where the list is empty.
    pub unturned: Vec<bool>,
}

impl Variant {
    /// Whether nothing is otherwise.
    pub fn is_llama(&self) -> bool {
        *self == Variant::default()
    }

    /// The keys that a query of this layer sees.
    pub fn window(&self, layer: usize) -> Option<usize> {
        self.sliding_window.filter(|_| self.slides(layer))
    }

    /// Whether this layer slides.
    pub fn slides(&self, layer: usize) -> bool {
        self.sliding.get(layer) == Some(&true)
    }

    /// Whether this layer turns queries and keys.
    pub fn turns(&self, layer: usize) -> bool {
        self.unturned.get(layer) != Some(&true)
    }
}

/// A type of model that we compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Llama,
    Mistral,
    Qwen2,
    Qwen3,
    SmolLm3,
    Olmo2,
    Phi3,
    Granite,
    Gemma3,
}

/// What transformers takes where a file says nothing.
pub(super) struct Usual {
    /// Key and value heads; as many as query heads where there is none.
    pub kv_heads: Option<usize>,
    /// Width of a head; by the width of the model where there is none.
    pub head_dim: Option<usize>,
    pub eps: f64,
    pub rope_theta: f64,
    pub tied: bool,
    pub context: usize,
}

/// Every family with its `model_type`, and what `architectures` names.
const FAMILIES: [(Family, &str, &str); 9] = [
    (Family::Llama, "llama", "LlamaForCausalLM"),
    (Family::Mistral, "mistral", "MistralForCausalLM"),
    (Family::Qwen2, "qwen2", "Qwen2ForCausalLM"),
    (Family::Qwen3, "qwen3", "Qwen3ForCausalLM"),
    (Family::SmolLm3, "smollm3", "SmolLM3ForCausalLM"),
    (Family::Olmo2, "olmo2", "Olmo2ForCausalLM"),
    (Family::Phi3, "phi3", "Phi3ForCausalLM"),
    (Family::Granite, "granite", "GraniteForCausalLM"),
    (Family::Gemma3, "gemma3_text", "Gemma3ForCausalLM"),
];

impl Family {
    /// By `model_type`; what is not known is refused by name.
    pub fn of(fields: Fields<'_>) -> Result<Family> {
        let found = fields.text("model_type", "llama");
        let known = FAMILIES.iter().find(|(_, name, _)| *name == found);
        known.map(|(family, ..)| *family).ok_or_else(|| {
            let names = FAMILIES.map(|(_, name, _)| name).join(", ");
            let error = Error::data(format!("model_type: expected one of {names}, found {found:?}"));
            match found {
                "gemma3" => error.hint("the text model alone is gemma3_text: its part of config.json is text_config"),
                _ if fields.get("num_experts").or(fields.get("num_local_experts")).is_some() => {
                    error.hint("mixtures of experts are not computed: docs/models.md says what they would take")
                }
                _ => error,
            }
        })
    }

    fn names(self) -> (&'static str, &'static str) {
        let known = FAMILIES.iter().find(|(family, ..)| *family == self);
        known.map(|(_, name, architecture)| (*name, *architecture)).expect("every family is in the list")
    }

    /// Its `model_type`.
    pub fn name(self) -> &'static str {
        self.names().0
    }

    /// What `architectures` names.
    pub fn architecture(self) -> &'static str {
        self.names().1
    }

    /// What transformers takes where a file says nothing.
    pub fn usual(self) -> Usual {
        let llama = Usual { kv_heads: None, head_dim: None, eps: 1e-6, rope_theta: 1e4, tied: false, context: 2048 };
        match self {
            Family::Llama | Family::Granite => llama,
            Family::Mistral => Usual { kv_heads: Some(8), context: 131_072, ..llama },
            Family::Qwen2 => Usual { kv_heads: Some(32), context: 32_768, ..llama },
            Family::Qwen3 => Usual { kv_heads: Some(32), head_dim: Some(128), context: 32_768, ..llama },
            Family::SmolLm3 => Usual { kv_heads: Some(4), rope_theta: 2e6, tied: true, context: 32_768, ..llama },
            Family::Olmo2 => Usual { eps: 1e-5, ..llama },
            Family::Phi3 => Usual { eps: 1e-5, context: 4096, ..llama },
            Family::Gemma3 => {
                Usual { kv_heads: Some(4), head_dim: Some(256), rope_theta: 1e6, tied: true, context: 131_072, ..llama }
            }
        }
    }

    /// In what the model is otherwise than Llama; what we do not compute is refused by name.
    pub fn variant(self, fields: Fields<'_>, hidden_size: usize, layers: usize) -> Result<Variant> {
        let (act, known, usual) = match self {
            Family::Gemma3 => ("hidden_activation", &["gelu_pytorch_tanh"][..], "gelu_pytorch_tanh"),
            _ => ("hidden_act", &["silu", "swish"][..], "silu"),
        };
        fields.only(act, known, usual)?;
        let partial = fields.maybe_float("partial_rotary_factor")?;
        let partial = partial.or(fields.rope(None).and_then(|rope| rope.maybe_float("partial_rotary_factor").ok()?));
        if let Some(share) = partial.filter(|share| *share != 1.0) {
            return Err(Error::data(format!(
                "partial_rotary_factor: expected 1, found {share}: whole heads are turned"
            )));
        }
        let attention_bias =
            !matches!(self, Family::Mistral | Family::Qwen2 | Family::Phi3) && fields.flag("attention_bias", false)?;
        let llama = Variant { qkv_bias: attention_bias, o_bias: attention_bias, ..Variant::default() };
        let mlp_bias = || fields.flag("mlp_bias", false);
        let windowed = |window: Option<usize>, sliding: Vec<bool>, variant: Variant| match window {
            Some(window) if sliding.contains(&true) => Variant { sliding_window: Some(window), sliding, ..variant },
            _ => variant,
        };
        let window = |usual: Option<usize>| match fields.is_null("sliding_window") || usual.is_none() {
            true if fields.get("sliding_window").is_none() => Ok(None),
            _ => fields.count("sliding_window", usual).map(Some),
        };
        Ok(match self {
            Family::Llama => Variant { mlp_bias: mlp_bias()?, ..llama },
            Family::Mistral => windowed(window(Some(4096))?, vec![true; layers], llama),
            Family::Phi3 => windowed(window(None)?, vec![true; layers], Variant { fused: true, ..llama }),
            Family::Qwen2 | Family::Qwen3 => {
                let variant = match self {
                    Family::Qwen2 => Variant { qkv_bias: true, ..llama },
                    _ => Variant { qk_norm: Some(QkNorm::Head), ..llama },
                };
                let uses = fields.flag("use_sliding_window", false)?;
                let window = window(Some(4096))?.filter(|_| uses);
                let first = match fields.get("max_window_layers").map(serde_json::Value::as_u64) {
                    Some(Some(0)) => 0,
                    _ => fields.count("max_window_layers", Some(28))?,
                };
                let sliding = sliding(fields, layers)?.unwrap_or((0..layers).map(|layer| layer >= first).collect());
                windowed(window, sliding, variant)
            }
            Family::SmolLm3 => {
                let interval = fields.count("no_rope_layer_interval", Some(4))?;
                let turns = fields.per_layer("no_rope_layers", layers, |entry| match entry.as_u64() {
                    Some(turns @ 0..=1) => Some(turns == 1),
                    _ => None,
                })?;
                let turns = turns.unwrap_or((0..layers).map(|layer| !(layer + 1).is_multiple_of(interval)).collect());
                let unturned: Vec<bool> = turns.iter().map(|turns| !turns).collect();
                let uses = fields.flag("use_sliding_window", false)?;
                let sliding = sliding(fields, layers)?.unwrap_or(unturned.clone());
                let unturned = if unturned.contains(&true) { unturned } else { Vec::new() };
                let variant = Variant { mlp_bias: mlp_bias()?, unturned, ..llama };
                windowed(window(None)?.filter(|_| uses), sliding, variant)
            }
            Family::Olmo2 => Variant { norms: Norms::After, qk_norm: Some(QkNorm::Whole), ..llama },
            Family::Granite => {
                let other = |name| Ok(fields.maybe_float(name)?.filter(|factor| *factor != 1.0));
                Variant {
                    mlp_bias: mlp_bias()?,
                    embedding_multiplier: other("embedding_multiplier")?,
                    residual_multiplier: other("residual_multiplier")?,
                    logits_scaling: other("logits_scaling")?,
                    attention_multiplier: Some(fields.float("attention_multiplier", 1.0)?),
                    ..llama
                }
            }
            Family::Gemma3 => {
                let softcap = "scores and logits are not capped";
                fields.refuse("final_logit_softcapping", softcap)?;
                fields.refuse("attn_logit_softcapping", softcap)?;
                fields.refuse("use_bidirectional_attention", "attention is causal")?;
                let pattern = fields.count("sliding_window_pattern", Some(6))?;
                let usual = (0..layers).map(|layer| !(layer + 1).is_multiple_of(pattern)).collect();
                let scalar = fields.positive("query_pre_attn_scalar", Some(256.0))?;
                let local = fields.rope(Some("sliding_attention")).filter(|_| fields.get("rope_theta").is_none());
                let local = match local {
                    Some(rope) => rope.float("rope_theta", 1e4)?,
                    None => fields.float("rope_local_base_freq", 1e4)?,
                };
                let variant = Variant {
                    norms: Norms::Both,
                    qk_norm: Some(QkNorm::Head),
                    norm_plus_one: true,
                    gate: Gate::GeluTanh,
                    embedding_multiplier: Some(libm::sqrt(hidden_size as f64)),
                    attention_multiplier: Some(1.0 / libm::sqrt(scalar)),
                    local_rope_theta: Some(local),
                    ..llama
                };
                windowed(window(Some(4096))?, sliding(fields, layers)?.unwrap_or(usual), variant)
            }
        })
    }
}

/// Which layers slide, where the file has a type for each.
fn sliding(fields: Fields<'_>, layers: usize) -> Result<Option<Vec<bool>>> {
    fields.per_layer("layer_types", layers, |entry| match entry.as_str() {
        Some("sliding_attention") => Some(true),
        Some("full_attention") => Some(false),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ModelConfig;

    const SIZES: &str = r#""hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 8, "num_attention_heads": 64,
        "vocab_size": 50"#;

    fn parse(fields: &str) -> Result<ModelConfig> {
        ModelConfig::parse(&format!("{{{SIZES}, {fields}}}"))
    }

    fn found(model_type: &str) -> ModelConfig {
        parse(&format!("\"model_type\": \"{model_type}\"")).unwrap()
    }

    #[test]
    fn what_a_file_leaves_out_is_what_transformers_takes_for_its_type() {
        let usual = |config: &ModelConfig| {
            (
                config.num_key_value_heads,
                config.head_dim,
                config.rope_theta,
                config.rms_norm_eps,
                config.tie_word_embeddings,
            )
        };
        // As a configuration of transformers 5.24 says that is made of these sizes alone; of a width of 64 a head is one.
        assert!(parse("\"head_dim\": 2").unwrap().variant.is_llama());
        for (name, expected) in [("qwen3", (32, 128, 1e4, 1e-6, false)), ("gemma3_text", (4, 256, 1e6, 1e-6, true))] {
            assert_eq!(usual(&found(name)), expected, "{name}");
        }
        let with_heads = |name: &str| parse(&format!("\"model_type\": \"{name}\", \"head_dim\": 2")).unwrap();
        for (name, expected) in [
            ("llama", (64, 2, 1e4, 1e-6, false)),
            ("mistral", (8, 2, 1e4, 1e-6, false)),
            ("qwen2", (32, 2, 1e4, 1e-6, false)),
            ("smollm3", (4, 2, 2e6, 1e-6, true)),
            ("olmo2", (64, 2, 1e4, 1e-5, false)),
            ("phi3", (64, 2, 1e4, 1e-5, false)),
            ("granite", (64, 2, 1e4, 1e-6, false)),
        ] {
            assert_eq!(usual(&with_heads(name)), expected, "{name}");
        }
        assert_eq!(with_heads("mistral").variant.window(7), Some(4096));
        assert_eq!(with_heads("qwen2").variant.window(7), None);
        assert_eq!(with_heads("granite").variant.attention_multiplier, Some(1.0));
        assert_eq!(with_heads("smollm3").variant.unturned, [false, false, false, true, false, false, false, true]);
        let gemma = found("gemma3_text").variant;
        assert_eq!(
            (gemma.window(4), gemma.window(5), gemma.attention_multiplier),
            (Some(4096), None, Some(1.0 / 16.0))
        );
        assert_eq!(gemma.local_rope_theta, Some(1e4));
    }

    #[test]
    fn a_window_is_where_the_file_has_it() {
        let variant = |fields: &str| parse(&format!("{fields}, \"head_dim\": 2")).unwrap().variant;
        assert!(variant("\"model_type\": \"mistral\", \"sliding_window\": null").is_llama());
        assert_eq!(variant("\"model_type\": \"mistral\", \"sliding_window\": 9").window(0), Some(9));
        assert_eq!(variant("\"model_type\": \"phi3\", \"sliding_window\": 9").window(0), Some(9));
        assert_eq!(variant("\"model_type\": \"phi3\"").window(0), None);
        let qwen = variant(
            "\"model_type\": \"qwen2\", \"use_sliding_window\": true, \"sliding_window\": 9, \"max_window_layers\": 3",
        );
        assert_eq!((qwen.window(2), qwen.window(3)), (None, Some(9)));
        let unused = "\"model_type\": \"qwen2\", \"sliding_window\": 9, \"max_window_layers\": 3";
        assert_eq!(variant(unused).window(7), None);
    }

    #[test]
    fn what_is_not_computed_is_refused_by_name() {
        let yarn = |fields: &str| format!("\"rope_scaling\": {{\"rope_type\": \"yarn\", {fields}}}");
        let types = r#""layer_types": ["full_attention", "chunked_attention", "full_attention", "full_attention",
            "full_attention", "full_attention", "full_attention", "full_attention"]"#;
        for (fields, says) in [
            ("\"model_type\": \"mamba\"", "model_type: expected one of llama, mistral"),
            ("\"model_type\": \"gemma3\"", "found \"gemma3\""),
            ("\"model_type\": \"qwen3_moe\", \"num_experts\": 8", "found \"qwen3_moe\""),
            ("\"hidden_act\": \"gelu\"", "hidden_act: expected silu or swish, found \"gelu\""),
            (
                "\"model_type\": \"gemma3_text\", \"final_logit_softcapping\": 30.0",
                "final_logit_softcapping: expected none",
            ),
            ("\"model_type\": \"gemma3_text\", \"use_bidirectional_attention\": true", "use_bidirectional_attention"),
            (
                "\"model_type\": \"phi3\", \"partial_rotary_factor\": 0.75",
                "partial_rotary_factor: expected 1, found 0.75",
            ),
            ("\"model_type\": \"phi3\", \"rope_scaling\": {\"type\": \"yarn\", \"factor\": 2.0}", "for phi3"),
            ("\"model_type\": \"phi3\", \"rope_scaling\": {\"type\": \"longrope\"}", "found \"longrope\""),
            ("\"rope_scaling\": {\"type\": \"dynamic\", \"factor\": 2.0}", "depend on the length"),
            ("\"rope_scaling\": {\"type\": \"linear\"}", "rope_scaling: factor: expected above 0, found none"),
            ("\"rope_scaling\": {\"type\": \"linear\", \"factor\": 0}", "factor: expected above 0, found 0"),
            (&yarn("\"factor\": -1.0"), "rope_scaling: factor: expected above 0, found -1"),
            (&yarn("\"factor\": 2.0, \"beta_fast\": 0"), "beta_fast: expected above 0"),
            ("\"model_type\": \"smollm3\", \"no_rope_layers\": [1, 0]", "no_rope_layers: expected 8 layers, found 2"),
            ("\"model_type\": \"smollm3\", \"no_rope_layers\": 3", "no_rope_layers: expected a list"),
            (
                &format!("\"model_type\": \"qwen3\", {types}"),
                "layer_types: expected a list with an entry for each layer",
            ),
            ("\"model_type\": \"granite\", \"logits_scaling\": 0", "logits_scaling: expected above 0, found 0"),
            ("\"model_type\": \"granite\", \"residual_multiplier\": \"x\"", "residual_multiplier: expected a number"),
            (
                "\"model_type\": \"gemma3_text\", \"query_pre_attn_scalar\": -1",
                "query_pre_attn_scalar: expected above 0",
            ),
            ("\"model_type\": \"mistral\", \"sliding_window\": 0", "sliding_window: expected 1 to 2^32, found 0"),
        ] {
            let error = parse(&format!("{fields}, \"head_dim\": 2")).unwrap_err();
            assert!(error.to_string().contains(says), "{fields}: {error}");
        }
    }
}
