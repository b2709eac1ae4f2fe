//! The procedure: from the leaves to the step, from the step to the operator, and the ruling.

use super::descent::descend;
use super::judge::{Begin, Judge};
use super::parties::Party;
use super::questions::{Question, Tree};
use super::referee::{Referee, execute_on};
use super::rules;
use super::session::{Go, Session, Stop, TraceOf, lost};
use super::transcript::{Dispute, Ruling, Side};
use crate::artifact::record;
use crate::artifact::{Digest, merkle};
use crate::error::{Error, Result};
use crate::verify::leaves::Leaf;
use crate::verify::trace::{Kind, TraceContext, Value, data_of, frozen_digest};

/// What became of a dispute.
#[derive(Debug)]
pub enum Outcome {
    /// The parties claim the same leaves.
    Agreed,
    /// A party has not answered yet, and the dispute waits for it.
    Awaited {
        /// The party.
        from: Side,
        /// What it was asked.
        question: Question,
    },
    /// All is known but the operands of the one operator to be executed.
    Operands {
        /// The step, counted from 0 within the round.
        step: u32,
        /// The operator's place in the graph.
        operator: usize,
    },
    /// It is decided.
    Settled(Box<Settled>),
}

/// A dispute that is decided.
#[derive(Clone, Debug, PartialEq)]
pub struct Settled {
    /// Who is right.
    pub ruling: Ruling,
    /// The transcript, the ruling at its end.
    pub transcript: String,
}

/// What has been found so far, for the ruling.
#[derive(Default)]
struct Found {
    leaf: Option<u32>,
    step: Option<u32>,
    operator: Option<u64>,
    kind: Option<String>,
    graph: Option<Digest>,
    expected: Option<Vec<Digest>>,
    executed: u32,
}

/// Puts the questions to both parties until it is clear whose claim stands. An answer that does not fit what its party
/// committed to decides against it. Where both agree up to an operator, `referee` says what that one writes.
pub fn settle(judge: &Judge<'_>, a: &mut dyn Party, b: &mut dyn Party, referee: &mut dyn Referee) -> Result<Outcome> {
    let first = record::line(&Dispute { work: judge.work.clone(), begin: judge.begin })?;
    let mut session = Session::new(a, b, first);
    let mut found = Found::default();
    let (stands, why) = match go(judge, &mut session, referee, &mut found) {
        Ok(None) => return Ok(Outcome::Agreed),
        Ok(Some(ruled)) => ruled,
        Err(Stop::Lost(stands, why)) => (stands, why),
        Err(Stop::Awaited(from, question)) => return Ok(Outcome::Awaited { from, question }),
        Err(Stop::Operands(operator)) => {
            return Ok(Outcome::Operands { step: found.step.unwrap_or_default(), operator });
        }
        Err(Stop::Failed(error)) => return Err(error),
    };
    let Found { leaf, step, operator, kind, graph, expected, executed } = found;
    let mut transcript = session.lines;
    let ruling = Ruling {
        stands,
        why: why.chars().filter(|c| (' '..='~').contains(c)).take(400).collect(),
        leaf,
        step,
        operator,
        kind,
        graph,
        expected,
        executed,
        exchanges: session.exchanges,
        bytes: session.bytes,
        lines: Digest::of(transcript.as_bytes()),
    };
    transcript.push_str(&record::line(&ruling)?);
    Ok(Outcome::Settled(Box::new(Settled { ruling, transcript })))
}

/// A step in dispute: both agree on the state before it, and claim different ones after it.
struct Disputed {
    step: u32,
    begin: Begin,
    claims: [Leaf; 2],
}

fn go(
    judge: &Judge<'_>,
    session: &mut Session<'_>,
    referee: &mut dyn Referee,
    found: &mut Found,
) -> Go<Option<(Side, String)>> {
    let roots = session.roots(None)?;
    if roots[0] == roots[1] {
        return Ok(None);
    }
    let disputed = leaf_then_step(judge, session, roots, found)?;
    found.step = Some(disputed.step);
    let graph = judge.graph(disputed.step);
    let digest = graph.digest();
    found.graph = Some(digest);
    let context = TraceContext::new(&judge.work, &digest)?;
    let trace = TraceOf { graph: &graph, context };
    let heads = session.traces(disputed.step)?;
    lost(heads.map(|(theirs, operators, _)| {
        (theirs != digest || operators != graph.len() as u64)
            .then(|| format!("its trace is of another graph: expected {digest}, found {theirs}"))
    }))?;
    let roots = heads.map(|(_, _, root)| root);
    let ends = session.operator(&trace, graph.len() - 1, roots)?;
    lost([0, 1].map(|i| rules::trace_end(&disputed.claims[i], &ends[i])))?;
    if roots[0] == roots[1] {
        return Err(Stop::Failed(Error::bug("one trace ends in two states")));
    }
    let place = descend(session, Tree::Trace, graph.len(), roots)?;
    let operator = &graph.operators[place];
    found.operator = Some(place as u64);
    found.kind = Some(operator.kind.name().to_owned());
    let outputs = session.operator(&trace, place, roots)?;
    if operator.kind.is_state_source() {
        return source(judge, session, &disputed, place, outputs).map(Some);
    }
    let expected = match operator.kind {
        Kind::Frozen => vec![frozen_digest(judge.model(), operator)],
        Kind::Tokens => {
            let data = data_of(judge.shard, &graph, operator);
            data.iter().zip(graph.forms(operator)).map(|(value, form)| value.digest(form)).collect()
        }
        _ => {
            let inputs = inputs(session, &trace, place, &roots[0])?;
            if operator.kind.works_on_digests() {
                let values = inputs.iter().map(|digest| digest.map(Value::Root)).collect();
                execute_on(judge, &graph, place, values)?
            } else {
                found.executed = 1;
                referee.outputs(judge, &graph, place, &inputs)?.ok_or(Stop::Operands(place))?
            }
        }
    };
    let stands = match outputs.each_ref().map(|outputs| *outputs == expected) {
        [true, false] => Side::A,
        [false, true] => Side::B,
        _ => Side::Neither,
    };
    found.expected = Some(expected);
    Ok(Some((stands, format!("step {}: operator {place}: {}", disputed.step, operator.describe()))))
}

