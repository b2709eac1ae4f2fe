//! What people see: messages and progress on standard error, tables on standard output. All of it passes here, and with it
//! whatever others have put into names, metadata and records: [`escape`] is applied to every line.

mod bug;
pub mod escape;
mod page;
mod runner;
mod stream;

use std::io::{IsTerminal, Write, stderr};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::error::Error;

pub use bug::say_panics;
pub use page::{Page, check, print};
pub use stream::Stream;

/// The talk of a run.
#[derive(Clone, Copy, Debug)]
pub struct Ui {
    quiet: bool,
    verbose: u8,
}

impl Ui {
    /// `quiet` leaves errors only, `verbose` counts the `-v`.
    pub fn new(quiet: bool, verbose: u8) -> Ui {
        Ui { quiet, verbose }
    }

    /// Something worth saying once, in a line.
    pub fn say(&self, text: impl std::fmt::Display) {
        if !self.quiet {
            line(&format!("l402: {text}"));
        }
    }

    /// A detail, with `-v`.
    pub fn detail(&self, text: impl std::fmt::Display) {
        if self.verbose > 0 {
            line(&format!("l402: {text}"));
        }
    }

    /// Lines of our own making, a table.
    pub fn lines(&self, text: &str) {
        if !self.quiet {
            text.lines().for_each(line);
        }
    }

    /// A line that a pipeline's runner obeys: it must begin the line, and has its own way to escape.
    pub fn command(&self, text: &str) {
        write(text);
    }

    /// What is wrong and ends nothing, and what to do about it.
    pub fn warn(&self, error: &Error) {
        if !self.quiet {
            self.error(error);
        }
    }

    /// An error, and its hint.
    pub fn error(&self, error: &Error) {
        line(&format!("l402: {error}"));
        if let Some(hint) = error.advice() {
            line(&format!("l402: hint: {hint}"));
        }
    }

    /// A bar for long work, on a terminal only.
    pub fn progress(&self, what: &'static str, total: u64) -> Progress {
        let hidden = self.quiet || !stderr().is_terminal();
        let target = if hidden { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(Some(total), target);
        let style = ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len} {eta} {msg}")
            .expect("the template is a constant");
        bar.set_style(style);
        bar.set_prefix(what);
        Progress(bar)
    }
}

/// A progress bar; it disappears when dropped.
pub struct Progress(ProgressBar);

impl Progress {
    /// One step further.
    pub fn tick(&self, message: impl AsRef<str>) {
        self.0.set_message(escape::line(message.as_ref()));
        self.0.inc(1);
    }

    /// To this position.
    pub fn at(&self, position: u64) {
        self.0.set_position(position);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// A line that nobody but people read.
fn line(text: &str) {
    write(&runner::unheard(text));
}

fn write(text: &str) {
    // No page of it either.
    let shown: String = escape::line(text).chars().take(4000).collect();
    // Nobody is left to be told when standard error is closed.
    let _ = writeln!(stderr(), "{shown}");
}
