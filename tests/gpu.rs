//! The same bits on a GPU: the binary as it is, its kernels under a driver that runs them on the CPU (`kernels/shim`), loaded the
//! way a real one is.

mod common;
#[path = "common/gpu.rs"]
mod gpu;

use std::path::Path;
use std::process::{Command, Output};

use gpu::driver;

use common::{FULL, Kind, WORKERS, World, models, recipe, records, sane, talk};
use l402::artifact::Recipe;
use l402::device::Pace;
use l402::model::{Layout, ModelConfig, Plan};

/// `l402 ARGS` on a machine with the driver, with these variables.
fn with_driver(world: &World, args: &str, variables: &[(&str, &str)]) -> Output {
    let output = under_driver(world, args, variables);
    sane(args, &output);
    output
}

/// The same, however it ends.
fn under_driver(world: &World, args: &str, variables: &[(&str, &str)]) -> Output {
    let mut command = world.command(args);
    command.env("LD_LIBRARY_PATH", driver()).envs(variables.iter().copied());
    command.output().unwrap()
}

#[track_caller]
fn ends(output: &Output, code: i32, says: &str) {
    assert_eq!(output.status.code(), Some(code), "{}", talk(output));
    assert!(talk(output).contains(says), "expected {says:?} in\n{}", talk(output));
}

/// An update by `train --update` of round 0 on the device, its states beside it.
fn work_on(world: &World, device: &str, who: &str) -> [Vec<u8>; 3] {
    let names = ["update", "feedback", "moments"].map(|kind| format!("{who}.{device}.{kind}"));
    let [update, feedback, moments] = &names;
    let carried = if world.carries { format!("--state-out {moments}") } else { String::new() };
    let args = format!("{} --update {update} --feedback {feedback} {carried} --device {device}", world.train(0, who));
    let memory = world.path("memory").display().to_string();
    ends(&with_driver(world, &args, &[("L402_SHIM_MEMORY", &memory)]), 0, "");
    names.each_ref().map(|name| if world.has(name) { world.bytes(name) } else { Vec::new() })
}

/// Bytes that a training in this world on one GPU is planned with, and those that it took at a time; what the pool gave back in between
/// is a mistake.
fn planned_and_taken(world: &World) -> (u64, u64) {
    let config = ModelConfig::parse(&String::from_utf8(world.bytes("config.json")).unwrap()).unwrap();
    let recipe = Recipe::parse(&String::from_utf8(world.bytes("r.toml")).unwrap()).unwrap();
    let tied = if config.tie_word_embeddings { config.vocab_size * config.hidden_size } else { 0 };
    let state = 4 * (4 * Layout::new(&config).total + tied) as u64;
    let plan = Plan::of_at(Pace::GPU, &recipe, &config, None, 3 << 30);
    let line = String::from_utf8(world.bytes("memory")).unwrap();
    let (taken, given_back) = line.trim().split_once(' ').unwrap();
    let taken: u64 = taken.parse().unwrap();
    assert!(given_back == "0" && taken > state, "{line}, of them {state} bytes of state");
    (state + plan.bytes(&config), taken)
}

#[test]
fn every_operator_of_a_gpu_gives_the_host_s_bits_in_whatever_order_its_threads_run() {
    let world = World::empty();
    for order in ["forward", "reversed", "shuffled:402"] {
        let output = with_driver(&world, "selftest --device cuda", &[("L402_SHIM_ORDER", order)]);
        ends(&output, 0, "selftest passed");
        let lines = String::from_utf8(output.stdout).unwrap();
        let on_gpu: Vec<&str> = lines.lines().filter(|line| line.starts_with("cuda:0")).collect();
        assert!(on_gpu.len() > 15 && on_gpu.iter().all(|line| line.ends_with(" equal")), "{order}: {lines}");
    }
}

#[test]
fn work_on_a_gpu_is_work_on_the_host_to_the_byte_and_each_replays_the_other() {
    for kind in [FULL, Kind { state: "reset", codec: "dense", grad_groups: 2 }] {
        let world = World::new(kind);
        world.assign(0);
        for who in WORKERS {
            assert_eq!(work_on(&world, "cuda", who), work_on(&world, "cpu", who), "{kind:?} {who}");
        }
        for (made, judge) in [("cuda", "cpu"), ("cpu", "cuda"), ("cuda", "cuda")] {
            let replay = world.replay(0, "ann", &format!("ann.{made}.update"));
            let more = "--micro-batch 3 --activation-memory 0";
            let output = with_driver(&world, &format!("{replay} {more} --device {judge}"), &[]);
            ends(&output, 0, "");
            assert_eq!(records(&output.stdout, "finding")[0]["finding"], "exact", "{made} by {judge}");
        }
    }
}

