//! Which tokens a tokenizer's own configuration puts around a document.

use serde::Deserialize;

use crate::error::{Error, Result, plainly};

/// What `tokenizer_config.json` and `special_tokens_map.json` say of the beginning and the end of a text.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Specials {
    begin: Option<String>,
    end: Option<String>,
    adds_begin: bool,
}

/// The fields that matter here, of the many that there are.
#[derive(Default, Deserialize)]
struct Config {
    bos_token: Option<Token>,
    eos_token: Option<Token>,
    add_bos_token: Option<bool>,
}

/// A token as `"</s>"`, or as `{"content": "</s>", ...}`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Token {
    Content(String),
    Added { content: String },
}

impl Token {
    fn content(self) -> String {
        match self {
            Token::Content(content) | Token::Added { content } => content,
        }
    }
}

impl Specials {
    /// Reads the configuration, and the map of special tokens for what it leaves out; each with its name for errors.
    pub fn parse(config: Option<(&str, &str)>, map: Option<(&str, &str)>) -> Result<Specials> {
        let read = |file: Option<(&str, &str)>| match file {
            None => Ok(Config::default()),
            Some((name, json)) => serde_json::from_str(json)
                .map_err(|e| Error::data(format!("{name}: not a tokenizer's configuration: {}", plainly(e)))),
        };
        let (ours, map) = (read(config)?, read(map)?);
        Ok(Specials {
            begin: ours.bos_token.or(map.bos_token).map(Token::content),
            end: ours.eos_token.or(map.eos_token).map(Token::content),
            adds_begin: ours.add_bos_token == Some(true),
        })
    }

    /// `bos_token`, where `add_bos_token` asks for it.
    pub fn begin(&self) -> Result<Option<&str>> {
        match (self.adds_begin, &self.begin) {
            (true, None) => Err(Error::data("add_bos_token is true: expected a bos_token, found none")
                .hint("--bos names one, and `--bos none` does without")),
            (true, Some(begin)) => Ok(Some(begin)),
            (false, _) => Ok(None),
        }
    }

    /// `eos_token`.
    pub fn end(&self) -> Option<&str> {
        self.end.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn parse(config: &str, map: &str) -> Result<Specials> {
        let file = |name, json| Some((name, json)).filter(|(_, json): &(_, &str)| !json.is_empty());
        Specials::parse(file("c.json", config), file("m.json", map))
    }

    #[test]
    fn the_configuration_comes_before_the_map() {
        let long = r#"{"content":"<s>","lstrip":false,"normalized":false,"special":true}"#;
        for (config, map, begin, end) in [
            ("", "", None, None),
            (r#"{"eos_token":"</s>","chat_template":[{}],"model_max_length":1e30}"#, "", None, Some("</s>")),
            (r#"{"eos_token":null,"bos_token":"<s>"}"#, r#"{"eos_token":"<e>"}"#, None, Some("<e>")),
            (r#"{"eos_token":"a"}"#, r#"{"eos_token":"b"}"#, None, Some("a")),
            (&format!(r#"{{"bos_token":{long},"add_bos_token":true}}"#), "", Some("<s>"), None),
            (r#"{"add_bos_token":true}"#, r#"{"bos_token":"<s>"}"#, Some("<s>"), None),
            (r#"{"add_bos_token":false,"bos_token":"<s>"}"#, "", None, None),
            // What asks for it is the configuration alone.
            ("", r#"{"add_bos_token":true,"bos_token":"<s>"}"#, None, None),
        ] {
            let found = parse(config, map).unwrap();
            assert_eq!((found.begin().unwrap(), found.end()), (begin, end), "{config} {map}");
        }
    }

    #[test]
    fn what_is_no_configuration_is_refused_by_name() {
        for (config, map, part) in [
            ("[]", "", "c.json: not a tokenizer's"),
            ("{}", "nonsense", "m.json: not a tokenizer's"),
            (r#"{"eos_token":7}"#, "", "c.json: "),
            (r#"{"eos_token":"a","eos_token":"b"}"#, "", "duplicate field"),
            (&"[".repeat(100_000), "", "c.json: "),
        ] {
            let error = parse(config, map).unwrap_err();
            assert_eq!(error.kind(), Kind::Data);
            assert!(error.to_string().contains(part), "{error}");
        }
        let error = parse(r#"{"add_bos_token":true}"#, "").unwrap().begin().unwrap_err();
        assert!(error.to_string().contains("expected a bos_token"), "{error}");
    }
}
