//! The payer's look: what became of each payment.

use std::path::Path;

use crate::artifact::record;
use crate::command::escrow::Escrow;
use crate::error::{Context, Result};
use crate::pay::{Entry, Held, OfferId, Payment, PaymentStatus, State};

/// Takes the workers' word that everything is held into the payer's books.
pub fn take_held(escrow: &mut Escrow, selected: &[OfferId], path: &Path, dry_run: bool) -> Result<()> {
    let held: Vec<Held> = record::select_well_formed(&record::read_lines_of_many(path)?.0);
    let mut entries = Vec::new();
    for held in held {
        let account = escrow.ledger.account(&held.task.offer).filter(|_| selected.contains(&held.task.offer));
        if let Some(account) = account.filter(|a| a.held.is_none() && a.offer.payer == escrow.id()) {
            held.verify(&account.offer).at(path.display())?;
            entries.push(Entry::Held { held });
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
        let judged = account.verdict.is_some()
            || account.rungs.iter().any(|r| r.state == State::Claimed)
            || payments.iter().any(|(_, payment)| complete(payment));
        for (rung, payment) in payments {
            let book = &account.rungs[rung as usize];
            let (state, sent_msat) = match payment.as_ref().map(|p| (p.status, p.sent_msat)) {
                Some((PaymentStatus::Complete, sent)) => (State::Claimed, sent),
                // Failed for good once it was held, or once nothing more can be begun; before, it may be tried again.
                Some((PaymentStatus::Failed, _))
                    if judged
                        || !matches!(book.state, State::Locking | State::Unknown)
                        || escrow.height() >= account.offer.heights.lock_by =>
                {
                    (State::Cancelled, None)
                }
                None if escrow.height() >= account.offer.heights.lock_by
                    && matches!(book.state, State::Locking | State::Unknown) =>
                {
                    (State::Expired, None)
                }
                // It is at the node after all.
                Some((PaymentStatus::Pending, _)) if book.state == State::Unknown => (State::Locking, None),
                // What opens it never left this folder, and the node, which forgets payments once they are over, has none.
                None if book.state == State::Judged && escrow.height() >= account.offer.heights.lock_by => {
                    (State::Cancelled, None)
                }
                Some((PaymentStatus::Failed, _)) | None if matches!(book.state, State::Locking | State::Unknown) => {
                    failed.push(format!("rung {rung} of the {}", account.offer.name()));
                    continue;
                }
                _ => continue,
            };
            seen.push(Entry::Seen { offer: *id, rung, state, sent_msat });
        }
    }
    escrow.record(seen)?;
    Ok(failed)
}
