//! Several validators: each signs the scores that it arrived at, and the round is paid by their clipped median.
//!
//! Scores are exact, so honest validators sign the same digest, and the median is what each of them says. A minority of
//! votes, `score.kappa_ppm` of all that the recipe gives out, can neither raise what a worker earns nor lower it: who is
//! absent votes for nothing.

use std::collections::{BTreeMap, BTreeSet};

use lightning::bitcoin::secp256k1::PublicKey;
use serde::{Deserialize, Serialize};

use super::consensus::clipped_median;
use super::records::{RoundScore, Score};
use super::round::Scores;
use crate::artifact::record::{self, Line, Record, Signed};
use crate::artifact::{Digest, Recipe, key};
use crate::error::{Error, Result};
use crate::pay::{RecordHash, Votes, hash_of};

/// A validator's word that a round's scores are what it arrived at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endorsement {
    /// The run.
    pub run: Digest,
    /// The round.
    pub round: u64,
    /// Digest of the scores: of their canonical lines, without any endorsement.
    pub scores: Digest,
    /// The validator's public key, 66 hex digits.
    pub validator: String,
    /// Its signature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sig: Option<String>,
}

impl Record for Endorsement {
    const TYPE: &'static str = "endorsement";
}

impl Signed for Endorsement {
    fn sig(&mut self) -> &mut Option<String> {
        &mut self.sig
    }
}

/// Which signed scores a round's scores were merged from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consensus {
    /// The run.
    pub run: Digest,
    /// The round.
    pub round: u64,
    /// The part of all votes that decides, in parts per million.
    pub kappa_ppm: u64,
    /// The votes that the recipe gives out.
    pub of: u64,
    /// Whose scores these rest on, by ascending key.
    pub votes: Vec<Vote>,
}

impl Record for Consensus {
    const TYPE: &'static str = "consensus";
}

/// One validator's part in a consensus.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vote {
    /// The validator's public key.
    pub validator: String,
    /// Its votes.
    pub weight: u64,
    /// Digest of its scores.
    pub scores: Digest,
    /// Hash of its endorsement.
    pub endorsement: RecordHash,
}

/// One validator's file: scores, and its signature on them.
#[derive(Clone, Debug)]
pub struct Ballot {
    /// The signature.
    pub endorsement: Endorsement,
    /// Its votes.
    pub weight: u64,
    /// The scores.
    pub scores: Scores,
}

/// Scores as all validators together have them.
#[derive(Clone, Debug)]
pub struct Merged {
    /// The scores.
    pub scores: Scores,
    /// What they rest on.
    pub consensus: Consensus,
}

impl Merged {
    /// The canonical lines.
    pub fn text(&self) -> Result<String> {
        Ok(self.scores.text()? + &record::line(&self.consensus)?)
    }
}

impl Ballot {
    /// Reads a validator's lines, which must be of this run and signed by one of the recipe's validators.
    pub fn read(lines: &[Line], recipe: &Recipe) -> Result<Ballot> {
        let (scores, endorsements): (Scores, Vec<Endorsement>) = (Scores::of_lines(lines)?, record::select(lines)?);
        let [endorsement] = &endorsements[..] else {
            let found = endorsements.len();
            return Err(Error::data(format!("expected one endorsement, found {found}"))
                .hint("score --key signs what it arrives at"));
        };
        if scores.scores.len() + scores.standings.len() + 2 != lines.len() {
            return Err(Error::data("expected records of scores alone, and an endorsement of them"));
        }
        let round = &scores.round;
        let run = recipe.digest();
        if (round.run, endorsement.run) != (run, run) || endorsement.round != round.round {
            return Err(Error::refused(format!("expected scores of run {run}, found run {}", endorsement.run)));
        }
        let of_round = |s: &Score| (s.run, s.round) == (run, round.round);
        let keys: BTreeSet<Key<'_>> = scores.scores.iter().map(key_of).collect();
        if !scores.scores.iter().all(of_round) || keys.len() != scores.scores.len() {
            return Err(Error::data("scores of another round, or two of one update"));
        }
        let given: u128 = scores.scores.iter().map(|s| u128::from(s.entitled_msat)).sum();
        let (given, whole) = (given + u128::from(round.returned_msat), recipe.pay.round_msat);
        if given != u128::from(whole) || round.round_msat != whole {
            return Err(Error::data(format!("expected scores that add up to the round's {whole} msat, found {given}")));
        }
        let digest = scores.digest()?;
        if digest != endorsement.scores {
            let signed = endorsement.scores;
            return Err(Error::refused(format!("expected the scores that were signed, {signed}, found {digest}")));
        }
        let seat = recipe.score.validators.iter().find(|v| v.key == endorsement.validator);
        let seat =
            seat.ok_or_else(|| Error::refused(format!("{} is no validator of this recipe", endorsement.validator)))?;
        if !record::verify(endorsement, &key::parse_public(&seat.key)?)? {
            return Err(Error::refused(format!("sig: not a signature of these scores by {}", seat.key)));
        }
        Ok(Ballot { endorsement: endorsement.clone(), weight: seat.weight, scores })
    }

