//! One operator, executed: by the tracer on the fast engine, and by the referee on the definitions. There is no other
//! place where a trace's values come from.

use std::ops::Range;
use std::sync::Arc;

use super::graph::Graph;
use super::operator::{Form, Kind, Operator};
use super::value::Value;
use crate::artifact::merkle;
use crate::device::Attended;
use crate::engine::linear::Factor;
use crate::engine::{NO_TARGET, Part, PartMut, Start};
use crate::error::{Error, Result};
use crate::model::{Model, documents, sum_q32};

/// What an operator that is no source makes of its inputs, one value for each of `operator.reads`, by the model's engine.
/// An error names what is not finite (A7), or an input that has another form than the graph says.
pub fn execute(model: &Model, graph: &Graph, operator: &Operator, inputs: Vec<Option<Value>>) -> Result<Vec<Value>> {
    let inputs = Inputs::new(model.config.vocab_size, graph, operator, inputs)?;
    run(model, graph, operator, inputs).map_err(|error| error.at(operator.describe()))
}

/// The inputs, each taken once.
struct Inputs {
    values: std::vec::IntoIter<Option<Value>>,
}

impl Inputs {
    fn new(vocabulary: usize, graph: &Graph, operator: &Operator, inputs: Vec<Option<Value>>) -> Result<Inputs> {
        let fits = |(read, input): (&Option<u32>, &Option<Value>)| match (read, input) {
            (None, None) => true,
            (Some(_), Some(Value::Root(_))) if operator.kind.works_on_digests() => true,
            (Some(id), Some(value)) => value.is(&graph.values[*id as usize].form),
            _ => false,
        };
        let same = operator.reads.len() == inputs.len();
        if !same || !operator.reads.iter().zip(&inputs).all(fits) {
            return Err(Error::data(format!("{}: its inputs have other forms than the graph's", operator.describe())));
        }
        let bad = operator.reads.iter().zip(&inputs).find_map(|(read, input)| match (read, input) {
            (Some(id), Some(Value::Tokens(ids))) => {
                let form = &graph.values[*id as usize].form;
                let none = |id: &u32| matches!(form, Form::Targets(_)) && *id == NO_TARGET;
                let beyond = |id: &&u32| **id >= vocabulary as u32 && !none(id);
                ids.iter().find(beyond).copied().filter(|_| !matches!(form, Form::Starts(_)))
            }
            _ => None,
        });
        if let Some(id) = bad {
            return Err(Error::data(format!(
                "{}: expected token ids below {vocabulary}, found {id}",
                operator.describe()
            )));
        }
        Ok(Inputs { values: inputs.into_iter() })
    }

    fn next(&mut self) -> Option<Value> {
        self.values.next().expect("as many as the operator reads")
    }

    fn floats(&mut self) -> Arc<Vec<f32>> {
        match self.next() {
            Some(Value::Floats(values)) => values,
            _ => unreachable!("the form was checked"),
        }
    }

    /// An accumulator to write to: +0 where there is none.
    fn accumulator(&mut self, form: &Form) -> Vec<f32> {
        match self.next() {
            None => zeros(form),
            Some(Value::Floats(values)) => Arc::unwrap_or_clone(values),
            Some(_) => unreachable!("the form was checked"),
        }
    }

    /// The documents of a sequence, where it has several: where they begin is the last input.
    fn documents(&mut self) -> Vec<Range<usize>> {
        match self.values.next() {
            Some(Some(Value::Tokens(starts))) => documents(&starts),
            _ => Vec::new(),
        }
    }

    fn tokens(&mut self) -> Arc<Vec<u32>> {
        match self.next() {
            Some(Value::Tokens(ids)) => ids,
            _ => unreachable!("the form was checked"),
        }
    }
}

fn zeros(form: &Form) -> Vec<f32> {
    vec![0.0; form.elements()]
}

