//! A sybil splitter: one worker's steps, sent as several workers.

use super::{Attack, Scene, Sent, made_up, usual_norm};

/// What the identities send of the one pseudo-gradient.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Ranks {
    /// The same.
    Same,
    /// Places apart: of all, by their size, every fifth, so that none overlaps another.
    Apart,
}

/// Trains once and sends as many.
pub struct Sybil {
    /// As how many.
    pub identities: usize,
    /// What.
    pub ranks: Ranks,
}

impl Attack for Sybil {
    fn name(&self) -> &'static str {
        if self.ranks == Ranks::Same { "sybil" } else { "sybil-apart" }
    }

    fn identities(&self) -> usize {
        self.identities
    }

    fn play(&mut self, scene: &Scene<'_>) -> Vec<Sent> {
        let first = &scene.places[0];
        let (delta, meta) = first.trained(&first.shard(), first.world.recipe.inner.steps);
        let mut by_size: Vec<usize> = (0..delta.len()).collect();
        by_size.sort_by(|&a, &b| delta[b].abs().total_cmp(&delta[a].abs()));
        let mut rank = vec![0; delta.len()];
        by_size.iter().enumerate().for_each(|(place, &i)| rank[i] = place);
        let usual = if scene.honest.is_empty() { 1.0 } else { usual_norm(scene) };
        let part = |(i, place)| match (self.ranks, i) {
            (Ranks::Same, 0) => Sent::worked(first, first.send(&delta, meta.clone())),
            (Ranks::Same, _) => made_up(place, &delta, usual),
            (Ranks::Apart, _) => {
                let own: Vec<f32> =
                    delta.iter().zip(&rank).map(|(v, r)| if r % self.identities == i { *v } else { 0.0 }).collect();
                made_up(place, &own, usual)
            }
        };
        let mut sent: Vec<Sent> = scene.places.iter().enumerate().map(part).collect();
        sent[0].steps = first.world.recipe.inner.steps;
        sent
    }
}
