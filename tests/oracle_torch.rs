//! Our loss curve against PyTorch's, recorded by testdata/oracle/torch_curve.py.

#[path = "oracle_common/curve.rs"]
mod curve;

use std::path::Path;

use l402::artifact::Recipe;
use l402::fsio::read_text;
use l402::model::{ModelFolder, initial_parameters};
use serde::Deserialize;

const RECIPE: &str = r#"
arithmetic = 1
name = "torch"
[model]
[data]
tokenizer = "bytes"
seq_len = 24
[inner]
steps = 1
batch = 4
lr = 1e-2
schedule = "cosine"
warmup = 20
decay_steps = 200
min_lr_ratio = 0.1
weight_decay = 0.1
clip = 1.0
state = "carry"
"#;

/// Nats; the project asks for 1e-3. Found: 2e-6.
const LOSS_TOLERANCE: f64 = 1e-4;
/// Relative. Found: 1.2e-5.
const NORM_TOLERANCE: f64 = 1e-3;

#[derive(Deserialize)]
struct Curve {
    losses: Vec<f64>,
    gradient_norms: Vec<f64>,
}

#[test]
fn two_hundred_steps_follow_pytorchs_loss_curve() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/oracle");
    let curve: Curve = serde_json::from_str(&read_text(&folder.join("torch_curve.json")).unwrap()).unwrap();
    assert_eq!(curve.losses.len(), 200);
    let start = ModelFolder::load(&folder.join("model")).unwrap();
    let recipe = Recipe::parse(RECIPE).unwrap();
    let found = curve::train(&start, &recipe, 200);
    for (step, ((found, found_norm), (loss, norm))) in
        found.iter().zip(curve.losses.iter().zip(&curve.gradient_norms)).enumerate()
    {
        assert!((found - loss).abs() < LOSS_TOLERANCE, "step {step}: expected the loss {loss}, found {found}");
        assert!(
            (found_norm / norm - 1.0).abs() < NORM_TOLERANCE,
            "step {step}: expected the norm {norm}, found {found_norm}"
        );
    }
}

#[test]
fn the_oracles_weights_are_those_of_init() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/oracle/model");
    let model = ModelFolder::load(&folder).unwrap();
    assert_eq!(model.parameters.to_vec().unwrap(), initial_parameters(&model.config, &model.layout, 402));
}