fn run(model: &Model, graph: &Graph, operator: &Operator, mut inputs: Inputs) -> Result<Vec<Value>> {
    let engine = model.engine;
    let config = &model.config;
    let forms: Vec<&Form> = graph.forms(operator).collect();
    let d = config.hidden_size;
    // The elements of an output, to be written.
    let mut outs: Vec<Vec<f32>> = Vec::new();
    let id = || operator.tensor.expect("a weight's operator names it") as usize;
    let inner = || model.net.tensor(id()).shape[1];
    let layer = || operator.layer.expect("a layer's operator names it") as usize;
    match operator.kind {
        Kind::Parameter | Kind::FirstMoment | Kind::SecondMoment | Kind::Frozen | Kind::Tokens => {
            return Err(Error::bug("a source is not executed"));
        }
        Kind::Embedding => {
            let (table, tokens) = (inputs.floats(), inputs.tokens());
            let mut x = zeros(forms[0]);
            engine.embedding(&table, d, &tokens[..tokens.len() - 1], &mut x);
            outs.push(x);
        }
        Kind::EmbeddingScale | Kind::ResidualScale | Kind::LogitsScale => {
            let factor = match operator.kind {
                Kind::EmbeddingScale => model.embedding_factor(),
                Kind::ResidualScale => model.residual_factor(),
                _ => model.logits_factor(),
            };
            let mut x = Arc::unwrap_or_clone(inputs.floats());
            engine.scale(&mut x, factor.expect("the graph scales by what the model has"));
            outs.push(x);
        }
        Kind::Bias => {
            let (x, bias) = (inputs.floats(), inputs.floats());
            let mut x = Arc::unwrap_or_clone(x);
            engine.bias(&bias, &mut x);
            outs.push(x);
        }
        Kind::Split => {
            let x = inputs.floats();
            outs = forms.iter().map(|form| zeros(form)).collect();
            split(model, &x, &mut outs);
        }
        Kind::RmsNorm => {
            let (x, weight) = (inputs.floats(), inputs.floats());
            let (mut y, mut rinv) = (zeros(forms[0]), zeros(forms[1]));
            engine.rms_norm(&x, &model.norm_weight(&weight), model.eps(), &mut y, &mut rinv);
            outs.extend([y, rinv]);
        }
        Kind::Project => {
            let (x, weight) = (inputs.floats(), inputs.floats());
            let x = Factor::new(rows(&x, operator, inner()), inner());
            let mut y = zeros(forms[0]);
            engine.linear(model.arithmetic, x, Factor::new(&*weight, inner()), &mut y);
            outs.push(y);
        }
        Kind::Rope | Kind::RopeBackward => {
            let mut x = Arc::unwrap_or_clone(inputs.floats());
            let documents = inputs.documents();
            let width = x.len() / model.seq_len();
            model.turn(layer(), &documents, operator.kind == Kind::RopeBackward, width, PartMut::from(&mut x));
            outs.push(x);
        }
        Kind::Attention => {
            let (q, k, v) = (inputs.floats(), inputs.floats(), inputs.floats());
            let documents = inputs.documents();
            let [mut out, mut max, mut sum] = [0, 1, 2].map(|i| zeros(forms[i]));
            let qkv = [&q, &k, &v].map(|x| Part::from(&***x));
            let [out_part, max_part, sum_part] = [&mut out, &mut max, &mut sum].map(PartMut::from);
            model.attend(layer(), &documents, qkv, out_part, [max_part, sum_part]);
            outs.extend([out, max, sum]);
        }
        Kind::Add => {
            let (x, y) = (inputs.floats(), inputs.floats());
            let mut out = zeros(forms[0]);
            engine.add(&x, &y, &mut out);
            outs.push(out);
        }
        Kind::Swiglu | Kind::Geglu => {
            let (gate, up) = (inputs.floats(), inputs.floats());
            let mut hidden = zeros(forms[0]);
            match operator.kind {
                Kind::Swiglu => engine.swiglu(&gate, &up, &mut hidden),
                _ => engine.geglu(&gate, &up, &mut hidden),
            }
            outs.push(hidden);
        }
        Kind::CrossEntropy => {
            let mut logits = Arc::unwrap_or_clone(inputs.floats());
            // The targets, where the batch has some of its own; else each token's successor.
            let targets = inputs.tokens();
            let targets = &targets[targets.len() - model.seq_len()..];
            let (from, to) = operator.rows.expect("the graph names its rows");
            let targets = &targets[from as usize..to as usize];
            let mut losses = zeros(forms[0]);
            engine.cross_entropy(&mut logits, config.vocab_size, targets, graph.scale, &mut losses);
            outs.extend([losses, logits]);
        }
        Kind::LossSum => {
            let losses = inputs.floats();
            let so_far = match inputs.next() {
                Some(Value::Sum(sum)) => sum,
                _ => 0,
            };
            let sum = sum_q32(&losses)
                .map_err(|i| Error::data(format!("the loss of token {i} is not finite, or above 2^31")))?;
            return Ok(vec![Value::Sum(so_far.wrapping_add(sum))]);
        }
        Kind::InputGradient => {
            let (dy, weight) = (inputs.floats(), inputs.floats());
            let mut dx = inputs.accumulator(forms[0]);
            let start = Start::Accumulate;
            let arithmetic = model.input_gradient_arithmetic(id());
            engine.linear_input_gradient(arithmetic, &dy, Factor::new(&*weight, inner()), &mut dx, start);
            outs.push(dx);
        }
        Kind::WeightGradient => {
            let (dy, x) = (inputs.floats(), inputs.floats());
            let mut dw = inputs.accumulator(forms[0]);
            let x = Factor::new(rows(&x, operator, inner()), inner());
            let seq_len = model.seq_len();
            let tokens = operator.rows.map_or(0..seq_len, |(from, to)| from as usize..to as usize);
            let arithmetic = model.weight_gradient_arithmetic(id());
            engine.linear_weight_gradient(arithmetic, x, &dy, tokens, seq_len, &mut dw);
            outs.push(dw);
        }
        Kind::LowRank => {
            let (x, a) = (inputs.floats(), inputs.floats());
            let mut u = zeros(forms[0]);
            engine.low_rank(Factor::new(&*x, inner()), Factor::new(&*a, inner()), model.adapter_scale(), &mut u);
            outs.push(u);
        }
        Kind::LowRankAdd => {
            let (u, b) = (inputs.floats(), inputs.floats());
            let mut y = inputs.accumulator(forms[0]);
            engine.low_rank_add(&u, Factor::new(&*b, inner()), &mut y);
            outs.push(y);
        }
        Kind::LowRankBackward => {
            let (dy, b) = (inputs.floats(), inputs.floats());
            let mut du = zeros(forms[0]);
            engine.low_rank_backward(&dy, Factor::new(&*b, inner()), model.adapter_scale(), &mut du);
            outs.push(du);
        }
        Kind::BiasBackward => {
            let dy = inputs.floats();
            let mut d_bias = inputs.accumulator(forms[0]);
            engine.bias_backward(&dy, model.seq_len(), &mut d_bias);
            outs.push(d_bias);
        }
        Kind::Join => {
            let parts: Vec<_> = operator.reads.iter().map(|_| inputs.floats()).collect();
            let mut x = zeros(forms[0]);
            join(model, &parts, &mut x);
            outs.push(x);
        }
        Kind::RmsNormBackward => {
            let (x, weight, rinv) = (inputs.floats(), inputs.floats(), inputs.floats());
            let (mut dx, mut dw) = (inputs.accumulator(forms[0]), inputs.accumulator(forms[1]));
            let mut dy: Vec<f32> = Vec::with_capacity(dx.len());
            for _ in 5..operator.reads.len() {
                dy.extend_from_slice(&inputs.floats());
            }
            // Heads that are normed by themselves are so many rows of a token.
            let rows = rinv.len();
            engine.rms_norm_backward(&x, &model.norm_weight(&weight), &rinv, &dy, rows, &mut dx, &mut dw);
            outs.extend([dx, dw]);
        }
        Kind::SwigluBackward | Kind::GegluBackward => {
            let (gate, up, hidden) = (inputs.floats(), inputs.floats(), inputs.floats());
            let [mut gate, mut up, mut hidden] = [gate, up, hidden].map(Arc::unwrap_or_clone);
            match operator.kind {
                Kind::SwigluBackward => engine.swiglu_backward(&mut gate, &mut up, &mut hidden),
                _ => engine.geglu_backward(&mut gate, &mut up, &mut hidden),
            }
            outs.extend([gate, up]);
        }
        Kind::AttentionBackward => {
            let [q, k, v, out, max, sum, d_out] = [(); 7].map(|()| inputs.floats());
            let [mut dq, mut dk, mut dv] = [0, 1, 2].map(|i| zeros(forms[i]));
            let documents = inputs.documents();
            let [q, k, v, out, max, sum, d_out] = [&q, &k, &v, &out, &max, &sum, &d_out].map(|x| Part::from(&***x));
            let of = Attended { qkv: [q, k, v], out, rows: [max, sum], d_out };
            model.attend_backward(layer(), &documents, &of, [&mut dq, &mut dk, &mut dv].map(PartMut::from));
            outs.extend([dq, dk, dv]);
        }
        Kind::EmbeddingBackward => {
            let (dx, tokens) = (inputs.floats(), inputs.tokens());
            let mut table = inputs.accumulator(forms[0]);
            engine.embedding_backward(&dx, d, &tokens[..tokens.len() - 1], &mut table);
            outs.push(table);
        }
        Kind::GradientSum => {
            let mut acc = inputs.accumulator(forms[0]);
            engine.add_into(&mut acc, &inputs.floats());
            outs.push(acc);
        }
        Kind::SumSquares => {
            let sum = engine.tensor_sum_squares(&inputs.floats());
            if !sum.is_finite() {
                return Err(Error::data("the gradient is not finite, or overflows"));
            }
            outs.push(vec![sum]);
        }
        Kind::Clip => outs.extend(clip(model, graph, operator, inputs)),
        Kind::Adamw => {
            let (p, g, m, v, clip) =
                (inputs.floats(), inputs.floats(), inputs.floats(), inputs.floats(), inputs.floats());
            let [mut p, mut m, mut v] = [p, m, v].map(Arc::unwrap_or_clone);
            let step = graph.scalars(clip[0]);
            let tensor = model.net.tensor(id());
            let scalars = if tensor.decays() { &step.decaying } else { &step.plain };
            if !engine.adamw(scalars, &mut p, &g, &mut m, &mut v) {
                return Err(Error::data(format!("tensor {} or one of its moments is not finite", tensor.name)));
            }
            outs.extend([p, m, v]);
        }
        Kind::State => return state(model, graph, operator, inputs),
    }
    Ok(outs.into_iter().map(Value::floats).collect())
}

