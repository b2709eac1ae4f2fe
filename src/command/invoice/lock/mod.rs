//! `l402 invoice lock`: the payer pays every rung, and thereby locks the money.

mod accept;
mod args;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use args::Args;

use accept::{Todo, accept};

use super::super::escrow::Escrow;
use super::status::{refresh_payments, summary};
use crate::artifact::{Room, record};
use crate::command::lists;
use crate::error::{Error, Kind, Result};
use crate::fsio::Target;
use crate::pay::preflight::{self, Lack, Limits, Planned};
use crate::pay::{Account, CallError, Entry, Invoices, Msat, Offer, OfferId, PayAnswer, PayRequest, Report, State};
use crate::ui::{self, Page, Ui};

/// Runs the verb.
pub fn run(args: &Args, ui: &Ui) -> Result<()> {
    if args.json || args.escrow.dry_run {
        ui::check()?;
    }
    let offers: Vec<Offer> = lists::read_all(&args.offers, Room::any())?;
    let list = lists::read_many(&args.invoices, Room::of(offers.len()), ui)?;
    let given = |part: &lists::Part| -> Vec<(PathBuf, Invoices)> {
        record::select_well_formed(&part.lines).into_iter().map(|message| (part.path.clone(), message)).collect()
    };
    let invoices: Vec<(PathBuf, Invoices)> = list.iter().flat_map(given).collect();
    if invoices.is_empty() {
        return Err(Error::missing(format!("{}: no invoices records", lists::name(&args.invoices))));
    }
    let pins = args.workers.read()?;
    let mut escrow = args.escrow.open(true, ui)?;
    let (mut accounts, mut todo, mut worst) = (Accounts::new(), Vec::new(), None);
    for (path, message) in &invoices {
        match accept(&mut escrow, &offers, message, &pins, args) {
            // Of two records for an offer the first counts.
            Ok((id, ..)) if accounts.contains_key(&id) => {}
            Ok((id, offer, planned)) => {
                accounts.insert(id, (offer, message.invoices.clone()));
                todo.push((id, planned));
            }
            // What one worker does wrong holds up nobody else.
            Err(error) if matches!(error.kind(), Kind::Refused | Kind::Data) => {
                ui.say(format!("not locked: {error}"));
                worse(&mut worst, error.at(path.display()));
            }
            Err(error) => return Err(error),
        }
    }
    refresh_rounds(&mut escrow, &accounts)?;
    let (todo, waiting) = with_room(&mut escrow, &accounts, todo, args, ui, &mut worst)?;
    let mut entries = Vec::new();
    for (id, (offer, bolt11)) in &accounts {
        if escrow.ledger.account(id).is_none() {
            entries.push(Entry::Offered { offer: Box::new(offer.clone()) });
        }
        // What waits for room is looked at anew when there is some.
        if escrow.ledger.account(id).is_none_or(|a| a.invoices.is_none()) && !waiting.contains(id) {
            entries.push(Entry::Issued { offer: *id, invoices: bolt11.clone() });
        }
    }
    budget(&escrow, &accounts, &todo, args)?;
    if args.escrow.dry_run {
        let mut page = Page::default();
        for todo in &todo {
            page.json(&serde_json::json!({"method": "xpay", "params": todo.request.xpay()}).to_string());
        }
        page.print()?;
        return worst.map_or(Ok(()), Err);
    }
    entries.extend(todo.iter().map(|t| Entry::Locking { offer: t.offer, rung: t.rung, fee_msat: t.request.fee }));
    escrow.record(entries)?;
    pay(&mut escrow, &todo, ui, &mut worst)?;
    let ids: Vec<OfferId> = accounts.keys().copied().collect();
    let not_under_way = refresh_payments(&mut escrow, &ids)?;
    let books: Vec<&Account> = ids.iter().filter_map(|id| escrow.ledger.account(id)).collect();
    if args.json {
        let reports = books.iter().map(|a| Report::lines(a)).collect::<Result<Vec<_>>>()?;
        Target::stdout().write_text(&reports.concat())?;
    }
    books.iter().for_each(|account| ui.say(summary(account)));
    verdict(&books, worst, &not_under_way)
}

