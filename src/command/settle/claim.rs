//! The worker's side of `l402 settle`: claim what was earned, give back the rest, and see that the money is there.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use super::super::escrow::Escrow;
use super::super::invoice::cancel;
use super::args::Args;
use crate::artifact::record;
use crate::error::{Context, Error, Result};
use crate::fsio::{Outcome, read_private};
use crate::pay::{
    Account, CallError, Channel, Claimed, Entry, HoldState, MARGIN, Msat, OfferId, Preimages, Received, State, Verdict,
    hash_of,
};
use crate::ui::{Page, Ui};

/// How long a payment may take to leave its channel once it is settled, where nobody said how long to wait.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a payment that is called paid may hang in its channel before that is an alarm: there is a minute to act.
const ALARM: Duration = Duration::from_secs(2);

/// What brings money back that the plugin calls paid while the payment still hangs.
const RECOVERY: &str = "the plugin calls it paid, and the payment still hangs in the channel: it recorded the settling \
                        and then crashed before the node had the preimage. It will be failed back within a minute. At \
                        once: stop the node, set the invoice's state back to `accepted` in the plugin's database, start \
                        the node, and run this again (docs/operating.md has the commands)";

/// Runs the worker's side.
pub fn run(args: &Args, reveal: &Path, ui: &Ui) -> Result<()> {
    let target = args.output.target();
    target.check(false)?;
    let (verdict, preimages) = read(reveal)?;
    let mut escrow = args.escrow.open(false, ui)?;
    let id = verdict.task.offer;
    let account = escrow.ledger.account(&id).filter(|a| a.invoices.is_some()).cloned();
    let account = account.ok_or_else(|| {
        Error::refused(format!("{}: no invoices were issued for its offer by this escrow folder", reveal.display()))
    })?;
    verdict.verify(&account.offer).at(reveal.display())?;
    preimages.verify(&account.offer, &verdict).at(reveal.display())?;
    if account.verdict.as_ref().is_some_and(|old| *old != verdict) {
        return Err(Error::refused(format!("{}: there was another verdict before this one", reveal.display()))
            .hint("the judge signed two verdicts on one offer: both together prove it"));
    }
    if args.escrow.dry_run {
        return dry_run(&mut escrow, &account, &verdict);
    }
    if account.verdict.is_none() {
        begin(&mut escrow, &account, &verdict, &preimages)?;
    }
    if escrow.ledger.account(&id).is_some_and(|a| a.claimed.is_none()) {
        settle(&mut escrow, &id, ui)?;
        give_back(&mut escrow, &id)?;
        confirm(&mut escrow, &id, args.wait.map_or(PATIENCE, Duration::from_secs), ui)?;
    } else {
        give_back(&mut escrow, &id)?;
    }
    let account = escrow.ledger.account(&id).expect("just claimed");
    let claimed = account.claimed.as_ref().ok_or_else(|| Error::bug("claimed, and not in the books"))?;
    ui.say(format!("{}: {} claimed", account.offer.name(), claimed.claimed_msat));
    if target.write_text(&record::line(claimed)?)? == Outcome::UpToDate {
        ui.say(format!("{}: up to date", target.name()));
    }
    Ok(())
}

/// The judge's file: a verdict, and the preimages of its rungs.
fn read(path: &Path) -> Result<(Verdict, Preimages)> {
    let text = read_private(path)?;
    let lines: Vec<record::Line> = text
        .lines()
        .enumerate()
        .map(|(i, line)| record::Line::parse(&format!("{}:{}", path.display(), i + 1), line))
        .collect::<Result<_>>()?;
    let (verdicts, preimages): (Vec<Verdict>, Vec<Preimages>) = (record::select(&lines)?, record::select(&lines)?);
    match (&verdicts[..], &preimages[..]) {
        ([verdict], [preimages]) => Ok((verdict.clone(), preimages.clone())),
        _ => Err(Error::data(format!(
            "{}: expected a verdict and its preimages, found {} and {}",
            path.display(),
            verdicts.len(),
            preimages.len()
        ))),
    }
}

