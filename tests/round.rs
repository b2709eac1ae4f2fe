//! Honest rounds: every update replays to equality, and the bits depend on nothing but the inputs.

mod common;

use common::{FULL, Kind, WORKERS, World, records, talk};
use l402::artifact::{ArtifactKind, Digest, Meta, Recipe};
use l402::codec::{Feedback, Update, compress_tensors};
use l402::data::{BatchOrder, Shard, ShardInfo, Split, TOKENS, to_bytes};
use l402::engine::Engine;
use l402::fsio::Source;
use l402::model::{Decoder, Kept, Layout, Model, ModelConfig, Plan, initial_parameters};
use l402::optimizer::{Moments, RoundInput, outer_step, run_round};

/// Two honest rounds; everything counts, everything adds up.
fn two_rounds_are_exact(kind: Kind) {
    let world = World::new(kind);
    for n in 0..2 {
        world.play(n);
        let findings = records(&world.bytes(&format!("{n}.findings.jsonl")), "finding");
        assert_eq!(findings.len(), WORKERS.len());
        assert!(findings.iter().all(|f| f["finding"] == "exact" && f["steps"] == 3), "{findings:?}");
        let scores = world.bytes(&format!("{n}.scores.jsonl"));
        let round = &records(&scores, "round_score")[0];
        let scores = records(&scores, "score");
        assert!(scores.iter().all(|s| s["counts"] == true), "{scores:?}");
        let paid: u64 = scores.iter().map(|s| s["entitled_msat"].as_u64().unwrap()).sum();
        assert_eq!(paid + round["returned_msat"].as_u64().unwrap(), 1_000_000);
        assert!(paid > 0);
    }
    assert_ne!(world.bytes("theta-0/model.safetensors"), world.bytes("theta-1/model.safetensors"));
}

#[test]
fn an_honest_round_is_exact_when_moments_are_reset_and_updates_are_sparse() {
    two_rounds_are_exact(Kind { state: "reset", codec: "sparseloco", grad_groups: 1 });
}

#[test]
fn an_honest_round_is_exact_when_moments_are_carried_and_updates_are_sparse() {
    two_rounds_are_exact(FULL);
}

#[test]
fn an_honest_round_is_exact_when_moments_are_reset_and_updates_are_dense() {
    two_rounds_are_exact(Kind { state: "reset", codec: "dense", grad_groups: 2 });
}

#[test]
fn an_honest_round_is_exact_when_moments_are_carried_and_updates_are_dense() {
    two_rounds_are_exact(Kind { state: "carry", codec: "dense", grad_groups: 1 });
}

#[test]
fn an_honest_round_is_exact_by_l402() {
    two_rounds_are_exact(Kind { codec: "l402", ..FULL });
}

#[test]
fn threads_micro_batches_and_memory_change_no_byte() {
    for grad_groups in [1, 2] {
        let world = World::new(Kind { grad_groups, ..FULL });
        world.play(0);
        world.assign(1);
        let train = world.train(1, "ann");
        let whole = world.ok(&format!("{train} --state-out whole --threads 1")).stdout;
        let ways = [
            "--threads 2 --micro-batch 1",
            "--threads 3 --micro-batch 2",
            "--threads 4 --micro-batch 3",
            "--threads 5 --micro-batch 4",
            "--threads 6 --activation-memory 0",
            "--threads 7 --activation-memory 0 --micro-batch 2",
            "--threads 8 --activation-memory 0 --micro-batch 4",
        ];
        for way in ways {
            let again = world.ok(&format!("{train} {way} --state-out again --force -v"));
            let twice = talk(&again).contains("layers computed twice");
            assert_eq!(twice, way.contains("activation-memory"), "{way}");
            assert_eq!(again.stdout, whole, "{way}");
            assert_eq!(world.bytes("again"), world.bytes("whole"), "{way}");
        }
    }
}

