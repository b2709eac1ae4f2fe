//! The outer step by the command line: every rule, the momentum's state, the quorum, and who comes back.

mod common;

use std::fs;

use common::{FULL, WORKERS, World, records, talk};
use l402::artifact::Reader;
use l402::artifact::recipe::OuterRule;
use l402::fsio::Source;

/// A world whose recipe ends with these lines of `[outer]`, its round 0 worked by all.
fn worked(outer: &str) -> World {
    let world = World::new(FULL);
    with_outer(&world, outer);
    world.assign(0);
    WORKERS.iter().for_each(|who| world.work(0, who));
    world
}

fn with_outer(world: &World, outer: &str) {
    let recipe = String::from_utf8(world.bytes("r.toml")).unwrap();
    world.write("r.toml", format!("{recipe}[outer]\n{outer}\n").as_bytes());
}

fn aggregate(n: u64, workers: &[&str], more: &str) -> String {
    let updates: Vec<String> = workers.iter().map(|who| format!("{who}.{n}.update")).collect();
    format!("aggregate --recipe r.toml --model theta-{n} {} {more}", updates.join(" "))
}

/// What a model's file says of itself.
fn says(world: &World, model: &str, key: &str) -> Option<String> {
    let file = world.path(&format!("{model}/model.safetensors"));
    let reader = Reader::open(Source::open(&file).unwrap()).unwrap();
    reader.header().metadata.get(&format!("l402.{key}")).cloned()
}

#[test]
fn every_rule_makes_the_same_bytes_in_any_order_and_says_what_it_withstood() {
    for rule in OuterRule::ALL {
        let faulty = if rule.counts_faulty() { "faulty = 1" } else { "" };
        let world = worked(&format!("rule = \"{}\"\n{faulty}", rule.name()));
        let output = world.ok(&aggregate(0, &WORKERS, "-o one --threads 1"));
        world.ok(&aggregate(0, &["cy", "bob", "ann"], "-o two --threads 3"));
        assert_eq!(world.tree("one"), world.tree("two"), "{rule:?}");
        // Three updates allow Krum no faulty one, and the trimmed mean the one that is asked for.
        let (weaker, withstood) = match rule {
            OuterRule::Krum => (true, Some("0")),
            OuterRule::TrimmedMean => (false, Some("1")),
            _ => (false, None),
        };
        assert_eq!(talk(&output).contains("krum: 3 updates withstand 0 faulty ones, not 1"), weaker, "{rule:?}");
        assert_eq!(says(&world, "one", "faulty").as_deref(), withstood, "{rule:?}");
        assert_eq!(says(&world, "one", "rule").as_deref(), Some(rule.name()).filter(|name| *name != "mean"));
        let chosen = (rule == OuterRule::Krum).then_some("ann,bob,cy");
        assert_eq!(says(&world, "one", "chosen").as_deref(), chosen);
        // One update alone is no reason to stop.
        world.ok(&aggregate(0, &["bob"], "-o alone"));
    }
}

const MOMENTUM: &str = "lr = 0.7\nmomentum = 0.9\nnesterov = true";

#[test]
fn the_momentum_goes_on_from_the_state_that_the_model_names_and_from_no_other() {
    let world = worked(MOMENTUM);
    let said = talk(&world.ok(&aggregate(0, &WORKERS, "-o theta-1")));
    assert!(said.contains("no --state-out"), "{said}");
    // The same command with a state makes the same model.
    let said = talk(&world.ok(&aggregate(0, &WORKERS, "--state-out 0.momentum -o theta-1")));
    assert!(said.contains("up to date"), "{said}");
    assert_eq!(says(&world, "theta-1", "outer_in").as_deref(), Some("zero"));
    world.assign(1);
    WORKERS.iter().for_each(|who| world.work(1, who));
    let next = "--state-out 1.momentum -o theta-2";
    let refused = |state: &str| {
        world.expect(&aggregate(1, &WORKERS, &format!("{state} {next}")), 1, "which the model names");
        assert!(!world.has("theta-2") && !world.has("1.momentum"), "{state}");
    };
    refused("");
    // A value is another, or another update was left out.
    let mut bent = world.bytes("0.momentum");
    *bent.last_mut().unwrap() ^= 1;
    world.write("bent", &bent);
    refused("--state bent");
    world.ok(&aggregate(0, &["ann", "bob"], "--state-out of-two -o two"));
    refused("--state of-two");
    world.expect(&aggregate(1, &WORKERS, &format!("--state ann.0.moments {next}")), 65, "expected momentum");
    world.expect(&aggregate(1, &WORKERS, &format!("--state theta-1 {next}")), 65, "expected a file");

    let whole = aggregate(1, &WORKERS, &format!("--state 0.momentum {next}"));
    world.ok(&whole);
    assert_eq!(says(&world, "theta-2", "outer_in"), says(&world, "theta-1", "outer_out"));
    // A state of an earlier round is none of this one; and round 0 begins with none.
    refused_at(&world, 0, "--state 0.momentum");
    // Killed between state and model, or before either: the same bytes.
    let (state, model) = (world.bytes("1.momentum"), world.tree("theta-2"));
    for gone in [&["theta-2"][..], &["theta-2", "1.momentum"], &["1.momentum"], &[]] {
        for name in gone {
            let path = world.path(name);
            if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
        }
        world.ok(&whole);
        assert!(world.bytes("1.momentum") == state && world.tree("theta-2") == model, "{gone:?}");
    }
    // Where another model is in the place no state is written, nor a model where another state is.
    fs::remove_file(world.path("1.momentum")).unwrap();
    world.expect(&aggregate(1, &["ann"], &format!("--state 0.momentum {next}")), 73, "theta-2");
    assert!(!world.has("1.momentum"));
    world.write("1.momentum", b"another");
    world.expect(&whole.replace("-o theta-2", "-o other"), 73, "1.momentum");
    assert!(!world.has("other"));
    world.expect(&aggregate(1, &WORKERS, "--state x --state-out x -o other"), 2, "the same file");
    world.expect(&aggregate(1, &WORKERS, "--state - -o other"), 2, "expected a file");
}

