//! The beacons of a round: bound to blocks that were named before they were there, or taken on trust.

use lightning::bitcoin::secp256k1::PublicKey;

use super::differs::{Checked, blame, differs, with_evidence, wrong};
use super::evidence::{Evidence, value};
use super::folder::RunFolder;
use super::start::Start;
use crate::artifact::Digest;
use crate::artifact::beacon::{BlockHeader, Purpose};
use crate::artifact::record::{self, Line, Signed};
use crate::data::RosterClosing;
use crate::pay::Closing;
use crate::score::{Bound, Drawn, ListClosing};

/// What the auditor's own node, or its file of headers, has at a height.
pub type Blocks<'a> = dyn Fn(u32) -> crate::error::Result<BlockHeader> + 'a;

/// Reads a beacon of a round, and checks it where it is bound. Where the recipe has beacons bound it must be, and must be there.
pub fn check_beacon(
    run: &RunFolder,
    start: &Start,
    round: u64,
    purpose: Purpose,
    blocks: Option<&Blocks<'_>>,
) -> Checked<Option<Drawn>> {
    let file = format!("round-{round}/beacon-{purpose}");
    if !run.has(&file) {
        if start.recipe.verify.beacons_are_bound() {
            return wrong(&file, "expected a beacon that is bound to a block, as the recipe has it, found none");
        }
        return Ok(None);
    }
    let drawn = blame(&file, Drawn::parse(&file, &run.text(&file)?, &start.id, round, purpose))?;
    blame(&file, drawn.require(&start.recipe, purpose, round))?;
    if let Some(bound) = &drawn.bound {
        let by: Option<PublicKey> = match purpose {
            Purpose::A => start.coordinator,
            Purpose::B => start.judge.map(|judge| judge.0),
        };
        by.map_or(Ok(()), |key| blame(&file, bound.require_by(&key)))?;
        closed_the_list(run, start, round, &file, bound)?;
        if let Some(blocks) = blocks {
            let height = blame(&file, bound.closing.closed(&file))?.block.height;
            blame(&file, bound.beacon.on_chain(height, &blocks(height)?))?;
        }
    }
    Ok(Some(drawn))
}

/// What the beacon hangs on must be what closed this round's list, and no second word of it.
fn closed_the_list(run: &RunFolder, start: &Start, round: u64, file: &str, bound: &Bound) -> Checked<()> {
    let beside = |name: &str| -> Checked<Option<Vec<Line>>> {
        let name = format!("round-{round}/{name}");
        run.has(&name).then(|| run.lines(&name)).transpose()
    };
    match &bound.closing {
        ListClosing::Roster(closing) => {
            blame(file, closing.require(&start.roster, &start.manifest))?;
            let beside_it = format!("round-{round}/roster-closing.jsonl");
            let others: Vec<RosterClosing> = match beside("roster-closing.jsonl")? {
                Some(lines) => {
                    let closing = blame(&beside_it, ListClosing::of(&lines, Purpose::A, &beside_it))?;
                    blame(&beside_it, closing.closed(&beside_it))?;
                    blame(&beside_it, record::select(&lines))?
                }
                None => return Ok(()),
            };
            one_word(file, bound, closing, others.iter())
        }
        ListClosing::Commitments(closing) => {
            let others: Vec<Closing> = match beside("closing.jsonl")? {
                Some(lines) => blame(file, record::select(&lines))?,
                None => return wrong(file, "expected the closing that it hangs on as closing.jsonl, found none"),
            };
            one_word(file, bound, closing, others.iter().filter(|other| other.attempt == closing.attempt))
        }
    }
}

/// Two words on one list, both signed, are evidence.
fn one_word<'c, C: Signed + Clone + 'c>(
    file: &str,
    bound: &Bound,
    closing: &C,
    mut others: impl Iterator<Item = &'c C>,
) -> Checked<()> {
    let found = bound.beacon.closing;
    let Some(other) = others.find(|other| record::hash(*other).is_ok_and(|hash| hash != found.0)) else {
        return Ok(());
    };
    let signer = bound.closing.signer()?;
    let signed = record::verify(other, &signer)?;
    let lie = Evidence {
        run: bound.beacon.run,
        round: bound.beacon.round,
        worker: signer.to_string(),
        artifact: file.to_owned(),
        rule: "a list is closed once, by one word".into(),
        signed: value(closing)?,
        recomputed: None,
        against: Some(value(other)?),
    };
    let stop = differs(file, "the closing that it hangs on", Digest(record::hash(other)?), found);
    stop.map_err(|stop| with_evidence(stop, signed.then_some(lie)))
}
