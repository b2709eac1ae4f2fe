//! `l402 explain`: why a worker got what it got in a round.

use super::run_folder;
use crate::artifact::record;
use crate::command::args::OutputArgs;
use crate::error::Result;
use crate::report::{Explanation, GateState, explain};
use crate::ui::{Page, Ui};

/// Say why a worker got what it got in a round.
///
/// A line for each gate between the assignment and the money, with its figures, from the public files of a run folder
/// alone; the first that was not passed is marked, and a sentence at the end says what follows from it and what to do.
///
/// Nothing is trained, replayed or measured again: it says what the files say. Whether they are true is for `l402 audit`.
///
/// Exit status 0: it could explain; 66: there is no such round or worker.
#[derive(clap::Args, Debug)]
#[command(override_usage = "l402 explain [OPTIONS] [RUN] ROUND WORKER")]
pub struct Args {
    /// The run folder [default: as of --run]; the round; the worker
    #[arg(value_name = "[RUN] ROUND WORKER", num_args = 2..=3, required = true)]
    what: Vec<String>,
    /// Print one record
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the verb.
pub fn run(args: &Args, ui: &Ui) -> Result<()> {
    let (run, round, worker) = run_folder::split(&args.what)?;
    let book = run_folder::open(run.as_deref(), ui)?;
    let found = explain(&book, round, worker)?;
    if args.json || args.output.output.is_some() {
        return args.output.target().write_text(&record::line(&found)?).map(drop);
    }
    page(&found).print()
}

fn page(found: &Explanation) -> Page {
    let mut page = Page::default();
    page.line(format!(
        "round {}, {}: by the files as they are, nothing was computed again (that is `l402 audit`)",
        found.round, found.worker
    ));
    page.line("");
    for gate in &found.gates {
        let mark = match gate.state {
            GateState::Passed => "ok",
            GateState::Failed => "no",
            GateState::Waiting => "..",
            GateState::Unknown => "-",
        };
        let first = if found.failed.as_ref() == Some(&gate.gate) { ">" } else { " " };
        page.line(format!("{first} {mark:<2}  {:<10} {}", gate.gate, gate.says));
    }
    page.line("");
    page.line(format!("{}.", found.why));
    page.line(format!("What to do: {}.", found.advice));
    page
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn the_run_folder_may_be_left_out() {
        let words = |words: &[&str]| words.iter().map(|w| w.to_string()).collect::<Vec<_>>();
        let two = words(&["3", "ann"]);
        assert_eq!(run_folder::split(&two).unwrap(), (None, 3, "ann"));
        let three = words(&["run", "0", "bob"]);
        assert_eq!(run_folder::split(&three).unwrap(), (Some(PathBuf::from("run")), 0, "bob"));
        assert!(run_folder::split(&words(&["run", "bob"])).is_err());
    }
}
