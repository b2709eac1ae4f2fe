//! Which of a worker's invoices are to be paid: everything about them is checked, and what the node knows of them.

use std::collections::BTreeMap;

use super::super::issue::now;
use super::super::status::refresh_payments;
use super::args::Args;
use crate::command::escrow::Escrow;
use crate::command::lists;
use crate::error::{Context, Error, Result};
use crate::pay::{Invoices, Msat, NodeId, Offer, OfferId, PayRequest, PaymentStatus, State};

/// A rung whose payment is to be begun, or begun again.
pub struct Todo {
    /// The offer.
    pub offer: OfferId,
    /// The rung.
    pub rung: u32,
    /// Both, for errors.
    pub name: String,
    /// Who is paid.
    pub payee: NodeId,
    /// The amount.
    pub msat: Msat,
    /// What the node is asked.
    pub request: PayRequest,
    /// Whether its payment was begun before.
    pub begun: bool,
    /// From this height on nothing is begun any more.
    pub lock_by: u32,
}

/// Checks a worker's invoices and what the node knows of them; the offer they are for, and the rungs to pay.
pub fn accept(
    escrow: &mut Escrow,
    offers: &[Offer],
    message: &Invoices,
    pins: &BTreeMap<String, NodeId>,
    args: &Args,
) -> Result<(OfferId, Offer, Vec<Todo>)> {
    let offer = matching(offers, message, args)?;
    check(escrow, offer, message, pins, args)?;
    refuse_overdue(escrow, offer)?;
    let id = offer.id()?;
    let planned = plan(escrow, &id, offer, &message.invoices, args)?;
    Ok((id, offer.clone(), planned))
}

/// The offer that an `invoices` record is for.
fn matching<'a>(offers: &'a [Offer], message: &Invoices, args: &Args) -> Result<&'a Offer> {
    for offer in offers {
        if offer.id()? == message.task.offer {
            return Ok(offer);
        }
    }
    Err(Error::refused(format!(
        "worker {}: offer {}: expected one of {}",
        message.task.worker,
        message.task.offer,
        lists::name(&args.offers)
    )))
}

/// Checks an offer and the invoices for it; whatever is wrong is named.
fn check(
    escrow: &Escrow,
    offer: &Offer,
    message: &Invoices,
    pins: &BTreeMap<String, NodeId>,
    args: &Args,
) -> Result<()> {
    offer.verify(&args.judge.judge)?;
    let info = escrow.node.info();
    let refuse = |what: &str, expected: String, found: String| {
        Err(Error::refused(format!("{}: {what}: expected {expected}, found {found}", offer.name())))
    };
    if offer.payer != info.id {
        return refuse("payer", format!("this node, {}", info.id), offer.payer.to_string());
    }
    match pins.get(&offer.worker) {
        Some(pin) if *pin == offer.payee => {}
        Some(pin) => return refuse("payee", pin.to_string(), offer.payee.to_string()),
        None => return refuse("worker", "one that --worker names".into(), offer.worker.clone()),
    }
    if offer.network != info.network {
        return refuse("network", info.network.clone(), offer.network.clone());
    }
    offer.heights.check(args.max_delay).at(offer.name())?;
    let known = escrow.ledger.account(&offer.id()?).and_then(|a| a.invoices.as_ref());
    // Checked before it was begun; an expired invoice is no reason to lose sight of its payment.
    let begun = known == Some(&message.invoices);
    if begun { message.verify(offer) } else { message.accept(offer, Some(now()?)) }
}

/// Refuses a worker who still holds payments of offers whose claiming is over: it only had to cancel them.
fn refuse_overdue(escrow: &mut Escrow, offer: &Offer) -> Result<()> {
    let (id, height) = (escrow.id(), escrow.height());
    let late: Vec<OfferId> = escrow
        .ledger
        .accounts()
        .filter(|(_, a)| (a.offer.payer, a.offer.payee) == (id, offer.payee) && a.offer.heights.claim_by < height)
        .filter(|(_, a)| a.rungs.iter().any(|r| r.state.binds_money()))
        .map(|(id, _)| *id)
        .collect();
    refresh_payments(escrow, &late)?;
    for account in late.iter().filter_map(|id| escrow.ledger.account(id)) {
        let sits = account.rungs.iter().filter(|r| r.state.binds_money()).count();
        if sits > 0 {
            return Err(Error::refused(format!(
                "worker {} still holds {sits} payments of the {}, which were to be claimed or cancelled by height {}",
                account.offer.worker,
                account.offer.name(),
                account.offer.heights.claim_by
            ))
            .hint("nothing was paid to it; leave this worker out until it has cancelled them"));
        }
    }
    Ok(())
}

/// The rungs of an offer to pay. A hash that the node knows, and the journal does not, is somebody else's business.
fn plan(escrow: &mut Escrow, id: &OfferId, offer: &Offer, bolt11: &[String], args: &Args) -> Result<Vec<Todo>> {
    let height = escrow.height();
    let mut todo = Vec::new();
    for (rung, bolt11) in (0u32..).zip(bolt11) {
        let hash = offer.hashes[rung as usize];
        let payment = escrow.node.payment(&hash)?;
        let state = escrow.ledger.account(id).map_or(State::Offered, |a| a.rungs[rung as usize].state);
        let begun = !matches!(state, State::Offered | State::Issued);
        let place = || format!("rung {rung} of the {}", offer.name());
        match payment.as_ref().map(|p| p.status) {
            Some(PaymentStatus::Complete | PaymentStatus::Pending) if !begun => {
                return Err(Error::refused(format!(
                    "{}: expected a hash that was never paid, found a payment of it at the node, and not begun by this \
                     escrow folder",
                    place()
                ))
                .hint("was it paid elsewhere, or with another escrow folder? it will not be paid again"));
            }
            Some(PaymentStatus::Complete | PaymentStatus::Pending) => {
                let foreign = payment.and_then(|p| p.bolt11).is_some_and(|paid| paid != *bolt11);
                if foreign {
                    return Err(Error::refused(format!("{}: the node pays another invoice of this hash", place())));
                }
                continue;
            }
            Some(PaymentStatus::Failed) | None if state.is_final() => continue,
            // What is held was not lost: to be looked at, never to be paid again.
            Some(PaymentStatus::Failed) | None if state.binds_money() && !payable_again(state) => continue,
            Some(PaymentStatus::Failed) | None => {}
        }
        if !(offer.heights.offered_at..offer.heights.lock_by).contains(&height) {
            return Err(Error::refused(format!(
                "{}: expected a height from {} on and below {}, found {height}",
                place(),
                offer.heights.offered_at,
                offer.heights.lock_by
            )));
        }
        let msat = offer.rungs_msat[rung as usize];
        let part = u128::from(msat.0) * u128::from(args.max_fee_ppm) / 1_000_000;
        let fee = Msat(u64::try_from(part).unwrap_or(u64::MAX)).plus(Msat(args.max_fee_base)).at("fees")?;
        let request = PayRequest { bolt11: bolt11.clone(), hash, fee, delay: args.max_delay };
        let lock_by = offer.heights.lock_by;
        todo.push(Todo { offer: *id, rung, name: place(), payee: offer.payee, msat, request, begun, lock_by });
    }
    Ok(todo)
}

/// A rung whose payment was begun and is not at the node: the very same invoice may be sent again.
fn payable_again(state: State) -> bool {
    matches!(state, State::Locking | State::Unknown)
}
