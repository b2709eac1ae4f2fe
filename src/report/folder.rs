//! What every round of a run folder stands on, as far as it is there.

use std::collections::BTreeSet;

use lightning::bitcoin::secp256k1::PublicKey;

use crate::artifact::key::parse_public;
use crate::artifact::{Digest, MAX_WORKERS, Recipe};
use crate::audit::{Checked, RunFolder, Stop};
use crate::data::Roster;
use crate::error::{Error, Result};
use crate::model::{Layout, ModelConfig};

/// A run folder that is read as it is.
pub struct Book {
    /// Its files.
    pub run: RunFolder,
    /// The recipe.
    pub recipe: Recipe,
    /// Its digest: the run's id.
    pub id: Digest,
    /// The roster's workers, ascending; none where it cannot be read.
    pub roster: Vec<String>,
    /// Who signs assignments, by `coordinator.pub`.
    pub coordinator: Option<PublicKey>,
    /// How many rounds have begun.
    pub begun: u64,
    /// What could not be read, and why.
    pub odd: Vec<String>,
    /// That the recipe is not the one that the run began with.
    pub edited: Option<Error>,
}

/// The largest file of tensors of a model whose configuration is not there.
const UNKNOWN: u64 = 1 << 32;

impl Book {
    /// The next command of a verb that draws by a beacon: by the one that is there, else by whatever somebody gives; where the
    /// recipe has beacons bound to blocks, what makes it.
    pub fn drawn(&self, round: u64, which: char, verb: &str) -> String {
        match (self.run.has(&format!("round-{round}/beacon-{which}")), self.recipe.verify.beacons_are_bound()) {
            (true, _) => format!("l402 {verb} {round}"),
            (false, true) => format!("l402 beacon {round} {which}"),
            (false, false) => format!("l402 {verb} {round} --beacon HEX"),
        }
    }

    /// Reads the ground. Without a recipe it is no run folder.
    pub fn open(run: RunFolder) -> Result<Book> {
        if !run.has("run.toml") {
            return Err(Error::missing(format!("{}: no such file", run.path("run.toml").display()))
                .hint("a run folder has its recipe in run.toml: see docs/run.md"));
        }
        let recipe = plain(run.text("run.toml"))?;
        let recipe = Recipe::parse(&recipe).map_err(|e| e.at(run.path("run.toml").display()))?;
        let mut odd = Vec::new();
        let mut roster = Vec::new();
        if run.has("roster.jsonl") {
            match plain(run.text("roster.jsonl")).and_then(|text| Roster::parse("roster.jsonl", &text)) {
                Ok(found) => roster = found.members().iter().map(|member| member.worker.clone()).collect(),
                Err(error) => odd.push(error.to_string()),
            }
        }
        let key = |text: String| parse_public(text.strip_suffix('\n').unwrap_or(&text));
        let coordinator = run.has("coordinator.pub").then(|| plain(run.text("coordinator.pub")).and_then(key));
        let begun = (0u64..).take_while(|n| run.below(&format!("round-{n}/")).next().is_some()).count() as u64;
        let run = run.of_workers(roster.len().clamp(1, MAX_WORKERS));
        let id = recipe.digest();
        let edited = edited(&run, &id);
        Ok(Book { run, recipe, id, roster, coordinator: coordinator.and_then(Result::ok), begun, odd, edited })
    }

    /// The unit of losses: a byte or a token.
    pub fn unit(&self) -> &'static str {
        if self.recipe.data.tokenizer == "bytes" { "byte" } else { "token" }
    }

    /// Tokens that one worker trains on in a round.
    pub fn tokens_a_worker(&self) -> u64 {
        let inner = &self.recipe.inner;
        u64::from(inner.steps).saturating_mul(inner.batch as u64).saturating_mul(self.recipe.data.seq_len as u64)
    }

    /// Whether there is a model of the start of a round.
    pub fn has_model(&self, round: u64) -> bool {
        ["model.safetensors", "adapter_model.safetensors"]
            .iter()
            .any(|file| self.run.has(&format!("theta-{round}/{file}")))
    }

    /// The layout of the whole model, where a configuration says it.
    pub fn layout(&self) -> Option<Layout> {
        let whole = if self.run.has("theta-0/adapter_config.json") { "base" } else { "theta-0" };
        let config = self.run.text(&format!("{whole}/config.json")).ok()?;
        Some(Layout::new(&ModelConfig::parse(&config).ok()?))
    }

    /// How large a file of tensors can be.
    pub fn most_bytes(&self) -> u64 {
        self.layout().map_or(UNKNOWN, |layout| layout.file_room(4))
    }

    /// The names of those who may have sent parts of lists: the roster's, and whoever was assigned.
    pub fn workers<'a>(&'a self, assigned: impl Iterator<Item = &'a str>) -> BTreeSet<&'a str> {
        self.roster.iter().map(String::as_str).chain(assigned).collect()
    }
}

/// What is wrong with the folder's recipe where its first round was assigned by another.
pub fn edited(run: &RunFolder, id: &Digest) -> Option<Error> {
    let first = run.has(FIRST).then(|| plain(run.records(FIRST)).ok()).flatten()?;
    crate::data::edited(run.path("run.toml").display(), id, &first)
}

/// The assignments of the first round.
const FIRST: &str = "round-0/assignments.jsonl";

/// What the folder's reader says, as an error of ours.
pub fn plain<T>(read: Checked<T>) -> Result<T> {
    read.map_err(|stop| match stop {
        Stop::Failed(error) => error,
        Stop::Differs(difference, _) => Error::data(difference.to_string()),
    })
}
