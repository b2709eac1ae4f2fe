//! The records of a paid round: signatures, terms, and what follows from what.

use std::collections::BTreeSet;

use super::chain::Chain;
use super::differs::{Checked, blame, differs, printable, same, with_evidence, wrong};
use super::evidence::{Evidence, value};
use super::paid::{Paid, list_name, read_paid};
use super::rescoring::{Rescored, Rescoring};
use super::settled::{Due, broken, due, evidence, proves, recompute, rests};
use crate::data::Assignment;
use crate::error::{Error, Result};
use crate::pay::{Closing, Invoices, Msat, NodeId, Offer, RecordHash, Report, State, Task, hash_of};

/// The escrow of a round being checked.
struct Escrow<'a> {
    round: &'a Rescoring<'a>,
    again: &'a Rescored<'a>,
    chain: &'a Chain,
    paid: Paid,
    judge: NodeId,
}

/// Checks the records of a paid round; returns what was paid, nothing for a round without pay, and lines about what workers
/// have done to nobody's harm but their own.
pub fn check_paid(round: &Rescoring<'_>, again: &Rescored<'_>, chain: &Chain) -> Checked<(Msat, Vec<String>)> {
    let Some(mut paid) = read_paid(round.run, round.names, round.lists)? else { return Ok((Msat::ZERO, Vec::new())) };
    let mut odd = std::mem::take(&mut paid.odd);
    let Some(first) = paid.offers.first() else {
        return wrong(&format!("{}offers.jsonl", round.names.folder), "expected offers, found none");
    };
    let judge = round.start.judge.unwrap_or(first.judge);
    let escrow = Escrow { round, again, chain, judge, paid };
    escrow.offers()?;
    let issued = escrow.invoices(&mut odd);
    escrow.held(&issued, &mut odd);
    escrow.closings()?;
    let msat = escrow.verdicts(&mut odd)?;
    escrow.claimed(&mut odd);
    escrow.rungs(&mut odd)?;
    Ok((msat, odd))
}

