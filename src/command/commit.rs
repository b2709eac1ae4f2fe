//! `l402 commit`: a signed commitment to an update, before it is shown; and the closing of the list of them.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use super::common::open;
use super::escrow::{self, EscrowArgs};
use super::lists;
use crate::artifact::beacon::NamedBlock;
use crate::artifact::key::SigningKey;
use crate::artifact::record::Signer;
use crate::artifact::{self, ArtifactKind, Commitment, Digest, Meta, Reader, Room, record};
use crate::command::args::{OutputArgs, WithoutArgs};
use crate::command::beacon::AHEAD;
use crate::error::{Context, Error, Result};
use crate::fsio::Target;
use crate::pay::{Closing, Entry, Ledger, NodeSigner, Offer, hash_of};
use crate::ui::Ui;

/// Commit to an update before anybody sees it, open a commitment, or close the list of them.
///
/// The commitment is signed by the worker's key, or by its Lightning node, and hides the update behind a nonce that only
/// the worker can compute. When all commitments are in, `--reveal` prints the record that opens one; it goes with the
/// update.
///
/// A judge closes the list with --close: it signs which commitments were there, and at which height. What is not in the
/// list came late, and earns nothing. While a worker that was offered pay may still commit, that is a matter of trying
/// again (75).
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The update, as `compress` wrote it
    #[arg(value_name = "UPDATE", required_unless_present = "close")]
    update: Option<PathBuf>,
    /// The round
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..1 << 53))]
    round: u64,
    /// The worker
    #[arg(long, value_name = "ID", value_parser = crate::command::args::worker_id, required_unless_present = "close")]
    worker: Option<String>,
    /// The worker's signing key, made by `l402 key`; or name a node
    #[arg(long, value_name = "FILE", conflicts_with_all = ["rpc_file", "lightning_dir"])]
    key: Option<PathBuf>,
    /// Bind the commitment to the offer that the work was done for, of these; as often as there are files
    #[arg(long, value_name = "FILE")]
    offers: Vec<PathBuf>,
    /// Print the record that opens the commitment
    #[arg(long)]
    reveal: bool,
    /// The judge: close the list of these commitments; as often as there are files, or a folder with its `*.jsonl`. Each
    /// file is read by itself, and one that is malformed is left out
    #[arg(long, value_name = "FILE|DIR", conflicts_with_all = ["update", "worker", "key", "offers", "reveal"])]
    close: Vec<PathBuf>,
    /// Which try at the round the list is of
    #[arg(long, value_name = "N", default_value_t = 0, requires = "close")]
    attempt: u32,
    /// Close it though a worker may still commit
    #[arg(long, requires = "close")]
    now: bool,
    /// How many blocks after the closing the one comes that beacon b is made of
    #[arg(long, value_name = "BLOCKS", requires = "close", default_value_t = AHEAD, value_parser = clap::value_parser!(u32).range(1..=2016))]
    ahead: u32,
    #[command(flatten)]
    escrow: EscrowArgs,
    #[command(flatten)]
    without: WithoutArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the verb.
pub fn run(args: &Args, ui: &Ui) -> Result<()> {
    match (&args.update, &args.worker) {
        _ if !args.close.is_empty() => close(args, ui),
        (Some(update), Some(worker)) => commit(args, update, worker, ui),
        _ => Err(Error::bug("the command line lacks what it requires")),
    }
}

fn commit(args: &Args, update: &Path, worker: &str, ui: &Ui) -> Result<()> {
    let target = args.output.target();
    target.check(false)?;
    let reader = Reader::open(open(update)?)?;
    reader.require_canonical()?;
    let file = reader.name().to_owned();
    let meta = Meta::read(&file, reader.header(), ArtifactKind::Update)?;
    let run = meta.digest(&file, "run")?;
    let mut expected = Meta::default();
    expected.set("worker", worker).set("round", args.round);
    expected.require(&file, &meta, &["worker", "round"])?;
    // The folder knows which offers its node accepted. Closed again before the node is asked to sign.
    let asks = !args.offers.is_empty() && !args.reveal && args.escrow.node.named();
    let books = if asks { Some(args.escrow.open(false, ui)?.ledger) } else { None };
    let offer = match &args.offers[..] {
        [] => None,
        paths => {
            let offer = offer_of(paths, &run, args.round, worker, books.as_ref())?;
            let found = meta.get(&file, "feedback_in")?;
            if found != offer.state_in {
                let what = format!("{file}: feedback_in: expected {}, as offered, found {found}", offer.state_in);
                return Err(Error::refused(what).hint("the update must go on from the state that the offer names"));
            }
            Some(offer.id()?)
        }
    };
    let update = reader.finish()?;
    let made = |nonce| artifact::commit(run, args.round, worker, update, nonce);
    let (mut commitment, reveal) = match &args.key {
        Some(path) => made(SigningKey::load(path)?.nonce(&run, args.round, worker, &update)),
        None if args.escrow.node.named() => {
            made(escrow::secret(&args.escrow.escrow)?.nonce(&run, args.round, worker, &update))
        }
        None => return Err(Error::usage("expected --key or --rpc-file: who signs?")),
    };
    if args.reveal {
        target.write_text(&record::line(&reveal)?)?;
        return Ok(());
    }
    commitment.offer = offer.map(|id| id.to_string());
    match &args.key {
        Some(path) => sign(&mut commitment, &SigningKey::load(path)?)?,
        None => sign(&mut commitment, &NodeSigner(RefCell::new(&mut args.escrow.node.connect()?)))?,
    }
    target.write_text(&record::line(&commitment)?)?;
    Ok(())
}

