//! Text for people on standard output.

use std::fmt::Display;

use super::{escape, runner};
use crate::error::Result;
use crate::fsio::Target;

/// Lines for standard output, each shown as one line whatever is in it.
#[derive(Default)]
pub struct Page(String);

impl Page {
    /// Adds a line.
    pub fn line(&mut self, text: impl Display) {
        self.0 += &escape::line(&runner::unheard(&text.to_string()));
        self.0.push('\n');
    }

    /// Adds lines of our own making.
    pub fn lines(&mut self, text: &str) {
        text.lines().for_each(|line| self.line(line));
    }

    /// Adds a JSON value as a line.
    pub fn json(&mut self, text: &str) {
        // In a string a letter can be written otherwise, and outside of one there is none of these.
        let text = if runner::listens() { text.replace("##[", "##\\u005b") } else { text.to_owned() };
        self.0 += &escape::json(&text);
        self.0.push('\n');
    }

    /// Prints it.
    pub fn print(self) -> Result<()> {
        Target::stdout().write_text(&self.0).map(drop)
    }
}

/// Fails where nothing could be printed: before the work whose end it would tell.
pub fn check() -> Result<()> {
    Target::stdout().check(false)
}

/// Prints one line.
pub fn print(text: impl Display) -> Result<()> {
    let mut page = Page::default();
    page.line(text);
    page.print()
}
