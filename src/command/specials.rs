//! The tokens around a document: what the command line names, or what lies beside the tokenizer.

use std::path::Path;

use super::common::read_tokenizer;
use crate::data::{Specials, Tokenizer};
use crate::error::{Context, Result};
use crate::fsio::read_text_within;

const TOKENIZER: &str = "tokenizer.json";
const CONFIG: &str = "tokenizer_config.json";
const MAP: &str = "special_tokens_map.json";

/// The most that these files can be, in bytes: they hold a chat template, and some of them every added token again.
const MAX_CONFIG: u64 = 16 << 20;

/// Reads a tokenizer, the tokens around a document chosen. With its file, and what to say of those tokens.
///
/// They are `eod` and `bos` where these are given; `none` as `bos` is none. Else they are those of the configuration that
/// lies beside a file named `tokenizer.json`; else documents end as [`Tokenizer::parse`] has it, and begin with nothing.
pub fn read(path: &Path, eod: Option<&str>, bos: Option<&str>) -> Result<(Tokenizer, Vec<u8>, String)> {
    let beside = match (eod, bos) {
        (Some(_), Some(_)) => Specials::default(),
        _ => beside(path)?,
    };
    let begin = match bos {
        Some("none") => None,
        Some(token) => Some(token),
        None => beside.begin().at(path.with_file_name(CONFIG).display())?,
    };
    let end = eod.or(beside.end());
    let (mut tokenizer, json) = read_tokenizer(path, end)?;
    let by = |flag: Option<&str>, name| if flag.is_some() { name } else { "the configuration beside it" };
    let mut begins = String::new();
    if let Some(begin) = begin {
        tokenizer = tokenizer.begin_with(&path.display().to_string(), begin)?;
        let id = tokenizer.begin_of_document().unwrap_or_default();
        begins = format!("begin with {begin:?} ({id}), by {}, and ", by(bos, "--bos"));
    }
    let id = tokenizer.end_of_document();
    let ends = match end {
        Some(end) => format!("{end:?} ({id}), by {}", by(eod, "--eod")),
        None => format!("token {id}"),
    };
    Ok((tokenizer, json, format!("{}: documents {begins}end with {ends}", path.display())))
}

/// What the configuration beside a tokenizer says; nothing where there is none.
fn beside(path: &Path) -> Result<Specials> {
    if path.file_name().is_none_or(|name| name != TOKENIZER) {
        return Ok(Specials::default());
    }
    let read = |name: &str| -> Result<Option<(String, String)>> {
        let path = path.with_file_name(name);
        let text = path.exists().then(|| read_text_within(&path, MAX_CONFIG)).transpose()?;
        Ok(text.map(|text| (path.display().to_string(), text)))
    };
    let (config, map) = (read(CONFIG)?, read(MAP)?);
    Specials::parse(borrowed(&config), borrowed(&map))
}

fn borrowed(file: &Option<(String, String)>) -> Option<(&str, &str)> {
    file.as_ref().map(|(name, text)| (name.as_str(), text.as_str()))
}
