//! A short form on its way to the command line that it stands for.

use std::cell::OnceCell;
use std::fs;
use std::path::Path;

use super::given::Given;
use super::run::{Run, is_regular};
use crate::artifact::{Digest, Recipe, Room, record};
use crate::command::args::{LEFT_OUT, RESERVED, worker_id};
use crate::data::{Assignment, edited};
use crate::error::{Error, IoContext, Kind, Result};
use crate::fsio::{self, Target, random, read_text_within};
use crate::ui::Ui;

/// A short form: the run folder, the round, and the command line so far.
pub struct Form {
    pub(super) run: Run,
    pub(super) round: u64,
    pub(super) given: Given,
    pub(super) ui: Ui,
    pub(super) without: Vec<String>,
    recipe: OnceCell<Recipe>,
}

impl Form {
    pub(super) fn new(run: Run, round: u64, mut given: Given, ui: Ui) -> Result<Form> {
        let without: Vec<String> =
            given.remove("without").into_iter().map(|list| list.to_string_lossy().into_owned()).collect();
        if let Some(unknown) = without.iter().find(|list| !LEFT_OUT.contains(&list.as_str())) {
            let expected = LEFT_OUT.join(", ");
            return Err(Error::usage(format!("--without {unknown}: expected one of {expected}")));
        }
        fsio::found(&run.of(round, ""));
        let first = run.of(0, "assignments.jsonl");
        let begins = round == 0 && given.verb == ["assign"];
        if is_regular(&first) && !begins && !given.has("recipe") {
            let assigned = record::read::<Assignment>(&first).unwrap_or_default();
            if let Some(error) = edited(run.recipe().display(), &run.read_recipe()?.digest(), &assigned) {
                return Err(error);
            }
        }
        Ok(Form { run, round, given, ui, without, recipe: OnceCell::new() })
    }

    /// The run's recipe, or the one that a flag names.
    pub(super) fn recipe(&self) -> Result<&Recipe> {
        if self.recipe.get().is_none() {
            let recipe = match self.given.value("recipe") {
                Some(path) => Recipe::load(path.as_ref())?,
                None => self.run.read_recipe()?,
            };
            let _ = self.recipe.set(recipe);
        }
        self.recipe.get().ok_or_else(|| Error::bug("a recipe that was read is not there"))
    }

    /// The worker that the short form names after the round.
    pub(super) fn worker(&mut self) -> Result<String> {
        let (verb, round) = (self.given.verb.join(" "), self.round);
        if self.given.rest.is_empty() {
            return match self.given.value("worker") {
                Some(worker) => Ok(worker.to_string_lossy().into_owned()),
                None => Err(Error::usage(format!("expected a worker: `l402 {verb} {round} WORKER`"))),
            };
        }
        let worker = self.given.rest.remove(0).to_string_lossy().into_owned();
        worker_id(&worker).map_err(|expected| Error::usage(format!("{worker}: {expected}")))?;
        if RESERVED.contains(&worker.as_str()) {
            return Err(Error::usage(format!("{worker}: the name of a party of its own, and no worker's")));
        }
        Ok(worker)
    }

    /// Whether this list or record is left out on purpose.
    pub(super) fn without(&self, what: &str) -> bool {
        self.without.iter().any(|without| without == what)
    }

    /// Recipe, model and round.
    pub(super) fn model(&mut self) {
        self.given.fill("recipe", self.run.recipe());
        self.given.fill("model", self.run.theta(self.round));
        let base = self.run.path("base");
        if base.is_dir() {
            self.given.fill("base", base);
        }
        self.given.fill("round", self.round.to_string());
    }

    /// The assignments and the pinned coordinator.
    pub(super) fn assignments(&mut self) -> Result<()> {
        if !self.given.has("assignments") {
            let path = self.run.of(self.round, "assignments.jsonl");
            if !path.is_file() {
                let what = format!("{}: no such file: round {} has not begun", path.display(), self.round);
                return Err(Error::missing(what).hint(format!("`l402 assign {}` begins it", self.round)));
            }
            self.given.add("assignments", path);
        }
        if !self.given.has("coordinator")
            && let Some(coordinator) = self.run.public("coordinator")?
        {
            self.given.add("coordinator", coordinator);
        }
        Ok(())
    }

    /// The pinned judge.
    pub(super) fn judge(&mut self) -> Result<()> {
        if !self.given.has("judge") {
            let judge = self.key(self.run.judge())?;
            self.given.add("judge", judge);
        }
        Ok(())
    }