    /// Digest of the scores that are signed.
    pub fn digest(&self) -> Digest {
        self.endorsement.scores
    }
}

/// A worker and an update.
type Key<'a> = (&'a str, Digest);

fn key_of(score: &Score) -> Key<'_> {
    (&score.worker, score.update)
}

/// What a validator signs, not signed yet.
pub fn endorse(scores: &Scores, validator: &PublicKey) -> Result<Endorsement> {
    let RoundScore { run, round, .. } = scores.round;
    Ok(Endorsement { run, round, scores: scores.digest()?, validator: validator.to_string(), sig: None })
}

/// Merges validators' scores. `dissent` is told whose differ from what comes out, and who was left out.
///
/// Those count that measured the same (model, held-out data, beacon), as a majority did: where there is none, nothing is
/// decided. What an update is entitled to is the largest amount that validators with `score.kappa_ppm` of all votes
/// allow; it counts if as many say so, is listed if as many list it, and is spoken of in the words that most votes have for
/// it. Where medians of different majorities add up to more than the round pays, all of
/// them are lowered together.
pub fn merge(recipe: &Recipe, ballots: Vec<Ballot>, mut dissent: impl FnMut(String)) -> Result<Merged> {
    let rule = &recipe.score;
    let of: u64 = rule.validators.iter().map(|v| v.weight).sum();
    if of == 0 {
        return Err(Error::usage(
            "the recipe names no validators (score.validators): expected some whose scores to merge",
        ));
    }
    let ballots = comparable(one_each(ballots, &mut dissent), of, rule.kappa_ppm, &mut dissent)?;
    let mut said: BTreeMap<Key<'_>, Vec<(usize, &Score)>> = BTreeMap::new();
    for (i, ballot) in ballots.iter().enumerate() {
        ballot.scores.scores.iter().for_each(|score| said.entry(key_of(score)).or_default().push((i, score)));
    }
    // What no majority has heard of, nobody has sent.
    let votes = |said: &[(usize, &Score)]| said.iter().map(|(i, _)| ballots[*i].weight).sum();
    said.retain(|_, said| reaches(votes(said), of, rule.kappa_ppm));
    let ceilings = median(&ballots, &said, of, rule.kappa_ppm)?;
    let (mut scores, mut worth) = (Vec::new(), Vec::new());
    for (said, ceiling) in said.values().zip(ceilings) {
        let counting: Vec<(usize, &Score)> = said.iter().copied().filter(|(_, score)| score.counts).collect();
        let counts = reaches(votes(&counting), of, rule.kappa_ppm);
        let words = words(&ballots, said.iter().copied().filter(|(_, score)| score.counts == counts))?;
        let Some(words) = words else { continue };
        scores.push(words);
        worth.push(if counts { ceiling } else { 0 });
    }
    let first = &ballots[0].scores;
    let msat = fit_to(&worth, first.round.round_msat);
    for (score, msat) in scores.iter_mut().zip(&msat) {
        score.entitled_msat = *msat;
    }
    let mut round = first.round.clone();
    round.returned_msat = round.round_msat - msat.iter().sum::<u64>();
    let (run, number) = (round.run, round.round);
    let scores = Scores { scores, standings: first.standings.clone(), round };
    let digest = scores.digest()?;
    let mut votes = Vec::new();
    for ballot in &ballots {
        if ballot.digest() != digest {
            dissent(format!("{}: its scores are not those of the others", ballot.endorsement.validator));
        }
        votes.push(Vote {
            validator: ballot.endorsement.validator.clone(),
            weight: ballot.weight,
            scores: ballot.digest(),
            endorsement: hash_of(&ballot.endorsement)?,
        });
    }
    let consensus = Consensus { run, round: number, kappa_ppm: rule.kappa_ppm, of, votes };
    Ok(Merged { scores, consensus })
}

/// The words that most votes have for an update, but for the amount; of those with as many, the first.
fn words<'a>(ballots: &[Ballot], said: impl Iterator<Item = (usize, &'a Score)>) -> Result<Option<Score>> {
    let mut votes: BTreeMap<String, (u64, Score)> = BTreeMap::new();
    for (i, score) in said {
        let words = Score { entitled_msat: 0, ..score.clone() };
        votes.entry(record::line(&words)?).or_insert((0, words)).0 += ballots[i].weight;
    }
    // The last of the largest, from the end.
    Ok(votes.into_values().rev().max_by_key(|(votes, _)| *votes).map(|(_, words)| words))
}

