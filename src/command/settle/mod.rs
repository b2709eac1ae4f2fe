//! `l402 settle`: verdicts and what they reveal, and the worker's claim.

mod args;
mod claim;
mod judge;

pub use args::Args;

use crate::error::Result;
use crate::ui::Ui;

/// Runs the verb.
pub fn run(args: &Args, ui: &Ui) -> Result<()> {
    match &args.claim {
        Some(reveal) => claim::run(args, reveal, ui),
        None => judge::run(args, ui),
    }
}
