//! A party, and one that answers from its files.

use super::questions::{Answer, OperatorAnswer, Question, Tree, Voucher};
use crate::artifact::{Digest, merkle};
use crate::error::Result;
use crate::verify::leaves::{Leaf, Leaves};
use crate::verify::trace::{Graph, Kind, TraceFile};

/// Whoever answers the judge.
pub trait Party {
    /// The answer, or none for now.
    fn answer(&mut self, question: &Question) -> Result<Option<Answer>>;
}

/// A party by its leaves, and its trace once the step is known. What its files say is not checked here: that is what the
/// questions are for.
pub struct Files {
    leaves: Committed,
    /// The states after each step of a segment.
    steps: Option<(u32, Committed)>,
    trace: Option<Traced>,
}

struct Committed {
    leaves: Vec<Leaf>,
    tree: merkle::Tree,
}

struct Traced {
    file: TraceFile,
    tree: merkle::Tree,
    /// The operators' kinds, and how many tensors a part of the state has.
    kinds: Vec<Kind>,
    tensors: usize,
}

impl Committed {
    fn new(context: &Leaves, leaves: Vec<Leaf>) -> Result<Committed> {
        let hashes = leaves.iter().map(|leaf| context.hash(leaf)).collect::<Result<Vec<_>>>()?;
        Ok(Committed { tree: merkle::Tree::new(hashes), leaves })
    }

    fn leaf(&self, index: u64) -> Option<Answer> {
        let index = index as usize;
        let leaf = self.leaves.get(index)?.clone();
        Some(Answer::Leaf { leaf, path: self.tree.path(index) })
    }
}

impl Files {
    /// A party with these leaves, at least one.
    pub fn new(context: &Leaves, leaves: Vec<Leaf>) -> Result<Files> {
        Ok(Files { leaves: Committed::new(context, leaves)?, steps: None, trace: None })
    }

    /// Adds its trace, read as one of this graph.
    pub fn with_trace(self, file: TraceFile, graph: &Graph) -> Result<Files> {
        let segment = file.head.step / file.leaves.every;
        let mut files = self.with_steps(&file.leaves, segment, file.steps.clone())?;
        let kinds: Vec<Kind> = graph.operators.iter().map(|operator| operator.kind).collect();
        files.trace = Some(Traced {
            tree: file.tree(graph)?,
            tensors: kinds.iter().filter(|kind| **kind == Kind::Parameter).count(),
            kinds,
            file,
        });
        Ok(files)
    }

    /// Adds the states after each step of a segment.
    pub fn with_steps(mut self, context: &Leaves, segment: u32, steps: Vec<Leaf>) -> Result<Files> {
        let context = Leaves { every: 1, ..context.clone() };
        self.steps = Some((segment, Committed::new(&context, steps)?));
        Ok(self)
    }

    /// The root over its leaves.
    pub fn root(&self) -> Digest {
        self.leaves.tree.root()
    }

    fn tree(&self, tree: Tree) -> Option<&merkle::Tree> {
        match tree {
            Tree::Leaves => Some(&self.leaves.tree),
            Tree::Steps => self.steps.as_ref().map(|(_, steps)| &steps.tree),
            Tree::Trace => self.trace.as_ref().map(|trace| &trace.tree),
        }
    }
}

impl Traced {
    fn operators(&self, places: &[u64]) -> Option<Answer> {
        let one = |place: &u64| {
            let outputs = self.file.outputs.get(*place as usize)?.clone();
            Some(OperatorAnswer { outputs, path: self.tree.path(*place as usize) })
        };
        places.iter().map(one).collect::<Option<_>>().map(Answer::Operators)
    }

    /// The path from a source of the state to the root over its part.
    fn source(&self, place: u64) -> Option<Answer> {
        let place = place as usize;
        self.kinds.get(place).filter(|kind| kind.is_state_source())?;
        let first = place / self.tensors * self.tensors;
        let part = self.file.outputs[first..first + self.tensors].iter().map(|outputs| outputs[0]);
        Some(Answer::Source(merkle::Tree::new(part.collect()).path(place - first)))
    }
}

impl Party for Files {
    fn answer(&mut self, question: &Question) -> Result<Option<Answer>> {
        let trace = self.trace.as_ref();
        Ok(match question {
            Question::Root {} => Some(Answer::Root(self.root())),
            Question::Steps { segment } => {
                let steps = self.steps.as_ref().filter(|(of, _)| of == segment);
                steps.map(|(_, steps)| Answer::Root(steps.tree.root()))
            }
            Question::Children { tree, level, index } => self.tree(*tree).and_then(|tree| {
                let (level, left) = ((*level as usize).checked_sub(1)?, 2 * *index as usize);
                Some(Answer::Children([tree.get(level, left)?, tree.get(level, left + 1)?]))
            }),
            Question::Leaf { tree: Tree::Leaves, index } => self.leaves.leaf(*index),
            Question::Leaf { tree: Tree::Steps, index } => {
                self.steps.as_ref().and_then(|(_, steps)| steps.leaf(*index))
            }
            Question::Leaf { tree: Tree::Trace, .. } => None,
            Question::Trace { step } => trace.filter(|trace| trace.file.head.step == *step).map(|trace| {
                let head = &trace.file.head;
                Answer::Trace { graph: head.graph, operators: head.operators, root: head.root, by: Voucher::of(head) }
            }),
            Question::Operators { places } => trace.and_then(|trace| trace.operators(places)),
            Question::Source { place } => trace.and_then(|trace| trace.source(*place)),
        })
    }
}
