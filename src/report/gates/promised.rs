//! What is promised before the work: a task, an offer, and money that waits.

use serde_json::json;

use super::GateState::{Failed, Passed, Unknown, Waiting};
use super::{Case, Gate, gate};
use crate::pay::{Held, Offer};
use crate::report::said::count;

impl Case<'_> {
    pub(super) fn assigned(&self) -> Gate {
        match (self.assignment, &self.lists.assignments) {
            (Some(a), _) => {
                let says = format!("to train on {}", a.shard);
                gate("assigned", Passed, says, json!({"shard": a.shard, "shard_digest": a.shard_digest.to_string()}))
            }
            (None, Some(all)) => {
                let says = format!("not among the {} that were assigned", count(all.len() as u64, "worker"));
                gate("assigned", Failed, says, json!({}))
            }
            (None, None) => gate("assigned", Waiting, "no assignments: nobody was assigned yet", json!({})),
        }
    }

    pub(super) fn offered(&self) -> Gate {
        let Some(offer) = self.offer else {
            return match (&self.lists.offers, self.lists.scores.is_some()) {
                (Some(_), _) => gate("offered", Failed, "offers were made, none of them to this worker", json!({})),
                (None, true) => gate("offered", Unknown, "no offers: the round was scored without escrow", json!({})),
                (None, false) => gate("offered", Unknown, "no offers: nothing is promised", json!({})),
            };
        };
        let total = total(offer);
        let h = offer.heights;
        let rungs: Vec<String> = offer.rungs_msat.iter().map(|m| m.0.to_string()).collect();
        let says = format!(
            "{total} msat in {} ({}); lock by height {}, commit by {}, verdict by {}, claim by {}",
            count(rungs.len() as u64, "rung"),
            rungs.join(", "),
            h.lock_by,
            h.commit_by,
            h.reveal_by,
            h.claim_by
        );
        let figures = json!({
            "msat": total, "rungs_msat": offer.rungs_msat, "attempt": offer.attempt, "offered_at": h.offered_at,
            "lock_by": h.lock_by, "commit_by": h.commit_by, "reveal_by": h.reveal_by, "claim_by": h.claim_by,
        });
        match offer.verify(&offer.judge) {
            Ok(()) => gate("offered", Passed, says, figures),
            Err(error) => gate("offered", Failed, error.to_string(), figures),
        }
    }

    pub(super) fn held(&self) -> Gate {
        let Some(offer) = self.offer else { return gate("held", Unknown, "nothing was offered", json!({})) };
        let sent = self.lists.held.as_deref().unwrap_or_default();
        match Held::on(offer, sent) {
            Ok(held) => {
                let msat: u64 = held.rungs.iter().map(|r| r.msat.0).fold(0, u64::saturating_add);
                let rungs = held.rungs.len() as u64;
                let says = format!("{}, {msat} msat, seen at height {}", count(rungs, "rung"), held.height);
                gate("held", Passed, says, json!({"rungs": rungs, "msat": msat, "height": held.height}))
            }
            Err(error) => {
                let state = if self.later_than_held() { Failed } else { Waiting };
                let says = match self.lists.held {
                    None => "no held records: nobody says that anything is locked".to_owned(),
                    Some(_) => error.to_string(),
                };
                gate("held", state, says, json!({}))
            }
        }
    }

    /// Whether the round has gone on without this worker's payments.
    pub(super) fn later_than_held(&self) -> bool {
        self.lists.verdicts.is_some() || self.lists.scores.is_some() || !self.lists.closings.is_empty()
    }
}

/// The sum of an offer's rungs.
pub fn total(offer: &Offer) -> u64 {
    offer.rungs_msat.iter().map(|m| m.0).fold(0, u64::saturating_add)
}
