//! Reading many updates: hostile ones are left out by name, and the round goes on.

use std::path::PathBuf;

use crate::artifact::{Digest, Recipe};
use crate::codec::Update;
use crate::error::{Kind, Result};
use crate::fsio::Source;
use crate::model::Layout;
use crate::score::{Candidate, in_order, read_update};
use crate::ui::Ui;

/// What was given as updates.
pub struct Given {
    /// Those that are, by ascending worker id.
    pub updates: Vec<Update>,
    /// The other files, and why.
    pub left_out: Vec<(PathBuf, String)>,
}

/// Reads the updates, by ascending worker id. A malformed one, or one that is not of this model and run, is left out
/// with a line that says why: nobody can stop a round by sending rubbish. A missing file is an error.
pub fn read(paths: &[PathBuf], recipe: &Recipe, layout: &Layout, ui: &Ui) -> Result<Given> {
    let (mut given, mut left_out) = (Vec::new(), Vec::new());
    for path in paths {
        match Source::open(path).and_then(|source| read_update(source, recipe, layout)) {
            Ok(update) => given.push(update),
            Err(error) if matches!(error.kind(), Kind::Data | Kind::Refused) => {
                ui.say(format!("left out: {error}"));
                left_out.push((path.clone(), error.to_string()));
            }
            Err(error) => return Err(error),
        }
    }
    let updates = in_order(
        given,
        |update| (update.worker(), update.digest()),
        |again, first| ui.say(format!("left out: {}: the same update as {}", again.file(), first.file())),
    );
    Ok(Given { updates, left_out })
}

/// Why an update is none of this round's, or was made from another model.
pub fn foreign(update: &Candidate, recipe: &Recipe, theta: &Digest, round: u64) -> Result<Option<String>> {
    match update.foreign(&recipe.digest(), round) {
        None => update.made_from_another(theta, None),
        reason => Ok(reason),
    }
}
