//! The escrow's files of a paid round.

use super::differs::{Checked, printable};
use super::folder::RunFolder;
use super::lists::{Lists, Names};
use crate::pay::{Claimed, Closing, Held, Invoices, Offer, Verdict};

/// What judge and workers have left. The judge answers for every line of its own lists; workers have written to the others
/// as they liked, and what is nothing of theirs is odd, and no more.
pub struct Paid {
    /// The offers.
    pub offers: Vec<Offer>,
    /// The workers' invoices; none where they were not published.
    pub invoices: Option<Vec<Invoices>>,
    /// The workers' word that all is held.
    pub held: Vec<Held>,
    /// The closed lists of commitments.
    pub closings: Vec<Closing>,
    /// The verdicts.
    pub verdicts: Vec<Verdict>,
    /// The workers' word that they have their money.
    pub claimed: Vec<Claimed>,
    /// Where the verdicts stand.
    pub file: String,
    /// Lines about what workers have written and nobody can use.
    pub odd: Vec<String>,
}

/// The name of one of a round's lists.
pub fn list_name(names: &Names, list: &str) -> String {
    format!("{}{list}.jsonl", names.folder)
}

/// The escrow's files of a round, if it has any.
pub fn read_paid(run: &RunFolder, names: &Names, lists: &Lists) -> Checked<Option<Paid>> {
    let name = |list: &str| list_name(names, list);
    let file = name("verdicts");
    if !["offers", "held", "verdicts"].iter().any(|file| run.has(&name(file))) {
        return Ok(None);
    }
    let offers = run.records(&name("offers"))?;
    let (held, held_odd) = run.records_of_many(&name("held"))?;
    let (invoices, invoices_odd) = run.records_of_many(&name("invoices"))?;
    let (claimed, claimed_odd) = run.records_of_many(&name("claimed"))?;
    let odd = [("held", held_odd), ("invoices", invoices_odd), ("claimed", claimed_odd)];
    let say = |(list, odd): (&str, Vec<String>)| -> Vec<String> {
        odd.iter().map(|why| format!("{}: passed over: {}", name(list), printable(why))).collect()
    };
    Ok(Some(Paid {
        offers,
        invoices: run.has(&name("invoices")).then_some(invoices),
        held,
        closings: lists.closings.clone(),
        verdicts: run.has(&file).then(|| run.records(&file)).transpose()?.unwrap_or_default(),
        claimed,
        file,
        odd: odd.into_iter().flat_map(say).collect(),
    }))
}
