//! What an update must show to count, once the lists let it: no copy, of a sane norm, not against all others, a gain above
//! noise, and more of it on its own data.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use super::eligible::Candidate;
use super::measure::Losses;
use super::pool::Pool;
use super::records::Signals;
use super::scoring::Scoring;
use super::signals::noise::{self, Gain};
use super::signals::norms::Norms;
use super::signals::{Pairs, copies, own, signs};
use super::standings::{Held, Standings};
use crate::codec::Update;
use crate::error::Result;

/// An update that the lists let count.
pub(super) struct Entry<U> {
    /// Its number among the candidates.
    pub candidate: usize,
    /// The place of its commitment in the list.
    pub place: usize,
    /// Whether a replay of the whole arrived at it: then it is the assigned work, whatever else it looks like.
    pub exact: bool,
    /// Itself.
    pub update: U,
    /// What was measured of it.
    pub signals: Signals,
    /// Why it does not count.
    pub reason: Option<String>,
    /// What it is scaled by when it is measured.
    pub clip: f32,
    /// What it gained on each sequence, where it was measured.
    pub gains: Option<Losses>,
}

impl<U> Entry<U> {
    pub fn new(candidate: usize, place: usize, exact: bool, update: U) -> Entry<U> {
        Entry { candidate, place, exact, update, signals: Signals::default(), reason: None, clip: 1.0, gains: None }
    }
}

/// Entries in the order in which they were committed to: by the places of the commitments that they open in the list, as it
/// was given. Without a list by ascending worker id.
fn committed_order<U>(entries: &[Entry<U>]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..entries.len()).collect();
    order.sort_by_key(|&i| (entries[i].place, i));
    order
}

/// What the updates show before anything is measured with them: norms, then copies among all of them and of those that are
/// remembered from earlier rounds, then signs. Each is judged among all of them, of which attackers are the fewer, and none of it
/// decides on what was recomputed to equality.
pub(super) fn shapes<U: Borrow<Update>>(
    input: &Scoring<'_>,
    entries: &mut [Entry<U>],
    remembered: &[&Update],
) -> Result<()> {
    let rule = &input.recipe.score;
    let updates: Vec<&Update> =
        entries.iter().map(|entry| entry.update.borrow()).chain(remembered.iter().copied()).collect();
    let pairs = Pairs::measure(&input.folder.layout, &updates)?;
    let count = entries.len();
    let norms = Norms::of(&pairs, count);
    let outsized: Vec<Option<String>> =
        (0..count).map(|i| norms.refuses(i, rule.max_norm_ppm).filter(|_| !entries[i].exact)).collect();
    let holds = |i: usize| outsized.get(i).is_none_or(Option::is_none);
    let remembered: Vec<usize> = (count..pairs.count()).collect();
    let likeness = match input.lists.commitments {
        Some(_) => {
            let order = [remembered, committed_order(entries)].concat();
            copies::against_earlier(&pairs, &order, holds)
        }
        // Nobody committed to anything: only what is remembered came earlier.
        None => {
            let mut order = remembered;
            order.extend(0..count);
            copies::against_earlier(&pairs, &order, |i| i >= count)
        }
    };
    let likeness = &likeness[..count];
    let left = |i: usize| outsized[i].is_none() && !entries[i].exact;
    let copied = copies::refuses(likeness, left, rule.max_overlap_ppm, rule.min_residual_ppm);
    let agreement = signs::agreement(&pairs, count);
    for (i, reason) in outsized.into_iter().zip(copied).map(|(norm, copy)| norm.or(copy)).enumerate() {
        let (entry, like) = (&mut entries[i], likeness[i]);
        let against = || signs::refuses(agreement[i], rule.max_against_ppm).filter(|_| !entry.exact);
        entry.reason = reason.or_else(against);
        entry.clip = norms.clip(i, rule.clip_ppm);
        entry.signals.norm_ppm = norms.ppm(i);
        entry.signals.overlap_ppm = like.overlap_ppm;
        entry.signals.cosine_ppm = like.cosine_ppm;
        entry.signals.residual_ppm = like.residual_ppm;
        entry.signals.agreement_ppm = agreement[i].map(|ppm| ppm.to_string());
    }
    Ok(())
}

/// What the gains show: noise, then, among those that are left, proof of training on one's own data, which goes into their
/// standings, and decides on what was not recomputed to equality. Returns how many sequences the median update needs.
pub(super) fn gains<U>(
    input: &Scoring<'_>,
    candidates: &[Candidate],
    entries: &mut [Entry<U>],
    pool: &Pool,
    standings: &mut Standings<'_>,
) -> Result<Option<u64>> {
    let rule = &input.recipe.score;
    let measured: Vec<usize> = (0..entries.len()).filter(|&i| entries[i].gains.is_some()).collect();
    let held_out = |i: usize| entries[i].gains.as_ref().map_or(&[][..], |gains| &gains.held_out);
    let found: Vec<Gain> = measured.iter().map(|&i| Gain::of(held_out(i), rule.z_milli)).collect::<Result<_>>()?;
    let needed = noise::needed(&found);
    for ((&i, gain), reason) in measured.iter().zip(&found).zip(noise::refuses(&found, rule.floor_ppm)) {
        entries[i].signals.error_q32 = gain.error_q32.map(|error| error.to_string());
        entries[i].reason = reason;
    }

    if pool.trained.is_empty() {
        return Ok(needed);
    }
    // Who was to train on what, by the places of those that were measured: all of them are compared, for of those that are
    // left attackers might be the most.
    let place: BTreeMap<usize, usize> = measured.iter().enumerate().map(|(place, &i)| (i, place)).collect();
    let trained: Vec<Vec<usize>> =
        pool.trained.iter().map(|who| who.iter().filter_map(|member| place.get(member).copied()).collect()).collect();
    let own: Vec<Vec<i128>> =
        measured.iter().map(|&i| entries[i].gains.as_ref().map_or(Vec::new(), |gains| gains.own.clone())).collect();
    for (&i, found) in measured.iter().zip(own::differences(&own, &trained)) {
        if entries[i].reason.is_some() {
            continue;
        }
        let worker = &candidates[entries[i].candidate].worker;
        let Held { standing, average } = standings.of(worker);
        *average = own::average(*average, found, rule.own_rate_ppm);
        standing.own_q32 = average.to_string();
        standing.own_rounds += u64::from(found.is_some());
        let low = || own::stands_low(*average, standing.own_rounds, rule.own_least_ppm, rule.own_rounds);
        entries[i].reason = own::refuses(found, rule.own_z_milli).or_else(low).filter(|_| !entries[i].exact);
        entries[i].signals.own_q32 = found.map(|found| found.difference_q32.to_string());
        entries[i].signals.own_error_q32 = found.map(|found| found.error_q32.to_string());
    }
    Ok(needed)
}
