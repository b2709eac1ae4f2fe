//! A colluding pair: what two have, sent by both.

use super::{Attack, Scene, Sent, made_up, usual_norm};
use crate::lab::vectors::mean;

/// What the pair does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Pair {
    /// Both train, and both send the mean.
    BothTrain,
    /// One trains, and both send it.
    OneTrains,
}

/// Two workers who are one.
pub struct Collude {
    /// How.
    pub pair: Pair,
}

impl Attack for Collude {
    fn name(&self) -> &'static str {
        if self.pair == Pair::BothTrain { "pair-mean" } else { "pair-one-trains" }
    }

    fn identities(&self) -> usize {
        2
    }

    fn play(&mut self, scene: &Scene<'_>) -> Vec<Sent> {
        let [first, second] = scene.places else { unreachable!("a pair") };
        let steps = first.world.recipe.inner.steps;
        if self.pair == Pair::OneTrains {
            let work = first.honest();
            let copy = second.relabel(&work);
            return vec![Sent::worked(first, work), Sent::made_up(&second.assignment.worker, copy, 0)];
        }
        let deltas: Vec<Vec<f32>> = scene.places.iter().map(|place| place.trained(&place.shard(), steps).0).collect();
        let both = mean(&deltas);
        let usual = usual_norm(scene);
        scene.places.iter().map(|place| Sent { steps, ..made_up(place, &both, usual) }).collect()
    }
}
