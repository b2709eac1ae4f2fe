//! From the lists of every round to what a report shows. Of what workers send, signatures are looked at where the run is not too
//! large for that; of the coordinator's and the judge's they are the audit's.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::folder::{Book, plain};
use super::gates::{by_gain, by_replay, by_signal, total};
use super::lists::RoundLists;
use super::model::{Caught, Figures, Heights, Outcome, Round, Work, Worker};
use super::said::nats;
use crate::artifact::{Commitment, Reader};
use crate::pay::{Held, MAX_DELAY, NodeId, Offer, Verdict as Decided, hash_of};
use crate::score::{Score, deciding};
use crate::verify::Verdict;

/// A worker's round before workers have numbers.
struct Own {
    worker: String,
    work: Work,
    assigned: bool,
    scored: bool,
}

/// So many updates' signatures are looked at: of a run with more it would take minutes.
const CHECKED: u64 = 20_000;

/// Reads all rounds. The logs are added by who has them.
pub fn figures(book: &Book) -> Figures {
    let signed = book.begun.saturating_mul(book.roster.len() as u64) <= CHECKED;
    let read: Vec<(Round, Vec<Own>, u64)> = (0..book.begun).into_par_iter().map(|n| round(book, n, signed)).collect();
    let mut figures = Figures {
        run: book.id.to_string(),
        name: book.recipe.name.clone(),
        unit: book.unit().to_owned(),
        tokens_a_worker: book.tokens_a_worker(),
        steps: u64::from(book.recipe.inner.steps),
        parameters: parameters(book),
        notes: book.odd.clone(),
        signed,
        ..Figures::default()
    };
    let mut workers: BTreeMap<String, Worker> = BTreeMap::new();
    for own in read.iter().flat_map(|(_, owns, _)| owns) {
        let worker = workers.entry(own.worker.clone()).or_default();
        let work = &own.work;
        worker.worker.clone_from(&own.worker);
        worker.assigned += u64::from(own.assigned);
        worker.updates += u64::from(own.scored);
        worker.counting += u64::from(matches!(work.outcome, Outcome::Paid | Outcome::Counted));
        worker.exact += u64::from(work.finding == Some("exact"));
        worker.mismatches += u64::from(work.finding == Some("mismatch"));
        worker.gain += work.gain.unwrap_or(0.0);
        for (sum, more) in [
            (&mut worker.bytes, work.bytes),
            (&mut worker.entitled_msat, work.entitled_msat),
            (&mut worker.locked_msat, work.locked_msat),
            (&mut worker.paid_msat, work.paid_msat),
            (&mut worker.claimed_msat, work.claimed_msat),
        ] {
            *sum = sum.saturating_add(more);
        }
    }
    let number: BTreeMap<String, usize> = workers.keys().cloned().zip(0..).collect();
    for (round, owns, malformed) in read {
        figures.malformed += malformed;
        figures.rounds.push(round);
        figures.works.extend(owns.into_iter().map(|own| Work { worker: number[&own.worker], ..own.work }));
    }
    figures.workers = workers.into_values().collect();
    figures.caught = caught(&figures);
    figures
}

/// Parameters that are trained: those of the first model's file.
fn parameters(book: &Book) -> Option<u64> {
    let file = ["theta-0/adapter_model.safetensors", "theta-0/model.safetensors"].into_iter().find(|f| book.run.has(f));
    let Some(file) = file else { return book.layout().map(|layout| layout.total as u64) };
    let header = book.layout().map_or(1 << 24, |layout| layout.header_room());
    let reader = Reader::open_within(plain(book.run.source(file)).ok()?, header).ok()?;
    Some(reader.header().tensors.iter().map(|t| t.elements() as u64).fold(0, u64::saturating_add))
}

/// The longest name that is shown.
const NAME: usize = 64;

fn named(worker: &str) -> String {
    match worker.char_indices().nth(NAME) {
        None => worker.to_owned(),
        Some((end, _)) => format!("{}...", &worker[..end]),
    }
}

