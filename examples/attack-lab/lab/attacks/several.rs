//! The same attack by several workers, each for itself.

use super::{Attack, Scene, Sent};

/// As many workers who all do it.
pub struct Several {
    /// How many.
    pub count: usize,
    /// What a worker does, by its number.
    pub attack: Box<dyn Attack>,
}

impl Attack for Several {
    fn name(&self) -> &'static str {
        self.attack.name()
    }

    fn identities(&self) -> usize {
        self.count * self.attack.identities()
    }

    fn play(&mut self, scene: &Scene<'_>) -> Vec<Sent> {
        let (each, key) = (self.attack.identities(), scene.key);
        let parts = scene.places.chunks(each).enumerate();
        let play = |(i, places)| {
            let key = [key[0].wrapping_add(i as u32), key[1]];
            self.attack.play(&Scene { places, key, ..*scene })
        };
        parts.flat_map(play).collect()
    }
}
