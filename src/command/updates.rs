//! Reading many updates: hostile ones are left out by name, and the round goes on.

use std::collections::HashSet;
use std::path::PathBuf;

use crate::artifact::{Digest, Reader, Recipe};
use crate::codec::Update;
use crate::engine::Engine;
use crate::error::{Context, Error, Kind, Result};
use crate::fsio::Source;
use crate::model::{Layout, ModelFolder};
use crate::optimizer::outer_step;
use crate::ui::Ui;

/// Reads the updates, by ascending worker id. A malformed one, or one that is not of this model and run, is left out
/// with a line that says why: nobody can stop a round by sending rubbish. A missing file is an error.
pub fn read(paths: &[PathBuf], recipe: &Recipe, layout: &Layout, ui: &Ui) -> Result<Vec<Update>> {
    let mut given = Vec::new();
    for path in paths {
        let source = Source::open(path)?;
        match sound(source, recipe, layout) {
            Ok(update) => given.push(update),
            Err(error) if matches!(error.kind(), Kind::Data | Kind::Refused) => {
                ui.say(format!("left out: {error}"));
            }
            Err(error) => return Err(error),
        }
    }
    given.sort_by(|a, b| (a.worker(), a.digest()).cmp(&(b.worker(), b.digest())));
    // Whoever sends another's update as it is adds nothing to it, and takes nothing from it.
    given.dedup_by(|again, first| {
        let same = again.digest() == first.digest();
        if same {
            ui.say(format!("left out: {}: the same update as {}", again.file(), first.file()));
        }
        same
    });
    Ok(given)
}

/// At most one update a worker can count. Where lists of commitments or findings decide, a second one never does.
pub fn one_a_worker<'a>(counting: impl Iterator<Item = &'a Update>) -> Result<()> {
    let mut seen = HashSet::new();
    for update in counting {
        if !seen.insert(update.worker()) {
            let twice = format!("{}: a second update of worker {}", update.file(), update.worker());
            return Err(Error::data(twice).hint("--commitments or --findings say which one counts"));
        }
    }
    Ok(())
}

fn sound(source: Source, recipe: &Recipe, layout: &Layout) -> Result<Update> {
    let update = Update::open_for(recipe, Reader::open(source)?, layout.shapes())?;
    update.verify()?;
    Ok(update)
}

/// Theta after the outer step with this update alone.
pub fn apply_alone(update: &Update, folder: &ModelFolder, alpha: f32) -> Result<Vec<f32>> {
    let mut parameters = folder.parameters.to_vec();
    for tensor in &folder.layout.tensors {
        let sent = vec![update.decode(&tensor.name)?];
        let values = &mut parameters[tensor.range()];
        outer_step(Engine::detect(), &tensor.name, values, sent, alpha).at(update.file())?;
    }
    Ok(parameters)
}

/// Parses a beacon or digest on the command line.
pub fn digest(text: &str) -> std::result::Result<Digest, String> {
    text.parse().map_err(|e: Error| e.to_string())
}