/// Keeps the error that decides the exit status: a node that is not reached before a definite no, and that before what may
/// pass by itself.
fn worse(worst: &mut Option<Error>, error: Error) {
    let rank = |error: &Error| match error.kind() {
        Kind::TryAgain => 0,
        Kind::Unavailable => 2,
        _ => 1,
    };
    if worst.as_ref().is_none_or(|worst| rank(&error) > rank(worst)) {
        *worst = Some(error);
    }
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

/// The rungs of those offers whose payments all find room, and the offers that wait for some: whose channel is full holds
/// up nobody else.
fn with_room(
    escrow: &mut Escrow,
    accounts: &Accounts,
    todo: Vec<(OfferId, Vec<Todo>)>,
    args: &Args,
    ui: &Ui,
    worst: &mut Option<Error>,
) -> Result<(Vec<Todo>, Vec<OfferId>)> {
    let todo: Vec<(OfferId, Vec<Todo>)> = todo.into_iter().filter(|(_, rungs)| !rungs.is_empty()).collect();
    if todo.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let limits = Limits { htlcs: args.max_htlcs, dust: Msat(args.max_dust_msat) };
    let planned = |t: &Todo| Planned { payee: t.payee, msat: t.msat, fee: t.request.fee };
    let planned: Vec<Vec<Planned>> = todo.iter().map(|(_, rungs)| rungs.iter().map(planned).collect()).collect();
    let lacks = preflight::check(&escrow.node.channels()?, &limits, &planned)?;
    let (mut fits, mut waiting) = (Vec::new(), Vec::new());
    for ((id, rungs), lack) in todo.into_iter().zip(lacks) {
        let Some(Lack { why, may_pass }) = lack else {
            fits.extend(rungs);
            continue;
        };
        let offer = &accounts[&id].0;
        let what = format!("not locked: {}: {why}", offer.name());
        let error = match may_pass {
            true => Error::try_again(what).hint(format!(
                "once what is in flight has ended the same command locks it, until height {}",
                offer.heights.lock_by
            )),
            false => Error::refused(what).hint("nothing was paid to this worker; open another channel to it"),
        };
        ui.say(&error);
        worse(worst, error);
        waiting.push(id);
    }
    Ok((fits, waiting))
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

/// Begins the payments. Only silence goes to the journal, as unknown: what a payment comes to is seen where the node lists
/// it, see [`PayAnswer`].
fn pay(escrow: &mut Escrow, todo: &[Todo], ui: &Ui, worst: &mut Option<Error>) -> Result<()> {
    let requests: Vec<PayRequest> = todo.iter().map(|t| t.request.clone()).collect();
    let answers = escrow.node.begin_payments(&requests);
    let mut seen = Vec::new();
    for (todo, answer) in todo.iter().zip(answers) {
        let error = match answer {
            Ok(()) => continue,
            Err(CallError::Answer(code, why)) => match refusal(escrow, todo, code, why) {
                Some(error) => error,
                None => continue,
            },
            Err(CallError::Unreachable(why)) => {
                Error::unavailable(format!("{}: no node at {}: {why}", todo.name, escrow.node.name()))
            }
            Err(CallError::Unanswered(why)) => {
                seen.push(Entry::Seen { offer: todo.offer, rung: todo.rung, state: State::Unknown, sent_msat: None });
                Error::unavailable(format!("{}: the node did not answer, so it may be paid: {why}", todo.name))
                    .hint("run the same command again: it looks first, and sends only the same invoice")
            }
        };
        ui.say(&error);
        worse(worst, error);
    }
    escrow.record(seen)
}

/// What an error of the node says of a rung; nothing where its payment is under way, or was this folder's and is made.
fn refusal(escrow: &Escrow, todo: &Todo, code: i32, why: String) -> Option<Error> {
    let name = &todo.name;
    let until = format!("until height {} the same command asks again", todo.lock_by);
    match PayAnswer::of(code) {
        PayAnswer::UnderWay => None,
        PayAnswer::PaidBefore if todo.begun => None,
        PayAnswer::PaidBefore => {
            Some(Error::refused(format!("{name}: the hash was paid before, and not by this lock: code {code}: {why}")))
        }
        PayAnswer::Expired => Some(
            Error::refused(format!("{name}: the worker's invoice has expired: code {code}: {why}"))
                .hint("another offer (--attempt) has other invoices"),
        ),
        // That does not pass by itself.
        PayAnswer::NotUnderstood => Some(escrow.node.call_error("xpay", CallError::Answer(code, why)).at(name)),
        PayAnswer::RefusedByPayee => Some(
            Error::try_again(format!("{name}: refused by the payee: code {code}: {why}"))
                .hint(format!("it has cancelled, or has no such invoice yet, or sees another height; {until}")),
        ),
        PayAnswer::NotNow => Some(Error::try_again(format!("{name}: not paid yet: code {code}: {why}")).hint(until)),
    }
}

/// How the command ends.
fn verdict(books: &[&Account], mut worst: Option<Error>, not_under_way: &[String]) -> Result<()> {
    for account in books {
        let name = account.offer.name();
        let in_state = |state| account.rungs.iter().position(|r| r.state == state);
        if let Some(i) = in_state(State::Cancelled).filter(|_| !account.was_held()) {
            let what =
                format!("rung {i} of the {name}: the payment failed: the payee cancelled it, or does not know it");
            worse(&mut worst, Error::refused(what));
        }
        if let Some(i) = in_state(State::Expired) {
            let lock_by = account.offer.heights.lock_by;
            worse(&mut worst, Error::refused(format!("rung {i} of the {name}: it was not paid by height {lock_by}")));
        }
    }
    if let Some(name) = not_under_way.first() {
        worse(&mut worst, Error::try_again(format!("{name}: its payment is not under way")).hint("run lock again"));
    }
    worst.map_or(Ok(()), Err)
}
