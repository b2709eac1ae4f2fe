//! The first model of a run.

use std::path::Path;

use crate::artifact::Digest;
use crate::artifact::recipe::AdapterRecipe;
use crate::command::args::OutputDirArgs;
use crate::command::{companions, init};
use crate::error::{Context, Error, IoContext, Result};
use crate::fsio::OutDir;
use crate::model::{self, ModelFolder, is_adapter};

/// The model of round 0 in a run's folder.
pub const THETA: &str = "theta-0";
/// The model that an adapter is of.
pub const BASE: &str = "base";

/// What is to be known of a whole model.
pub struct Whole {
    /// Its digest.
    pub digest: Digest,
    /// How many tokens it knows.
    pub vocabulary: usize,
    /// How many tokens of a sequence it is made for.
    pub context: usize,
}

/// Where the first model is from.
pub enum From<'a> {
    /// A folder.
    Folder(&'a Path),
    /// A configuration and a seed.
    Random(&'a Path, u64),
}

/// Makes the whole model that a run begins with.
pub fn whole(from: From<'_>, tokenizer: &Path, output: OutputDirArgs) -> Result<Whole> {
    match from {
        From::Folder(model) => taken(model, &output)?,
        From::Random(config, seed) => {
            // A tokenizer travels with the model from the beginning.
            let travels = tokenizer.file_name().is_some_and(|name| name == "tokenizer.json");
            let folder = tokenizer.parent().filter(|_| travels);
            init::whole(config, seed, folder, &output)?;
        }
    }
    let folder = ModelFolder::load(&output.output)?;
    if folder.meta.opt("run").is_some() {
        return Err(Error::refused("--model: expected a first model, found one that a round of another run has made")
            .hint("`l402 export` makes a model of its own of it"));
    }
    let config = &folder.config;
    Ok(Whole { digest: folder.digest, vocabulary: config.vocab_size, context: config.max_position_embeddings })
}

/// Takes the files of a model folder over: large ones share their disk space where that can be.
fn taken(model: &Path, output: &OutputDirArgs) -> Result<()> {
    if is_adapter(model) {
        return Err(Error::data(format!("{}: expected a whole model, found an adapter", model.display()))
            .hint("`l402 merge` makes a whole model of it; a recipe with [adapter] begins a new one"));
    }
    let out = OutDir::create(&output.output, false)?;
    for file in model::model_files(model).at(model.display())? {
        let name = file.file_name().and_then(|name| name.to_str()).ok_or_else(|| Error::bug("a name of ours"))?;
        // In the Hub's cache files are links, and a run's are none.
        let place = std::fs::canonicalize(&file).path(&file)?;
        out.adopt(name, &place, name.ends_with(".safetensors"))?;
    }
    companions::copy([model], &out)?;
    out.finish().map(drop)
}

/// Makes the first adapter of the model in `base`; its digest.
pub fn adapter(base: &Path, of: (&AdapterRecipe, &Path), seed: u64, output: OutputDirArgs) -> Result<Digest> {
    Ok(init::adapter(base, Path::new(BASE), of, seed, &output)?.digest)
}