/// Down the leaves to the first that differs, and within its segment to the step.
fn leaf_then_step(judge: &Judge<'_>, session: &mut Session<'_>, roots: [Digest; 2], found: &mut Found) -> Go<Disputed> {
    let segments = judge.segments();
    let count = segments.count() as usize;
    let place = descend(session, Tree::Leaves, count, roots)?;
    let steps = segments.range(place as u32);
    found.leaf = Some(steps.end);
    let leaves = session.leaves(Tree::Leaves, &judge.work, (place, count), roots)?;
    lost(leaves.each_ref().map(|leaf| rules::leaf(judge, leaf, steps.clone())))?;
    let begin = match place.checked_sub(1) {
        None => judge.begin,
        Some(before) => {
            let leaf = session.agreed_leaf(Tree::Leaves, &judge.work, (before, count), &roots[0])?;
            Begin::claimed(&leaf)
        }
    };
    if steps.len() == 1 {
        return Ok(Disputed { step: steps.start, begin, claims: leaves });
    }

    let (context, count) = (judge.every_step(), steps.len());
    let roots = session.roots(Some(place as u32))?;
    let last = session.leaves(Tree::Steps, &context, (count - 1, count), roots)?;
    lost([0, 1].map(|i| {
        rules::leaf(judge, &last[i], steps.end - 1..steps.end)
            .or_else(|| rules::last_step(&leaves[i], &last[i]))
            .or_else(|| rules::loss_of(&leaves[i], &last[i], count - 1))
    }))?;
    if roots[0] == roots[1] {
        // The states are the same, so the losses in the leaves are not: one of them is not that of its step.
        let losses = leaves[0].losses_q32.iter().zip(&leaves[1].losses_q32);
        let step = losses.enumerate().find(|(_, (a, b))| a != b).map_or(0, |(step, _)| step);
        let claims = session.leaves(Tree::Steps, &context, (step, count), roots)?;
        let number = steps.start + step as u32;
        lost([0, 1].map(|i| {
            rules::leaf(judge, &claims[i], number..number + 1).or_else(|| rules::loss_of(&leaves[i], &claims[i], step))
        }))?;
        return Err(Stop::Failed(Error::bug("equal leaves with different hashes")));
    }
    let place = descend(session, Tree::Steps, count, roots)?;
    let step = steps.start + place as u32;
    let claims = session.leaves(Tree::Steps, &context, (place, count), roots)?;
    lost([0, 1].map(|i| {
        rules::leaf(judge, &claims[i], step..step + 1).or_else(|| rules::loss_of(&leaves[i], &claims[i], place))
    }))?;
    let begin = match place.checked_sub(1) {
        None => begin,
        Some(before) => Begin::claimed(&session.agreed_leaf(Tree::Steps, &context, (before, count), &roots[0])?),
    };
    Ok(Disputed { step, begin, claims })
}

/// Which of two outputs of a source is a tensor of the state that both agreed on.
fn source(
    judge: &Judge<'_>,
    session: &mut Session<'_>,
    disputed: &Disputed,
    place: usize,
    outputs: [Vec<Digest>; 2],
) -> Go<(Side, String)> {
    let tensors = &judge.model().layout.tensors;
    let (part, tensor) = (place / tensors.len(), place % tensors.len());
    let root = disputed.begin.parts()[part];
    let paths = session.sources(place)?;
    let holds = |i: usize| merkle::climb(outputs[i][0], tensor, tensors.len(), &paths[i]) == Some(root);
    let stands = match [holds(0), holds(1)] {
        [true, false] => Side::A,
        [false, true] => Side::B,
        _ => Side::Neither,
    };
    let what = ["parameters", "first moments", "second moments"][part];
    Ok((stands, format!("step {}: {what} of {} in the state that both agreed on", disputed.step, tensors[tensor].name)))
}

/// The digests of what an operator reads: outputs of operators before it, on which both agree.
fn inputs(session: &mut Session<'_>, trace: &TraceOf<'_>, place: usize, root: &Digest) -> Go<Vec<Option<Digest>>> {
    let graph = trace.graph;
    let operator = &graph.operators[place];
    let producer = |id: u32| graph.values[id as usize].producer as usize;
    let mut producers: Vec<usize> = operator.inputs().map(producer).collect();
    producers.sort_unstable();
    producers.dedup();
    let lines = session.agreed_operators(trace, &producers, root)?;
    let digest = |id: u32| {
        let line = producers.binary_search(&producer(id)).expect("every producer was asked for");
        lines[line][graph.values[id as usize].output as usize]
    };
    Ok(operator.reads.iter().map(|read| read.map(digest)).collect())
}
