//! What the worker commits to and shows: its commitment, what opens it, and the update.

use serde_json::json;

use super::GateState::{Failed, Passed, Unknown, Waiting};
use super::{Case, Gate, gate};
use crate::artifact::{Commitment, Digest, Reveal};
use crate::pay::{Closing, hash_of};
use crate::report::said::{plainly, short};
use crate::report::update::{STATES, Sent, last_counted, sent};
use crate::score::opened_commitment;

impl Case<'_> {
    /// The judge's closing, if there is one: of the offer's judge, else of the coordinator, else whoever made it.
    pub(super) fn closing(&self) -> Option<&Closing> {
        match (self.offer, self.book.coordinator) {
            (Some(offer), _) => Closing::on(offer, &self.lists.closings),
            (None, Some(key)) => self.lists.closings.iter().find(|c| c.verify(&crate::pay::NodeId(key)).is_ok()),
            (None, None) => self.lists.closings.first(),
        }
    }

    pub(super) fn in_closing(&self, commitment: &Commitment) -> bool {
        let Some(closing) = self.closing() else { return true };
        hash_of(commitment).is_ok_and(|hash| closing.contains(&hash))
    }

    pub(super) fn committed(&self) -> Gate {
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
    pub(super) fn opening(&self) -> Option<&Reveal> {
        let opens =
            |r: &&Reveal| r.worker == self.worker && self.signed.iter().any(|c| c.commitment == opened_commitment(r));
        self.lists.reveals.iter().find(opens)
    }

    pub(super) fn revealed(&self) -> Gate {
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

    pub(super) fn update(&self) -> Gate {
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
    pub(super) fn left(&self, round: u64, digest: &Digest, key: &str) -> Option<String> {
        let earlier = sent(self.book, round, self.worker)?.ok()?;
        (earlier.digest == *digest).then(|| earlier.meta.opt(key).map(str::to_owned)).flatten()
    }

    pub(super) fn made_from_another(&self, sent: &Sent) -> Option<String> {
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
}
