//! Parses, runs, and turns an error into an exit code.

use std::process::ExitCode;

use l402::cli;
use l402::fsio::{leave_nothing_behind, wait_if_ending};

fn main() -> ExitCode {
    match cli::complete() {
        Ok(false) => {}
        Ok(true) => return ExitCode::SUCCESS,
        Err(error) => return ExitCode::from(error.kind().exit_code()),
    }
    let cli = match cli::parse() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let ui = l402::ui::Ui::new(cli.global.quiet, cli.global.verbose);
    let done = leave_nothing_behind().and_then(|()| cli.run(&ui));
    wait_if_ending();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            ui.error(&error);
            ExitCode::from(error.kind().exit_code())
        }
    }
}
