//! Leaves: what a worker commits to while it trains, so that a part of the work can be checked alone.
//!
//! After every `verify.leaf_every` inner steps of the recipe (J), and after the last one, a leaf says what the state is and
//! what led to it. Its hash is that of a Merkle leaf over the context (run, round, worker, theta, shard, assignment, number
//! of steps, J) and the record's canonical line; the root over all leaves is `l402.leaves` in the metadata of delta and
//! update. How many leaves there are follows from the recipe.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::segments::Segments;
use crate::artifact::merkle::{self, Tree};
use crate::artifact::record::{self, Record};
use crate::artifact::{Digest, Meta, Recipe};
use crate::error::{Error, Result};
use crate::model::Layout;
use crate::optimizer::{Resident, RoundInput, State, StepReport};

/// What all leaves of one round's work have in common: the first line of a file of leaves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leaves {
    /// The run: the recipe's digest.
    pub run: Digest,
    /// The round.
    pub round: u64,
    /// The worker.
    pub worker: String,
    /// The model at the start.
    pub theta: Digest,
    /// The shard's content.
    pub shard: Digest,
    /// The assignment.
    pub assignment: Digest,
    /// Inner steps of the round.
    pub steps: u32,
    /// Inner steps from leaf to leaf (J).
    pub every: u32,
}

impl Record for Leaves {
    const TYPE: &'static str = "leaves";
}

/// The state after some inner steps, and what led to it from the leaf before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leaf {
    /// Inner steps of the round that are done.
    pub step: u32,
    /// Merkle root over the chunks of the parameters.
    pub parameters: Digest,
    /// Merkle root over the chunks of the first moments.
    pub first: Digest,
    /// Merkle root over the chunks of the second moments.
    pub second: Digest,
    /// Steps that the moments have seen.
    pub optimizer_steps: u64,
    /// Summed loss of each step since the leaf before, in nats, 32.32 fixed point, in decimal.
    pub losses_q32: Vec<String>,
    /// Digest over the sequences of those steps' batches.
    pub batches: Digest,
}

impl Record for Leaf {
    const TYPE: &'static str = "leaf";
}

impl Leaves {
    /// For the work that this metadata of a delta is about.
    pub fn of(recipe: &Recipe, delta: &Meta) -> Result<Leaves> {
        let get = |key: &str| delta.digest("delta", key);
        Ok(Leaves {
            run: get("run")?,
            round: delta.number("delta", "round")?,
            worker: delta.get("delta", "worker")?.to_owned(),
            theta: get("theta")?,
            shard: get("shard")?,
            assignment: get("assignment")?,
            steps: recipe.inner.steps,
            every: recipe.verify.leaf_every,
        })
    }

    /// Where the leaves stand.
    pub fn segments(&self) -> Segments {
        Segments { steps: self.steps, every: self.every }
    }

    /// The first field in which another context differs, with what was expected and what was found.
    pub fn difference(&self, other: &Leaves) -> Option<(&'static str, String, String)> {
        let fields = |of: &Leaves| {
            [
                ("run", of.run.to_string()),
                ("round", of.round.to_string()),
                ("worker", of.worker.clone()),
                ("theta", of.theta.to_string()),
                ("shard", of.shard.to_string()),
                ("assignment", of.assignment.to_string()),
                ("steps", of.steps.to_string()),
                ("every", of.every.to_string()),
            ]
        };
        let pairs = fields(self).into_iter().zip(fields(other));
        pairs.map(|((field, expected), (_, found))| (field, expected, found)).find(|(_, a, b)| a != b)
    }

    /// The hash of a leaf in this context.
    pub fn hash(&self, leaf: &Leaf) -> Result<Digest> {
        Ok(merkle::leaf(format!("{}{}", record::line(self)?, record::line(leaf)?).as_bytes()))
    }

    /// The Merkle tree over all leaves, in the order of their steps.
    pub fn tree(&self, leaves: &[Leaf]) -> Result<Tree> {
        // The context may be anybody's: nothing is made of its numbers before there are as many leaves.
        let segments = self.segments();
        let expected = || format!("expected {} leaves, every {} of {} steps", segments.count(), self.every, self.steps);
        if leaves.len() != segments.count() as usize {
            return Err(Error::data(format!("{}, found {}", expected(), leaves.len())));
        }
        if let Some((i, leaf)) = (0..).zip(leaves).find(|(i, leaf)| segments.range(*i).end != leaf.step) {
            return Err(Error::data(format!("{}, found leaf {i} after {}", expected(), leaf.step)));
        }
        let hashes = leaves.iter().map(|leaf| self.hash(leaf)).collect::<Result<Vec<_>>>()?;
        Ok(Tree::new(hashes))
    }

    /// Context and leaves as lines of a file.
    pub fn to_text(&self, leaves: &[Leaf]) -> Result<String> {
        let lines = leaves.iter().map(record::line).collect::<Result<Vec<_>>>()?;
        Ok(record::line(self)? + &lines.concat())
    }

