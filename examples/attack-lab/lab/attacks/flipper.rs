//! A sign flipper: the assigned work, sent the other way round.

use super::{Attack, Scene, Sent};
use crate::lab::vectors::scaled;

/// Sends minus what it should.
pub struct Flipper;

impl Attack for Flipper {
    fn name(&self) -> &'static str {
        "flipper"
    }

    fn play(&mut self, scene: &Scene<'_>) -> Vec<Sent> {
        let place = &scene.places[0];
        let (delta, meta) = place.trained(&place.shard(), place.world.recipe.inner.steps);
        let made = place.send(&scaled(&delta, -1.0), meta);
        vec![Sent { coded: false, ..Sent::worked(place, made) }]
    }
}
