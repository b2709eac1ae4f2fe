//! `l402 report`: how a run went, in one file.

use std::path::{Path, PathBuf};

use super::run_folder;
use crate::command::args::OutputArgs;
use crate::error::{Error, Result};
use crate::fsio::{OutDir, Source, Target};
use crate::report::{Book, Figures, Logs, drawings, figures, overview, page, tables};
use crate::ui::{Ui, escape};

/// Write how a run went, in one file: losses, pay, verdicts, bytes, heights, as plots and tables.
///
/// One HTML file without scripts and without anything from elsewhere, light and dark, on a telephone and on paper. Every plot has
/// its numbers beside it. A run that goes on can be reported too.
///
/// It shows what the files say. Whether they are true is for `l402 audit`.
///
/// Logs of training are JSON Lines with records of the type `step`: those in the run folder named `*.log.jsonl`, and those of
/// --log. They may still be growing.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The run folder [default: as of --run]
    #[arg(value_name = "RUN")]
    run: Option<PathBuf>,
    /// Logs of training beside those in the run folder
    #[arg(long, value_name = "FILE", num_args = 1..)]
    log: Vec<PathBuf>,
    /// Write each plot into this folder, as an SVG file, and overview.svg with the first ones beside each other
    #[arg(long, value_name = "DIR")]
    svg: Option<PathBuf>,
    /// Write each table into this folder, whole, as comma-separated values
    #[arg(long, value_name = "DIR")]
    csv: Option<PathBuf>,
    /// Write the numbers as JSON in place of the page
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the verb.
pub fn run(args: &Args, ui: &Ui) -> Result<()> {
    // Without an output of its own the page is asked for where no folder is.
    let whole = args.json || args.output.output.is_some() || args.svg.is_none() && args.csv.is_none();
    let target = args.output.target();
    if whole {
        target.check(false)?;
    }
    let book = run_folder::open(args.run.as_deref(), ui)?;
    let mut figures = figures(&book);
    read_logs(args, &book, &mut figures, ui)?;
    if figures.malformed > 0 {
        ui.say(format!("{} lines or files are nothing of a run's, and were passed over", figures.malformed));
    }
    if whole {
        let text = match args.json {
            true => {
                escape::json(&serde_json::to_string(&figures).map_err(|e| Error::bug(format!("report: {e}")))?) + "\n"
            }
            false => page(&figures),
        };
        target.write_text(&text)?;
    }
    let force = args.output.force;
    if let Some(folder) = &args.svg {
        let files = drawings(&figures).into_iter().map(|drawing| (format!("{}.svg", drawing.name), drawing.file()));
        let first = std::iter::once(("overview.svg".to_owned(), overview(&figures)));
        write_folder(folder, force, first.chain(files))?;
    }
    if let Some(folder) = &args.csv {
        write_folder(
            folder,
            force,
            tables(&figures).into_iter().map(|table| (format!("{}.csv", table.name), table.csv())),
        )?;
    }
    Ok(())
}

/// The most that is read of a log, in bytes.
const LOG: u64 = 4 << 30;

/// The ending of the logs in a run folder.
const LOGS: &str = ".log.jsonl";

fn read_logs(args: &Args, book: &Book, figures: &mut Figures, ui: &Ui) -> Result<()> {
    let mut logs = Logs::of(&figures.run, figures.steps);
    let own = book.run.names().iter().filter(|name| name.ends_with(LOGS)).map(|name| book.run.path(name));
    for path in own.chain(args.log.iter().cloned()) {
        logs.read(Source::text(&path)?, LOG).map_err(|error| Error::io(path.display(), &error))?;
    }
    if logs.passed_over > logs.not_finite {
        ui.say(format!(
            "logs: {} lines are of another run, or nothing",
            logs.passed_over.saturating_sub(logs.not_finite)
        ));
    }
    if logs.not_finite > 0 {
        ui.say(format!("logs: {} steps have a loss that is no finite number, and are not drawn", logs.not_finite));
    }
    figures.logs = logs.finish();
    Ok(())
}

fn write_folder(folder: &Path, force: bool, files: impl Iterator<Item = (String, String)>) -> Result<()> {
    let out = OutDir::create(folder, force)?;
    for (name, text) in files {
        Target::new(Some(&out.path(&name)), false).write_text(&text)?;
    }
    out.finish().map(drop)
}
