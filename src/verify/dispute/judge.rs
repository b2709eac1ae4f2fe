//! What the judge knows by itself: recipe, model, shard, assignment, and the state at the start of the round.

use serde::{Deserialize, Serialize};

use crate::artifact::{Digest, Recipe, merkle};
use crate::data::{BatchOrder, Shard};
use crate::engine::Engine;
use crate::model::{Layout, Model};
use crate::optimizer::Moments;
use crate::verify::leaves::{Leaf, Leaves};
use crate::verify::segments::Segments;
use crate::verify::trace::{Graph, Masked, StepAt};

/// A state by the roots of its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Begin {
    /// Merkle root over the chunks of the parameters.
    pub parameters: Digest,
    /// Merkle root over the chunks of the first moments.
    pub first: Digest,
    /// Merkle root over the chunks of the second moments.
    pub second: Digest,
    /// Steps that the moments have seen.
    pub optimizer_steps: u64,
}

impl Begin {
    /// Of parameters and moments in memory.
    pub fn new(layout: &Layout, parameters: &[f32], moments: &Moments) -> Begin {
        let [first, second] = moments.roots(layout);
        let parameters = merkle::root(layout.tensor_roots(parameters));
        Begin { parameters, first, second, optimizer_steps: moments.steps }
    }

    /// Of what a leaf claims.
    pub fn claimed(leaf: &Leaf) -> Begin {
        let Leaf { parameters, first, second, optimizer_steps, .. } = *leaf;
        Begin { parameters, first, second, optimizer_steps }
    }

    /// The roots of its parts.
    pub fn parts(&self) -> [Digest; 3] {
        [self.parameters, self.first, self.second]
    }
}

/// The judge of one worker's round.
pub struct Judge<'a> {
    /// The recipe.
    pub recipe: &'a Recipe,
    /// The shard that was assigned.
    pub shard: &'a Shard,
    /// Whose work on what: what all hashes are bound to.
    pub work: Leaves,
    /// The state at the start of the round, by theta and the states that the worker went on from.
    pub begin: Begin,
    order: BatchOrder,
    /// On the definitions.
    model: Model,
}

impl<'a> Judge<'a> {
    /// A judge with the model's shape (on whatever engine), the order of the assignment's batches, and the rest.
    pub fn new(
        recipe: &'a Recipe,
        model: &Model,
        shard: &'a Shard,
        order: &BatchOrder,
        work: Leaves,
        begin: Begin,
    ) -> Judge<'a> {
        let model = model.on(Engine::definition());
        Judge { recipe, shard, work, begin, order: order.clone(), model }
    }

    /// The model, on the definitions.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Where the leaves stand.
    pub fn segments(&self) -> Segments {
        self.work.segments()
    }

    /// The context of leaves after every step.
    pub fn every_step(&self) -> Leaves {
        Leaves { every: 1, ..self.work.clone() }
    }

    /// The sequences of a step's batch.
    pub fn batch(&self, step: u32) -> Vec<usize> {
        self.order.clone().indices(step.into(), self.recipe.inner.batch)
    }

    /// The graph of a step.
    pub fn graph(&self, step: u32) -> Graph {
        let batch = self.batch(step);
        let at = StepAt {
            round: self.work.round,
            step,
            optimizer_steps: self.begin.optimizer_steps + u64::from(step),
            masked: Masked::of(self.shard, &batch),
            batch,
        };
        Graph::new(self.recipe, &self.model, at)
    }
}
