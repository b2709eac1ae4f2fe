//! Nobody who attacks: one worker more, to hold the others against.

use super::{Attack, Scene, Sent};

/// Does what it was assigned.
pub struct Honest;

impl Attack for Honest {
    fn name(&self) -> &'static str {
        "honest"
    }

    fn play(&mut self, scene: &Scene<'_>) -> Vec<Sent> {
        scene.places.iter().map(|place| Sent::worked(place, place.honest())).collect()
    }
}