#[test]
fn groups_of_a_batch_on_several_gpus_make_one_gpu_s_bits() {
    let world = World::new(Kind { grad_groups: 4, ..FULL });
    world.assign(0);
    let alone = work_on(&world, "cpu", "ann");
    for gpus in ["cuda:0,cuda:1", "cuda:2,cuda:0,cuda:1"] {
        let variables = [("L402_SHIM_DEVICES", "3")];
        let train = format!("{} --update u --feedback f --state-out m --force --device {gpus}", world.train(0, "ann"));
        ends(&with_driver(&world, &train, &variables), 0, "");
        assert_eq!(["u", "f", "m"].map(|name| world.bytes(name)), alone, "{gpus}");
        let replay = world.replay(0, "ann", "ann.cpu.update");
        ends(&with_driver(&world, &format!("{replay} --device {gpus}"), &variables), 0, "");
    }
    let train = format!("{} -o delta --device", world.train(0, "ann"));
    world.expect(&format!("{train} cuda:0,cpu"), 2, "expected GPUs alone where there are several");
}

#[test]
fn scores_and_audits_of_a_gpu_are_the_host_s() {
    let world = World::new(FULL);
    world.play(0);
    let updates = WORKERS.map(|who| format!("{who}.0.update"));
    let score = world.score(0, &updates.each_ref().map(String::as_str));
    ends(&with_driver(&world, &format!("{score} -o gpu.jsonl --device cuda"), &[]), 0, "");
    assert_eq!(world.bytes("gpu.jsonl"), world.bytes("0.scores.jsonl"));
    let alone = "score --model theta-1 --val shards/val-00000.safetensors";
    let on_host = world.text(alone);
    let on_gpu = with_driver(&world, &format!("{alone} --device cuda"), &[]);
    assert_eq!(String::from_utf8(on_gpu.stdout).unwrap(), on_host);
}

#[test]
fn every_kind_of_model_trains_on_a_gpu_as_on_the_host() {
    for (name, config) in models::configs() {
        for arithmetic in [1, 2] {
            let world = World::new(FULL);
            world.write("config.json", config.as_bytes());
            let theta = world.text("init --config config.json --seed 3 -o theta-0 --force");
            let text = recipe(FULL, theta.trim());
            let (_, rest) = text.split_once('\n').unwrap();
            world.write("r.toml", format!("arithmetic = {arithmetic}\n{rest}").as_bytes());
            world.assign(0);
            let on_gpu = work_on(&world, "cuda", "ann");
            let (planned, taken) = planned_and_taken(&world);
            assert!(taken <= planned, "{name}, arithmetic {arithmetic}: planned {planned} bytes, took {taken}");
            assert_eq!(on_gpu, work_on(&world, "cpu", "ann"), "{name}, arithmetic {arithmetic}");
        }
    }
}

#[test]
fn a_plan_takes_little_more_of_a_gpu_than_the_training() {
    for arithmetic in [1, 2] {
        let world = World::new(FULL);
        let config = common::CONFIG.replace("\"hidden_size\": 32", "\"hidden_size\": 96");
        let config = config.replace("\"head_dim\": 8", "\"head_dim\": 24").replace("_size\": 64", "_size\": 256");
        world.write("config.json", config.as_bytes());
        let theta = world.text("init --config config.json --seed 3 -o theta-0 --force");
        world.ok("shard corpus.txt --tokenizer bytes --seq-len 64 --shards 4 --val-shards 1 -o shards --force");
        let text = recipe(FULL, theta.trim()).replace("seq_len = 16", "seq_len = 64").replace("steps = 3", "steps = 1");
        let (_, rest) = text.split_once('\n').unwrap();
        world.write("r.toml", format!("arithmetic = {arithmetic}\n{rest}").as_bytes());
        world.assign(0);
        work_on(&world, "cuda", "ann");
        let (planned, taken) = planned_and_taken(&world);
        assert!(
            taken <= planned && 10 * planned <= 11 * taken,
            "arithmetic {arithmetic}: {planned} bytes, took {taken}"
        );
    }
}

