//! The fields of a `config.json`. What is absent or null has the default that transformers has for the type of model, which
//! leaves such fields out when it writes.

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::engine::RopeScaling;
use crate::engine::rope_scaling::{Linear, Llama3, Yarn};
use crate::error::{Error, Result};

/// An object of a `config.json`.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a>(pub &'a Value);

impl<'a> Fields<'a> {
    pub fn get(self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|v| !v.is_null())
    }

    /// Whether the field is there, and null.
    pub fn is_null(self, name: &str) -> bool {
        self.0.get(name).is_some_and(Value::is_null)
    }

    pub fn text(self, name: &str, default: &'a str) -> &'a str {
        self.get(name).map_or(default, |value| value.as_str().unwrap_or("no string"))
    }

    pub fn only(self, name: &str, known: &[&str], default: &str) -> Result<()> {
        let found = self.text(name, default);
        if known.contains(&found) {
            return Ok(());
        }
        Err(Error::data(format!("{name}: expected {}, found {found:?}", known.join(" or "))))
    }

    /// Something that would change what is computed, and that we do not compute, must be absent, false or zero.
    pub fn refuse(self, name: &str, why: &str) -> Result<()> {
        let set = |value: &&Value| value.as_bool() != Some(false) && value.as_f64() != Some(0.0);
        match self.get(name).filter(set) {
            None => Ok(()),
            Some(found) => Err(Error::data(format!("{name}: expected none, found {found}: {why}"))),
        }
    }

    pub fn count(self, name: &str, default: Option<usize>) -> Result<usize> {
        let found = self.get(name);
        match (found, default) {
            (None, Some(default)) => Ok(default),
            (None, None) => Err(Error::data(format!("{name}: expected 1 to 2^32, found none"))),
            (Some(value), _) => value
                .as_u64()
                .filter(|n| (1..=1 << 32).contains(n))
                .map(|n| n as usize)
                .ok_or_else(|| Error::data(format!("{name}: expected 1 to 2^32, found {value}"))),
        }
    }

    pub fn float(self, name: &str, default: f64) -> Result<f64> {
        Ok(self.maybe_float(name)?.unwrap_or(default))
    }

    pub fn maybe_float(self, name: &str) -> Result<Option<f64>> {
        let number = |value: &Value| {
            value.as_f64().ok_or_else(|| Error::data(format!("{name}: expected a number, found {value}")))
        };
        self.get(name).map(number).transpose()
    }

    pub fn flag(self, name: &str, default: bool) -> Result<bool> {
        match self.get(name) {
            None => Ok(default),
            Some(value) => {
                value.as_bool().ok_or_else(|| Error::data(format!("{name}: expected true or false, found {value}")))
            }
        }
    }

    /// One entry for each layer.
    pub fn per_layer<T>(
        self,
        name: &str,
        layers: usize,
        entry: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<Vec<T>>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let entries: Option<Vec<T>> = value.as_array().and_then(|list| list.iter().map(entry).collect());
        match entries {
            Some(entries) if entries.len() == layers => Ok(Some(entries)),
            Some(entries) => Err(Error::data(format!("{name}: expected {layers} layers, found {}", entries.len()))),
            None => Err(Error::data(format!("{name}: expected a list with an entry for each layer, found {value}"))),
        }
    }

    /// RoPE's parameters: newer files have them in `rope_parameters`, by the type of layer where that matters.
    pub fn rope(self, layer_type: Option<&str>) -> Option<Fields<'a>> {
        let rope = self.get("rope_parameters")?;
        let nested = layer_type.and_then(|name| rope.get(name)).filter(|v| !v.is_null());
        Some(Fields(nested.unwrap_or(rope)))
    }

    /// RoPE's base.
    pub fn rope_theta(self, layer_type: Option<&str>, default: f64) -> Result<f64> {
        match self.rope(layer_type) {
            Some(rope) if self.get("rope_theta").is_none() => rope.float("rope_theta", default),
            _ => self.float("rope_theta", default),
        }
    }

    /// How RoPE's waves are stretched; `context` is the model's longest sequence.
    pub fn rope_scaling(self, layer_type: Option<&str>, context: usize) -> Result<Option<RopeScaling>> {
        let Some(fields) = self.get("rope_scaling").map(Fields).or(self.rope(layer_type)) else {
            return Ok(None);
        };
        let kind = fields.get("rope_type").or(fields.get("type"));
        let in_scaling = |error: Error| Error::data(format!("rope_scaling: {error}"));
        match kind.and_then(Value::as_str) {
            None | Some("default") => Ok(None),
            Some("llama3") => fields.llama3().map(Some).map_err(in_scaling),
            Some("linear") => {
                let factor = fields.positive("factor", None).map_err(in_scaling)?;
                Ok(Some(RopeScaling::Linear(Linear { factor })))
            }
            Some("yarn") => self.yarn(fields, context).map(Some).map_err(in_scaling),
            Some(other) => Err(Error::data(format!(
                "rope_scaling: expected type linear, llama3, yarn or default, found {other:?}: {}",
                match other {
                    "dynamic" => "its frequencies depend on the length of what is read, and so would a sequence's bits",
                    _ => "not known",
                }
            ))),
        }
    }

    fn llama3(self) -> Result<RopeScaling> {
        let missing = |name: &str| Error::data(format!("{name}: expected a number, found none"));
        let number = |name: &str| self.maybe_float(name)?.ok_or_else(|| missing(name));
        Ok(RopeScaling::Llama3(Llama3 {
            factor: number("factor")?,
            low_freq_factor: number("low_freq_factor")?,
            high_freq_factor: number("high_freq_factor")?,
            original_max_position_embeddings: number("original_max_position_embeddings")?,
        }))
    }

    fn yarn(self, fields: Fields<'_>, context: usize) -> Result<RopeScaling> {
        let inside = fields.float("original_max_position_embeddings", context as f64)?;
        // What stands beside it goes before it, as transformers has it.
        let original_max_position_embeddings = self.float("original_max_position_embeddings", inside)?;
        let factor = match fields.maybe_float("factor")? {
            Some(_) => fields.positive("factor", None)?,
            None => context as f64 / original_max_position_embeddings,
        };
        let usual =
            Yarn::usual_attention_factor(factor, fields.maybe_float("mscale")?, fields.maybe_float("mscale_all_dim")?);
        let yarn = Yarn {
            factor,
            original_max_position_embeddings,
            beta_fast: fields.float("beta_fast", 32.0)?,
            beta_slow: fields.float("beta_slow", 1.0)?,
            truncate: fields.flag("truncate", true)?,
            attention_factor: fields.float("attention_factor", usual)?,
        };
        let sizes = [
            ("factor", yarn.factor),
            ("original_max_position_embeddings", yarn.original_max_position_embeddings),
            ("beta_fast", yarn.beta_fast),
            ("beta_slow", yarn.beta_slow),
            ("attention_factor", yarn.attention_factor),
        ];
        match sizes.into_iter().find(|(_, value)| !(*value > 0.0 && *value < 1e12)) {
            None => Ok(RopeScaling::Yarn(yarn)),
            Some((name, value)) => Err(Error::data(format!("{name}: expected above 0, found {value}"))),
        }
    }

    pub fn positive(self, name: &str, default: Option<f64>) -> Result<f64> {
        match self.maybe_float(name)?.or(default) {
            Some(value) if value > 0.0 && value < 1e12 => Ok(value),
            Some(value) => Err(Error::data(format!("{name}: expected above 0, found {value}"))),
            None => Err(Error::data(format!("{name}: expected above 0, found none"))),
        }
    }
}

/// How stretching is written where a configuration is digested: as in a `config.json`, of `llama3` without its type.
pub(super) fn rope_scaling_as_json<S: Serializer>(
    scaling: &Option<RopeScaling>,
    to: S,
) -> std::result::Result<S::Ok, S::Error> {
    let value = match scaling {
        None => Value::Null,
        Some(RopeScaling::Llama3(llama3)) => json!({
            "factor": llama3.factor,
            "low_freq_factor": llama3.low_freq_factor,
            "high_freq_factor": llama3.high_freq_factor,
            "original_max_position_embeddings": llama3.original_max_position_embeddings,
        }),
        Some(RopeScaling::Linear(linear)) => json!({"rope_type": "linear", "factor": linear.factor}),
        Some(RopeScaling::Yarn(yarn)) => json!({
            "rope_type": "yarn",
            "factor": yarn.factor,
            "original_max_position_embeddings": yarn.original_max_position_embeddings,
            "beta_fast": yarn.beta_fast,
            "beta_slow": yarn.beta_slow,
            "truncate": yarn.truncate,
            "attention_factor": yarn.attention_factor,
        }),
    };
    value.serialize(to)
}
