//! What of a dispute is asked for.

use std::path::{Path, PathBuf};

use crate::command::args::OutputArgs;
use crate::error::Result;
use crate::verify::trace::TraceFile;

/// What of a dispute is asked for.
#[derive(clap::Args, Debug)]
pub struct DisputeArgs {
    /// Settle a dispute: the other party's leaves, and, when the step is known, its trace of that step. One's own leaves
    /// are `--leaves`, or are computed
    #[arg(help_heading = "A dispute", long, value_name = "FILE", conflicts_with = "beacon")]
    pub(super) against: Vec<PathBuf>,
    /// Write the trace of this inner step, counted from 0, for the other party
    #[arg(help_heading = "A dispute", long, value_name = "STEP", conflicts_with_all = ["against", "beacon"])]
    pub(super) trace: Option<u32>,
    /// With --trace: instead, write what this operator of the step reads, as safetensors
    #[arg(help_heading = "A dispute", long, value_name = "N", requires = "trace")]
    pub(super) operator: Option<usize>,
    /// Check the transcript of a dispute that others had: no step is run
    #[arg(help_heading = "A dispute", long, value_name = "FILE", conflicts_with_all = ["against", "trace", "beacon"])]
    pub(super) transcript: Option<PathBuf>,
    /// What the one operator reads, as --operator wrote it: for --transcript, to execute it; for --against, instead of
    /// computing it
    #[arg(help_heading = "A dispute", long, value_name = "FILE")]
    pub(super) operands: Option<PathBuf>,
}

impl DisputeArgs {
    /// Whether any of it is asked for.
    pub fn any(&self) -> bool {
        !self.against.is_empty() || self.trace.is_some() || self.transcript.is_some()
    }
}

/// What else the command line says.
pub struct Asked<'a> {
    /// What of a dispute is asked for.
    pub args: &'a DisputeArgs,
    /// The leaves of who asks.
    pub leaves: Option<&'a Path>,
    /// The folder of kept states, to begin at the last one before a step.
    pub openings: Option<&'a Path>,
    /// Where the trace, the operands or the transcript goes.
    pub output: &'a OutputArgs,
    /// Signs one's own traces, where somebody vouches for them.
    pub sign: &'a dyn Fn(&mut TraceFile) -> Result<()>,
}
