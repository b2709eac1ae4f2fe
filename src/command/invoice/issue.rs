//! `l402 invoice issue`: the worker's hold invoices, which are its acceptance of an offer.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use super::super::escrow::{Escrow, EscrowArgs};
use super::pins::JudgeArg;
use crate::artifact::{Room, record};
use crate::command::args::OutputArgs;
use crate::command::lists;
use crate::error::{Context, Error, Result};
use crate::fsio::{Outcome, Target};
use crate::pay::{Entry, Invoices, Offer, invoice, route_hints};
use crate::ui::Ui;

/// Accept offers: a hold invoice for each rung, signed by this node and handed to its hold plugin.
///
/// Offers to other nodes are passed over. Each invoice carries the hash of the whole offer, so the signature on it is
/// the worker's word on the terms. Run again it gives the same invoices, never new ones.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The offers
    #[arg(value_name = "OFFERS", required = true)]
    offers: Vec<PathBuf>,
    #[command(flatten)]
    judge: JudgeArg,
    #[command(flatten)]
    escrow: EscrowArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the verb.
pub fn run(args: &Args, ui: &Ui) -> Result<()> {
    let target = args.output.target();
    target.check(false)?;
    let offers: Vec<Offer> = lists::read_all(&args.offers, Room::any())?;
    let mut escrow = args.escrow.open(true, ui)?;
    let own: Vec<Offer> = offers.into_iter().filter(|o| o.payee == escrow.id()).collect();
    if own.is_empty() {
        return Err(Error::missing(format!("{}: no offer to this node, {}", lists::name(&args.offers), escrow.id())));
    }
    for offer in &own {
        accept(&escrow, offer, args).at(lists::name(&args.offers))?;
    }
    let mut lines = String::new();
    for offer in &own {
        let bolt11 = issue(&mut escrow, offer)?;
        if args.escrow.dry_run {
            for invoice in &bolt11 {
                lines += &format!(
                    "{}\n",
                    serde_json::json!({"method": "injectholdinvoice", "params": {"invoice": invoice}})
                );
            }
            continue;
        }
        for (rung, invoice) in bolt11.iter().enumerate() {
            // What was given up stays so: nobody would look after a payment of it.
            if is_over(&escrow, offer, rung)? {
                continue;
            }
            inject(&mut escrow, offer, rung, invoice).at(format!("rung {rung} of the {}", offer.name()))?;
        }
        let mut message = Invoices { task: offer.task()?, invoices: bolt11, sig: None };
        escrow.sign(&mut message)?;
        lines += &record::line(&message)?;
    }
    if args.escrow.dry_run {
        return Target::stdout().write_text(&lines).map(drop);
    }
    if target.write_text(&lines)? == Outcome::UpToDate {
        ui.say(format!("{}: up to date", target.name()));
    }
    Ok(())
}

/// Refuses an offer that this worker should not accept now. One that it has accepted already stays accepted.
fn accept(escrow: &Escrow, offer: &Offer, args: &Args) -> Result<()> {
    offer.verify(&args.judge.judge)?;
    let info = escrow.node.info();
    if offer.network != info.network {
        let (expected, found) = (&info.network, &offer.network);
        return Err(Error::refused(format!("{}: network: expected {expected}, found {found}", offer.name())));
    }
    let known = escrow.ledger.account(&offer.id()?);
    if known.is_none() && info.height >= offer.heights.lock_by {
        return Err(Error::refused(format!(
            "{}: expected a height below {}, by which it must be locked, found {}",
            offer.name(),
            offer.heights.lock_by,
            info.height
        )));
    }
    Ok(())
}

/// The invoices of an offer: those in the books, or new ones, which then are in the books.
fn issue(escrow: &mut Escrow, offer: &Offer) -> Result<Vec<String>> {
    let id = offer.id()?;
    if let Some(bolt11) = escrow.ledger.account(&id).and_then(|a| a.invoices.clone()) {
        return Ok(bolt11);
    }
    let hints = route_hints(&escrow.node.channels()?);
    let now = now()?;
    let mut bolt11 = Vec::new();
    for rung in 0..offer.rungs_msat.len() as u32 {
        let unsigned = invoice::build(offer, rung, &escrow.secret, &hints, now)?;
        let signed = escrow.node.sign_invoice(&unsigned)?;
        // What the node has made of it is what the payer will see.
        invoice::check(offer, rung, &signed, now)?;
        bolt11.push(signed);
    }
    let mut entries = Vec::new();
    if escrow.ledger.account(&id).is_none() {
        entries.push(Entry::Offered { offer: Box::new(offer.clone()) });
    }
    entries.push(Entry::Issued { offer: id, invoices: bolt11.clone() });
    escrow.record(entries)?;
    Ok(bolt11)
}

/// Whether a rung has come to its end in the books.
fn is_over(escrow: &Escrow, offer: &Offer, rung: usize) -> Result<bool> {
    let account = escrow.ledger.account(&offer.id()?);
    Ok(account.is_some_and(|account| account.rungs[rung].state.is_final()))
}

/// Hands an invoice to the plugin, unless it has it.
fn inject(escrow: &mut Escrow, offer: &Offer, rung: usize, bolt11: &str) -> Result<()> {
    let hash = offer.hashes[rung];
    let mut answer = None;
    for _ in 0..2 {
        match escrow.node.hold_invoice(&hash)? {
            Some(listed) if listed.invoice == bolt11 => return Ok(()),
            Some(_) => {
                return Err(Error::refused(format!("hash {hash}: the node has another invoice for it"))
                    .hint("was this offer accepted with another escrow folder?"));
            }
            None if answer.is_none() => answer = Some(escrow.node.inject_hold_invoice(bolt11)),
            None => break,
        }
    }
    match answer {
        Some(Err(error)) => Err(escrow.node.call_error("injectholdinvoice", error)),
        _ => Err(Error::unavailable("injectholdinvoice was answered, and the invoice is not listed")),
    }
}

/// Seconds since 1970.
pub(super) fn now() -> Result<u64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map(|d| d.as_secs()).map_err(|_| Error::usage("the machine's clock stands before 1970"))
}
