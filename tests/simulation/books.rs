//! What the parties have written down, read without a verb: offers, verdicts, preimages.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::schedule::*;
use super::seat::Seat;

/// An offer, as the judge's journal has it.
#[derive(Clone, Debug)]
pub struct Offered {
    pub worker: Party,
    pub hashes: Vec<String>,
    pub msat: Vec<u64>,
    /// lock_by, commit_by, reveal_by, claim_by.
    pub heights: [u64; 4],
    /// What the judge decided.
    pub verdict: Option<Verdict>,
}

/// A verdict.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    pub rungs: Vec<usize>,
    pub paid: u64,
    pub line: Value,
}

impl Verdict {
    pub fn of(line: &Value) -> Option<Verdict> {
        let rungs = line["rungs"].as_array()?.iter().filter_map(Value::as_u64).map(|rung| rung as usize).collect();
        // A journal's entry says by itself what it is.
        let mut line = line.clone();
        line.as_object_mut()?.retain(|field, _| !["type", "v"].contains(&field.as_str()));
        Some(Verdict { rungs, paid: line["paid_msat"].as_u64()?, line })
    }
}

/// Whole lines of JSON; what a kill or a full disk has cut off is none. A journal's lines have a digest before it.
pub fn lines(path: &Path) -> Vec<Value> {
    let bytes = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    whole.filter_map(|line| serde_json::from_str(&line[line.find('{')?..]).ok()).collect()
}

/// Offers by their id, with the verdicts on them; two verdicts on one are an error.
pub fn judged(seat: &Seat) -> Result<BTreeMap<String, Offered>, String> {
    let mut offers = BTreeMap::new();
    let mut ids = BTreeMap::new();
    let Some(journal) = seat.journal(Judge) else { return Ok(offers) };
    let entries = lines(&journal);
    for entry in entries.iter().filter(|e| e["entry"] == "offered") {
        let offer = &entry["offer"];
        let Some(worker) = WORKERS.into_iter().find(|w| offer["worker"] == w.name()) else {
            return Err(format!("an offer to {}", offer["worker"]));
        };
        let height = |name: &str| offer["heights"][name].as_u64().unwrap();
        let array = |name: &str| offer[name].as_array().cloned().unwrap_or_default();
        let offered = Offered {
            worker,
            hashes: array("hashes").iter().map(|h| h.as_str().unwrap().to_owned()).collect(),
            msat: array("rungs_msat").iter().map(|m| m.as_u64().unwrap()).collect(),
            heights: ["lock_by", "commit_by", "reveal_by", "claim_by"].map(height),
            verdict: None,
        };
        if ids.insert(worker, offered.hashes.clone()).is_some_and(|old| old != offered.hashes) {
            return Err(format!("two offers to {}", worker.name()));
        }
        offers.insert(worker.name().to_owned(), offered);
    }
    for entry in entries.iter().filter(|e| e["entry"] == "judged") {
        let line = &entry["verdict"];
        let who = line["task"]["worker"].as_str().unwrap_or_default();
        let offer = offers.get_mut(who).ok_or(format!("a verdict on no offer: {line}"))?;
        one(&mut offer.verdict, line, "the journal")?;
    }
    Ok(offers)
}

/// Keeps a verdict, which must be the one that is there.
fn one(verdict: &mut Option<Verdict>, line: &Value, place: &str) -> Result<(), String> {
    let new = Verdict::of(line).ok_or(format!("{place}: no verdict: {line}"))?;
    match verdict {
        Some(old) if *old != new => Err(format!("{place}: two verdicts on one offer: {} and {line}", old.line)),
        _ => {
            *verdict = Some(new);
            Ok(())
        }
    }
}

/// Every verdict that lies anywhere is the one in the judge's journal, and every preimage one of its rungs.
pub fn shown(seat: &Seat, offers: &BTreeMap<String, Offered>) -> Result<(), String> {
    let mut places: Vec<_> = seat.parties().into_iter().map(|p| seat.file(p, "verdicts.jsonl")).collect();
    let folders = [seat.reveals(), seat.private(Ann), seat.private(Bob)];
    for folder in folders {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        places.extend(entries.map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "reveal")));
    }
    for place in places {
        let name = place.display().to_string();
        for line in lines(&place) {
            let who = line["task"]["worker"].as_str().unwrap_or_default();
            let verdict = offers.get(who).and_then(|offer| offer.verdict.as_ref());
            let verdict = verdict.ok_or(format!("{name}: before its verdict was journaled: {}", line["type"]))?;
            if line["type"] == "verdict" {
                one(&mut Some(verdict.clone()), &line, &name)?;
            }
            for preimage in line["preimages"].as_array().into_iter().flatten() {
                let rung = preimage["rung"].as_u64().unwrap_or(u64::MAX) as usize;
                if !verdict.rungs.contains(&rung) {
                    return Err(format!("{name}: the preimage of rung {rung}, which was not earned"));
                }
            }
        }
    }
    Ok(())
}
