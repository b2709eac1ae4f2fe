//! A run begins: its folder, its parties, its recipe, its beacons.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use common::{CONFIG, World, corpus, talk};

const KEY: &str = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";

/// A folder with a text and a configuration.
fn empty() -> World {
    let world = World::empty();
    world.write("text.txt", &corpus()[..24_000]);
    world.write("config.json", CONFIG.as_bytes());
    world
}

const NEW: &str = "new run --config config.json --seed 3 --text text.txt --seq-len 16 --workers ann,bob,cy";

fn mode(world: &World, name: &str) -> u32 {
    fs::metadata(world.path(name)).unwrap().permissions().mode() & 0o777
}

fn read(world: &World, name: &str) -> String {
    String::from_utf8(world.bytes(name)).unwrap()
}

#[test]
fn a_run_begins_as_its_layout_has_it_and_a_round_can_be_played_in_it() {
    let world = empty();
    let output = world.ok(NEW);
    let run = String::from_utf8(output.stdout.clone()).unwrap();
    let listing = ["ann.pub", "bob.pub", "coordinator.pub", "cy.pub", "roster.jsonl", "run.toml", "shards", "theta-0"];
    assert_eq!(world.listing("run"), listing);
    assert_eq!(world.listing("run/theta-0"), ["config.json", "model.safetensors"]);
    assert_eq!(world.listing("run-private"), ["ann", "bob", "coordinator", "cy"]);
    for party in ["ann", "bob", "coordinator", "cy"] {
        assert_eq!(world.listing(&format!("run-private/{party}")), ["key"]);
        assert_eq!(mode(&world, &format!("run-private/{party}/key")), 0o600);
        assert_eq!(mode(&world, &format!("run-private/{party}")), 0o700);
        let key = world.text(&format!("key run-private/{party}/key"));
        assert_eq!(read(&world, &format!("run/{party}.pub")), key);
        if party != "coordinator" {
            let line = format!("{{\"key\":\"{}\",\"type\":\"roster\",\"v\":1,\"worker\":\"{party}\"}}\n", key.trim());
            assert!(read(&world, "run/roster.jsonl").contains(&line));
        }
    }
    assert_eq!(mode(&world, "run-private"), 0o700);
    assert!(world.listing(".").iter().all(|name| !name.contains(".l402-tmp.")), "{:?}", world.listing("."));
    // The recipe is commented, names what was made, and is the run that was said.
    assert_eq!(world.text("inspect --field run run/run.toml"), run);
    assert_eq!(
        world.text("inspect --field model.theta_0 run/run.toml"),
        world.text("inspect --field model run/theta-0")
    );
    assert_eq!(world.text("inspect --field data.seq_len run/run.toml"), "16\n");
    assert_eq!(world.text("inspect --field data.tokenizer run/run.toml"), "bytes\n");
    assert!(read(&world, "run/run.toml").contains("edit it before the first"));
    world.ok("recipe check run/run.toml");
    assert!(talk(&output).contains("l402 assign 0"), "{}", talk(&output));

    // And edited it carries a round.
    let short = read(&world, "run/run.toml").replace("steps = 15", "steps = 2").replace("batch = 8", "batch = 2");
    world.write("run/run.toml", short.as_bytes());
    world.ok("beacon random -o run/round-0/beacon-a");
    world.ok(&format!(
        "assign --recipe run/run.toml --round 0 --shards run/shards --workers run/roster.jsonl --beacon {} \
         --key run-private/coordinator/key -o run/round-0/assignments.jsonl",
        read(&world, "run/round-0/beacon-a").trim()
    ));
    let shard = world.text("inspect --field shard --where worker=ann run/round-0/assignments.jsonl");
    world.ok(&format!(
        "train --recipe run/run.toml --model run/theta-0 --shard run/shards/{} --round 0 --worker ann --assignments \
         run/round-0/assignments.jsonl --coordinator {} --state-out ann.moments -o ann.delta",
        shard.trim(),
        read(&world, "run/coordinator.pub").trim()
    ));
    world.ok(&format!("audit run --coordinator {}", read(&world, "run/coordinator.pub").trim()));
}

