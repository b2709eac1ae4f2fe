//! `l402 score --consensus`: several validators' signed scores become one.

use std::path::{Path, PathBuf};

use crate::artifact::{Recipe, Room, record};
use crate::command::args::OutputArgs;
use crate::error::{Context, Error, Kind, Result};
use crate::score::{Ballot, merge};
use crate::ui::Ui;

/// Merges the validators' files. A file that is not what it should be stops nobody: it is left out, and named.
pub fn run(path: &Path, files: &[PathBuf], round: Option<u64>, output: &OutputArgs, ui: &Ui) -> Result<()> {
    let recipe = Recipe::load(path)?;
    if recipe.score.validators.is_empty() {
        let what = "the recipe names no validators (score.validators): expected some whose scores to merge";
        return Err(Error::usage(what).at(path.display()));
    }
    let mut ballots = Vec::new();
    for path in files {
        let ballot = record::read_lines_of_many(path, Room::any()).and_then(|(lines, malformed)| {
            let read = || Ballot::read(&lines, &recipe).at(path.display());
            malformed.into_iter().next().map_or_else(read, Err)
        });
        match ballot {
            Ok(ballot) if round.is_none_or(|round| ballot.scores.round.round == round) => ballots.push(ballot),
            Ok(_) => ui.say(format!("left out: {}: of another round", path.display())),
            Err(error) if matches!(error.kind(), Kind::Data | Kind::Refused) => ui.say(format!("left out: {error}")),
            Err(error) => return Err(error),
        }
    }
    let merged = merge(&recipe, ballots, |dissent| ui.say(dissent))?;
    output.target().write_text(&merged.text()?)?;
    Ok(())
}
