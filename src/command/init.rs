//! `l402 init`: random weights as a Hugging Face folder.

use std::path::{Path, PathBuf};

use super::made::file_made_from;
use super::{companions, files};
use crate::artifact::recipe::AdapterRecipe;
use crate::artifact::{Digest, Meta, Recipe};
use crate::command::args::OutputDirArgs;
use crate::error::{Context, Error, Result};
use crate::fsio::{OutDir, Outcome, Target, read_text};
use crate::model::{self, Adapter, Decoder, Layout, ModelConfig, ModelFolder};
use crate::ui::{self, Ui};

/// Make a model with random weights, as a Hugging Face folder.
///
/// Every element is a function of seed, tensor name and index alone, so the same seed gives the same model on every
/// machine. Prints the model's digest: a recipe's theta_0.
///
/// With `--model` it is the first adapter of that model, by the recipe's `[adapter]` (docs/adapters.md): a folder as PEFT has
/// them, whose function is the model's until it is trained.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Hugging Face configuration of a model of a known type (docs/models.md)
    #[arg(long, value_name = "FILE", required_unless_present = "model", conflicts_with_all = ["model", "recipe"])]
    config: Option<PathBuf>,
    /// The model that the adapter is of: a Hugging Face folder
    #[arg(long, value_name = "DIR", requires = "recipe")]
    model: Option<PathBuf>,
    /// The recipe, for its `[adapter]`
    #[arg(long, value_name = "FILE", requires = "model")]
    recipe: Option<PathBuf>,
    /// Seed of the weights
    #[arg(long, value_name = "N")]
    seed: u64,
    #[command(flatten)]
    output: OutputDirArgs,
}

/// Runs the verb.
pub fn run(args: &Args, ui: &Ui) -> Result<()> {
    ui::check()?;
    let made = match (&args.config, &args.model, &args.recipe) {
        (Some(config), ..) => whole(config, args.seed, None, &args.output),
        (None, Some(model), Some(recipe)) => {
            let read = Recipe::load(recipe)?;
            let Some(recipe_of) = &read.adapter else {
                let what = format!("{}: expected a table [adapter], found none", recipe.display());
                return Err(Error::data(what).hint("rank and alpha stand there: docs/recipe.md"));
            };
            adapter(model, model, (recipe_of, recipe), args.seed, &args.output)
        }
        _ => Err(Error::bug("the command line lacks what it requires")),
    }?;
    let done = if made.outcome == Outcome::UpToDate { "up to date" } else { "made" };
    ui.say(format!("{done}: {} parameters in {}", made.parameters, args.output.output.display()));
    ui::print(made.digest)
}

/// A first model that is in its place.
pub(super) struct Made {
    pub outcome: Outcome,
    /// How many it trains.
    pub parameters: usize,
    pub digest: Digest,
}

/// A whole model of this configuration, with the files that travel with models from `companions_of`.
pub(super) fn whole(
    config_path: &Path,
    seed: u64,
    companions_of: Option<&Path>,
    output: &OutputDirArgs,
) -> Result<Made> {
    let text = read_text(config_path)?;
    let config = ModelConfig::parse(&text).at(config_path.display())?;
    check_memory(&config).at(config_path.display())?;
    if !output.force {
        // The digest of the parameters is what is about to be made: any will do.
        let mut first = model::first_meta(&Digest([0; 32]), &text, seed)?;
        first.0.remove("l402.model");
        check_model(&output.output, model::WEIGHTS, &first)?;
    }
    let layout = Layout::new(&config);
    let parameters = model::initial_parameters(&config, &layout, seed);
    let digest = model::model_digest(&config, &layout, &parameters);
    let meta = model::first_meta(&digest, &text, seed)?;
    let config = model::complete_config(&text)?;
    let names = ["config.json", model::WEIGHTS];
    let built = build_folder(output, companions_of, names, &config, meta, &layout, &parameters)?;
    Ok(Made { outcome: built.finish()?, parameters: layout.total, digest })
}

/// The first adapter of the model in a folder, by a recipe and where it is from. `called` is what the adapter says of where the model
/// is.
pub(super) fn adapter(
    model: &Path,
    called: &Path,
    (recipe, from): (&AdapterRecipe, &Path),
    seed: u64,
    output: &OutputDirArgs,
) -> Result<Made> {
    files::not_onto(output, [model])?;
    let base = ModelFolder::load(model)?;
    if base.base.is_some() {
        return Err(Error::data(format!("{}: expected a whole model, found an adapter", model.display()))
            .hint("`l402 merge` makes a whole model of it"));
    }
    let adapter = Adapter::new(&Decoder::new(&base.config), recipe).at("adapter").at(from.display())?;
    let folder = base.with_adapter(called, adapter, seed)?;
    if !output.force {
        let mut first = folder.meta.clone();
        first.0.remove("l402.model");
        check_model(&output.output, folder.names()[1], &first)?;
    }
    let parameters = folder.parameters.to_vec()?;
    let (layout, config) = (&folder.layout, folder.config_written()?);
    let built = build_folder(output, Some(model), folder.names(), &config, folder.meta.clone(), layout, &parameters)?;
    Ok(Made { outcome: built.finish()?, parameters: layout.total, digest: folder.digest })
}

/// Refuses a model that this machine has no memory for, before anything is made of it.
fn check_memory(config: &ModelConfig) -> Result<()> {
    let parameters = config.matrix_parameters().unwrap_or(usize::MAX);
    Vec::<f32>::new()
        .try_reserve_exact(parameters)
        .map_err(|_| Error::data(format!("{parameters} parameters: too large for this machine's memory")))
}

/// Refuses a model in the place of another that was made from other inputs (73), before the work.
pub(super) fn check_model(folder: &Path, weights: &str, inputs: &Meta) -> Result<()> {
    let weights = folder.join(weights);
    if !weights.is_file() {
        return Ok(());
    }
    file_made_from(&weights, folder.display(), inputs).map(drop)
}

/// Writes a model folder, configuration and weights by these names, with the files that travel with the model of another
/// folder; it is not yet in its place.
pub(super) fn build_folder(
    output: &OutputDirArgs,
    companions_of: Option<&Path>,
    [config_name, weights_name]: [&str; 2],
    config_text: &str,
    meta: Meta,
    layout: &Layout,
    parameters: &[f32],
) -> Result<OutDir> {
    let folder = OutDir::create(&output.output, output.force)?;
    Target::new(Some(&folder.path(config_name)), false).write_text(config_text)?;
    let weights = Target::new(Some(&folder.path(weights_name)), false);
    let (out, _) = model::write_flat(&weights.name(), weights.create()?, meta, layout, parameters)?;
    out.finish()?;
    companions::copy(companions_of, &folder)?;
    Ok(folder)
}
