//! A step, run operator by operator. A value is freed after its last reader, and an operator that is the last reader of
//! its accumulator works in its memory: so a trace takes about the memory of a training step.

use std::collections::HashMap;
use std::sync::Arc;

use super::execute::execute;
use super::graph::Graph;
use super::operator::{Kind, Operator, ValueId};
use super::value::Value;
use crate::artifact::{Digest, tensor_root};
use crate::data::Shard;
use crate::error::Result;
use crate::model::{Layout, Model, masked_targets};
use crate::optimizer::{Moments, State, StepReport};

/// Where a step's sources come from, and who executes the rest.
pub struct Step<'a> {
    model: &'a Model,
    graph: &'a Graph,
    shard: &'a Shard,
    /// Parameters, first and second moments by tensor, until they are taken.
    state: [Vec<Vec<f32>>; 3],
    /// The same after the step, as they are made.
    after: [Vec<Arc<Vec<f32>>>; 3],
    loss_q32: i128,
    norm: f32,
}

impl<'a> Step<'a> {
    /// The step of this graph from this state.
    pub fn new(model: &'a Model, graph: &'a Graph, shard: &'a Shard, state: State) -> Step<'a> {
        let layout = &model.layout;
        let State { parameters, moments } = state;
        let state = [parameters, moments.first, moments.second].map(|flat| by_tensor(layout, flat));
        Step { model, graph, shard, state, after: Default::default(), loss_q32: 0, norm: 0.0 }
    }

    /// What this operator makes of its inputs.
    pub fn execute(&mut self, operator: &Operator, inputs: Vec<Option<Value>>) -> Result<Vec<Value>> {
        let part = match operator.kind {
            Kind::Parameter => 0,
            Kind::FirstMoment => 1,
            Kind::SecondMoment => 2,
            Kind::Frozen => return Ok(vec![Value::floats(frozen(self.model, operator).to_vec())]),
            Kind::Tokens => return Ok(data_of(self.shard, self.graph, operator)),
            _ => {
                let outputs = execute(self.model, self.graph, operator, inputs)?;
                self.keep(operator, &outputs);
                return Ok(outputs);
            }
        };
        let tensor = self.model.net.place(operator.tensor.expect("it is of a tensor") as usize);
        Ok(vec![Value::floats(std::mem::take(&mut self.state[part][tensor]))])
    }
}

impl Step<'_> {
    /// What is left when the step is done. AdamW comes tensor by tensor, by ascending name.
    fn keep(&mut self, operator: &Operator, outputs: &[Value]) {
        match (operator.kind, outputs) {
            (Kind::LossSum, [Value::Sum(sum)]) => self.loss_q32 = *sum,
            (Kind::Clip, [Value::Floats(norm), _]) => self.norm = norm[0],
            (Kind::Adamw, _) => self.after.iter_mut().zip(outputs).for_each(|(part, value)| {
                if let Value::Floats(values) = value {
                    part.push(values.clone());
                }
            }),
            _ => {}
        }
    }

    /// Takes these outputs for those of the operator that was executed last.
    pub fn replace(&mut self, operator: &Operator, outputs: &[Value]) {
        if operator.kind == Kind::Adamw {
            self.after.iter_mut().for_each(|part| drop(part.pop()));
        }
        self.keep(operator, outputs);
    }

    /// The step as training reports it, and the state after it, when all its operators are done.
    pub fn finish(self) -> (StepReport, State) {
        let [parameters, first, second] = self.after.map(|part| {
            let mut flat = Vec::with_capacity(self.model.layout.total);
            part.iter().for_each(|values| flat.extend_from_slice(values));
            flat
        });
        let at = &self.graph.at;
        let moments = Moments { steps: at.optimizer_steps + 1, first, second };
        let all = (at.batch.len() * self.model.seq_len()) as u64;
        let targets = at.masked.map_or(all, |masked| masked.targets) as f64;
        let report = StepReport {
            step: at.step,
            loss: self.loss_q32 as f64 / 4_294_967_296.0 / targets,
            loss_q32: self.loss_q32,
            gradient_norm: self.norm,
            sequences: at.batch.clone(),
        };
        (report, State { parameters, moments })
    }
}

/// The tensor that a source beside an adapter stands for.
fn frozen<'a>(model: &'a Model, operator: &Operator) -> &'a [f32] {
    let id = operator.tensor.expect("it is of a tensor") as usize;
    let adapted = model.net.adapted.as_ref().expect("the graph has it beside an adapter");
    model.net.decoder.layout.of(id, &adapted.base)
}

