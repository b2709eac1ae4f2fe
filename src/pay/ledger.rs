//! The books that a journal adds up to: every offer, and the state of every rung.

use std::collections::{BTreeMap, BTreeSet};

use super::amount::Msat;
use super::ids::{Instance, NodeId, OfferId};
use super::journal::{Entry, Received};
use super::messages::{Claimed, Closing, Held, RungPreimage, Verdict};
use super::offer::Offer;
use super::state::State;
use crate::artifact::Digest;
use crate::error::{Context, Error, Result};

/// One rung's books.
#[derive(Clone, Copy, Debug)]
pub struct Rung {
    /// Its state.
    pub state: State,
    /// The most that its route may cost.
    pub fee_msat: Msat,
    /// What was sent for it in all, once it is claimed.
    pub sent_msat: Option<Msat>,
    /// Whether its cancelling was begun.
    pub cancelling: bool,
}

/// One offer's books.
#[derive(Clone, Debug)]
pub struct Account {
    /// The offer.
    pub offer: Offer,
    /// Its invoices, once there are any.
    pub invoices: Option<Vec<String>>,
    /// Its rungs.
    pub rungs: Vec<Rung>,
    /// The worker's word that all are held.
    pub held: Option<Held>,
    /// What the judge decided.
    pub verdict: Option<Verdict>,
    /// What opens the rungs that were earned, once the worker has it.
    pub preimages: Vec<RungPreimage>,
    /// What had come in before anything was claimed.
    pub before: Vec<Received>,
    /// The worker's word that it has its money.
    pub claimed: Option<Claimed>,
}

impl Account {
    fn new(offer: Offer) -> Account {
        let rung = Rung { state: State::Offered, fee_msat: Msat::ZERO, sent_msat: None, cancelling: false };
        Account {
            rungs: vec![rung; offer.rungs_msat.len()],
            offer,
            invoices: None,
            held: None,
            verdict: None,
            preimages: Vec::new(),
            before: Vec::new(),
            claimed: None,
        }
    }

    /// Whether the verdict pays a rung.
    pub fn earned(&self, rung: u32) -> bool {
        self.verdict.as_ref().is_some_and(|v| v.rungs.contains(&rung))
    }

    /// Whether all of it was held once, as far as this party knows: what comes back then was not earned, and is never
    /// paid again; what comes back before was refused.
    pub fn was_held(&self) -> bool {
        self.held.is_some() || self.verdict.is_some() || self.rungs.iter().any(|r| r.state == State::Claimed)
    }

    fn rung(&mut self, rung: u32) -> Result<&mut Rung> {
        let count = self.rungs.len();
        let found = self.rungs.get_mut(rung as usize);
        found.ok_or_else(|| Error::data(format!("rung {rung}: expected one below {count}")))
    }

    fn to(&mut self, rung: u32, state: State) -> Result<()> {
        let book = self.rung(rung)?;
        book.state = book.state.to(state).at(format!("rung {rung}"))?;
        Ok(())
    }

    fn all_to(&mut self, state: State) -> Result<()> {
        (0..self.rungs.len() as u32).try_for_each(|i| self.to(i, state))
    }

    /// What is decided stays decided.
    fn judge(&mut self, verdict: &Verdict) -> Result<()> {
        match &self.verdict {
            Some(old) if old != verdict => return Err(Error::refused("there is another verdict on this offer")),
            Some(_) => return Ok(()),
            None => self.verdict = Some(verdict.clone()),
        }
        for rung in 0..self.rungs.len() as u32 {
            let state = if verdict.rungs.contains(&rung) { State::Revealed } else { State::Judged };
            // A rung that came to its end before the verdict stays there.
            if !self.rung(rung)?.state.is_final() {
                self.to(rung, State::Judged)?;
                self.to(rung, state)?;
            }
        }
        Ok(())
    }
}

/// All books of one journal.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    owner: Option<(Instance, NodeId)>,
    accounts: BTreeMap<OfferId, Account>,
    closings: BTreeMap<(Digest, u64, u32), Closing>,
}

impl Ledger {
    /// The books after these entries.
    pub fn replay(entries: &[Entry]) -> Result<Ledger> {
        let mut ledger = Ledger::default();
        for (i, entry) in entries.iter().enumerate() {
            ledger.apply(entry).at(format!("line {}", i + 1))?;
        }
        Ok(ledger)
    }

