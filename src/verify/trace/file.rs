//! A trace as JSON Lines: the context of the leaves, the header, the state after each step of the segment, and a line for
//! each operator with the digests of its outputs. A Merkle tree stands over the operators' lines.

use lightning::bitcoin::secp256k1::PublicKey;
use serde::{Deserialize, Serialize};

use super::graph::Graph;
use super::operator::Operator;
use crate::artifact::merkle::{self, Tree};
use crate::artifact::record::{self, Line, Record, Signed, Signer};
use crate::artifact::{Digest, key};
use crate::error::{Context, Error, Result};
use crate::verify::leaves::{Leaf, Leaves};

/// The header of a trace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TraceHead {
    /// The inner step, counted from 0 within the round.
    pub step: u32,
    /// The digest of the step's graph.
    pub graph: Digest,
    /// How many operators it has.
    pub operators: u64,
    /// The Merkle root over their lines.
    pub root: Digest,
    /// BLAKE3 of the file's `leaves` and `leaf` records, where somebody vouches for the trace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub states: Option<Digest>,
    /// The public key of the party that vouches for it, 66 hex digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub party: Option<String>,
    /// Its signature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sig: Option<String>,
}

impl Record for TraceHead {
    const TYPE: &'static str = "trace";
}

impl Signed for TraceHead {
    fn sig(&mut self) -> &mut Option<String> {
        &mut self.sig
    }
}

impl TraceHead {
    /// Whose trace it is, signature checked; `None` where nobody vouches for it.
    pub fn signer(&self) -> Result<Option<PublicKey>> {
        let said = match (&self.states, &self.party, &self.sig) {
            (None, None, None) => return Ok(None),
            (Some(_), Some(said), Some(_)) => said,
            _ => return Err(Error::data("trace record: states, party and sig belong together")),
        };
        let key = key::parse_public(said)?;
        match record::verify(self, &key)? {
            true => Ok(Some(key)),
            false => Err(Error::data(format!("trace record: {key}, whose it says it is, did not sign it"))),
        }
    }
}

/// One operator of a trace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatorLine {
    /// Its place in the graph.
    pub operator: u64,
    /// What it computes.
    pub kind: String,
    /// The digests of what it wrote.
    pub outputs: Vec<Digest>,
}

impl Record for OperatorLine {
    const TYPE: &'static str = "operator";
}

/// What the lines of a trace are hashed with: the context of the leaves, and the graph.
#[derive(Clone, Debug)]
pub struct TraceContext(String);

impl TraceContext {
    /// For the work of these leaves, and the graph with this digest.
    pub fn new(leaves: &Leaves, graph: &Digest) -> Result<TraceContext> {
        Ok(TraceContext(format!("{}{graph}\n", record::line(leaves)?)))
    }

    /// The Merkle leaf of an operator that wrote values with these digests.
    pub fn hash(&self, place: usize, operator: &Operator, outputs: &[Digest]) -> Result<Digest> {
        let line =
            OperatorLine { operator: place as u64, kind: operator.kind.name().to_owned(), outputs: outputs.to_vec() };
        Ok(merkle::leaf(format!("{}{}", self.0, record::line(&line)?).as_bytes()))
    }
}

/// One party's trace of a step.
#[derive(Clone, Debug)]
pub struct TraceFile {
    /// Whose work on what.
    pub leaves: Leaves,
    /// The header.
    pub head: TraceHead,
    /// The state after each step of the segment that the step is in: leaves as with one after every step.
    pub steps: Vec<Leaf>,
    /// The digests of each operator's outputs.
    pub outputs: Vec<Vec<Digest>>,
}

impl TraceFile {
    /// A trace of this graph, from the digests of all its values.
    pub fn new(leaves: &Leaves, steps: Vec<Leaf>, graph: &Graph, values: &[Digest]) -> Result<TraceFile> {
        let of = |operator: &Operator| values[operator.first as usize..][..operator.writes as usize].to_vec();
        let outputs: Vec<Vec<Digest>> = graph.operators.iter().map(of).collect();
        let digest = graph.digest();
        let root = tree(leaves, graph, &digest, &outputs)?.root();
        let (step, operators) = (graph.at.step, graph.len() as u64);
        let head = TraceHead { step, graph: digest, operators, root, states: None, party: None, sig: None };
        Ok(TraceFile { leaves: leaves.clone(), head, steps, outputs })
    }

    /// Signs it: its owner cannot deny it then, and nobody else makes it up.
    pub fn sign(&mut self, signer: &dyn Signer) -> Result<()> {
        self.head.states = Some(self.states()?);
        self.head.party = Some(signer.public().to_string());
        record::sign(&mut self.head, signer)
    }