/// Its digest, which whoever has the model knows.
pub fn frozen_digest(model: &Model, operator: &Operator) -> Digest {
    let id = operator.tensor.expect("it is of a tensor") as usize;
    tensor_root(&model.net.tensor(id).shape, frozen(model, operator))
}

/// What a source of tokens stands for: the tokens, and of conversations the targets and where documents begin.
pub fn data_of(shard: &Shard, graph: &Graph, operator: &Operator) -> Vec<Value> {
    let sequence = graph.at.batch[operator.sequence.expect("it is of a sequence") as usize];
    let tokens: Vec<u32> = shard.sequence(sequence).collect();
    let (mask, starts) = (shard.mask(sequence), shard.starts(sequence));
    let targets = masked_targets(&tokens, mask);
    let starts = starts.iter().take(shard.seq_len()).map(|start| u32::from(*start)).collect();
    [tokens, targets, starts].into_iter().take(operator.writes as usize).map(|ids| Value::Tokens(ids.into())).collect()
}

fn by_tensor(layout: &Layout, flat: Vec<f32>) -> Vec<Vec<f32>> {
    layout.tensors.iter().map(|t| flat[t.range()].to_vec()).collect()
}

/// Values at work.
struct Alive {
    /// How many readers of a value are still to come, those that need no more than its digest left out.
    readers: Vec<u32>,
    values: HashMap<ValueId, Value>,
}

impl Alive {
    fn new(graph: &Graph) -> Alive {
        let mut readers = vec![0u32; graph.values.len()];
        let operators = graph.operators.iter().filter(|operator| !operator.kind.works_on_digests());
        operators.flat_map(Operator::inputs).for_each(|id| readers[id as usize] += 1);
        Alive { readers, values: HashMap::new() }
    }

    /// The operator's inputs; a value leaves with its last reader.
    fn inputs(&mut self, operator: &Operator, digests: &[Digest]) -> Vec<Option<Value>> {
        let by_digest = operator.kind.works_on_digests();
        let mut input = |id: ValueId| if by_digest { Value::Root(digests[id as usize]) } else { self.take(id) };
        operator.reads.iter().map(|read| read.map(&mut input)).collect()
    }

    fn take(&mut self, id: ValueId) -> Value {
        let left = &mut self.readers[id as usize];
        *left -= 1;
        let value = if *left == 0 { self.values.remove(&id) } else { self.values.get(&id).cloned() };
        value.expect("operators are in topological order")
    }

    fn put(&mut self, operator: &Operator, outputs: Vec<Value>) {
        let read = operator.written().zip(outputs).filter(|(id, _)| self.readers[*id as usize] > 0);
        self.values.extend(read.collect::<Vec<_>>());
    }
}

/// The digests of all values of a step, by their numbers. `run` executes one operator: [`Step::execute`], unless
/// something else is to be traced. `watch` is told how many operators are done.
pub fn trace(
    graph: &Graph,
    mut run: impl FnMut(&Operator, Vec<Option<Value>>) -> Result<Vec<Value>>,
    mut watch: impl FnMut(usize),
) -> Result<Vec<Digest>> {
    let mut alive = Alive::new(graph);
    let mut digests = Vec::with_capacity(graph.values.len());
    for (done, operator) in graph.operators.iter().enumerate() {
        let outputs = run(operator, alive.inputs(operator, &digests))?;
        digests.extend(graph.forms(operator).zip(&outputs).map(|(form, value)| value.digest(form)));
        alive.put(operator, outputs);
        watch(done + 1);
    }
    Ok(digests)
}

/// The inputs of one operator that works on values, by running those before it.
pub fn operands(
    graph: &Graph,
    operator: usize,
    mut run: impl FnMut(&Operator, Vec<Option<Value>>) -> Result<Vec<Value>>,
    mut watch: impl FnMut(usize),
) -> Result<Vec<Option<Value>>> {
    let mut alive = Alive::new(graph);
    for (done, before) in graph.operators[..operator].iter().enumerate() {
        let outputs = run(before, alive.inputs(before, &[]))?;
        alive.put(before, outputs);
        watch(done + 1);
    }
    Ok(alive.inputs(&graph.operators[operator], &[]))
}
