//! Rounds of low-rank adapters: the model stays, and what is trained, sent, checked, scored and aggregated is small.

mod common;

use common::work::Bench;
use common::{FULL, WORKERS, World, beacon, recipe};
use serde_json::Value;

const ADAPTER: &str = "[adapter]\nrank = 4\nalpha = 8\ntargets = [\"q_proj\", \"v_proj\", \"down_proj\"]\n";

/// A world whose model is `base`, its first adapter theta-0.
fn world() -> World {
    let world = World::new(FULL);
    std::fs::rename(world.path("theta-0"), world.path("base")).unwrap();
    world.write("base/tokenizer_config.json", b"{}\n");
    world.write("r.toml", (recipe(FULL, "") + ADAPTER).as_bytes());
    let theta = world.text("init --recipe r.toml --model base --seed 5 -o theta-0");
    world.write("r.toml", (recipe(FULL, theta.trim()) + ADAPTER).as_bytes());
    world
}

/// The mean loss of a model on the held-out shard, in nats.
fn loss(world: &World, options: &str) -> f64 {
    let text = world.text(&format!("score {options} --val shards/val-00000.safetensors --json"));
    let record: Value = serde_json::from_str(&text).unwrap();
    record["loss"].as_f64().unwrap()
}

fn json(world: &World, file: &str) -> Value {
    serde_json::from_slice(&world.bytes(file)).unwrap()
}

#[test]
fn rounds_of_an_adapter_are_replayed_scored_and_merged() {
    let world = world();
    assert_eq!(world.listing("theta-0"), ["adapter_config.json", "adapter_model.safetensors", "tokenizer_config.json"]);
    let config = json(&world, "theta-0/adapter_config.json");
    assert_eq!(config["base_model_name_or_path"], "base");
    assert_eq!(config["target_modules"], serde_json::json!(["down_proj", "q_proj", "v_proj"]));
    assert_eq!((&config["r"], &config["lora_alpha"]), (&4.into(), &8.into()));
    // Until it is trained it changes nothing, to the bit.
    assert_eq!(loss(&world, "--model theta-0"), loss(&world, "--model base"));

    world.play(0);
    world.play(1);
    let scores = String::from_utf8(world.bytes("1.scores.jsonl")).unwrap();
    assert_eq!(scores.lines().filter(|line| line.contains("\"counts\":true")).count(), 3, "{scores}");
    for who in WORKERS {
        let replay = world.replay(1, who, &format!("{who}.1.update"));
        world.ok(&format!("{replay} --threads 1 --activation-memory 0 --micro-batch 3"));
    }
    // Names and shapes are PEFT's, and nothing of the model is in it.
    let page = world.text("inspect ann.1.update theta-2/adapter_model.safetensors");
    assert!(page.contains("base_model.model.model.layers.1.mlp.down_proj.lora_B.weight"), "{page}");
    assert!(!page.contains("embed_tokens"), "{page}");
    assert_eq!(world.bytes("theta-2/adapter_config.json"), world.bytes("theta-0/adapter_config.json"));
    assert_eq!(world.bytes("theta-2/tokenizer_config.json"), b"{}\n");

    let (before, after) = (loss(&world, "--model base"), loss(&world, "--model theta-2"));
    assert!(after < before, "{before} -> {after}");
    let digest = world.text("merge theta-2 -o merged");
    assert_eq!(world.listing("merged"), ["config.json", "model.safetensors", "tokenizer_config.json"]);
    assert_eq!(digest, world.text("inspect --field model merged"));
    let merged = loss(&world, "--model merged");
    assert!((merged / after - 1.0).abs() < 1e-5, "{merged} and {after}");
    // Another place for the model, named by the flag.
    std::fs::rename(world.path("base"), world.path("elsewhere")).unwrap();
    world.expect("score --model theta-2 --val shards/val-00000.safetensors", 66, "--base");
    assert_eq!(loss(&world, "--model theta-2 --base elsewhere"), after);
    world.ok("merge theta-2 --base elsewhere --dtype bfloat16 -o small");
    assert_eq!(json(&world, "small/config.json")["dtype"], "bfloat16");
}