fn round(book: &Book, number: u64, signed: bool) -> (Round, Vec<Own>, u64) {
    let mut lists = RoundLists::read_without(book, number, &["invoices", "rungs"]);
    let judge = lists.offers.iter().flatten().map(|o| o.judge).next().or(book.coordinator.map(NodeId));
    // Anybody may have sent what calls itself a closing.
    lists.closings.retain(|c| judge.is_none_or(|judge| c.judge == judge && (!signed || c.verify(&judge).is_ok())));
    let index = Index::of(&lists, signed);
    let tokens = lists.whole.as_ref().map(|whole| whole.tokens).filter(|tokens| *tokens > 0);
    let mut round = Round {
        round: number,
        loss: lists
            .whole
            .as_ref()
            .zip(tokens)
            .and_then(|(whole, tokens)| Some(nats(&whole.before_q32)? / tokens as f64)),
        assigned: lists.assignments.as_ref().map_or(0, |all| all.len() as u64),
        heights: heights(&lists),
        closed_at: lists.closings.iter().map(|c| c.height).max(),
        judged_at: lists.verdicts.iter().flatten().map(|v| v.height).max(),
        ..Round::default()
    };
    let late = round.heights.map_or(u32::MAX, |h| h.claim_by.saturating_add(MAX_DELAY));
    for claimed in lists.claimed.iter().flatten().filter(|c| c.height <= late) {
        let (first, last) = round.claimed_at.unwrap_or((claimed.height, claimed.height));
        round.claimed_at = Some((first.min(claimed.height), last.max(claimed.height)));
    }
    let mut owns = Vec::new();
    for worker in lists.workers() {
        let own = own(&lists, &index, worker, number, tokens);
        round.updates += u64::from(own.scored);
        round.counting += u64::from(matches!(own.work.outcome, Outcome::Paid | Outcome::Counted));
        round.exact += u64::from(own.work.finding == Some("exact"));
        round.mismatches += u64::from(own.work.finding == Some("mismatch"));
        for (sum, more) in [
            (&mut round.bytes, own.work.bytes),
            (&mut round.entitled_msat, own.work.entitled_msat),
            (&mut round.locked_msat, own.work.locked_msat),
            (&mut round.paid_msat, own.work.paid_msat),
            (&mut round.claimed_msat, own.work.claimed_msat),
        ] {
            *sum = sum.saturating_add(more);
        }
        owns.push(own);
    }
    round.tokens = book.tokens_a_worker().saturating_mul(round.updates);
    (round, owns, lists.malformed)
}

fn heights(lists: &RoundLists) -> Option<Heights> {
    let all = || lists.offers.iter().flatten().map(|o| o.heights);
    Some(Heights {
        offered_at: all().map(|h| h.offered_at).min()?,
        lock_by: all().map(|h| h.lock_by).min()?,
        commit_by: all().map(|h| h.commit_by).min()?,
        reveal_by: all().map(|h| h.reveal_by).min()?,
        claim_by: all().map(|h| h.claim_by).min()?,
    })
}

/// The records of a round by worker, so that a round of many workers is read once.
struct Index<'a> {
    scores: BTreeMap<&'a str, &'a Score>,
    offered: BTreeMap<&'a str, u64>,
    held: BTreeMap<&'a str, u64>,
    paid: BTreeMap<&'a str, u64>,
    claimed: BTreeMap<&'a str, u64>,
    committed: BTreeMap<&'a str, bool>,
    shown: BTreeMap<&'a str, ()>,
    findings: BTreeMap<&'a str, Vec<&'a crate::verify::Finding>>,
}

/// The sum of each worker's amounts, one of each attempt: who says the same twice says it once.
fn amounts<'a>(found: impl Iterator<Item = (&'a str, u32, u64)>) -> BTreeMap<&'a str, u64> {
    let by_attempt: BTreeMap<(&str, u32), u64> = found.map(|(who, attempt, msat)| ((who, attempt), msat)).collect();
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for ((who, _), msat) in by_attempt {
        let sum = sums.entry(who).or_default();
        *sum = sum.saturating_add(msat);
    }
    sums
}