    /// Whose it is, signature checked; `None` where nobody vouches for it.
    pub fn signer(&self) -> Result<Option<PublicKey>> {
        let signer = self.head.signer()?;
        match self.head.states {
            Some(said) if said != self.states()? => {
                Err(Error::data("trace record: the states that were signed are others"))
            }
            _ => Ok(signer),
        }
    }

    /// What the root does not stand over.
    fn states(&self) -> Result<Digest> {
        let leaves = self.steps.iter().map(record::line).collect::<Result<String>>()?;
        Ok(Digest::of((record::line(&self.leaves)? + &leaves).as_bytes()))
    }

    /// The Merkle tree over the operators' lines, as lines of this graph.
    pub fn tree(&self, graph: &Graph) -> Result<Tree> {
        tree(&self.leaves, graph, &self.head.graph, &self.outputs)
    }

    /// The lines of the file.
    pub fn lines(&self, graph: &Graph) -> impl Iterator<Item = Result<String>> {
        let begin = [record::line(&self.leaves), record::line(&self.head)];
        let operators = graph.operators.iter().zip(&self.outputs).enumerate().map(|(place, (operator, outputs))| {
            record::line(&OperatorLine {
                operator: place as u64,
                kind: operator.kind.name().to_owned(),
                outputs: outputs.clone(),
            })
        });
        begin.into_iter().chain(self.steps.iter().map(record::line)).chain(operators)
    }

    /// The most bytes that a trace of this graph has, with so many steps in its segment.
    pub fn max_bytes(graph: &Graph, steps: u32) -> u64 {
        // A digest and its punctuation are 67 bytes, the rest of an operator's line and of a leaf is less than this.
        let outputs: u64 = graph.operators.iter().map(|operator| 128 + 67 * u64::from(operator.writes)).sum();
        4096 + u64::from(steps) * 1024 + outputs
    }

    /// Reads what another party wrote. Kinds and numbers of outputs must be this graph's; whether the digests are right
    /// is a matter of the dispute.
    pub fn parse(name: &str, text: &str, graph: &Graph) -> Result<TraceFile> {
        let mut lines = text.lines().enumerate().map(|(i, text)| Line::parse(&format!("{name}:{}", i + 1), text));
        let mut next = |what: &str| {
            lines.next().unwrap_or_else(|| Err(Error::data(format!("{name}: truncated: expected {what}"))))
        };
        let leaves: Leaves = need(name, "leaves", next("a leaves record")?)?;
        let head: TraceHead = need(name, "trace", next("a trace record")?)?;
        let segments = leaves.segments();
        segments.check().at(name)?;
        if head.step >= leaves.steps {
            return Err(Error::data(format!(
                "{name}: trace record: expected a step below {}, found {}",
                leaves.steps, head.step
            )));
        }
        let count = segments.range(head.step / segments.every).len();
        if head.operators != graph.len() as u64 {
            return Err(Error::data(format!(
                "{name}: trace record: expected {} operators, found {}",
                graph.len(),
                head.operators
            )));
        }
        let mut steps = Vec::new();
        for _ in 0..count {
            steps.push(need(name, "leaf", next("a leaf record")?)?);
        }
        let mut outputs = Vec::with_capacity(graph.len());
        for (place, operator) in graph.operators.iter().enumerate() {
            let line: OperatorLine = need(name, "operator", next("an operator record")?)?;
            let shown = |number: u64, kind: &str, outputs: usize| format!("{number} ({kind}) with {outputs} outputs");
            let found = shown(line.operator, &line.kind, line.outputs.len());
            let expected = shown(place as u64, operator.kind.name(), operator.writes as usize);
            if found != expected {
                return Err(Error::data(format!(
                    "{name}: operator record: expected operator {expected}, found {found}"
                )));
            }
            outputs.push(line.outputs);
        }
        match lines.next() {
            None => Ok(TraceFile { leaves, head, steps, outputs }),
            Some(_) => Err(Error::data(format!("{name}: oversized: lines after the last operator"))),
        }
    }
}

fn need<R: Record>(name: &str, what: &str, line: Line) -> Result<R> {
    let kind = line.kind().to_owned();
    line.get()?.ok_or_else(|| Error::data(format!("{name}: expected a {what} record, found one of type {kind:?}")))
}

fn tree(leaves: &Leaves, graph: &Graph, digest: &Digest, outputs: &[Vec<Digest>]) -> Result<Tree> {
    let context = TraceContext::new(leaves, digest)?;
    let hashes = graph.operators.iter().zip(outputs).enumerate();
    let hashes = hashes.map(|(place, (operator, outputs))| context.hash(place, operator, outputs));
    Ok(Tree::new(hashes.collect::<Result<Vec<_>>>()?))
}
