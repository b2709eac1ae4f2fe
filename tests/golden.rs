//! The bits that every machine must arrive at. `just golden` remakes the files, under a new number of the arithmetic
//! contract: what was trained before does not replay after.

#[cfg(target_arch = "x86_64")]
#[path = "common/gpu.rs"]
mod gpu;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Parser;
use l402::artifact::{Digest, Recipe, Writer};
use l402::cli::Cli;
use l402::data::{BatchOrder, Shard, ShardInfo, Split, TOKENS, to_bytes};
use l402::engine::Engine;
use l402::fsio::Source;
use l402::model::{Model, ModelConfig, Plan, initial_parameters};
use l402::optimizer::{Moments, RoundInput, State, run_steps};
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
    // Where verbs that have a choice compute.
    let chosen = std::env::var("L402_TEST_DEVICE")
        .ok()
        .filter(|_| ["train ", "replay "].iter().any(|verb| line.starts_with(verb)));
    let words = std::iter::once("l402".to_owned()).chain(line.split_whitespace().map(word));
    let words = words.chain(chosen.into_iter().flat_map(|device| ["--device".to_owned(), device]));
    let cli = Cli::try_parse_from(words).unwrap();
    if let Err(error) = cli.run(&Ui::new(true, 0)) {
        panic!("l402 {line}: {error}");
    }
}

const RECIPE: &str = r#"
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

/// A recipe by an arithmetic, and what distinguishes its golden file.
fn by(arithmetic: u32, recipe: &str) -> (String, &'static str) {
    (format!("arithmetic = {arithmetic}{recipe}"), if arithmetic == 1 { "" } else { "-2" })
}

#[test]
fn a_whole_tiny_run_gives_the_golden_digests() {
    whole_run(1);
}

#[test]
fn a_whole_tiny_run_of_integers_gives_the_golden_digests() {
    whole_run(2);
}

/// The same tests in a process that finds a GPU's driver.
#[cfg(target_arch = "x86_64")]
#[test]
fn whole_tiny_runs_on_a_gpu_give_the_golden_digests() {
    let mut tests = std::process::Command::new(std::env::current_exe().unwrap());
    tests.arg("a_whole_tiny_run").env("L402_TEST_DEVICE", "cuda").env("LD_LIBRARY_PATH", gpu::driver());
    let output = tests.env_remove("L402_REGENERATE").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("2 passed"), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

fn whole_run(arithmetic: u32) {
    let (recipe, suffix) = by(arithmetic, RECIPE);
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path();
    let text = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata/text/tinyshakespeare.txt");
    let corpus = &std::fs::read(text).unwrap()[..20_000];
    let roster = ["ada", "bob"].map(|who| format!("{{\"type\":\"roster\",\"v\":1,\"worker\":\"{who}\"}}\n")).concat();
    std::fs::write(run.join("corpus.txt"), corpus).unwrap();
    std::fs::write(run.join("run.toml"), recipe).unwrap();
    std::fs::write(run.join("roster.jsonl"), roster).unwrap();
    std::fs::write(run.join("config.json"), CONFIG).unwrap();
    l402(run, "init --config @config.json --seed 7 -o @theta-0");
    l402(run, "shard @corpus.txt --tokenizer bytes --seq-len 24 --shards 3 --val-shards 1 -o @shards");
    let mut updates = Vec::new();
    for round in 0..2 {
        let at = |file: &str| format!("@round-{round}/{file}");
        std::fs::create_dir(run.join(format!("round-{round}"))).unwrap();
        let (beacon, list) = (format!("{round:064x}"), at("assignments.jsonl"));
        let assign = "assign --recipe @run.toml --shards @shards --workers ada,bob";
        l402(run, &format!("{assign} --round {round} --beacon {beacon} -o {list}"));
        let assignments = std::fs::read_to_string(run.join(&list[1..])).unwrap();
        for worker in ["ada", "bob"] {
            let own = assignments.lines().find(|line| line.contains(worker)).unwrap();
            let shard = own.split("\"shard\":\"").nth(1).unwrap().split('"').next().unwrap();
            let before = |flag: &str, kind: &str| match round {
                0 => String::new(),
                _ => format!("--{flag} @round-{}/{worker}.{kind}", round - 1),
            };
            let file = |kind: &str| at(&format!("{worker}.{kind}"));
            let common = format!("--recipe @run.toml --model @theta-{round} --assignments {list}");
            let (moments, feedback) = (before("state", "moments"), before("state", "feedback"));
            l402(
                run,
                &format!(
                    "train {common} --shard @shards/{shard} --round {round} --worker {worker} {moments} \
                     --state-out {} -o @delta --force",
                    file("moments")
                ),
            );
            l402(
                run,
                &format!(
                    "compress --recipe @run.toml {feedback} --state-out {} @delta -o {} --force",
                    file("feedback"),
                    file("update")
                ),
            );
            l402(
                run,
                &format!(
                    "replay {common} --shards @shards --worker {worker} --update {} {moments} {feedback} {} \
                     -o @{worker}-{round}.finding",
                    file("update"),
                    before("previous", "update")
                ),
            );
            updates.push(format!("round-{round}/{worker}.update"));
        }
        let both = format!("{} {}", at("ada.update"), at("bob.update"));
        let model = format!("--recipe @run.toml --model @theta-{round}");
        l402(run, &format!("score {model} --val @shards/val-00000.safetensors {both} -o {}", at("scores.jsonl")));
        l402(run, &format!("aggregate {model} {both} -o @theta-{}", round + 1));
    }
    // All of it again, the training too, on whatever processor this is.
    l402(run, "audit @. --replay all");
    let mut made = String::new();
    let files =
        ["theta-0/model.safetensors", "shards/shards.jsonl", "theta-2/model.safetensors", "round-1/scores.jsonl"];
    for name in files.into_iter().map(str::to_owned).chain(updates) {
        let digest = blake3::hash(&std::fs::read(run.join(&name)).unwrap());
        writeln!(made, "{name} {digest}").unwrap();
    }
    golden(&format!("round{suffix}.txt"), &made);
}

/// Enough steps for the bias corrections and the whole schedule; the large epsilon keeps tiny gradients tiny for a while.
const LONG: &str = r#"
name = "golden steps"
[model]
[data]
tokenizer = "bytes"
seq_len = 16
[inner]
steps = 192
batch = 4
grad_groups = 2
lr = 3e-2
eps = 1e-1
warmup = 48
schedule = "cosine"
decay_steps = 176
weight_decay = 0.1
"#;

const TINY: &str = r#"{"model_type": "llama", "hidden_size": 16, "intermediate_size": 40, "num_hidden_layers": 2,
"num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": 257, "tie_word_embeddings": false}"#;

