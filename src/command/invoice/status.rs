//! `l402 invoice status`: what has become of the payments, and the worker's word that they are held.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::super::escrow::{Escrow, EscrowArgs};
use crate::artifact::record;
use crate::cli::OutputArgs;
use crate::error::{Context, Error, Kind, Result};
use crate::pay::{
    Account, CallError, Entry, Held, HeldRung, HoldState, Msat, Node, OfferId, Payment, PaymentStatus, RecordHash,
    State,
};
use crate::ui::Ui;

/// Look at the payments of this folder's offers, and print a `held` record for each whose rungs all wait at this node.
///
/// A worker begins to work on a held record, and not before. A rung counts as held when the plugin says accepted and its
/// HTLC stands in a channel. A worker cancels everything where not all is held by lock_by, or no verdict came by claim_by.
///
/// Exit status 0: all is held, or further; 75: not yet; 1: cancelled.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Look at the offers of this round alone [default: all that are open]
    #[arg(long, value_name = "N")]
    round: Option<u64>,
    /// Look again until nothing is missing, for so many seconds [default with the flag: 3600]
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "3600", require_equals = true,
          value_parser = clap::value_parser!(u64).range(..1 << 32))]
    wait: Option<u64>,
    /// The payer: the workers' held records. A payment that was held is not begun again when it comes back
    #[arg(long, value_name = "FILE")]
    held: Option<PathBuf>,
    /// Print every rung's state as JSON Lines instead
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    escrow: EscrowArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// How far an offer is, to the party that looks.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Progress {
    /// As far as it goes for now.
    Done,
    /// Something is missing.
    Waiting(String),
    /// It came to nothing.
    Failed(String),
}

/// Runs the verb.
pub fn run(args: &Args, ui: &Ui) -> Result<()> {
    let target = args.output.target();
    target.check(false)?;
    let mut escrow = args.escrow.open(false, ui)?;
    let selected: Vec<OfferId> = escrow
        .ledger
        .accounts()
        .filter(|(_, a)| match args.round {
            Some(round) => a.offer.round == round,
            None => a.rungs.iter().any(|r| !r.state.is_final()),
        })
        .map(|(id, _)| *id)
        .collect();
    if let Some(path) = &args.held {
        take_held(&mut escrow, &selected, path, args.escrow.dry_run)?;
    }
    let until = Instant::now() + Duration::from_secs(args.wait.unwrap_or(0));
    let mut pause = Duration::from_millis(50);
    let progress = loop {
        let progress = look(&mut escrow, &selected, args.escrow.dry_run)?;
        let waiting = progress.iter().any(|p| matches!(p, Progress::Waiting(_)));
        if !waiting || Instant::now() >= until {
            break progress;
        }
        escrow.node.pause(pause.min(until - Instant::now()));
        pause = (pause * 2).min(Duration::from_secs(2));
        escrow.node.refresh()?;
    };
    let accounts: Vec<&Account> = selected.iter().filter_map(|id| escrow.ledger.account(id)).collect();
    let mut text = String::new();
    for account in &accounts {
        if args.json {
            text += &Report::lines(account)?;
        } else if let Some(held) = account.held.as_ref().filter(|_| account.offer.payee == escrow.id()) {
            text += &record::line(held)?;
        }
        ui.say(summary(account));
    }
    if accounts.is_empty() {
        ui.say("no offer is open");
    }
    // Nothing yet is no record: an empty file would stand in the way of the one that comes.
    if !args.escrow.dry_run && !text.is_empty() {
        target.write_text(&text)?;
    }
    for progress in &progress {
        if let Progress::Failed(why) = progress {
            return Err(Error::refused(why));
        }
    }
    match progress.into_iter().find_map(|p| if let Progress::Waiting(why) = p { Some(why) } else { None }) {
        Some(why) => Err(Error::try_again(why)),
        None => Ok(()),
    }
}

/// Takes the workers' word that everything is held into the payer's books.
fn take_held(escrow: &mut Escrow, selected: &[OfferId], path: &Path, dry_run: bool) -> Result<()> {
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

/// Looks at every selected offer once: as its worker, its payer, or both.
fn look(escrow: &mut Escrow, selected: &[OfferId], dry_run: bool) -> Result<Vec<Progress>> {
    let id = escrow.id();
    let of = |escrow: &Escrow, payee: bool| -> Vec<OfferId> {
        let mine = |o: &OfferId| {
            let offer = &escrow.ledger.account(o).expect("it was selected from the books").offer;
            if payee { offer.payee == id } else { offer.payer == id }
        };
        selected.iter().copied().filter(mine).collect()
    };
    let (paid, received) = (of(escrow, false), of(escrow, true));
    let failed = refresh_payments(escrow, &paid)?;
    let not_under_way = |name| Progress::Waiting(format!("{name}: its payment is not under way: run lock again"));
    let mut progress: Vec<Progress> = failed.into_iter().map(not_under_way).collect();
    for offer in &received {
        match look_as_worker(escrow, offer, dry_run) {
            Ok(found) => progress.push(found),
            // What is wrong with one offer keeps nobody from looking after the others.
            Err(error) if error.kind() == Kind::Refused => progress.push(Progress::Failed(error.to_string())),
            Err(error) => return Err(error),
        }
    }
    Ok(progress)
}

fn look_as_worker(escrow: &mut Escrow, id: &OfferId, dry_run: bool) -> Result<Progress> {
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

fn summary(account: &Account) -> String {
    let states: Vec<String> =
        account.rungs.iter().zip(&account.offer.rungs_msat).map(|(r, m)| format!("{} {}", m.0, r.state)).collect();
    format!("{}: {}", account.offer.name(), states.join(", "))
}

/// One rung's state, for scripts.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    offer: OfferId,
    round: u64,
    attempt: u32,
    worker: String,
    rung: u32,
    msat: Msat,
    state: State,
    /// What was sent for it, fees among it, once it is claimed.
    #[serde(skip_serializing_if = "Option::is_none")]
    sent_msat: Option<Msat>,
}

impl record::Record for Report {
    const TYPE: &'static str = "rung";
}

impl Report {
    /// The lines of an offer's rungs.
    pub fn lines(account: &Account) -> Result<String> {
        let offer = &account.offer;
        let id = offer.id()?;
        let lines = (0u32..).zip(&account.rungs).map(|(rung, book)| {
            record::line(&Report {
                offer: id,
                round: offer.round,
                attempt: offer.attempt,
                worker: offer.worker.clone(),
                rung,
                msat: offer.rungs_msat[rung as usize],
                state: book.state,
                sent_msat: book.sent_msat,
            })
        });
        lines.collect::<Result<Vec<_>>>().map(|lines| lines.concat()).at(offer.name())
    }
}