/// The clipped median of what each update is entitled to. Who is absent gives nothing.
fn median(
    ballots: &[Ballot],
    said: &BTreeMap<Key<'_>, Vec<(usize, &Score)>>,
    of: u64,
    kappa_ppm: u64,
) -> Result<Vec<u64>> {
    let mut given = vec![vec![0; said.len()]; ballots.len()];
    for (at, said) in said.values().enumerate() {
        let counting = said.iter().filter(|(_, score)| score.counts);
        counting.for_each(|(i, score)| given[*i][at] = score.entitled_msat);
    }
    let mut weights: Vec<u64> = ballots.iter().map(|b| b.weight).collect();
    weights.push(of - weights.iter().sum::<u64>());
    given.push(vec![0; said.len()]);
    Ok(clipped_median(ballots[0].scores.round.round_msat, &weights, kappa_ppm, &given)?.ceiling_msat)
}

/// Amounts that add up to no more than `most`: as they are, else lowered in proportion, rounded down.
fn fit_to(amounts: &[u64], most: u64) -> Vec<u64> {
    let sum: u128 = amounts.iter().map(|a| u128::from(*a)).sum();
    let fit = |a: &u64| (u128::from(*a) * u128::from(most) / sum) as u64;
    if sum <= u128::from(most) { amounts.to_vec() } else { amounts.iter().map(fit).collect() }
}

/// One ballot a validator, by ascending key. Who signed two different ones has none.
fn one_each(ballots: Vec<Ballot>, dissent: &mut impl FnMut(String)) -> Vec<Ballot> {
    let mut by_key: BTreeMap<String, Vec<Ballot>> = BTreeMap::new();
    ballots.into_iter().for_each(|b| by_key.entry(b.endorsement.validator.clone()).or_default().push(b));
    let mut kept = Vec::new();
    for (validator, mut own) in by_key {
        own.dedup_by_key(|b| b.digest());
        match <[Ballot; 1]>::try_from(own) {
            Ok([ballot]) => kept.push(ballot),
            Err(own) => dissent(format!("{validator}: left out: it signed {} different scores", own.len())),
        }
    }
    kept
}

/// Those that measured the same as a majority of all votes.
fn comparable(ballots: Vec<Ballot>, of: u64, kappa_ppm: u64, dissent: &mut impl FnMut(String)) -> Result<Vec<Ballot>> {
    // All but the amounts.
    let measured = |ballot: &Ballot| {
        let Scores { standings, round, .. } = ballot.scores.clone();
        Scores { scores: Vec::new(), standings, round: RoundScore { returned_msat: 0, ..round } }.text()
    };
    let mut votes: BTreeMap<String, u64> = BTreeMap::new();
    for ballot in &ballots {
        *votes.entry(measured(ballot)?).or_default() += ballot.weight;
    }
    let present: u64 = votes.values().sum();
    // Of two with as many votes, none is a majority of all, unless kappa lets it: then the first by its text.
    let most = votes.iter().rev().max_by_key(|(_, votes)| **votes).filter(|(_, votes)| reaches(**votes, of, kappa_ppm));
    let Some((most, _)) = most else {
        let found = format!(
            "expected the same measurement by {kappa_ppm} ppm of {of} votes, found {present} votes on {} measurements",
            votes.len()
        );
        return Err(Error::refused(found).hint("every validator signs a file of its own: `score --key`"));
    };
    let mut kept = Vec::new();
    for ballot in ballots {
        let (validator, own) = (&ballot.endorsement.validator, measured(&ballot)?);
        match own == *most {
            true => kept.push(ballot),
            // The round's record is the last line.
            false if own.lines().last() == most.lines().last() => {
                dissent(format!("{validator}: left out: its workers carry on something else, by its standings"));
            }
            false => dissent(format!("{validator}: left out: it measured something else")),
        }
    }
    Ok(kept)
}

/// Whether so many votes decide.
fn reaches(votes: u64, of: u64, kappa_ppm: u64) -> bool {
    u128::from(votes) * 1_000_000 >= u128::from(of) * u128::from(kappa_ppm)
}

/// What a verdict says of the signed scores that it rests on; none where no consensus was made.
pub fn votes(lines: &[Line]) -> Result<Option<Votes>> {
    let found: Vec<Consensus> = record::select(lines)?;
    match &found[..] {
        [] => Ok(None),
        [consensus] => {
            let endorsements = consensus.votes.iter().map(|v| v.endorsement).collect();
            let signed = consensus.votes.iter().map(|v| v.weight).sum();
            Ok(Some(Votes { signed, of: consensus.of, endorsements }))
        }
        _ => Err(Error::data(format!("expected one consensus record, found {}", found.len()))),
    }
}