fn dry_run(escrow: &mut Escrow, account: &Account, verdict: &Verdict) -> Result<()> {
    let mut page = Page::default();
    for (rung, hash) in (0u32..).zip(&account.offer.hashes) {
        let state = escrow.node.hold_invoice(hash)?.map(|h| h.state);
        let ask = match (verdict.rungs.contains(&rung), state) {
            // The preimage itself is never printed.
            (true, Some(HoldState::Accepted)) => {
                serde_json::json!({"method": "settleholdinvoice", "params": {"preimage": format!("<of {hash}>")}})
            }
            (false, Some(HoldState::Accepted | HoldState::Unpaid)) => {
                serde_json::json!({"method": "cancelholdinvoice", "params": {"payment_hash": hash}})
            }
            _ => continue,
        };
        page.json(&ask.to_string());
    }
    page.print()
}

/// Journals the verdict, the preimages, and what had come in through each channel before.
fn begin(escrow: &mut Escrow, account: &Account, verdict: &Verdict, preimages: &Preimages) -> Result<()> {
    let offer = &account.offer;
    let channels = escrow.node.channels()?;
    let mut due: BTreeMap<String, (Msat, Msat)> = BTreeMap::new();
    let mut expiry = u32::MAX;
    for &rung in &verdict.rungs {
        let hash = offer.hashes[rung as usize];
        for channel in &channels {
            for htlc in channel.htlcs.iter().filter(|h| h.is_for(&hash) && !h.is_leaving()) {
                expiry = expiry.min(htlc.expiry);
                let entry = due.entry(channel.channel_id.clone()).or_insert((channel.received(), Msat::ZERO));
                entry.1 = entry.1.plus(htlc.msat())?;
            }
        }
    }
    if escrow.height().saturating_add(MARGIN) > expiry {
        return Err(Error::refused(format!(
            "{}: expected {MARGIN} blocks until the payments expire at {expiry}, found height {}",
            offer.name(),
            escrow.height()
        ))
        .hint("the verdict came too late; the judge's signature on it and the heights of the offer prove that"));
    }
    let before = due.into_iter().map(|(channel, (msat, due_msat))| Received { channel, msat, due_msat }).collect();
    escrow.record(vec![Entry::Claiming { verdict: verdict.clone(), preimages: preimages.preimages.clone(), before }])
}

/// Settles every earned rung that is held. Settling twice does nothing.
fn settle(escrow: &mut Escrow, id: &OfferId, ui: &Ui) -> Result<()> {
    let account = escrow.ledger.account(id).expect("checked before").clone();
    let mut lost = None;
    for found in &account.preimages {
        let (rung, hash) = (found.rung, account.offer.hashes[found.rung as usize]);
        let place = format!("rung {rung} of the {}", account.offer.name());
        let listed = escrow.node.hold_invoice(&hash)?.map(|h| h.state);
        match listed {
            Some(HoldState::Accepted) => match escrow.node.settle_hold_invoice(&found.preimage) {
                Ok(()) => {}
                // Whatever it said: what it lists afterwards is what counts.
                Err(CallError::Answer(code, why)) => {
                    if escrow.node.hold_invoice(&hash)?.map(|h| h.state) != Some(HoldState::Paid) {
                        ui.say(format!("{place}: settleholdinvoice: code {code}: {why}"));
                    }
                }
                Err(error) => return Err(escrow.node.call_error("settleholdinvoice", error).at(place)),
            },
            Some(HoldState::Paid) => {}
            Some(HoldState::Cancelled | HoldState::Unpaid) | None => {
                lost = Some(Error::refused(format!(
                    "{place}: {} msat were earned, and there is no payment to claim: {}",
                    account.offer.rungs_msat[rung as usize].0,
                    match listed {
                        Some(HoldState::Cancelled) => "it was cancelled at this node",
                        Some(_) => "nothing is held",
                        None => "the node does not know the invoice",
                    }
                )));
            }
        }
    }
    match lost {
        Some(error) => {
            give_back(escrow, id)?;
            Err(error)
        }
        None => Ok(()),
    }
}

