//! A rescaled average of what others have made, seen before the list was closed.

use super::{Attack, Scene, Sent, made_up, others, usual_norm};
use crate::lab::vectors::mean;

/// Whose average.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Parts {
    /// Of everybody's.
    All,
    /// Of two others'.
    Two,
}

/// Sends an average of others, at the norm that they have.
pub struct Average {
    /// Of whom.
    pub parts: Parts,
}

impl Attack for Average {
    fn name(&self) -> &'static str {
        if self.parts == Parts::All { "average" } else { "average-of-two" }
    }

    fn play(&mut self, scene: &Scene<'_>) -> Vec<Sent> {
        let mut others = others(scene);
        if self.parts == Parts::Two {
            others.truncate(2);
        }
        vec![made_up(&scene.places[0], &mean(&others), usual_norm(scene))]
    }
}