#[test]
fn copies_go_through_pinned_memory_of_any_size_and_without_it() {
    let world = World::new(FULL);
    world.assign(0);
    let alone = work_on(&world, "cpu", "ann");
    let train = format!("{} --update u --feedback f --state-out m --force --device cuda", world.train(0, "ann"));
    let made = |fault: &str| {
        let output = under_driver(&world, &train, &[("L402_SHIM_FAULT", fault)]);
        (output.status.code() == Some(0)).then(|| ["u", "f", "m"].map(|name| world.bytes(name)))
    };
    // Of 64 KiB each piece has several turns in every large copy.
    for fault in ["pinned:131072", "pinned:131071", "pinned:0"] {
        assert_eq!(made(fault).as_ref(), Some(&alone), "{fault}");
    }
    // Where nobody waits for a piece, what is in it is another copy's: this driver shows it, by wrong bytes or by tokens beyond the table.
    for fault in ["pinned:131072,unwaited:uploads", "pinned:131072,unwaited:downloads"] {
        assert_ne!(made(fault).as_ref(), Some(&alone), "{fault}");
    }
}

#[test]
fn what_keeps_a_gpu_from_serving_is_said_and_auto_takes_the_processor() {
    let world = World::new(FULL);
    world.assign(0);
    let train = format!("{} -o delta --device", world.train(0, "ann"));
    let none = world.run(&format!("{train} cuda"));
    let says = "cuda:0: no NVIDIA driver on this machine (libcuda.so is not found)\nl402: hint: --device cpu computes the same bits";
    ends(&none, 69, says);
    let faults = [
        ("no-device", "cuda", 69, "no CUDA-capable device"),
        ("driver:11080", "cuda", 69, "expected a driver for CUDA 12.0 or later, found one for 11.8"),
        ("driver:11080", "cuda", 69, "hint: update the NVIDIA driver; --device cpu computes the same bits"),
        ("capability:75", "cuda", 69, "expected compute capability 8.0 or later, found 7.5"),
        ("memory:100000", "cuda", 69, "out of memory"),
        (
            "memory:100000",
            "cuda",
            69,
            "hint: --device cpu uses the machine's memory; where there is --activation-memory, a smaller one needs less",
        ),
        ("lost:700", "cuda", 69, "unspecified launch failure"),
        ("lost:700", "cuda", 69, "hint: the same command goes on at its last checkpoint, or begins again"),
        ("flip:rms_norm", "cuda", 1, ": computes other bits than the processor for rms_norm"),
        (
            "flip:rms_norm",
            "cuda",
            1,
            "hint: `l402 selftest --device cuda:0` shows what differs; --device cpu computes the right ones",
        ),
        ("kernels", "cuda", 69, "cuda:0: kernels of adamw: a PTX JIT compilation failed (CUDA_ERROR_INVALID_PTX)"),
        ("kernels:rope", "cuda", 69, "cuda:0: kernels of rope: a PTX JIT compilation failed"),
        ("kernels:rope", "cuda", 69, "hint: --device cpu computes the same bits"),
        ("", "cuda:7", 69, "cuda:7: expected a GPU with this number, found 1"),
    ];
    for (fault, device, code, says) in faults {
        let output = with_driver(&world, &format!("{train} {device}"), &[("L402_SHIM_FAULT", fault)]);
        ends(&output, code, says);
        assert!(!world.has("delta"), "{fault} leaves something half-made");
    }
    // What the plan says will not fit is refused before anything is begun.
    let large = World::new(FULL);
    let config = common::CONFIG
        .replace("\"hidden_size\": 32", "\"hidden_size\": 512")
        .replace("\"head_dim\": 8", "\"head_dim\": 128");
    large.write("config.json", config.as_bytes());
    let theta = large.text("init --config config.json --seed 3 -o theta-0 --force");
    large.write("r.toml", recipe(FULL, theta.trim()).as_bytes());
    large.assign(0);
    let args = format!("{} -o delta --device cuda", large.train(0, "ann"));
    let output = with_driver(&large, &args, &[("L402_SHIM_FAULT", "memory:24000000")]);
    ends(&output, 69, " MiB of parameters, gradients and moments and what is computed, found ");
    ends(&output, 69, "hint: no plan takes less than ");
    ends(&output, 69, " MiB; --device cpu uses the machine's memory");
    let wide = format!("{args} --micro-batch 4 --activation-memory 2000");
    let output = with_driver(&large, &wide, &[("L402_SHIM_FAULT", "memory:34600000")]);
    ends(&output, 69, "hint: --micro-batch 1 --activation-memory 0 takes ");
    // And heads that there is no kernel for.
    let config = config.replace("\"head_dim\": 128", "\"head_dim\": 320");
    large.write("config.json", config.as_bytes());
    let theta = large.text("init --config config.json --seed 3 -o theta-0 --force");
    large.write("r.toml", recipe(FULL, theta.trim()).as_bytes());
    let scored = "score --model theta-0 --val shards/val-00000.safetensors --device cuda";
    ends(&with_driver(&large, scored, &[]), 69, ": expected heads of at most 256 elements, the model's have 320");
    ends(&with_driver(&large, scored, &[]), 69, "hint: --device cpu computes the same bits");

    world.ok(&format!("{} -o delta", world.train(0, "ann")));
    for fault in ["no-device", "driver:11080", "flip:rms_norm"] {
        let output = with_driver(&world, &format!("{train} auto --force"), &[("L402_SHIM_FAULT", fault)]);
        ends(&output, 0, "computes on the processor: ");
        assert_eq!(talk(&output).matches("computes on the processor").count(), 1);
    }
    let output = with_driver(&world, &format!("{train} auto --force"), &[]);
    ends(&output, 0, "computes on cuda:0");
}

