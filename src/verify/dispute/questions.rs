//! What the judge asks, and what the parties answer.

use lightning::bitcoin::secp256k1::PublicKey;
use serde::{Deserialize, Serialize};

use crate::artifact::Digest;
use crate::artifact::record::Record;
use crate::error::Result;
use crate::verify::leaves::Leaf;
use crate::verify::trace::TraceHead;

/// The trees that are gone down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tree {
    /// Over a round's leaves.
    Leaves,
    /// Over the states after each step of the segment that ends in the first leaf that differs.
    Steps,
    /// Over the operators of the first step that differs.
    Trace,
}

/// A question to both parties; the step and the segment that it is about are known by what was answered before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Question {
    /// The root over its leaves.
    Root {},
    /// The root over the states after each step of a segment.
    Steps {
        /// The segment.
        segment: u32,
    },
    /// The two nodes below a node; level 0 is the leaves'.
    Children {
        /// The tree.
        tree: Tree,
        /// The node's level.
        level: u32,
        /// Its place in that level, from the left.
        index: u64,
    },
    /// One leaf of the tree over leaves or steps, with its path.
    Leaf {
        /// The tree.
        tree: Tree,
        /// Its place.
        index: u64,
    },
    /// The header of the trace of a step.
    Trace {
        /// The step.
        step: u32,
    },
    /// Lines of the trace, with their paths.
    Operators {
        /// Their places in the graph.
        places: Vec<u64>,
    },
    /// The path from a source's output to the root of its part of the state that the step begins with.
    Source {
        /// The source's place in the graph.
        place: u64,
    },
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Answer {
    /// To [`Question::Root`] and [`Question::Steps`].
    Root(Digest),
    /// To [`Question::Children`].
    Children([Digest; 2]),
    /// To [`Question::Leaf`].
    Leaf {
        /// The leaf.
        leaf: Leaf,
        /// Its path.
        path: Vec<Digest>,
    },
    /// To [`Question::Trace`].
    Trace {
        /// The digest of the graph.
        graph: Digest,
        /// How many operators it has.
        operators: u64,
        /// The root over their lines.
        root: Digest,
        /// The signature of whoever vouches for it.
        #[serde(skip_serializing_if = "Option::is_none")]
        by: Option<Voucher>,
    },
    /// To [`Question::Operators`], in the order of the places.
    Operators(Vec<OperatorAnswer>),
    /// To [`Question::Source`].
    Source(Vec<Digest>),
}

/// Who vouches for a trace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Voucher {
    /// BLAKE3 of the trace's `leaves` and `leaf` records.
    pub states: Digest,
    /// Its public key, 66 hex digits.
    pub party: String,
    /// Its signature of the trace's header.
    pub sig: String,
}

impl Voucher {
    /// Of a header, where it is signed.
    pub fn of(head: &TraceHead) -> Option<Voucher> {
        Some(Voucher { states: head.states?, party: head.party.clone()?, sig: head.sig.clone()? })
    }
}

impl Answer {
    /// Whose an answer with the trace of this step is, signature checked; `None` where nobody vouches for it.
    pub fn signer(&self, step: u32) -> Result<Option<PublicKey>> {
        let Answer::Trace { graph, operators, root, by: Some(by) } = self else { return Ok(None) };
        let (states, party, sig) = (Some(by.states), Some(by.party.clone()), Some(by.sig.clone()));
        TraceHead { step, graph: *graph, operators: *operators, root: *root, states, party, sig }.signer()
    }
}

/// One line of a trace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatorAnswer {
    /// The digests of what the operator wrote.
    pub outputs: Vec<Digest>,
    /// The line's path.
    pub path: Vec<Digest>,
}

/// One exchange of the transcript: a question, and the answers of those who were asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    /// The question.
    pub question: Question,
    /// The first party's answer.
    pub a: Answer,
    /// The second party's; none where the two have agreed already and one is enough.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub b: Option<Answer>,
}

impl Record for Exchange {
    const TYPE: &'static str = "exchange";
}