#[test]
fn what_is_there_stays_and_what_is_wrong_leaves_nothing() {
    let world = empty();
    world.ok(NEW);
    let truth = read(&world, "run/roster.jsonl");
    world.expect(NEW, 73, "run: exists");
    assert_eq!(read(&world, "run/roster.jsonl"), truth);
    // Secrets outlive the folder: the same parties have the same keys.
    fs::remove_dir_all(world.path("run")).unwrap();
    world.ok(NEW);
    assert_eq!(read(&world, "run/roster.jsonl"), truth);

    for (args, code, says) in [
        (NEW.replace("ann,bob,cy", "ann,ann"), 2, "ann: listed twice"),
        (NEW.replace("ann,bob,cy", "coordinator"), 2, "coordinator"),
        (NEW.replace("ann,bob,cy", "ann,bob=nobody"), 2, "worker bob"),
        (NEW.replace("ann,bob,cy", "ann,bob=nobody.pub"), 66, "nobody.pub"),
        (NEW.replace("--text text.txt", "--text gone.txt"), 66, "gone.txt"),
        (NEW.replace("config.json", "text.txt"), 65, "text.txt"),
        (NEW.replace("16", "16 --recipe text.txt"), 65, "text.txt"),
        (NEW.replace("16", "16 --shards 10000"), 65, "expected at least a sequence"),
        (NEW.replace("--config config.json", ""), 2, "--model"),
        (NEW.replace("new run", "new /"), 2, "expected the name of a folder"),
    ] {
        let args = args.replace("new run", "new other");
        world.expect(&args, code, says);
        assert!(!world.has("other"), "{args}");
        assert!(!world.has("other-private"), "{args}");
        assert!(world.listing(".").iter().all(|name| !name.contains(".l402-tmp.")), "{args}: {:?}", world.listing("."));
    }
}

#[test]
fn keys_that_are_named_are_used_and_no_secret_is_made_for_them() {
    let world = empty();
    world.write("cy.pub", format!("{KEY}\n").as_bytes());
    world.ok(&format!("{} --coordinator {KEY}", NEW.replace("ann,bob,cy", &format!("cy=cy.pub,ann,bob={KEY}"))));
    assert_eq!(world.listing("run-private"), ["ann"]);
    // In the order in which they were named.
    let workers = world.text("inspect --field worker run/roster.jsonl");
    assert_eq!(workers, "cy\nann\nbob\n");
    for party in ["cy", "bob", "coordinator"] {
        assert_eq!(read(&world, &format!("run/{party}.pub")), format!("{KEY}\n"));
    }
}

#[test]
fn a_model_that_is_there_is_taken_with_its_tokenizer_and_an_adapter_begins_beside_it() {
    let world = empty();
    world.ok("init --config config.json --seed 5 -o model");
    world.write("model/tokenizer_config.json", b"{}");
    let own = world.text("inspect --field model model");
    let from = NEW.replace("--config config.json --seed 3", "--model model --tokenizer bytes");
    world.ok(&from);
    assert_eq!(world.text("inspect --field model.theta_0 run/run.toml"), own);
    assert_eq!(world.listing("run/theta-0"), ["config.json", "model.safetensors", "tokenizer_config.json"]);
    assert_eq!(world.text("inspect --field inner.lr run/run.toml"), "0.00002\n");
    world.expect(&from.replace("--tokenizer bytes", "").replace("new run", "new b"), 66, "tokenizer.json");

    let lora = fs::read_to_string(format!("{}/recipes/lora.toml", env!("CARGO_MANIFEST_DIR"))).unwrap();
    world.write("lora.toml", lora.as_bytes());
    world.ok(&format!("{} --recipe lora.toml", from.replace("new run", "new small")));
    assert!(world.has("small/base/model.safetensors"));
    assert!(world.has("small/theta-0/adapter_model.safetensors"));
    // A folder that has moved finds its base.
    fs::rename(world.path("small"), world.path("moved")).unwrap();
    let theta = world.text("inspect --field model moved/theta-0");
    assert_eq!(world.text("inspect --field model.theta_0 moved/run.toml"), theta);
    // Comments of the template are there still.
    assert!(read(&world, "moved/run.toml").contains("ten times what all weights take"));
    // Longer sequences than the model is made for are refused before there is a run.
    let long = NEW.replace("new run", "new long").replace("--seq-len 16", "--seq-len 128");
    world.expect(&long, 1, "the sequences have 128 tokens, and the model is made for 64 (max_position_embeddings)");
    assert!(!world.has("long") && !world.has("long-private"));
    // What a round of another run has made is no first model.
    let tokens = world.expect(&format!("{NEW} --tokenizer text.txt").replace("new run", "new c"), 65, "text.txt");
    assert!(tokens.stdout.is_empty());
}

