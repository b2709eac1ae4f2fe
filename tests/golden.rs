//! The bits that every machine must arrive at. `just golden` remakes the files, under a new number of the arithmetic
//! contract: what was trained before does not replay after.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Parser;
use l402::cli::Cli;
use l402::engine::Engine;
use l402::ui::Ui;
use l402::verify::check_machine;

fn golden(name: &str, made: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/golden").join(name);
    if std::env::var_os("L402_REGENERATE").is_some() {
        std::fs::write(&path, made).unwrap();
        return;
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), made, "{name}: other bits than the golden ones");
}

#[test]
fn every_operator_gives_the_golden_bits_on_every_instruction_set() {
    for engine in Engine::available().into_iter().chain([Engine::definition()]) {
        let mut made = String::new();
        for check in check_machine(engine).unwrap() {
            writeln!(made, "{} {}", check.name, check.digest).unwrap();
        }
        golden("operators.txt", &made);
    }
}

/// Runs a verb in this process: the same code on an emulated processor, where no other process can be started.
fn l402(folder: &Path, line: &str) {
    let word = |word: &str| match word.strip_prefix('@') {
        Some(name) => folder.join(name).display().to_string(),
        None => word.to_owned(),
    };
    let words = std::iter::once("l402".to_owned()).chain(line.split_whitespace().map(word));
    let cli = Cli::try_parse_from(words).unwrap();
    if let Err(error) = cli.run(&Ui::new(true, 0)) {
        panic!("l402 {line}: {error}");
    }
}

const RECIPE: &str = r#"
arithmetic = 1
name = "golden"
[model]
[data]
tokenizer = "bytes"
seq_len = 24
[inner]
steps = 3
batch = 4
grad_groups = 2
lr = 1e-2
warmup = 2
schedule = "cosine"
decay_steps = 6
weight_decay = 0.1
state = "carry"
[codec]
top_k = 512
"#;

const CONFIG: &str = r#"{"model_type": "llama", "hidden_size": 32, "intermediate_size": 72, "num_hidden_layers": 2,
"num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 257, "tie_word_embeddings": true}"#;

#[test]
fn a_whole_tiny_run_gives_the_golden_digests() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path();
    let text = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata/text/tinyshakespeare.txt");
    let corpus = &std::fs::read(text).unwrap()[..20_000];
    std::fs::write(run.join("corpus.txt"), corpus).unwrap();
    std::fs::write(run.join("recipe.toml"), RECIPE).unwrap();
    std::fs::write(run.join("config.json"), CONFIG).unwrap();
    l402(run, "init --config @config.json --seed 7 -o @theta-0");
    l402(run, "shard @corpus.txt --tokenizer bytes --seq-len 24 --shards 3 --val-shards 1 -o @shards");
    let mut updates = Vec::new();
    for round in 0..2 {
        let beacon = format!("{round:064x}");
        let assign = "assign --recipe @recipe.toml --shards @shards --workers ada,bob";
        l402(run, &format!("{assign} --round {round} --beacon {beacon} -o @assignments-{round}.jsonl"));
        let assignments = std::fs::read_to_string(run.join(format!("assignments-{round}.jsonl"))).unwrap();
        for worker in ["ada", "bob"] {
            let own = assignments.lines().find(|line| line.contains(worker)).unwrap();
            let shard = own.split("\"shard\":\"").nth(1).unwrap().split('"').next().unwrap();
            let before = |kind: &str| match round {
                0 => String::new(),
                _ => format!("--state @{worker}-0.{kind}"),
            };
            let common =
                format!("--recipe @recipe.toml --model @theta-{round} --assignments @assignments-{round}.jsonl");
            let (moments, feedback) = (before("moments"), before("feedback"));
            let previous = before("update").replace("--state", "--previous");
            l402(
                run,
                &format!(
                    "train {common} --shard @shards/{shard} --round {round} --worker {worker} {moments} \
                     --state-out @{worker}-{round}.moments -o @{worker}-{round}.delta"
                ),
            );
            l402(
                run,
                &format!(
                    "compress --recipe @recipe.toml {feedback} --state-out @{worker}-{round}.feedback \
                     @{worker}-{round}.delta -o @{worker}-{round}.update"
                ),
            );
            l402(
                run,
                &format!(
                    "replay {common} --shards @shards --worker {worker} --update @{worker}-{round}.update {moments} {feedback} {previous} \
                     -o @{worker}-{round}.finding"
                ),
            );
            updates.push(format!("{worker}-{round}.update"));
        }
        let both = format!("@ada-{round}.update @bob-{round}.update");
        let model = format!("--recipe @recipe.toml --model @theta-{round}");
        l402(run, &format!("score {model} --val @shards/val-00000.safetensors {both} -o @scores-{round}.jsonl"));
        l402(run, &format!("aggregate {model} {both} -o @theta-{}", round + 1));
    }
    let mut made = String::new();
    let files = ["theta-0/model.safetensors", "shards/shards.jsonl", "theta-2/model.safetensors", "scores-1.jsonl"];
    for name in files.into_iter().map(str::to_owned).chain(updates) {
        let digest = blake3::hash(&std::fs::read(run.join(&name)).unwrap());
        writeln!(made, "{name} {digest}").unwrap();
    }
    golden("round.txt", &made);
}