#[test]
fn threads_change_no_byte_of_any_verb_and_a_replay_may_run_another_way_than_the_work() {
    let world = World::new(FULL);
    world.play(0);
    let updates = ["ann.0.update", "bob.0.update", "cy.0.update"];
    for threads in [1, 3, 8] {
        let ok = |args: String| world.ok(&format!("{args} --threads {threads}"));
        ok(format!("shard corpus.txt --tokenizer bytes --seq-len 16 --shards 4 --val-shards 1 -o shards-{threads}"));
        ok(format!("init --config config.json --seed 3 -o theta-0-{threads}"));
        ok(format!("{} -o theta-1-{threads}", world.aggregate(0, &updates)));
        assert_eq!(world.tree(&format!("shards-{threads}")), world.tree("shards"));
        assert_eq!(world.tree(&format!("theta-0-{threads}")), world.tree("theta-0"));
        assert_eq!(world.tree(&format!("theta-1-{threads}")), world.tree("theta-1"));
        assert_eq!(ok(world.score(0, &updates)).stdout, world.bytes("0.scores.jsonl"));
        let reversed = [updates[2], updates[1], updates[0]];
        assert_eq!(ok(world.score(0, &reversed)).stdout, world.bytes("0.scores.jsonl"));
        ok(format!("{} --micro-batch {} --activation-memory 0", world.replay(0, "ann", updates[0]), 1 + threads % 3));
    }
}

// ---- Whole rounds on every instruction set ----

/// A shard of the text, as `shard` would write it.
fn shard(seq_len: usize) -> Shard {
    let text = common::corpus();
    let (sequences, vocab_size) = (23, 257);
    let mut info = ShardInfo {
        tokenizer: "bytes".into(),
        vocab_size,
        seq_len,
        split: Split::Train,
        index: 0,
        of: 1,
        corpus: Digest::of(b"corpus"),
        sequences,
        trained: Default::default(),
    };
    let tokens: Vec<u32> = text[..sequences * (seq_len + 1)].iter().map(|b| u32::from(*b)).collect();
    let mut data = Vec::new();
    to_bytes(&tokens, vocab_size, &mut data);
    info.sequences = sequences;
    let mut writer = l402::artifact::Writer::new("shard", Vec::new(), info.header()).unwrap();
    writer.bytes(TOKENS, &data).unwrap();
    Shard::open(Source::bytes("shard", writer.finish().unwrap().0).unwrap()).unwrap()
}

/// Two rounds of one worker, with moments and error feedback carried on: the bytes of both updates and the bits of the
/// last model.
fn rounds(
    engine: Engine,
    recipe: &Recipe,
    config: &ModelConfig,
    micro_batch: Option<usize>,
) -> (Vec<Vec<u8>>, Vec<u32>) {
    let layout = Layout::new(config);
    let mut theta = initial_parameters(config, &layout, 11);
    let seq_len = recipe.data.seq_len;
    let model = Model::of(recipe, config.clone(), engine);
    let shard = shard(seq_len);
    let plan = Plan::of(recipe, config, micro_batch, 1 << 30);
    let several = micro_batch.is_some() || recipe.inner.grad_groups > 1;
    assert_eq!(plan.kept == Kept::All, recipe.arithmetic == 2 && several, "{plan:?}");
    let (mut moments, mut feedback) = (Moments::zero(&layout), None);
    let mut updates = Vec::new();
    for n in 0..2 {
        let order = BatchOrder::new(&Digest::of(&[n as u8]), shard.sequences());
        let input = RoundInput { recipe, model: &model, plan, shard: &shard, order: &order, round: n };
        let output = run_round(&input, theta.clone(), moments, |_| {}).unwrap();
        let delta: Vec<f32> = theta.iter().zip(&output.parameters).map(|(a, b)| a - b).collect();
        let mut meta = Meta::new(ArtifactKind::Delta);
        meta.set("run", recipe.digest()).set("round", n).set("worker", "ann");
        let tensors: Vec<_> =
            layout.tensors.iter().map(|t| (t.name.as_str(), &t.shape[..], &delta[t.range()])).collect();
        let done = compress_tensors(recipe, &meta, &tensors, feedback.take(), Vec::new()).unwrap();
        let bytes = done.update.to_bytes().unwrap().0;
        let open = |bytes: &[u8]| l402::artifact::Reader::open(Source::bytes("x", bytes.to_vec()).unwrap()).unwrap();
        let update = Update::open(recipe, open(&bytes)).unwrap();
        for tensor in &layout.tensors {
            let sent = vec![update.decode(&tensor.name).unwrap()];
            outer_step(model.engine, &tensor.name, &mut theta[tensor.range()], sent, 1.0).unwrap();
        }
        feedback = Some(Feedback::open(done.feedback_out, open(&done.state)).unwrap());
        moments = output.moments;
        updates.push(bytes);
    }
    (updates, theta.iter().map(|p| p.to_bits()).collect())
}

