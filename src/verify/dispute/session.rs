//! Questions and answers as they go: the transcript grows, and what an answer proves is checked at once.

use super::parties::Party;
use super::questions::{Answer, Exchange, OperatorAnswer, Question, Tree};
use super::transcript::Side;
use crate::artifact::record;
use crate::artifact::{Digest, merkle};
use crate::error::Error;
use crate::verify::leaves::{Leaf, Leaves};
use crate::verify::trace::{Graph, TraceContext};

/// Why the questions end.
#[derive(Debug)]
pub(super) enum Stop {
    /// A party has lost, or both have: who stands, and why.
    Lost(Side, String),
    /// A party did not answer.
    Awaited(Side, Question),
    /// The referee lacks the operands of this operator.
    Operands(usize),
    /// Something is wrong here, not with the parties.
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Failed(error)
    }
}

/// A step of the procedure.
pub(super) type Go<T> = Result<T, Stop>;

/// Two parties, and what they have said.
pub(super) struct Session<'a> {
    parties: [&'a mut dyn Party; 2],
    /// The transcript so far.
    pub lines: String,
    /// Exchanges so far.
    pub exchanges: u32,
    /// Their bytes.
    pub bytes: u64,
}

impl<'a> Session<'a> {
    pub(super) fn new(a: &'a mut dyn Party, b: &'a mut dyn Party, first: String) -> Session<'a> {
        Session { parties: [a, b], lines: first, exchanges: 0, bytes: 0 }
    }

    fn answer(&mut self, place: usize, question: &Question) -> Go<Answer> {
        let answer = self.parties[place].answer(question)?;
        answer.ok_or_else(|| Stop::Awaited(Side::at(place), question.clone()))
    }

    fn note(&mut self, exchange: &Exchange) -> Go<()> {
        let line = record::line(exchange)?;
        self.exchanges += 1;
        self.bytes += line.len() as u64;
        self.lines.push_str(&line);
        Ok(())
    }

    /// Puts a question to both; `take` takes what it must be answered with.
    fn both<T>(&mut self, question: Question, take: impl Fn(Answer) -> Option<T>) -> Go<[T; 2]> {
        // The first party's answer may take a run of the step: whether there is one of the second's is asked before.
        let b = self.answer(1, &question)?;
        let a = self.answer(0, &question)?;
        let exchange = Exchange { question, a, b: Some(b) };
        self.note(&exchange)?;
        let taken = [Some(exchange.a), exchange.b].map(|answer| answer.and_then(&take));
        lost(taken.each_ref().map(|t| t.is_none().then(|| "it answers something else than was asked".to_owned())))?;
        Ok(taken.map(|t| t.expect("nobody has lost")))
    }

    /// The roots over leaves, or over the steps of a segment.
    pub(super) fn roots(&mut self, segment: Option<u32>) -> Go<[Digest; 2]> {
        let question = segment.map_or(Question::Root {}, |segment| Question::Steps { segment });
        self.both(question, |answer| match answer {
            Answer::Root(root) => Some(root),
            _ => None,
        })
    }

    /// The nodes below a node in which the parties differ.
    pub(super) fn children(&mut self, tree: Tree, level: usize, index: usize) -> Go<[[Digest; 2]; 2]> {
        let question = Question::Children { tree, level: level as u32, index: index as u64 };
        self.both(question, |answer| match answer {
            Answer::Children(pair) => Some(pair),
            _ => None,
        })
    }

    /// A leaf of both, proven under their roots. `context` hashes it.
    pub(super) fn leaves(
        &mut self,
        tree: Tree,
        context: &Leaves,
        (index, count): (usize, usize),
        roots: [Digest; 2],
    ) -> Go<[Leaf; 2]> {
        let answers = self.both(Question::Leaf { tree, index: index as u64 }, take_leaf)?;
        lost([0, 1].map(|i| proof_of_leaf(context, &answers[i], index, count, &roots[i])))?;
        Ok(answers.map(|(leaf, _)| leaf))
    }

    /// A leaf that both agree on, shown by the first party.
    pub(super) fn agreed_leaf(
        &mut self,
        tree: Tree,
        context: &Leaves,
        (index, count): (usize, usize),
        root: &Digest,
    ) -> Go<Leaf> {
        let question = Question::Leaf { tree, index: index as u64 };
        let answer = self.answer(0, &question)?;
        let exchange = Exchange { question, a: answer, b: None };
        self.note(&exchange)?;
        let Some(answer) = take_leaf(exchange.a) else {
            return Err(Stop::Lost(Side::B, "a: it answers something else than was asked".into()));
        };
        lost([proof_of_leaf(context, &answer, index, count, root), None])?;
        Ok(answer.0)
    }

    /// The graphs, numbers of operators and roots of both traces.
    pub(super) fn traces(&mut self, step: u32) -> Go<[(Digest, u64, Digest); 2]> {
        self.both(Question::Trace { step }, |answer| match answer {
            Answer::Trace { graph, operators, root, .. } => Some((graph, operators, root)),
            _ => None,
        })
    }

    /// One operator's outputs, by both.
    pub(super) fn operator(&mut self, trace: &TraceOf<'_>, place: usize, roots: [Digest; 2]) -> Go<[Vec<Digest>; 2]> {
        let question = Question::Operators { places: vec![place as u64] };
        let answers = self.both(question, |answer| take_operators(answer, 1))?;
        let wrong = [0, 1].map(|i| trace.proof(place, &answers[i][0], &roots[i]));
        lost(wrong)?;
        Ok(answers.map(|mut lines| lines.remove(0).outputs))
    }

    /// The outputs of operators that both agree on, shown by the first party.
    pub(super) fn agreed_operators(
        &mut self,
        trace: &TraceOf<'_>,
        places: &[usize],
        root: &Digest,
    ) -> Go<Vec<Vec<Digest>>> {
        let question = Question::Operators { places: places.iter().map(|place| *place as u64).collect() };
        let answer = self.answer(0, &question)?;
        let exchange = Exchange { question, a: answer, b: None };
        self.note(&exchange)?;
        let Some(lines) = take_operators(exchange.a, places.len()) else {
            return Err(Stop::Lost(Side::B, "a: it answers something else than was asked".into()));
        };
        for (place, line) in places.iter().zip(&lines) {
            lost([trace.proof(*place, line, root), None])?;
        }
        Ok(lines.into_iter().map(|line| line.outputs).collect())
    }

    /// The paths from a source's outputs to the state that the step begins with, by both.
    pub(super) fn sources(&mut self, place: usize) -> Go<[Vec<Digest>; 2]> {
        self.both(Question::Source { place: place as u64 }, |answer| match answer {
            Answer::Source(path) => Some(path),
            _ => None,
        })
    }
}

