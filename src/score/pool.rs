//! The pool: sequences that the workers were to train on this round, on which all their updates are measured.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::scoring::Scoring;
use super::signals::own::{draw, trained};
use crate::artifact::{Digest, Recipe};
use crate::data::{Assignment, Shard, Split};
use crate::error::{Context, Error, Result};
use crate::fsio::Source;

/// Sequences by shard, and who was to train on them.
#[derive(Default)]
pub(super) struct Pool {
    /// Shards by ascending digest, with the drawn sequences of each, ascending.
    pub parts: Vec<(Arc<Shard>, Vec<usize>)>,
    /// For every sequence, in the order of the parts, the members that were to train on it.
    pub trained: Vec<Vec<usize>>,
}

impl Pool {
    /// The pool of these members, by their worker ids; empty where the recipe wants none.
    pub fn draw(input: &Scoring<'_>, members: &[&str]) -> Result<Pool> {
        let (recipe, count) = (input.recipe, input.recipe.score.own);
        if count == 0 || members.is_empty() {
            return Ok(Pool::default());
        }
        let (Some(assignments), Some(shards), Some(beacon)) = (&input.lists.assignments, input.shards, input.beacon)
        else {
            let needs = format!("the recipe measures updates on {count} sequences of each worker's own");
            return Err(Error::usage(format!("{needs}: assignments, shards and a beacon must be given"))
                .hint("--assignments FILE --shards DIR --beacon HEX"));
        };
        let run = recipe.digest();
        let mut by_shard: BTreeMap<Digest, (Arc<Shard>, Members)> = BTreeMap::new();
        for (member, worker) in members.iter().enumerate() {
            let assignment = Assignment::find(assignments, input.round, worker)?;
            let (shard, of) = match by_shard.get_mut(&assignment.shard_digest) {
                Some(known) => known,
                None => by_shard.entry(assignment.shard_digest).or_insert((shards(assignment)?, Members::new())),
            };
            let trained = trained(recipe, assignment, shard.sequences());
            let drawn = draw(&run, input.round, worker, &beacon, &trained, count);
            of.push((member, trained, drawn));
        }
        let mut pool = Pool::default();
        for (shard, members) in by_shard.into_values() {
            let drawn: BTreeSet<usize> = members.iter().flat_map(|(_, _, drawn)| drawn.iter().copied()).collect();
            let who = |s: &usize| members.iter().filter(|(_, trained, _)| trained.contains(s)).map(|m| m.0).collect();
            pool.trained.extend(drawn.iter().map(who));
            pool.parts.push((shard, drawn.into_iter().collect()));
        }
        Ok(pool)
    }
}

/// Members of one shard, with all that they were to train on and what is drawn of it.
type Members = Vec<(usize, BTreeSet<usize>, Vec<usize>)>;

/// Reads the shard of an assignment for a recipe and a model.
pub fn read_assigned(
    source: Source,
    assignment: &Assignment,
    recipe: &Recipe,
    vocab_size: usize,
) -> Result<Arc<Shard>> {
    let name = source.name().to_owned();
    let shard = Shard::open(source)?;
    shard.check_recipe(recipe).at(&name)?;
    shard.check_split(Split::Train).at(&name)?;
    shard.check_vocabulary(vocab_size).at(&name)?;
    let (expected, found) = (assignment.shard_digest, shard.digest());
    if expected != found {
        let of = &assignment.worker;
        return Err(Error::refused(format!("{name}: expected the shard {expected}, assigned to {of}, found {found}")));
    }
    Ok(Arc::new(shard))
}
