//! `l402 recipe diff`: in what two recipes differ.

use std::path::PathBuf;

use serde_json::json;

use crate::artifact::{Recipe, canonical, recipe_text};
use crate::error::{Error, Result};
use crate::ui::Page;

/// Print the fields in which two recipes differ, by their effective values, and whether they are one run.
///
/// With 0 they are the same run, however they are written; with 1 they are two.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// A recipe
    #[arg(value_name = "A")]
    first: PathBuf,
    /// Another
    #[arg(value_name = "B")]
    second: PathBuf,
    /// Print JSON, in one line
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(args: &Args) -> Result<()> {
    let (a, b) = (Recipe::load(&args.first)?, Recipe::load(&args.second)?);
    let differences = recipe_text::differences(&a, &b)?;
    let mut page = Page::default();
    let same = a.digest() == b.digest();
    if args.json {
        let fields: Vec<_> = differences
            .iter()
            .map(|d| {
                let both = [("a", &d.first), ("b", &d.second)].into_iter().filter_map(|(k, v)| Some((k, v.as_ref()?)));
                let mut shown: serde_json::Map<_, _> = both.map(|(k, v)| (k.to_owned(), json!(v))).collect();
                shown.insert("field".into(), json!(d.name));
                serde_json::Value::Object(shown)
            })
            .collect();
        let runs = [a.digest().to_string(), b.digest().to_string()];
        page.json(&canonical::json(&json!({ "differences": fields, "runs": runs, "same": same })));
    } else {
        let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".into());
        for d in &differences {
            page.line(format!("{}: {} | {}", d.name, value(&d.first), value(&d.second)));
        }
        match same {
            true => page.line(format!("run: the same, {}", a.digest())),
            false => page.line(format!("run: {} | {}", a.digest(), b.digest())),
        }
    }
    page.print()?;
    match same {
        true => Ok(()),
        false => {
            let (n, fields) = (differences.len(), if differences.len() == 1 { "field" } else { "fields" });
            let (a, b) = (args.first.display(), args.second.display());
            Err(Error::refused(format!("{a} and {b} are two runs: they differ in {n} {fields}")))
        }
    }
}