impl Escrow<'_> {
    fn name(&self, file: &str) -> String {
        list_name(self.round.names, file)
    }

    /// The offer that a record is about.
    fn offer(&self, task: &Task) -> Result<&Offer> {
        let of = |offer: &&Offer| offer.id().is_ok_and(|id| id == task.offer);
        self.paid.offers.iter().find(of).ok_or_else(|| {
            Error::refused(format!("a record for worker {:?}: its offer is none of the round's", task.worker))
        })
    }

    /// What a worker has written, which harms nobody but the worker.
    fn passed_over(&self, list: &str, error: &Error, odd: &mut Vec<String>) {
        odd.push(format!("{}: passed over: {}", self.name(list), printable(&error.to_string())));
    }

    /// Signed by the judge, for the work that was assigned.
    fn offers(&self) -> Checked<()> {
        let (file, mut seen) = (self.name("offers"), BTreeSet::new());
        for offer in &self.paid.offers {
            blame(&file, offer.verify(&self.judge))?;
            let assignment = Assignment::find(self.round.assignments, self.round.round, &offer.worker);
            let assignment = blame(&file, assignment)?;
            let before = self.chain.get(&offer.worker).map_or_else(|| "zero".to_owned(), |last| last.feedback.clone());
            let key = assignment.key.clone().unwrap_or_else(|| offer.payee.to_string());
            let terms: [(&str, String, String); 6] = [
                ("run", self.round.start.id.to_string(), offer.run.to_string()),
                ("round", self.round.round.to_string(), offer.round.to_string()),
                ("payee", key, offer.payee.to_string()),
                ("assignment", assignment.digest()?.to_string(), offer.assignment.to_string()),
                ("theta", self.round.folder.digest.to_string(), offer.theta.to_string()),
                ("state_in", before, offer.state_in.clone()),
            ];
            if let Some((term, expected, found)) = terms.into_iter().find(|(_, expected, found)| expected != found) {
                let stop = differs::<()>(&file, format!("{}: {term}", offer.name()), expected, found);
                let lie = Evidence {
                    run: self.round.start.id,
                    round: self.round.round,
                    worker: offer.worker.clone(),
                    artifact: file.clone(),
                    rule: format!("{term} is that of the task"),
                    signed: value(offer)?,
                    recomputed: None,
                    against: None,
                };
                return stop.map_err(|stop| with_evidence(stop, [lie]));
            }
            if !seen.insert((&offer.worker, offer.attempt)) {
                return wrong(&file, format!("{}: a second one", offer.name()));
            }
        }
        Ok(())
    }

    /// Those that `invoice lock` pays, but for their expiry, with the tasks that they are for.
    fn invoices(&self, odd: &mut Vec<String>) -> Option<Vec<&Invoices>> {
        let mut issued = Vec::new();
        for message in self.paid.invoices.as_ref()? {
            match self.offer(&message.task).and_then(|offer| message.accept(offer, None)) {
                Ok(()) => issued.push(message),
                Err(error) => self.passed_over("invoices", &error, odd),
            }
        }
        Some(issued)
    }

    /// Which invoices are held is the worker's word alone: nothing is paid by it.
    fn held(&self, issued: &Option<Vec<&Invoices>>, odd: &mut Vec<String>) {
        for held in &self.paid.held {
            if let Err(error) = self.offer(&held.task).and_then(|offer| held.verify(offer)) {
                self.passed_over("held", &error, odd);
                continue;
            }
            let Some(issued) = issued else { continue };
            let hashes: Vec<RecordHash> = held.rungs.iter().map(|rung| rung.invoice).collect();
            let of = |i: &&&Invoices| i.task == held.task;
            let own = |i: &Invoices| i.invoices.iter().map(|b| RecordHash::of_invoice(b)).collect::<Vec<_>>();
            if !issued.iter().filter(of).any(|i| own(i) == hashes) {
                let (file, list) = (self.name("held"), self.name("invoices"));
                odd.push(format!("{file}: worker {} names invoices that are not in {list}", held.task.worker));
            }
        }
    }

    /// Signed by the judge, of commitments that are there.
    fn closings(&self) -> Checked<()> {
        let file = self.name("closing");
        let closings: Vec<Closing> =
            if self.round.run.has(&file) { self.round.run.records(&file)? } else { Vec::new() };
        for closing in &closings {
            blame(&file, closing.verify(&self.judge))?;
            same(&file, "run", self.round.start.id, closing.run)?;
            same(&file, "round", self.round.round, closing.round)?;
            let known: BTreeSet<RecordHash> =
                self.round.lists.commitments.iter().flatten().map(hash_of).collect::<Result<_>>()?;
            if let Some(gone) = closing.commitments.iter().find(|hash| !known.contains(hash)) {
                return wrong(
                    &self.round.names.commitments,
                    format!("expected the commitment {gone}, as {file} has it, found none"),
                );
            }
        }
        Ok(())
    }

    /// One an offer that is held, and each what the scores make it.
    fn verdicts(&self, odd: &mut Vec<String>) -> Checked<Msat> {
        let (paid, mut total) = (&self.paid, Msat::ZERO);
        for signed in &paid.verdicts {
            blame(&paid.file, self.offer(&signed.task).and_then(|offer| signed.verify(offer)))?;
        }
        for (i, signed) in paid.verdicts.iter().enumerate() {
            let offer = self.offer(&signed.task)?;
            if paid.verdicts[..i].iter().any(|before| before.task == signed.task) {
                let what = format!("{}: a second verdict", offer.name());
                let lie = evidence(self.round, paid, signed, None, "there is one verdict an offer, forever")?;
                return wrong(&paid.file, what).map_err(|stop| with_evidence(stop, [lie]));
            }
            rests(self.round, paid, offer, signed)?;
            match recompute(self.round, self.again, paid, offer, signed)? {
                Ok(expected) => {
                    if let Some((rule, expected_text, found)) = broken(signed, &expected) {
                        let lie = evidence(self.round, paid, signed, Some(&expected), rule)?;
                        let lie = Some(lie).filter(|_| proves(rule));
                        let what = format!("verdict on the {}: {rule}", offer.name());
                        let stop = differs(&paid.file, what, expected_text, found);
                        return stop.map_err(|stop| with_evidence(stop, lie));
                    }
                }
                Err(why) => {
                    // That nothing can be decided may rest on what was taken away since: it proves nothing.
                    return wrong(&paid.file, format!("verdict on the {}: {why}", offer.name()));
                }
            }
            total = total.plus(signed.paid_msat)?;
        }
        for offer in &paid.offers {
            let id = offer.id()?;
            if paid.verdicts.iter().any(|verdict| verdict.task.offer == id) {
                continue;
            }
            match due(self.round, self.again, paid, offer)? {
                Due::Never => {}
                Due::Waits(why) => odd.push(format!("{}: no verdict yet: {}", paid.file, printable(&why))),
                Due::Now => {
                    let what = format!("expected a verdict on the task of {}, whose pay was held", offer.worker);
                    return wrong(&paid.file, what);
                }
            }
        }
        Ok(total)
    }

    /// Each worker's own, of what the verdict paid.
    fn claimed(&self, odd: &mut Vec<String>) {
        for claimed in &self.paid.claimed {
            let verdict = self.paid.verdicts.iter().find(|verdict| verdict.task == claimed.task);
            let found = self.offer(&claimed.task).and_then(|offer| match verdict {
                Some(verdict) => claimed.verify(offer, verdict),
                None => Err(Error::refused(format!("claimed by {}: there is no verdict", offer.worker))),
            });
            if let Err(error) = found {
                self.passed_over("claimed", &error, odd);
            }
        }
    }

    /// What the payer's node says of every rung. Fees are its word alone.
    fn rungs(&self, odd: &mut Vec<String>) -> Checked<()> {
        let file = self.name("rungs");
        if !self.round.run.has(&file) {
            return Ok(());
        }
        let reports: Vec<Report> = self.round.run.records(&file)?;
        for offer in &self.paid.offers {
            let id = offer.id()?;
            let own: Vec<&Report> = reports.iter().filter(|r| r.offer == id).collect();
            let verdict = self.paid.verdicts.iter().find(|v| v.task.offer == id);
            let count = offer.rungs_msat.len();
            if own.is_empty() {
                // A payer apart from the judge knows of no offer whose invoices it never had.
                odd.push(format!("{file}: the payer says nothing of the {}", offer.name()));
                continue;
            }
            if own.len() != count {
                return differs(&file, format!("rungs of the {}", offer.name()), count, own.len());
            }
            for (rung, (report, msat)) in (0u32..).zip(own.iter().zip(&offer.rungs_msat)) {
                let place = |field: &str| format!("rung {rung} of the {}: {field}", offer.name());
                same(&file, &place("rung"), rung, report.rung)?;
                same(&file, &place("round"), offer.round, report.round)?;
                same(&file, &place("attempt"), offer.attempt, report.attempt)?;
                same(&file, &place("worker"), offer.worker.as_str(), report.worker.as_str())?;
                same(&file, &place("msat"), *msat, report.msat)?;
                let earned = verdict.is_some_and(|v| v.rungs.contains(&rung));
                match report.state {
                    State::Claimed | State::Revealed if !earned => {
                        return differs(&file, place("state"), "what was not earned", report.state);
                    }
                    // Of that the worker is the master: it gives back what it likes, and claims when it likes.
                    State::Cancelled | State::Expired if earned => {
                        let (msat, who) = (*msat, &offer.worker);
                        let why = format!("{who} gave it back, never claimed it, or was never shown what opens it");
                        odd.push(format!("{file}: {}: {msat} were earned and came back: {why}", place("state")));
                    }
                    _ => {}
                }
                if report.sent_msat.is_some_and(|sent| sent < *msat || report.state != State::Claimed) {
                    return wrong(&file, place("sent_msat: expected the amount at least, of what was claimed"));
                }
            }
        }
        let known: BTreeSet<_> = self.paid.offers.iter().map(Offer::id).collect::<Result<_>>()?;
        match reports.iter().find(|r| !known.contains(&r.offer)) {
            None => Ok(()),
            Some(other) => wrong(&file, format!("a rung of {:?}: its offer is none of the round's", other.worker)),
        }
    }
}
