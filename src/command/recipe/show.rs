//! `l402 recipe show`: every field with its value.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use crate::artifact::{Recipe, canonical, recipe_text};
use crate::error::{Context, Result};
use crate::fsio::read_text;
use crate::ui::Page;

/// Print every field of a recipe with its effective value: itself a recipe of the same run.
///
/// A comment behind a value says that the file leaves it out. With --json it is one object: the file, its run, its fields, and the
/// names of those that are defaults.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The recipe [default: the run.toml of --run]
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print JSON, in one line
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(args: &Args) -> Result<()> {
    let text = read_text(&args.file)?;
    let recipe = Recipe::parse(&text).at(args.file.display())?;
    let mut page = Page::default();
    if args.json {
        let defaults = recipe_text::fields_of(&text, &recipe)?.into_iter().filter(|field| field.default);
        let defaults: Vec<String> = defaults.map(|field| field.name).collect();
        let mut shown = Map::new();
        shown.insert("file".into(), json!(args.file.display().to_string()));
        shown.insert("run".into(), json!(recipe.digest().to_string()));
        shown.insert("recipe".into(), recipe.values());
        shown.insert("defaults".into(), json!(defaults));
        page.json(&canonical::json(&Value::Object(shown)));
    } else {
        page.line(format!("# {}, run {}", args.file.display(), recipe.digest()));
        page.lines(&recipe_text::effective(&text, &recipe)?);
    }
    page.print()
}
