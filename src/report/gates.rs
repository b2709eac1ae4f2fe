//! The gates that a worker passes from its assignment to its money, each judged by the public files alone.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::folder::Book;
use super::lists::RoundLists;
use super::said::{count, nats, part, plainly, short, trimmed};
use super::update::{STATES, Sent, last_counted, sent};
use crate::artifact::{Commitment, Digest, Reveal};
use crate::data::Assignment;
use crate::pay::{Closing, Held, Msat, Offer, Verdict as Decided, hash_of};
use crate::score::{Score, deciding, opened_commitment};
use crate::verify::{Finding, Verdict};

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

use GateState::{Failed, Passed, Unknown, Waiting};

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

    fn assigned(&self) -> Gate {
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

    fn offered(&self) -> Gate {
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

    fn held(&self) -> Gate {
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
    fn later_than_held(&self) -> bool {
        self.lists.verdicts.is_some() || self.lists.scores.is_some() || !self.lists.closings.is_empty()
    }

    /// The judge's closing, if there is one: of the offer's judge, else of the coordinator, else whoever made it.
    fn closing(&self) -> Option<&Closing> {
        match (self.offer, self.book.coordinator) {
            (Some(offer), _) => Closing::on(offer, &self.lists.closings),
            (None, Some(key)) => self.lists.closings.iter().find(|c| c.verify(&crate::pay::NodeId(key)).is_ok()),
            (None, None) => self.lists.closings.first(),
        }
    }

    fn in_closing(&self, commitment: &Commitment) -> bool {
        let Some(closing) = self.closing() else { return true };
        hash_of(commitment).is_ok_and(|hash| closing.contains(&hash))
    }

    fn committed(&self) -> Gate {
        let Some(all) = &self.lists.commitments else {
            let state = if self.lists.scores.is_some() { Unknown } else { Waiting };
            return gate("committed", state, "no commitments: nobody has committed to anything", json!({}));
        };
        let named = all.iter().filter(|c| c.worker == self.worker).count() as u64;
        let closing = self.closing();
        let height = closing.map(|c| c.height);
        let mut different: Vec<&Digest> = self.signed.iter().map(|c| &c.commitment).collect();
        different.sort_unstable_by_key(|d| d.0);
        different.dedup();
        let figures = json!({"commitments": named, "signed": self.signed.len(), "closed_at": height});
        let (state, says) = match (self.signed.first(), closing) {
            (None, _) if named > 0 => (Failed, "the commitment is not signed by the worker".to_owned()),
            (None, Some(closing)) => {
                (Failed, format!("no commitment: the list was closed at height {}", closing.height))
            }
            (None, None) if self.lists.scores.is_some() => (Failed, "no commitment".to_owned()),
            (None, None) => (Waiting, "no commitment yet".to_owned()),
            (Some(_), _) if different.len() > 1 => {
                (Failed, format!("{} different commitments: expected one", different.len()))
            }
            (Some(first), Some(closing)) if !self.in_closing(first) => {
                (Failed, format!("late: not in the list that was closed at height {}", closing.height))
            }
            (Some(first), Some(closing)) => match self.offer {
                Some(offer) if closing.height > offer.heights.commit_by => {
                    let by = offer.heights.commit_by;
                    (Failed, format!("the list was closed at height {}, after {by}", closing.height))
                }
                Some(offer) if first.offer.as_deref() != offer.id().ok().map(|id| id.to_string()).as_deref() => {
                    (Failed, "the commitment is not for this offer".to_owned())
                }
                _ => (Passed, format!("in time: in the list that was closed at height {}", closing.height)),
            },
            (Some(_), None) => (Passed, "no list was closed: nobody says what came late".to_owned()),
        };
        gate("committed", state, says, figures)
    }

    /// What the worker has shown that opens a commitment of its own.
    fn opening(&self) -> Option<&Reveal> {
        let opens =
            |r: &&Reveal| r.worker == self.worker && self.signed.iter().any(|c| c.commitment == opened_commitment(r));
        self.lists.reveals.iter().find(opens)
    }

    fn revealed(&self) -> Gate {
        if self.lists.commitments.is_none() {
            return gate("revealed", Unknown, "there is no commitment to open", json!({}));
        }
        let shown = self.lists.reveals.iter().filter(|r| r.worker == self.worker).count();
        match self.opening() {
            Some(reveal) => {
                let says = format!("opens the commitment, to update {}", short(&reveal.update));
                gate("revealed", Passed, says, json!({"update": reveal.update.to_string()}))
            }
            None if shown > 0 => {
                gate("revealed", Failed, "what was shown opens no commitment of the worker", json!({}))
            }
            None if self.lists.scores.is_some() => {
                gate("revealed", Failed, "nothing opens the commitment: it was never revealed", json!({}))
            }
            None => gate("revealed", Waiting, "nothing opens a commitment yet", json!({})),
        }
    }

    fn update(&self) -> Gate {
        let sent = match &self.sent {
            Some(Ok(sent)) => sent,
            Some(Err(error)) => return gate("update", Failed, error.to_string(), json!({})),
            None => {
                let state = if self.lists.scores.is_some() { Failed } else { Waiting };
                return gate("update", state, format!("no {}.update in the round", self.worker), json!({}));
            }
        };
        let mut says = format!("{} bytes, {}", sent.bytes, short(&sent.digest));
        let mut figures = json!({"digest": sent.digest.to_string(), "bytes": sent.bytes});
        if let Some(reveal) = self.opening().filter(|reveal| reveal.update != sent.digest) {
            let says = format!("{says}: expected {}, which was committed to", short(&reveal.update));
            return gate("update", Failed, says, figures);
        }
        if let Some(found) = self.made_from_another(sent) {
            return gate("update", Failed, format!("{says}: {found}"), figures);
        }
        let last = last_counted(self.book, self.lists.round, self.worker);
        let mut state = Passed;
        let carries = [
            self.book.recipe.codec.feedback > 0.0,
            self.book.recipe.inner.state == crate::artifact::recipe::InnerState::Carry,
        ];
        for ((before, after, name), _) in STATES.iter().zip(carries).filter(|(_, carries)| *carries) {
            let found = sent.meta.opt(before).unwrap_or("none");
            let begins = |at: &str| if at == "zero" { "zero".to_owned() } else { at.chars().take(8).collect() };
            figures[*before] = plainly(found).into();
            let expected = match last {
                None => Some("zero".to_owned()),
                Some((round, digest)) => self.left(round, &digest, after),
            };
            says += &match (&expected, last) {
                (Some(expected), _) if expected == found => {
                    let whence = last.map_or("nothing counted before".into(), |(n, _)| format!("as round {n} left it"));
                    format!("; {name} at {}, {whence}", begins(found))
                }
                (Some(expected), last) => {
                    state = Failed;
                    figures[format!("{before}_expected")] = plainly(expected).into();
                    let whence = last.map_or("nothing counted before".into(), |(n, _)| format!("what round {n} left"));
                    format!("; {name} at {}: expected {}, {whence}", begins(found), begins(expected))
                }
                (None, _) => format!("; {name} at {}: the update that it goes on from is not there", begins(found)),
            };
        }
        gate("update", state, says, figures)
    }

    /// The state that an earlier update of the worker says it left.
    fn left(&self, round: u64, digest: &Digest, key: &str) -> Option<String> {
        let earlier = sent(self.book, round, self.worker)?.ok()?;
        (earlier.digest == *digest).then(|| earlier.meta.opt(key).map(str::to_owned)).flatten()
    }

    fn made_from_another(&self, sent: &Sent) -> Option<String> {
        let assignment = self.assignment?;
        let expected = [
            ("run", self.book.id.to_string()),
            ("round", self.lists.round.to_string()),
            ("worker", self.worker.to_owned()),
            ("assignment", assignment.digest().ok()?.to_string()),
            ("shard", assignment.shard_digest.to_string()),
        ];
        let theta = self.lists.whole.as_ref().map(|whole| ("theta", whole.theta.to_string()));
        expected.into_iter().chain(theta).find_map(|(key, expected)| {
            let found = sent.meta.opt(key).unwrap_or("none");
            (found != expected).then(|| format!("made from another {key}: expected {expected}, found {found}"))
        })
    }

    /// The digest of the update that all of this is about.
    fn about(&self) -> Option<Digest> {
        let own = self.sent.as_ref().and_then(|sent| sent.as_ref().ok()).map(|sent| sent.digest);
        self.score.map(|score| score.update).or(own)
    }

    /// The finding that decides.
    fn finding(&self) -> Option<&Finding> {
        let about = self.about()?;
        let own = |f: &&Finding| f.worker == self.worker && f.update == about;
        deciding(|| self.lists.findings.iter().flatten().filter(own))
    }

    fn replayed(&self) -> Gate {
        let Some(findings) = &self.lists.findings else {
            let says = "no findings: nobody replayed";
            return gate("replayed", if self.lists.scores.is_some() { Unknown } else { Waiting }, says, json!({}));
        };
        let Some(finding) = self.finding() else {
            let state = if self.lists.scores.is_some() { Failed } else { Waiting };
            let says = format!("{}, none of them on this update", count(findings.len() as u64, "finding"));
            return gate("replayed", state, says, json!({}));
        };
        let name = match finding.finding {
            Verdict::Exact => "exact",
            Verdict::Sampled => "sampled",
            Verdict::Near => "near",
            Verdict::Mismatch => "mismatch",
        };
        let steps = count(finding.steps, "step");
        let figures = json!({
            "finding": name, "steps": finding.steps, "differs": finding.differs, "expected": finding.expected,
            "found": finding.found, "assumed_zero": finding.state.map(|_| true),
        });
        let says = match finding.finding {
            Verdict::Exact => format!("exact: {steps} run again, every byte equal"),
            Verdict::Sampled => format!("sampled: {steps} run again, equal"),
            Verdict::Near => "near: within a tolerance, not equal".to_owned(),
            Verdict::Mismatch => {
                let differs = finding.differs.as_deref().unwrap_or("unknown");
                let both = match (&finding.expected, &finding.found) {
                    (Some(expected), Some(found)) => format!(": expected {}, found {}", begin(expected), begin(found)),
                    _ => String::new(),
                };
                format!("mismatch: {differs} differs{both}")
            }
        };
        let refused = finding.finding == Verdict::Mismatch || self.reason().is_some_and(by_replay);
        gate("replayed", if refused { Failed } else { Passed }, says, figures)
    }

    fn signals(&self) -> Gate {
        let Some(signals) = self.score.and_then(|s| s.signals.as_ref()) else {
            let (state, why) = self.unmeasured();
            return gate("signals", state, why, json!({}));
        };
        let rule = &self.book.recipe.score;
        let agreement = signals.agreement_ppm.as_ref().and_then(|ppm| ppm.parse::<i64>().ok());
        let own = signals.own_q32.as_deref().and_then(nats).zip(signals.own_error_q32.as_deref().and_then(nats));
        let limit =
            |limit: u64, word: &str| if limit > 0 { format!(", {word} {}", part(limit)) } else { String::new() };
        let mut figures = vec![
            (
                format!("norm {} of the median{}", part(signals.norm_ppm), limit(rule.max_norm_ppm, "at most")),
                rule.max_norm_ppm > 0 && signals.norm_ppm > rule.max_norm_ppm,
            ),
            (
                format!("overlap {}{}", part(signals.overlap_ppm), limit(rule.max_overlap_ppm, "at most")),
                rule.max_overlap_ppm > 0 && signals.overlap_ppm > rule.max_overlap_ppm,
            ),
            (
                format!("residual {}{}", part(signals.residual_ppm), limit(rule.min_residual_ppm, "at least")),
                signals.residual_ppm < rule.min_residual_ppm,
            ),
        ];
        if let Some(found) = agreement {
            let most = rule.max_against_ppm;
            let least = if most > 0 { format!(", at least -{}", part(most)) } else { String::new() };
            let beyond = most > 0 && found < 0 && found.unsigned_abs() > most;
            figures.push((format!("sign {}{least}", trimmed(found as f64 / 1e6, 4)), beyond));
        }
        if let Some((more, error)) = own {
            let least = rule.own_z_milli as f64 / 1e3;
            let z = if error > 0.0 { trimmed(more / error, 2) } else { "many".to_owned() };
            let text = format!("own data {z} standard errors, more than {}", trimmed(least, 3));
            figures.push((text, more <= least * error));
        }
        let exact = self.finding().is_some_and(|f| f.finding == Verdict::Exact);
        let refuses: Vec<&str> = figures.iter().filter(|(_, beyond)| *beyond).map(|(text, _)| text.as_str()).collect();
        let all: Vec<&str> = figures.iter().map(|(text, _)| text.as_str()).collect();
        let refused = self.reason().is_some_and(by_signal);
        let mut says = all.join("; ");
        if !refuses.is_empty() {
            let how = if exact {
                "beyond its limit, but the whole was replayed, which no signal outranks"
            } else {
                "refuses"
            };
            says = format!("{how}: {}; all: {says}", refuses.join("; "));
        }
        let figures = serde_json::to_value(signals).unwrap_or_default();
        gate("signals", if refused { Failed } else { Passed }, says, figures)
    }

    /// Why something was not measured.
    fn unmeasured(&self) -> (GateState, &'static str) {
        match (&self.lists.scores, self.score) {
            (None, _) => (Waiting, "no scores yet"),
            (Some(_), None) => (Unknown, "not measured: no update of it was scored"),
            (Some(_), Some(_)) => (Unknown, "not measured: the update did not come so far"),
        }
    }

    fn counts(&self) -> Gate {
        match (self.score, self.reason(), &self.lists.scores) {
            (Some(score), None, _) => {
                let assumed = if score.state.is_some() { "; its states were assumed to be zero" } else { "" };
                gate("counts", Passed, format!("the update counts{assumed}"), json!({"counts": true}))
            }
            (Some(_), Some(reason), _) => {
                gate("counts", Failed, reason, json!({"counts": false, "reason": plainly(reason)}))
            }
            (None, _, Some(_)) => gate("counts", Failed, "no update of it was scored", json!({"counts": false})),
            (None, _, None) => gate("counts", Waiting, "no scores: nobody has scored the round", json!({})),
        }
    }

    fn gain(&self) -> Gate {
        let tokens = self.lists.whole.as_ref().map(|whole| whole.tokens).filter(|tokens| *tokens > 0);
        let gain = self.score.and_then(|s| s.gain_q32.as_deref()).and_then(nats);
        let (Some(gain), Some(tokens)) = (gain, tokens) else {
            let (state, why) = self.unmeasured();
            return gate("gain", state, why, json!({}));
        };
        let unit = self.book.unit();
        let a_token = gain / tokens as f64;
        let error = self.score.and_then(|s| s.signals.as_ref()?.error_q32.as_deref()).and_then(nats);
        let mut says = format!("{a_token:.4} nats/{unit}");
        if let Some(error) = error {
            says += &format!(" +- {:.4}", error / tokens as f64);
            if error > 0.0 {
                says += &format!(", {} standard errors", trimmed(gain / error, 1));
            }
        }
        let rule = &self.book.recipe.score;
        if rule.z_milli > 0 {
            says += &format!(", at least {}", trimmed(f64::from(rule.z_milli) / 1e3, 3));
        }
        if rule.floor_ppm > 0 {
            says += &format!("; the least that counts is {} of the median gain", part(rule.floor_ppm));
        }
        let score = self.score.expect("it has a gain");
        let figures = json!({
            "gain_q32": score.gain_q32, "after_q32": score.after_q32, "worth_q32": score.worth_q32, "tokens": tokens,
            "error_q32": score.signals.as_ref().and_then(|s| s.error_q32.clone()),
            "before_q32": self.lists.whole.as_ref().map(|whole| whole.before_q32.clone()),
        });
        let noise = self.reason().is_some_and(by_gain);
        let nothing = score.counts && gain <= 0.0;
        if nothing {
            says += "; harm and nothing weigh nothing";
        }
        gate("gain", if noise || nothing { Failed } else { Passed }, says, figures)
    }

    fn share(&self) -> Gate {
        let (Some(score), Some(whole)) = (self.score, &self.lists.whole) else {
            let (state, why) = self.unmeasured();
            return gate("share", state, why, json!({}));
        };
        let (own, all) = (score.entitled_msat, whole.round_msat);
        if all == 0 {
            return gate("share", Unknown, "the round pays nothing: pay.round_msat is 0", json!({}));
        }
        let says = format!(
            "entitled to {own} of the round's {all} msat ({} %); each of {} brings {}",
            trimmed(own as f64 / all as f64 * 100.0, 2),
            count(whole.workers, "task"),
            all / whole.workers.max(1)
        );
        let figures = json!({"entitled_msat": own, "round_msat": all, "workers": whole.workers});
        gate("share", if own > 0 { Passed } else { Failed }, says, figures)
    }

    fn decided(&self) -> Option<&Decided> {
        let offer = self.offer?;
        self.lists.verdicts.iter().flatten().find(|v| v.task.worker == self.worker && v.verify(offer).is_ok())
    }

    fn verdict(&self) -> Gate {
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
    fn paid_by_the_payer(&self, offer: &Offer, verdict: &Decided) -> bool {
        let Ok(id) = offer.id() else { return false };
        let rungs = self.lists.rungs.as_deref().unwrap_or_default();
        let claimed = |rung: &u32| {
            rungs.iter().any(|r| r.offer == id && r.rung == *rung && r.state == crate::pay::State::Claimed)
        };
        verdict.rungs.iter().all(claimed)
    }

    fn claimed(&self) -> Gate {
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

/// A digest's beginning; of anything else all.
fn begin(text: &str) -> &str {
    let digest = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    if digest { &text[..8] } else { text }
}

/// The sum of an offer's rungs.
pub fn total(offer: &Offer) -> u64 {
    offer.rungs_msat.iter().map(|m| m.0).fold(0, u64::saturating_add)
}

/// Whether a reason of the scores is a replay's.
pub fn by_replay(reason: &str) -> bool {
    ["replay differs", "replayed in part", "near, not exact", "sampled by", "the sample is", "too little", "not near"]
        .iter()
        .any(|begins| reason.starts_with(begins))
        || reason == "not replayed"
}

/// Whether it is a signal's.
pub fn by_signal(reason: &str) -> bool {
    [
        "its norm",
        "sends nothing",
        "sends the places",
        "a sum of earlier",
        "goes against",
        "it does not gain clearly more on its own",
        "over rounds it does not gain",
    ]
    .iter()
    .any(|begins| reason.starts_with(begins))
}

/// Whether it is the gain's.
pub fn by_gain(reason: &str) -> bool {
    reason.starts_with("its gain is")
}
