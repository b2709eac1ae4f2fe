//! Why a worker got what it got in a round: its gates, the first that it did not pass, and what follows from that.

use serde::{Deserialize, Serialize};

use super::folder::Book;
use super::gates::{Case, Gate, GateState, by_gain, total};
use super::lists::RoundLists;
use super::said::plainly;
use crate::artifact::Digest;
use crate::artifact::record::Record;
use crate::error::{Error, Result};

/// What became of one worker's round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Explanation {
    /// The run.
    pub run: Digest,
    /// The round.
    pub round: u64,
    /// The worker.
    pub worker: String,
    /// Every gate, in the order of a round.
    pub gates: Vec<Gate>,
    /// The first that was not passed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// What the worker was entitled to, once there are scores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entitled_msat: Option<u64>,
    /// What a verdict pays, once there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paid_msat: Option<u64>,
    /// Why it got what it got.
    pub why: String,
    /// What to do.
    pub advice: String,
}

impl Record for Explanation {
    const TYPE: &'static str = "explanation";
}

/// Explains a worker's round from the files that are there.
pub fn explain(book: &Book, round: u64, worker: &str) -> Result<Explanation> {
    if book.run.below(&format!("round-{round}/")).next().is_none() {
        let begun =
            if book.begun == 0 { "none has begun".into() } else { format!("0 to {} have begun", book.begun - 1) };
        return Err(Error::missing(format!("round {round}: not in this run folder"))
            .hint(format!("of its rounds {begun}; `l402 status` shows them")));
    }
    let lists = RoundLists::read(book, round);
    let case = Case::new(book, &lists, worker);
    if !case.is_known() {
        let mut known: Vec<&str> = book.workers(lists.workers().into_iter()).into_iter().take(20).collect();
        known.sort_unstable();
        return Err(Error::missing(format!("worker {worker}: neither on the roster nor in round {round}"))
            .hint(format!("expected one of {}", plainly(&known.join(", ")))));
    }
    let gates = case.gates();
    let failed = gates.iter().find(|gate| gate.state == GateState::Failed);
    let number = |name: &str, figure: &str| {
        let gate = gates.iter().find(|gate| gate.gate == name)?;
        gate.figures.get(figure)?.as_u64()
    };
    let entitled = number("share", "entitled_msat");
    let paid = number("verdict", "paid_msat");
    let (why, advice) = match failed {
        Some(gate) => because(&case, gate, round, worker, paid),
        None => going(&case, &gates, round, worker, entitled, paid),
    };
    Ok(Explanation {
        run: book.id,
        round,
        worker: plainly(worker),
        failed: failed.map(|gate| gate.gate.clone()),
        entitled_msat: entitled,
        paid_msat: paid,
        why: plainly(&why),
        advice: plainly(&advice),
        gates,
    })
}

/// Why, and what to do, where a gate was not passed.
fn because(case: &Case<'_>, gate: &Gate, round: u64, worker: &str, paid: Option<u64>) -> (String, String) {
    let unpaid = case.is_unpaid();
    let got = match (paid.unwrap_or(0) > 0, unpaid) {
        (true, _) => "got less than it might have",
        (false, false) => "got nothing",
        (false, true) if case.reason().is_none() && ["gain", "share"].contains(&gate.gate.as_str()) => "gained nothing",
        (false, true) => "has no part",
    };
    let reason = case.reason().unwrap_or_default();
    let name = if gate.gate == "counts" && by_gain(reason) { "gain" } else { gate.gate.as_str() };
    let (why, advice) = match name {
        "assigned" => (
            "it had no task: what is not assigned does not count".to_owned(),
            "be on the roster before the next `l402 assign`".to_owned(),
        ),
        "offered" => (
            "no offer of the judge stands for its task, so no money was locked for it".to_owned(),
            format!("ask the judge for one: `l402 invoice offer {round}`, and do not train before it is held"),
        ),
        "held" => (
            "not all of what was offered to it was locked, and without that there is no verdict".to_owned(),
            format!(
                "issue invoices as soon as the offer is there, and train only when `l402 invoice status {round} {worker}` \
                 says held"
            ),
        ),
        "committed" if gate.says.starts_with("no commitment") => (
            "no commitment of it was in the list when the judge closed it, or the scores were made".to_owned(),
            format!("commit before the list is closed: `l402 commit {round} {worker}` as soon as the update is made"),
        ),
        "committed" if gate.says.starts_with("late") || gate.says.contains("was closed at height") => (
            "its commitment was not in the list when the judge closed it, so its update could have been made from others'"
                .to_owned(),
            format!("commit before the list is closed: `l402 commit {round} {worker}` as soon as the update is made"),
        ),
        "committed" => (
            format!("its commitment cannot count: {}", gate.says),
            format!("one commitment, signed by the key on the roster: `l402 commit {round} {worker}`"),
        ),
        "revealed" => (
            "nobody can tell that what it sent is what it committed to".to_owned(),
            format!(
                "show it when the second beacon is there, from where the commitment was made: `l402 commit {round} {worker} \
                 --reveal`"
            ),
        ),
        "update" if gate.figures.keys().any(|key| key.ends_with("_expected")) => (
            "its update does not go on from the states that its last update which counted left".to_owned(),
            "begin with those states: `l402 train` and `l402 compress` with the --state that the round named above left".to_owned(),
        ),
        "update" => (
            format!("its update cannot be taken: {}", gate.says),
            "publish the update that was committed to, made from this round's model, assignment and shard".to_owned(),
        ),
        "replayed" if reason == "not replayed" || gate.figures.is_empty() => (
            "nobody replayed its update, and the recipe lets only what was replayed count".to_owned(),
            format!("anybody can: `l402 replay {round} {worker}`"),
        ),
        "replayed" => (
            "the same work, done again, did not give the bytes that it sent".to_owned(),
            format!(
                "do it again yourself, `l402 replay {round} {worker}`: every machine that passes `l402 selftest` gets the same \
                 bytes. Where yours are equal, the finding is false: `l402 replay --against` settles it. Where they differ, look \
                 at the recipe, the shard and the states that the training began with"
            ),
        ),
        "signals" => (
            format!("its update shows what no honest one does: {reason}"),
            "a whole replay that is exact outranks every signal: ask for one, or see docs/scoring.md for the limit".to_owned(),
        ),
        "counts" => (
            format!("its update does not count: {}", gate.says),
            "the reasons are in docs/scoring.md; `l402 audit` says whether the scores are true".to_owned(),
        ),
        "gain" if by_gain(reason) => (
            format!("what its update gains on held-out text cannot be told from chance, or from nothing: {reason}"),
            "more steps a round or more held-out sequences show a gain; the recipe decides both".to_owned(),
        ),
        "gain" | "share" => (
            "its update counts, but did not make the model better on held-out text, and pay follows that".to_owned(),
            "nothing is wrong with the work; a smaller learning rate or other text may gain more".to_owned(),
        ),
        "verdict" => match case.reason() {
            Some(reason) => (format!("the judge pays nothing: {reason}"), "see the reason".to_owned()),
            None if paid == Some(0) && !gate.says.contains(": ") => (
                "it is entitled to less than the smallest rung".to_owned(),
                "more rungs make a smaller one: --rungs of `l402 invoice offer`".to_owned(),
            ),
            None => (format!("the judge pays nothing: {}", gate.says), "`l402 audit` says whether the verdict is true".to_owned()),
        },
        _ => (gate.says.clone(), "`l402 audit` says whether the files are true".to_owned()),
    };
    (format!("{worker} {got} in round {round}, because {why}"), advice)
}

