//! What has happened in a run, round by round, and what is next, by whom and until when.

use std::collections::BTreeSet;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::folder::Book;
use super::lists::RoundLists;
use super::said::plainly;
use super::update::is_there;
use crate::artifact::record::Record;
use crate::artifact::{Commitment, Digest};
use crate::pay::{Closing, Held, Msat, NodeId, Offer, Verdict as Decided, hash_of};
use crate::score::{UNOPENED, opened_commitment};
use crate::verify::Verdict;

/// What has happened in a round. Numbers are of workers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoundStatus {
    /// The run.
    pub run: Digest,
    /// The round.
    pub round: u64,
    /// Who was assigned.
    pub assigned: u64,
    /// Who was offered something.
    pub offered: u64,
    /// Who has sent invoices for it.
    pub invoiced: u64,
    /// For whom all of it is held.
    pub held: u64,
    /// Who has committed to an update.
    pub committed: u64,
    /// The height at which the judge closed the list of commitments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<u32>,
    /// Whose commitments are in it; all where nothing was closed.
    pub in_time: u64,
    /// Who has shown what opens a commitment.
    pub revealed: u64,
    /// Updates that are there, and are of this run, round and worker.
    pub updates: u64,
    /// Whose update was replayed.
    pub replayed: u64,
    /// Whose replay was exact.
    pub exact: u64,
    /// Whether there are scores.
    pub scored: bool,
    /// Whose update counts.
    pub counting: u64,
    /// Whose work was shown after the scores were made, which do not know of it.
    pub unscored: u64,
    /// On whom there is a verdict.
    pub settled: u64,
    /// Whom it pays.
    pub paid: u64,
    /// Who has claimed.
    pub claimed: u64,
    /// Whether the next model is there.
    pub next_model: bool,
    /// Lines that nobody can use.
    pub malformed: u64,
    /// By when all is to be held, where something was offered: the first of the offers' heights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lock_by: Option<u32>,
    /// By when the commitments are to be in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit_by: Option<u32>,
    /// By when the verdicts are to be out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reveal_by: Option<u32>,
    /// By when what was earned is to be claimed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim_by: Option<u32>,
}

impl Record for RoundStatus {
    const TYPE: &'static str = "round_status";
}

/// Something that is to be done next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Next {
    /// The run.
    pub run: Digest,
    /// The round.
    pub round: u64,
    /// By whom.
    pub by: String,
    /// The command, as it is typed in the run folder.
    pub command: String,
    /// The block height until which it makes sense.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<u32>,
}

impl Record for Next {
    const TYPE: &'static str = "next";
}

/// Who has come how far in a round.
struct Round<'a> {
    book: &'a Book,
    lists: &'a RoundLists,
    workers: BTreeSet<&'a str>,
    offers: Vec<&'a Offer>,
    invoiced: BTreeSet<&'a str>,
    held: BTreeSet<&'a str>,
    committed: BTreeSet<&'a str>,
    closing: Option<&'a Closing>,
    in_time: BTreeSet<&'a str>,
    revealed: BTreeSet<&'a str>,
    updates: BTreeSet<&'a str>,
    replayed: BTreeSet<&'a str>,
    exact: BTreeSet<&'a str>,
    verdicts: Vec<&'a Decided>,
    claimed: BTreeSet<&'a str>,
}

