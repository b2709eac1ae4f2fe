//! An idler: noise, of the norm that others have or of one so small that it does no harm.

use super::{Attack, Scene, Sent, made_up, usual_norm};
use crate::lab::vectors::noise;

/// Sends noise.
pub struct Idler {
    /// Its norm, as a part of the others'.
    pub norm: f64,
}

impl Attack for Idler {
    fn name(&self) -> &'static str {
        if self.norm < 0.5 { "idler-tiny" } else { "idler" }
    }

    fn play(&mut self, scene: &Scene<'_>) -> Vec<Sent> {
        let place = &scene.places[0];
        let drawn = noise(scene.key, place.world.model.layout.total, 1.0);
        vec![made_up(place, &drawn, usual_norm(scene) * self.norm)]
    }
}