/// Cancels what was not earned, at once.
fn give_back(escrow: &mut Escrow, id: &OfferId) -> Result<()> {
    let account = escrow.ledger.account(id).expect("checked before");
    let open = (0u32..).zip(&account.rungs).filter(|(rung, book)| !account.earned(*rung) && !book.state.is_final());
    let rungs: Vec<u32> = open.map(|(rung, _)| rung).collect();
    cancel(escrow, id, &rungs)
}

/// What is left to say when the payment is gone and the money did not come.
const MISSING: &str = "the payment was failed back to the payer, whose node lists it as failed; keep the verdict and the \
                       offer: with them the payer can be asked to pay it again";

/// Where an earned payment stands.
enum Money {
    Here,
    Coming(String),
    InDanger(String),
    Missing(String),
}

/// Looks until every earned payment has left its channel and the money has come in over it, then says so, signed.
fn confirm(escrow: &mut Escrow, id: &OfferId, patience: Duration, ui: &Ui) -> Result<()> {
    let account = escrow.ledger.account(id).expect("checked before").clone();
    let begun = Instant::now();
    let mut pause = Duration::from_millis(20);
    let mut alarmed = false;
    loop {
        let channels = escrow.node.channels()?;
        let late = begun.elapsed() >= patience;
        match look(&account, &channels) {
            Money::Here => break,
            Money::Coming(why) if late => return Err(Error::try_again(why)),
            Money::Missing(why) if late => return Err(Error::refused(format!("MONEY MISSING: {why}")).hint(MISSING)),
            Money::InDanger(why) => {
                let error = Error::refused(format!("MONEY IN DANGER: {why}")).hint(RECOVERY);
                if late {
                    return Err(error);
                }
                if begun.elapsed() >= ALARM && !alarmed {
                    ui.error(&error);
                    alarmed = true;
                }
            }
            Money::Coming(_) | Money::Missing(_) => {}
        }
        escrow.node.pause(pause);
        pause = (pause * 2).min(Duration::from_millis(500));
        // A settling that the node lost is asked for again.
        settle(escrow, id, ui)?;
    }
    let verdict = account.verdict.as_ref().ok_or_else(|| Error::bug("no verdict in the books"))?;
    let height = escrow.node.refresh()?;
    let mut claimed = Claimed {
        task: verdict.task.clone(),
        verdict: hash_of(verdict)?,
        rungs: verdict.rungs.clone(),
        claimed_msat: verdict.paid_msat,
        height,
        sig: None,
    };
    escrow.sign(&mut claimed)?;
    claimed.verify(&account.offer, verdict)?;
    escrow.record(vec![Entry::Claimed { claimed }])
}

/// The money is there when no earned payment hangs in a channel any more *and* each channel has brought what was due.
fn look(account: &Account, channels: &[Channel]) -> Money {
    let name = account.offer.name();
    for found in &account.preimages {
        let hash = account.offer.hashes[found.rung as usize];
        if let Some(htlc) = channels.iter().flat_map(|c| &c.htlcs).find(|h| h.is_for(&hash)) {
            let msat = account.offer.rungs_msat[found.rung as usize];
            let place = format!("rung {} of the {name}: {msat}", found.rung);
            return match htlc.is_leaving() {
                true => Money::Coming(format!("{place}: settled, and on its way out of the channel")),
                false => {
                    Money::InDanger(format!("{place}: settled, as the plugin has it, and held by the channel still"))
                }
            };
        }
    }
    for before in &account.before {
        let Some(channel) = channels.iter().find(|c| c.channel_id == before.channel) else {
            return Money::Coming(format!("{name}: channel {} is gone: look on chain", before.channel));
        };
        let received = channel.received().minus(before.msat);
        if received < before.due_msat {
            return Money::Missing(format!(
                "{name}: channel {}: expected {} more than before, found {received}",
                before.channel, before.due_msat
            ));
        }
    }
    let due: u64 = account.before.iter().map(|b| b.due_msat.0).sum();
    let earned: u64 = account.preimages.iter().map(|p| account.offer.rungs_msat[p.rung as usize].0).sum();
    if due < earned && account.rungs.iter().any(|r| r.state == State::Revealed) {
        return Money::Missing(format!("{name}: {} were earned, {} were held", Msat(earned), Msat(due)));
    }
    Money::Here
}