    /// Whose books these are.
    pub fn owner(&self) -> Option<(Instance, NodeId)> {
        self.owner
    }

    /// The books of an offer.
    pub fn account(&self, offer: &OfferId) -> Option<&Account> {
        self.accounts.get(offer)
    }

    /// All books, by ascending offer id.
    pub fn accounts(&self) -> impl Iterator<Item = (&OfferId, &Account)> {
        self.accounts.iter()
    }

    /// The list of commitments that was closed for a try at a round.
    pub fn closing(&self, run: &Digest, round: u64, attempt: u32) -> Option<&Closing> {
        self.closings.get(&(*run, round, attempt))
    }

    /// The offer that this folder made for a task, whatever its heights.
    pub fn offered(&self, like: &Offer) -> Option<&Account> {
        let key = |o: &Offer| (o.instance, o.run, o.round, o.worker.clone(), o.attempt);
        self.accounts.values().find(|a| key(&a.offer) == key(like))
    }

    /// What a round binds or has cost: every rung that is locking, unknown, held or claimed, with the most that its
    /// route may cost, or what it did.
    pub fn spent(&self, run: &Digest, round: u64) -> Result<Msat> {
        let mut spent = Msat::ZERO;
        for account in self.accounts.values().filter(|a| (a.offer.run, a.offer.round) == (*run, round)) {
            for (rung, msat) in account.rungs.iter().zip(&account.offer.rungs_msat) {
                if rung.state == State::Claimed {
                    spent = spent.plus(rung.sent_msat.unwrap_or(msat.plus(rung.fee_msat)?))?;
                } else if rung.state.binds_money() {
                    spent = spent.plus(*msat)?.plus(rung.fee_msat)?;
                }
            }
        }
        Ok(spent)
    }

    fn get(&mut self, offer: &OfferId) -> Result<&mut Account> {
        self.accounts.get_mut(offer).ok_or_else(|| Error::data(format!("offer {offer} is not in the books")))
    }

    /// Takes an entry into the books, refusing what may not follow what is there. The books are unchanged then, but
    /// for rungs of the same entry: whoever gets an error writes nothing and ends.
    pub fn apply(&mut self, entry: &Entry) -> Result<()> {
        if self.owner.is_none() != matches!(entry, Entry::Opened { .. }) {
            return Err(Error::data("expected the journal to be opened once, before anything else"));
        }
        match entry {
            Entry::Opened { instance, node } => self.owner = Some((*instance, *node)),
            Entry::Offered { offer } => self.offer(offer)?,
            Entry::Issued { offer, invoices } => {
                let account = self.get(offer)?;
                if account.invoices.as_ref().is_some_and(|old| old != invoices) {
                    return Err(Error::refused("there are other invoices for this offer"));
                }
                if invoices.len() != account.rungs.len() {
                    return Err(Error::data(format!("expected {} invoices", account.rungs.len())));
                }
                if account.invoices.is_none() {
                    account.all_to(State::Issued)?;
                    account.invoices = Some(invoices.clone());
                }
            }
            Entry::Locking { offer, rung, fee_msat } => {
                let account = self.get(offer)?;
                account.to(*rung, State::Locking)?;
                account.rung(*rung)?.fee_msat = *fee_msat;
            }
            Entry::Seen { offer, rung, state, sent_msat } => {
                let account = self.get(offer)?;
                account.to(*rung, *state)?;
                let book = account.rung(*rung)?;
                book.sent_msat = sent_msat.or(book.sent_msat);
            }
            Entry::Held { held } => {
                let account = self.get(&held.task.offer)?;
                for rung in 0..account.rungs.len() as u32 {
                    // The judge may have seen more by then.
                    if account.rung(rung)?.state < State::Held {
                        account.to(rung, State::Held)?;
                    }
                }
                account.held = Some(held.clone());
            }
            Entry::Closed { closing } => {
                let old = self.closings.insert((closing.run, closing.round, closing.attempt), closing.clone());
                if old.is_some_and(|old| old != *closing) {
                    return Err(Error::refused("this round is closed already, with another list"));
                }
            }
            Entry::Judged { verdict } => self.get(&verdict.task.offer)?.judge(verdict)?,
            Entry::Claiming { verdict, preimages, before } => {
                let account = self.get(&verdict.task.offer)?;
                account.judge(verdict)?;
                account.preimages = preimages.clone();
                account.before = before.clone();
            }
            Entry::Cancelling { offer, rungs } => {
                let account = self.get(offer)?;
                for &rung in rungs {
                    if account.earned(rung) {
                        return Err(Error::refused(format!("rung {rung} was earned: it is never cancelled")));
                    }
                    account.rung(rung)?.cancelling = true;
                }
            }
            Entry::Claimed { claimed } => {
                let account = self.get(&claimed.task.offer)?;
                for &rung in &claimed.rungs {
                    account.to(rung, State::Claimed)?;
                }
                account.claimed = Some(claimed.clone());
            }
        }
        Ok(())
    }

