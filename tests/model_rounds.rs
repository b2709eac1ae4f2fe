//! Every kind of model plays rounds: trained, replayed to equality in other micro-batches and on other threads, scored, aggregated.

mod common;

use common::{FULL, WORKERS, World, models, recipe};
use serde_json::Value;

#[test]
fn every_kind_of_model_plays_a_round() {
    for (name, config) in models::configs() {
        let world = World::new(FULL);
        world.write("config.json", config.as_bytes());
        let theta = world.text("init --config config.json --seed 3 -o theta-0 --force");
        world.write("r.toml", recipe(FULL, theta.trim()).as_bytes());
        let completed: Value = serde_json::from_slice(&world.bytes("theta-0/config.json")).unwrap();
        let expected = match name.split('-').next().unwrap() {
            "gemma3" => "Gemma3ForCausalLM",
            "granite" => "GraniteForCausalLM",
            "llama" => "LlamaForCausalLM",
            "mistral" => "MistralForCausalLM",
            "olmo2" => "Olmo2ForCausalLM",
            "phi3" => "Phi3ForCausalLM",
            "qwen2" => "Qwen2ForCausalLM",
            "qwen3" => "Qwen3ForCausalLM",
            "smollm3" => "SmolLM3ForCausalLM",
            other => panic!("{other}"),
        };
        assert_eq!(completed["architectures"][0], expected);
        world.play(0);
        for who in WORKERS {
            let replay = world.replay(0, who, &format!("{who}.0.update"));
            world.ok(&format!("{replay} --threads 1 --activation-memory 0 --micro-batch 3"));
        }
        let scores = String::from_utf8(world.bytes("0.scores.jsonl")).unwrap();
        let counting = scores.lines().filter(|line| line.contains("\"counts\":true")).count();
        assert_eq!(counting, WORKERS.len(), "{name}: {scores}");
        assert!(world.has("theta-1/model.safetensors"), "{name}");
    }
}

#[test]
fn a_fused_projection_that_no_sum_may_run_over_is_refused() {
    let world = World::empty();
    let config = r#"{"model_type": "phi3", "hidden_size": 8, "intermediate_size": 600000, "num_hidden_layers": 1,
        "num_attention_heads": 2, "vocab_size": 257}"#;
    world.write("config.json", config.as_bytes());
    world.expect("init --config config.json --seed 1 -o out", 65, "2 * intermediate_size: expected at most 1048576");
    world.write("config.json", config.replace("phi3", "llama").as_bytes());
    world.ok("init --config config.json --seed 1 -o out");
}
