//! The arguments of `l402 commit`.

use std::path::PathBuf;

use crate::command::args::{OutputArgs, WithoutArgs};
use crate::command::beacon::AHEAD;
use crate::command::escrow::EscrowArgs;

/// Commit to an update before anybody sees it, open a commitment, or close the list of them.
///
/// The commitment is signed by the worker's key, or by its Lightning node, and hides the update behind a nonce that only
/// the worker can compute. When all commitments are in, `--reveal` prints the record that opens one; it goes with the
/// update.
///
/// Who closes the list puts down with --receive in which order commitments have come: a chain of signed records, each of which is its
/// worker's receipt. Who copied whom is judged by that order.
///
/// A judge closes the list with --close: it signs which commitments were there, and at which height. What is not in the
/// list came late, and earns nothing. While a worker that was offered pay may still commit, that is a matter of trying
/// again (75).
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The update, as `compress` wrote it
    #[arg(value_name = "UPDATE", required_unless_present_any = ["close", "receive"])]
    pub(super) update: Option<PathBuf>,
    /// The round
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..1 << 53))]
    pub(super) round: u64,
    /// The worker
    #[arg(long, value_name = "ID", value_parser = crate::command::args::worker_id, required_unless_present_any = ["close", "receive"])]
    pub(super) worker: Option<String>,
    /// The worker's signing key, made by `l402 key`; or name a node
    #[arg(long, value_name = "FILE", conflicts_with_all = ["rpc_file", "lightning_dir"])]
    pub(super) key: Option<PathBuf>,
    /// Bind the commitment to the offer that the work was done for, of these; as often as there are files
    #[arg(long, value_name = "FILE")]
    pub(super) offers: Vec<PathBuf>,
    /// Print the record that opens the commitment
    #[arg(long)]
    pub(super) reveal: bool,
    /// The judge: close the list of these commitments; as often as there are files, or a folder with its `*.jsonl`. Each
    /// file is read by itself, and one that is malformed is left out
    #[arg(long, value_name = "FILE|DIR", conflicts_with_all = ["update", "worker", "key", "offers", "reveal"])]
    pub(super) close: Vec<PathBuf>,
    /// Who closes the list: sign that these commitments have come, after those that have; as often as there are files, or a folder
    /// with its `*.jsonl`
    #[arg(long, value_name = "FILE|DIR", requires = "assignments", conflicts_with_all = ["update", "worker", "offers", "reveal", "close"])]
    pub(super) receive: Vec<PathBuf>,
    /// The round's assignments: nobody else's commitment is received
    #[arg(long, value_name = "FILE", requires = "receive")]
    pub(super) assignments: Option<PathBuf>,
    /// A folder for what each worker is sent, ID.receipt
    #[arg(long, value_name = "DIR", requires = "receive")]
    pub(super) receipts: Option<PathBuf>,
    /// The order in which commitments came, as --receive left it: a closing takes what is in it, and a commitment says up to where its
    /// worker has seen it
    #[arg(long, value_name = "FILE", conflicts_with = "receive")]
    pub(super) arrivals: Option<PathBuf>,
    /// Which try at the round the list is of
    #[arg(long, value_name = "N", default_value_t = 0, requires = "close")]
    pub(super) attempt: u32,
    /// Close it though a worker may still commit
    #[arg(long, requires = "close")]
    pub(super) now: bool,
    /// How many blocks after the closing the one comes that beacon b is made of
    #[arg(long, value_name = "BLOCKS", requires = "close", default_value_t = AHEAD, value_parser = clap::value_parser!(u32).range(1..=2016))]
    pub(super) ahead: u32,
    #[command(flatten)]
    pub(super) escrow: EscrowArgs,
    #[command(flatten)]
    pub(super) without: WithoutArgs,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}