#[test]
fn a_beginning_that_is_killed_leaves_no_folder_and_the_next_one_sweeps() {
    let world = empty();
    let big = CONFIG
        .replace("\"hidden_size\": 32", "\"hidden_size\": 512")
        .replace("\"intermediate_size\": 64", "\"intermediate_size\": 4096");
    world.write("big.json", big.as_bytes());
    let args = NEW.replace("config.json", "big.json").replace("new run", "new big");
    let mut child = world.command(&args).spawn().unwrap();
    let building = || world.listing(".").iter().any(|name| name.starts_with(".big.l402-tmp."));
    let begun = Instant::now();
    while !building() && child.try_wait().unwrap().is_none() && begun.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!world.has("big"));
    world.ok(&args);
    assert!(!building(), "{:?}", world.listing("."));
    assert!(world.has("big/run.toml"));
}

#[test]
fn a_roster_keeps_the_order_and_a_secret_is_never_shown() {
    let world = World::empty();
    world.expect("roster ann judge", 2, "judge: the name of a party of its own");
    world.expect("roster ann bob ann.commitment", 2, "worker ann.commitment: begins as ann does");
    let public = world.text("key ann.key");
    world.write("ann.pub", public.as_bytes());
    let roster = world.text(&format!("roster bob={KEY} ann=ann.pub cy"));
    let expected = format!(
        "{{\"key\":\"{KEY}\",\"type\":\"roster\",\"v\":1,\"worker\":\"bob\"}}\n\
         {{\"key\":\"{}\",\"type\":\"roster\",\"v\":1,\"worker\":\"ann\"}}\n\
         {{\"type\":\"roster\",\"v\":1,\"worker\":\"cy\"}}\n",
        public.trim()
    );
    assert_eq!(roster, expected);
    world.ok("roster ann cy -o r.jsonl");
    world.expect("roster ann cy -o r.jsonl", 0, "up to date");
    world.expect("roster cy ann -o r.jsonl", 73, "r.jsonl");
    world.expect("roster ann ann", 2, "listed twice");
    world.expect("roster Ann", 2, "Ann");
    world.expect("roster ann=12", 2, "66 hex digits");
    world.expect("roster ann=gone.pub", 66, "gone.pub");
    let secret = String::from_utf8(world.bytes("ann.key")).unwrap();
    let refused = world.expect("roster ann=ann.key", 65, "66 hex digits");
    assert!(!talk(&refused).contains(secret.trim()));
}

