//! How the graph of a step is put together: sources, the batch a sequence at a time, sums, optimiser, state. The order
//! of the chains is the contract's (A4): sequences ascending, groups ascending, tensors by ascending name.

use super::graph::{Graph, StepAt, plain};
use super::operator::{Form, Kind, Operator, ValueId};
use crate::artifact::Recipe;
use crate::model::{Model, TensorSpec};

/// Elements of a chunk of logits, where it keeps its least rows: the head is worked on in rows, or the logits of a long
/// sequence over a large vocabulary would take more memory than training.
const LOGITS: usize = 1 << 23;
/// Rows that a chunk of logits has at the least.
const LOGIT_ROWS: usize = 256;

impl Graph {
    /// The graph of a step of this recipe and model; the batch must be the recipe's number of sequences.
    pub fn new(recipe: &Recipe, model: &Model, at: StepAt) -> Graph {
        let mut graph = Graph::empty(recipe, model, at);
        build(&mut graph, model, recipe.inner.grad_groups);
        graph
    }
}

/// Adds all operators of a step to an empty graph.
fn build(graph: &mut Graph, model: &Model, groups: usize) {
    let tensors = model.layout.tensors.len();
    // In this order: they are the graph's first operators.
    let [parameters, first, second] =
        [Kind::Parameter, Kind::FirstMoment, Kind::SecondMoment].map(|kind| state_sources(graph, model, kind));
    let frozen = frozen_sources(graph, model);
    let batch = graph.at.batch.len();
    let mut loss = None;
    let mut total: Vec<Option<ValueId>> = vec![None; tensors];
    let per_group = batch / groups;
    for group in 0..groups {
        let mut pass = Pass::new(graph, model, [&parameters, &frozen], loss);
        (group * per_group..(group + 1) * per_group).for_each(|sequence| pass.sequence(sequence as u32));
        let (gradients, sum) = pass.finish();
        loss = sum;
        total = match group {
            0 => gradients,
            _ => (0..tensors).map(|t| Some(gradient_sum(graph, model, t, total[t], gradients[t]))).collect(),
        };
    }
    optimise(graph, model, [parameters, first, second], &total, loss);
}

fn state_sources(graph: &mut Graph, model: &Model, kind: Kind) -> Vec<ValueId> {
    let tensors = model.layout.tensors.iter().enumerate();
    tensors
        .map(|(t, spec)| {
            let operator = Operator { tensor: number(model, t), ..plain(kind, Vec::new()) };
            graph.add(operator, vec![Form::Floats(spec.shape.clone())])
        })
        .collect()
}

/// The parameters of a model beside an adapter; without one there are none.
fn frozen_sources(graph: &mut Graph, model: &Model) -> Vec<ValueId> {
    let tensors = if model.net.whole() { &[][..] } else { &model.net.decoder.layout.tensors };
    let source = |(t, spec): (usize, &TensorSpec)| {
        let operator = Operator { tensor: Some(t as u32), ..plain(Kind::Frozen, Vec::new()) };
        graph.add(operator, vec![Form::Floats(spec.shape.clone())])
    };
    tensors.iter().enumerate().map(source).collect()
}

fn number(model: &Model, trained: usize) -> Option<u32> {
    Some(model.net.number(trained) as u32)
}

/// acc + x of a tensor's gradients.
fn gradient_sum(graph: &mut Graph, model: &Model, t: usize, acc: Option<ValueId>, x: Option<ValueId>) -> ValueId {
    let operator = Operator { tensor: number(model, t), ..plain(Kind::GradientSum, vec![acc, x]) };
    graph.add(operator, vec![Form::Floats(model.layout.tensors[t].shape.clone())])
}

/// Norm, clip factor, AdamW for every tensor, and the state that comes of it.
fn optimise(
    graph: &mut Graph,
    model: &Model,
    [parameters, first, second]: [Vec<ValueId>; 3],
    gradients: &[Option<ValueId>],
    loss: Option<ValueId>,
) {
    let scalar = || Form::Floats(vec![1]);
    let squares: Vec<_> = gradients
        .iter()
        .enumerate()
        .map(|(t, gradient)| {
            let operator = Operator { tensor: number(model, t), ..plain(Kind::SumSquares, vec![*gradient]) };
            Some(graph.add(operator, vec![scalar()]))
        })
        .collect();
    // Norm, then clip factor.
    let clip = graph.add(plain(Kind::Clip, squares), vec![scalar(), scalar()]) + 1;
    let updated: Vec<ValueId> = (0..gradients.len())
        .map(|t| {
            let form = Form::Floats(model.layout.tensors[t].shape.clone());
            let reads = vec![Some(parameters[t]), gradients[t], Some(first[t]), Some(second[t]), Some(clip)];
            let operator = Operator { tensor: number(model, t), ..plain(Kind::Adamw, reads) };
            graph.add(operator, vec![form; 3])
        })
        .collect();
    let parts = (0..3).flat_map(|part| updated.iter().map(move |value| Some(value + part)));
    let reads = parts.chain([loss]).collect();
    graph.add(plain(Kind::State, reads), vec![Form::Root, Form::Root, Form::Root, Form::Sum]);
}

