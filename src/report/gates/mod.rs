//! The gates that a worker passes from its assignment to its money, each judged by the public files alone.

mod money;
mod promised;
mod reasons;
mod scored;
mod shown;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::folder::Book;
use super::lists::RoundLists;
use super::said::plainly;
use super::update::{Sent, sent};
use crate::artifact::Commitment;
use crate::data::Assignment;
use crate::pay::Offer;
use crate::score::Score;

pub use promised::total;
pub use reasons::{by_gain, by_replay, by_signal};

/// How a gate was passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateState {
    /// It was.
    Passed,
    /// It was not.
    Failed,
    /// Not yet: the round goes on.
    Waiting,
    /// There is no such gate in this round, or the files do not say.
    Unknown,
}

/// A gate, and what the files say of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// Its name.
    pub gate: String,
    /// Whether it was passed.
    pub state: GateState,
    /// Why, in words.
    pub says: String,
    /// The figures.
    pub figures: Map<String, Value>,
}

fn gate(name: &str, state: GateState, says: impl Into<String>, figures: Value) -> Gate {
    let figures = match figures {
        Value::Object(map) => map.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        _ => Map::new(),
    };
    Gate { gate: name.to_owned(), state, says: plainly(&says.into()), figures }
}

/// What is known of one worker in one round.
pub struct Case<'a> {
    book: &'a Book,
    lists: &'a RoundLists,
    worker: &'a str,
    assignment: Option<&'a Assignment>,
    offer: Option<&'a Offer>,
    score: Option<&'a Score>,
    sent: Option<crate::error::Result<Sent>>,
    /// Its commitments that the worker signed.
    signed: Vec<&'a Commitment>,
}

impl<'a> Case<'a> {
    /// Gathers it.
    pub fn new(book: &'a Book, lists: &'a RoundLists, worker: &'a str) -> Case<'a> {
        let assignment = lists.assignments.iter().flatten().find(|a| a.worker == worker);
        let key = assignment.and_then(|a| a.worker_key().ok().flatten());
        let own = |c: &&Commitment| c.worker == worker && key.is_none_or(|key| c.signed_by(&key).unwrap_or(false));
        Case {
            book,
            lists,
            worker,
            assignment,
            offer: lists.offer(worker),
            score: lists.score(worker),
            sent: sent(book, lists.round, worker),
            signed: lists.commitments.iter().flatten().filter(own).collect(),
        }
    }

    /// Whether anything of the round is about this worker.
    pub fn is_known(&self) -> bool {
        self.assignment.is_some()
            || self.offer.is_some()
            || self.score.is_some()
            || self.sent.is_some()
            || self.book.roster.iter().any(|who| who == self.worker)
    }

    /// The reason in the scores for which its update does not count.
    pub fn reason(&self) -> Option<&str> {
        let score = self.score.filter(|score| !score.counts)?;
        Some(score.reason.as_deref().unwrap_or("the update does not count"))
    }

    /// Whether the round is scored, and nothing was to be paid for it.
    pub fn is_unpaid(&self) -> bool {
        self.offer.is_none()
            && self.lists.offers.is_none()
            && self.lists.whole.as_ref().is_some_and(|w| w.round_msat == 0)
    }

    /// The offer, if there is one.
    pub fn offered_by(&self) -> Option<&Offer> {
        self.offer
    }

    /// All gates, in the order of a round.
    pub fn gates(&self) -> Vec<Gate> {
        vec![
            self.assigned(),
            self.offered(),
            self.held(),
            self.committed(),
            self.revealed(),
            self.update(),
            self.replayed(),
            self.signals(),
            self.counts(),
            self.gain(),
            self.share(),
            self.verdict(),
            self.claimed(),
        ]
    }
}
