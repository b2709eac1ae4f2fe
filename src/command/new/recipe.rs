//! The recipe that a run begins with: a template, and what is known of it.

use std::path::{Path, PathBuf};

use crate::artifact::recipe_text::set;
use crate::artifact::{Digest, Recipe};
use crate::error::{Context, Error, Result};
use crate::fsio::read_text;

/// Where none is named.
const PLAIN: &str = include_str!("../../../recipes/new.toml");

/// A recipe before what is only known by the run is filled in.
pub struct Template {
    text: String,
    name: PathBuf,
}

impl Template {
    /// The one that is named, or one of ours for a model from scratch or from elsewhere.
    pub fn read(named: Option<&Path>, from_elsewhere: bool, run: &Path) -> Result<Template> {
        if let Some(path) = named {
            return Ok(Template { text: read_text(path)?, name: path.to_owned() });
        }
        let name: String =
            run.file_name().map(|name| name.to_string_lossy().chars().take(16).collect()).unwrap_or_default();
        let mut text = set(PLAIN, "name", &toml::Value::from(name).to_string())?;
        if from_elsewhere {
            // What has learned already takes a fiftieth, and forgets by decay.
            for (field, value) in [("inner.lr", "2e-5"), ("inner.weight_decay", "0.0")] {
                text = set(&text, field, value)?;
            }
        }
        Ok(Template { text, name: "the recipe".into() })
    }

    /// Where it is from, for errors.
    pub fn name(&self) -> &Path {
        &self.name
    }

    /// The length of a sequence: what was asked for, or the template's.
    pub fn seq_len(&self, asked: Option<u32>) -> Result<u32> {
        let table: toml::Table = self.text.parse().map_err(|_| Error::data("not TOML")).at(self.name.display())?;
        let own = table.get("data").and_then(|data| data.get("seq_len")).and_then(toml::Value::as_integer);
        let own = own.and_then(|n| u32::try_from(n).ok()).filter(|n| (1..=1 << 20).contains(n));
        asked
            .or(own)
            .ok_or_else(|| Error::usage(format!("{}: no data.seq_len: expected --seq-len", self.name.display())))
    }

    /// The text with what is known of the run, and the recipe that it is.
    pub fn filled(&self, tokenizer: &str, seq_len: u32, theta_0: Option<&Digest>) -> Result<(String, Recipe)> {
        let theta_0 = theta_0.map_or(String::new(), ToString::to_string);
        let mut text = self.text.clone();
        for (field, value) in [
            ("model.theta_0", format!("\"{theta_0}\"")),
            ("data.tokenizer", format!("\"{tokenizer}\"")),
            ("data.seq_len", seq_len.to_string()),
        ] {
            text = set(&text, field, &value).at(self.name.display())?;
        }
        let recipe = Recipe::parse(&text).map_err(|error| {
            error.at(self.name.display()).hint("`l402 recipe check` says everything that is wrong with it")
        })?;
        Ok((text, recipe))
    }
}
