//! `l402 new`: the beginning of a run.

mod model;
mod parties;
mod recipe;

use std::path::{Path, PathBuf};

use clap::ArgGroup;

use self::parties::Parties;
use crate::artifact::record;
use crate::command::args::OutputDirArgs;
use crate::command::shard;
use crate::data::{MANIFEST, Manifest};
use crate::error::{Context, Error, Kind, Result};
use crate::fsio::{OutDir, Target};
use crate::ui::{self, Ui};

/// Begin a run: make its folder, with a first model, shards, roster, public keys, and a recipe to edit.
///
/// RUN holds what is public, as docs/run.md lays it out: run.toml, theta-0, shards, roster.jsonl, coordinator.pub and one ID.pub a
/// worker; and base where the recipe trains an adapter. It is complete or absent. Secrets go beside it, into RUN-private (for its
/// owner alone): a signing key for the coordinator and for each worker that is named without one, in PARTY/key. Keys that are
/// there already are used.
///
/// The model is that of --model, or a random one of --config. Its digest, the tokenizer and the length of a sequence are filled
/// into the recipe; the rest is yours to decide. Edit run.toml before the first `assign`, never after: its digest is the run's id.
///
/// Prints the run's id, and says what comes next.
#[derive(clap::Args, Debug)]
#[command(group = ArgGroup::new("first").required(true).args(["model", "config"]))]
pub struct Args {
    /// The run's folder, built beside and renamed; it must not exist
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// The first model: a Hugging Face folder, as `pull` leaves it. Its weights share their disk space with it where that can be
    #[arg(long, value_name = "DIR", help_heading = "The model")]
    model: Option<PathBuf>,
    /// Hugging Face configuration of a model of a known type (docs/models.md), made with random weights
    #[arg(long, value_name = "FILE", help_heading = "The model")]
    config: Option<PathBuf>,
    /// Seed of random weights: the model's, or the first adapter's
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "The model")]
    seed: u64,
    /// The corpus: what `shard` takes
    #[arg(long, value_name = "FILE", required = true, num_args = 1.., help_heading = "The text")]
    text: Vec<PathBuf>,
    /// `bytes`, or a Hugging Face tokenizer.json [default: the model's; bytes with --config]
    #[arg(long, value_name = "FILE|bytes", help_heading = "The text")]
    tokenizer: Option<PathBuf>,
    /// Tokens a sequence, targets not counted [default: the recipe's data.seq_len]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1 << 20), help_heading = "The text")]
    seq_len: Option<u32>,
    /// Training shards [default: four a worker]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000), help_heading = "The text")]
    shards: Option<u32>,
    /// Validation shards
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000),
          help_heading = "The text")]
    val_shards: u32,
    /// The corpus are conversations: JSON Lines with `messages`, or `prompt` and `completion`; what the assistant says is trained
    #[arg(long, help_heading = "The text")]
    chat: bool,
    /// Put several conversations into a sequence; none sees another
    #[arg(long, requires = "chat", help_heading = "The text")]
    pack: bool,
    /// Who works: `a,b=PUBLICKEY,c=FILE`; a key is made for those without one
    #[arg(long, value_name = "LIST", help_heading = "The parties")]
    workers: String,
    /// The coordinator's public key, or a file that holds it [default: a key is made]
    #[arg(long, value_name = "KEY|FILE", help_heading = "The parties")]
    coordinator: Option<String>,
    /// A recipe to begin with [default: one for this model]
    #[arg(long, value_name = "FILE", help_heading = "The parties")]
    recipe: Option<PathBuf>,
}

