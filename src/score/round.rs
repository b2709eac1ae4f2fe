//! A round's scores: a pure function of recipe, model, held-out data, beacon, signed lists and updates.

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use super::accept::Acceptance;
use super::eligible::{Candidate, judge};
use super::gain::draw_sequences;
use super::gates::{Entry, gains, shapes};
use super::measure::{Meter, apply_alone, together};
use super::pay_rules::PayRule;
use super::payout::split;
use super::pool::Pool;
use super::records::{RoundScore, Score, Standing};
use super::scoring::Scoring;
use super::standings::Standings;
use super::watch::Watch;
use super::worth::{coalitions, worth};
use crate::artifact::recipe::PayName;
use crate::artifact::record::Line;
use crate::artifact::{Digest, Reader, Recipe, record};
use crate::codec::Update;
use crate::data::{Shard, Split};
use crate::error::{Context, Error, Kind, Result};
use crate::fsio::{Source, content_digest_within};
use crate::model::Layout;
use crate::verify::Verdict;

/// What a round's scores are.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    /// One an update, in the candidates' order.
    pub scores: Vec<Score>,
    /// What the workers carry to the next round, by ascending id, where the recipe has them carry something.
    pub standings: Vec<Standing>,
    /// What they have in common.
    pub round: RoundScore,
}

impl Scores {
    /// The canonical lines.
    pub fn text(&self) -> Result<String> {
        let mut text: String = self.scores.iter().map(record::line).collect::<Result<_>>()?;
        text += &self.standings.iter().map(record::line).collect::<Result<String>>()?;
        Ok(text + &record::line(&self.round)?)
    }

    /// The digest of the canonical lines: what validators sign.
    pub fn digest(&self) -> Result<Digest> {
        Ok(Digest::of(self.text()?.as_bytes()))
    }

    /// The scores among lines, in their order; exactly one of them says what the others have in common.
    pub fn of_lines(lines: &[Line]) -> Result<Scores> {
        let rounds: Vec<RoundScore> = record::select(lines)?;
        let round = <[RoundScore; 1]>::try_from(rounds);
        let [round] =
            round.map_err(|found| Error::data(format!("expected one round_score record, found {}", found.len())))?;
        Ok(Scores { scores: record::select(lines)?, standings: record::select(lines)?, round })
    }
}

/// Reads an update of this run and model, decoded once so that nothing in it can fail later. A malformed one is
/// malformed data, one of another run a refusal.
pub fn read_update(source: Source, recipe: &Recipe, layout: &Layout) -> Result<Update> {
    let reader = Reader::open_within(source, layout.header_room())?;
    let update = Update::open_for(recipe, reader, layout.shapes())?;
    update.verify()?;
    Ok(update)
}

/// The digest of a file that should hold an update, whatever it holds; malformed data where that is more than any update
/// of this model can be.
pub fn update_digest(path: &Path, layout: &Layout) -> Result<Digest> {
    // Twice a dense one, which no codec exceeds but by what it keeps of a tensor.
    content_digest_within(path, layout.file_room(2)).map(|hash| Digest(*hash.as_bytes()))
}

/// Updates in the order in which they are scored and summed: by ascending worker id, then by digest. Whoever sends
/// another's update as it is adds nothing to it, and takes nothing from it: `again` is told of those left out.
pub fn in_order<T>(mut given: Vec<T>, key: impl Fn(&T) -> (&str, Digest), mut again: impl FnMut(&T, &T)) -> Vec<T> {
    given.sort_by(|a, b| key(a).cmp(&key(b)));
    given.dedup_by(|twice, first| {
        let same = key(twice).1 == key(first).1;
        if same {
            again(twice, first);
        }
        same
    });
    given
}

/// At most one update a worker can count. Where lists of commitments or findings decide, a second one never does.
pub fn one_a_worker<'a>(counting: impl Iterator<Item = (&'a str, &'a str)>) -> Result<()> {
    let mut seen = HashSet::new();
    for (worker, file) in counting {
        if !seen.insert(worker) {
            let twice = format!("{file}: a second update of worker {worker}");
            return Err(Error::data(twice).hint("--commitments or --findings say which one counts"));
        }
    }
    Ok(())
}

