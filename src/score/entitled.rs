//! From a round's scores to what a judge needs of them.

use std::collections::BTreeMap;

use super::records::{RoundScore, Score};
use crate::artifact::Digest;
use crate::artifact::record::{self, Line};
use crate::error::{Error, Result};
use crate::pay::{Evidence, Msat};

/// What each worker is entitled to by the lines of a round's scores, which must be complete, of this run and round, and
/// add up to what the round pays.
pub fn entitled(lines: &[Line], run: &Digest, round: u64) -> Result<BTreeMap<String, Evidence>> {
    let scores: Vec<Score> = record::select(lines)?;
    let rounds: Vec<RoundScore> = record::select(lines)?;
    let [whole] = &rounds[..] else {
        return Err(Error::data(format!("expected one round_score record, found {}", rounds.len()))
            .hint("are these all the lines that score printed?"));
    };
    if (whole.run, whole.round) != (*run, round) {
        return Err(Error::refused(format!(
            "expected scores of run {run}, round {round}, found run {}, round {}",
            whole.run, whole.round
        )));
    }
    let mut by_worker = BTreeMap::new();
    let mut sum = Msat(whole.returned_msat);
    for score in scores {
        if (score.run, score.round) != (*run, round) {
            return Err(Error::refused(format!("score of {}: of another run or round", score.worker)));
        }
        sum = sum.plus(Msat(score.entitled_msat))?;
        let reason = match (score.counts, score.reason) {
            (true, _) => None,
            (false, reason) => Some(reason.unwrap_or_else(|| "the update does not count".into())),
        };
        let evidence = Evidence { update: score.update, entitled: Msat(score.entitled_msat), reason };
        // Of several updates under one name at most one counts.
        let old = by_worker.get(&score.worker).is_some_and(|old: &Evidence| old.reason.is_none());
        if old && evidence.reason.is_none() {
            return Err(Error::data(format!("worker {}: two scores that count", score.worker)));
        }
        if !old {
            by_worker.insert(score.worker, evidence);
        }
    }
    if sum != Msat(whole.round_msat) {
        return Err(Error::data(format!("expected scores that add up to {}, found {sum}", Msat(whole.round_msat)))
            .hint("are these all the lines that score printed?"));
    }
    Ok(by_worker)
}