/// What it got, or what is still to come, where no gate was missed.
fn going(
    case: &Case<'_>,
    gates: &[Gate],
    round: u64,
    worker: &str,
    entitled: Option<u64>,
    paid: Option<u64>,
) -> (String, String) {
    let waiting = gates.iter().find(|gate| gate.state == GateState::Waiting);
    match (waiting, paid, entitled) {
        (Some(gate), Some(paid), _) if gate.gate == "claimed" => (
            format!("{worker} earned {paid} msat in round {round} and has not said that it has them"),
            format!("`l402 settle --claim {round} {worker}`, with what the judge gave it"),
        ),
        (Some(gate), ..) => (
            format!("round {round} goes on: {} waits at \"{}\": {}", worker, gate.gate, gate.says),
            "`l402 status` says what is next, and by whom".to_owned(),
        ),
        (None, Some(paid), _) => {
            let most = case.offered_by().map_or(0, total);
            let rest = entitled.filter(|e| *e > paid).map_or(String::new(), |entitled| {
                format!("; of {entitled} that it was entitled to, as rungs are whole")
            });
            (
                format!("{worker} earned {paid} of {most} msat in round {round}: it passed every gate{rest}"),
                "nothing".to_owned(),
            )
        }
        (None, None, _) if case.is_unpaid() => (
            format!("{worker} passed every gate of round {round}: its update counts, and the run pays nothing"),
            "nothing".to_owned(),
        ),
        (None, None, Some(entitled)) => (
            format!(
                "{worker} is entitled to {entitled} msat by the scores of round {round}; no payment is in the files"
            ),
            "where the round is paid outside of the escrow, ask who pays".to_owned(),
        ),
        (None, None, None) => (
            format!("the files of round {round} do not say what {worker} gets"),
            "`l402 status` says what is next".to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::gates::{by_replay, by_signal};
    use super::*;

    #[test]
    fn every_reason_of_the_scores_that_is_measured_has_one_gate_of_its_own() {
        for reason in [
            "replay differs: tensor x",
            "not replayed",
            "replayed in part",
            "near, not exact",
            "not near enough",
            "sampled by another beacon",
            "the sample is not what its beacon draws",
            "too little of it was replayed",
            "sends nothing",
            "its norm is far above the median",
            "sends the places of an earlier update",
            "a sum of earlier updates",
            "goes against most others",
            "its gain is not above noise",
            "its gain is far below the median",
            "it does not gain clearly more on its own data than on others'",
            "over rounds it does not gain more on its own data than on others'",
        ] {
            let gates = [by_replay(reason), by_signal(reason), by_gain(reason)];
            assert_eq!(gates.iter().filter(|own| **own).count(), 1, "{reason}");
        }
        let of_lists = |reason: &&str| !by_replay(reason) && !by_signal(reason) && !by_gain(reason);
        assert!(["no commitment", "its commitment was never opened", "two commitments"].iter().all(of_lists));
    }
}
