//! From round to round: the outer step and its momentum, and an audit that was stopped.

use std::fs;

use crate::common::{FULL, WORKERS, World, beacon, draw, talk};
use crate::folder::{audit, equal, flips, names, play, public};
use crate::hand::Hand;

#[test]
fn an_audit_that_was_stopped_goes_on_and_finds_what_was_altered_since() {
    let hand = Hand::new();
    (0..3).for_each(|n| hand.play(n));
    let world = &hand.world;
    let again = |more: &str| audit(world, &format!("--replay all --work work {more}"));
    // Killed at any moment, and run again, until it comes to its end.
    for attempt in 0..4 {
        let line = format!("audit pub --coordinator {} --replay all --work work", world.coordinator);
        let mut child = world.command(&line).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(100 + draw(&format!("kill {attempt}"), 700) as u64));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let output = again("");
    assert_eq!(output.status.code(), Some(0), "{}", talk(&output));
    assert!(talk(&output).contains("3 rounds, 9 updates, 9 of them count"), "{}", talk(&output));
    assert!(talk(&output).contains("27 steps replayed"), "{}", talk(&output));
    let output = again("");
    assert!(talk(&output).contains("rounds 0 to 2 are verified"), "{}", talk(&output));

    for file in ["round-0/ann.update", "round-1/scores.jsonl", "round-2/cy.moments", "theta-0/config.json", "run.toml"]
    {
        let path = format!("pub/{file}");
        let bytes = world.bytes(&path);
        let mut bent = bytes.clone();
        let at = bytes.len() / 2;
        bent[at] ^= 1;
        if file == "run.toml" {
            bent = String::from_utf8(bytes.clone()).unwrap().replace("seed = 7", "seed = 8").into_bytes();
        }
        world.write(&path, &bent);
        names(&again(""), file, "altered after it was verified");
        world.write(&path, &bytes);
    }
    let output = again("");
    assert_eq!(output.status.code(), Some(0), "{}", talk(&output));

    // What it keeps is worth nothing where it is damaged, and no business of whoever made the run.
    let state = world.listing("work/states")[0].clone();
    world.write(&format!("work/states/{state}"), b"");
    let output = again("");
    assert_eq!(output.status.code(), Some(0), "{}", talk(&output));
    assert!(!talk(&output).contains("are verified"), "{}", talk(&output));
    world.expect("audit pub --work pub/.audit", 2, "outside of the run folder");
}

#[test]
fn a_momentum_and_a_robust_rule_are_recomputed_without_their_files_and_with_them() {
    let world = World::new(FULL);
    let recipe = String::from_utf8(world.bytes("r.toml")).unwrap();
    let outer = "[outer]\nlr = 0.7\nrule = \"trimmed_mean\"\nfaulty = 1\nmomentum = 0.9\nnesterov = true\nquorum = 2\n";
    fs::remove_file(world.path("r.toml")).unwrap();
    world.write("run.toml", format!("{recipe}{outer}").as_bytes());
    world.begin_run();
    (0..2).for_each(|round| play(&world, round));
    public(&world);
    assert!(world.has("pub/round-0/outer.momentum") && world.has("pub/round-1/outer.momentum"));
    equal(&world, "--replay all");
    equal(&world, "--work work");
    // The momentum is part of the step: a byte of it names it, and one of the model the model.
    for file in ["round-0/outer.momentum", "round-1/outer.momentum", "theta-2/model.safetensors"] {
        flips(&world, file, 4, "", |_| false);
    }
    let state = world.bytes("pub/round-0/outer.momentum");
    world.write("pub/round-1/outer.momentum", &state);
    names(&audit(&world, ""), "round-1/outer.momentum", "the momentum of another round");

    // An audit that goes on has its own.
    play(&world, 2);
    public(&world);
    let said = equal(&world, "--work work");
    assert!(said.contains("rounds 0 to 1 are verified") && said.contains("3 rounds"), "{said}");
    let kept: Vec<String> = world.listing("work/states");
    assert_eq!(kept, ["outer.2.momentum"]);
    play(&world, 3);
    public(&world);
    world.write("work/states/outer.2.momentum", &state);
    let said = equal(&world, "--work work");
    assert!(!said.contains("are verified") && said.contains("4 rounds"), "{said}");
    // Nor does it need those in the folder.
    (0..4).for_each(|n| fs::remove_file(world.path(&format!("pub/round-{n}/outer.momentum"))).unwrap());
    equal(&world, "");
    // A model of another momentum's step: the same round again, as if it had been the first.
    let first = world.tree("pub/theta-1");
    world.copy_folder("pub/theta-3", "pub/theta-4");
    names(&audit(&world, ""), "theta-4/model.safetensors", "a model of another step");
    assert_ne!(first, world.tree("pub/theta-2"));
}

#[test]
fn a_next_model_below_the_quorum_and_a_momentum_that_no_recipe_has_are_found() {
    let hand = Hand::new();
    hand.edit("pub/run.toml", |text| text + "[outer]\nquorum = 4\n");
    hand.assign(0);
    WORKERS.iter().for_each(|who| hand.work(0, who, None));
    hand.commit(0, &WORKERS);
    hand.replay(0, &WORKERS, None);
    let world = &hand.world;
    let round = "--model pub/theta-0 --recipe pub/run.toml pub/round-0/ann.update pub/round-0/bob.update \
                 pub/round-0/cy.update";
    world.expect(&format!("aggregate {round} -o pub/theta-1"), 75, "3 of 4 updates that count");
    world.ok(&format!(
        "score {round} --val pub/shards/val-00000.safetensors --beacon {} --findings pub/round-0/findings.jsonl \
         --assignments pub/round-0/assignments.jsonl --coordinator {} --commitments pub/round-0/commitments.jsonl \
         -o pub/round-0/scores.jsonl",
        beacon("second 0"),
        world.coordinator
    ));
    // Not finished is no fault; a model is.
    equal(world, "");
    world.copy_folder("pub/theta-0", "pub/theta-1");
    let output = audit(world, "");
    names(&output, "theta-1/model.safetensors", "below the quorum");
    assert!(talk(&output).contains("3 of 4 updates that count"), "{}", talk(&output));

    let hand = Hand::new();
    hand.play(0);
    hand.world.write("pub/round-0/outer.momentum", b"a momentum");
    names(&audit(&hand.world, ""), "round-0/outer.momentum", "no recipe has it");
}
