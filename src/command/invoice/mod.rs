//! `l402 invoice`: the escrow before the work.

mod issue;
mod lock;
mod offer;
mod pins;
mod status;

use crate::error::Result;
use crate::ui::Ui;

/// Escrow before the work: offer, issue, lock, status.
///
/// A judge offers a worker a task at most so much pay, in rungs of 8, 4, 2, 1 units. The worker issues a hold invoice
/// for each rung, the payer pays them all and thereby locks the money: it waits at the worker's node for preimages that
/// the judge alone knows. `settle` reveals those of what was earned; the rest goes back.
///
/// Each party has an escrow folder and a Core Lightning node; the worker's needs the hold plugin. Every step stands in
/// the folder's journal before it is taken, and every verb can be run again after whatever stopped it.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    step: Step,
}

// Without comments of its own: a step's help is the documentation of its arguments.
#[derive(clap::Subcommand, Debug)]
#[allow(clippy::large_enum_variant)]
enum Step {
    Offer(offer::Args),
    Issue(issue::Args),
    Lock(lock::Args),
    Status(status::Args),
}

/// Runs the verb.
pub fn run(args: &Args, ui: &Ui) -> Result<()> {
    match &args.step {
        Step::Offer(args) => offer::run(args, ui),
        Step::Issue(args) => issue::run(args, ui),
        Step::Lock(args) => lock::run(args, ui),
        Step::Status(args) => status::run(args, ui),
    }
}

pub use pins::node_id;
pub use status::cancel;
