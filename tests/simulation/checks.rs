//! What must hold, after everything that happens and at the end.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::bank::WORK;
use super::books::{self, Offered};
use super::play::{Outcome, Play};
use super::schedule::*;
use super::seat::node;
use super::shell;
use crate::common::escrow::call;

/// After every move: one verdict an offer; no preimage anywhere and nothing settled before it, and only its rungs.
pub fn always(play: &Play<'_>) -> Result<(), String> {
    let offers = books::judged(&play.seat)?;
    books::shown(&play.seat, &offers)?;
    for offer in offers.values() {
        for (rung, hash) in offer.hashes.iter().enumerate() {
            let row = play.bank.row(node(offer.worker, false), hash);
            let settled = row.is_some_and(|row| row["state"] == "paid");
            let earned = offer.verdict.as_ref().is_some_and(|verdict| verdict.rungs.contains(&rung));
            if settled && !earned {
                return Err(format!("rung {rung} of {} is settled, and was not earned", offer.worker.name()));
            }
        }
    }
    Ok(())
}

/// What was in time when nothing went wrong any more has come to what the undisturbed run comes to.
pub fn in_time(play: &Play<'_>, begun: u64) -> Result<(), String> {
    let offers = books::judged(&play.seat)?;
    for w in WORKERS {
        let offer = offers.get(w.name()).ok_or(format!("{} was never offered anything", w.name()))?;
        let [lock_by, .., claim_by] = offer.heights;
        if begun < lock_by && offer.verdict.as_ref().is_none_or(|verdict| verdict.paid == 0) {
            return Err(format!("{} was in time, at {begun} before {lock_by}, and has earned nothing", w.name()));
        }
        if begun < claim_by && offer.verdict.is_some() && !play.done.contains(&Claim(w)) {
            return Err(format!("{} was in time, at {begun} before {claim_by}, and has claimed nothing", w.name()));
        }
    }
    Ok(())
}

/// At the end: money, rungs, the audit, and bytes.
pub fn at_the_end(play: &mut Play<'_>, before: &[u64; 4], after: &[u64; 4]) -> Result<Outcome, String> {
    let offers = books::judged(&play.seat)?;
    let paid = rungs(play, &offers)?;
    money(play, &paid, before, after)?;
    bytes(play)?;
    audit(play, &offers)?;
    Ok(Outcome {
        paid,
        judged: offers.values().filter_map(|o| Some((o.worker, o.verdict.as_ref()?.rungs.clone()))).collect(),
        scored: play.seat.file(Judge, "scores.jsonl").exists(),
        next: play.seat.run(Judge).join("theta-1/config.json").exists(),
    })
}

/// Whether the payer's list names a rung that may still come to an end by itself.
pub fn is_open(play: &Play<'_>) -> bool {
    let payer = if play.schedule.apart { Payer } else { Judge };
    let rungs = books::lines(&play.seat.file(payer, "rungs.jsonl"));
    rungs.iter().any(|r| ["locking", "unknown", "held", "judged", "revealed"].iter().any(|state| r["state"] == *state))
}

/// Every rung is claimed, cancelled or expired: by both nodes, and by what both parties' verbs say. What was claimed.
fn rungs(play: &Play<'_>, offers: &BTreeMap<String, Offered>) -> Result<BTreeMap<Party, u64>, String> {
    let mut paid = BTreeMap::new();
    let payer = if play.schedule.apart { Payer } else { Judge };
    let payers = books::lines(&play.seat.file(payer, "rungs.jsonl"));
    for offer in offers.values() {
        let w = offer.worker;
        let own = said_by(play, w)?;
        let mut claimed = 0;
        for (rung, (hash, msat)) in offer.hashes.iter().zip(&offer.msat).enumerate() {
            let name = format!("rung {rung} of {}", w.name());
            let row = play.bank.row(node(w, false), hash).map(|row| row["state"].as_str().unwrap().to_owned());
            let listed = call(&play.bank.devnet.socket(1).0, "listpays", json!({ "payment_hash": hash }));
            let listed = listed.map_err(|code| format!("listpays: {code}"))?;
            let pay = listed["pays"].as_array().and_then(|pays| pays.first()?["status"].as_str().map(str::to_owned));
            let is_paid = match (row.as_deref(), pay.as_deref()) {
                (Some("paid"), Some("complete")) => true,
                (Some("cancelled"), Some("failed") | None) | (None, None | Some("failed")) => false,
                other => return Err(format!("{name}: it has no end at the nodes: {other:?}")),
            };
            claimed += if is_paid { *msat } else { 0 };
            for (who, lines) in [(payer, &payers), (w, &own)] {
                let of = |r: &&Value| r["worker"] == w.name() && r["rung"] == rung;
                let state = lines.iter().find(of).map(|r| r["state"].as_str().unwrap_or_default());
                match (state, is_paid) {
                    (Some("claimed"), true) | (Some("cancelled" | "expired") | None, false) => {}
                    // Offered, and never begun by the payer.
                    (Some("offered" | "issued"), false) if who == payer && pay.is_none() => {}
                    (state, _) => {
                        return Err(format!("{name}: paid is {is_paid}, and {} says {state:?}", who.name()));
                    }
                }
            }
        }
        let verdict = offer.verdict.as_ref().map_or(0, |verdict| verdict.paid);
        let has_claimed = play.seat.file(w, &format!("{}.claimed", w.name())).exists();
        if (has_claimed || claimed != 0) && claimed != verdict {
            return Err(format!("{}: the verdict pays {verdict}, and {claimed} were claimed", w.name()));
        }
        paid.insert(w, claimed);
    }
    Ok(paid)
}

