//! `l402 invoice lock`: the payer pays every rung, and thereby locks the money.

mod accept;
mod args;

use std::collections::BTreeMap;

pub use args::Args;

use accept::{Todo, accept};

use super::super::escrow::Escrow;
use super::status::refresh_payments;
use crate::artifact::record;
use crate::error::{Error, Kind, Result};
use crate::fsio::Target;
use crate::pay::preflight::{self, Limits, Planned};
use crate::pay::{Account, CallError, Entry, Invoices, Msat, Offer, OfferId, PayRequest, Report, State};
use crate::ui::Ui;

/// Runs the verb.
pub fn run(args: &Args, ui: &Ui) -> Result<()> {
    let offers: Vec<Offer> = record::read(&args.offers)?;
    let (lines, malformed) = record::read_lines_of_many(&args.invoices)?;
    malformed.iter().for_each(|error| ui.say(format!("passed over: {error}")));
    let invoices: Vec<Invoices> = record::select_well_formed(&lines);
    if invoices.is_empty() {
        return Err(Error::missing(format!("{}: no invoices records", args.invoices.display())));
    }
    let pins = args.workers.read()?;
    let mut escrow = args.escrow.open(true, ui)?;
    let (mut accounts, mut todo, mut refused) = (Accounts::new(), Vec::new(), None);
    for message in &invoices {
        match accept(&mut escrow, &offers, message, &pins, args) {
            // Of two records for an offer the first counts.
            Ok((id, ..)) if accounts.contains_key(&id) => {}
            Ok((id, offer, planned)) => {
                accounts.insert(id, (offer, message.invoices.clone()));
                todo.extend(planned);
            }
            // What one worker does wrong holds up nobody else.
            Err(error) if matches!(error.kind(), Kind::Refused | Kind::Data) => {
                ui.say(format!("not locked: {error}"));
                refused = Some(error.at(args.invoices.display()));
            }
            Err(error) => return Err(error),
        }
    }
    refresh_rounds(&mut escrow, &accounts)?;
    let mut entries = Vec::new();
    for (id, (offer, bolt11)) in &accounts {
        if escrow.ledger.account(id).is_none() {
            entries.push(Entry::Offered { offer: Box::new(offer.clone()) });
        }
        if escrow.ledger.account(id).is_none_or(|a| a.invoices.is_none()) {
            entries.push(Entry::Issued { offer: *id, invoices: bolt11.clone() });
        }
    }
    budget(&escrow, &accounts, &todo, args)?;
    if !todo.is_empty() {
        let limits = Limits { htlcs: args.max_htlcs, dust: Msat(args.max_dust_msat) };
        let planned: Vec<Planned> =
            todo.iter().map(|t| Planned { payee: t.payee, msat: t.msat, fee: t.request.fee }).collect();
        preflight::check(&escrow.node.channels()?, &limits, &planned)?;
    }
    if args.escrow.dry_run {
        for todo in &todo {
            println!("{}", serde_json::json!({"method": "xpay", "params": todo.request.xpay()}));
        }
        return refused.map_or(Ok(()), Err);
    }
    entries.extend(todo.iter().map(|t| Entry::Locking { offer: t.offer, rung: t.rung, fee_msat: t.request.fee }));
    escrow.record(entries)?;
    let failed = pay(&mut escrow, &todo, ui)?;
    let ids: Vec<OfferId> = accounts.keys().copied().collect();
    let not_under_way = refresh_payments(&mut escrow, &ids)?;
    let books: Vec<&Account> = ids.iter().filter_map(|id| escrow.ledger.account(id)).collect();
    if args.json {
        let reports = books.iter().map(|a| Report::lines(a)).collect::<Result<Vec<_>>>()?;
        Target::new(None, false).write_text(&reports.concat())?;
    }
    verdict(&books, failed.or(refused), &not_under_way)
}

/// What is locked: each offer and its invoices.
type Accounts = BTreeMap<OfferId, (Offer, Vec<String>)>;

/// Asks what became of the other payments of these rounds: what came back binds nothing any more.
fn refresh_rounds(escrow: &mut Escrow, accounts: &Accounts) -> Result<()> {
    let node = escrow.id();
    let rounds: Vec<_> = accounts.values().map(|(offer, _)| (offer.run, offer.round)).collect();
    let of_rounds = |(id, a): &(&OfferId, &Account)| {
        a.offer.payer == node && rounds.contains(&(a.offer.run, a.offer.round)) && !accounts.contains_key(*id)
    };
    let others: Vec<OfferId> = escrow.ledger.accounts().filter(of_rounds).map(|(id, _)| *id).collect();
    refresh_payments(escrow, &others).map(drop)
}

