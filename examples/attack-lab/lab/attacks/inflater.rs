//! A norm inflater: the assigned work, larger than it is.

use super::{Attack, Scene, Sent};
use crate::lab::vectors::scaled;

/// Sends more of what it should.
pub struct Inflater {
    /// How much more.
    pub factor: f64,
}

impl Attack for Inflater {
    fn name(&self) -> &'static str {
        match self.factor {
            factor if factor < 0.0 => "inflater-flipped",
            factor if factor > 3.0 => "inflater",
            _ => "inflater-below",
        }
    }

    fn play(&mut self, scene: &Scene<'_>) -> Vec<Sent> {
        let place = &scene.places[0];
        let (delta, meta) = place.trained(&place.shard(), place.world.recipe.inner.steps);
        let made = place.send(&scaled(&delta, self.factor), meta);
        vec![Sent { coded: false, ..Sent::worked(place, made) }]
    }
}
