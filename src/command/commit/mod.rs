//! `l402 commit`: a signed commitment to an update, before it is shown; in which order they came, and the closing of the list of them.

mod args;
mod close;
mod receive;

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use super::common::open;
use super::escrow;
use super::lists;
use crate::artifact::key::SigningKey;
use crate::artifact::record::Signer;
use crate::artifact::{self, ArtifactKind, Commitment, Digest, Meta, Reader, Room, record};
use crate::error::{Error, Result};
use crate::pay::{Arrival, Ledger, NodeSigner, Offer, hash_of};
use crate::ui::Ui;
pub use args::Args;

/// Runs the verb.
pub fn run(args: &Args, ui: &Ui) -> Result<()> {
    match (&args.update, &args.worker) {
        _ if !args.receive.is_empty() => receive::receive(args, ui),
        _ if !args.close.is_empty() => close::close(args, ui),
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
    // What was signed before says what was seen then.
    commitment.seen = match target.kept().filter(|kept| kept.is_file()).and_then(signed_before) {
        Some(before) => before.seen,
        None => args.arrivals.as_deref().map(seen).transpose()?,
    };
    match &args.key {
        Some(path) => sign(&mut commitment, &SigningKey::load(path)?)?,
        None => sign(&mut commitment, &NodeSigner(RefCell::new(&mut args.escrow.node.connect()?)))?,
    }
    target.write_text(&record::line(&commitment)?)?;
    Ok(())
}

/// The commitment in a file that is there.
fn signed_before(path: &Path) -> Option<Commitment> {
    record::select(&record::read_lines(path).ok()?).ok()?.into_iter().next()
}

/// The last arrival that the worker sees; zeros where there is none.
fn seen(path: &Path) -> Result<Digest> {
    let all: Vec<Arrival> = record::select(&record::read_lines(path)?)?;
    all.last().map_or(Ok(Digest([0; 32])), |last| hash_of(last).map(|hash| Digest(hash.0)))
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
