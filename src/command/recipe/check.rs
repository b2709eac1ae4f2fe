//! `l402 recipe check`: everything that is wrong, at once.

use std::path::{Path, PathBuf};

use crate::artifact::{Recipe, recipe_text};
use crate::error::{Error, Kind, Result};
use crate::fsio::read_text;
use crate::ui::Ui;

/// Say everything that is wrong with recipes: file, line, field, what was expected and what was found.
///
/// Nothing is written to standard output. With 0 all of them are recipes; with 65 one at least is none. A file that cannot be read
/// (66, 74) keeps no other from being checked.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Recipes [default: the run.toml of --run]
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

/// Runs the verb.
pub fn run(args: &Args, ui: &Ui) -> Result<()> {
    let (mut faults, mut bad, mut unread) = (0, 0, None);
    for path in &args.files {
        match check(path, ui) {
            Ok(0) => {}
            Ok(found) => {
                faults += found;
                bad += 1;
            }
            Err(error) => {
                if unread.is_some() {
                    ui.error(&error);
                }
                unread = unread.or(Some(error));
            }
        }
    }
    match (faults, unread) {
        (0, None) => Ok(()),
        (0, Some(error)) => Err(error),
        (n, unread) => {
            unread.iter().for_each(|error| ui.error(error));
            let (many, files) = (if n == 1 { "error" } else { "errors" }, if bad == 1 { "file" } else { "files" });
            Err(Error::data(format!("{n} {many} in {bad} {files}")))
        }
    }
}

/// Says what is wrong with a file; how much it was.
fn check(path: &Path, ui: &Ui) -> Result<usize> {
    let text = match read_text(path) {
        // What is no text, or too long, is an error like others of this file.
        Err(error) if error.kind() == Kind::Data => {
            ui.error(&error);
            return Ok(1);
        }
        text => text?,
    };
    let faults = recipe_text::faults(&text);
    for fault in &faults {
        let line = fault.line.map_or(String::new(), |line| format!("line {line}: "));
        let error = Error::data(format!("{}: {line}{}", path.display(), fault.what));
        ui.error(&fault.hint.iter().fold(error, |error, hint| error.hint(hint)));
    }
    if faults.is_empty() {
        let recipe = Recipe::parse(&text).map_err(|e| e.at(path.display()))?;
        ui.say(format!("{}: a recipe, run {}", path.display(), recipe.digest()));
    }
    Ok(faults.len())
}
