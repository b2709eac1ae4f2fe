//! Arguments that several verbs take.

use std::path::PathBuf;

use clap::Args;

use crate::fsio::Target;

/// Where a verb's artifact goes.
#[derive(Args, Clone, Debug)]
pub struct OutputArgs {
    /// Output file, written beside and renamed; `*.zst` is compressed [default: standard output]
    #[arg(help_heading = "Output", short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Replace an output that exists and differs
    #[arg(help_heading = "Output", long)]
    pub force: bool,
}

impl OutputArgs {
    /// The output target.
    pub fn target(&self) -> Target {
        Target::new(self.output.as_deref(), self.force)
    }
}

/// Where a verb's output folder goes.
#[derive(Args, Clone, Debug)]
pub struct OutputDirArgs {
    /// Output folder, built beside and renamed
    #[arg(help_heading = "Output", short, long, value_name = "DIR")]
    pub output: PathBuf,
    /// Replace a folder that exists and differs
    #[arg(help_heading = "Output", long)]
    pub force: bool,
}

/// Parties beside the workers: their keys and private folders are called so.
pub const RESERVED: [&str; 3] = ["coordinator", "judge", "payer"];

/// The lists and records that a short form would use, and that can be left out on purpose.
pub const LEFT_OUT: [&str; 5] = ["closing", "commitments", "findings", "held", "reveals"];

/// What is left out on purpose.
#[derive(Args, Clone, Debug)]
pub struct WithoutArgs {
    /// In a run folder: leave this list out, though work or pay depends on it
    #[arg(long, value_name = "LIST", value_parser = LEFT_OUT)]
    pub without: Vec<String>,
}

/// A worker id, as `--worker` takes it.
pub fn worker_id(text: &str) -> Result<String, String> {
    if crate::artifact::valid_worker_id(text) {
        Ok(text.to_owned())
    } else {
        Err(format!("expected {}", crate::artifact::WORKER_ID))
    }
}
