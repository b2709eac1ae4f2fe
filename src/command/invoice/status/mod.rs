//! `l402 invoice status`: what has become of the payments, and the worker's word that they are held.

mod payer;
mod progress;
mod worker;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::super::escrow::{Escrow, EscrowArgs};
use crate::artifact::record;
use crate::command::args::OutputArgs;
use crate::error::{Error, Kind, Result};
use crate::pay::{Account, OfferId, Report};
use crate::ui::Ui;

pub use payer::refresh_payments;
pub use worker::cancel;

use payer::take_held;
use progress::Progress;
use worker::look_as_worker;

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
    /// The payer: the workers' held records; as often as there are files, or a folder with its `*.jsonl`. A payment that was
    /// held is not begun again when it comes back
    #[arg(long, value_name = "FILE|DIR")]
    held: Vec<PathBuf>,
    /// Print every rung's state as JSON Lines instead
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    escrow: EscrowArgs,
    #[command(flatten)]
    output: OutputArgs,
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
    if !args.held.is_empty() {
        take_held(&mut escrow, &selected, &args.held, args.escrow.dry_run, ui)?;
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

/// An offer and the states of its rungs, for people.
pub fn summary(account: &Account) -> String {
    let states: Vec<String> =
        account.rungs.iter().zip(&account.offer.rungs_msat).map(|(r, m)| format!("{} {}", m.0, r.state)).collect();
    format!("{}: {}", account.offer.name(), states.join(", "))
}
