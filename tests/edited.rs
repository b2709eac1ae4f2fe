//! A recipe that was edited after the run began: every verb that meets it names run.toml, and says what to do.

mod common;

use common::{FULL, World, talk};

#[test]
fn every_verb_names_the_recipe_that_was_edited_and_says_what_to_do() {
    let world = World::new(FULL);
    world.begin_run();
    world.ok("assign 0 --beacon random");
    world.ok("train 0 ann");
    let recipe = String::from_utf8(world.bytes("run.toml")).unwrap();
    world.write("run.toml", recipe.replace("lr = 5e-3", "lr = 6e-3").as_bytes());
    for verb in [
        "train 0 bob",
        "commit 0 ann",
        "commit 0 ann --reveal",
        "replay 0 ann",
        "replay 0 --all",
        "score 0 --beacon random",
        "aggregate 0",
        "open 0 ann",
        "assign 1 --beacon random",
    ] {
        let output = world.expect(verb, 65, "run.toml: edited since the run began: expected run ");
        assert!(talk(&output).contains("hint: put back what everybody else has"), "{}", talk(&output));
    }
    for verb in ["status", "explain 0 ann", "report -o report.html"] {
        world.expect(verb, 0, "run.toml: edited since the run began");
    }
    let audit = talk(&world.run("audit"));
    assert!(audit.contains("run.toml: edited since the run began"), "{audit}");
    // By their flags too.
    let long = "--recipe run.toml --model theta-0 --shard shards/train-00000.safetensors --round 0 --worker ann";
    let output = world.run(&format!("train {long} --assignments round-0/assignments.jsonl -o x"));
    assert!(talk(&output).contains("was the recipe (run.toml) edited after the assignment?"), "{}", talk(&output));
    // What was put back is no longer edited, and comments are no edit.
    world.write("run.toml", format!("# a comment\n{recipe}").as_bytes());
    world.ok("commit 0 ann");
    // Before the first assignment it is there to be edited.
    let fresh = World::new(FULL);
    fresh.begin_run();
    fresh.write("run.toml", recipe.replace("lr = 5e-3", "lr = 6e-3").as_bytes());
    let said = talk(&fresh.run("assign 0 --beacon random"));
    assert!(!said.contains("edited since"), "{said}");
}

#[test]
fn another_model_than_the_recipe_names_is_said_with_the_recipes_name() {
    let world = World::new(FULL);
    let other = world.text("init --config config.json --seed 4 -o other");
    let recipe = String::from_utf8(world.bytes("r.toml")).unwrap();
    let theta = world.text("inspect --field model theta-0");
    world.write("edited.toml", recipe.replace(theta.trim(), other.trim()).as_bytes());
    let val = "--val shards/val-00000.safetensors";
    let output = world.expect(&format!("score --recipe edited.toml --model theta-0 {val}"), 1, "the recipe's theta_0");
    assert!(talk(&output).contains("hint: is edited.toml the recipe that the run began with?"), "{}", talk(&output));
}
