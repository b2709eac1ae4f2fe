//! In which order commitments came, as who closes the list has signed it, and what it has signed beside.

use super::differs::{Checked, Stop, blame, differs, printable, with_evidence, wrong};
use super::evidence::{Evidence, value};
use super::folder::RunFolder;
use super::lists::{Lists, Names};
use super::start::Start;
use crate::artifact::record;
use crate::pay::{Arrival, Arrivals, Closing, hash_of};

/// The arrivals of a round, if it has any: one chain, up to where each closing knows it, in which every receipt has its place.
/// What is in receipts and proves nothing is said.
pub fn check_arrivals(
    run: &RunFolder,
    start: &Start,
    names: &Names,
    lists: &Lists,
    odd: &mut Vec<String>,
) -> Checked<Option<Arrivals>> {
    let (file, round) = (format!("{}arrivals.jsonl", names.folder), names.round);
    let Some(judge) = &start.judge else { return Ok(None) };
    let own = |closing: &&Closing| closing.verify(judge).is_ok() && closing.round == round;
    let closed = || lists.closings.iter().filter(own).filter_map(|closing| closing.arrivals);
    if !run.has(&file) {
        return match closed().next() {
            Some(end) => {
                wrong(&file, format!("expected the {} arrivals that the closing knows of, found none", end.count))
            }
            None => Ok(None),
        };
    }
    let all: Vec<Arrival> = run.records(&file)?;
    let arrivals = blame(&file, Arrivals::check(all, (&start.id, round), judge))?;
    let unseen = arrivals.unseen(lists.commitments.as_deref().unwrap_or_default())?;
    odd.extend(unseen.iter().map(|why| printable(&format!("{file}: {why}"))));
    for end in closed() {
        let then =
            usize::try_from(end.count).ok().and_then(|count| arrivals.all().get(..count)).unwrap_or(arrivals.all());
        let last = then.last().map_or(Ok([0; 32]), record::hash)?;
        if then.len() as u64 != end.count || last != end.last.0 {
            let found = format!("{}, {}", arrivals.all().len(), hex::encode(last));
            return differs(&file, "its end, as the closing has it", format!("{}, {}", end.count, end.last), found);
        }
    }
    for closing in lists.closings.iter().filter(own).filter(|closing| closing.arrivals.is_some()) {
        if let Some(gone) = closing.commitments.iter().find(|hash| arrivals.place(hash).is_none()) {
            return differs(&file, "a commitment of the closing", gone, "none of it");
        }
    }
    check_receipts(run, start, names, &arrivals, odd)?;
    Ok(Some(arrivals))
}

/// Who was left out, or moved, shows its receipt: a record of the same key that is not the one in its place.
fn check_receipts(
    run: &RunFolder,
    start: &Start,
    names: &Names,
    arrivals: &Arrivals,
    odd: &mut Vec<String>,
) -> Checked<()> {
    let Some(judge) = &start.judge else { return Ok(()) };
    let receipts: Vec<&str> = run.below(&names.folder).filter(|name| name.ends_with(".receipt")).collect();
    for file in receipts {
        let receipts = match run.records_of_many::<Arrival>(file) {
            Ok((receipts, malformed)) => {
                odd.extend(malformed.iter().map(|why| printable(&format!("{file}: {why}"))));
                receipts
            }
            // The worker's file, as large as it likes.
            Err(Stop::Differs(difference, _)) => {
                odd.push(difference.to_string());
                continue;
            }
            Err(stop) => return Err(stop),
        };
        let of_round = |a: &&Arrival| (a.run, a.round) == (start.id, names.round) && a.verify(judge).is_ok();
        let foreign = receipts.iter().filter(|receipt| !of_round(receipt)).count();
        if foreign > 0 {
            odd.push(format!("{file}: {foreign} records that are no receipts of this round"));
        }
        for receipt in receipts.iter().filter(of_round) {
            let there = arrivals.all().get(receipt.index as usize);
            let (expected, found) = (hash_of(receipt)?, there.map(hash_of).transpose()?);
            if found != Some(expected) {
                let lie = Evidence {
                    run: start.id,
                    round: names.round,
                    worker: judge.to_string(),
                    artifact: file.to_owned(),
                    rule: "what has come stays where it came".into(),
                    signed: value(receipt)?,
                    recomputed: None,
                    against: there.map(value).transpose()?,
                };
                let found = found.map_or("none".into(), |found| found.to_string());
                let what = format!("arrival {}, as the receipt of {file} has it", receipt.index);
                let stop = differs(&format!("{}arrivals.jsonl", names.folder), what, expected, found);
                return stop.map_err(|stop| with_evidence(stop, [lie]));
            }
        }
    }
    Ok(())
}
