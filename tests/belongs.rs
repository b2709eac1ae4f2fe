//! What does not belong together is refused: models, updates, states and scores of another round, run or model.

mod common;

use common::{FULL, WORKERS, World, records, talk};

const VAL: &str = "--val shards/val-00000.safetensors";

fn played() -> World {
    let world = World::new(FULL);
    world.play(0);
    world
}

#[test]
fn a_model_that_no_round_has_made_is_of_round_0_alone() {
    let world = played();
    let shard = world.shard_of(0, "ann");
    // The first model, random or of another program, names no round.
    for round in [1, 5] {
        for verb in [
            format!("train --recipe r.toml --model theta-0 --shard shards/{shard} --round {round} --worker ann"),
            format!("score --recipe r.toml --model theta-0 --round {round} {VAL}"),
            format!("aggregate --recipe r.toml --model theta-0 --round {round} ann.0.update -o next"),
        ] {
            let said = talk(&world.expect(&verb, 1, &format!("theta-0: model: expected the one of round {round}")));
            assert!(said.contains("found one that no round has made"), "{said}");
        }
    }
    for round in [0, 2] {
        let train =
            format!("train --recipe r.toml --model theta-1 --shard shards/{shard} --round {round} --worker ann");
        world.expect(&train, 1, &format!("expected the one of round {round}, found the one of round 1"));
    }
    assert!(!world.has("next"));
}

#[test]
fn a_delta_of_another_first_model_is_not_compressed() {
    let world = World::new(FULL);
    let recipe = String::from_utf8(world.bytes("r.toml")).unwrap();
    let theta = world.text("init --config config.json --seed 4 -o other").trim().to_owned();
    let first = records(world.text("inspect --json theta-0").replace('{', "{\"type\":\"x\",").as_bytes(), "x");
    let first = first[0]["model"].as_str().unwrap().to_owned();
    world.assign(0);
    world.ok(&format!("{} -o delta", world.train(0, "ann")));
    // The same run, had the recipe not named the model: its id is written over the delta's.
    world.write("other.toml", recipe.replace(&first, &theta).as_bytes());
    let run = |recipe: &str| {
        let shown: serde_json::Value = serde_json::from_str(&world.text(&format!("inspect --json {recipe}"))).unwrap();
        shown["run"].as_str().unwrap().to_owned()
    };
    let (ours, others) = (run("r.toml"), run("other.toml"));
    let at = |bytes: &[u8], text: &str| bytes.windows(text.len()).position(|w| w == text.as_bytes()).unwrap();
    let mut delta = world.bytes("delta");
    let place = at(&delta, &ours);
    delta[place..place + others.len()].copy_from_slice(others.as_bytes());
    world.write("delta", &delta);
    world.expect("compress --recipe other.toml delta -o update", 1, "delta: model: expected digest");
    assert!(!world.has("update"));
}

#[test]
fn where_nothing_counts_there_is_no_next_model_and_every_update_has_its_reason() {
    let world = played();
    world.write("rubbish", b"rubbish");
    let line = "aggregate --recipe r.toml --model theta-1 ann.0.update bob.0.update ann.0.feedback rubbish -o next";
    let said = talk(&world.expect(line, 1, "no update counts, so there is no next model"));
    for reason in [
        "ann.0.update: made for round 0",
        "bob.0.update: made for round 0",
        "ann.0.feedback: l402.kind: expected update, found feedback",
        "rubbish: ",
    ] {
        assert!(said.contains(reason), "{reason}\n{said}");
    }
    // One that counts is enough; the others have their lines.
    world.assign(1);
    world.work(1, "cy");
    let said = talk(&world.ok(&line.replace("rubbish", "rubbish cy.1.update")));
    assert!(said.contains("left out: ann.0.update: made for round 0"), "{said}");
    // Made in this round, from another model.
    world.copy_folder("theta-1", "elsewhere");
    let scores = "1.scores.jsonl";
    world.ok(&format!(
        "score --recipe r.toml --model theta-1 {VAL} --beacon {} cy.1.update -o {scores}",
        common::beacon("x")
    ));
    world.ok("aggregate --recipe r.toml --model theta-0 ann.0.update -o by-one");
    let foreign = "aggregate --recipe r.toml --model by-one cy.1.update -o next-by-one";
    world.expect(foreign, 1, "cy.1.update: made from another model");
    world.expect(&format!("{foreign} --scores {scores}"), 1, "1.scores.jsonl: scores of updates of model");
    assert!(!world.has("next-by-one"));
    // Findings of another round judge nothing in this one.
    let other = "aggregate --recipe r.toml --model theta-1 --findings 0.findings.jsonl cy.1.update -o by-findings";
    world.expect(other, 1, "0.findings.jsonl: expected findings of round 1");
}

