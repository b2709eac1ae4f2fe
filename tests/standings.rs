//! What workers carry from round to round by their scores: proof of training on their own data, a rating, and which of
//! their updates counted last.

mod common;

use std::fs;
use std::process::Output;

use common::{FULL, WORKERS, World, beacon, records, talk};

/// Rounds played by `recipes/round.mk` with a recipe whose scores look at the workers' own data, rate, and remember.
fn played(rounds: u64) -> World {
    let world = World::new(FULL);
    let recipe = String::from_utf8(world.bytes("r.toml")).unwrap();
    let score = "[score]\nown = 6\nown_z_milli = -100000\nrating = true\nmemory = 2\n";
    fs::remove_file(world.path("r.toml")).unwrap();
    world.write("run.toml", recipe.replace("[score]\n", score).as_bytes());
    world.begin_run();
    (0..rounds).for_each(|round| drop(play(&world, round)));
    world
}

fn play(world: &World, round: u64) -> Output {
    let output = make(world, round, "");
    assert!(output.status.success(), "{}", talk(&output));
    output
}

fn make(world: &World, round: u64, validators: &str) -> Output {
    world.make(round, "standings", &[&format!("VALIDATORS={validators}")]).output().unwrap()
}

fn standings(world: &World, round: u64) -> Vec<serde_json::Value> {
    records(&world.bytes(&format!("round-{round}/scores.jsonl")), "standing")
}

fn number(value: &serde_json::Value) -> f64 {
    value.as_str().unwrap().parse::<f64>().unwrap() / 4294967296.0
}

fn audit(world: &World) -> Output {
    world.run("audit .")
}

#[test]
fn standings_go_on_from_round_to_round_and_an_audit_recomputes_them() {
    let world = played(3);
    for round in 0..3 {
        let found = standings(&world, round);
        let who: Vec<&str> = found.iter().map(|s| s["worker"].as_str().unwrap()).collect();
        assert_eq!(who, WORKERS, "round {round}");
        assert!(found.iter().all(|s| s["own_rounds"] == round + 1 && s["round"] == round), "{found:?}");
    }
    // The ratings are OpenSkill's: somebody wins a first round of three unknowns with beta 7 and tau 0.1, by hand
    // mu + sigma^2 / c * (1 - 1/3), c^2 = 3 (sigma^2 + beta^2).
    let variance: f64 = (25.0f64 / 3.0).powi(2) + 0.01;
    let c = (3.0 * (variance + 49.0)).sqrt();
    let best = standings(&world, 0).iter().map(|s| number(&s["mu_q32"])).fold(0.0, f64::max);
    assert!((best - (25.0 + variance / c * 2.0 / 3.0)).abs() < 1e-6, "{best}");
    // Rounds say more and more.
    let widest = |round| standings(&world, round).iter().map(|s| number(&s["sigma_q32"])).fold(0.0, f64::max);
    assert!(widest(0) > widest(1) && widest(1) > widest(2));
    // The last two updates that counted are remembered, and that whoever comes first has nothing earlier in the first round
    // alone.
    let rounds = |round| -> Vec<Vec<u64>> {
        let rounds = |s: &serde_json::Value| {
            s["counted"].as_array().unwrap().iter().map(|c| c["round"].as_u64().unwrap()).collect()
        };
        standings(&world, round).iter().map(rounds).collect()
    };
    assert_eq!((rounds(0), rounds(2)), (vec![vec![0]; 3], vec![vec![1, 2]; 3]));
    let residuals = |round| -> Vec<u64> {
        let text = world.bytes(&format!("round-{round}/scores.jsonl"));
        records(&text, "score").iter().map(|s| s["signals"]["residual_ppm"].as_u64().unwrap()).collect()
    };
    assert!(residuals(0).contains(&1_000_000), "{:?}", residuals(0));
    assert!(residuals(1).iter().all(|ppm| *ppm < 1_000_000), "{:?}", residuals(1));
    // Every update was measured on the workers' own sequences too.
    let text = world.bytes("round-2/scores.jsonl");
    assert_eq!(records(&text, "round_score")[0]["own_sequences"], 18);
    assert!(records(&text, "score").iter().all(|s| s["signals"]["own_q32"].is_string()));
    let output = audit(&world);
    assert_eq!(output.status.code(), Some(0), "{}", talk(&output));

    // What is remembered must be there.
    let score = format!(
        "score --recipe run.toml --model theta-1 --val shards/val-00000.safetensors --beacon {} --assignments \
         round-1/assignments.jsonl --coordinator {} --shards shards --previous round-0/scores.jsonl round-1/ann.update",
        beacon("another"),
        world.coordinator
    );
    world.expect(&score, 66, ", which counted in round 0: not given");

    // A standing that was made better.
    let text = String::from_utf8(world.bytes("round-1/scores.jsonl")).unwrap();
    let own = standings(&world, 1)[0]["own_q32"].as_str().unwrap().to_owned();
    let better = text.replacen(&format!("\"own_q32\":\"{own}\",\"own_rounds\""), "\"own_q32\":\"1\",\"own_rounds\"", 1);
    assert_ne!(better, text);
    world.write("round-1/scores.jsonl", better.as_bytes());
    let output = audit(&world);
    assert_eq!(output.status.code(), Some(1), "{}", talk(&output));
    assert!(talk(&output).contains("round-1/scores.jsonl"), "{}", talk(&output));
}