/// Refuses what would pass the budget of a round: held, locking, unknown, claimed, and what is about to be paid, with
/// the most that all of it may cost in fees.
fn budget(escrow: &Escrow, accounts: &Accounts, todo: &[Todo], args: &Args) -> Result<()> {
    let mut rounds: Vec<_> = accounts.values().map(|(offer, _)| (offer.run, offer.round)).collect();
    rounds.sort_unstable();
    rounds.dedup();
    let mut total = Msat::ZERO;
    for (run, round) in rounds {
        total = total.plus(escrow.ledger.spent(&run, round)?)?;
    }
    for todo in todo {
        let account = escrow.ledger.account(&todo.offer);
        if account.is_none_or(|a| !a.rungs[todo.rung as usize].state.binds_money()) {
            total = total.plus(todo.msat)?.plus(todo.request.fee)?;
        }
    }
    if total > Msat(args.budget_msat) {
        return Err(Error::refused(format!(
            "expected at most {} bound in the round, fees among it, found {total}",
            Msat(args.budget_msat)
        ))
        .hint("nothing was paid"));
    }
    Ok(())
}

/// Begins the payments. What the node answers at once goes to the journal: the payee's no is definite, other failures
/// may pass, silence is unknown.
fn pay(escrow: &mut Escrow, todo: &[Todo], ui: &Ui) -> Result<Option<Error>> {
    /// Core Lightning's code for a payment that the payee refused.
    const REFUSED_BY_PAYEE: i32 = 203;
    /// And for a payment that is under way already.
    const IN_PROGRESS: i32 = -3;
    let requests: Vec<PayRequest> = todo.iter().map(|t| t.request.clone()).collect();
    let answers = escrow.node.begin_payments(&requests);
    let (mut seen, mut failed): (Vec<Entry>, Option<Error>) = (Vec::new(), None);
    for (todo, answer) in todo.iter().zip(answers) {
        let (state, error) = match answer {
            Ok(()) | Err(CallError::Answer(IN_PROGRESS, _)) => continue,
            Err(CallError::Answer(REFUSED_BY_PAYEE, why)) => (
                Some(State::Cancelled),
                Error::refused(format!("{}: the payee refused it: cancelled, or unknown to it: {why}", todo.name)),
            ),
            // The node does not know the method, or not these parameters: that does not pass by itself.
            Err(CallError::Answer(code @ ..=-32600, why)) => {
                (None, escrow.node.call_error("xpay", CallError::Answer(code, why)).at(&todo.name))
            }
            Err(CallError::Answer(code, why)) => {
                (None, Error::try_again(format!("{}: not paid yet: code {code}: {why}", todo.name)))
            }
            Err(CallError::Unreachable(why)) => {
                (None, Error::unavailable(format!("{}: no node at {}: {why}", todo.name, escrow.node.name())))
            }
            Err(CallError::Unanswered(why)) => (
                Some(State::Unknown),
                Error::unavailable(format!("{}: the node did not answer, so it may be paid: {why}", todo.name))
                    .hint("run the same command again: it looks first, and sends only the same invoice"),
            ),
        };
        if let Some(state) = state {
            seen.push(Entry::Seen { offer: todo.offer, rung: todo.rung, state, sent_msat: None });
        }
        ui.say(&error);
        let worst = |kind: Kind| match kind {
            Kind::Unavailable => 2,
            Kind::Refused => 1,
            _ => 0,
        };
        if failed.as_ref().is_none_or(|f| worst(error.kind()) > worst(f.kind())) {
            failed = Some(error);
        }
    }
    escrow.record(seen)?;
    Ok(failed)
}

/// How the command ends.
fn verdict(books: &[&Account], failed: Option<Error>, not_under_way: &[String]) -> Result<()> {
    if let Some(error) = failed {
        return Err(error);
    }
    for account in books {
        let refused = account.rungs.iter().position(|r| r.state == State::Cancelled);
        if let Some(i) = refused.filter(|_| !account.was_held()) {
            return Err(Error::refused(format!(
                "rung {i} of the {}: the payment failed: the payee cancelled it, or does not know it",
                account.offer.name()
            )));
        }
    }
    for account in books {
        if let Some(i) = account.rungs.iter().position(|r| r.state == State::Expired) {
            return Err(Error::refused(format!(
                "rung {i} of the {}: it was not paid by height {}",
                account.offer.name(),
                account.offer.heights.lock_by
            )));
        }
    }
    match not_under_way.first() {
        Some(name) => Err(Error::try_again(format!("{name}: its payment is not under way")).hint("run lock again")),
        None => Ok(()),
    }
}
