//! `l402 merge`: an adapter and its model become a whole model.

use std::path::PathBuf;

use super::args::OutputDirArgs;
use super::common::BaseArg;
use super::export::{FormArgs, Whole, write_model};
use super::files;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::model::Layout;
use crate::ui::{self, Ui};
use crate::verify::require_machine;

/// Put an adapter into the model that it is of, and write the whole model.
///
/// Each linear layer that has factors gets W + (alpha / rank) · (B · A), in float32, the same bits on every machine. Type and
/// files as by `export`; tokenizer and chat template are the adapter's folder's, where it has them, else the model's. Prints the
/// digest of the model that is written.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The adapter: a folder with `adapter_config.json`
    #[arg(value_name = "DIR")]
    adapter: PathBuf,
    #[command(flatten)]
    base: BaseArg,
    #[command(flatten)]
    form: FormArgs,
    #[command(flatten)]
    output: OutputDirArgs,
}

/// Runs the verb.
pub fn run(args: &Args, ui: &Ui) -> Result<()> {
    ui::check()?;
    let engine = Engine::detect();
    require_machine(engine)?;
    let folder = args.base.load(&args.adapter)?;
    let Some(base) = &folder.base else {
        let what = format!("{}: expected an adapter's folder, found a whole model", args.adapter.display());
        return Err(Error::data(what));
    };
    files::not_onto(&args.output, [&*args.adapter, &base.folder])?;
    let (config, config_text, place) = (folder.config.clone(), base.config_text.clone(), base.folder.clone());
    let parameters = folder.into_merged(engine)?;
    let whole = Whole { config: &config, config_text: &config_text, layout: &Layout::new(&config) };
    write_model(whole, parameters, [&place, &args.adapter], &args.form, &args.output, ui)
}
