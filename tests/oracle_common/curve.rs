//! Training on the sequences that the scripts of `testdata/oracle` make too.

use l402::artifact::{Digest, Recipe, Writer};
use l402::data::{BatchOrder, Shard, ShardInfo, Split, TOKENS, to_bytes};
use l402::engine::Engine;
use l402::fsio::Source;
use l402::model::{ModelFolder, Plan};
use l402::optimizer::{Moments, RoundInput, run_round};

/// The tokens that the scripts' `batch` makes, as a shard.
pub fn batch(step: u64, recipe: &Recipe, vocabulary: u64) -> Shard {
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
        trained: Default::default(),
    };
    let mut data = Vec::new();
    to_bytes(&tokens, info.vocab_size, &mut data);
    let mut writer = Writer::new("shard", Vec::new(), info.header()).unwrap();
    writer.bytes(TOKENS, &data).unwrap();
    Shard::open(Source::bytes("shard", writer.finish().unwrap().0).unwrap()).unwrap()
}

/// Losses and gradient norms of so many steps. A round is one step here, so that every step has a shard, and with it a batch, of
/// its own.
pub fn train(start: &ModelFolder, recipe: &Recipe, steps: u64) -> Vec<(f64, f64)> {
    let model = start.model_of(recipe, Engine::detect()).unwrap();
    let plan = Plan::training(&model.config, recipe.data.seq_len, recipe.inner.batch, Some(3), 0);
    let (mut parameters, mut moments) = (start.parameters.to_vec().unwrap(), Moments::zero(&start.layout));
    let mut curve = Vec::new();
    for step in 0..steps {
        let shard = batch(step, recipe, model.config.vocab_size as u64);
        let order = BatchOrder::new(&Digest::of(b"oracle"), shard.sequences());
        let input = RoundInput { recipe, model: &model, plan, shard: &shard, order: &order, round: step };
        let mut norm = f64::NAN;
        let output = run_round(&input, parameters, moments, |report| norm = report.gradient_norm.into()).unwrap();
        curve.push((output.losses[0], norm));
        (parameters, moments) = (output.parameters, output.moments);
    }
    curve
}
