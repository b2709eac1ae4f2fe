//! `config.json` of a decoder of the Llama family.

use serde::Serialize;
use serde_json::Value;

use super::fields::{Fields, rope_scaling_as_json};
use super::variant::{Family, Norms, Variant};
use crate::artifact::{Digest, canonical};
use crate::engine::RopeScaling;
use crate::engine::integer::LONGEST;
use crate::error::{Error, Result};

/// More layers are refused: their names alone would fill the memory.
const MAX_LAYERS: usize = 1 << 16;

/// The architecture, as far as it decides bits. Names are Hugging Face's.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelConfig {
    /// The type of model; what it means for the bits is in `variant`.
    #[serde(skip)]
    pub model_type: &'static str,
    /// Width of the residual stream (d).
    pub hidden_size: usize,
    /// Width of the feed-forward layer.
    pub intermediate_size: usize,
    /// Decoder layers.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads; divides the query heads.
    pub num_key_value_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// RMSNorm's epsilon.
    pub rms_norm_eps: f64,
    /// RoPE's base.
    pub rope_theta: f64,
    /// How RoPE's waves are stretched.
    #[serde(serialize_with = "rope_scaling_as_json")]
    pub rope_scaling: Option<RopeScaling>,
    /// Whether the head is the embedding.
    pub tie_word_embeddings: bool,
    /// Standard deviation of initial weights.
    pub initializer_range: f64,
    /// The longest sequence the model is meant for.
    pub max_position_embeddings: usize,
    /// What is otherwise than in Llama; left out where nothing is.
    #[serde(skip_serializing_if = "Variant::is_llama")]
    pub variant: Variant,
}

