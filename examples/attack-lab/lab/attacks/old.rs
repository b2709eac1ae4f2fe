//! Work of an old round, with its label or with a new one: it is done once, and sent again and again.

use super::{Attack, Scene, Sent, made_up, usual_norm};
use crate::lab::work::Made;

/// Sends the update of its first round as it is.
pub struct Old {
    /// That update.
    pub kept: Option<Made>,
}

impl Attack for Old {
    fn name(&self) -> &'static str {
        "old-label"
    }

    fn play(&mut self, scene: &Scene<'_>) -> Vec<Sent> {
        let place = &scene.places[0];
        match &self.kept {
            Some(kept) => vec![Sent::made_up(&place.assignment.worker, kept.clone(), 0)],
            None => {
                let made = place.honest();
                self.kept = Some(made.clone());
                vec![Sent::worked(place, made)]
            }
        }
    }
}

/// Sends the same pseudo-gradient under every new round's label.
pub struct Stale {
    /// That pseudo-gradient.
    pub kept: Option<Vec<f32>>,
}

impl Attack for Stale {
    fn name(&self) -> &'static str {
        "stale"
    }

    fn play(&mut self, scene: &Scene<'_>) -> Vec<Sent> {
        let place = &scene.places[0];
        match &self.kept {
            Some(kept) => vec![made_up(place, kept, usual_norm(scene))],
            None => {
                let made = place.honest();
                self.kept = Some(made.sent(place.world));
                vec![Sent::worked(place, made)]
            }
        }
    }
}