#[test]
fn scores_of_what_is_no_update_of_the_round_are_not_made() {
    let world = played();
    let score = format!("score --recipe r.toml {VAL} --beacon {} -o scores", common::beacon("x"));
    for (given, why) in [
        ("--model theta-0 ann.0.feedback", "ann.0.feedback: l402.kind: expected update, found feedback"),
        ("--model theta-1 ann.0.update", "ann.0.update: made for round 0"),
        ("--model theta-1 ann.0.moments bob.0.update", "bob.0.update: made for round 0"),
    ] {
        world.expect(&format!("{score} {given}"), 1, why);
        assert!(!world.has("scores"), "{given}");
    }
    // With all the lists of the round, a state is as little an update as without them.
    let lists = world.score(0, &["ann.0.feedback"]);
    world.expect(&format!("{lists} -o scores"), 1, "found none");
    assert!(!world.has("scores"));
    // Of another model in the same round: it has a score, and does not count.
    world.ok("aggregate --recipe r.toml --model theta-0 ann.0.update -o by-one");
    world.assign(1);
    world.work(1, "cy");
    world.expect(&format!("{score} --model by-one cy.1.update"), 1, "cy.1.update: made from another model");
}

#[test]
fn a_worker_that_sends_rubbish_stops_no_round_though_nothing_counts() {
    let world = played();
    world.assign(1);
    WORKERS.iter().for_each(|who| world.write(&format!("{who}.1.update"), b"rubbish"));
    world.replay_all(1);
    let sent = "ann.1.update bob.1.update cy.1.update";
    let round = format!("--recipe r.toml --model theta-1 {sent}");
    let lists =
        format!("--findings 1.findings.jsonl --assignments 1.assignments.jsonl --coordinator {}", world.coordinator);
    world.ok(&format!("score {round} {VAL} --beacon {} {lists} -o 1.scores.jsonl", common::beacon("x")));
    world.ok(&format!("aggregate {round} --scores 1.scores.jsonl -o theta-2"));
    let says = |name: &str| -> serde_json::Value {
        serde_json::from_str(&world.text(&format!("inspect --json {name}"))).unwrap()
    };
    assert_eq!(says("theta-1")["model"], says("theta-2")["model"]);
    assert_eq!(says("theta-2")["metadata"]["l402.round"], "2");
    // Nobody sent anything at all.
    world.ok("aggregate --recipe r.toml --model theta-1 --scores 1.scores.jsonl -o nobody");
    assert_eq!(world.tree("nobody"), world.tree("theta-2"));
}

#[test]
fn what_the_scores_count_must_be_given() {
    let world = played();
    let two = world.aggregate(0, &["ann.0.update", "cy.0.update"]);
    let said = talk(&world.expect(&format!("{two} -o next"), 66, "of worker bob: expected it among the updates"));
    assert!(said.contains(&world.digest("bob.0.update")), "{said}");
    let none = "aggregate --recipe r.toml --model theta-0 --findings 0.findings.jsonl -o next";
    world.expect(none, 1, "no update counts, so there is no next model");
    world.write("empty", b"");
    world.expect(
        &two.replace("0.scores.jsonl", "empty").replace("theta-0", "theta-0 -o next"),
        65,
        "empty: expected one",
    );
    assert!(!world.has("next"));
}

#[test]
fn a_flag_that_the_recipe_has_no_use_for_is_named_as_it_was_given() {
    let world = World::new(common::Kind { state: "reset", ..FULL });
    world.assign(0);
    let train = world.train(0, "ann");
    let said = talk(&world.expect(
        &format!("{train} --state-out m -o delta"),
        2,
        "--state-out: the recipe begins every round",
    ));
    assert!(!said.contains("--state: "), "{said}");
    world.expect(&format!("{train} --state m -o delta"), 2, "--state: the recipe begins every round");
}