#[test]
fn a_beacon_that_is_there_is_never_another() {
    let world = World::empty();
    let (one, two) = (common::beacon("one"), common::beacon("two"));
    assert_eq!(world.text(&format!("beacon {one}")), format!("{one}\n"));
    assert_ne!(world.text("beacon random"), world.text("beacon random"));
    world.ok("beacon random -o round-0/beacon-a");
    let drawn = world.bytes("round-0/beacon-a");
    assert_eq!(drawn.len(), 65);
    world.expect("beacon random -o round-0/beacon-a", 0, "up to date");
    world.expect(&format!("beacon {} -o round-0/beacon-a", String::from_utf8_lossy(&drawn).trim()), 0, "up to date");
    world.expect(&format!("beacon {two} -o round-0/beacon-a"), 73, "expected");
    assert_eq!(world.bytes("round-0/beacon-a"), drawn);
    world.write("rubbish", b"no beacon\n");
    world.expect("beacon random -o rubbish", 65, "rubbish");
    world.expect(
        &format!("beacon {}", one.to_uppercase()),
        2,
        "expected `a`, `b`, `random` or 64 lowercase hex digits",
    );
}

#[test]
fn everything_that_is_wrong_with_recipes_is_said_by_file_and_line() {
    let world = empty();
    world.ok(NEW);
    let good = read(&world, "run/run.toml");
    world.write("good.toml", good.as_bytes());
    world.expect("recipe check good.toml", 0, "good.toml: a recipe, run ");
    let bad = good
        .replace("steps = 15", "stepz = 15")
        .replace("warmup = 20", "warmup = \"x\"")
        .replace("top_k = 512", "top_k = 0");
    world.write("bad.toml", bad.as_bytes());
    let output = world.expect("recipe check good.toml bad.toml", 65, "l402: 4 errors in 1 file\n");
    let said = talk(&output);
    let line = |part: &str| bad.lines().position(|line| line.contains(part)).unwrap() + 1;
    for expected in [
        format!("bad.toml: line {}: inner.stepz: expected a field of recipes, found an unknown one", line("stepz")),
        "hint: the nearest field is inner.steps".into(),
        format!("bad.toml: line {}: inner.warmup: expected a whole number, found \"x\"", line("warmup")),
        format!("bad.toml: line {}: codec.top_k: expected 1 to 4096, found 0", line("top_k")),
        "bad.toml: inner.steps: expected a value, found none".into(),
    ] {
        assert!(said.contains(&expected), "{expected} in\n{said}");
    }
    assert!(output.stdout.is_empty());
    world.expect("recipe check gone.toml good.toml", 66, "gone.toml");
    world.expect("recipe check gone.toml bad.toml", 65, "gone.toml");

    // What is shown is the same run, defaults spelled out and marked.
    let shown = world.text("recipe show good.toml");
    world.write("shown.toml", shown.as_bytes());
    assert_eq!(world.text("inspect --field run shown.toml"), world.text("inspect --field run good.toml"));
    assert!(shown.contains("beta1 = 0.9  # default\n") && shown.contains("\nbatch = 8\n"), "{shown}");
    let json: serde_json::Value = serde_json::from_str(&world.text("recipe show --json good.toml")).unwrap();
    assert_eq!(json["recipe"]["inner"]["batch"], 8);
    let defaults: Vec<&str> = json["defaults"].as_array().unwrap().iter().map(|d| d.as_str().unwrap()).collect();
    assert!(defaults.contains(&"inner.beta1") && !defaults.contains(&"inner.batch"), "{defaults:?}");
    world.expect("recipe show bad.toml", 65, "bad.toml");

    assert!(world.text("recipe diff good.toml shown.toml").starts_with("run: the same, "));
    world.write("other.toml", good.replace("batch = 8", "batch = 4").as_bytes());
    let differs = world.expect("recipe diff good.toml other.toml", 1, "they differ in 1 field");
    let text = String::from_utf8(differs.stdout).unwrap();
    assert!(text.starts_with("inner.batch: 8 | 4\nrun: "), "{text}");
    let json = world.expect("recipe diff --json good.toml other.toml", 1, "").stdout;
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!((&json["differences"][0]["field"], &json["same"]), (&"inner.batch".into(), &false.into()));
}
