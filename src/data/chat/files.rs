//! Where a model's folder has its chat template, and the special tokens that templates name.

use std::path::Path;

use serde_json::{Map, Value};

use crate::error::{Error, Kind, Result, plainly};
use crate::fsio::read_text_within;

/// A template's own file.
const TEMPLATE: &str = "chat_template.jinja";
/// The tokenizer's configuration, which has its special tokens, and a template where that has no file of its own.
const CONFIG: &str = "tokenizer_config.json";
/// Special tokens, in older folders.
const SPECIAL: &str = "special_tokens_map.json";
/// Larger files are refused.
const MAX_FILE: u64 = 16 << 20;

/// A chat template and its variables, as they lie in files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TemplateFiles {
    /// What the template is called in errors.
    pub name: String,
    /// The template, where there is one; else the name is where it was looked for.
    pub template: Option<String>,
    /// Another one for conversations with tools, where there is one.
    pub tool_use: Option<String>,
    /// Special tokens by the names that templates use: `bos_token`, `eos_token` and so on.
    pub variables: Vec<(String, String)>,
}

impl TemplateFiles {
    /// Reads a model's folder as transformers does: `chat_template.jinja`, else `chat_template` of `tokenizer_config.json`, a string or
    /// a list of named ones; special tokens from there, else from `special_tokens_map.json`. `template` is a file to take instead.
    pub fn read(folder: &Path, template: Option<&Path>) -> Result<TemplateFiles> {
        let (config_name, config) = object(&folder.join(CONFIG))?;
        let (special_name, special) = object(&folder.join(SPECIAL))?;
        let mut files = TemplateFiles::default();
        files.take_special(&config_name, &config)?;
        files.take_special(&special_name, &special)?;
        let own = match template {
            Some(path) => Some((path.display().to_string(), text(path)?)),
            None => {
                let path = folder.join(TEMPLATE);
                optional(text(&path))?.map(|text| (path.display().to_string(), text))
            }
        };
        match own {
            Some((name, text)) => (files.name, files.template) = (name, Some(text)),
            None => files.take_template(config_name, config.get("chat_template"), folder)?,
        }
        Ok(files)
    }

    /// These, and from other ones what these lack: an adapter's folder may leave its template and tokens to the model's.
    pub fn or(mut self, others: TemplateFiles) -> TemplateFiles {
        if self.template.is_none() && others.template.is_some() {
            (self.name, self.template, self.tool_use) = (others.name, others.template, others.tool_use);
        }
        let known = |variables: &[(String, String)], key: &str| variables.iter().any(|(known, _)| known == key);
        let new: Vec<_> = others.variables.into_iter().filter(|(key, _)| !known(&self.variables, key)).collect();
        self.variables.extend(new);
        self
    }

    /// The text of a special token, as `eos_token`.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Refuses where there is no template.
    pub(super) fn missing(&self) -> Error {
        let what = format!("{}: expected {TEMPLATE}, or chat_template in {CONFIG}, found neither", self.name);
        Error::missing(what).hint("--chat-template names a template")
    }

    fn take_template(&mut self, name: String, template: Option<&Value>, folder: &Path) -> Result<()> {
        let list = match template {
            Some(Value::String(text)) => {
                (self.name, self.template) = (name, Some(text.clone()));
                return Ok(());
            }
            Some(Value::Array(list)) => list,
            None | Some(Value::Null) => {
                let here = Path::new(".");
                self.name = if folder.as_os_str().is_empty() { here } else { folder }.display().to_string();
                return Ok(());
            }
            Some(_) => {
                return Err(Error::data(format!("{name}: chat_template: expected a string, or a list of named ones")));
            }
        };
        let named = |which: &str| {
            let of = list.iter().find(|of| of.get("name").and_then(Value::as_str) == Some(which))?;
            of.get("template").and_then(Value::as_str).map(str::to_owned)
        };
        let default = named("default")
            .ok_or_else(|| Error::data(format!("{name}: chat_template: expected one named \"default\", found none")))?;
        (self.name, self.template, self.tool_use) = (name, Some(default), named("tool_use"));
        Ok(())
    }

    /// Strings, or objects with the token as `content`; what is known already stays.
    fn take_special(&mut self, name: &str, from: &Map<String, Value>) -> Result<()> {
        for (key, value) in from.iter().filter(|(key, _)| key.ends_with("_token")) {
            let text = match value {
                Value::String(text) => text,
                Value::Object(token) => match token.get("content") {
                    Some(Value::String(text)) => text,
                    _ => return Err(Error::data(format!("{name}: {key}: expected its content, a string"))),
                },
                // `add_bos_token` and the like are no tokens.
                _ => continue,
            };
            if !self.variables.iter().any(|(known, _)| known == key) {
                self.variables.push((key.clone(), text.clone()));
            }
        }
        Ok(())
    }
}

fn text(path: &Path) -> Result<String> {
    read_text_within(path, MAX_FILE)
}

fn optional<T>(found: Result<T>) -> Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == Kind::Missing => Ok(None),
        Err(error) => Err(error),
    }
}

/// A file's JSON object; empty where there is no file.
fn object(path: &Path) -> Result<(String, Map<String, Value>)> {
    let name = path.display().to_string();
    let Some(text) = optional(text(path))? else { return Ok((name, Map::new())) };
    let object = serde_json::from_str(&text)
        .map_err(|e| Error::data(format!("{name}: expected a JSON object: {}", plainly(e))))?;
    Ok((name, object))
}
