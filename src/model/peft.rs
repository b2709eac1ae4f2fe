//! `adapter_config.json`: an adapter's shape, as PEFT has it, and which model it is of. What we do not compute is refused by name.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::artifact::recipe::AdapterRecipe;
use crate::error::{Context, Error, Result, plainly};
use crate::fsio::{beside, read_text};

/// The configuration's name in an adapter's folder.
pub const CONFIG: &str = "adapter_config.json";
/// The name of its weights.
pub const WEIGHTS: &str = "adapter_model.safetensors";
/// A whole model's configuration.
const MODEL: &str = "config.json";

/// What an adapter's configuration says.
pub struct AdapterConfig {
    /// Rank, scale and targets.
    pub recipe: AdapterRecipe,
    /// The model that it is of, as a folder or a name on the hub; may be empty.
    pub base: String,
}

/// Fields that are read, or say nothing of the function. Any other must be off, or the adapter would be another one than we compute.
const KNOWN: [&str; 17] = [
    "auto_mapping",
    "base_model_name_or_path",
    "bias",
    "eva_config",
    "inference_mode",
    "init_lora_weights",
    "layers_pattern",
    "lora_alpha",
    "lora_dropout",
    "megatron_core",
    "peft_type",
    "peft_version",
    "qalora_group_size",
    "r",
    "revision",
    "target_modules",
    "task_type",
];

fn is_off(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(all) => all.is_empty(),
        Value::Object(all) => all.is_empty(),
        _ => false,
    }
}

impl AdapterConfig {
    /// Reads the text of an `adapter_config.json`. Dropout is a matter of training, and nothing is dropped in ours.
    pub fn parse(text: &str) -> Result<AdapterConfig> {
        let value: Value = serde_json::from_str(text)
            .map_err(|e| Error::data(format!("not an adapter's configuration: {}", plainly(e))))?;
        let differs = |field: &str, expected: &str| {
            let found =
                value.get(field).map_or("none".to_owned(), |found| found.to_string().chars().take(80).collect());
            Error::data(format!("{field}: expected {expected}, found {found}"))
        };
        let text = |field: &str| value.get(field).and_then(Value::as_str);
        if text("peft_type") != Some("LORA") {
            return Err(differs("peft_type", "\"LORA\""));
        }
        if value.get("bias").is_some_and(|bias| !bias.is_null() && bias != "none") {
            return Err(differs("bias", "\"none\""));
        }
        let mut fields = value.as_object().into_iter().flatten();
        if let Some((field, _)) = fields.find(|(field, value)| !KNOWN.contains(&field.as_str()) && !is_off(value)) {
            return Err(differs(field, "none: we do not compute it"));
        }
        // These begin from another model than the one that they name.
        let begin = value.get("init_lora_weights");
        let known = |text: &str| ["gaussian", "eva", "orthogonal"].contains(&text);
        if !begin.is_none_or(|begin| begin.is_boolean() || begin.is_null() || begin.as_str().is_some_and(known)) {
            return Err(differs("init_lora_weights", "true, false or \"gaussian\", which leave the model as it is"));
        }
        let rank = value.get("r").and_then(Value::as_u64).and_then(|rank| usize::try_from(rank).ok());
        let rank = rank.ok_or_else(|| differs("r", "a rank"))?;
        let alpha = value.get("lora_alpha").and_then(Value::as_f64).ok_or_else(|| differs("lora_alpha", "a number"))?;
        let targets = match value.get("target_modules") {
            Some(Value::String(all)) if all == "all-linear" => Some(Default::default()),
            Some(Value::Array(names)) if !names.is_empty() => {
                // A longer name is one layer's alone.
                let module = |name: &Value| name.as_str().filter(|name| !name.contains('.')).map(str::to_owned);
                names.iter().map(module).collect()
            }
            _ => None,
        };
        let targets =
            targets.ok_or_else(|| differs("target_modules", "a list of names as \"q_proj\", or \"all-linear\""))?;
        let recipe = AdapterRecipe { rank, alpha, targets };
        recipe.check("").map_err(|error| Error::data(format!("{error} (r, lora_alpha)")))?;
        Ok(AdapterConfig { recipe, base: text("base_model_name_or_path").unwrap_or_default().to_owned() })
    }

    /// The text of an `adapter_config.json`.
    pub fn text(&self) -> String {
        let AdapterRecipe { rank, alpha, targets } = &self.recipe;
        let alpha = if alpha.fract() == 0.0 { json!(*alpha as u64) } else { json!(alpha) };
        let value = json!({
            "alpha_pattern": {}, "base_model_name_or_path": self.base, "bias": "none", "fan_in_fan_out": false,
            "inference_mode": true, "init_lora_weights": true, "layers_pattern": null, "layers_to_transform": null,
            "lora_alpha": alpha, "lora_dropout": 0.0, "modules_to_save": null, "peft_type": "LORA", "r": rank,
            "rank_pattern": {}, "revision": null, "target_modules": targets, "task_type": "CAUSAL_LM",
            "use_dora": false, "use_rslora": false,
        });
        serde_json::to_string_pretty(&value).expect("names and numbers") + "\n"
    }
}

