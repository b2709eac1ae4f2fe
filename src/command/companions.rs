//! The files that travel with a model's weights: tokenizer, chat template, how to generate.

use std::path::Path;

use crate::error::Result;
use crate::fsio::{OutDir, Source, Target};

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
/// The largest of them that makes sense, in bytes.
const LARGEST: u64 = 256 << 20;

/// Copies those that there are from a model's folder, to the byte. They are no part of the model's digest.
pub(super) fn copy(from: &Path, to: &OutDir) -> Result<()> {
    for name in NAMES {
        let path = from.join(name);
        if path.is_file() {
            let bytes = Source::open(&path)?.read_to_end(LARGEST)?;
            let mut out = Target::new(Some(&to.path(name)), false).create()?;
            std::io::Write::write_all(&mut out, &bytes).map_err(|e| crate::error::Error::io(path.display(), &e))?;
            out.finish()?;
        }
    }
    Ok(())
}
