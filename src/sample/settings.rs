//! What a model's folder says of how text is drawn from it: `generation_config.json`, and `config.json` before there was one.

use serde_json::Value;

use super::rule::Rule;
use crate::error::{Context, Error, Result};

/// What the files say.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// How tokens are drawn.
    pub rule: Rule,
    /// Tokens that end a text; none where no file says so.
    pub ends: Vec<u32>,
}

impl Settings {
    /// Reads the files: name and text of each. Where `generation_config.json` says nothing of it, a text is drawn from all tokens as
    /// the model has them, and ends where `config.json` says.
    pub fn read(generation: Option<(&str, &str)>, config: (&str, &str)) -> Result<Settings> {
        let mut settings = Settings { rule: Rule::PLAIN, ends: Vec::new() };
        if let Some((name, text)) = generation {
            let fields = object(text).at(name)?;
            settings.rule = rule(&fields).at(name)?;
            settings.ends = ends(&fields).at(name)?;
        }
        if settings.ends.is_empty() {
            let (name, text) = config;
            settings.ends = object(text).and_then(|fields| ends(&fields)).at(name)?;
        }
        Ok(settings)
    }
}

fn object(text: &str) -> Result<Value> {
    let value: Value = serde_json::from_str(text).map_err(|e| Error::data(format!("no JSON: {e}")))?;
    if value.is_object() { Ok(value) } else { Err(Error::data("expected a JSON object")) }
}

/// A field that is there and not null.
fn field<'a>(fields: &'a Value, name: &str) -> Option<&'a Value> {
    fields.get(name).filter(|value| !value.is_null())
}

fn rule(fields: &Value) -> Result<Rule> {
    let number = |name: &str, usual: f64| match field(fields, name) {
        None => Ok(usual),
        Some(value) => value.as_f64().ok_or_else(|| Error::data(format!("{name}: expected a number, found {value}"))),
    };
    let top_k = match field(fields, "top_k") {
        None => None,
        Some(value) => {
            let k = value.as_u64().ok_or_else(|| Error::data(format!("top_k: expected 0 or above, found {value}")))?;
            // Zero leaves all, as transformers has it.
            Some(k as usize).filter(|k| *k > 0)
        }
    };
    // Who says that nothing is drawn means the largest.
    let greedy = field(fields, "do_sample") == Some(&Value::Bool(false));
    let temperature = if greedy { 0.0 } else { number("temperature", Rule::PLAIN.temperature)? };
    let rule = Rule { temperature, top_k, top_p: number("top_p", Rule::PLAIN.top_p)? };
    rule.check().map_err(|error| Error::data(error.to_string()))?;
    Ok(rule)
}

/// One id or several.
fn ends(fields: &Value) -> Result<Vec<u32>> {
    let Some(value) = field(fields, "eos_token_id") else { return Ok(Vec::new()) };
    let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    let ids = match value {
        Value::Array(ids) => ids.iter().map(id).collect(),
        one => id(one).map(|id| vec![id]),
    };
    ids.ok_or_else(|| Error::data(format!("eos_token_id: expected a token id or a list of them, found {value}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn read(generation: &str, config: &str) -> Result<Settings> {
        Settings::read(Some(("generation_config.json", generation)), ("config.json", config))
    }

    #[test]
    fn the_files_say_how_text_is_drawn_and_where_it_ends() {
        let qwen = r#"{"do_sample": true, "eos_token_id": [7, 9], "temperature": 0.7, "top_k": 20, "top_p": 0.8}"#;
        let rule = Rule { temperature: 0.7, top_k: Some(20), top_p: 0.8 };
        assert_eq!(read(qwen, r#"{"eos_token_id": 3}"#).unwrap(), Settings { rule, ends: vec![7, 9] });
        let plain = Settings { rule: Rule::PLAIN, ends: vec![3] };
        assert_eq!(read("{}", r#"{"eos_token_id": 3}"#).unwrap(), plain);
        assert_eq!(Settings::read(None, ("config.json", r#"{"eos_token_id": 3}"#)).unwrap(), plain);
        assert_eq!(read(r#"{"eos_token_id": null, "top_k": 0}"#, r#"{"eos_token_id": [3]}"#).unwrap(), plain);
        assert!(read("{}", r#"{"eos_token_id": null}"#).unwrap().ends.is_empty());
        assert_eq!(read(r#"{"do_sample": false, "temperature": 2}"#, "{}").unwrap().rule.temperature, 0.0);
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_file_and_field() {
        for (generation, says) in [
            ("[]", "generation_config.json: expected a JSON object"),
            ("{", "generation_config.json: no JSON"),
            (r#"{"eos_token_id": "end"}"#, "generation_config.json: eos_token_id: expected a token id or a list"),
            (r#"{"eos_token_id": [1, -1]}"#, "eos_token_id"),
            (r#"{"eos_token_id": 4294967296}"#, "eos_token_id"),
            (r#"{"temperature": -1}"#, "generation_config.json: temperature: expected 0 or above, found -1"),
            (r#"{"temperature": "hot"}"#, "temperature: expected a number"),
            (r#"{"top_p": 0}"#, "top_p: expected above 0"),
            (r#"{"top_k": -3}"#, "top_k: expected 0 or above"),
        ] {
            let error = read(generation, "{}").unwrap_err();
            assert!(error.kind() == Kind::Data && error.to_string().contains(says), "{generation}: {error}");
        }
    }
}