impl<'a> Round<'a> {
    fn new(book: &'a Book, lists: &'a RoundLists) -> Round<'a> {
        let workers = lists.workers();
        let of = |who: &str| workers.get(who).copied();
        let offers: Vec<&Offer> = workers.iter().filter_map(|who| lists.offer(who)).collect();
        let sent = lists.held.as_deref().unwrap_or_default();
        let held = offers.iter().filter(|o| Held::on(o, sent).is_ok()).map(|o| o.worker.as_str()).collect();
        let invoices = lists.invoices.as_deref().unwrap_or_default();
        let issued = |o: &&&Offer| invoices.iter().any(|i| i.task.worker == o.worker && i.verify(o).is_ok());
        let invoiced = offers.iter().filter(issued).map(|o| o.worker.as_str()).collect();
        let signed = |c: &&Commitment| {
            let key = lists.assignments.iter().flatten().find(|a| a.worker == c.worker);
            let key = key.and_then(|a| a.worker_key().ok().flatten());
            key.is_none_or(|key| c.signed_by(&key).unwrap_or(false))
        };
        let commitments: Vec<&Commitment> =
            lists.commitments.iter().flatten().filter(|c| of(&c.worker).is_some()).filter(signed).collect();
        let judge = offers.first().map(|o| o.judge).or(book.coordinator.map(NodeId));
        let own = |c: &&Closing| judge.is_none_or(|judge| c.verify(&judge).is_ok());
        let closing = lists.closings.iter().filter(own).max_by_key(|c| c.attempt);
        let listed =
            |c: &&&Commitment| closing.is_none_or(|closing| hash_of(**c).is_ok_and(|hash| closing.contains(&hash)));
        let opened: BTreeSet<(&str, [u8; 32])> =
            lists.reveals.iter().map(|r| (r.worker.as_str(), opened_commitment(r).0)).collect();
        let shown = |c: &&&Commitment| opened.contains(&(c.worker.as_str(), c.commitment.0));
        let names = |found: Vec<&&'a Commitment>| found.into_iter().map(|c| c.worker.as_str()).collect();
        let findings = || lists.findings.iter().flatten().filter(|f| of(&f.worker).is_some());
        let there = |who: &&str| is_there(book, lists.round, who);
        let verdicts: Vec<&Decided> =
            lists.verdicts.iter().flatten().filter(|v| of(&v.task.worker).is_some()).collect();
        let said = lists.claimed.as_deref().unwrap_or_default();
        let has_claimed = |o: &&&Offer| {
            // Who earned nothing has nothing to claim, whatever it says.
            let verdict = verdicts.iter().find(|v| v.task.worker == o.worker && v.paid_msat > Msat::ZERO);
            verdict.is_some_and(|v| said.iter().any(|c| c.task.worker == o.worker && c.verify(o, v).is_ok()))
        };
        let claimed = offers.iter().filter(has_claimed).map(|o| o.worker.as_str()).collect();
        Round {
            committed: commitments.iter().map(|c| c.worker.as_str()).collect(),
            in_time: names(commitments.iter().filter(listed).collect()),
            revealed: names(commitments.iter().filter(shown).collect()),
            updates: workers.iter().filter(|who| there(who)).copied().collect(),
            replayed: findings().map(|f| f.worker.as_str()).collect(),
            exact: findings().filter(|f| f.finding == Verdict::Exact).map(|f| f.worker.as_str()).collect(),
            book,
            lists,
            workers,
            offers,
            invoiced,
            held,
            closing,
            verdicts,
            claimed,
        }
    }

    fn height(&self, of: impl Fn(&Offer) -> u32) -> Option<u32> {
        self.offers.iter().map(|o| of(o)).min()
    }

    fn status(&self) -> RoundStatus {
        let size = |set: &BTreeSet<&str>| set.len() as u64;
        let scores = self.lists.scores.iter().flatten();
        RoundStatus {
            run: self.book.id,
            round: self.lists.round,
            assigned: self.lists.assignments.as_ref().map_or(0, |all| all.len() as u64),
            offered: self.offers.len() as u64,
            invoiced: size(&self.invoiced),
            held: size(&self.held),
            committed: size(&self.committed),
            closed_at: self.closing.map(|c| c.height),
            in_time: size(&self.in_time),
            revealed: size(&self.revealed),
            updates: size(&self.updates),
            replayed: size(&self.replayed),
            exact: size(&self.exact),
            scored: self.lists.whole.is_some(),
            counting: scores.filter(|s| s.counts).count() as u64,
            unscored: self.unscored().len() as u64,
            settled: self.verdicts.len() as u64,
            paid: self.verdicts.iter().filter(|v| v.paid_msat > Msat::ZERO).count() as u64,
            claimed: size(&self.claimed),
            next_model: self.book.has_model(self.lists.round + 1),
            malformed: self.lists.malformed,
            lock_by: self.height(|o| o.heights.lock_by),
            commit_by: self.height(|o| o.heights.commit_by),
            reveal_by: self.height(|o| o.heights.reveal_by),
            claim_by: self.height(|o| o.heights.claim_by),
        }
    }

    /// Who has shown the work that it committed to in time, where the scores say that nobody has, or know nothing of it.
    fn unscored(&self) -> Vec<&'a str> {
        if self.lists.whole.is_none() {
            return Vec::new();
        }
        let blind = |who: &&&str| match self.lists.score(who) {
            None => true,
            Some(score) => {
                let shown = self.lists.reveals.iter().any(|r| r.worker == score.worker && r.update == score.update);
                shown && score.reason.as_deref() == Some(UNOPENED)
            }
        };
        let shown = self.in_time.iter().filter(|who| self.revealed.contains(**who) && self.updates.contains(**who));
        shown.filter(blind).copied().collect()
    }

    fn next(&self, by: &str, command: String, until: Option<u32>) -> Next {
        Next { run: self.book.id, round: self.lists.round, by: plainly(by), command: plainly(&command), until }
    }

    /// One step for each of these workers.
    fn each<'w>(
        &self,
        workers: impl Iterator<Item = &'w &'w str>,
        command: impl Fn(&str) -> String,
        until: Option<u32>,
    ) -> Vec<Next> {
        workers.map(|who| self.next(who, command(who), until)).collect()
    }

    /// What the round waits for.
    fn nexts(&self) -> Vec<Next> {
        let n = self.lists.round;
        if self.workers.is_empty() {
            return vec![self.next("coordinator", self.book.drawn(n, 'a', "assign"), None)];
        }
        let [lock_by, commit_by, reveal_by] = [
            self.height(|o| o.heights.lock_by),
            self.height(|o| o.heights.commit_by),
            self.height(|o| o.heights.reveal_by),
        ];
        if self.lists.whole.is_none() {
            let escrow = self.escrow(n, lock_by);
            if !escrow.is_empty() {
                return escrow;
            }
            // Without payments nobody whose offer was not locked works; without offers everybody does.
            let working = |who: &&&str| self.offers.is_empty() || self.held.contains(**who);
            if self.closing.is_none() {
                let idle = self.workers.iter().filter(working).filter(|who| !self.committed.contains(**who));
                let (made, to_make): (Vec<&&str>, Vec<&&str>) = idle.partition(|who| self.updates.contains(**who));
                let mut nexts = self.each(to_make.into_iter(), |who| format!("l402 train {n} {who}"), commit_by);
                nexts.extend(self.each(made.into_iter(), |who| format!("l402 commit {n} {who}"), commit_by));
                if !nexts.is_empty() {
                    return nexts;
                }
                if !self.offers.is_empty() {
                    return vec![self.next("judge", format!("l402 commit --close {n}"), commit_by)];
                }
            }
            let hidden = self.in_time.iter().filter(|who| !self.revealed.contains(**who));
            let nexts = self.each(hidden, |who| format!("l402 commit {n} {who} --reveal"), reveal_by);
            if !nexts.is_empty() {
                return nexts;
            }
            let opened = self.in_time.iter().filter(|who| self.updates.contains(**who));
            let unseen = opened.filter(|who| !self.replayed.contains(**who));
            let nexts: Vec<Next> =
                unseen.map(|who| self.next("anybody", format!("l402 replay {n} {who}"), reveal_by)).collect();
            return if nexts.is_empty() {
                vec![self.next("coordinator", self.book.drawn(n, 'b', "score"), reveal_by)]
            } else {
                nexts
            };
        }
        self.after_scores(n, reveal_by)
    }

    /// What is to be promised and locked before the work.
    fn escrow(&self, n: u64, lock_by: Option<u32>) -> Vec<Next> {
        let begun = !self.committed.is_empty() || !self.updates.is_empty() || self.closing.is_some();
        if self.book.recipe.pay.round_msat == 0 || begun {
            return Vec::new();
        }
        if self.offers.is_empty() {
            return vec![self.next("judge", format!("l402 invoice offer {n}"), None)];
        }
        let offered = || self.offers.iter().map(|o| &*o.worker).filter(|who| !self.held.contains(who));
        let without: Vec<&str> = offered().filter(|who| !self.invoiced.contains(who)).collect();
        if !without.is_empty() {
            return self.each(without.iter(), |who| format!("l402 invoice issue {n} {who}"), lock_by);
        }
        let waiting: Vec<&str> = offered().collect();
        if waiting.is_empty() {
            return Vec::new();
        }
        let mut nexts = vec![self.next("payer", format!("l402 invoice lock {n} --budget-msat MSAT"), lock_by)];
        nexts.extend(self.each(waiting.iter(), |who| format!("l402 invoice status {n} {who}"), lock_by));
        nexts
    }

    fn after_scores(&self, n: u64, reveal_by: Option<u32>) -> Vec<Next> {
        let mut nexts = Vec::new();
        let judged = |who: &&str| self.verdicts.iter().any(|v| v.task.worker == **who);
        if self.held.iter().any(|who| !judged(who)) {
            nexts.push(self.next("judge", format!("l402 settle {n}"), reveal_by));
        }
        let earned = self.verdicts.iter().filter(|v| v.paid_msat > Msat::ZERO).map(|v| &*v.task.worker);
        let open: Vec<&str> = earned.filter(|who| !self.claimed.contains(who)).collect();
        nexts.extend(self.each(
            open.iter(),
            |who| format!("l402 settle --claim {n} {who}"),
            self.height(|o| o.heights.claim_by),
        ));
        if !self.book.has_model(n + 1) && self.verdicts.is_empty() && !self.unscored().is_empty() {
            nexts.push(self.next("coordinator", format!("l402 score {n} --force"), reveal_by));
        }
        if !self.book.has_model(n + 1) {
            nexts.push(self.next("coordinator", format!("l402 aggregate {n}"), None));
        }
        nexts
    }
}

/// The last so many rounds that have begun, and what is next in them: of a round that is done but for a claim, the claim too.
pub fn status(book: &Book, last: u64) -> (Vec<RoundStatus>, Vec<Next>) {
    let look = |number: u64| {
        let lists = RoundLists::read_without(book, number, &["rungs"]);
        let round = Round::new(book, &lists);
        // A round that another follows can be no more than settled and claimed.
        let goes_on = |next: &Next| number + 1 == book.begun || next.command.starts_with("l402 settle");
        (round.status(), round.nexts().into_iter().filter(goes_on).collect())
    };
    let seen: Vec<(RoundStatus, Vec<Next>)> =
        (book.begun.saturating_sub(last)..book.begun).into_par_iter().map(look).collect();
    let (rounds, nexts): (Vec<RoundStatus>, Vec<Vec<Next>>) = seen.into_iter().unzip();
    let mut nexts = nexts.concat();
    let done = rounds.last().is_none_or(|round| round.next_model && round.scored);
    if done {
        let (by, command) = ("coordinator".to_owned(), book.drawn(book.begun, 'a', "assign"));
        nexts.push(Next { run: book.id, round: book.begun, by, command, until: None });
    }
    (rounds, nexts)
}
