//! The files that travel with a model's weights: tokenizer, chat template, how to generate.

use std::path::Path;

use crate::error::Result;
use crate::fsio::OutDir;

/// Their names in Hugging Face's folders.
const NAMES: [&str; 12] = [
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "generation_config.json",
    "merges.txt",
    "special_tokens_map.json",
    "spiece.model",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
];

/// Copies those that there are to the byte, each from the first of these folders that has it. They are no part of a model's
/// digest.
pub(super) fn copy(from: impl IntoIterator<Item = impl AsRef<Path>>, to: &OutDir) -> Result<()> {
    let folders: Vec<_> = from.into_iter().collect();
    let first = |name: &str| folders.iter().map(|folder| folder.as_ref().join(name)).find(|path| path.is_file());
    let mut there = NAMES.iter().filter_map(|name| Some((name, first(name)?)));
    there.try_for_each(|(name, path)| to.adopt(name, &path, false))
}
