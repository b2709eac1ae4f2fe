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

/// Copies those that there are from a model's folder, to the byte. They are no part of the model's digest.
pub(super) fn copy(from: &Path, to: &OutDir) -> Result<()> {
    let mut there = NAMES.iter().map(|name| (name, from.join(name))).filter(|(_, path)| path.is_file());
    there.try_for_each(|(name, path)| to.adopt(name, &path, false))
}