/// Runs the verb.
pub fn run(args: &Args, ui: &Ui) -> Result<()> {
    ui::check()?;
    let (run, private) = places(&args.run)?;
    let parties = Parties::parse(&args.workers, args.coordinator.as_deref())?;
    let tokenizer = tokenizer(args)?;
    let template = recipe::Template::read(args.recipe.as_deref(), args.model.is_some(), &run)?;
    let seq_len = template.seq_len(args.seq_len)?;
    // What is wrong with it is said before the work.
    let draft = template.filled("bytes", seq_len, None)?.1;
    let out = OutDir::create(&run, false)?;
    let inside = |name: &str| OutputDirArgs { output: out.path(name), force: false };

    let whole = if draft.adapter.is_some() { model::BASE } else { model::THETA };
    let from = match (&args.model, &args.config) {
        (Some(model), _) => model::From::Folder(model),
        (None, Some(config)) => model::From::Random(config, args.seed),
        (None, None) => return Err(Error::bug("the command line lacks what it requires")),
    };
    let first = model::whole(from, &tokenizer, inside(whole))?;
    if seq_len as usize > first.context {
        let context = first.context;
        let what = format!(
            "the sequences have {seq_len} tokens, and the model is made for {context} (max_position_embeddings)"
        );
        return Err(Error::refused(what).hint("--seq-len of at most that, or another model"));
    }
    let shards = args.shards.unwrap_or(4 * parties.workers.len() as u32);
    let corpus = (args.text.as_slice(), args.chat, args.pack);
    let cut = shard::Args::plain(corpus, &tokenizer, seq_len, (shards, args.val_shards), inside("shards"));
    shard::make(&cut, &run.join("shards"), ui)?;
    let list = out.path("shards").join(MANIFEST);
    let manifest = Manifest::parse(&record::read_lines(&list)?).at(list.display())?;
    let entry = manifest.entries().first().ok_or_else(|| Error::bug("shards without a shard"))?;
    if entry.vocab_size as usize > first.vocabulary {
        let found = entry.vocab_size;
        let what = format!("the tokenizer has {found} tokens, and the model {}", first.vocabulary);
        return Err(Error::refused(what).hint("vocab_size of the configuration, or another --tokenizer"));
    }

    let theta_0 = match &draft.adapter {
        None => first.digest,
        Some(adapter) => model::adapter(&out.path(whole), (adapter, template.name()), args.seed, inside(model::THETA))?,
    };
    let (text, recipe) = template.filled(&entry.tokenizer, seq_len, Some(&theta_0))?;
    let write = |name: &str, text: &str| Target::new(Some(&out.path(name)), false).write_text(text).map(drop);
    write("run.toml", &text)?;
    let keys = parties.keys(&private)?;
    keys.files()?.iter().try_for_each(|(name, text)| write(name, text))?;
    out.finish()?;
    ui.say(format!("{}: begun; {} workers, {} training shards", run.display(), parties.workers.len(), shards));
    ui.lines(&next(&run, &private, &keys));
    ui::print(recipe.digest())
}

/// The run's folder, which must be a new one, and the folder of its secrets.
fn places(run: &Path) -> Result<(PathBuf, PathBuf)> {
    // A trailing slash, as shells complete it, is no part of the name.
    let run: PathBuf = run.components().collect();
    let name = run.file_name().and_then(|name| name.to_str());
    let name =
        name.ok_or_else(|| Error::usage(format!("{}: expected the name of a folder, in UTF-8", run.display())))?;
    let empty = || std::fs::read_dir(&run).is_ok_and(|mut entries| entries.next().is_none());
    if run.exists() && !empty() {
        return Err(Error::new(Kind::Exists, format!("{}: exists", run.display())).hint("a run begins in a new folder"));
    }
    Ok((run.clone(), run.with_file_name(format!("{name}-private"))))
}

/// The tokenizer that is named, or the model's own.
fn tokenizer(args: &Args) -> Result<PathBuf> {
    match (&args.tokenizer, &args.model) {
        (Some(named), _) => Ok(named.clone()),
        (None, None) => Ok("bytes".into()),
        (None, Some(model)) => {
            let own = model.join("tokenizer.json");
            let missing = || {
                Error::missing(format!("{}: no such file", own.display())).hint("--tokenizer names one, or says bytes")
            };
            own.is_file().then(|| own.clone()).ok_or_else(missing)
        }
    }
}

/// What comes next, for people.
fn next(run: &Path, private: &Path, keys: &parties::Keys) -> String {
    let made = match keys.made.as_slice() {
        [] => String::new(),
        made => format!("secret keys, each for its party alone: {}/{{{}}}/key\n", private.display(), made.join(",")),
    };
    format!(
        "{made}next: read and edit {run}/run.toml, then\n\
         \x20 cd {run}\n\
         \x20 l402 recipe check run.toml\n\
         \x20 l402 beacon random -o round-0/beacon-a    (where the round pays, of a block: l402 beacon 0 a --wait)\n\
         \x20 l402 assign 0\n",
        run = run.display(),
    )
}
