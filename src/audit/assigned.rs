//! The assignments of a round: signed by the coordinator, and what roster, shards and beacon draw.

use super::beacons::{Blocks, check_beacon};
use super::differs::{Checked, blame, differs, near, with_evidence, wrong};
use super::evidence::{Evidence, value};
use super::folder::RunFolder;
use super::start::Start;
use crate::artifact::beacon::Purpose;
use crate::artifact::record;
use crate::data::{Assignment, Draw};
use crate::score::Drawn;

/// The assignments of a round, as they were drawn and signed.
pub fn check_assignments(
    run: &RunFolder,
    start: &Start,
    round: u64,
    blocks: Option<&Blocks<'_>>,
) -> Checked<(Vec<Assignment>, Option<Drawn>)> {
    let file = format!("round-{round}/assignments.jsonl");
    let found: Vec<Assignment> = run.records(&file)?;
    let Some(first) = found.first() else {
        return wrong(&file, "expected assignment records, found none");
    };
    for assignment in &found {
        if let Err(error) = assignment.verify(start.coordinator.as_ref()) {
            coordinator_altered(start, &found)?;
            return blame(&file, Err(error));
        }
    }
    let signed = start.coordinator.is_some() || first.sig.is_some();
    // The same run and round in all of them: else it is they that differ, and not what they are drawn from.
    if found.iter().all(|a| a.run == first.run) && first.run != start.id {
        return differs("run.toml", "the run's id, as it was assigned", first.run, start.id);
    }
    for assignment in &found {
        if (assignment.run, assignment.round) != (start.id, round) {
            let (expected, found) = (format!("run {}, round {round}", start.id), assignment);
            return differs(&file, "an assignment", expected, format!("run {}, round {}", found.run, found.round));
        }
    }
    let beacon = format!("round-{round}/beacon-a");
    let drawn_beacon = check_beacon(run, start, round, Purpose::A, blocks)?;
    if let Some(drawn_by) = drawn_beacon.as_ref().map(|drawn| drawn.value) {
        let other = found.iter().find(|a| a.beacon != drawn_by);
        match other {
            Some(other) if found.iter().all(|a| a.beacon == other.beacon) => {
                return differs(&beacon, "the beacon, as the assignments have it", other.beacon, drawn_by);
            }
            Some(other) => return differs(&file, "the beacon", drawn_by, other.beacon),
            None => {}
        }
    }
    if signed && round == 0 {
        roster_altered(start, &found)?;
    }
    let draw = Draw { run: start.id, round, beacon: first.beacon };
    let mut drawn = blame("shards/shards.jsonl", draw.assign(&start.manifest, &start.roster))?;
    for (expected, found) in drawn.iter_mut().zip(&found) {
        expected.coordinator.clone_from(&found.coordinator);
        let unsigned = expected.clone();
        expected.sig.clone_from(&found.sig);
        if expected != found {
            let lie = Evidence {
                run: start.id,
                round,
                worker: found.worker.clone(),
                artifact: file.clone(),
                rule: "who works on what is drawn from roster, shards and beacon".into(),
                signed: value(found)?,
                recomputed: Some(value(&unsigned)?),
                against: None,
            };
            let stop = differs::<()>(&file, "what the beacon draws", line(&unsigned)?, line(found)?);
            return stop.map_err(|stop| with_evidence(stop, signed.then_some(lie))).map(|()| (Vec::new(), None));
        }
    }
    let text: String = drawn.iter().map(record::line).collect::<crate::error::Result<_>>()?;
    if text != run.text(&file)? {
        return differs(
            &file,
            "its lines",
            format!("{} assignments by ascending worker", drawn.len()),
            format!("{} in another form or order", found.len()),
        );
    }
    Ok((found, drawn_beacon))
}

fn line(assignment: &Assignment) -> Checked<String> {
    Ok(record::line(assignment)?.trim_end().to_owned())
}

/// Where all assignments are whole, by one key that is a character off from the file's, the file was altered.
fn coordinator_altered(start: &Start, found: &[Assignment]) -> Checked<()> {
    let whole = found.iter().all(|a| a.sig.is_some() && a.verify(None).is_ok());
    let named = found[0].coordinator.clone().unwrap_or_default();
    let held = start.coordinator.map_or(String::new(), |key| key.to_string());
    if !start.pinned && whole && near(&held, &named) {
        return differs("coordinator.pub", "key, as the assignments have it", named, held);
    }
    Ok(())
}

/// Where the signed assignments are of as many workers as the roster, but of others, the roster was altered.
fn roster_altered(start: &Start, found: &[Assignment]) -> Checked<()> {
    let members = start.roster.members();
    let mut assigned: Vec<(&str, Option<&str>)> = found.iter().map(|a| (a.worker.as_str(), a.key.as_deref())).collect();
    assigned.sort_unstable();
    let listed = members.iter().map(|m| (m.worker.as_str(), m.key.as_deref()));
    if members.len() != assigned.len() {
        return Ok(());
    }
    match listed.zip(assigned).find(|(listed, assigned)| listed != assigned) {
        None => Ok(()),
        Some((listed, assigned)) => {
            let show = |(worker, key): (&str, Option<&str>)| format!("{worker}={}", key.unwrap_or("none"));
            differs("roster.jsonl", "a worker, as it was assigned", show(assigned), show(listed))
        }
    }
}
