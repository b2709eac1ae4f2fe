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

    /// Whether all rungs are in one of these states.
    pub fn all(&self, states: &[State]) -> bool {
        self.rungs.iter().all(|r| states.contains(&r.state))
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
    closings: BTreeMap<(Digest, u64), Closing>,
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

    /// The list of commitments that was closed for a round.
    pub fn closing(&self, run: &Digest, round: u64) -> Option<&Closing> {
        self.closings.get(&(*run, round))
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
                let old = self.closings.insert((closing.run, closing.round), closing.clone());
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
