//! `l402 commit`: a signed commitment to an update, before it is shown.

use std::path::PathBuf;

use super::common::open;
use crate::artifact::key::SigningKey;
use crate::artifact::{self, ArtifactKind, Meta, Reader, record};
use crate::cli::OutputArgs;
use crate::error::{Error, Result};
use crate::ui::Ui;

/// Commit to an update before anybody sees it, or open a commitment.
///
/// The commitment is signed by the worker's key and hides the update behind a nonce that only the key's holder can
/// compute. When all commitments are in, `--reveal` prints the record that opens one; it goes with the update.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The update, as `compress` wrote it
    #[arg(value_name = "UPDATE")]
    update: PathBuf,
    /// The round
    #[arg(long, value_name = "N")]
    round: u64,
    /// The worker
    #[arg(long, value_name = "ID", value_parser = crate::cli::worker_id)]
    worker: String,
    /// The worker's signing key, made by `l402 key`
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Print the record that opens the commitment
    #[arg(long)]
    reveal: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the verb.
pub fn run(args: &Args, _ui: &Ui) -> Result<()> {
    let key = SigningKey::load(&args.key)?;
    let reader = Reader::open(open(&args.update)?)?;
    reader.require_canonical()?;
    let file = reader.name().to_owned();
    let meta = Meta::read(&file, reader.header(), ArtifactKind::Update)?;
    let run = meta.digest(&file, "run")?;
    for (field, expected) in [("worker", args.worker.clone()), ("round", args.round.to_string())] {
        let found = meta.get(&file, field)?;
        if found != expected {
            return Err(Error::refused(format!("{file}: {field}: expected {expected}, found {found}")));
        }
    }
    let update = reader.finish()?;
    let (commitment, reveal) = artifact::commit(run, args.round, &args.worker, update, &key)?;
    let line = if args.reveal { record::line(&reveal)? } else { record::line(&commitment)? };
    args.output.target().write_text(&line)?;
    Ok(())
}
