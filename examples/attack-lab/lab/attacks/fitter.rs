//! A validation fitter: all of its steps, on the held-out shard.

use super::{Attack, Scene, Sent};

/// Trains on what it will be scored on, as far as that is known before the draw.
pub struct Fitter;

impl Attack for Fitter {
    fn name(&self) -> &'static str {
        "fitter"
    }

    fn play(&mut self, scene: &Scene<'_>) -> Vec<Sent> {
        let place = &scene.places[0];
        let steps = place.world.recipe.inner.steps;
        let (delta, _) = place.trained(&place.world.held_out, steps);
        vec![Sent::made_up(&place.assignment.worker, place.send(&delta, place.made_up()), steps)]
    }
}
