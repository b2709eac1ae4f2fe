//! A copier: somebody has leaked an update before the list was closed, and it is sent as one's own.

use super::{Attack, Scene, Sent, made_up, usual_norm};
use crate::lab::vectors::{noise, norm, sum};

/// Sends the same payloads under its own name.
pub struct Copier;

impl Attack for Copier {
    fn name(&self) -> &'static str {
        "copier"
    }

    fn play(&mut self, scene: &Scene<'_>) -> Vec<Sent> {
        let place = &scene.places[0];
        vec![Sent::made_up(&place.assignment.worker, place.relabel(&scene.honest[0].made), 0)]
    }
}

/// Sends it with noise on top, on all places.
pub struct Perturbed {
    /// The noise's norm, as a part of the update's.
    pub noise: f64,
}

impl Attack for Perturbed {
    fn name(&self) -> &'static str {
        if self.noise < 0.5 { "copier-perturbed" } else { "copier-half-noise" }
    }

    fn play(&mut self, scene: &Scene<'_>) -> Vec<Sent> {
        let place = &scene.places[0];
        let copied = scene.honest[0].made.sent(place.world);
        // On the places that were sent and on as many others, so that it changes what the codec selects.
        let drawn = noise(scene.key, copied.len(), 1.0);
        let sparse: Vec<f32> = drawn
            .iter()
            .zip(&copied)
            .enumerate()
            .map(|(i, (n, c))| if *c != 0.0 || i % 16 == 0 { *n } else { 0.0 })
            .collect();
        let factor = self.noise * norm(&copied) / norm(&sparse);
        let values = sum(&copied, &crate::lab::vectors::scaled(&sparse, factor));
        vec![made_up(place, &values, usual_norm(scene))]
    }
}
