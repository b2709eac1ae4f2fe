//! The definition's operator graph of one inner step: data, made from configuration, recipe, step and batch alone. No
//! value decides anything of it, so two parties who agree on these have the same graph, and a trace lists outputs only.

use super::operator::{Form, Kind, Operator, ValueId, ValueInfo};
use crate::artifact::{Digest, Recipe};
use crate::data::{Marking, Shard};
use crate::model::{Layout, Model};
use crate::optimizer::{InnerStep, inner_step};

/// Which step a graph is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepAt {
    /// The round.
    pub round: u64,
    /// The inner step, counted from 0 within the round.
    pub step: u32,
    /// The steps that the moments have seen before it.
    pub optimizer_steps: u64,
    /// The batch: sequences of the shard, in their order.
    pub batch: Vec<usize>,
    /// What its targets are; none where they are all tokens but each sequence's first, as of plain text.
    pub masked: Option<Masked>,
}

/// The targets of a batch of conversations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Masked {
    /// How many tokens of the batch are targets.
    pub targets: u64,
    /// Whether a sequence has several documents.
    pub packed: bool,
}

impl Masked {
    /// Of these sequences of a shard.
    pub fn of(shard: &Shard, batch: &[usize]) -> Option<Masked> {
        let packed = match shard.info().trained {
            Marking::All => return None,
            Marking::Masked => false,
            Marking::Packed => true,
        };
        Some(Masked { targets: shard.targets(batch) as u64, packed })
    }
}

/// The operators of one inner step in topological order, and the values between them.
///
/// It begins with the state's tensors: all parameters by ascending name, all first moments, all second moments; beside an
/// adapter the model's own, which stay, follow. It ends with [`Kind::State`], which puts the new state's roots and the summed loss together.
#[derive(Clone, Debug)]
pub struct Graph {
    /// In topological order.
    pub operators: Vec<Operator>,
    /// By their numbers, each after its producer's inputs.
    pub values: Vec<ValueInfo>,
    /// The step.
    pub at: StepAt,
    /// The factor of the gradients of the logits: 1 / targets of the batch.
    pub scale: f32,
    inner: crate::artifact::recipe::InnerRecipe,
    run: Digest,
    config: Digest,
}

impl Graph {
    /// The graph of a step, without its operators yet.
    pub(super) fn empty(recipe: &Recipe, model: &Model, at: StepAt) -> Graph {
        let targets = at.masked.map_or(at.batch.len() * model.seq_len(), |masked| masked.targets as usize);
        Graph {
            operators: Vec::new(),
            values: Vec::new(),
            scale: 1.0 / targets as f32,
            at,
            inner: recipe.inner.clone(),
            run: recipe.digest(),
            config: model.config.digest(),
        }
    }

    /// The number of operators.
    pub fn len(&self) -> usize {
        self.operators.len()
    }

    /// Whether there are none; there always are.
    pub fn is_empty(&self) -> bool {
        self.operators.is_empty()
    }

    /// The sources that are the state's: parameters, first moments, second moments, each as many as there are tensors.
    pub fn state_sources(&self, layout: &Layout) -> usize {
        3 * layout.tensors.len()
    }

    /// AdamW's scalars with this clip factor.
    pub fn scalars(&self, clip: f32) -> InnerStep {
        let global = self.at.round * u64::from(self.inner.steps) + u64::from(self.at.step);
        inner_step(&self.inner, global, self.at.optimizer_steps + 1, clip)
    }

    /// The largest norm of a gradient that is not clipped.
    pub fn max_norm(&self) -> f32 {
        self.inner.clip as f32
    }

    /// The operator that writes a value.
    pub fn producer(&self, value: ValueId) -> &Operator {
        &self.operators[self.values[value as usize].producer as usize]
    }

    /// The forms of what an operator writes.
    pub fn forms(&self, operator: &Operator) -> impl Iterator<Item = &Form> {
        operator.written().map(|value| &self.values[value as usize].form)
    }

    /// The digest of everything that the graph says, recipe and configuration among it.
    pub fn digest(&self) -> Digest {
        let mut hasher = blake3::Hasher::new_derive_key("l402/graph/1");
        hasher.update(&self.run.0).update(&self.config.0);
        for number in [self.at.round, self.at.step.into(), self.at.optimizer_steps, self.at.batch.len() as u64] {
            hasher.update(&number.to_le_bytes());
        }
        self.at.batch.iter().for_each(|s| {
            hasher.update(&(*s as u64).to_le_bytes());
        });
        if let Some(Masked { targets, packed }) = self.at.masked {
            hasher.update(&targets.to_le_bytes()).update(&[packed.into()]);
        }
        let mut bytes = Vec::new();
        for operator in &self.operators {
            bytes.clear();
            // Kind by name, numbers by four bytes; what is absent is the largest number, which none of them reaches.
            let mut number = |n: u32| bytes.extend(n.to_le_bytes());
            let absent = u32::MAX;
            let (from, to) = operator.rows.unwrap_or((absent, absent));
            [operator.tensor, operator.layer, operator.sequence].into_iter().for_each(|n| number(n.unwrap_or(absent)));
            [from, to, operator.reads.len() as u32].into_iter().for_each(&mut number);
            operator.reads.iter().for_each(|read| number(read.unwrap_or(absent)));
            number(operator.writes);
            for form in self.forms(operator) {
                let (tag, shape): (u32, &[usize]) = match form {
                    Form::Floats(shape) => (0, shape),
                    Form::Tokens(count) => (1, std::slice::from_ref(count)),
                    Form::Sum => (2, &[]),
                    Form::Root => (3, &[]),
                    Form::Targets(count) => (4, std::slice::from_ref(count)),
                    Form::Starts(count) => (5, std::slice::from_ref(count)),
                };
                number(tag);
                number(shape.len() as u32);
                shape.iter().for_each(|n| {
                    (*n as u64).to_le_bytes().chunks(4).for_each(|half| {
                        number(u32::from_le_bytes([half[0], half[1], half[2], half[3]]));
                    })
                });
            }
            let name = operator.kind.name();
            hasher.update(&[name.len() as u8]).update(name.as_bytes()).update(&bytes);
        }
        hasher.into()
    }

    pub(super) fn add(&mut self, operator: Operator, forms: Vec<Form>) -> ValueId {
        let producer = self.operators.len() as u32;
        let first = self.values.len() as ValueId;
        let writes = forms.len() as u32;
        let infos = forms.into_iter().enumerate();
        self.values.extend(infos.map(|(output, form)| ValueInfo { producer, output: output as u32, form }));
        self.operators.push(Operator { first, writes, ..operator });
        first
    }
}

/// A part of an operator that only its kind is said of.
pub(super) fn plain(kind: Kind, reads: Vec<Option<ValueId>>) -> Operator {
    Operator { kind, tensor: None, layer: None, sequence: None, rows: None, reads, first: 0, writes: 0 }
}
