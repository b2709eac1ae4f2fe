//! What scripts and people ask the command line for: fields, numbers, names with and without a flag.

mod common;

use common::{FULL, World, talk};

#[test]
fn scripts_ask_for_a_field_and_get_one_value_a_line() {
    let world = World::new(FULL);
    world.play(0);
    let field = |args: &str| world.text(&format!("inspect --field {args}"));
    assert_eq!(field("inner.state r.toml"), "carry\n");
    // What the recipe leaves out has the value of its default.
    assert_eq!(field("outer.momentum r.toml"), "0.0\n");
    assert!(world.text("inspect r.toml").contains("  outer.momentum = 0.0\n"));
    assert_eq!(field("l402.round theta-1"), "1\n");
    assert_eq!(field("l402.round theta-0"), "");
    assert_eq!(field("worker roster.jsonl"), "ann\nbob\ncy\n");
    assert_eq!(field("shard --where worker=bob 0.assignments.jsonl").trim(), world.shard_of(0, "bob"));
    assert_eq!(field("worker --where type=score --where counts=true 0.scores.jsonl"), "ann\nbob\ncy\n");
    assert_eq!(field("worker --where counts=false 0.scores.jsonl"), "");
    world.expect("inspect --field run --where worker=ann r.toml", 2, "expected a file of records");
    world.expect("inspect --field run --where worker r.toml", 2, "expected NAME=VALUE");
}

#[test]
fn a_number_that_is_none_says_what_is_expected() {
    let world = World::empty();
    for (args, flag) in [
        ("train --recipe r --model m --shard s --worker a --round -1", "--round"),
        ("commit u --worker a --round -1", "--round"),
        ("init --config c --seed 1.5 -o x", "--seed"),
    ] {
        let said = talk(&world.expect(args, 2, "a whole number is expected"));
        assert!(said.contains("invalid value") && said.contains(flag), "{said}");
    }
    world.expect("devnet up net --nodes -3", 2, "expected 1 to 500 nodes");
    world.expect("train -1", 2, "unexpected argument");
}

#[test]
fn where_it_goes_is_named_with_a_flag_or_without_and_every_verb_has_its_page() {
    let world = World::empty();
    let key = world.text("key one");
    assert_eq!(world.text("key -o one"), key);
    world.ok("man pages");
    world.ok("man -o flagged");
    assert_eq!(world.tree("pages"), world.tree("flagged"));
    let pages = world.listing("pages");
    for page in ["l402.1", "l402-train.1", "l402-invoice-lock.1", "l402-devnet-mine.1"] {
        assert!(pages.iter().any(|name| name == page), "{page}");
    }
    // What nobody is to call has none.
    assert!(!pages.iter().any(|name| name.contains("run-")), "{pages:?}");
    for args in ["key", "man", "key one -o two", "man pages -o others"] {
        world.expect(args, 2, "");
    }
}
