//! What pipelines want of a verb that checks: a JUnit file of its checks, and under GitHub Actions annotations and a summary.

mod check;
mod github;
mod junit;

use std::path::PathBuf;

use crate::error::Result;
use crate::fsio::Target;
use crate::ui::Ui;

pub use check::{Check, Checks, Outcome};

/// Where the checks are written for pipelines.
#[derive(clap::Args, Clone, Debug)]
pub struct CheckArgs {
    /// Write the checks as a JUnit file too, which pipelines show; replaced if it is there
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
}

impl CheckArgs {
    /// Writes checks where they are asked for, and tells GitHub Actions, if that is where this runs.
    pub fn tell(&self, checks: &Checks, ui: &Ui) -> Result<()> {
        if let Some(path) = &self.junit {
            let target = Target::new(Some(path), true);
            target.check(false)?;
            target.write_text(&junit::xml(checks))?;
        }
        github::tell(checks, ui)
    }
}