fn refused_at(world: &World, n: u64, state: &str) {
    world.expect(&aggregate(n, &WORKERS, &format!("{state} -o refused")), 1, "which the model names");
    assert!(!world.has("refused"));
}

#[test]
fn a_round_in_which_nothing_counts_moves_neither_theta_nor_the_momentum() {
    let world = worked(MOMENTUM);
    world.ok(&aggregate(0, &WORKERS, "--state-out 0.momentum -o theta-1"));
    // A round of rubbish: that nothing counts is what its scores say.
    world.assign(1);
    let sent = WORKERS.map(|who| format!("{who}.1.update"));
    sent.iter().for_each(|name| world.write(name, b"rubbish"));
    world.replay_all(1);
    let findings = "--findings 1.findings.jsonl --assignments 1.assignments.jsonl";
    let round = format!("--recipe r.toml --model theta-1 {}", sent.join(" "));
    let val = "--val shards/val-00000.safetensors --beacon";
    world.ok(&format!("score {round} {val} {} {findings} -o 1.scores.jsonl", common::beacon("x")));
    let states = "--state 0.momentum --state-out 1.momentum -o theta-2";
    let said = talk(&world.ok(&format!("aggregate {round} --scores 1.scores.jsonl {states}")));
    assert!(said.contains("no update counts: the next model has the parameters of this one"), "{said}");
    assert_eq!(says(&world, "theta-1", "model"), says(&world, "theta-2", "model"));
    let values = |name: &str| {
        let mut reader = Reader::open(Source::open(&world.path(name)).unwrap()).unwrap();
        let mut all = Vec::new();
        while let Some((_, data)) = reader.next_tensor().unwrap() {
            all.extend(data);
        }
        all
    };
    assert!(values("0.momentum") == values("1.momentum") && values("0.momentum").iter().any(|byte| *byte != 0));
    assert_ne!(says(&world, "theta-1", "outer_out"), says(&world, "theta-2", "outer_out"));
}

#[test]
fn states_without_a_momentum_make_no_sense() {
    let world = worked("");
    for flag in ["--state s", "--state-out s"] {
        world.expect(&aggregate(0, &WORKERS, &format!("{flag} -o out")), 2, "outer.momentum");
    }
    assert!(!world.has("out") && !world.has("s"));
}

#[test]
fn below_the_quorum_nothing_is_written_and_whoever_was_away_goes_on_where_it_counted_last() {
    let world = worked("quorum = 2\nmomentum = 0.5");
    let out = "--state-out 0.momentum -o theta-1";
    world.expect(&aggregate(0, &["ann"], out), 75, "round 0: 1 of 2 updates that count");
    assert!(!world.has("theta-1") && !world.has("0.momentum"));
    world.ok(&aggregate(0, &WORKERS, out));

    // cy is away, and sends its work of round 1 in round 2.
    let play = |n: u64, workers: &[&str]| {
        world.assign(n);
        workers.iter().for_each(|who| world.work(n, who));
        let states = format!("--state {}.momentum --state-out {n}.momentum -o theta-{}", n - 1, n + 1);
        aggregate(n, workers, &states)
    };
    world.ok(&play(1, &["ann", "bob"]));
    assert_eq!(says(&world, "theta-2", "workers").as_deref(), Some("ann,bob"));
    world.work(1, "cy");
    let two = play(2, &["ann", "bob"]);
    for (from, to) in [("cy.1.update", "late.update"), ("cy.1.moments", "late.m"), ("cy.1.feedback", "late.f")] {
        fs::rename(world.path(from), world.path(to)).unwrap();
    }
    let said = talk(&world.ok(&format!("{two} late.update")));
    assert!(said.contains("left out: late.update: made for round 1"), "{said}");
    fs::remove_dir_all(world.path("theta-3")).unwrap();
    fs::remove_file(world.path("2.momentum")).unwrap();

    // It comes back with the states of round 0, the last that counted, and counts; not with those that it came too late with.
    world.work(2, "cy");
    let replay = |update: &str| world.replay_with(2, "cy", "r.toml", "theta-2", "2.assignments.jsonl", update);
    let honest = "--state cy.0.moments --state cy.0.feedback --previous cy.0.update";
    let finding = world.text(&format!("{} {honest}", replay("cy.2.update")));
    assert_eq!(records(finding.as_bytes(), "finding")[0]["finding"], "exact");
    world.expect(&format!("{} {}", replay("cy.2.update"), late(honest)), 1, "state");
    world.ok(&format!("{two} cy.2.update"));
    assert_eq!(says(&world, "theta-3", "workers").as_deref(), Some("ann,bob,cy"));
}

fn late(honest: &str) -> String {
    honest.replace("cy.0.moments", "late.m").replace("cy.0.feedback", "late.f").replace("cy.0.update", "late.update")
}