/// The rows that the operator works on, where these are not all.
fn rows<'a>(x: &'a [f32], operator: &Operator, width: usize) -> &'a [f32] {
    match operator.rows {
        Some((from, to)) => &x[from as usize * width..to as usize * width],
        None => x,
    }
}

/// A fused projection's parts, of a sequence.
fn split(model: &Model, x: &[f32], parts: &mut [Vec<f32>]) {
    let with_width = |part| {
        let part: &mut Vec<f32> = part;
        let width = part.len() / model.seq_len();
        (&mut part[..], width)
    };
    match parts {
        [_, _, _] | [_, _] => {
            let mut parts: Vec<_> = parts.iter_mut().map(with_width).collect();
            model.engine.split_columns(x, &mut parts);
        }
        _ => unreachable!("the graph splits into three or two"),
    }
}

/// The gradient of a fused projection from its parts'.
fn join(model: &Model, parts: &[Arc<Vec<f32>>], x: &mut [f32]) {
    let with_width = |part| {
        let part: &Arc<Vec<f32>> = part;
        (&part[..], part.len() / model.seq_len())
    };
    match parts {
        [_, _, _] | [_, _] => {
            let parts: Vec<_> = parts.iter().map(with_width).collect();
            model.engine.join_columns(&parts, x);
        }
        _ => unreachable!("the graph joins three or two"),
    }
}

