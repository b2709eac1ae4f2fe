//! Minus what all the honest send together, seen before the list was closed: so that it is they who seem to go against all
//! others.

use super::{Attack, Scene, Sent, made_up, others, usual_norm};
use crate::lab::vectors::{mean, scaled};

/// So many workers who all send it.
pub struct Against {
    /// How many.
    pub identities: usize,
}

impl Attack for Against {
    fn name(&self) -> &'static str {
        "against"
    }

    fn identities(&self) -> usize {
        self.identities
    }

    fn play(&mut self, scene: &Scene<'_>) -> Vec<Sent> {
        let minus = scaled(&mean(&others(scene)), -1.0);
        scene.places.iter().map(|place| made_up(place, &minus, usual_norm(scene))).collect()
    }
}
