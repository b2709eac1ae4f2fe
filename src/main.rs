//! Parses, runs, and turns an error into an exit code.

use std::process::ExitCode;

use l402::cli;

fn main() -> ExitCode {
    let cli = match cli::parse() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let ui = l402::ui::Ui::new(cli.global.quiet, cli.global.verbose);
    match cli.run(&ui) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            ui.error(&error);
            ExitCode::from(error.kind().exit_code())
        }
    }
}
