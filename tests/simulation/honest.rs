//! What an honest party runs, and when.

use super::play::Play;
use super::schedule::*;
use crate::common::beacon;
use crate::common::escrow::ROUND_MSAT;

impl Play<'_> {
    /// A step's command line.
    pub fn args(&self, step: Step) -> String {
        match step {
            Offer => {
                let [l, c, r, d] = self.schedule.heights;
                format!("invoice offer 0 --heights +{l},+{c},+{r},+{d}")
            }
            Issue(w) => format!("invoice issue 0 {}", w.name()),
            Lock => format!("invoice lock 0 --budget-msat {}", 3 * ROUND_MSAT),
            Held(w) => format!("invoice status 0 {}", w.name()),
            Train(w) => format!("train 0 {}", w.name()),
            Commit(w) => format!("commit 0 {}", w.name()),
            Close => "commit --close 0".to_owned(),
            Reveal(w) => format!("commit 0 {} --reveal", w.name()),
            Replay(w) => format!("replay 0 {}", w.name()),
            Score => {
                let mut args = format!("score 0 --beacon {}", beacon("simulation b"));
                let lacks =
                    |kind| WORKERS.iter().any(|w| !self.seat.file(Judge, &format!("{}.{kind}", w.name())).exists());
                for (kind, list) in [("reveal", "reveals"), ("finding", "findings")] {
                    if self.seat.file(Judge, "closing.jsonl").exists() && lacks(kind) {
                        args += &format!(" --without {list}");
                    }
                }
                args
            }
            Settle => "settle 0".to_owned(),
            Claim(w) => format!("settle --claim 0 {} --wait=6", w.name()),
            Paid => "invoice status 0".to_owned(),
            Aggregate => "aggregate 0".to_owned(),
            Carry(from, to) => unreachable!("no verb carries from {from:?} to {to:?}"),
        }
    }

    /// Why an honest party does not run it yet.
    pub fn waits(&self, step: Step) -> Option<String> {
        let has = |name: &str| self.seat.file(Judge, name).exists();
        if step != Score || !has("closing.jsonl") || has("scores.jsonl") {
            return None;
        }
        let shown = self.seat.shown();
        if let Some(w) = shown.iter().find(|w| !has(&format!("{}.finding", w.name()))) {
            return Some(format!("nobody has replayed {}", w.name()));
        }
        if shown == WORKERS {
            return None;
        }
        let late = self.offers().values().any(|offer| self.bank.height() > offer.heights[2]);
        (!late).then(|| "somebody may still show its work".to_owned())
    }

    /// Whether all is there that a step needs to be the last of its kind.
    pub fn is_whole(&self, step: Step) -> bool {
        let payer = if self.schedule.apart { Payer } else { Judge };
        match step {
            Lock => WORKERS.iter().all(|w| self.seat.file(payer, &format!("{}.invoices", w.name())).exists()),
            Paid => WORKERS.iter().all(|w| self.done.contains(&Claim(*w))),
            _ => true,
        }
    }

    /// Whether a step cannot do anything yet, which the calm does not try again and again.
    pub fn is_idle(&self, step: Step) -> bool {
        let has = |party: Party, name: String| self.seat.file(party, &name).exists();
        let own = |w: Party, kind: &str| has(w, format!("{}.{kind}", w.name()));
        match step {
            Train(w) => !own(w, "held"),
            Commit(w) => !own(w, "update"),
            Reveal(w) => !own(w, "commitment") || !has(w, "closing.jsonl".into()),
            Replay(w) => !has(Judge, format!("{}.update", w.name())),
            Score => !has(Judge, "closing.jsonl".into()),
            Settle | Aggregate => !has(Judge, "scores.jsonl".into()),
            Paid => WORKERS.iter().any(|w| !self.done.contains(&Claim(*w))),
            Claim(w) => !self.seat.private(w).join(format!("{}.0.0.reveal", w.name())).exists(),
            _ => false,
        }
    }

    pub fn held(&self, w: Party) -> bool {
        self.seat.file(w, &format!("{}.held", w.name())).exists()
    }
}