/// What a trace's lines are proven with.
pub(super) struct TraceOf<'a> {
    pub graph: &'a Graph,
    pub context: TraceContext,
}

impl TraceOf<'_> {
    fn proof(&self, place: usize, line: &OperatorAnswer, root: &Digest) -> Option<String> {
        let operator = &self.graph.operators[place];
        if line.outputs.len() != operator.writes as usize {
            return Some(format!(
                "operator {place}: expected {} outputs, found {}",
                operator.writes,
                line.outputs.len()
            ));
        }
        let hash = self.context.hash(place, operator, &line.outputs).ok()?;
        let climbed = merkle::climb(hash, place, self.graph.len(), &line.path);
        (climbed != Some(*root)).then(|| format!("operator {place}: its proof does not lead to the trace's root"))
    }
}

fn take_leaf(answer: Answer) -> Option<(Leaf, Vec<Digest>)> {
    match answer {
        Answer::Leaf { leaf, path } => Some((leaf, path)),
        _ => None,
    }
}

fn take_operators(answer: Answer, count: usize) -> Option<Vec<OperatorAnswer>> {
    match answer {
        Answer::Operators(lines) if lines.len() == count => Some(lines),
        _ => None,
    }
}

fn proof_of_leaf(
    context: &Leaves,
    (leaf, path): &(Leaf, Vec<Digest>),
    index: usize,
    count: usize,
    root: &Digest,
) -> Option<String> {
    let climbed = context.hash(leaf).ok().and_then(|hash| merkle::climb(hash, index, count, path));
    (climbed != Some(*root)).then(|| format!("leaf {index}: its proof does not lead to its root"))
}

/// Ends the dispute where one of the parties, or both, did something wrong.
pub(super) fn lost(wrong: [Option<String>; 2]) -> Go<()> {
    match wrong {
        [None, None] => Ok(()),
        [Some(why), None] => Err(Stop::Lost(Side::B, format!("a: {why}"))),
        [None, Some(why)] => Err(Stop::Lost(Side::A, format!("b: {why}"))),
        [Some(a), Some(b)] => Err(Stop::Lost(Side::Neither, format!("a: {a}; b: {b}"))),
    }
}
