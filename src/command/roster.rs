//! `l402 roster`: who works, as records.

use super::members::{lines, member};
use crate::command::args::{OutputArgs, RESERVED};
use crate::data::{Member, Roster};
use crate::error::{Error, Kind, Result};
use crate::fsio::Outcome;
use crate::ui::Ui;

/// Write the list of who works, one `roster` record a worker, in the order of the command line.
///
/// A key is what the worker's signatures are checked with: its node's id, or what `l402 key` prints. FILE is a file that holds it.
/// Without one a worker's commitments cannot be checked, which is for experiments of one's own.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Workers, each with its public key or with a file that holds it
    #[arg(value_name = "ID[=KEY|FILE]", required = true)]
    workers: Vec<String>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the verb.
pub fn run(args: &Args, ui: &Ui) -> Result<()> {
    let target = args.output.target();
    target.check(false)?;
    let members = args.workers.iter().map(|text| member(text)).collect::<Result<Vec<Member>>>()?;
    if let Some(reserved) = members.iter().find(|member| RESERVED.contains(&member.worker.as_str())) {
        return Err(Error::usage(format!("{}: the name of a party of its own", reserved.worker)));
    }
    Roster::new(members.clone()).map_err(|e| Error::new(Kind::Usage, e.to_string()))?;
    if target.write_text(&lines(&members)?)? == Outcome::UpToDate {
        ui.say(format!("{}: up to date", target.name()));
    }
    Ok(())
}
