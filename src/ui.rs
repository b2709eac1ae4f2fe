//! What people see: messages and progress on standard error.

use std::io::{IsTerminal, Write, stderr};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::error::Error;

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

    /// Something worth saying once.
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
    pub fn tick(&self, message: impl Into<std::borrow::Cow<'static, str>>) {
        self.0.set_message(message);
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

fn line(text: &str) {
    // What others wrote may stand in a message: no control sequence reaches the terminal, no page of it either.
    let shown: String = text.chars().take(4000).flat_map(printable).collect();
    // Nobody is left to be told when standard error is closed.
    let _ = writeln!(stderr(), "{shown}");
}

fn printable(c: char) -> Vec<char> {
    if c.is_control() && c != '\n' { c.escape_default().collect() } else { vec![c] }
}