#[test]
fn a_round_with_validators_is_scored_by_each_of_them_and_merged() {
    let world = World::new(FULL);
    let seats = ["one", "two", "three"].map(|who| {
        fs::create_dir_all(world.path(&format!("../world-private/{who}"))).unwrap();
        let key = world.text(&format!("key ../world-private/{who}/key"));
        format!("[[score.validators]]\nkey = \"{}\"\n", key.trim())
    });
    let recipe = String::from_utf8(world.bytes("r.toml")).unwrap();
    // A momentum, as TOML has it too.
    let recipe = recipe.replace("[outer]\n", "[outer]\n  momentum = 0.9 # decays\n") + &seats.concat();
    fs::remove_file(world.path("r.toml")).unwrap();
    world.write("run.toml", recipe.as_bytes());
    world.begin_run();
    // Nobody signs in another's place, and nothing is made up for whom there is no key.
    let output = make(&world, 0, "one four");
    assert!(
        !output.status.success() && talk(&output).contains("world-private/four: expected lightning-rpc"),
        "{}",
        talk(&output)
    );
    for round in 0..2 {
        let output = make(&world, round, "one two three");
        assert!(output.status.success(), "{}", talk(&output));
        let scores = world.bytes(&format!("round-{round}/scores.jsonl"));
        assert_eq!(records(&scores, "consensus")[0]["votes"].as_array().unwrap().len(), 3);
        assert!(records(&scores, "score").iter().all(|s| s["counts"] == true));
    }
    let output = audit(&world);
    assert_eq!(output.status.code(), Some(0), "{}", talk(&output));
    let score = format!(
        "score --recipe run.toml --model theta-0 --val shards/val-00000.safetensors --beacon {} --key ann.key \
         round-0/ann.update",
        beacon("standings 0")
    );
    world.expect(&score, 1, "is no validator of this recipe (score.validators)");
}

/// What a whole replay has recomputed is the assigned work: no signal refuses it, and without the finding it would.
#[test]
fn no_signal_refuses_what_was_recomputed_to_equality() {
    let world = World::new(FULL);
    let recipe = String::from_utf8(world.bytes("r.toml")).unwrap();
    let strict = "[score]\nown = 6\nown_z_milli = 100000\nmin_residual_ppm = 1000000\nmax_norm_ppm = 1000\n";
    fs::remove_file(world.path("r.toml")).unwrap();
    world.write("run.toml", recipe.replace("[score]\n", strict).as_bytes());
    world.begin_run();
    play(&world, 0);
    let counts = |text: &[u8]| records(text, "score").iter().filter(|s| s["counts"] == true).count();
    assert_eq!(counts(&world.bytes("round-0/scores.jsonl")), 3);
    let updates = WORKERS.map(|who| format!("round-0/{who}.update")).join(" ");
    let coordinator = fs::read_to_string(world.path("coordinator.pub")).unwrap();
    let output = world.ok(&format!(
        "score --recipe run.toml --model theta-0 --val shards/val-00000.safetensors --beacon {} --shards shards \
         --coordinator {} --assignments round-0/assignments.jsonl {updates}",
        beacon("standings 0"),
        coordinator.trim()
    ));
    assert_eq!(counts(&output.stdout), 0);
    assert!(talk(&output).contains("does not count: update of ann: "), "{}", talk(&output));
}

