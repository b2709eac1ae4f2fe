//! `l402 commit --close`: which commitments were in, and when.

use super::args::Args;
use super::receive::arrived;
use crate::artifact::beacon::NamedBlock;
use crate::artifact::{Commitment, Digest, Room, record};
use crate::command::lists;
use crate::error::{Context, Error, Result};
use crate::fsio::Target;
use crate::pay::{Arrivals, Closing, Entry, Offer, hash_of};
use crate::ui::Ui;

/// Signs which commitments are there, and when: once a try at a round, forever.
pub(super) fn close(args: &Args, ui: &Ui) -> Result<()> {
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
            let arrivals = args.arrivals.as_deref().map(|path| arrived(path, (&run, args.round), &id)).transpose()?;
            let given = Given { commitments: &commitments, arrivals: arrivals.as_ref() };
            let mut closing = make(&offers, &given, run, args, height, ui).at(lists::name(&args.close))?;
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

/// What was sent, and the signed order in which it came, where there is one.
struct Given<'a> {
    commitments: &'a [Commitment],
    arrivals: Option<&'a Arrivals>,
}

/// The list as it would be closed now, not signed yet.
fn make(offers: &[Offer], given: &Given<'_>, run: Digest, args: &Args, height: u32, ui: &Ui) -> Result<Closing> {
    let (mut hashes, mut waiting, mut commit_by) = (Vec::new(), None, u32::MAX);
    for offer in offers {
        let id = offer.id()?.to_string();
        let of_offer = given.commitments.iter().filter(|c| c.offer.as_deref() == Some(&id) && c.worker == offer.worker);
        let mut found = false;
        for commitment in of_offer {
            let hash = hash_of(commitment)?;
            let came = given.arrivals.is_none_or(|arrivals| arrivals.place(&hash).is_some());
            if !came {
                ui.say(format!("passed over: a commitment for the {}: not received yet", offer.name()));
            } else if commitment.signed_by(&offer.payee.0)? {
                found = true;
                hashes.push(hash);
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
    let (round, attempt, arrivals) = (args.round, args.attempt, given.arrivals.map(Arrivals::end));
    Ok(Closing { run, round, attempt, height, commitments: hashes, arrivals, block, judge, sig: None })
}
