//! What several verbs share: flags that mean the same everywhere, and reading what they name.

use std::path::{Path, PathBuf};

use lightning::bitcoin::secp256k1::PublicKey;

use crate::artifact::{Recipe, key, record};
use crate::data::{Assignment, Tokenizer};
use crate::error::{Context, Error, Kind, Result};
use crate::fsio::Source;
use crate::model::ModelFolder;
use crate::ui::Ui;

/// The run and the model of a round.
#[derive(clap::Args, Debug)]
pub struct RoundArgs {
    /// The run's recipe
    #[arg(long, value_name = "FILE")]
    pub recipe: PathBuf,
    /// The model at the start of the round: a Hugging Face folder
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    #[command(flatten)]
    pub base: BaseArg,
}

/// The model that an adapter is of.
#[derive(clap::Args, Clone, Debug)]
pub struct BaseArg {
    /// The folder of the model that an adapter is of [default: as its adapter_config.json says, beside it or from here]
    #[arg(long, value_name = "DIR")]
    pub base: Option<PathBuf>,
}

impl BaseArg {
    /// Reads a model, or an adapter and its model.
    pub fn load(&self, model: &Path) -> Result<ModelFolder> {
        ModelFolder::load_beside(model, self.base.as_deref())
    }
}

impl RoundArgs {
    /// Reads the recipe and the model of this round; without a round, the round is the model's.
    pub fn load(&self, round: Option<u64>) -> Result<(Recipe, ModelFolder, u64)> {
        let recipe = Recipe::load(&self.recipe)?;
        let folder = self.base.load(&self.model)?;
        let name = self.model.display().to_string();
        let round = match (round, folder.meta.opt("round")) {
            (Some(round), _) => round,
            (None, Some(_)) => folder.meta.number(&name, "round")?,
            (None, None) => 0,
        };
        check_theta(&recipe, &folder, round).map_err(|error| self.of_this_recipe(error)).at(&name)?;
        Ok((recipe, folder, round))
    }
}

impl RoundArgs {
    /// Another run's model, where nothing else was said of it: most often the recipe was edited.
    fn of_this_recipe(&self, error: Error) -> Error {
        if error.kind() != Kind::Refused || error.advice().is_some() {
            return error;
        }
        error.hint(format!(
            "is {} the recipe that the run began with? After its first assignment it must not be edited: another recipe is another run",
            self.recipe.display()
        ))
    }
}

/// A model is of the run and round that its file names. One that names none was not made by a round: it is a first one.
fn check_theta(recipe: &Recipe, folder: &ModelFolder, round: u64) -> Result<()> {
    let run = recipe.digest();
    if let Some(found) = folder.meta.opt("run").filter(|found| *found != run.to_string()) {
        return Err(Error::refused(format!("model: expected one of run {run}, found one of run {found}")));
    }
    match (folder.meta.opt("run"), folder.meta.opt("round")) {
        (_, Some(found)) if found != round.to_string() => {
            let what = format!("model: expected the one of round {round}, found the one of round {found}");
            return Err(Error::refused(what));
        }
        (Some(_), Some(_)) => {}
        _ if round == 0 => {}
        _ => {
            let what = format!("model: expected the one of round {round}, found one that no round has made");
            return Err(
                Error::refused(what).hint("such a model is of round 0; `aggregate` makes those of later rounds")
            );
        }
    }
    folder.check_adapter(recipe)?;
    recipe.check_first(round, &folder.digest.to_string())
}

/// Signed assignments and the key that must have signed them.
#[derive(clap::Args, Debug)]
pub struct AssignmentArgs {
    /// The round's assignments
    #[arg(long, value_name = "FILE")]
    pub assignments: Option<PathBuf>,
    #[command(flatten)]
    pub(super) coordinator: CoordinatorArg,
}

/// The pinned coordinator.
#[derive(clap::Args, Debug)]
pub struct CoordinatorArg {
    /// The coordinator's public key: assignments that it did not sign are refused
    #[arg(long, value_name = "KEY", value_parser = public_key)]
    pub coordinator: Option<PublicKey>,
}

fn public_key(text: &str) -> std::result::Result<PublicKey, String> {
    key::parse_public(text).map_err(|e| e.to_string())
}

/// Reads the assignments of a file for this run, signatures checked where a key is pinned.
pub fn read_assignments(path: &Path, recipe: &Recipe, pinned: &CoordinatorArg, ui: &Ui) -> Result<Vec<Assignment>> {
    let assignments: Vec<Assignment> = record::read(path)?;
    if assignments.is_empty() {
        return Err(Error::data(format!("{}: expected assignment records, found none", path.display())));
    }
    if pinned.coordinator.is_none() {
        ui.say(format!(
            "{}: anybody may have made these: no key is pinned (--coordinator KEY, or coordinator.pub in a run folder)",
            path.display()
        ));
    }
    let run = recipe.digest();
    for assignment in &assignments {
        assignment.check_run(&run).at(path.display())?;
        assignment.verify(pinned.coordinator.as_ref()).at(path.display())?;
    }
    Ok(assignments)
}

/// Says that a state which a round above the first would begin with was not given.
pub fn say_assumed_zero(ui: &Ui, round: u64, what: &str) {
    ui.say(format!(
        "round {round}: no --state: {what} is assumed to be zero, as of a worker none of whose updates has counted"
    ));
}

/// Opens an input, `-` for standard input.
pub fn open(path: &Path) -> Result<Source> {
    Source::open(path)
}

/// The largest tokenizer.json that makes sense: those of a quarter of a million tokens have half of that.
const MAX_TOKENIZER: u64 = 64 << 20;

/// A Hugging Face tokenizer, and its file.
pub(super) fn read_tokenizer(path: &Path, eod: Option<&str>) -> Result<(Tokenizer, Vec<u8>)> {
    let (name, json) = tokenizer_file(path)?;
    Ok((Tokenizer::parse(&name, &json, eod)?, json))
}

/// The name and the content of a tokenizer's file.
pub(super) fn tokenizer_file(path: &Path) -> Result<(String, Vec<u8>)> {
    let source = Source::text(path)?;
    let name = source.name().to_owned();
    Ok((name, source.read_to_end(MAX_TOKENIZER)?))
}
