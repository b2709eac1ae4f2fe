//! What `l402 settle` is asked.

use std::path::PathBuf;

use crate::command::args::OutputArgs;
use crate::command::escrow::EscrowArgs;

/// Decide what was earned and reveal the preimages for it; or, as the worker, claim it.
///
/// The judge: each offer gets one signed `verdict` record, forever, and the worker's preimages go to a file of their own
/// in the folder that --reveal names. Send each worker its file, and nobody else: whoever routes a payment could claim
/// with it. Settled again, the same files come out; with other scores that is refused.
///
/// The worker, with --claim: what was earned is settled, everything else is cancelled, and a signed `claimed` record says
/// that the money is there. Exit status 75: it is on its way.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The round's scores
    #[arg(long, value_name = "FILE", required_unless_present = "claim")]
    pub(super) scores: Option<PathBuf>,
    /// The offers; as often as there are files
    #[arg(long, value_name = "FILE", required_unless_present = "claim")]
    pub(super) offers: Vec<PathBuf>,
    /// The workers' `held` records; as often as there are files, or a folder with its `*.jsonl`. Each file is read by
    /// itself, and one that is malformed is left out
    #[arg(long, value_name = "FILE|DIR", required_unless_present = "claim")]
    pub(super) held: Vec<PathBuf>,
    /// Commitments, the closing of their list, and what opens them; given as `--held` is
    #[arg(long, value_name = "FILE|DIR", required_unless_present = "claim")]
    pub(super) commitments: Vec<PathBuf>,
    /// The findings that the scores rest on; the verdict names their digest
    #[arg(long, value_name = "FILE")]
    pub(super) findings: Option<PathBuf>,
    /// Where each worker's preimages go: a folder for the judge alone, outside of what is published
    #[arg(long, value_name = "DIR", required_unless_present = "claim")]
    pub(super) reveal: Option<PathBuf>,
    /// The worker: claim with the file that the judge sent
    #[arg(long, value_name = "REVEAL",
          conflicts_with_all = ["scores", "offers", "held", "commitments", "findings", "reveal"])]
    pub(super) claim: Option<PathBuf>,
    /// The worker: look again until the money is there, for so many seconds [default with the flag: 600]
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "600", require_equals = true,
          value_parser = clap::value_parser!(u64).range(..1 << 32), requires = "claim")]
    pub(super) wait: Option<u64>,
    #[command(flatten)]
    pub(super) escrow: EscrowArgs,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}
