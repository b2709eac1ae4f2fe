//! Parses, runs, and turns an error into an exit code.

use std::panic::catch_unwind;
use std::process::ExitCode;

use l402::cli;
use l402::fsio::{leave_nothing_behind, wait_if_ending};
use l402::ui::{Ui, say_panics};

fn main() -> ExitCode {
    say_panics();
    catch_unwind(work).unwrap_or_else(|_| ExitCode::from(cli::PANICKED))
}

fn work() -> ExitCode {
    match cli::complete() {
        Ok(false) => {}
        Ok(true) => return ExitCode::SUCCESS,
        Err(error) => {
            Ui::new(false, 0).error(&error);
            return ExitCode::from(error.kind().exit_code());
        }
    }
    // What a short form puts together is written while the command line is parsed.
    let begun = leave_nothing_behind();
    let cli = match cli::parse() {
        Ok(cli) => cli,
        Err(code) => {
            wait_if_ending();
            return code;
        }
    };
    let ui = Ui::new(cli.global.quiet, cli.global.verbose);
    let done = begun.and_then(|()| cli.run(&ui));
    wait_if_ending();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            ui.error(&error);
            ExitCode::from(error.kind().exit_code())
        }
    }
}
