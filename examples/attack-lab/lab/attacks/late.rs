//! A last-minute free rider: sees what all others have shown, and commits after the list was closed.

use super::{Attack, Scene, Sent, made_up, others, usual_norm};
use crate::lab::vectors::mean;

/// Sends the others' mean, late.
pub struct Late;

impl Attack for Late {
    fn name(&self) -> &'static str {
        "free-rider"
    }

    fn play(&mut self, scene: &Scene<'_>) -> Vec<Sent> {
        let made = made_up(&scene.places[0], &mean(&others(scene)), usual_norm(scene));
        vec![Sent { in_time: false, ..made }]
    }
}