/// Whether a folder is an adapter's: PEFT leaves the model's configuration beside some of them.
pub fn is_adapter(folder: &Path) -> bool {
    let there = |name: &str| folder.join(name).is_file();
    there(CONFIG) && (there(WEIGHTS) || !there(MODEL))
}

/// The folder of the model that the adapter in this folder is of; `None` where that is none of an adapter.
pub fn base_of(folder: &Path) -> Result<Option<PathBuf>> {
    if !is_adapter(folder) {
        return Ok(None);
    }
    let path = folder.join(CONFIG);
    let adapter = AdapterConfig::parse(&read_text(&path)?).at(path.display())?;
    base_folder(folder, &adapter, None).map(Some)
}

/// The folder of the model that an adapter is of: the one that is given, else the one that its configuration names, beside the
/// adapter's folder or from where the process is.
pub fn base_folder(folder: &Path, adapter: &AdapterConfig, given: Option<&Path>) -> Result<PathBuf> {
    if let Some(given) = given {
        return Ok(given.to_owned());
    }
    let named = Path::new(&adapter.base);
    let places = beside(folder, named).into_iter().chain([named.to_owned()]);
    let there = |place: &PathBuf| !adapter.base.is_empty() && place.join(MODEL).is_file();
    places.into_iter().find(there).ok_or_else(|| {
        let (config, name) = (folder.join(CONFIG), &adapter.base);
        Error::missing(format!(
            "{}: base_model_name_or_path: expected the folder of the model that it is an adapter of, found none at {name:?}",
            config.display()
        ))
        .hint("`--base DIR`, in verbs that have it, names the folder of the model")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIGURATION: &str = r#"{"peft_type": "LORA", "r": 8, "lora_alpha": 16, "lora_dropout": 0.05, "bias": "none",
        "target_modules": ["v_proj", "q_proj"], "base_model_name_or_path": "some/model",
        "megatron_config": null, "modules_to_save": null, "use_dora": false}"#;

    #[test]
    fn a_configuration_comes_back() {
        let read = AdapterConfig::parse(CONFIGURATION).unwrap();
        let targets = ["q_proj", "v_proj"].map(str::to_owned).into();
        assert_eq!(read.recipe, AdapterRecipe { rank: 8, alpha: 16.0, targets });
        assert_eq!(read.recipe.scale(), 2.0);
        let again = AdapterConfig::parse(&read.text()).unwrap();
        assert_eq!((again.recipe, again.base), (read.recipe, "some/model".to_owned()));
        let half = AdapterConfig::parse(&CONFIGURATION.replace("16", "0.5")).unwrap();
        assert_eq!(AdapterConfig::parse(&half.text()).unwrap().recipe.alpha, 0.5);
        let all = CONFIGURATION.replace(r#"["v_proj", "q_proj"]"#, "\"all-linear\"");
        assert!(AdapterConfig::parse(&all).unwrap().recipe.targets.is_empty());
    }

    #[test]
    fn what_is_not_computed_is_refused_by_name() {
        let with = |from: &str, to: &str| AdapterConfig::parse(&CONFIGURATION.replace(from, to));
        for (from, to, says) in [
            ("LORA", "IA3", "peft_type: expected \"LORA\", found \"IA3\""),
            ("\"none\"", "\"all\"", "bias: expected \"none\""),
            ("\"use_dora\": false", "\"use_dora\": true", "use_dora: expected none"),
            ("\"modules_to_save\": null", "\"modules_to_save\": [\"lm_head\"]", "modules_to_save: expected none"),
            ("\"megatron_config\": null", "\"rank_pattern\": {\"q_proj\": 4}", "rank_pattern: expected none"),
            ("\"megatron_config\": null", "\"init_lora_weights\": \"pissa\"", "init_lora_weights: expected true"),
            ("\"r\": 8", "\"r\": 0", "rank: expected 1 to 4096"),
            ("\"r\": 8", "\"r\": -1", "r: expected a rank, found -1"),
            ("\"lora_alpha\": 16", "\"lora_alpha\": 0", "alpha: expected 0.000001"),
            ("\"lora_alpha\": 16", "\"lora_alpha\": \"x\"", "lora_alpha: expected a number"),
            ("[\"v_proj\", \"q_proj\"]", "\".*q_proj\"", "target_modules: expected a list"),
            ("\"v_proj\"", "\"model.layers.1.self_attn.v_proj\"", "target_modules: expected a list"),
            ("\"bias\": \"none\"", "\"bias\": true", "bias: expected \"none\", found true"),
            ("\"lora_alpha\": 16", "\"lora_alpha\": 1e-320", "alpha: expected"),
        ] {
            let error = with(from, to).err().unwrap_or_else(|| panic!("{to}")).to_string();
            assert!(error.contains(says), "{to}: {error}");
        }
        assert!(AdapterConfig::parse("[").is_err());
    }
}