#[test]
fn a_round_that_forgets_what_its_workers_carry_is_refused() {
    let world = played(2);
    let updates = WORKERS.map(|who| format!("round-1/{who}.update")).join(" ");
    let coordinator = fs::read_to_string(world.path("coordinator.pub")).unwrap();
    let score = format!(
        "score --recipe run.toml --model theta-1 --val shards/val-00000.safetensors --beacon {} --findings \
         round-1/findings.jsonl --commitments round-1/commitments.jsonl --coordinator {} --assignments \
         round-1/assignments.jsonl",
        beacon("standings 1"),
        coordinator.trim()
    );
    world.expect(&format!("{score} --shards shards {updates}"), 2, "--previous names the scores of the round before");
    let none = "the recipe has workers carry their standing from round to round: none given";
    world.expect(&format!("{score} --shards shards {updates}"), 2, none);
    let unheld = format!("{score} --previous round-0/scores.jsonl --earlier . {updates}");
    world.expect(&unheld, 2, "hint: --assignments FILE --shards DIR --beacon HEX");
    world.expect(&unheld, 2, ": assignments, shards and a beacon must be given");
    let previous = "--previous round-0/scores.jsonl";
    world.expect(
        &format!("{score} --shards shards {previous} {updates}"),
        66,
        "--earlier names the run folder that has it",
    );
    world.expect(&format!("{score} --shards shards {previous} --earlier shards {updates}"), 66, "round-0/");
    world.copy_folder("round-0", "moved/round-0");
    world.write("moved/round-0/ann.update", &world.bytes("round-0/bob.update"));
    let moved = format!("{score} --shards shards {previous} --earlier moved {updates}");
    world.expect(&moved, 65, "moved/round-0/ann.update: expected update ");
    world.expect(&moved, 65, ", which counted, found ");
    let whole = format!("{score} --shards shards --earlier . --previous");
    assert_eq!(
        world.ok(&format!("{whole} round-0/scores.jsonl {updates}")).stdout,
        world.bytes("round-1/scores.jsonl")
    );
    // A commitment that the worker did not sign gives it no place before others, and another's file in its name no part in
    // the ratings.
    let list = String::from_utf8(world.bytes("round-1/commitments.jsonl")).unwrap();
    let cy = list.lines().find(|line| line.contains("\"type\":\"commitment\"") && line.contains("\"cy\"")).unwrap();
    let mut forged: serde_json::Value = serde_json::from_str(cy).unwrap();
    forged["commitment"] = "00".repeat(32).into();
    forged.as_object_mut().unwrap().remove("sig").unwrap();
    world.write("forged.jsonl", format!("{forged}\n{list}").as_bytes());
    let with = |list: &str, updates: &str| {
        let score = whole.replace("round-1/commitments.jsonl", list);
        world.ok(&format!("{score} round-0/scores.jsonl {updates}")).stdout
    };
    assert_eq!(with("forged.jsonl", &updates), world.bytes("round-1/scores.jsonl"));
    let two = "round-1/ann.update round-1/cy.update";
    let (absent, named) = (with("forged.jsonl", two), with("forged.jsonl", &format!("{two} round-0/bob.update")));
    assert_eq!(records(&absent, "standing"), records(&named, "standing"));
    assert_eq!(records(&named, "score").len(), 3);
    // The round's own scores are not those of the round before; nor is a standing that is no number.
    world.expect(&format!("{whole} round-1/scores.jsonl {updates}"), 1, "expected the scores of round 0");
    let text = String::from_utf8(world.bytes("round-0/scores.jsonl")).unwrap();
    world.write("bad.jsonl", text.replace("\"mu_q32\":\"1", "\"mu_q32\":\"x1").as_bytes());
    world.expect(&format!("{whole} bad.jsonl {updates}"), 65, "expected a rating");
    let standing = text.lines().find(|line| line.contains("\"type\":\"standing\"")).unwrap();
    let twice = format!("{standing}\n{text}");
    world.write("twice.jsonl", twice.as_bytes());
    world.expect(&format!("{whole} twice.jsonl {updates}"), 65, "a second one");
    // Another shard than the assigned one.
    world.copy_folder("shards", "other");
    world.write("other/train-00000.safetensors", &world.bytes("other/train-00001.safetensors"));
    world.write("other/train-00002.safetensors", &world.bytes("other/train-00001.safetensors"));
    world.write("other/train-00003.safetensors", &world.bytes("other/train-00001.safetensors"));
    world.expect(
        &format!("{score} --shards other --previous round-0/scores.jsonl --earlier . {updates}"),
        1,
        "expected the shard",
    );
}