fn sign(commitment: &mut Commitment, signer: &dyn Signer) -> Result<()> {
    record::sign(commitment, signer)
}

/// The last offer for a task; with the worker's books, of those that it accepted: others may have written into the file.
fn offer_of(paths: &[PathBuf], run: &Digest, round: u64, worker: &str, books: Option<&Ledger>) -> Result<Offer> {
    let mut last: Option<Offer> = None;
    for offer in lists::read_all::<Offer>(paths, Room::any())? {
        if (offer.run, offer.round, offer.worker.as_str()) != (*run, round, worker) {
            continue;
        }
        let id = offer.id()?;
        let accepted = |books: &Ledger| books.account(&id).is_some_and(|a| a.invoices.is_some());
        if books.is_none_or(accepted) && last.as_ref().is_none_or(|last| last.attempt <= offer.attempt) {
            last = Some(offer);
        }
    }
    let accepted = if books.is_some() { ", accepted by this escrow folder," } else { "" };
    last.ok_or_else(|| {
        let path = lists::name(paths);
        Error::missing(format!("{path}: no offer to {worker}{accepted} for round {round} of this run"))
    })
}

/// Signs which commitments are there, and when: once a try at a round, forever.
fn close(args: &Args, ui: &Ui) -> Result<()> {
    let target = args.output.target();
    target.check(false)?;
    let mut escrow = args.escrow.open(false, ui)?;
    let (id, height) = (escrow.id(), escrow.height());
    let offers: Vec<Offer> = escrow
        .ledger
        .accounts()
        .filter(|(_, a)| a.offer.judge == id && (a.offer.round, a.offer.attempt) == (args.round, args.attempt))
        .map(|(_, a)| a.offer.clone())
        .collect();
    let folder = &args.escrow.escrow;
    let first = offers.first().ok_or_else(|| {
        Error::missing(format!(
            "{}: nothing was offered for round {}, attempt {}",
            folder.display(),
            args.round,
            args.attempt
        ))
    })?;
    let run = first.run;
    if offers.iter().any(|o| o.run != run) {
        return Err(Error::data("offers of several runs in one escrow folder: take one for each run"));
    }
    let closing = match escrow.ledger.closing(&run, args.round, args.attempt) {
        Some(closing) => closing.clone(),
        None => {
            // Commitments, and whatever opens them already.
            let list = lists::read_many(&args.close, Room::of(2 * offers.len()), ui)?;
            let commitments: Vec<Commitment> = lists::select(&list);
            let mut closing = make(&offers, &commitments, run, args, height, ui).at(lists::name(&args.close))?;
            if !args.escrow.dry_run {
                escrow.sign(&mut closing)?;
            }
            escrow.record(vec![Entry::Closed { closing: closing.clone() }])?;
            closing
        }
    };
    if args.escrow.dry_run {
        return Target::stdout().write_text(&record::line(&closing)?).map(drop);
    }
    target.write_text(&record::line(&closing)?)?;
    Ok(())
}

/// From when on the list is closed without whom it waits for: some blocks before it must be, for blocks come in bursts, and a list
/// that is closed too late pays nobody.
fn due(offer: &Offer) -> u32 {
    let time = offer.heights.commit_by.saturating_sub(offer.heights.lock_by);
    offer.heights.commit_by - (time / 3).min(6)
}

/// The list as it would be closed now, not signed yet.
fn make(offers: &[Offer], given: &[Commitment], run: Digest, args: &Args, height: u32, ui: &Ui) -> Result<Closing> {
    let (mut hashes, mut waiting, mut commit_by) = (Vec::new(), None, u32::MAX);
    for offer in offers {
        let id = offer.id()?.to_string();
        let of_offer = given.iter().filter(|c| c.offer.as_deref() == Some(&id) && c.worker == offer.worker);
        let mut found = false;
        for commitment in of_offer {
            if commitment.signed_by(&offer.payee.0)? {
                found = true;
                hashes.push(hash_of(commitment)?);
            } else {
                ui.say(format!("passed over: a commitment for the {}: not signed by its node", offer.name()));
            }
        }
        if !found && height < due(offer) {
            waiting = Some(offer);
        }
        commit_by = commit_by.min(offer.heights.commit_by);
    }
    if let Some(offer) = waiting.filter(|_| !args.now) {
        return Err(Error::try_again(format!(
            "{}: no commitment yet, and until height {} there is time, found {height}",
            offer.name(),
            due(offer)
        ))
        .hint("--now closes the list all the same, and pays that worker nothing"));
    }
    if height > commit_by {
        return Err(Error::refused(format!(
            "expected to close the list by height {commit_by}, found {height}: it would pay nobody"
        )));
    }
    hashes.sort_unstable();
    hashes.dedup();
    let judge = offers[0].judge;
    let block = Some(NamedBlock { height: height + args.ahead, network: offers[0].network.clone() });
    Ok(Closing { run, round: args.round, attempt: args.attempt, height, commitments: hashes, block, judge, sig: None })
}
