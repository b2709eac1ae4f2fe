//! The steps: ours as `l402 train` makes them, candle's as its users would.

use candle_core::{Result, Tensor, Var};
use candle_nn::{AdamW, Optimizer, ParamsAdamW};
use l402::artifact::{Digest, Recipe, Writer};
use l402::data::{BatchOrder, Shard, ShardInfo, Split, TOKENS, to_bytes};
use l402::fsio::Source;
use l402::model::{Kept, Layout, Model, Plan, initial_parameters};
use l402::optimizer::{Moments, RoundInput, run_round};
use serde_json::json;

use crate::Args;
use crate::candle_llama::CandleLlama;
use crate::pace::Pace;
use crate::shape::Shape;

const LEARNING_RATE: f64 = 1e-3;
const WEIGHT_DECAY: f64 = 0.1;
const CLIP: f64 = 1.0;
/// Batches before tokens come again.
const BATCHES: usize = 8;

/// What is trained.
pub fn recipe(shape: &Shape, arithmetic: u32, steps: u32) -> Recipe {
    let text = format!(
        "arithmetic = {arithmetic}\nname = \"bench\"\n[model]\n[data]\ntokenizer = \"bytes\"\nseq_len = {}\n\
         [inner]\nsteps = {steps}\nbatch = {}\nlr = {LEARNING_RATE}\nweight_decay = {WEIGHT_DECAY}\nclip = {CLIP:?}\n",
        shape.seq_len, shape.batch
    );
    Recipe::parse(&text).expect("the recipe is complete")
}

/// Random tokens.
pub fn shard(shape: &Shape) -> Shard {
    let sequences = shape.batch * BATCHES;
    let info = ShardInfo {
        tokenizer: "bytes".into(),
        vocab_size: shape.config.vocab_size as u32,
        seq_len: shape.seq_len,
        split: Split::Train,
        index: 0,
        of: 1,
        corpus: Digest::of(b"bench"),
        sequences,
        trained: Default::default(),
    };
    let mut data = Vec::new();
    to_bytes(&shape.sequences(sequences), info.vocab_size, &mut data);
    let mut writer = Writer::new("shard", Vec::new(), info.header()).expect("a shard of random tokens");
    writer.bytes(TOKENS, &data).expect("it is written to memory");
    let bytes = writer.finish().expect("it is complete").0;
    Source::bytes("shard", bytes).and_then(Shard::open).expect("it is read as it was written")
}

/// Rounds of the product, watched step by step.
pub fn ours(shape: &Shape, args: &Args) {
    // As many steps as anyone drives; the moments, the schedule and all the rest do not depend on it.
    let steps = if args.drive { 1 << 20 } else { args.steps };
    let recipe = recipe(shape, args.arithmetic, steps);
    let model = Model::of(&recipe, shape.config.clone(), crate::operators(args));
    let budget = args.activation_memory << 20;
    let plan = Plan::of(&recipe, &shape.config, args.micro_batch, budget);
    let shard = shard(shape);
    let order = BatchOrder::new(&Digest::of(b"bench"), shard.sequences());
    let parameters = initial_parameters(&model.config, &model.layout, 402);
    let moments = Moments::zero(&model.layout);
    let input = RoundInput { recipe: &recipe, model: &model, plan, shard: &shard, order: &order, round: 0 };
    let mut about = shape.describe("ours");
    about["micro_batch"] = plan.sequences.into();
    about["recompute"] = plan.recompute.into();
    about["keep_weights"] = (plan.kept == Kept::All).into();
    let mut pace = Pace::new(args.drive, args.steps, about);
    if !pace.wait() {
        return;
    }
    run_round(&input, parameters, moments, |report| {
        pace.done(json!({"loss": report.loss}));
        // Whoever drives has seen enough: there is no other way out of a round.
        if !pace.wait() && args.drive {
            std::process::exit(0);
        }
    })
    .expect("the steps are finite");
}

/// The same step of candle's operators.
pub fn candle(shape: &Shape, args: &Args) -> Result<()> {
    let layout = Layout::new(&shape.config);
    let parameters = initial_parameters(&shape.config, &layout, 402);
    let model = CandleLlama::new(&shape.config, &parameters, shape.seq_len)?;
    drop(parameters);
    let adamw = |weight_decay: f64| {
        let decays = layout.tensors.iter().map(|t| t.decays() == (weight_decay > 0.0));
        let variables: Vec<Var> =
            model.variables().iter().zip(decays).filter(|(_, mine)| *mine).map(|(v, _)| v.clone()).collect();
        AdamW::new(variables, ParamsAdamW { lr: LEARNING_RATE, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay })
    };
    let mut optimizers = [adamw(WEIGHT_DECAY)?, adamw(0.0)?];
    let tokens = shape.sequences(shape.batch * BATCHES);
    let mut batches = tokens.chunks_exact(shape.batch * (shape.seq_len + 1)).cycle();
    let mut pace = Pace::new(args.drive, args.steps, shape.describe("candle"));
    while pace.wait() {
        let loss = model.loss(batches.next().expect("it goes on forever"))?;
        let mut gradients = loss.backward()?;
        let squares = model.variables().iter().map(|v| {
            let gradient = gradients.get(v).expect("every operator is differentiable");
            gradient.sqr()?.sum_all()?.to_scalar::<f32>()
        });
        let norm = squares.collect::<Result<Vec<f32>>>()?.iter().sum::<f32>().sqrt();
        if f64::from(norm) > CLIP {
            for v in model.variables() {
                let clipped: Tensor = (gradients.remove(v).expect("it was there") * (CLIP / f64::from(norm)))?;
                gradients.insert(v, clipped);
            }
        }
        for optimizer in &mut optimizers {
            optimizer.step(&gradients)?;
        }
        pace.done(json!({"loss": loss.to_scalar::<f32>()?}));
    }
    Ok(())
}