    fn offer(&mut self, offer: &Offer) -> Result<()> {
        let id = offer.id()?;
        match self.accounts.get(&id) {
            Some(old) if old.offer == *offer => Ok(()),
            Some(_) => Err(Error::refused(format!("{}: in the books with other hashes", offer.name()))),
            None => {
                let hashes: BTreeSet<_> = offer.hashes.iter().collect();
                if let Some((_, old)) =
                    self.accounts.iter().find(|(_, a)| a.offer.hashes.iter().any(|h| hashes.contains(h)))
                {
                    return Err(Error::refused(format!(
                        "{}: a hash of it is in the books for the {}",
                        offer.name(),
                        old.offer.name()
                    )));
                }
                self.accounts.insert(id, Account::new(offer.clone()));
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::messages::hash_of;
    use super::super::testing::{held, invoices, judge, offer, offer_with, refused};
    use super::*;
    use crate::artifact::record;

    fn opened() -> Ledger {
        let owner = Entry::Opened { instance: Instance([5; 32]), node: judge().id() };
        Ledger::replay(&[owner]).unwrap()
    }

    fn with(entries: &[Entry]) -> Ledger {
        let mut ledger = opened();
        entries.iter().for_each(|e| ledger.apply(e).unwrap());
        ledger
    }

    fn offered(offer: &Offer) -> Entry {
        Entry::Offered { offer: Box::new(offer.clone()) }
    }

    fn locking(offer: &Offer, rung: u32) -> Entry {
        Entry::Locking { offer: offer.id().unwrap(), rung, fee_msat: Msat(700) }
    }

    fn seen(offer: &Offer, rung: u32, state: State, sent: Option<u64>) -> Entry {
        Entry::Seen { offer: offer.id().unwrap(), rung, state, sent_msat: sent.map(Msat) }
    }

    fn issued(offer: &Offer) -> Entry {
        Entry::Issued { offer: offer.id().unwrap(), invoices: invoices(offer) }
    }

    fn verdict(offer: &Offer, rungs: &[u32]) -> Verdict {
        let paid = offer.ladder().unwrap().sum(rungs);
        let mut verdict = Verdict {
            task: offer.task().unwrap(),
            entitled_msat: paid,
            rungs: rungs.to_vec(),
            paid_msat: paid,
            returned_msat: Msat(150_000).minus(paid),
            reason: None,
            scores: Digest::of(b"scores"),
            votes: None,
            findings: None,
            commitment: None,
            held: hash_of(&held(offer)).unwrap(),
            height: 300,
            sig: None,
        };
        record::sign(&mut verdict, &judge()).unwrap();
        verdict
    }

    #[test]
    fn the_budget_counts_what_is_bound_and_what_was_paid_with_its_fees() {
        let offer = offer();
        let mut ledger = with(&[offered(&offer), issued(&offer)]);
        let spent = |ledger: &Ledger| ledger.spent(&offer.run, offer.round).unwrap().0;
        assert_eq!(spent(&ledger), 0);
        (0..4).for_each(|i| ledger.apply(&locking(&offer, i)).unwrap());
        assert_eq!(spent(&ledger), 150_000 + 4 * 700);
        ledger.apply(&seen(&offer, 0, State::Claimed, Some(80_123))).unwrap();
        ledger.apply(&seen(&offer, 1, State::Unknown, None)).unwrap();
        ledger.apply(&seen(&offer, 2, State::Cancelled, None)).unwrap();
        assert_eq!(spent(&ledger), 80_123 + 40_700 + 10_700);
        assert_eq!(ledger.spent(&offer.run, 4).unwrap(), Msat::ZERO);
    }

    #[test]
    fn there_is_one_verdict_an_offer_forever() {
        let offer = offer();
        let mut ledger = with(&[offered(&offer), Entry::Held { held: held(&offer) }]);
        let first = Entry::Judged { verdict: verdict(&offer, &[0, 3]) };
        ledger.apply(&first).unwrap();
        ledger.apply(&first).unwrap();
        refused(
            ledger.apply(&Entry::Judged { verdict: verdict(&offer, &[0, 1]) }),
            &["there is another verdict on this offer"],
        );
    }

    #[test]
    fn before_all_is_held_there_is_no_verdict() {
        let offer = offer();
        let mut ledger = with(&[offered(&offer)]);
        refused(ledger.apply(&Entry::Judged { verdict: verdict(&offer, &[0]) }), &["offered"]);
    }

    #[test]
    fn an_earned_rung_is_never_cancelled() {
        let offer = offer();
        let mut ledger = with(&[offered(&offer), issued(&offer), Entry::Held { held: held(&offer) }]);
        let claiming = Entry::Claiming { verdict: verdict(&offer, &[0, 3]), preimages: vec![], before: vec![] };
        ledger.apply(&claiming).unwrap();
        let cancel = |rungs: &[u32]| Entry::Cancelling { offer: offer.id().unwrap(), rungs: rungs.to_vec() };
        ledger.apply(&cancel(&[1, 2])).unwrap();
        refused(ledger.apply(&cancel(&[1, 3])), &["rung 3 was earned: it is never cancelled"]);
    }

    #[test]
    fn a_hash_is_offered_once_ever() {
        let (first, redo) = (offer(), offer_with(|o| o.attempt = 1));
        let mut ledger = with(&[offered(&first), offered(&redo)]);
        let mut copied = offer_with(|o| o.round = 4);
        copied.hashes[3] = first.hashes[0];
        refused(
            ledger.apply(&offered(&copied)),
            &["offer to alice of round 4: a hash of it is in the books for the offer to alice of round 3"],
        );
        let mut other = first.clone();
        other.hashes.reverse();
        refused(ledger.apply(&offered(&other)), &["offer to alice of round 3: in the books with other hashes"]);
    }

    #[test]
    fn a_list_is_closed_once_a_round() {
        let close = |height| {
            let (run, judge) = (offer().run, judge().id());
            Entry::Closed {
                closing: Closing {
                    run,
                    round: 3,
                    attempt: 0,
                    height,
                    commitments: vec![],
                    arrivals: None,
                    block: None,
                    judge,
                    sig: None,
                },
            }
        };
        let mut ledger = with(&[close(200)]);
        ledger.apply(&close(200)).unwrap();
        refused(ledger.apply(&close(201)), &["this round is closed already, with another list"]);
    }

    #[test]
    fn a_journal_that_goes_ways_no_rung_can_go_is_refused_with_its_line() {
        let offer = offer();
        let owner = Entry::Opened { instance: Instance([5; 32]), node: judge().id() };
        let entries = [owner.clone(), offered(&offer), issued(&offer), seen(&offer, 1, State::Claimed, None)];
        refused(Ledger::replay(&entries), &["line 4: rung 1: a rung that is issued cannot become claimed"]);
        refused(
            Ledger::replay(&entries[1..]),
            &["line 1: expected the journal to be opened once, before anything else"],
        );
        refused(Ledger::replay(&[owner.clone(), owner]), &["line 2"]);
        let beyond = [entries[0].clone(), entries[1].clone(), seen(&offer, 4, State::Held, None)];
        refused(Ledger::replay(&beyond), &["line 3: rung 4: expected one below 4"]);
    }

    #[test]
    fn invoices_stay_what_they_were_and_are_of_offers_that_are_there() {
        let offer = offer();
        let mut ledger = with(&[offered(&offer), issued(&offer)]);
        let of = |invoices| Entry::Issued { offer: offer.id().unwrap(), invoices };
        refused(ledger.apply(&of(vec!["another".into()])), &["there are other invoices for this offer"]);
        let unknown = offer_with(|o| o.round = 9);
        let what = format!("offer {} is not in the books", unknown.id().unwrap());
        refused(ledger.apply(&issued(&unknown)), &[&what]);
        let mut ledger = with(&[offered(&offer)]);
        refused(ledger.apply(&of(vec![])), &["expected 4 invoices"]);
    }
}