/// Measures every update that counts, alone, and splits the round's msat by what they gained. `candidates` are
/// [`in_order`]; `open` gives the update of one. Those that the lists let count are held, as they were sent, until all are
/// measured.
///
/// One pass over the held-out sequences, and over the workers' own where the recipe has such, for theta and for every
/// update that shows nothing wrong before.
pub fn score_round<U: Borrow<Update>>(
    input: &Scoring<'_>,
    candidates: &[Candidate],
    open: impl Fn(usize) -> Result<U>,
    watch: &mut dyn FnMut(Watch<'_>),
) -> Result<Scores> {
    let Scoring { recipe, round, folder, held_out, lists, .. } = *input;
    let run = recipe.digest();
    let rule = Acceptance { recipe, layout: &folder.layout, beacon: input.beacon.as_ref() };
    let judged: Vec<_> = candidates.iter().map(|c| judge(c, round, &folder.digest, &rule, lists)).collect();
    let listed: Vec<(usize, usize)> =
        judged.iter().enumerate().filter_map(|(i, judged)| Some((i, *judged.as_ref().ok()?))).collect();
    one_a_worker(listed.iter().map(|&(i, _)| (candidates[i].worker.as_str(), candidates[i].file.as_str())))?;
    let mut entries = Vec::with_capacity(listed.len());
    for (i, place) in listed {
        let exact = lists.finding_of(&candidates[i], &run, round).is_some_and(|f| f.finding == Verdict::Exact);
        entries.push(Entry::new(i, place, exact, open(i)?));
    }
    let mut standings = Standings::carried(input)?;
    shapes(input, &mut entries, &standings.remembered()?)?;

    let beacon = input.beacon.as_ref();
    let count = if candidates.is_empty() && beacon.is_none() { 0 } else { recipe.score.sequences };
    let drawn = draw_sequences(&run, round, beacon, count, held_out.sequences())?;
    let members: Vec<&str> = entries.iter().map(|entry| candidates[entry.candidate].worker.as_str()).collect();
    let pool = Pool::draw(input, &members)?;
    let mut meter = Meter::new(input, &drawn, &pool)?;
    let alone = entries.iter().filter(|entry| entry.reason.is_none()).count();
    let ahead = coalitions(&recipe.pay, alone);
    if ahead > 0 {
        watch(Watch::Passes(1 + alone as u64 + ahead));
    }
    let batches = (meter.micro_batches() * (1 + alone)) as u64;
    watch(Watch::Begin(batches.saturating_add(ahead.saturating_mul(meter.held_out_batches() as u64))));
    let before = meter.losses(&folder.parameters.to_vec()?, watch)?;
    let alpha = (recipe.outer.lr * (recipe.score.rate_ppm as f64 / 1e6)) as f32;
    for entry in entries.iter_mut().filter(|entry| entry.reason.is_none()) {
        let applied = apply_alone(entry.update.borrow(), folder, alpha, entry.clip);
        match applied.and_then(|applied| meter.losses(&applied, watch)) {
            Ok(after) => entry.gains = Some(before.gains(&after)),
            // Somebody's update that breaks the model is that worker's loss, and no reason to stop the round.
            Err(error) if error.kind() == Kind::Data => {
                watch(Watch::Breaks(&error));
                entry.reason = Some("breaks the model".into());
            }
            Err(error) => return Err(error),
        }
    }
    let needed_sequences = gains(input, candidates, &mut entries, &pool, &mut standings)?;
    if let Some(needed) = needed_sequences.filter(|needed| *needed > drawn.len() as u64) {
        watch(Watch::Few { drawn: drawn.len() as u64, needed });
    }

    let workers = lists.assignments.as_ref().map_or(candidates.len(), Vec::len) as u64;
    let before = total(&before.held_out);
    let (mut paid, returned_msat) = earn(input, &entries, before, workers, &mut meter, watch)?;
    let sent = |i: usize| judged[i].as_ref().map_or_else(|unlisted| unlisted.sent, |_| true);
    let mut reasons: Vec<Option<String>> =
        judged.iter().map(|judged| judged.as_ref().err().map(|unlisted| unlisted.reason.clone())).collect();
    let (mut gained, mut signals) = (BTreeMap::new(), BTreeMap::new());
    for entry in entries {
        gained.extend(entry.gains.map(|gains| (entry.candidate, total(&gains.held_out))));
        signals.insert(entry.candidate, entry.signals);
        reasons[entry.candidate] = entry.reason;
    }
    standings.remember(candidates, |i| reasons[i].is_none());
    standings.rate(candidates, sent, |i| gained.get(&i).copied().filter(|_| reasons[i].is_none()))?;
    let score = |(i, (candidate, reason)): (usize, (&Candidate, Option<String>))| -> Result<Score> {
        let finding = lists.finding_of(candidate, &run, round);
        let earned = paid.remove(&i).unwrap_or_default();
        Ok(Score {
            run,
            round,
            worker: candidate.worker.clone(),
            update: candidate.digest,
            counts: reason.is_none(),
            reason,
            finding: finding.map(finding_digest).transpose()?,
            state: finding.and_then(|finding| finding.state),
            after_q32: gained.get(&i).map(|gain| (before - gain).to_string()),
            gain_q32: gained.get(&i).map(i128::to_string),
            worth_q32: earned.worth_q32,
            worth_error_q32: earned.error_q32,
            signals: signals.remove(&i),
            entitled_msat: earned.msat,
            bytes: candidate.bytes,
        })
    };
    Ok(Scores {
        scores: candidates.iter().zip(reasons).enumerate().map(score).collect::<Result<_>>()?,
        standings: standings.records(),
        round: RoundScore {
            run,
            round,
            theta: folder.digest,
            held_out: held_out.digest(),
            beacon: input.beacon,
            sequences: drawn.len() as u64,
            tokens: held_out.targets(&drawn) as u64,
            needed_sequences,
            own_sequences: (recipe.score.own > 0).then_some(pool.trained.len() as u64),
            standings: None,
            before_q32: before.to_string(),
            workers,
            round_msat: recipe.pay.round_msat,
            returned_msat,
        },
    })
}

/// What a score calls a finding by: the digest of its canonical line, newline included.
pub fn finding_digest(finding: &crate::verify::Finding) -> Result<Digest> {
    record::line(finding).map(|line| Digest::of(line.as_bytes()))
}

/// Reads a held-out shard for a recipe and a model.
pub fn read_held_out(source: Source, recipe: &Recipe, vocab_size: usize) -> Result<Shard> {
    let name = source.name().to_owned();
    let held_out = Shard::open(source)?;
    held_out.check_recipe(recipe).at(&name)?;
    held_out.check_split(Split::Val).at(&name)?;
    held_out.check_vocabulary(vocab_size).at(&name)?;
    Ok(held_out)
}

/// What an update that counts earns, and by what.
#[derive(Default)]
struct Earned {
    msat: u64,
    worth_q32: Option<String>,
    error_q32: Option<String>,
}

fn total(losses: &[i128]) -> i128 {
    losses.iter().sum()
}

/// Splits the round's msat by the recipe's rule among those that still count; returns what each earns, by the candidates'
/// numbers, and what goes back.
fn earn<U: Borrow<Update>>(
    input: &Scoring<'_>,
    entries: &[Entry<U>],
    before: i128,
    workers: u64,
    meter: &mut Meter<'_>,
    watch: &mut dyn FnMut(Watch<'_>),
) -> Result<(BTreeMap<usize, Earned>, u64)> {
    let pay = &input.recipe.pay;
    let counting: Vec<&Entry<U>> = entries.iter().filter(|entry| entry.reason.is_none()).collect();
    let alone: Vec<i128> =
        counting.iter().map(|entry| entry.gains.as_ref().map_or(0, |gains| total(&gains.held_out))).collect();
    let purpose = Digest::of_parts("l402/score/shapley/1", &[&input.recipe.digest().0, &input.round.to_le_bytes()]);
    let worth = worth(pay, &alone, purpose.philox_key(), |members| {
        let updates: Vec<&Update> = members.iter().map(|&i| counting[i].update.borrow()).collect();
        match together(input, &updates).and_then(|theta| meter.held_out_loss(&theta, watch)) {
            Ok(loss) => Ok(before - loss),
            // Each alone did not break the model; together they undo it.
            Err(error) if error.kind() == Kind::Data => Ok(-before),
            Err(error) => Err(error),
        }
    })?;
    let payout = split(&PayRule::of(pay)?, pay.round_msat, workers, &worth.values);
    let by_rule = matches!(pay.rule, PayName::Shapley | PayName::LeaveOneOut);
    let mut earned = BTreeMap::new();
    for (at, entry) in counting.iter().enumerate() {
        let worth_q32 = by_rule.then(|| worth.values[at].to_string());
        let error_q32 = worth.error.as_ref().map(|error| error[at].to_string());
        earned.insert(entry.candidate, Earned { msat: payout.msat[at], worth_q32, error_q32 });
    }
    Ok((earned, payout.returned_msat))
}
