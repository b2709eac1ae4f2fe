//! The escrow's files of a paid round.

use super::differs::Checked;
use super::folder::RunFolder;
use super::lists::Names;
use crate::pay::{Closing, Held, Offer, Verdict};

/// The files of a paid round that a verdict rests on.
pub struct Paid {
    /// The offers.
    pub offers: Vec<Offer>,
    /// The workers' word that all is held.
    pub held: Vec<Held>,
    /// The closed lists of commitments.
    pub closings: Vec<Closing>,
    /// The verdicts.
    pub verdicts: Vec<Verdict>,
    /// Where the verdicts stand.
    pub file: String,
}

/// The escrow's files of a round, if it has any.
pub fn read_paid(run: &RunFolder, names: &Names) -> Checked<Option<Paid>> {
    let name = |file: &str| format!("{}{file}.jsonl", names.folder);
    let file = name("verdicts");
    if !["offers", "held", "verdicts"].iter().any(|file| run.has(&name(file))) {
        return Ok(None);
    }
    let list = |file: &str| run.has(&name(file)).then(|| name(file));
    Ok(Some(Paid {
        offers: run.records(&name("offers"))?,
        held: list("held").map(|file| run.records(&file)).transpose()?.unwrap_or_default(),
        closings: list("closing").map(|file| run.records(&file)).transpose()?.unwrap_or_default(),
        verdicts: run.has(&file).then(|| run.records(&file)).transpose()?.unwrap_or_default(),
        file,
    }))
}