impl ModelConfig {
    /// Reads the fields of a `config.json`; what this engine does not compute is refused by name.
    pub fn parse(text: &str) -> Result<ModelConfig> {
        let value: Value =
            serde_json::from_str(text).map_err(|e| Error::data(format!("not a model configuration: {e}")))?;
        let fields = Fields(&value);
        let family = Family::of(fields)?;
        let usual = family.usual();
        let hidden_size = fields.count("hidden_size", None)?;
        let heads = fields.count("num_attention_heads", None)?;
        let layers = fields.count("num_hidden_layers", None)?;
        if layers > MAX_LAYERS {
            return Err(Error::data(format!("num_hidden_layers: expected at most {MAX_LAYERS}, found {layers}")));
        }
        let context = fields.count("max_position_embeddings", Some(usual.context))?;
        let kv_heads = usual.kv_heads.filter(|_| !fields.is_null("num_key_value_heads")).unwrap_or(heads);
        let head_dim = usual.head_dim.filter(|_| !fields.is_null("head_dim")).unwrap_or((hidden_size / heads).max(1));
        let config = ModelConfig {
            model_type: family.name(),
            hidden_size,
            intermediate_size: fields.count("intermediate_size", None)?,
            num_hidden_layers: layers,
            num_attention_heads: heads,
            num_key_value_heads: fields.count("num_key_value_heads", Some(kv_heads))?,
            head_dim: fields.count("head_dim", Some(head_dim))?,
            vocab_size: fields.count("vocab_size", None)?,
            rms_norm_eps: fields.float("rms_norm_eps", usual.eps)?,
            rope_theta: fields.rope_theta(Some("full_attention"), usual.rope_theta)?,
            rope_scaling: fields.rope_scaling(Some("full_attention"), context)?,
            tie_word_embeddings: fields.flag("tie_word_embeddings", usual.tied)?,
            initializer_range: fields.float("initializer_range", 0.02)?,
            max_position_embeddings: context,
            variant: family.variant(fields, hidden_size, layers)?,
        };
        if family == Family::Phi3 && config.rope_scaling.is_some() {
            return Err(Error::data(
                "rope_scaling: expected none for phi3, whose own way of stretching is not computed",
            ));
        }
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<()> {
        let q = self.num_attention_heads;
        if !q.is_multiple_of(self.num_key_value_heads) {
            return Err(Error::data(format!(
                "num_key_value_heads: expected a divisor of {q}, found {}",
                self.num_key_value_heads
            )));
        }
        if !self.head_dim.is_multiple_of(2) {
            return Err(Error::data(format!("head_dim: expected an even number, found {}", self.head_dim)));
        }
        // What a sum of products runs over.
        let all_heads = q + 2 * self.num_key_value_heads;
        let mut widths = vec![
            ("hidden_size", Some(self.hidden_size)),
            ("intermediate_size", Some(self.intermediate_size)),
            ("num_attention_heads * head_dim", q.checked_mul(self.head_dim)),
        ];
        if self.variant.fused {
            widths.push(("2 * intermediate_size", self.intermediate_size.checked_mul(2)));
            let name = "(num_attention_heads + 2 * num_key_value_heads) * head_dim";
            widths.push((name, all_heads.checked_mul(self.head_dim)));
        }
        for (name, width) in widths {
            if width.is_none_or(|width| width > LONGEST) {
                let found = width.map_or("more than 2^64".to_owned(), |width| width.to_string());
                return Err(Error::data(format!("{name}: expected at most {LONGEST}, found {found}")));
            }
        }
        let variant = &self.variant;
        let factors = [
            ("rms_norm_eps", Some(self.rms_norm_eps)),
            ("rope_theta", Some(self.rope_theta)),
            ("initializer_range", Some(self.initializer_range)),
            ("rope_local_base_freq", variant.local_rope_theta),
            ("embedding_multiplier", variant.embedding_multiplier),
            ("residual_multiplier", variant.residual_multiplier),
            ("logits_scaling", variant.logits_scaling),
            ("attention_multiplier", variant.attention_multiplier),
        ];
        for (name, value) in factors.into_iter().filter_map(|(name, value)| Some((name, value?))) {
            if !(value > 0.0 && value < 1e12) {
                return Err(Error::data(format!("{name}: expected above 0, found {value}")));
            }
        }
        let parameters = self.matrix_parameters();
        if parameters.is_none_or(|n| n > 1 << 40) {
            return Err(Error::data("the model has more than 2^40 parameters"));
        }
        Ok(())
    }

    /// Width of all query heads together.
    pub fn query_width(&self) -> usize {
        self.num_attention_heads * self.head_dim
    }

    /// Width of all key (or value) heads together.
    pub fn key_width(&self) -> usize {
        self.num_key_value_heads * self.head_dim
    }

    /// Widths of what the gradient of a branch takes on its way back: scaled, and before the norm.
    pub(super) fn d_branch_widths(&self) -> [usize; 2] {
        let scaled = self.variant.residual_multiplier.is_some();
        let normed = self.variant.norms != Norms::Before;
        [scaled, normed].map(|is| if is { self.hidden_size } else { 0 })
    }

    /// Widths of the gradients of queries and keys before their norm.
    pub(super) fn d_raw_widths(&self) -> [usize; 2] {
        let normed = self.variant.qk_norm.is_some();
        [self.query_width(), self.key_width()].map(|width| if normed { width } else { 0 })
    }

    /// The widest fused projection.
    pub(super) fn fused_width(&self) -> usize {
        let widest = (self.query_width() + 2 * self.key_width()).max(2 * self.intermediate_size);
        if self.variant.fused { widest } else { 0 }
    }

    /// The number of parameters in matrices, `None` where it overflows.
    pub fn matrix_parameters(&self) -> Option<usize> {
        let (d, ff) = (self.hidden_size, self.intermediate_size);
        let q = self.num_attention_heads.checked_mul(self.head_dim)?;
        let kv = self.num_key_value_heads.checked_mul(self.head_dim)?;
        let attention = q.checked_add(kv)?.checked_mul(2)?.checked_mul(d)?;
        let layer = attention.checked_add(d.checked_mul(ff)?.checked_mul(3)?)?;
        let tables = if self.tie_word_embeddings { 1 } else { 2 };
        let vocabulary = self.vocab_size.checked_mul(d)?.checked_mul(tables)?;
        layer.checked_mul(self.num_hidden_layers)?.checked_add(vocabulary)
    }

    /// The digest of the architecture: equal for files that say the same.
    pub fn digest(&self) -> Digest {
        // Floats are written as the shortest decimal that reads back to the same bits.
        let value = serde_json::to_value(self).expect("a configuration is plain data");
        Digest::of_parts("l402/config/1", &[canonical::json(&value).as_bytes()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::complete_config;

    /// Finite floats of every size, from their bits.
    fn floats() -> impl Iterator<Item = f64> {
        let mut state = 402u64;
        let bits = std::iter::repeat_with(move || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let mixed = (state ^ (state >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed ^ (mixed >> 32)
        });
        [1e-30, 5e-324, f64::MIN_POSITIVE, 0.1, 1e-5, 1e22, 1e23, 999999999999.9999]
            .into_iter()
            .chain(bits.map(f64::from_bits))
            .filter(|value| value.is_finite())
    }

    #[test]
    fn a_layer_wider_than_a_sum_may_be_long_is_refused_by_name() {
        let config = |hidden: usize, wide: usize, heads: usize, size: usize| {
            ModelConfig::parse(&format!(
                r#"{{"hidden_size": {hidden}, "intermediate_size": {wide}, "num_hidden_layers": 1, "head_dim": {size},
                "num_attention_heads": {heads}, "vocab_size": 257}}"#
            ))
        };
        let longest = LONGEST;
        config(2, longest, 1, 2).unwrap();
        let wide = [
            ("hidden_size", config(longest + 1, 2, 1, 2)),
            ("intermediate_size", config(2, longest + 1, 1, 2)),
            ("num_attention_heads", config(2, 2, 2, longest)),
        ];
        for (name, refused) in wide {
            let error = refused.unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("1048576"), "{name}: {error}");
        }
    }

    #[test]
    fn floats_that_are_written_are_read_to_the_bit_and_the_digest_stays() {
        let mut sizes = floats().map(f64::abs).filter(|value| (f64::MIN_POSITIVE..1e12).contains(value));
        let mut any = floats();
        for _ in 0..10_000 {
            let [eps, theta, range] = [(); 3].map(|()| sizes.next().unwrap());
            let [factor, low, high, context] = [(); 4].map(|()| any.next().unwrap());
            let text = format!(
                r#"{{"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2,
                "vocab_size": 257, "rms_norm_eps": {eps:?}, "rope_theta": {theta:e}, "initializer_range": {range:.24e},
                "rope_scaling": {{"rope_type": "llama3", "factor": {factor:?}, "low_freq_factor": {low:e},
                "high_freq_factor": {high:?}, "original_max_position_embeddings": {context:?}}}}}"#
            );
            let written = complete_config(&text).unwrap();
            let again = complete_config(&written).unwrap();
            assert_eq!(again, written);
            let [read, back] = [text.as_str(), &written].map(|text| ModelConfig::parse(text).unwrap());
            assert_eq!(read.digest(), back.digest(), "{text}");
            for config in [read, back] {
                let Some(RopeScaling::Llama3(scaling)) = config.rope_scaling else { panic!("{config:?}") };
                let found = [
                    (config.rms_norm_eps, eps),
                    (config.rope_theta, theta),
                    (config.initializer_range, range),
                    (scaling.factor, factor),
                    (scaling.low_freq_factor, low),
                    (scaling.high_freq_factor, high),
                    (scaling.original_max_position_embeddings, context),
                ];
                assert!(found.iter().all(|(found, given)| found.to_bits() == given.to_bits()), "{found:?} in {text}");
            }
        }
    }
}
