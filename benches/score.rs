//! What scoring costs: the time of `score` for R updates beside that of the model alone, so in forward passes over the same
//! held-out data, by every rule of pay; on one thread.
//!
//! `cargo bench --bench score -- 5.3M 64` takes the shape 5.3M of `benches/shapes.json` and 64 held-out sequences.

#[path = "../tests/common/mod.rs"]
mod common;

use std::time::Instant;

use common::{World, beacon, talk};

const MOST: usize = 16;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let word = |i: usize, default: &str| words.get(i).map_or(default.to_owned(), Clone::clone);
    let (shape, sequences) = (word(0, "5.3M"), word(1, "64"));
    let shapes: serde_json::Value = serde_json::from_str(include_str!("shapes.json")).expect("it is JSON");
    let seq_len = shapes[&shape]["seq_len"].as_u64().expect("a shape of shapes.json");
    let mut config = shapes[&shape]["config"].clone();
    config["model_type"] = "llama".into();
    config["max_position_embeddings"] = seq_len.into();

    let world = World::empty();
    world.write("config.json", config.to_string().as_bytes());
    world.write("corpus.txt", &common::corpus());
    world.ok(&format!(
        "shard corpus.txt --tokenizer bytes --seq-len {seq_len} --shards {MOST} --val-shards 1 -o shards"
    ));
    world.ok("init --config config.json --seed 3 -o theta-0");
    let recipe = |rule: &str| {
        format!(
            "arithmetic = 1\nname = \"bench\"\n[model]\n[data]\ntokenizer = \"bytes\"\nseq_len = {seq_len}\n[inner]\n\
             steps = 1\nbatch = 1\nlr = 1e-3\n[codec]\nname = \"l402\"\n[score]\nsequences = {sequences}\n[pay]\n\
             round_msat = 1000000\nrule = \"{rule}\"\n"
        )
    };
    println!("{:<16}{:>8}{:>12}{:>10}{:>10}", "rule", "updates", "seconds", "passes", "R + 1");
    for (rule, counts) in [
        ("proportional", &[1, 2, 4, 8, 16][..]),
        ("power", &[4, 16]),
        ("rank", &[4, 16]),
        ("leave_one_out", &[4, 8]),
        ("shapley", &[2, 4]),
    ] {
        world.write("r.toml", recipe(rule).as_bytes());
        let score = |updates: &str| {
            let line = format!(
                "score --recipe r.toml --model theta-0 --round 0 --val shards/val-00000.safetensors --beacon {} \
                 --threads 1 {updates}",
                beacon("bench")
            );
            let start = Instant::now();
            let output = world.ok(&line);
            (start.elapsed().as_secs_f64(), talk(&output))
        };
        let mut updates = Vec::new();
        for worker in 0..*counts.last().expect("some") {
            let file = format!("{rule}-w{worker:02}.update");
            let train = format!(
                "train --recipe r.toml --model theta-0 --shard shards/train-{worker:05}.safetensors --round 0 \
                 --worker w{worker:02}"
            );
            world.pipe(&train, &format!("compress --recipe r.toml -o {file}"));
            updates.push(file);
        }
        for &count in counts {
            // One pass in the same minute, as the machine may be another one later.
            let (one, _) = score("");
            let (all, said) = score(&updates[..count].join(" "));
            println!("{rule:<16}{count:>8}{all:>12.2}{:>10.1}{:>10}", all / one, count + 1);
            said.lines().filter(|line| line.contains("forward passes")).for_each(|line| println!("    {line}"));
        }
    }
}
