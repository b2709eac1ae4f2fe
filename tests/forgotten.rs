//! Who forgets to carry states on is told at once, and so is whoever reads what comes of it.

mod common;

use common::{FULL, Kind, World, beacon, records, talk};
use serde_json::Value;

/// What is said of a state that was not given.
const SAID: &str = "assumed to be zero";

/// Round 0 was played; in round 1 ann forgets both of her states, and so does whoever replays it.
fn forgetful() -> World {
    let world = World::new(FULL);
    world.play(0);
    world.assign(1);
    let train = format!("{} -o ann.delta", world.train(1, "ann").replace("--state ann.0.moments", ""));
    let output = world.expect(&train, 0, SAID);
    assert!(talk(&output).contains("inner optimiser"), "{}", talk(&output));
    let output = world.expect("compress --recipe r.toml ann.delta -o ann.1.update", 0, SAID);
    assert!(talk(&output).contains("error feedback"), "{}", talk(&output));
    world
}

fn replay(world: &World, update: &str, more: &str) -> String {
    world.replay_with(1, "ann", "r.toml", "theta-1", "1.assignments.jsonl", update) + more
}

fn finding(stdout: &[u8]) -> Value {
    records(stdout, "finding").remove(0)
}

#[test]
fn an_exact_finding_that_rests_on_a_forgotten_state_says_so_and_so_do_the_scores() {
    let world = forgetful();
    let output = world.expect(&replay(&world, "ann.1.update", ""), 0, SAID);
    let found = finding(&output.stdout);
    assert_eq!((&found["finding"], &found["state"]), (&"exact".into(), &"assumed_zero".into()));
    world.write("1.findings.jsonl", &output.stdout);
    let score = format!(
        "score --recipe r.toml --model theta-1 --val shards/val-00000.safetensors --beacon {} --findings \
         1.findings.jsonl ann.1.update",
        beacon("second 1")
    );
    let output = world.expect(&score, 0, SAID);
    assert_eq!(records(&output.stdout, "score")[0]["state"], "assumed_zero");
    // Who knows that there is none says it, and nothing is assumed.
    let known = world.ok(&replay(&world, "ann.1.update", " --from-zero"));
    assert!(finding(&known.stdout).get("state").is_none() && !talk(&known).contains(SAID), "{}", talk(&known));
    world.write("1.findings.jsonl", &known.stdout);
    let output = world.ok(&score);
    assert!(records(&output.stdout, "score")[0].get("state").is_none() && !talk(&output).contains(SAID));
}

#[test]
fn honest_work_that_is_replayed_without_its_states_is_a_mismatch_that_names_the_assumption() {
    let world = World::new(FULL);
    world.play(0);
    world.assign(1);
    world.work(1, "ann");
    let output = world.expect(&replay(&world, "ann.1.update", ""), 1, SAID);
    assert_eq!(finding(&output.stdout)["state"], "assumed_zero");
    // A whole replay cannot begin where the last update ended without what it left: that is no finding on the worker.
    let previous = " --previous ann.0.update";
    for given in ["", " --state ann.0.moments", " --state ann.0.feedback"] {
        let output = world.expect(&replay(&world, "ann.1.update", &format!("{previous}{given}")), 2, "--state");
        assert!(output.stdout.is_empty());
    }
    let output = world.ok(&world.replay(1, "ann", "ann.1.update"));
    assert!(finding(&output.stdout).get("state").is_none() && !talk(&output).contains(SAID), "{}", talk(&output));
}

#[test]
fn in_the_first_round_and_where_nothing_is_carried_nothing_is_said() {
    let world = World::new(Kind { state: "reset", ..FULL });
    let text = String::from_utf8(world.bytes("r.toml")).unwrap();
    world.write("r.toml", text.replace("top_k = 256", "top_k = 256\nfeedback = 0.0").as_bytes());
    let quiet = |args: &str| {
        let output = world.ok(args);
        assert!(!talk(&output).contains(SAID), "{}", talk(&output));
        output.stdout
    };
    for n in 0..2 {
        world.assign(n);
        quiet(&format!("{} -o ann.delta --force", world.train(n, "ann")));
        quiet(&format!("compress --recipe r.toml ann.delta -o ann.{n}.update"));
        let theta = format!("theta-{n}");
        let args = world.replay_with(
            n,
            "ann",
            "r.toml",
            &theta,
            &format!("{n}.assignments.jsonl"),
            &format!("ann.{n}.update"),
        );
        assert!(finding(&quiet(&args)).get("state").is_none());
        quiet(&format!("aggregate --recipe r.toml --model theta-{n} ann.{n}.update -o theta-{}", n + 1));
    }
}

/// Standings of a round in which nobody sent anything go on all the same.
#[test]
fn scores_without_the_standings_before_them_say_that_they_begin_anew() {
    let world = World::new(FULL);
    let text = String::from_utf8(world.bytes("r.toml")).unwrap();
    world.write("r.toml", text.replace("[score]\n", "[score]\nrating = true\n").as_bytes());
    world.play(0);
    let score = format!(
        "score --recipe r.toml --model theta-1 --val shards/val-00000.safetensors --beacon {}",
        beacon("second 1")
    );
    let output = world.expect(&score, 0, "--previous");
    assert_eq!(records(&output.stdout, "round_score")[0]["standings"], "assumed_none");
    let output = world.ok(&format!("{score} --previous 0.scores.jsonl"));
    assert!(records(&output.stdout, "round_score")[0].get("standings").is_none());
    assert_eq!(records(&output.stdout, "standing").len(), 3);
}
