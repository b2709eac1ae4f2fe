//! The worker's look: is every rung held? And what it gives back.

use super::progress::Progress;
use crate::command::escrow::Escrow;
use crate::error::{Error, Result};
use crate::pay::{CallError, Entry, Held, HeldRung, HoldState, Node, OfferId, RecordHash, State};

/// Looks at an offer once; signs and journals the held record where every rung is held.
pub fn look_as_worker(escrow: &mut Escrow, id: &OfferId, dry_run: bool) -> Result<Progress> {
    let account = escrow.ledger.account(id).expect("it was selected from the books").clone();
    let (offer, height) = (&account.offer, escrow.height());
    let name = offer.name();
    if account.verdict.is_some() {
        // From here on `settle --claim` looks after it.
        return Ok(Progress::Done);
    }
    let Some(bolt11) = &account.invoices else {
        return Ok(Progress::Waiting(format!("{name}: no invoices yet")));
    };
    let channels = escrow.node.channels()?;
    let incoming = Node::incoming(&channels);
    let (mut rungs, mut seen, mut missing, mut cancelled) = (Vec::new(), Vec::new(), None, Vec::new());
    for (i, bolt11) in bolt11.iter().enumerate() {
        let rung = i as u32;
        let hash = offer.hashes[i];
        let listed = escrow.node.hold_invoice(&hash)?;
        let htlc = incoming.get(&hash.to_string()).filter(|(msat, _)| *msat >= offer.rungs_msat[i]);
        match (listed.map(|l| l.state), htlc) {
            // A payer could pay with a shorter delta than the invoice asks for, and have it back before the verdict.
            (Some(HoldState::Accepted), Some((_, expiry))) if *expiry < offer.heights.expires_at() => {
                let least = offer.heights.expires_at();
                missing = Some(format!("rung {i} of the {name}: expected to expire at {least}, found {expiry}"));
            }
            (Some(HoldState::Accepted), Some((msat, cltv_expiry))) => rungs.push(HeldRung {
                invoice: RecordHash::of_invoice(bolt11),
                msat: offer.rungs_msat[i].min(*msat),
                cltv_expiry: *cltv_expiry,
            }),
            (Some(HoldState::Cancelled), _) => {
                cancelled.push(rung);
                if !account.rungs[i].state.is_final() {
                    seen.push(Entry::Seen { offer: *id, rung, state: State::Cancelled, sent_msat: None });
                }
            }
            (None, _) => missing = Some(format!("rung {i} of the {name}: the plugin does not have its invoice")),
            (Some(state), _) => missing = Some(format!("rung {i} of the {name}: {}", name_of(state))),
        }
    }
    if !dry_run {
        escrow.record(seen)?;
    }
    let all_held = rungs.len() == bolt11.len();
    let too_late = height >= offer.heights.lock_by && account.held.is_none() && !all_held
        || height > offer.heights.lock_by && account.held.is_none()
        || height > offer.heights.claim_by;
    if too_late || !cancelled.is_empty() {
        if !dry_run {
            cancel_all(escrow, id)?;
        }
        let why = match (cancelled.first(), account.held.is_some()) {
            (Some(rung), _) => format!("rung {rung} of the {name} is cancelled; so are the others"),
            (None, false) => format!("{name}: not all was held by height {}: cancelled", offer.heights.lock_by),
            (None, true) => format!("{name}: no verdict came by height {}: cancelled", offer.heights.claim_by),
        };
        return Ok(Progress::Failed(why));
    }
    if !all_held {
        return Ok(Progress::Waiting(missing.unwrap_or_else(|| format!("{name}: not all is held"))));
    }
    if account.held.is_none() && !dry_run {
        let mut held = Held { task: offer.task()?, rungs, height, sig: None };
        escrow.sign(&mut held)?;
        held.verify(offer)?;
        escrow.record(vec![Entry::Held { held }])?;
    }
    Ok(Progress::Done)
}

fn name_of(state: HoldState) -> &'static str {
    match state {
        HoldState::Unpaid => "not paid yet",
        HoldState::Accepted => "accepted, but no HTLC of its amount stands in a channel",
        HoldState::Paid => "settled, though no verdict came through this folder",
        HoldState::Cancelled => "cancelled",
    }
}

/// Cancels every rung of an offer that was not earned: list, cancel, list again.
fn cancel_all(escrow: &mut Escrow, id: &OfferId) -> Result<()> {
    let account = escrow.ledger.account(id).expect("it was selected from the books");
    let rungs = (0..account.rungs.len() as u32).filter(|&i| !account.earned(i));
    let rungs: Vec<u32> = rungs.filter(|&i| !account.rungs[i as usize].state.is_final()).collect();
    cancel(escrow, id, &rungs)
}

/// Cancels rungs, and sees that they are.
pub fn cancel(escrow: &mut Escrow, id: &OfferId, rungs: &[u32]) -> Result<()> {
    if rungs.is_empty() {
        return Ok(());
    }
    escrow.record(vec![Entry::Cancelling { offer: *id, rungs: rungs.to_vec() }])?;
    let account = escrow.ledger.account(id).expect("just recorded");
    let (hashes, name) = (account.offer.hashes.clone(), account.offer.name());
    let (mut seen, mut failed) = (Vec::new(), None);
    for &rung in rungs {
        let hash = hashes[rung as usize];
        let place = || format!("rung {rung} of the {name}");
        let state = |escrow: &mut Escrow| escrow.node.hold_invoice(&hash).map(|h| h.map(|h| h.state));
        let before = state(escrow)?;
        let answer = match before {
            Some(HoldState::Unpaid | HoldState::Accepted) => escrow.node.cancel_hold_invoice(&hash),
            _ => Ok(()),
        };
        match (state(escrow)?, answer) {
            (Some(HoldState::Cancelled) | None, _) => {
                seen.push(Entry::Seen { offer: *id, rung, state: State::Cancelled, sent_msat: None });
            }
            (found, answer) => {
                let error = match (found, answer) {
                    (Some(HoldState::Paid), _) => {
                        Error::refused(format!("{}: it is settled at the node, and was not earned", place()))
                    }
                    (_, Err(CallError::Answer(code, why))) => {
                        Error::try_again(format!("{}: not cancelled: code {code}: {why}", place()))
                    }
                    (_, Err(error)) => escrow.node.call_error("cancelholdinvoice", error),
                    (_, Ok(())) => Error::try_again(format!("{}: not cancelled yet", place())),
                };
                // What becomes of one holds up none of the others.
                failed.get_or_insert(error);
            }
        }
    }
    escrow.record(seen)?;
    failed.map_or(Ok(()), Err)
}
