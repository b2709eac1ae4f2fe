//! The records of a paid round: signatures, terms, and what follows from what.

use std::collections::BTreeSet;

use super::assigned::with_evidence;
use super::chain::Chain;
use super::differs::{Checked, blame, differs, same, wrong};
use super::evidence::{Evidence, value};
use super::paid::{Paid, read_paid};
use super::rescoring::{Rescored, Rescoring};
use super::settled::{broken, evidence, proves, recompute, rests};
use crate::data::Assignment;
use crate::error::Result;
use crate::pay::{Claimed, Invoices, Msat, NodeId, Offer, RecordHash, Report, State, Verdict, hash_of, invoice};

/// The escrow of a round being checked.
struct Escrow<'a> {
    round: &'a Rescoring<'a>,
    again: &'a Rescored<'a>,
    chain: &'a Chain,
    paid: Paid,
    judge: NodeId,
}

/// Checks the records of a paid round; returns what was paid, `None` for a round without pay.
pub fn check_paid(round: &Rescoring<'_>, again: &Rescored<'_>, chain: &Chain) -> Checked<Option<Msat>> {
    let Some(paid) = read_paid(round.run, round.names)? else { return Ok(None) };
    let Some(first) = paid.offers.first() else {
        return wrong(&format!("{}offers.jsonl", round.names.folder), "expected offers, found none");
    };
    let judge = round.start.judge.unwrap_or(first.judge);
    let escrow = Escrow { round, again, chain, judge, paid };
    escrow.offers()?;
    let invoices = escrow.invoices()?;
    escrow.held(&invoices)?;
    escrow.closings()?;
    let msat = escrow.verdicts()?;
    escrow.claimed()?;
    escrow.rungs()?;
    Ok(Some(msat))
}

impl Escrow<'_> {
    fn name(&self, file: &str) -> String {
        format!("{}{file}.jsonl", self.round.names.folder)
    }

    /// The offer that a record is about.
    fn offer(&self, file: &str, task: &crate::pay::Task) -> Checked<&Offer> {
        let ids: Vec<_> = self.paid.offers.iter().map(Offer::id).collect::<Result<_>>()?;
        match ids.iter().position(|id| *id == task.offer) {
            Some(i) => Ok(&self.paid.offers[i]),
            None => wrong(file, format!("a record for worker {:?}: its offer is none of the round's", task.worker)),
        }
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
                };
                return stop.map_err(|stop| with_evidence(stop, [lie]));
            }
            if !seen.insert((&offer.worker, offer.attempt)) {
                return wrong(&file, format!("{}: a second one", offer.name()));
            }
        }
        Ok(())
    }

    /// Each worker's own, and what the offers ask for. Whether they had expired is for who paid them.
    fn invoices(&self) -> Checked<Option<Vec<Invoices>>> {
        let file = self.name("invoices");
        if !self.round.run.has(&file) {
            return Ok(None);
        }
        let all: Vec<Invoices> = self.round.run.records(&file)?;
        for message in &all {
            let offer = self.offer(&file, &message.task)?;
            blame(&file, message.verify(offer))?;
            for (rung, bolt11) in (0u32..).zip(&message.invoices) {
                let made = blame(&file, invoice::parse(bolt11))?.duration_since_epoch().as_secs();
                blame(&file, invoice::check(offer, rung, bolt11, made))?;
            }
        }
        Ok(Some(all))
    }

    /// Each worker's own, of the invoices that it issued.
    fn held(&self, invoices: &Option<Vec<Invoices>>) -> Checked<()> {
        let file = self.name("held");
        for held in &self.paid.held {
            let offer = self.offer(&file, &held.task)?;
            blame(&file, held.verify(offer))?;
            let Some(invoices) = invoices else { continue };
            let hashes: Vec<RecordHash> = held.rungs.iter().map(|rung| rung.invoice).collect();
            let of = |i: &&Invoices| i.task == held.task;
            let issued = |i: &Invoices| i.invoices.iter().map(|b| RecordHash::of_invoice(b)).collect::<Vec<_>>();
            if !invoices.iter().filter(of).any(|i| issued(i) == hashes) {
                let name = self.name("invoices");
                return wrong(&name, format!("{}: expected the invoices that are held, found others", offer.name()));
            }
        }
        Ok(())
    }

    /// Signed by the judge, of commitments that are there.
    fn closings(&self) -> Checked<()> {
        let file = self.name("closing");
        for closing in &self.paid.closings {
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
    fn verdicts(&self) -> Checked<Msat> {
        let (paid, mut total) = (&self.paid, Msat::ZERO);
        for signed in &paid.verdicts {
            let offer = self.offer(&paid.file, &signed.task)?;
            blame(&paid.file, signed.verify(offer))?;
        }
        for (i, signed) in paid.verdicts.iter().enumerate() {
            let offer = self.offer(&paid.file, &signed.task)?;
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
        for held in &paid.held {
            if !paid.verdicts.iter().any(|v| v.task == held.task) {
                let what = format!("expected a verdict on the task of {}, whose pay was held", held.task.worker);
                return wrong(&paid.file, what);
            }
        }
        Ok(total)
    }

    /// Each worker's own, of what the verdict paid.
    fn claimed(&self) -> Checked<()> {
        let file = self.name("claimed");
        if !self.round.run.has(&file) {
            return Ok(());
        }
        for claimed in self.round.run.records::<Claimed>(&file)? {
            let offer = self.offer(&file, &claimed.task)?;
            let place = format!("claimed by {}", offer.worker);
            blame(&file, claimed.task.require(&offer.task()?))?;
            if !crate::artifact::record::verify(&claimed, &offer.payee.0)? {
                return wrong(&file, format!("{place}: sig: not a signature of this record by {}", offer.payee));
            }
            let of = |v: &&Verdict| v.task == claimed.task;
            let Some(verdict) = self.paid.verdicts.iter().find(of) else {
                return wrong(&file, format!("{place}: there is no verdict"));
            };
            same(&file, &format!("{place}: verdict"), hash_of(verdict)?, claimed.verdict)?;
            same(&file, &format!("{place}: claimed_msat"), verdict.paid_msat, claimed.claimed_msat)?;
            let (rungs, found) = (format!("{:?}", verdict.rungs), format!("{:?}", claimed.rungs));
            same(&file, &format!("{place}: rungs"), rungs, found)?;
        }
        Ok(())
    }

    /// What the payer's node says of every rung. Fees are its word alone.
    fn rungs(&self) -> Checked<()> {
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
                let impossible = match report.state {
                    State::Claimed | State::Revealed => !earned,
                    State::Cancelled | State::Expired => earned,
                    _ => false,
                };
                if impossible {
                    let expected = if earned { "what was earned" } else { "what was not earned" };
                    return differs(&file, place("state"), expected, report.state);
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
