//! Nobody who attacks: workers more, to hold the others against.

use super::{Attack, Scene, Sent};

/// Does what it was assigned.
pub struct Honest {
    /// As how many workers.
    pub identities: usize,
}

impl Attack for Honest {
    fn name(&self) -> &'static str {
        "honest"
    }

    fn identities(&self) -> usize {
        self.identities
    }

    fn play(&mut self, scene: &Scene<'_>) -> Vec<Sent> {
        scene.places.iter().map(|place| Sent::worked(place, scene.done.honest(place))).collect()
    }
}
