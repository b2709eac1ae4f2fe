//! `l402 pull`: models, tokenizers and data sets from the Hugging Face Hub.

use std::cell::OnceCell;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::{Error, IoContext, Kind, Result};
use crate::fsio::{OutDir, Outcome, read_text_within};
use crate::hub::{Glob, Held, RECORD, Record, Repository, Selection, Settings, Snapshot, Type, Watch};
use crate::ui::{self, Progress, Ui};

/// The largest record of a folder's origin, in bytes.
const MAX_RECORD: u64 = 64 << 20;

/// Take a model, a tokenizer or a data set from the Hugging Face Hub.
///
/// The revision (a branch, a tag or a commit; `main` without one) is resolved once, and every file is of that commit. Every
/// file's digest is checked. They go to the cache that Python's huggingface_hub uses, which keeps what is there already; a
/// transfer that was cut off goes on where it stopped, by itself or with the same command again.
///
/// With -o they are put into a folder, with a record of where they are from (hub.json): large files share their disk space
/// with the cache, so they are not to be changed in place. Without it, the folder in the cache is printed.
///
/// Of a model, safetensors, configuration, tokenizer, README and licence are taken; of a data set, everything; or what
/// --include says. Pickles and their like (*.bin, *.pt, *.pth, *.ckpt, *.pkl, *.h5, *.msgpack) never are: opening one can
/// run what is in it.
///
/// The environment: HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_TOKEN or a token's file (HF_TOKEN_PATH, token in HF_HOME), and
/// HF_HUB_OFFLINE=1, with which the cache alone is asked. Proxies are those that HTTPS_PROXY and the like name.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The repository, NAME or OWNER/NAME
    #[arg(value_name = "REPO[@REVISION]")]
    repository: String,
    /// It is a data set
    #[arg(long)]
    dataset: bool,
    /// Take files with such names alone: `*` is anything, slashes too, `?` one character; several are all meant
    #[arg(long, value_name = "GLOB")]
    include: Vec<Glob>,
    /// Leave files with such names out
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<Glob>,
    /// Output folder, built beside and renamed [default: the cache alone]
    #[arg(short, long, value_name = "DIR", help_heading = "Output")]
    output: Option<PathBuf>,
    /// Replace a folder that exists and differs
    #[arg(long, requires = "output", help_heading = "Output")]
    force: bool,
}

/// Runs the verb.
pub fn run(args: &Args, ui: &Ui) -> Result<()> {
    ui::check()?;
    let kind = if args.dataset { Type::Dataset } else { Type::Model };
    let repository = Repository::parse(kind, &args.repository)?;
    let selection = Selection::new(kind, &args.include, &args.exclude);
    let settings = Settings::read(|name| std::env::var_os(name))?;
    let shown = Shown { ui, bar: OnceCell::new() };
    if settings.withholds_token() {
        ui.say(format!("{} is not over TLS: the token is not sent", settings.host()));
    }
    let snapshot = Snapshot::resolve(&repository, &selection, &settings, &shown)?;
    let origin = |files: &[Held]| Record::new(&repository, snapshot.commit(), settings.host(), files);
    let out = args.output.as_deref().map(|folder| begin(folder, args.force, &snapshot, &origin(&[]))).transpose()?;
    if !snapshot.left_out.is_empty() {
        ui.say(format!(
            "{repository}: left out, as opening them can run what is in them: {}",
            snapshot.left_out.join(", ")
        ));
    }
    ui.detail(format!("{repository}: commit {}", snapshot.commit()));
    let _ = shown.bar.set(ui.progress("pulling", snapshot.size()));
    let files = snapshot.gather(&shown)?;
    let Some(out) = out else { return ui::print(snapshot.folder().display()) };
    let outcome = fill(out, &files, &origin(&files))?;
    let bytes: u64 = files.iter().map(|file| file.content.size).sum();
    let done = if outcome == Outcome::UpToDate { "up to date" } else { "pulled" };
    let (count, commit) = (files.len(), snapshot.commit());
    ui.say(format!("{done}: {count} files, {bytes} bytes, of {} at commit {commit}", repository.name()));
    Ok(())
}

/// Begins a folder, where nothing is in its way that can be seen before any file is fetched.
fn begin(folder: &Path, force: bool, snapshot: &Snapshot<'_>, origin: &Record) -> Result<OutDir> {
    if snapshot.names().any(|name| name.split('/').next() == Some(RECORD)) {
        let what = format!("{RECORD}: the repository has a file of this name, which the folder's own record takes");
        return Err(Error::refused(what).hint(format!("--exclude '{RECORD}*'")));
    }
    if !force {
        check_place(folder, origin)?;
    }
    OutDir::create(folder, force)
}

/// Refuses the place of files from elsewhere (73).
fn check_place(folder: &Path, origin: &Record) -> Result<()> {
    let exists = |what: String| {
        Error::new(Kind::Exists, format!("{}: exists, {what}", folder.display())).hint("--force replaces it")
    };
    let record = folder.join(RECORD);
    match read_text_within(&record, MAX_RECORD) {
        Ok(text) => match origin.other_origin(&text) {
            None => Ok(()),
            Some(what) => Err(exists(format!("pulled from another {what}"))),
        },
        Err(error) if error.kind() == Kind::Missing && is_free(folder) => Ok(()),
        Err(_) => Err(exists("with other content".into())),
    }
}

/// Whether nothing is there, or an empty folder.
fn is_free(folder: &Path) -> bool {
    !folder.exists() || fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}

/// Puts files and record into the folder, and the folder into its place.
fn fill(out: OutDir, files: &[Held], record: &Record) -> Result<Outcome> {
    for file in files {
        // People edit the small ones.
        out.adopt(file.name.as_str(), &file.path, file.content.is_large())?;
    }
    let mut text = out.file(RECORD)?;
    text.write_all(record.text().as_bytes()).and_then(|()| text.flush()).path(&out.path(RECORD))?;
    drop(text);
    out.finish()
}

/// What people see of a pull.
struct Shown<'a> {
    ui: &'a Ui,
    bar: OnceCell<Progress>,
}

impl Watch for Shown<'_> {
    fn at(&self, bytes: u64) {
        if let Some(bar) = self.bar.get() {
            bar.at(bytes);
        }
    }

    fn note(&self, text: &str) {
        self.ui.say(text);
    }
}
