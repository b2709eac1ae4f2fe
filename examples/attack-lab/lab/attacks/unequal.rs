//! Honest workers with unequal machines: nobody's attack, but the reason for pay by quality.

use super::{Attack, Scene, Sent};

/// All workers of a world: the i-th of n takes i + 1 of n parts of the steps.
pub struct Unequal {
    /// How many there are.
    pub count: usize,
}

impl Attack for Unequal {
    fn name(&self) -> &'static str {
        "unequal"
    }

    fn identities(&self) -> usize {
        self.count
    }

    fn play(&mut self, scene: &Scene<'_>) -> Vec<Sent> {
        let send = |(i, place): (usize, &super::Place<'_>)| {
            let steps = place.world.recipe.inner.steps * (i as u32 + 1) / self.count as u32;
            let (delta, _) = place.trained(&place.shard(), steps);
            Sent::made_up(&place.assignment.worker, place.send(&delta, place.made_up()), steps)
        };
        scene.places.iter().enumerate().map(send).collect()
    }
}
