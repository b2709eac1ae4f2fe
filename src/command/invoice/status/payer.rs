//! The payer's look: what became of each payment.

use std::path::PathBuf;

use crate::artifact::Room;
use crate::command::escrow::Escrow;
use crate::command::lists;
use crate::error::Result;
use crate::pay::{Entry, Held, OfferId, Payment, PaymentStatus, State};
use crate::ui::Ui;

/// Takes the workers' word that everything is held into the payer's books.
pub fn take_held(escrow: &mut Escrow, selected: &[OfferId], paths: &[PathBuf], dry_run: bool, ui: &Ui) -> Result<()> {
    let sent: Vec<Held> = lists::select(&lists::read_many(paths, Room::of(selected.len()), ui)?);
    let mut entries = Vec::new();
    for account in selected.iter().filter_map(|id| escrow.ledger.account(id)) {
        if account.held.is_some() || account.offer.payer != escrow.id() {
            continue;
        }
        match Held::on(&account.offer, &sent) {
            Ok(held) => entries.push(Entry::Held { held: held.clone() }),
            // What one worker sends is no reason to lose sight of the others.
            Err(error) => ui.say(format!("{}: passed over: {error}", lists::name(paths))),
        }
    }
    if dry_run { Ok(()) } else { escrow.record(entries) }
}

/// Asks the payer's node what became of every payment that was begun, and journals what is new. Returns the names of
/// those that are not under way, and may be begun again.
pub fn refresh_payments(escrow: &mut Escrow, offers: &[OfferId]) -> Result<Vec<String>> {
    let (mut seen, mut failed) = (Vec::new(), Vec::new());
    for id in offers {
        let account = escrow.ledger.account(id).expect("it was selected from the books").clone();
        let mut payments = Vec::new();
        for (rung, _) in (0u32..).zip(&account.rungs).filter(|(_, book)| book.state.binds_money()) {
            payments.push((rung, escrow.node.payment(&account.offer.hashes[rung as usize])?));
        }
        // Where one rung was claimed the verdict is out: what comes back was not earned.
        let complete = |p: &Option<Payment>| p.as_ref().is_some_and(|p| p.status == PaymentStatus::Complete);
        let was_held = account.was_held() || payments.iter().any(|(_, payment)| complete(payment));
        let height = escrow.height();
        let (lock_by, claim_by) = (account.offer.heights.lock_by, account.offer.heights.claim_by);
        for (rung, payment) in payments {
            let book = &account.rungs[rung as usize];
            let begun = matches!(book.state, State::Locking | State::Unknown);
            let (state, sent_msat) = match payment.map(|p| (p.status, p.sent_msat)) {
                Some((PaymentStatus::Complete, sent)) => (State::Claimed, sent),
                // It is at the node after all.
                Some((PaymentStatus::Pending, _)) if book.state == State::Unknown => (State::Locking, None),
                Some((PaymentStatus::Pending, _)) => continue,
                // Failed for good once it was held, or once nothing more can be begun.
                Some((PaymentStatus::Failed, _)) if was_held || !begun || height >= lock_by => (State::Cancelled, None),
                None if begun && height >= lock_by => (State::Expired, None),
                // What is under way a node never forgets, so it is over. What opens it never left this folder; or it
                // did, or nobody here can tell, and then it counts as paid.
                None if book.state == State::Judged && height >= lock_by => (State::Cancelled, None),
                None if !begun && height > claim_by => (State::Claimed, None),
                Some((PaymentStatus::Failed, _)) | None => {
                    if begun {
                        failed.push(format!("rung {rung} of the {}", account.offer.name()));
                    }
                    continue;
                }
            };
            seen.push(Entry::Seen { offer: *id, rung, state, sent_msat });
        }
    }
    escrow.record(seen)?;
    Ok(failed)
}
