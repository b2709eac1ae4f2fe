//! "A little is enough" (1902.06156): the others' mean less a little of their deviation, which no distance tells from
//! honest work, by a pair.

use super::{Attack, Scene, Sent, made_up, others, usual_norm};
use crate::lab::vectors::{deviation, mean, scaled, sum};

/// Two workers who push where nobody looks.
pub struct Little {
    /// Standard deviations.
    pub z: f64,
}

impl Attack for Little {
    fn name(&self) -> &'static str {
        if self.z < 1.0 { "little" } else { "little-more" }
    }

    fn identities(&self) -> usize {
        2
    }

    fn play(&mut self, scene: &Scene<'_>) -> Vec<Sent> {
        let others = others(scene);
        let values = sum(&mean(&others), &scaled(&deviation(&others), -self.z));
        scene.places.iter().map(|place| made_up(place, &values, usual_norm(scene))).collect()
    }
}
