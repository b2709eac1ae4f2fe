//! Reading many updates: hostile ones are left out by name, and the round goes on.

use std::path::PathBuf;

use crate::artifact::{Digest, Recipe};
use crate::codec::Update;
use crate::error::{Error, Kind, Result};
use crate::fsio::Source;
use crate::model::Layout;
use crate::score::{in_order, read_update};
use crate::ui::Ui;

/// Reads the updates, by ascending worker id. A malformed one, or one that is not of this model and run, is left out
/// with a line that says why: nobody can stop a round by sending rubbish. A missing file is an error.
pub fn read(paths: &[PathBuf], recipe: &Recipe, layout: &Layout, ui: &Ui) -> Result<Vec<Update>> {
    let mut given = Vec::new();
    for path in paths {
        match Source::open(path).and_then(|source| read_update(source, recipe, layout)) {
            Ok(update) => given.push(update),
            Err(error) if matches!(error.kind(), Kind::Data | Kind::Refused) => {
                ui.say(format!("left out: {error}"));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(in_order(
        given,
        |update| (update.worker(), update.digest()),
        |again, first| ui.say(format!("left out: {}: the same update as {}", again.file(), first.file())),
    ))
}

/// Parses a beacon or digest on the command line.
pub fn digest(text: &str) -> std::result::Result<Digest, String> {
    text.parse().map_err(|e: Error| e.to_string())
}
