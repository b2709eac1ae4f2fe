//! `l402 init`: random weights as a Hugging Face folder.

use std::path::{Path, PathBuf};

use super::companions;
use super::made::file_made_from;
use crate::artifact::{Digest, Meta};
use crate::command::args::OutputDirArgs;
use crate::error::{Context, Error, Result};
use crate::fsio::{OutDir, Outcome, Target, read_text};
use crate::model::{self, Layout, ModelConfig};
use crate::ui::{self, Ui};

/// Make a model with random weights, as a Hugging Face folder.
///
/// Every element is a function of seed, tensor name and index alone, so the same seed gives the same model on every
/// machine. Prints the model's digest: a recipe's theta_0.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Hugging Face configuration of a model of a known type (docs/models.md)
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Seed of the weights
    #[arg(long, value_name = "N")]
    seed: u64,
    #[command(flatten)]
    output: OutputDirArgs,
}

/// Runs the verb.
pub fn run(args: &Args, ui: &Ui) -> Result<()> {
    ui::check()?;
    let text = read_text(&args.config)?;
    let config = ModelConfig::parse(&text).at(args.config.display())?;
    check_memory(&config).at(args.config.display())?;
    if !args.output.force {
        // The digest of the parameters is what is about to be made: any will do.
        let mut first = model::first_meta(&Digest([0; 32]), &text, args.seed)?;
        first.0.remove("l402.model");
        check_model(&args.output.output, &first)?;
    }
    let layout = Layout::new(&config);
    let parameters = model::initial_parameters(&config, &layout, args.seed);
    let digest = model::model_digest(&config, &layout, &parameters);
    let meta = model::first_meta(&digest, &text, args.seed)?;
    let outcome = write_folder(&args.output, &text, meta, &layout, &parameters)?;
    let done = if outcome == Outcome::UpToDate { "up to date" } else { "made" };
    ui.say(format!("{done}: {} parameters in {}", layout.total, args.output.output.display()));
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
pub(super) fn check_model(folder: &Path, inputs: &Meta) -> Result<()> {
    let weights = folder.join("model.safetensors");
    if !weights.is_file() {
        return Ok(());
    }
    file_made_from(&weights, folder.display(), inputs).map(drop)
}

/// Writes a model folder: `config.json` and `model.safetensors`.
pub(super) fn write_folder(
    output: &OutputDirArgs,
    config_text: &str,
    meta: Meta,
    layout: &Layout,
    parameters: &[f32],
) -> Result<Outcome> {
    build_folder(output, None, config_text, meta, layout, parameters)?.finish()
}

/// The same, not yet in its place, and with the files that travel with the model of another folder.
pub(super) fn build_folder(
    output: &OutputDirArgs,
    companions_of: Option<&Path>,
    config_text: &str,
    meta: Meta,
    layout: &Layout,
    parameters: &[f32],
) -> Result<OutDir> {
    let folder = OutDir::create(&output.output, output.force)?;
    let config = Target::new(Some(&folder.path("config.json")), false);
    config.write_text(&model::complete_config(config_text)?)?;
    let weights = Target::new(Some(&folder.path("model.safetensors")), false);
    let (out, _) = model::write_flat(&weights.name(), weights.create()?, meta, layout, parameters)?;
    out.finish()?;
    companions_of.map_or(Ok(()), |from| companions::copy(from, &folder))?;
    Ok(folder)
}