    /// The pinned judge, where that is not the coordinator.
    pub(super) fn judge_apart(&mut self) -> Result<()> {
        if self.run.judge() != "coordinator" && self.run.there(self.round, "commitments.jsonl").is_some() {
            self.judge()?;
        }
        Ok(())
    }

    /// A party's public key, which must be there.
    pub(super) fn key(&self, party: &str) -> Result<String> {
        self.run.public(party)?.ok_or_else(|| {
            let path = self.run.path(format!("{party}.pub"));
            Error::missing(format!("{}: no such file: no key is taken on trust", path.display()))
        })
    }

    /// The round's folder, made where it is not there.
    pub(super) fn round_folder(&self) -> Result<()> {
        let folder = self.run.of(self.round, "");
        fs::create_dir_all(&folder).path(&folder)
    }

    /// A list or record of the round as the output.
    pub(super) fn output(&mut self, name: &str) {
        self.given.fill("output", self.run.of(self.round, name));
    }

    /// A worker's file of the round as an output.
    pub(super) fn output_of(&mut self, flag: &str, worker: &str, kind: &str) {
        self.given.fill(flag, self.run.of(self.round, &format!("{worker}.{kind}")));
    }

    /// The beacon of the round that stands in its file. One that is given goes there first, and what stands there stays: whoever
    /// draws again must draw the same.
    pub(super) fn beacon(&mut self, file: &str) -> Result<()> {
        let path = self.run.of(self.round, file);
        let which = file.trim_start_matches("beacon-");
        let (made_by, bound) =
            (format!("`l402 beacon {} {which}`", self.round), self.recipe()?.verify.beacons_are_bound());
        let given = self.given.remove("beacon").pop().map(|given| given.to_string_lossy().into_owned());
        // A file that is named is what draws.
        if let Some(file) = given.as_deref().filter(|given| given.contains('/')) {
            self.given.add("beacon", file);
            return Ok(());
        }
        let hex = |hex: &str| hex.parse::<Digest>().map_err(|e| Error::usage(format!("--beacon: {e}")));
        given.as_deref().filter(|given| *given != "random").map_or(Ok(()), |given| hex(given).map(drop))?;
        let is_there = path.is_file();
        if bound && given.is_some() && !is_there {
            let what = "--beacon: the recipe has beacons bound to blocks (verify.beacons)";
            return Err(Error::refused(what).hint(format!("{made_by} makes it")));
        }
        let found = match (is_there, given.as_deref()) {
            (true, given) => {
                let found = read(&path)?;
                if let Some(given) = given.filter(|given| *given != "random" && *given != found) {
                    let expected = if found.starts_with('{') { "the beacon that is there, of a block" } else { &found };
                    let what = format!("{}: exists: expected {expected}, found --beacon {given}", path.display());
                    return Err(Error::new(Kind::Exists, what));
                }
                found
            }
            (false, None) => {
                return Err(Error::missing(format!("{}: no such file", path.display())).hint(match bound {
                    true => format!("{made_by} makes it"),
                    false => format!(
                        "{made_by} makes it of a block; --beacon HEX gives what nobody knew before, --beacon random draws it"
                    ),
                }));
            }
            (false, Some(given)) => {
                let beacon = match given {
                    "random" => Digest(random()?),
                    given => hex(given)?,
                };
                match Target::new(Some(&path), false).write_text(&format!("{beacon}\n")) {
                    Ok(_) => beacon.to_string(),
                    // Another has drawn it at the same time.
                    Err(error) if error.kind() == Kind::Exists && given == "random" => read(&path)?,
                    Err(error) => return Err(error),
                }
            }
        };
        match found.starts_with('{') {
            true => self.given.add("beacon", path),
            false => self.given.add("beacon", found),
        }
        Ok(())
    }
}

/// What a beacon's file holds: 64 hex digits, or records.
fn read(path: &Path) -> Result<String> {
    if !is_regular(path) {
        return Err(Error::usage(format!("{}: expected a regular file", path.display())));
    }
    let text = read_text_within(path, Room::any().bytes)?;
    if text.starts_with('{') {
        return Ok(text);
    }
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let wrong = |_: Error| Error::data(format!("{}: expected a beacon, 64 lowercase hex digits", path.display()));
    text.parse::<Digest>().map(|beacon| beacon.to_string()).map_err(wrong)
}