/// The beginning of the committed text, as a shard.
fn letters(recipe: &Recipe) -> Shard {
    let text = include_bytes!("../testdata/text/tinyshakespeare.txt");
    let tokens: Vec<u32> = text[..200 * (recipe.data.seq_len + 1)].iter().map(|letter| u32::from(*letter)).collect();
    let info = ShardInfo {
        tokenizer: "bytes".into(),
        vocab_size: 257,
        seq_len: recipe.data.seq_len,
        split: Split::Train,
        index: 0,
        of: 1,
        corpus: Digest::of(b"golden"),
        sequences: 200,
        trained: Default::default(),
    };
    let mut data = Vec::new();
    to_bytes(&tokens, info.vocab_size, &mut data);
    let mut writer = Writer::new("shard", Vec::new(), info.header()).unwrap();
    writer.bytes(TOKENS, &data).unwrap();
    Source::bytes("shard", writer.finish().unwrap().0).and_then(Shard::open).unwrap()
}

fn digest(state: &State) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    for values in [&state.parameters, &state.moments.first, &state.moments.second] {
        for x in values {
            hasher.update(&x.to_le_bytes());
        }
    }
    hasher.finalize()
}

/// From matrices so small that every square of a gradient is subnormal, and most products are zero, to a model that learns.
#[test]
fn many_steps_from_the_smallest_gradients_on_give_the_golden_bits() {
    many_steps(1);
}

#[test]
fn many_steps_of_integers_give_the_golden_bits() {
    many_steps(2);
}

fn many_steps(arithmetic: u32) {
    let (recipe, suffix) = by(arithmetic, LONG);
    let recipe = Recipe::parse(&recipe).unwrap();
    let config = ModelConfig::parse(TINY).unwrap();
    let shard = letters(&recipe);
    let order = BatchOrder::new(&Digest::of(b"golden"), shard.sequences());
    for engine in Engine::available().into_iter().chain([Engine::definition()]) {
        let model = Model::of(&recipe, config.clone(), engine);
        let plan = Plan::of(&recipe, &config, Some(1), 1 << 30);
        let mut parameters = initial_parameters(&config, &model.layout, 402);
        for tensor in model.layout.tensors.iter().filter(|tensor| tensor.shape.len() == 2) {
            parameters[tensor.range()].iter_mut().for_each(|x| *x *= 1.0 / 2_361_183_241_434_822_606_848.0);
        }
        let input = RoundInput { recipe: &recipe, model: &model, plan, shard: &shard, order: &order, round: 0 };
        let start = State { parameters, moments: Moments::zero(&model.layout) };
        let (mut made, mut losses) = (String::new(), Vec::new());
        // Steps whose gradient's square is subnormal, and steps of which moments near 1e-20 stand beside zeros.
        let (mut tiny, mut beside) = (0, 0);
        run_steps(&input, start, 0..recipe.inner.steps, |report, state| {
            let state = state.state()?;
            let norm = report.gradient_norm;
            tiny += usize::from(norm > 0.0 && norm * norm < f32::MIN_POSITIVE);
            losses.push(report.loss);
            let near = |x: &&f32| x.abs() > 1e-22 && x.abs() < 1e-19;
            let zeros = state.moments.first.iter().filter(|x| x.to_bits() == 0).count();
            beside += usize::from(zeros > 1000 && state.moments.first.iter().filter(near).count() > 200);
            write!(made, "{} {} {:08x}", report.step, report.loss_q32, norm.to_bits()).unwrap();
            if report.step % 16 == 15 {
                write!(made, " {}", digest(state)).unwrap();
            }
            made.push('\n');
            Ok(())
        })
        .unwrap();
        // All of it was seen: the smallest gradients, and training.
        assert!(tiny >= 5 && beside >= 5, "{tiny} and {beside} steps");
        assert!(losses[recipe.inner.steps as usize - 1] < losses[0] - 1.0, "{losses:?}");
        golden(&format!("steps{suffix}.txt"), &made);
    }
}
