//! The same training under both arithmetics: what exact integers do to the loss (docs/arithmetic-2.md, "Quality").
//!
//!     l402 shard testdata/text/tinyshakespeare.txt --tokenizer bytes --seq-len 256 --shards 1 --val-shards 1 -o shards
//!     cargo run --release --example arithmetic -- shards LAYERS WIDTH FF STEPS SEED...
//!
//! For each seed a line with the held-out loss after so many steps of 1024 tokens, in nats a token: in float32, in integers,
//! and in float32 from a start whose weights are all a 16,384th larger or smaller, as rounding to 14 bits leaves them: what chance
//! alone does. A start and an order of
//! batches are a seed's, the same for all three; a recipe's own order hangs on its run, and so on its arithmetic.

use std::error::Error;
use std::path::Path;

use l402::artifact::{Digest, Recipe};
use l402::data::{BatchOrder, Shard};
use l402::engine::Engine;
use l402::fsio::Source;
use l402::model::{Model, ModelConfig, Plan, Workspace, initial_parameters};
use l402::optimizer::{Moments, RoundInput, run_round};
use l402::score::sequence_losses;

const MEMORY: u64 = 2 << 30;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [shards, layers, width, ff, steps, seeds @ ..] = &args[..] else {
        return Err("usage: arithmetic SHARDS LAYERS WIDTH FF STEPS SEED...".into());
    };
    let open = |name: &str| Shard::open(Source::open(&Path::new(shards).join(name))?);
    let (train, held_out) = (open("train-00000.safetensors")?, open("val-00000.safetensors")?);
    let config = ModelConfig::parse(&config(layers, width, ff, &train)?)?;
    println!("seed\tsteps\tfloat32\tintegers\tnudged\tintegers, %\tnudged, %");
    for seed in seeds {
        let [float, integers, nudged] = [(1, false), (2, false), (1, true)]
            .map(|(arithmetic, nudge)| run(&config, &train, &held_out, steps, seed, arithmetic, nudge));
        let (float, integers, nudged) = (float?, integers?, nudged?);
        let beside = |loss: f64| 100.0 * (loss / float - 1.0);
        let (of_integers, of_chance) = (beside(integers), beside(nudged));
        println!("{seed}\t{steps}\t{float:.5}\t{integers:.5}\t{nudged:.5}\t{of_integers:+.3}\t{of_chance:+.3}");
    }
    Ok(())
}

/// A Llama with heads of 64.
fn config(layers: &str, width: &str, ff: &str, shard: &Shard) -> Result<String, Box<dyn Error>> {
    let heads = width.parse::<usize>()? / 64;
    Ok(format!(
        r#"{{"model_type": "llama", "vocab_size": {}, "hidden_size": {width}, "intermediate_size": {ff},
            "num_hidden_layers": {layers}, "num_attention_heads": {heads}, "num_key_value_heads": {heads}, "head_dim": 64,
            "rope_theta": 10000.0, "rms_norm_eps": 1e-5, "tie_word_embeddings": false}}"#,
        shard.info().vocab_size
    ))
}

/// The held-out loss after training.
fn run(
    config: &ModelConfig,
    train: &Shard,
    held_out: &Shard,
    steps: &str,
    seed: &str,
    arithmetic: u32,
    nudge: bool,
) -> Result<f64, Box<dyn Error>> {
    let (count, seq_len) = (steps.parse::<u32>()?, train.seq_len());
    let recipe = Recipe::parse(&format!(
        "arithmetic = {arithmetic}\nname = \"arithmetic\"\n[model]\n[data]\ntokenizer = \"bytes\"\nseq_len = {seq_len}\n\
         [inner]\nsteps = {count}\nbatch = {}\nlr = 1e-3\nschedule = \"cosine\"\nwarmup = {}\ndecay_steps = {count}\n\
         min_lr_ratio = 0.1\nweight_decay = 0.1\nclip = 1.0\n",
        1024usize.div_ceil(seq_len),
        count / 20,
    ))?;
    let model = Model::of(&recipe, config.clone(), Engine::detect());
    let mut parameters = initial_parameters(config, &model.layout, seed.parse()?);
    if nudge {
        // By an odd bit of the index' square: as good as a coin here.
        let factor = |i: usize| if ((i * i) >> 7) & 1 == 0 { 1.0 + 1.0 / 16_384.0 } else { 1.0 - 1.0 / 16_384.0 };
        parameters.iter_mut().enumerate().for_each(|(i, x)| *x *= factor(i));
    }
    let order = BatchOrder::new(&Digest::of(seed.as_bytes()), train.sequences());
    let plan = Plan::of(&recipe, config, None, MEMORY);
    let input = RoundInput { recipe: &recipe, model: &model, plan, shard: train, order: &order, round: 0 };
    let trained = run_round(&input, parameters, Moments::zero(&model.layout), |_| ())?;
    let all: Vec<usize> = (0..held_out.sequences()).collect();
    let plan = Plan::evaluation(config, seq_len, all.len());
    let mut workspace = Workspace::new(&model.device, config, plan);
    let parameters = model.fix(&trained.parameters);
    let losses = sequence_losses(&model, &plan, &mut workspace, &parameters, held_out, &all, || ())?;
    let total: i128 = losses.iter().sum();
    Ok(total as f64 / 4_294_967_296.0 / (all.len() * seq_len) as f64)
}
