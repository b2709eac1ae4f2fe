//! `l402 commit --receive`: in which order commitments have come.

use std::collections::BTreeMap;
use std::path::Path;

use super::args::Args;
use crate::artifact::record::{self, Signer};
use crate::artifact::{Commitment, Digest, Room};
use crate::command::lists;
use crate::command::node::with_signer;
use crate::data::Assignment;
use crate::error::{Context, Error, Kind, Result};
use crate::fsio::Target;
use crate::pay::{Arrival, Arrivals, NodeId, hash_of};
use crate::ui::Ui;

/// The order in which commitments came, as this key has signed it.
pub(super) fn arrived(path: &Path, of: (&Digest, u64), by: &NodeId) -> Result<Arrivals> {
    let all = record::select(&record::read_lines(path)?)?;
    Arrivals::check(all, of, by).at(path.display())
}

/// Refuses to begin another order than the one of which a worker has a receipt.
fn require_receipt(receipt: &Path, output: &Path, arrivals: &Arrivals, (run, by): (&Digest, &NodeId)) -> Result<()> {
    if !std::fs::symlink_metadata(receipt).is_ok_and(|meta| meta.is_file()) {
        return Ok(());
    }
    let lines = match record::read_lines_of_many(receipt, Room::of_one()) {
        Err(error) if error.kind() == Kind::Data => return Ok(()),
        read => read?.0,
    };
    let given: Vec<Arrival> = record::select_well_formed(&lines);
    for arrival in given.iter().filter(|arrival| arrival.run == *run && arrival.verify(by).is_ok()) {
        let there = usize::try_from(arrival.index).ok().and_then(|index| arrivals.all().get(index));
        if there != Some(arrival) {
            return Err(Error::data(format!(
                "{}: of arrival {}, which {} does not have",
                receipt.display(),
                arrival.index,
                output.display()
            ))
            .hint(
                "the order that was signed is lost: put the file back; a second one is evidence against who signs it",
            ));
        }
    }
    Ok(())
}

/// Signs that commitments have come which had not. What was signed stays as it is.
pub(super) fn receive(args: &Args, ui: &Ui) -> Result<()> {
    let Some(assignments) = &args.assignments else {
        return Err(Error::bug("the command line lacks what it requires"));
    };
    let Some(output) = args.output.output.as_deref().filter(|path| path.as_os_str() != "-") else {
        return Err(Error::usage("--receive: expected --output, the file that has what came before"));
    };
    let place = assignments.display().to_string();
    let mut assigned: Vec<Assignment> = record::select(&record::read_lines(assignments)?)?;
    assigned.retain(|assignment| assignment.round == args.round);
    let Some(run) = assigned.first().map(|assignment| assignment.run) else {
        return Err(Error::missing(format!("{place}: no assignment of round {}", args.round)));
    };
    with_signer(args.key.as_deref(), &args.escrow.node, |signer| {
        let signer = signer.ok_or_else(|| Error::usage("expected --key or --rpc-file: who signs?"))?;
        receive_by(signer, args, (&run, &assigned), output, ui)
    })
}

fn receive_by(
    signer: &dyn Signer,
    args: &Args,
    (run, assigned): (&Digest, &[Assignment]),
    output: &Path,
    ui: &Ui,
) -> Result<()> {
    let by = NodeId(signer.public());
    let mut arrivals = match output.is_file() {
        true => arrived(output, (run, args.round), &by)?,
        false => Arrivals::default(),
    };
    if let Some(folder) = &args.receipts {
        for assignment in assigned {
            require_receipt(&folder.join(format!("{}.receipt", assignment.worker)), output, &arrivals, (run, &by))?;
        }
    }
    let before = arrivals.all().len();
    let mut owners: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let sent: Vec<Commitment> = lists::select(&lists::read_many(&args.receive, Room::of(2 * assigned.len()), ui)?);
    for commitment in &sent {
        let worker = &commitment.worker;
        let Some(assignment) = assigned.iter().find(|a| a.worker == *worker && a.run == commitment.run) else {
            continue;
        };
        if commitment.round != args.round {
            continue;
        }
        if let Some(key) = assignment.worker_key()?
            && !commitment.signed_by(&key)?
        {
            ui.say(format!("passed over: a commitment of {worker}: not signed by its key"));
            continue;
        }
        let hash = hash_of(commitment)?;
        if arrivals.place(&hash).is_none() {
            let mut next = arrivals.next(*run, args.round, hash, by);
            record::sign(&mut next, signer)?;
            arrivals.push(next)?;
        }
        let place = arrivals.place(&hash).unwrap_or_default();
        let own = owners.entry(worker.clone()).or_default();
        if !own.contains(&place) {
            own.push(place);
        }
    }
    let lines = arrivals.all().iter().map(record::line).collect::<Result<Vec<_>>>()?;
    // What came before stands in it as it was.
    Target::new(Some(output), true).write_text(&lines.concat())?;
    if let Some(folder) = &args.receipts {
        for (worker, places) in &owners {
            let text: String = places.iter().filter_map(|place| lines.get(*place as usize)).cloned().collect();
            Target::new(Some(&folder.join(format!("{worker}.receipt"))), true).write_text(&text)?;
        }
    }
    let all = lines.len();
    ui.say(format!("round {}: {all} commitments have come, {} of them now", args.round, all - before));
    Ok(())
}