impl<'a> Index<'a> {
    fn of(lists: &'a RoundLists, signed: bool) -> Index<'a> {
        let mut scores: BTreeMap<&str, &Score> = BTreeMap::new();
        for score in lists.scores.iter().flatten() {
            let first = scores.entry(&score.worker).or_insert(score);
            if score.counts && !first.counts {
                *first = score;
            }
        }
        let mut findings: BTreeMap<&str, Vec<_>> = BTreeMap::new();
        lists.findings.iter().flatten().for_each(|f| findings.entry(&f.worker).or_default().push(f));
        let keys: BTreeMap<&str, _> =
            lists.assignments.iter().flatten().map(|a| (a.worker.as_str(), a.worker_key().ok().flatten())).collect();
        let by_owner = |c: &&Commitment| {
            let key = keys.get(c.worker.as_str()).copied().flatten().filter(|_| signed);
            key.is_none_or(|key| c.signed_by(&key).unwrap_or(false))
        };
        let listed = |c| {
            lists.closings.is_empty() || hash_of(c).is_ok_and(|hash| lists.closings.iter().any(|l| l.contains(&hash)))
        };
        let mut committed: BTreeMap<&str, bool> = BTreeMap::new();
        let commitments = lists.commitments.iter().flatten().filter(by_owner);
        commitments.for_each(|c| *committed.entry(&c.worker).or_default() |= listed(c));
        let offers: BTreeMap<(&str, u32), &Offer> =
            lists.offers.iter().flatten().map(|o| ((o.worker.as_str(), o.attempt), o)).collect();
        let verdicts: BTreeMap<(&str, u32), &Decided> =
            lists.verdicts.iter().flatten().map(|v| ((v.task.worker.as_str(), v.task.attempt), v)).collect();
        let held = lists.held.iter().flatten().filter(|h| {
            let offer = offers.get(&(h.task.worker.as_str(), h.task.attempt));
            !signed || offer.is_some_and(|offer| h.verify(offer).is_ok())
        });
        let claimed = lists.claimed.iter().flatten().filter(|c| {
            let of = (c.task.worker.as_str(), c.task.attempt);
            let both = offers.get(&of).zip(verdicts.get(&of));
            !signed || both.is_some_and(|(offer, verdict)| c.verify(offer, verdict).is_ok())
        });
        let rungs = |h: &Held| h.rungs.iter().map(|r| r.msat.0).fold(0, u64::saturating_add);
        Index {
            scores,
            findings,
            committed,
            offered: amounts(offers.iter().map(|((who, attempt), o)| (*who, *attempt, total(o)))),
            held: amounts(held.map(|h| (h.task.worker.as_str(), h.task.attempt, rungs(h)))),
            paid: amounts(verdicts.iter().map(|((who, attempt), v)| (*who, *attempt, v.paid_msat.0))),
            claimed: amounts(claimed.map(|c| (c.task.worker.as_str(), c.task.attempt, c.claimed_msat.0))),
            shown: lists.reveals.iter().map(|r| (r.worker.as_str(), ())).collect(),
        }
    }
}

fn own(lists: &RoundLists, index: &Index<'_>, worker: &str, number: u64, tokens: Option<u64>) -> Own {
    let score = index.scores.get(worker).copied();
    let about = |f: &&&crate::verify::Finding| score.is_none_or(|s| s.update == f.update);
    let findings = index.findings.get(worker).map_or(&[][..], Vec::as_slice);
    let finding = deciding(|| findings.iter().filter(about).copied()).map(|f| match f.finding {
        Verdict::Exact => "exact",
        Verdict::Sampled => "sampled",
        Verdict::Near => "near",
        Verdict::Mismatch => "mismatch",
    });
    let amount = |of: &BTreeMap<&str, u64>| of.get(worker).copied().unwrap_or(0);
    let offered = amount(&index.offered);
    // Whoever says that more is held than was offered says nothing.
    let locked = amount(&index.held).min(offered);
    let paid = amount(&index.paid).min(offered);
    let (outcome, reason) = outcome(lists, index, worker, score, paid);
    let gain = score.and_then(|s| s.gain_q32.as_deref()).and_then(nats).zip(tokens).map(|(g, t)| g / t as f64);
    let work = Work {
        round: number,
        worker: 0,
        outcome,
        reason,
        finding,
        bytes: score.map_or(0, |s| s.bytes),
        gain,
        entitled_msat: score.map_or(0, |s| s.entitled_msat),
        locked_msat: locked,
        paid_msat: paid,
        claimed_msat: amount(&index.claimed).min(paid),
    };
    let assigned = lists.assignments.is_some();
    Own { worker: named(worker), work, assigned, scored: score.is_some() }
}

fn outcome(
    lists: &RoundLists,
    index: &Index<'_>,
    worker: &str,
    score: Option<&Score>,
    paid: u64,
) -> (Outcome, Option<String>) {
    if lists.whole.is_none() && score.is_none() {
        return (Outcome::Open, None);
    }
    let late = index.committed.get(worker) == Some(&false);
    let committed = index.committed.contains_key(worker);
    let by_lists = |reason: &str| match reason {
        _ if late => "its commitment came after the list was closed".to_owned(),
        other => other.chars().take(200).collect(),
    };
    match score {
        Some(score) if score.counts && paid > 0 => (Outcome::Paid, None),
        Some(score) if score.counts => (Outcome::Counted, None),
        Some(score) => {
            let reason = score.reason.as_deref().unwrap_or("the update does not count");
            let by = match reason {
                _ if by_replay(reason) => Outcome::Replay,
                _ if by_signal(reason) || by_gain(reason) => Outcome::Signal,
                _ => Outcome::Lists,
            };
            let reason = if by == Outcome::Lists { by_lists(reason) } else { reason.chars().take(200).collect() };
            (by, Some(reason))
        }
        None if late => (Outcome::Lists, Some(by_lists(""))),
        None if committed && !index.shown.contains_key(worker) => {
            (Outcome::Lists, Some(by_lists("its commitment was never opened")))
        }
        None if committed => (Outcome::Lists, Some("no update of it was scored".into())),
        None => (Outcome::Absent, Some("no commitment and no update".into())),
    }
}

fn caught(figures: &Figures) -> Vec<Caught> {
    let mut by_reason: BTreeMap<(usize, Outcome, &str), Caught> = BTreeMap::new();
    for work in &figures.works {
        let Some(reason) = &work.reason else { continue };
        let found = by_reason.entry((work.worker, work.outcome, reason)).or_insert_with(|| Caught {
            worker: figures.workers[work.worker].worker.clone(),
            by: work.outcome,
            reason: reason.clone(),
            rounds: 0,
            first: work.round,
            last: work.round,
            returned_msat: 0,
        });
        found.rounds += 1;
        found.first = found.first.min(work.round);
        found.last = found.last.max(work.round);
        found.returned_msat = found.returned_msat.saturating_add(work.locked_msat.saturating_sub(work.paid_msat));
    }
    let mut all: Vec<Caught> = by_reason.into_values().collect();
    all.sort_by(|a, b| {
        b.rounds.cmp(&a.rounds).then_with(|| a.worker.cmp(&b.worker)).then_with(|| a.reason.cmp(&b.reason))
    });
    all
}