/// The norm, a chain over the tensors' sums of squares (A3), and the clip factor, min(1, c / norm).
fn clip(model: &Model, graph: &Graph, operator: &Operator, mut inputs: Inputs) -> [Vec<f32>; 2] {
    let squares: Vec<f32> = operator.reads.iter().map(|_| inputs.floats()[0]).collect();
    let (norm, factor) = model.engine.define(|| {
        let norm = squares.iter().fold(0f32, |sum, square| sum + square).sqrt();
        let factor = graph.max_norm() / norm;
        (norm, if factor > 1.0 { 1.0 } else { factor })
    });
    [vec![norm], vec![factor]]
}

/// Roots over parameters, first and second moments, and the loss: digests of digests.
fn state(model: &Model, graph: &Graph, operator: &Operator, mut inputs: Inputs) -> Result<Vec<Value>> {
    let digests: Vec<_> = operator
        .inputs()
        .map(|id| inputs.next().expect("the state reads no accumulator").digest(&graph.values[id as usize].form))
        .collect();
    let (roots, loss) = digests.split_at(digests.len() - 1);
    let parts = roots.chunks(model.layout.tensors.len()).map(|part| Value::Root(merkle::root(part.to_vec())));
    Ok(parts.chain([Value::Root(loss[0])]).collect())
}