fn every_engine_agrees(config: &str, recipe: &str) {
    for arithmetic in [1, 2] {
        every_engine_agrees_by(arithmetic, config, recipe);
    }
}

fn every_engine_agrees_by(arithmetic: u32, config: &str, recipe: &str) {
    let (config, mut recipe) = (ModelConfig::parse(config).unwrap(), Recipe::parse(recipe).unwrap());
    recipe.arithmetic = arithmetic;
    let truth = rounds(Engine::definition(), &recipe, &config, None);
    for engine in Engine::available() {
        for micro_batch in [None, Some(1)] {
            let found = rounds(engine, &recipe, &config, micro_batch);
            assert!(
                found == truth,
                "arithmetic {arithmetic}, {engine:?}, a micro-batch of {micro_batch:?}: differs from the definitions"
            );
        }
    }
}

#[test]
fn whole_rounds_are_the_same_bits_on_every_instruction_set_and_by_the_definitions() {
    every_engine_agrees(common::CONFIG, &common::recipe(FULL, ""));
}

#[test]
fn odd_shapes_and_a_tied_head_are_the_same_bits_on_every_instruction_set_too() {
    let config = common::CONFIG
        .replace("\"hidden_size\": 32", "\"hidden_size\": 19")
        .replace("\"intermediate_size\": 64", "\"intermediate_size\": 37")
        .replace("\"head_dim\": 8", "\"head_dim\": 6")
        .replace("\"tie_word_embeddings\": false", "\"tie_word_embeddings\": true");
    let recipe = common::recipe(Kind { state: "carry", codec: "dense", grad_groups: 2 }, "");
    every_engine_agrees(&config, &recipe.replace("seq_len = 16", "seq_len = 13"));
}

// ---- Numbers that are not finite ----

/// What one round from these parameters fails with.
fn failure(config: &str, recipe: &str, change: impl Fn(&Decoder, &mut [f32])) -> String {
    let (config, recipe) = (ModelConfig::parse(config).unwrap(), Recipe::parse(recipe).unwrap());
    let decoder = Decoder::new(&config);
    let layout = &decoder.layout;
    let mut theta = initial_parameters(&config, layout, 11);
    change(&decoder, &mut theta);
    let seq_len = recipe.data.seq_len;
    let (model, shard) = (Model::of(&recipe, config.clone(), Engine::detect()), shard(seq_len));
    let plan = Plan::training(&config, seq_len, recipe.inner.batch, None, 1 << 30);
    let order = BatchOrder::new(&Digest::of(b"order"), shard.sequences());
    let input = RoundInput { recipe: &recipe, model: &model, plan, shard: &shard, order: &order, round: 5 };
    let result = run_round(&input, theta, Moments::zero(layout), |_| {});
    result.err().expect("the round fails").to_string()
}

#[test]
fn what_is_not_finite_ends_the_round_and_is_named_with_its_step() {
    let plain = common::recipe(FULL, "");
    // The inverse of a root mean square of nothing is 1e19 here, once more for every norm on the way back.
    let steep = common::CONFIG.replace("1e-05", "2e-38");
    let gradient = failure(&steep, &plain, |it, theta| it.layout.of_mut(it.embedding, theta).fill(0.0));
    assert!(gradient.contains("round 5 step 0"), "{gradient}");
    assert!(gradient.contains("the gradient of tensor model.embed_tokens.weight"), "{gradient}");

    let loss = failure(common::CONFIG, &plain, |it, theta| it.layout.of_mut(it.norm, theta).fill(1e38));
    assert!(loss.contains("round 5 step 0") && loss.contains("loss of sequence"), "{loss}");

    // Each step multiplies the matrices by 1 - lr * weight decay; the head alone does not feel it in the loss.
    let wild = plain.replace("lr = 5e-3", "lr = 1e3").replace("weight_decay = 0.1", "weight_decay = 1e3");
    let huge = |it: &Decoder, theta: &mut [f32]| it.layout.of_mut(it.layers[0].o.weight, theta).fill(1e35);
    let parameter = failure(common::CONFIG, &wild, huge);
    assert!(parameter.contains("round 5 step 0"), "{parameter}");
    assert!(parameter.contains("tensor model.layers.0.self_attn.o_proj.weight is not finite"), "{parameter}");
}
