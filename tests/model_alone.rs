//! `score` without a recipe: what a model alone says of a held-out shard.

mod common;

use common::{FULL, World};
use serde_json::Value;

/// A tokenizer of four words and spaces.
const WORDS: &str = r#"{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [
        {"id": 0, "content": "</s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}],
    "normalizer": null, "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": null,
    "decoder": {"type": "Fuse"},
    "model": {"type": "WordLevel", "vocab": {"</s>": 0, "one": 1, "three": 2, "<unk>": 3}, "unk_token": "<unk>"}}"#;

fn json(world: &World, args: &str) -> Value {
    serde_json::from_str(&world.text(args)).unwrap()
}

#[test]
fn it_is_the_loss_that_the_recipe_measures_in_nats_and_bits() {
    let world = World::new(FULL);
    let val = "shards/val-00000.safetensors";
    let alone = json(&world, &format!("score --model theta-0 --val {val} --json"));
    let scores = world.ok(&format!("score --recipe r.toml --model theta-0 --val {val}")).stdout;
    let scores = String::from_utf8(scores).unwrap();
    let round: Value = serde_json::from_str(scores.lines().find(|line| line.contains("before_q32")).unwrap()).unwrap();
    assert_eq!(alone["tokens"], round["tokens"]);
    if common::arithmetic() == 1 {
        assert_eq!(alone["sum_q32"], round["before_q32"]);
    }
    assert_eq!((&alone["model"], &alone["held_out"]), (&round["theta"], &round["held_out"]));
    let number = |field: &str| alone[field].as_f64().unwrap();
    assert!((number("perplexity").ln() - number("loss")).abs() < 1e-9);
    // Of bytes some tokens end documents, and stand for no byte.
    let bits = number("loss") / std::f64::consts::LN_2;
    assert!(number("bits_a_byte") >= bits && number("bits_a_byte") < 1.2 * bits, "{alone}");
    let said = world.text(&format!("score --model theta-0 --val {val}"));
    let expected = format!("loss {:.5} nats a token, perplexity {:.3}", number("loss"), number("perplexity"));
    assert!(said.starts_with(&expected) && said.contains(" bits a byte; "), "{said}");
    // On one thread it is the same to the last digit.
    assert_eq!(json(&world, &format!("score --model theta-0 --val {val} --json --threads 1")), alone);
}

#[test]
fn bits_a_byte_are_of_the_text_that_tokens_stand_for() {
    let world = World::new(FULL);
    world.write("words.json", WORDS.as_bytes());
    world.write("corpus.txt", "one three ".repeat(4000).as_bytes());
    world.ok("shard corpus.txt --tokenizer words.json --seq-len 16 --shards 1 --val-shards 1 -o words");
    let alone = json(&world, "score --model theta-0 --val words/val-00000.safetensors --json");
    // "one" and "three" in turn: four bytes a token, but for one that ends the document.
    let number = |field: &str| alone[field].as_f64().unwrap();
    let bits = number("loss") / std::f64::consts::LN_2 / number("bits_a_byte");
    assert!((3.8..=4.2).contains(&bits), "{bits} bytes a token in {alone}");
    // Without the tokenizer there are none, and it is said.
    world.copy_folder("words", "apart");
    std::fs::remove_file(world.path("apart/tokenizer.json")).unwrap();
    let output = world.ok("score --model theta-0 --val apart/val-00000.safetensors");
    assert!(!String::from_utf8_lossy(&output.stdout).contains("bits"), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("no bits a byte"), "{output:?}");
}

#[test]
fn what_does_not_belong_to_a_model_alone_is_refused() {
    let world = World::new(FULL);
    world.expect("score --model theta-0 --val shards/train-00000.safetensors", 1, "split: expected val, found train");
    world.expect("score --model theta-0 --val shards/val-00000.safetensors x.update", 2, "--recipe");
    world.expect("score --val shards/val-00000.safetensors", 2, "--model");
    world.expect("score --recipe r.toml --model theta-0 --val shards/val-00000.safetensors --json", 2, "--json");
}
