//! A data hoarder: all of its steps, on other data than it was assigned.

use super::{Attack, Scene, Sent};

/// Trains on a shard that somebody else was assigned.
pub struct Hoarder;

impl Attack for Hoarder {
    fn name(&self) -> &'static str {
        "hoarder"
    }

    fn play(&mut self, scene: &Scene<'_>) -> Vec<Sent> {
        let place = &scene.places[0];
        let own = place.assignment.shard_digest;
        let other = place.world.shards.iter().find(|shard| shard.digest() != own).expect("there are several");
        let steps = place.world.recipe.inner.steps;
        let (delta, _) = place.trained(other, steps);
        vec![Sent::made_up(&place.assignment.worker, place.send(&delta, place.made_up()), steps)]
    }
}