/// The chains of one group of sequences.
pub(super) struct Pass<'a> {
    graph: &'a mut Graph,
    pub model: &'a Model,
    /// The trained parameters.
    parameters: &'a [ValueId],
    /// The others, or none.
    frozen: &'a [ValueId],
    /// A trained tensor's gradient so far; none before the first sequence.
    pub gradients: Vec<Option<ValueId>>,
    /// A tied head's.
    tied_head: Option<ValueId>,
    loss: Option<ValueId>,
    /// The sequence at work, by its place in the batch.
    sequence: u32,
    layer: Option<u32>,
    /// Where its documents begin, if it has several.
    pub starts: Option<ValueId>,
}

impl<'a> Pass<'a> {
    fn new(
        graph: &'a mut Graph,
        model: &'a Model,
        [parameters, frozen]: [&'a [ValueId]; 2],
        loss: Option<ValueId>,
    ) -> Pass<'a> {
        let gradients = vec![None; parameters.len()];
        Pass {
            graph,
            model,
            parameters,
            frozen,
            gradients,
            tied_head: None,
            loss,
            sequence: 0,
            layer: None,
            starts: None,
        }
    }

    /// The group's gradients by tensor, a tied head's part added to the embedding's, and the loss so far.
    fn finish(mut self) -> (Vec<Option<ValueId>>, Option<ValueId>) {
        if self.model.net.trains_tied_head() {
            let e = self.model.net.decoder.embedding;
            self.gradients[e] = Some(gradient_sum(self.graph, self.model, e, self.gradients[e], self.tied_head));
        }
        (self.gradients, self.loss)
    }

    pub fn tokens(&self) -> usize {
        self.model.seq_len()
    }

    pub fn rows(&self, width: usize) -> Form {
        Form::Floats(vec![self.tokens(), width])
    }

    pub fn op(&mut self, kind: Kind, tensor: Option<usize>, reads: Vec<Option<ValueId>>, forms: Vec<Form>) -> ValueId {
        self.op_rows(kind, tensor, None, reads, forms)
    }

    fn op_rows(
        &mut self,
        kind: Kind,
        tensor: Option<usize>,
        rows: Option<(u32, u32)>,
        reads: Vec<Option<ValueId>>,
        forms: Vec<Form>,
    ) -> ValueId {
        let operator = Operator {
            tensor: tensor.map(|t| t as u32),
            layer: self.layer,
            sequence: Some(self.sequence),
            rows,
            ..plain(kind, reads)
        };
        self.graph.add(operator, forms)
    }

    /// A tensor, by its number.
    pub fn weight(&self, id: usize) -> Option<ValueId> {
        let trained = || self.parameters[self.model.net.place(id)];
        Some(self.frozen.get(id).copied().unwrap_or_else(trained))
    }

    pub fn shape(&self, id: usize) -> (usize, usize) {
        let shape = &self.model.net.tensor(id).shape;
        (shape[0], shape[1])
    }

    /// An operator that adds to the gradient of a tensor, by its number, unless that stays as it is.
    pub fn gradient(&mut self, kind: Kind, id: usize, mut reads: Vec<Option<ValueId>>) {
        let net = &self.model.net;
        if id < self.frozen.len() {
            return;
        }
        let (place, form) = (net.place(id), Form::Floats(net.tensor(id).shape.clone()));
        reads.push(self.gradients[place]);
        self.gradients[place] = Some(self.op(kind, Some(id), reads, vec![form]));
    }

    /// The tokens of the sequence, and what follows them: of conversations its targets, of packed ones where documents begin.
    fn data(&mut self) -> ValueId {
        let n = self.tokens();
        let masked = self.graph.at.masked;
        let packed = masked.is_some_and(|masked| masked.packed);
        let mut forms = vec![Form::Tokens(n + 1)];
        forms.extend(masked.map(|_| Form::Targets(n)));
        forms.extend(packed.then_some(Form::Starts(n)));
        let tokens = self.op(Kind::Tokens, None, Vec::new(), forms);
        self.starts = packed.then_some(tokens + 2);
        tokens
    }

