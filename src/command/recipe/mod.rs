//! `l402 recipe`: recipes before and beside a run.

mod check;
mod diff;
mod show;

use crate::error::Result;
use crate::ui::Ui;

/// Recipes: what is wrong with one, what it says, and in what two differ.
///
/// A recipe is a TOML file that holds everything that decides a run's bits (docs/recipe.md). The digest of its effective values is
/// the run's id: comments, layout and spelled-out defaults change nothing, any value does.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

// Without comments of its own: help is the documentation of the arguments.
#[derive(clap::Subcommand, Debug)]
enum What {
    Check(check::Args),
    Show(show::Args),
    Diff(diff::Args),
}

/// Runs the verb.
pub fn run(args: &Args, ui: &Ui) -> Result<()> {
    match &args.what {
        What::Check(args) => check::run(args, ui),
        What::Show(args) => show::run(args),
        What::Diff(args) => diff::run(args),
    }
}