#[test]
fn a_part_of_an_adapters_work_is_replayed_from_what_its_worker_shows() {
    let world = world();
    world.play(0);
    world.assign(1);
    world.work(1, "ann");
    let train = world.train(1, "ann");
    world.ok(&format!("{train} --leaves ann.leaves --openings kept --state-out again -o delta"));
    let drawn = beacon("drawn");
    let open = format!(
        "open --recipe r.toml --model theta-1 --shard shards/{} --round 1 --worker ann --assignments 1.assignments.jsonl \
         --coordinator {} --state ann.0.moments --state ann.0.feedback --feedback ann.1.feedback --openings kept \
         --beacon {drawn} --segments 2 --chunks 8 -o shown",
        world.shard_of(1, "ann"),
        world.coordinator
    );
    world.ok(&open);
    let replay = world.replay_with(1, "ann", "r.toml", "theta-1", "1.assignments.jsonl", "ann.1.update");
    let replay = format!("{replay} --previous ann.0.update --openings shown --beacon {drawn} --segments 2 --chunks 8");
    let finding = world.text(&replay);
    assert!(finding.contains("\"finding\":\"sampled\""), "{finding}");
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let world = world();
    world.ok("init --config config.json --seed 4 -o other");
    let train = "train --recipe r.toml --shard shards/train-00000.safetensors --round 0 --worker ann -o delta";
    world.expect(&format!("{train} --model base"), 1, "expected an adapter as the recipe's [adapter] says");
    world.expect(&format!("{train} --model theta-0 --base other"), 1, "that it is an adapter of, found");
    world.expect(&format!("{train} --model base --base other"), 2, "--base: base is a whole model");
    world.write("whole.toml", recipe(FULL, "").as_bytes());
    let whole = train.replace("r.toml", "whole.toml");
    world.expect(&format!("{whole} --model theta-0"), 1, "the recipe has no [adapter]");
    for (from, to) in [("rank = 4", "rank = 5"), ("alpha = 8", "alpha = 9"), (", \"down_proj\"", "")] {
        world.write("other.toml", (recipe(FULL, "") + &ADAPTER.replace(from, to)).as_bytes());
        let other = train.replace("r.toml", "other.toml");
        world.expect(&format!("{other} --model theta-0"), 1, "expected the recipe's adapter");
    }
    world.expect("init --recipe whole.toml --model base --seed 1 -o x", 65, "expected a table [adapter], found none");
    world.expect("init --recipe r.toml --model theta-0 --seed 1 -o x", 65, "expected a whole model, found an adapter");
    world.expect("init --recipe r.toml --model base --config config.json --seed 1 -o x", 2, "cannot be used with");
    world.expect("export theta-0 -o x", 65, "l402 merge");
    world.expect("merge base -o x", 65, "expected an adapter's folder, found a whole model");
    for (table, says) in [
        ("rank = 0\nalpha = 8", "adapter.rank: expected 1 to 4096, found 0"),
        ("rank = 4\nalpha = 0", "adapter.alpha: expected 0.000001"),
        ("rank = 4", "expected `alpha` in [adapter], found none"),
        ("rank = 4\nalpha = 8\ndropout = 0.1", "unknown field `dropout`"),
    ] {
        world.write("bad.toml", format!("{}[adapter]\n{table}\n", recipe(FULL, "")).as_bytes());
        world.expect("init --recipe bad.toml --model base --seed 1 -o x", 65, says);
    }
    let unknown = recipe(FULL, "") + "[adapter]\nrank = 4\nalpha = 8\ntargets = [\"lm_head\"]\n";
    world.write("bad.toml", unknown.as_bytes());
    world.expect("init --recipe bad.toml --model base --seed 1 -o x", 65, "targets: expected of down_proj, ");
    assert!(!world.has("x"));
    // Nothing is written over what it is made from.
    for onto in [
        "init --recipe r.toml --model base --seed 5 -o base --force",
        "merge theta-0 -o base --force",
        "merge theta-0 -o theta-0 --force",
        "export base -o ./base --force",
    ] {
        world.expect(onto, 2, "the same folder as an input");
    }
    world.ok("inspect theta-0");
}

#[test]
fn adapters_that_lie_are_refused_by_what_lies() {
    let world = world();
    let text = String::from_utf8(world.bytes("theta-0/adapter_config.json")).unwrap();
    let refuse = |name: &str, config: &str, weights: &[u8], code: i32, says: &str| {
        std::fs::create_dir_all(world.path(name)).unwrap();
        world.write(&format!("{name}/adapter_config.json"), config.as_bytes());
        world.write(&format!("{name}/adapter_model.safetensors"), weights);
        world.expect(&format!("inspect {name}"), code, says);
        world.expect(&format!("merge {name} -o out"), code, says);
        assert!(!world.has("out"));
    };
    let weights = world.bytes("theta-0/adapter_model.safetensors");
    // A length that lies: the header's names keep theirs.
    let renamed = |from: &str, to: &str| {
        assert_eq!(from.len(), to.len());
        let header = u64::from_le_bytes(weights[..8].try_into().unwrap()) as usize;
        let names = String::from_utf8(weights[8..8 + header].to_vec()).unwrap();
        assert!(names.contains(from), "{names}");
        [&weights[..8], names.replace(from, to).as_bytes(), &weights[8 + header..]].concat()
    };
    let foreign = renamed("base_model.model.", "base_model_model.");
    refuse("prefix", &text, &foreign, 65, "not part of an adapter of rank 4");
    refuse("shape", &text, &renamed("[4,32]", "[2,64]"), 65, "expected shape [4, 32], found [2, 64]");
    refuse("rank", &text.replace("\"r\": 4", "\"r\": 2"), &weights, 65, "expected shape [2, ");
    refuse("vast", &text.replace("\"r\": 4", "\"r\": 4096"), &weights, 65, "as adapter_config.json announces");
    refuse("scale", &text.replace("\"lora_alpha\": 8", "\"lora_alpha\": 9"), &weights, 65, "metadata l402.model");
    refuse("cut", &text, &weights[..weights.len() - 4], 65, "");
    refuse("empty", &text, b"", 65, "");
    refuse("kind", &text.replace("LORA", "IA3"), &weights, 65, "peft_type: expected \"LORA\"");
    refuse("named", &text.replace("\"base\"", "\"nowhere\""), &weights, 66, "found none at \"nowhere\"");
    refuse("self", &text.replace("\"base\"", "\"theta-0\""), &weights, 66, "found none at \"theta-0\"");
    let nan = [&weights[..weights.len() - 4], &f32::NAN.to_le_bytes()].concat();
    refuse("nan", &text, &nan, 65, "NaN");
}

#[test]
fn a_step_of_an_adapter_does_not_depend_on_threads_or_micro_batches() {
    let world = world();
    world.assign(0);
    let bench = Bench::new(&world, 0, "bob");
    assert!(bench.model.layout.total < bench.model.net.decoder.layout.total / 4);
    let train = world.train(0, "bob");
    world.ok(&format!("{train} -o one --threads 1 --micro-batch 1 --activation-memory 0"));
    world.ok(&format!("{train} -o two --threads 2 --micro-batch 4"));
    assert_eq!(world.bytes("one"), world.bytes("two"));
}