#[test]
fn a_gpu_that_computes_other_bits_fails_its_selftest_by_name() {
    let world = World::empty();
    let output = with_driver(&world, "selftest --device cuda", &[("L402_SHIM_FAULT", "flip:rope")]);
    ends(&output, 1, " checks differ from the processor: nothing it makes can be verified");
    let lines = String::from_utf8(output.stdout).unwrap();
    let wrong: Vec<&str> = lines.lines().filter(|line| line.contains("expected") && line.contains("found")).collect();
    assert!(!wrong.is_empty() && wrong.iter().all(|line| line.contains(" rope")), "{lines}");
}

#[test]
fn the_check_that_a_gpu_s_owner_runs_compares_a_whole_round() {
    let world = World::empty();
    world.write("config.json", common::CONFIG.as_bytes());
    world.write("text", &common::corpus()[..20_000]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/gpu-check.sh");
    let mut command = Command::new("sh");
    command.arg(script).arg("check").current_dir(world.path("")).env("LD_LIBRARY_PATH", driver());
    command.env("L402", env!("CARGO_BIN_EXE_l402")).env("MODEL", world.path("config.json")).env("TEXT", "text");
    command.envs([("LENGTH", "16"), ("ROUND_STEPS", "2"), ("COMPARE", ""), ("SHAPES", "")]);
    let output = command.output().unwrap();
    ends(&output, 0, "are the processor's, to the bit");
    // What it times is timed here on the processor, for its script's sake.
    let timed = command.envs([("DEVICE", "cpu"), ("SHAPES", "5.3M"), ("STEPS", "2"), ("BATCH", "1")]).output().unwrap();
    ends(&timed, 0, "are the processor's, to the bit");
    let table = String::from_utf8(timed.stdout).unwrap();
    assert_eq!(table.matches("| 5.3M | l402, arithmetic ").count(), 3, "{table}");
    let output = command
        .envs([("DEVICE", "cuda:0"), ("SHAPES", "")])
        .env("L402_SHIM_FAULT", "flip:swiglu_backward")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", talk(&output));
}

#[test]
fn a_text_of_a_gpu_is_the_host_s_own() {
    let world = World::empty();
    // Of a kind that candle has not: our own forward pass on the host too.
    let (_, config) = models::configs().into_iter().find(|(name, _)| name.starts_with("smollm3")).unwrap();
    world.write("config.json", config.as_bytes());
    world.ok("init --config config.json --seed 3 -o model");
    let sample = "sample --model model --tokenizer bytes --prompt ROMEO: --max-tokens 12 --seed 4";
    let on_host = world.ok(sample).stdout;
    let on_gpu = with_driver(&world, &format!("{sample} --device cuda"), &[]);
    ends(&on_gpu, 0, "");
    assert_eq!(on_gpu.stdout, on_host);
}

#[test]
fn a_training_killed_on_a_gpu_goes_on_anywhere() {
    let world = World::new(FULL);
    world.assign(0);
    let whole = work_on(&world, "cpu", "ann");
    let train = format!("{} --update u --feedback f --state-out m --checkpoint kept --every 1", world.train(0, "ann"));
    // The selftest's launches, and those of the first step or two.
    for lost in (0..).map(|i| 400 + 40 * i) {
        let fault = format!("lost:{lost}");
        let output = with_driver(&world, &format!("{train} --device cuda"), &[("L402_SHIM_FAULT", &fault)]);
        if world.has("kept") && !world.listing("kept").iter().all(|name| name.starts_with('.')) {
            ends(&output, 69, "unspecified launch failure");
            break;
        }
        assert_eq!(output.status.code(), Some(69), "no checkpoint was ever written: {}", talk(&output));
    }
    ends(&world.run(&train), 0, "goes on after step");
    assert_eq!(["u", "f", "m"].map(|name| world.bytes(name)), whole);
}
