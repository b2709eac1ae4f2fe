//! `l402 export`: a model for others, in another type and in files of a size.

use std::path::PathBuf;

use clap::ValueEnum;

use super::args::OutputDirArgs;
use super::{companions, files};
use crate::error::{Context, Error, Result};
use crate::fsio::{OutDir, Outcome, Target};
use crate::model::{self, Layout, ModelConfig, ModelFolder, Precision, Shards};
use crate::ui::{self, Ui};

/// Write a model for others: rounded to a type, cut into files, with its tokenizer and chat template.
///
/// Numbers are rounded to nearest, even on a tie; what the type has no number for is refused. A model that was read in that type
/// comes out to the bit. Prints the digest of the model that is written, which is another one where rounding changed something.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The model: a Hugging Face folder
    #[arg(value_name = "DIR")]
    model: PathBuf,
    #[command(flatten)]
    form: FormArgs,
    #[command(flatten)]
    output: OutputDirArgs,
}

/// How a model is written.
#[derive(clap::Args, Debug)]
pub(super) struct FormArgs {
    /// The type of its numbers
    #[arg(help_heading = "Form", long, value_enum, default_value_t = DtypeArg::Float32)]
    dtype: DtypeArg,
    /// The most bytes of tensors in a file, as a number with KB, MB or GB (thousands), or KiB, MiB or GiB
    #[arg(help_heading = "Form", long, value_name = "SIZE", default_value = "5GB", value_parser = size)]
    max_shard_size: u64,
}

/// The types by the names that Hugging Face has for them.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum DtypeArg {
    Float32,
    Bfloat16,
    Float16,
}

/// Runs the verb.
pub fn run(args: &Args, ui: &Ui) -> Result<()> {
    ui::check()?;
    if model::is_adapter(&args.model) {
        let what = format!("{}: expected a whole model, found an adapter", args.model.display());
        return Err(Error::data(what).hint("`l402 merge` makes a whole model of it"));
    }
    files::not_onto(&args.output, [&*args.model])?;
    let folder = ModelFolder::load(&args.model)?;
    let ModelFolder { config, config_text, layout, parameters, .. } = &folder;
    let whole = Whole { config, config_text, layout };
    write_model(whole, parameters.to_vec()?, [&args.model], &args.form, &args.output, ui)
}

/// A whole model without its parameters.
pub(super) struct Whole<'a> {
    pub config: &'a ModelConfig,
    /// Its `config.json`.
    pub config_text: &'a str,
    pub layout: &'a Layout,
}

/// Writes a model for others, with the files that travel with the models of these folders, those of the last one first.
pub(super) fn write_model<const N: usize>(
    whole: Whole<'_>,
    mut parameters: Vec<f32>,
    companions_of: [&PathBuf; N],
    form: &FormArgs,
    output: &OutputDirArgs,
    ui: &Ui,
) -> Result<()> {
    let precision = match form.dtype {
        DtypeArg::Float32 => Precision::Float32,
        DtypeArg::Bfloat16 => Precision::BFloat16,
        DtypeArg::Float16 => Precision::Float16,
    };
    let Whole { config, config_text, layout } = whole;
    precision.round_all(layout, &mut parameters).at(companions_of[N - 1].display())?;
    let digest = model::model_digest(config, layout, &parameters);
    let config = model::config_in(config_text, precision)?;
    let mut meta = model::model_meta(&digest, &config)?;
    meta.0.insert("format".into(), "pt".into());
    let shards = Shards::new(layout, precision, form.max_shard_size);

    let out = OutDir::create(&output.output, output.force)?;
    let target = |name: &str| Target::new(Some(&out.path(name)), false);
    target("config.json").write_text(&config)?;
    let bar = ui.progress("export", shards.count() as u64);
    for shard in 0..shards.count() {
        let target = target(&shards.name(shard));
        shards.write(shard, target.create()?, meta.clone(), layout, &parameters)?.0.finish()?;
        bar.tick("");
    }
    drop(bar);
    if let Some(index) = shards.index(layout) {
        target("model.safetensors.index.json").write_text(&index)?;
    }
    companions::copy(companions_of.into_iter().rev(), &out)?;
    let done = if out.finish()? == Outcome::UpToDate { "up to date" } else { "written" };
    ui.say(format!(
        "{done}: {} parameters in {} to {} in {}",
        layout.total,
        precision.name(),
        match shards.count() {
            1 => "one file".to_owned(),
            count => format!("{count} files"),
        },
        output.output.display()
    ));
    ui::print(digest)?;
    Ok(())
}

/// Bytes, as `--max-shard-size` takes them.
fn size(text: &str) -> std::result::Result<u64, String> {
    const UNITS: [(&str, u64); 6] =
        [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("KB", 1000), ("MB", 1_000_000), ("GB", 1_000_000_000)];
    let (number, unit) =
        UNITS.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit))).unwrap_or((text, 1));
    let bytes =
        number.trim().parse::<u64>().ok().and_then(|number| number.checked_mul(unit)).filter(|bytes| *bytes > 0);
    bytes.ok_or_else(|| format!("expected a number of bytes, or one with KB, MB, GB, KiB, MiB or GiB, found {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_bytes_with_or_without_a_unit() {
        for (text, bytes) in [("1", 1), ("5GB", 5_000_000_000), ("2 MiB", 2 << 20), ("300KB", 300_000), ("1KiB", 1024)]
        {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "0", "GB", "-1GB", "1.5GB", "99999999999999999999", "18446744073709551615KB", "5 TB"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
