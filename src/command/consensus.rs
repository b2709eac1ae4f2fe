//! `l402 score --consensus`: several validators' signed scores become one.

use std::path::{Path, PathBuf};

use crate::artifact::{Recipe, record};
use crate::cli::OutputArgs;
use crate::error::{Context, Error, Kind, Result};
use crate::score::{Ballot, merge};
use crate::ui::Ui;

/// Merges the validators' files. A file that is not what it should be stops nobody: it is left out, and named.
pub fn run(recipe: &Path, files: &[PathBuf], round: Option<u64>, output: &OutputArgs, ui: &Ui) -> Result<()> {
    let recipe = Recipe::load(recipe)?;
    if recipe.score.validators.is_empty() {
        return Err(Error::usage("score.validators: the recipe names none"));
    }
    let mut ballots = Vec::new();
    for path in files {
        let ballot = match record::read_lines_of_many(path) {
            Ok((lines, malformed)) => malformed.into_iter().next().map_or_else(|| Ballot::read(&lines, &recipe), Err),
            Err(error) if error.kind() != Kind::Data => return Err(error),
            Err(error) => Err(error),
        };
        match ballot.at(path.display()) {
            Ok(ballot) if round.is_none_or(|round| ballot.scores.round.round == round) => ballots.push(ballot),
            Ok(_) => ui.say(format!("left out: {}: of another round", path.display())),
            Err(error) => ui.say(format!("left out: {error}")),
        }
    }
    let merged = merge(&recipe, ballots, |dissent| ui.say(dissent))?;
    output.target().write_text(&merged.text()?)?;
    Ok(())
}