/// A worker's rungs, as its `invoice status` tells of them.
fn said_by(play: &Play<'_>, w: Party) -> Result<Vec<Value>, String> {
    if play.seat.journal(w).is_none() {
        return Ok(Vec::new());
    }
    let args = format!("invoice status 0 {} --json", w.name());
    let output = shell::wait(shell::start(&play.seat, w, &args, None));
    let text = String::from_utf8_lossy(&output.stdout);
    if !matches!(output.status.code(), Some(0 | 1)) {
        return Err(format!("{args}: {:?}: {}", output.status, String::from_utf8_lossy(&output.stderr)));
    }
    Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

/// To the msat: what was claimed has moved, once, and nothing else.
fn money(play: &Play<'_>, paid: &BTreeMap<Party, u64>, before: &[u64; 4], after: &[u64; 4]) -> Result<(), String> {
    let total: u64 = paid.values().sum();
    let of = |w: Party| paid.get(&w).copied().unwrap_or(0);
    let expected = [before[0] - total, before[1] + of(Ann), before[2] + of(Bob), before[3]];
    if *after != expected {
        return Err(format!("expected balances {expected:?} msat, found {after:?}"));
    }
    let (sum, capacity) = (after.iter().sum::<u64>(), play.bank.capacity());
    if sum != capacity {
        return Err(format!("expected {capacity} msat in all channels, found {sum}"));
    }
    Ok(())
}

/// What was made is what the undisturbed run has made.
fn bytes(play: &mut Play<'_>) -> Result<(), String> {
    let Some(work) = &play.bank.run(play.schedule.apart).work else { return keep(play) };
    for w in WORKERS {
        for kind in WORK {
            let name = format!("{}.{kind}", w.name());
            for party in [w, Judge] {
                let there = fs::read(play.seat.file(party, &name));
                if there.is_ok_and(|there| there != fs::read(work.path().join(&name)).unwrap()) {
                    return Err(format!("{}'s {name} is not what it was", party.name()));
                }
            }
        }
    }
    keep(play)
}

/// The next model is the same whenever the same updates count, and so are scores where commitments came in the same order: of two
/// updates that are alike the later one is the copy.
fn keep(play: &mut Play<'_>) -> Result<(), String> {
    let Ok(scores) = fs::read(play.seat.file(Judge, "scores.jsonl")) else { return Ok(()) };
    let lines = books::lines(&play.seat.file(Judge, "scores.jsonl"));
    let counting: Vec<String> =
        lines.iter().filter(|line| line["counts"] == true).map(|line| line["worker"].to_string()).collect();
    // What came after the closing stands in the list, and not in the scores.
    let closing = books::lines(&play.seat.file(Judge, "closing.jsonl"));
    let listed = closing.first().and_then(|c| c["commitments"].as_array()).map_or(0, Vec::len);
    let commitments = books::lines(&play.seat.file(Judge, "commitments.jsonl"));
    let order: Vec<String> =
        commitments.iter().filter(|c| c["type"] == "commitment").map(|c| c["worker"].to_string()).collect();
    let shown = play.seat.shown();
    let mut made =
        vec![(format!("the scores of {order:?}, {listed} listed, {shown:?} shown"), vec![(String::new(), scores)])];
    let next = play.seat.run(Judge).join("theta-1");
    if next.exists() {
        made.push((format!("the next model of {counting:?}"), files(&next)));
    }
    let results = &mut play.bank.run_mut(play.schedule.apart).results;
    for (what, files) in made {
        match results.get(&what) {
            None => drop(results.insert(what, files)),
            Some(before) if *before == files => {}
            Some(_) => return Err(format!("{what}: other than in the undisturbed run")),
        }
    }
    Ok(())
}

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).unwrap().map(|e| e.unwrap());
    let mut all: Vec<_> =
        entries.map(|e| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap())).collect();
    all.sort();
    all
}

/// An honest coordinator's run folder is equal, whatever happened. Of a judge that was too late for one worker, and not for the
/// other, it is said.
fn audit(play: &mut Play<'_>, offers: &BTreeMap<String, Offered>) -> Result<(), String> {
    let output = shell::wait(shell::start(&play.seat, Judge, "audit", None));
    let said = String::from_utf8_lossy(&output.stderr);
    let held = |w: Party| play.seat.file(Judge, &format!("{}.held", w.name())).exists();
    let late = offers.values().find(|offer| held(offer.worker) && offer.verdict.is_none());
    match (output.status.code(), late) {
        (Some(0), _) => Ok(()),
        (Some(1), Some(offer))
            if said.contains(&format!(
                "expected a verdict on the task of {}, whose pay was held",
                offer.worker.name()
            )) =>
        {
            Ok(())
        }
        (code, _) => Err(format!("the audit ends with {code:?}: {said}{}", String::from_utf8_lossy(&output.stdout))),
    }
}