    /// The context and all its leaves, from the lines of a file.
    pub fn parse(lines: &[record::Line]) -> Result<(Leaves, Vec<Leaf>)> {
        let mut contexts: Vec<Leaves> = record::select(lines)?;
        let (Some(context), None) = (contexts.pop(), contexts.pop()) else {
            return Err(Error::data("expected one leaves record"));
        };
        let leaves: Vec<Leaf> = record::select(lines)?;
        context.segments().check()?;
        context.tree(&leaves)?;
        Ok((context, leaves))
    }
}

/// Makes the leaves of a round, step by step.
pub struct LeafLog<'a> {
    layout: &'a Layout,
    segments: Segments,
    losses: Vec<String>,
    batches: blake3::Hasher,
    leaves: Vec<Leaf>,
}

impl<'a> LeafLog<'a> {
    /// Begins at a leaf, or at the start of the round.
    pub fn new(layout: &'a Layout, segments: Segments) -> LeafLog<'a> {
        LeafLog { layout, segments, losses: Vec::new(), batches: batches(), leaves: Vec::new() }
    }

    /// Takes the next step, asking for the state after it only where a leaf is due; the leaf.
    pub fn follow(&mut self, report: &StepReport, state: &mut Resident) -> Result<Option<&Leaf>> {
        match self.segments.is_end(report.step + 1) {
            true => {
                let roots = state.roots(self.layout)?;
                Ok(self.leaf(report, roots, state.steps()))
            }
            false => {
                self.took(report);
                Ok(None)
            }
        }
    }

    fn took(&mut self, report: &StepReport) {
        self.losses.push(report.loss_q32.to_string());
        self.saw(&report.sequences);
    }

    /// Takes the next step; the leaf, where one is due.
    pub fn observe(&mut self, report: &StepReport, state: &State) -> Option<&Leaf> {
        if !self.segments.is_end(report.step + 1) {
            self.took(report);
            return None;
        }
        let [first, second] = state.moments.roots(self.layout);
        let parameters = merkle::root(self.layout.tensor_roots(&state.parameters));
        self.leaf(report, [parameters, first, second], state.moments.steps)
    }

    /// The leaf after this step.
    fn leaf(
        &mut self,
        report: &StepReport,
        [parameters, first, second]: [Digest; 3],
        optimizer_steps: u64,
    ) -> Option<&Leaf> {
        self.took(report);
        let batches = std::mem::replace(&mut self.batches, batches()).into();
        self.leaves.push(Leaf {
            step: report.step + 1,
            parameters,
            first,
            second,
            optimizer_steps,
            losses_q32: std::mem::take(&mut self.losses),
            batches,
        });
        self.leaves.last()
    }

    /// All leaves so far.
    pub fn leaves(self) -> Vec<Leaf> {
        self.leaves
    }

    /// All leaves so far, and the losses of the steps since the last of them.
    pub fn so_far(&self) -> (&[Leaf], &[String]) {
        (&self.leaves, &self.losses)
    }

    /// The summed loss of each step that was seen, as leaves say it.
    pub fn losses(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.leaves.iter().flat_map(|leaf| &leaf.losses_q32).chain(&self.losses).map(String::as_str)
    }

    /// Goes on where another log was, that saw these steps of a round: with its leaves, and with the losses since the last of
    /// them.
    pub fn resume(
        &mut self,
        round: &RoundInput<'_>,
        steps: Range<u32>,
        leaves: Vec<Leaf>,
        losses: Vec<String>,
    ) -> Result<()> {
        let ends: Vec<u32> = (steps.start + 1..=steps.end).filter(|step| self.segments.is_end(*step)).collect();
        let last = ends.last().copied().unwrap_or(steps.start);
        let found: Vec<u32> = leaves.iter().map(|leaf| leaf.step).collect();
        if found != ends || losses.len() as u64 != u64::from(steps.end - last) {
            return Err(Error::data(format!(
                "expected leaves after the steps {ends:?} and {} losses, found {found:?} and {}",
                steps.end - last,
                losses.len()
            )));
        }
        let mut order = round.order.clone();
        let batch = round.recipe.inner.batch;
        *self = LeafLog { losses, leaves, ..LeafLog::new(self.layout, self.segments) };
        (last..steps.end).for_each(|step| self.saw(&order.indices(step.into(), batch)));
        Ok(())
    }

    fn saw(&mut self, sequences: &[usize]) {
        for sequence in sequences {
            self.batches.update(&(*sequence as u64).to_le_bytes());
        }
    }
}

/// The digest over the sequences of some steps' batches, in their order: what a leaf says of them.
pub(super) fn batches_digest(sequences: impl IntoIterator<Item = usize>) -> Digest {
    let mut hasher = batches();
    sequences.into_iter().for_each(|sequence| {
        hasher.update(&(sequence as u64).to_le_bytes());
    });
    hasher.into()
}

fn batches() -> blake3::Hasher {
    blake3::Hasher::new_derive_key("l402/batches/1")
}
