//! Every kind of model that we compute, against what transformers makes of the same checkpoint: logits, loss, gradients and fifty
//! steps of training, recorded by testdata/oracle/architectures.py. And adapters of some of them against what PEFT makes of them,
//! recorded by testdata/oracle/adapters.py.

#[path = "oracle_common/curve.rs"]
mod curve;

use std::collections::BTreeMap;
use std::path::PathBuf;

use l402::artifact::{Reader, Recipe, f32_from_le};
use l402::engine::Engine;
use l402::fsio::Source;
use l402::model::{ModelFolder, Parameters};
use l402::optimizer::{Moments, State};
use l402::verify::trace::{Graph, Kind, Step, StepAt, Value, trace};

/// Relative, of a tensor's norm.
const TOLERANCE: f64 = 1e-5;
/// Nats.
const CURVE_TOLERANCE: f64 = 1e-3;

const RECIPE: &str = r#"
arithmetic = 1
name = "architectures"
[model]
[data]
tokenizer = "bytes"
seq_len = 24
[inner]
steps = 1
batch = 4
lr = 3e-3
weight_decay = 0.1
clip = 1.0
state = "carry"
"#;

struct Case {
    name: String,
    folder: ModelFolder,
    /// By name.
    expected: BTreeMap<String, Vec<f32>>,
}

fn cases() -> Vec<Case> {
    models().into_iter().chain(adapters()).collect()
}

fn models() -> Vec<Case> {
    cases_in("architectures", 11)
}

fn adapters() -> Vec<Case> {
    cases_in("adapters", 3)
}

fn cases_in(kind: &str, count: usize) -> Vec<Case> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata/oracle").join(kind);
    let mut names: Vec<_> = std::fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names.len(), count);
    let case = |name: std::ffi::OsString| {
        let folder = root.join(&name);
        let mut reader = Reader::open(Source::open(&folder.join("expected.safetensors")).unwrap()).unwrap();
        let mut expected = BTreeMap::new();
        while let Some((info, data)) = reader.next_tensor().unwrap() {
            if info.name != "tokens" {
                expected.insert(info.name.clone(), f32_from_le(&info.name, &data).unwrap());
            }
        }
        let name = format!("{kind}/{}", name.into_string().unwrap());
        Case { name, folder: ModelFolder::load(&folder).unwrap(), expected }
    };
    names.into_iter().map(case).collect()
}

/// |a - b| / |b|
fn relative(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let square = |x: f64| x * x;
    let difference: f64 = a.iter().zip(b).map(|(a, b)| square(f64::from(*a) - f64::from(*b))).sum();
    (difference / b.iter().map(|b| square((*b).into())).sum::<f64>()).sqrt()
}

/// The logits of the first batch, the loss, and the gradients by the place of their tensors.
fn first_step(folder: &ModelFolder, recipe: &Recipe) -> (Vec<f32>, f64, BTreeMap<usize, Vec<f32>>) {
    let model = folder.model_of(recipe, Engine::detect()).unwrap();
    let layout = &model.layout;
    let shard = curve::batch(0, recipe, model.config.vocab_size as u64);
    let at = StepAt { round: 0, step: 0, optimizer_steps: 0, batch: (0..recipe.inner.batch).collect(), masked: None };
    let graph = Graph::new(recipe, &model, at);
    let state = State { parameters: folder.parameters.to_vec().unwrap(), moments: Moments::zero(layout) };
    let mut step = Step::new(&model, &graph, &shard, state);
    // What the head gives last before the loss, and what AdamW takes as gradients.
    let (mut logits, mut gradients) = (Vec::new(), BTreeMap::new());
    let watched = |operator: &l402::verify::trace::Operator, inputs: Vec<Option<Value>>| {
        let floats = |value: &Option<Value>| match value {
            Some(Value::Floats(values)) => values.to_vec(),
            _ => panic!("no floats"),
        };
        match operator.kind {
            Kind::CrossEntropy => logits.extend(floats(&inputs[0])),
            Kind::Adamw => {
                gradients.insert(model.net.place(operator.tensor.unwrap() as usize), floats(&inputs[1]));
            }
            _ => {}
        }
        step.execute(operator, inputs)
    };
    trace(&graph, watched, |_| ()).unwrap();
    let loss = step.finish().0.loss;
    (logits, loss, gradients)
}

#[test]
fn logits_loss_and_gradients_are_those_of_transformers() {
    let recipe = Recipe::parse(RECIPE).unwrap();
    for Case { name, folder, expected } in cases() {
        let (logits, loss, gradients) = first_step(&folder, &recipe);
        let layout = &folder.layout;
        let error = relative(&logits, &expected["logits"]);
        assert!(error < TOLERANCE, "{name}: the logits differ by {error:e} of their norm");
        let found = f64::from(expected["loss"][0]);
        assert!((loss / found - 1.0).abs() < 1e-6, "{name}: expected the loss {found}, found {loss}");
        let names = expected.keys().filter(|name| name.starts_with("gradient."));
        assert_eq!(names.count(), layout.tensors.len(), "{name}: a gradient for each tensor");
        for (id, tensor) in layout.tensors.iter().enumerate() {
            let error = relative(&gradients[&id], &expected[&format!("gradient.{}", tensor.name)]);
            assert!(error < TOLERANCE, "{name}: {}: the gradient differs by {error:e} of its norm", tensor.name);
        }
    }
}

#[test]
fn fifty_steps_follow_transformers_loss_curve() {
    let recipe = Recipe::parse(RECIPE).unwrap();
    for Case { name, folder, expected } in cases() {
        let found = curve::train(&folder, &recipe, 50);
        for (step, ((found, _), loss)) in found.iter().zip(&expected["curve"]).enumerate() {
            let error = (found - f64::from(*loss)).abs();
            assert!(error < CURVE_TOLERANCE, "{name}: step {step}: expected the loss {loss}, found {found}");
        }
    }
}

#[test]
fn a_merged_adapter_is_the_model_that_peft_merges() {
    let recipe = Recipe::parse(RECIPE).unwrap();
    for Case { name, folder, expected } in adapters() {
        let whole = || ModelFolder::load(&folder.base.as_ref().unwrap().folder).unwrap();
        let (base, plain) = (whole(), whole());
        let merged =
            ModelFolder { parameters: Parameters::Read(folder.into_merged(Engine::detect()).unwrap()), ..base };
        let (logits, ..) = first_step(&merged, &recipe);
        let error = relative(&logits, &expected["merged"]);
        assert!(error < TOLERANCE, "{name}: the logits differ by {error:e} of their norm");
        // It is the adapter's function, and not the model's.
        assert!(relative(&logits, &expected["logits"]) < TOLERANCE, "{name}");
        let (plain, ..) = first_step(&plain, &recipe);
        assert!(relative(&plain, &expected["logits"]) > 0.01, "{name}");
    }
}