    /// What losses are of: the tokens, or the targets after them.
    fn targets(&self, tokens: ValueId) -> ValueId {
        tokens + ValueId::from(self.graph.at.masked.is_some())
    }

    /// The sequence at this place of the batch, forward and backward.
    fn sequence(&mut self, sequence: u32) {
        self.sequence = sequence;
        let model = self.model;
        let (d, decoder) = (model.config.hidden_size, &model.net.decoder);
        let tokens = self.data();
        let reads = vec![self.weight(decoder.embedding), Some(tokens)];
        let mut x = self.op(Kind::Embedding, Some(decoder.embedding), reads, vec![self.rows(d)]);
        if model.embedding_factor().is_some() {
            x = self.op(Kind::EmbeddingScale, None, vec![Some(x)], vec![self.rows(d)]);
        }
        let mut kept = Vec::with_capacity(decoder.layers.len());
        for (l, ids) in decoder.layers.iter().enumerate() {
            self.layer = Some(l as u32);
            let (out, layer) = self.layer_forward(l, ids, x);
            kept.push(layer);
            x = out;
        }
        self.layer = None;
        let mut dx = self.head(x, tokens);
        for (l, ids) in decoder.layers.iter().enumerate().rev() {
            self.layer = Some(l as u32);
            dx = self.layer_backward(l, ids, &kept[l], dx);
        }
        self.layer = None;
        if !model.net.whole() {
            return;
        }
        if model.embedding_factor().is_some() {
            dx = self.op(Kind::EmbeddingScale, None, vec![Some(dx)], vec![self.rows(d)]);
        }
        self.gradient(Kind::EmbeddingBackward, decoder.embedding, vec![Some(dx), Some(tokens)]);
    }

    /// Final norm, head and losses, forward and backward: the gradient of the last residual stream.
    fn head(&mut self, x: ValueId, tokens: ValueId) -> ValueId {
        let net = &self.model.net;
        let (d, v) = (self.model.config.hidden_size, self.model.config.vocab_size);
        let (head, norm, n) = (net.decoder.head, net.decoder.norm, self.tokens());
        let form = Form::Floats(net.tensor(head).shape.clone());
        let normed = self.norm(x, norm, (1, d));
        let chunk = (LOGITS / v).clamp(LOGIT_ROWS.min(n), n);
        let mut d_normed = Vec::new();
        for run in self.model.runs(n, chunk) {
            let (rows, count) = (Some((run.start as u32, run.end as u32)), run.len());
            let floats = |width: usize| Form::Floats(vec![count, width]);
            let reads = vec![Some(normed), self.weight(head)];
            let mut logits = self.op_rows(Kind::Project, Some(head), rows, reads, vec![floats(v)]);
            let scaled = self.model.logits_factor().is_some();
            if scaled {
                logits = self.op_rows(Kind::LogitsScale, None, rows, vec![Some(logits)], vec![floats(v)]);
            }
            // Losses, then the gradient of the logits.
            let forms = vec![Form::Floats(vec![count]), floats(v)];
            let reads = vec![Some(logits), Some(self.targets(tokens))];
            let losses = self.op_rows(Kind::CrossEntropy, None, rows, reads, forms);
            let reads = vec![Some(losses), self.loss];
            self.loss = Some(self.op_rows(Kind::LossSum, None, rows, reads, vec![Form::Sum]));
            let mut d_logits = losses + 1;
            if scaled {
                d_logits = self.op_rows(Kind::LogitsScale, None, rows, vec![Some(d_logits)], vec![floats(v)]);
            }
            let reads = vec![Some(d_logits), self.weight(head), None];
            d_normed.push(self.op_rows(Kind::InputGradient, Some(head), rows, reads, vec![floats(d)]));
            if net.whole() {
                let so_far = if net.decoder.tied() { self.tied_head } else { self.gradients[head] };
                let reads = vec![Some(d_logits), Some(normed), so_far];
                let gradient = self.op_rows(Kind::WeightGradient, Some(head), rows, reads, vec![form.clone()]);
                *(if net.decoder.tied() { &mut self.tied_head } else { &mut self.gradients[head] }) = Some(gradient);
            }
        }
        self.norm_backward(norm, (1, d), [x, normed + 1], None, d_normed)
    }
}
