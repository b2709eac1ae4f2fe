//! Our loss curve against PyTorch's, recorded by testdata/oracle/torch_curve.py.

use std::path::Path;

use l402::artifact::{Digest, Recipe, Writer};
use l402::data::{BatchOrder, Shard, ShardInfo, Split, TOKENS, to_bytes};
use l402::engine::Engine;
use l402::fsio::{Source, read_text};
use l402::model::{Model, ModelFolder, Plan, initial_parameters};
use l402::optimizer::{Moments, RoundInput, run_round};
use serde::Deserialize;

/// A round is one step here, so that every step has a shard, and with it a batch, of its own.
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

/// The tokens that the script's `batch` makes, as a shard.
fn batch(step: u64, recipe: &Recipe, vocabulary: u64) -> Shard {
    let (sequences, seq_len) = (recipe.inner.batch, recipe.data.seq_len);
    let mut tokens = Vec::new();
    for row in 0..sequences as u64 {
        let mut token = (step * 7 + row * 11) % vocabulary;
        for position in 0..=seq_len as u64 {
            tokens.push(token as u32);
            let number = (step * sequences as u64 + row) * (seq_len as u64 + 1) + position;
            let chance = (number * 2_654_435_761 % (1 << 32)) >> 29;
            token = (5 * token + 3 + if chance < 5 { 0 } else { chance }) % vocabulary;
        }
    }
    let info = ShardInfo {
        tokenizer: recipe.data.tokenizer.clone(),
        vocab_size: vocabulary as u32,
        seq_len,
        split: Split::Train,
        index: 0,
        of: 1,
        corpus: Digest::of(b"oracle"),
        sequences,
    };
    let mut data = Vec::new();
    to_bytes(&tokens, info.vocab_size, &mut data);
    let mut writer = Writer::new("shard", Vec::new(), info.header()).unwrap();
    writer.bytes(TOKENS, &data).unwrap();
    Shard::open(Source::bytes("shard", writer.finish().unwrap().0).unwrap()).unwrap()
}

#[test]
fn two_hundred_steps_follow_pytorchs_loss_curve() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/oracle");
    let curve: Curve = serde_json::from_str(&read_text(&folder.join("torch_curve.json")).unwrap()).unwrap();
    assert_eq!(curve.losses.len(), 200);
    let start = ModelFolder::load(&folder.join("model")).unwrap();
    let recipe = Recipe::parse(RECIPE).unwrap();
    let model = Model::of(&recipe, start.config.clone(), Engine::detect());
    let plan = Plan::training(&model.config, recipe.data.seq_len, recipe.inner.batch, Some(3), 0);
    let (mut parameters, mut moments) = (start.parameters.to_vec().unwrap(), Moments::zero(&start.layout));
    for (step, (loss, norm)) in (0u64..).zip(curve.losses.iter().zip(&curve.gradient_norms)) {
        let shard = batch(step, &recipe, model.config.vocab_size as u64);
        let order = BatchOrder::new(&Digest::of(b"oracle"), shard.sequences());
        let input = RoundInput { recipe: &recipe, model: &model, plan, shard: &shard, order: &order, round: step };
        let mut found_norm = f64::NAN;
        let output = run_round(&input, parameters, moments, |report| found_norm = report.gradient_norm.into()).unwrap();
        let found = output.losses[0];
        assert!((found - loss).abs() < LOSS_TOLERANCE, "step {step}: expected the loss {loss}, found {found}");
        assert!(
            (found_norm / norm - 1.0).abs() < NORM_TOLERANCE,
            "step {step}: expected the norm {norm}, found {found_norm}"
        );
        (parameters, moments) = (output.parameters, output.moments);
    }
}

#[test]
fn the_oracles_weights_are_those_of_init() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/oracle/model");
    let model = ModelFolder::load(&folder).unwrap();
    assert_eq!(model.parameters.to_vec().unwrap(), initial_parameters(&model.config, &model.layout, 402));
}
