//! What verification costs beside training, on one thread: the leaves of a step, a sampled replay, and what it opens.
//!
//! `cargo bench --bench verify -- 30M 30 8` trains 30 steps of 8 sequences of the shape 30M of `benches/shapes.json`, keeps four
//! states, opens three segments and the drawn codec chunks of the second round, and replays them: each a process of its own.

#[path = "../tests/common/mod.rs"]
mod common;

use std::time::{Duration, Instant};

use common::{World, beacon, records};
use l402::model::{Layout, ModelConfig};
use l402::optimizer::{Moments, State, StepReport};
use l402::verify::{LeafLog, Segments};

/// The time that a command takes.
fn timed(world: &World, line: &str) -> (Duration, Vec<u8>) {
    let start = Instant::now();
    let output = world.ok(&format!("{line} --threads 1"));
    (start.elapsed(), output.stdout)
}

/// The leaf after a step: hashing parameters and both moments.
fn leaf(config: &ModelConfig) -> Duration {
    let layout = Layout::new(config);
    let moments = Moments::zero(&layout);
    let state = State { parameters: vec![0.5; layout.total], moments };
    let report = StepReport { step: 0, loss: 1.0, loss_q32: 1 << 32, gradient_norm: 1.0, sequences: vec![0; 8] };
    let mut times: Vec<Duration> = (0..7)
        .map(|_| {
            let start = Instant::now();
            LeafLog::new(&layout, Segments { steps: 1, every: 1 }).observe(&report, &state).expect("a leaf is due");
            start.elapsed()
        })
        .collect();
    times.sort();
    times[3]
}

fn main() {
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global().expect("the pool is built once");
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let word = |i: usize, default: &str| words.get(i).map_or(default.to_owned(), Clone::clone);
    let (shape, steps, batch) = (word(0, "30M"), word(1, "30"), word(2, "8"));
    let shapes: serde_json::Value = serde_json::from_str(include_str!("shapes.json")).expect("it is JSON");
    let seq_len = shapes[&shape]["seq_len"].as_u64().expect("a shape of shapes.json");
    let mut config = shapes[&shape]["config"].clone();
    config["model_type"] = "llama".into();
    config["max_position_embeddings"] = seq_len.into();
    let config = config.to_string();

    let world = World::empty();
    world.write("config.json", config.as_bytes());
    world.write("corpus.txt", &common::corpus());
    world.ok(&format!("shard corpus.txt --tokenizer bytes --seq-len {seq_len} --shards 2 --val-shards 1 -o shards"));
    world.ok("init --config config.json --seed 3 -o theta-0");
    world.write(
        "r.toml",
        format!(
            "arithmetic = 1\nname = \"bench\"\n[model]\n[data]\ntokenizer = \"bytes\"\nseq_len = {seq_len}\n\
             [inner]\nsteps = {steps}\nbatch = {batch}\nlr = 1e-4\n"
        )
        .as_bytes(),
    );
    let draw = |n| beacon(&format!("bench {n}"));
    world
        .ok(&format!("assign --recipe r.toml --round 0 --shards shards --workers ann --beacon {} -o a.jsonl", draw(1)));
    let text = String::from_utf8(world.bytes("a.jsonl")).expect("records are text");
    let shard = records(text.as_bytes(), "assignment")[0]["shard"].as_str().expect("a name").to_owned();

    let work =
        format!("--recipe r.toml --model theta-0 --shard shards/{shard} --round 0 --worker ann --assignments a.jsonl");
    let (train, _) = timed(&world, &format!("train {work} --leaves leaves --openings kept -o delta"));
    let (compress, _) = timed(&world, "compress --recipe r.toml delta --state-out feedback -o update");
    let drawn = format!("--segments 3 --beacon {}", draw(2));
    let (open, _) = timed(&world, &format!("open {work} --feedback feedback --openings kept {drawn} -o shown"));
    let replay = "replay --recipe r.toml --model theta-0 --assignments a.jsonl --shards shards --update update";
    let (sampled, finding) = timed(&world, &format!("{replay} {drawn} --openings shown"));
    let finding = &records(&finding, "finding")[0];
    let (sample, steps) = (&finding["sample"], steps.parse::<f64>().expect("a number of steps"));
    let leaf = leaf(&ModelConfig::parse(&config).expect("a configuration"));
    let ms = |time: Duration| 1000.0 * time.as_secs_f64();
    let step = ms(train) / steps;
    println!("shape {shape}, {steps} steps of {batch} sequences of {seq_len} tokens, one thread");
    println!("| what | time | beside training |");
    println!("|---|---:|---:|");
    println!("| train, with leaves and four states kept | {:.1} s | |", train.as_secs_f64());
    println!("| a leaf, of a step of {step:.0} ms | {:.0} ms | {:.2} % |", ms(leaf), 100.0 * ms(leaf) / step);
    println!("| compress | {:.1} s | {:.1} % |", compress.as_secs_f64(), 100.0 * ms(compress) / ms(train));
    println!("| open | {:.1} s | {:.1} % |", open.as_secs_f64(), 100.0 * ms(open) / ms(train));
    println!(
        "| replay of {} steps | {:.1} s | {:.1} % |",
        finding["steps"],
        sampled.as_secs_f64(),
        100.0 * ms(sampled) / ms(train)
    );
    println!(
        "opened: {} bytes; missed with {} ppm for a cheat in 1, 2, ... segments",
        sample["opened_bytes"], sample["missed_ppm"]
    );
}
