//! What is decided and paid.

use serde_json::json;

use super::GateState::{Failed, Passed, Unknown, Waiting};
use super::{Case, Gate, gate, total};
use crate::pay::{Msat, Offer, Verdict as Decided};
use crate::report::said::plainly;

impl Case<'_> {
    pub(super) fn decided(&self) -> Option<&Decided> {
        let offer = self.offer?;
        self.lists.verdicts.iter().flatten().find(|v| v.task.worker == self.worker && v.verify(offer).is_ok())
    }

    pub(super) fn verdict(&self) -> Gate {
        let Some(offer) = self.offer else { return gate("verdict", Unknown, "nothing was offered", json!({})) };
        let Some(verdict) = self.decided() else {
            let says = match &self.lists.verdicts {
                None => "no verdicts: the judge has not decided yet",
                Some(_) => "no verdict on this offer: none is given where not all of it was held",
            };
            let state = if self.lists.verdicts.is_some() { Failed } else { Waiting };
            return gate("verdict", state, says, json!({}));
        };
        let rungs: Vec<String> = verdict.rungs.iter().map(u32::to_string).collect();
        let why = verdict.reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
        let paid = if rungs.is_empty() {
            "no rung is paid".to_owned()
        } else {
            format!("{} paid ({})", if rungs.len() == 1 { "rung" } else { "rungs" }, rungs.join(", "))
        };
        let (entitled, most) = (verdict.entitled_msat.0, total(offer));
        let cut = if verdict.reason.is_none() && entitled > verdict.paid_msat.0 {
            format!("; of {entitled} msat, as far as the rungs of {most} allow")
        } else {
            String::new()
        };
        let says = format!(
            "{paid}, {} msat, {} go back, at height {}{cut}{why}",
            verdict.paid_msat.0, verdict.returned_msat.0, verdict.height
        );
        let figures = json!({
            "rungs": verdict.rungs, "paid_msat": verdict.paid_msat, "returned_msat": verdict.returned_msat,
            "entitled_msat": verdict.entitled_msat, "height": verdict.height,
            "reason": verdict.reason.as_deref().map(plainly),
        });
        gate("verdict", if verdict.paid_msat > Msat::ZERO { Passed } else { Failed }, says, figures)
    }

    /// Whether the payer says that every rung of the verdict is claimed.
    pub(super) fn paid_by_the_payer(&self, offer: &Offer, verdict: &Decided) -> bool {
        let Ok(id) = offer.id() else { return false };
        let rungs = self.lists.rungs.as_deref().unwrap_or_default();
        let claimed = |rung: &u32| {
            rungs.iter().any(|r| r.offer == id && r.rung == *rung && r.state == crate::pay::State::Claimed)
        };
        verdict.rungs.iter().all(claimed)
    }

    pub(super) fn claimed(&self) -> Gate {
        let (Some(offer), Some(verdict)) = (self.offer, self.decided()) else {
            return gate("claimed", Unknown, "there is no verdict to claim by", json!({}));
        };
        if verdict.paid_msat == Msat::ZERO {
            return gate("claimed", Unknown, "nothing to claim", json!({}));
        }
        match self.lists.claimed.iter().flatten().find(|c| c.verify(offer, verdict).is_ok()) {
            Some(claimed) => {
                let says = format!("{} msat, confirmed at height {}", claimed.claimed_msat.0, claimed.height);
                gate("claimed", Passed, says, json!({"msat": claimed.claimed_msat, "height": claimed.height}))
            }
            None if self.paid_by_the_payer(offer, verdict) => {
                let says = format!("{} msat, by the word of the payer's node alone", verdict.paid_msat.0);
                gate("claimed", Passed, says, json!({"msat": verdict.paid_msat}))
            }
            None => {
                let says = format!("the worker does not say so; it can until height {}", offer.heights.claim_by);
                gate("claimed", Waiting, says, json!({"claim_by": offer.heights.claim_by}))
            }
        }
    }
}
