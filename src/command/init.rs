//! `l402 init`: random weights as a Hugging Face folder.

use std::path::{Path, PathBuf};

use super::made::file_made_from;
use super::{companions, files};
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
    match (&args.config, &args.model, &args.recipe) {
        (Some(config), ..) => whole(config, args, ui),
        (None, Some(model), Some(recipe)) => adapter(model, recipe, args, ui),
        _ => Err(Error::bug("the command line lacks what it requires")),
    }
}

/// A whole model of this configuration.
fn whole(config_path: &Path, args: &Args, ui: &Ui) -> Result<()> {
    let text = read_text(config_path)?;
    let config = ModelConfig::parse(&text).at(config_path.display())?;
    check_memory(&config).at(config_path.display())?;
    if !args.output.force {
        // The digest of the parameters is what is about to be made: any will do.
        let mut first = model::first_meta(&Digest([0; 32]), &text, args.seed)?;
        first.0.remove("l402.model");
        check_model(&args.output.output, model::WEIGHTS, &first)?;
    }
    let layout = Layout::new(&config);
    let parameters = model::initial_parameters(&config, &layout, args.seed);
    let digest = model::model_digest(&config, &layout, &parameters);
    let meta = model::first_meta(&digest, &text, args.seed)?;
    let config = model::complete_config(&text)?;
    let names = ["config.json", model::WEIGHTS];
    let built = build_folder(&args.output, None, names, &config, meta, &layout, &parameters)?;
    say_made(built.finish()?, layout.total, digest, args, ui)
}

/// The first adapter of this model.
fn adapter(model: &Path, recipe: &Path, args: &Args, ui: &Ui) -> Result<()> {
    let read = Recipe::load(recipe)?;
    let Some(adapter) = &read.adapter else {
        let what = format!("{}: expected a table [adapter], found none", recipe.display());
        return Err(Error::data(what).hint("rank and alpha stand there: docs/recipe.md"));
    };
    files::not_onto(&args.output, [model])?;
    let base = ModelFolder::load(model)?;
    if base.base.is_some() {
        return Err(Error::data(format!("{}: expected a whole model, found an adapter", model.display())));
    }
    let adapter = Adapter::new(&Decoder::new(&base.config), adapter).at("adapter").at(recipe.display())?;
    let folder = base.with_adapter(model, adapter, args.seed)?;
    if !args.output.force {
        let mut first = folder.meta.clone();
        first.0.remove("l402.model");
        check_model(&args.output.output, folder.names()[1], &first)?;
    }
    let parameters = folder.parameters.to_vec()?;
    let (layout, config) = (&folder.layout, folder.config_written()?);
    let built =
        build_folder(&args.output, Some(model), folder.names(), &config, folder.meta.clone(), layout, &parameters)?;
    say_made(built.finish()?, layout.total, folder.digest, args, ui)
}

fn say_made(outcome: Outcome, parameters: usize, digest: Digest, args: &Args, ui: &Ui) -> Result<()> {
    let done = if outcome == Outcome::UpToDate { "up to date" } else { "made" };
    ui.say(format!("{done}: {parameters} parameters in {}", args.output.output.display()));
    ui::print(digest)?;
    Ok(())
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
