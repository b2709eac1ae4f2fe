//! What a person sees of a round that went well: what each gained, what is missing, and no more than fits into a line.

mod common;

use std::fs;

use common::papers::{Act, Papers};
use common::{FULL, WORKERS, World, talk};

fn unpaid() -> World {
    let world = World::new(FULL);
    let recipe = String::from_utf8(world.bytes("r.toml")).unwrap();
    world.write("r.toml", recipe.replace("round_msat = 1000000", "round_msat = 0").as_bytes());
    world.begin_run();
    world
}

fn train_all(world: &World, n: u64) {
    for who in WORKERS {
        world.ok(&format!("train {n} {who}"));
        world.ok(&format!("commit {n} {who}"));
        world.ok(&format!("commit {n} {who} --reveal"));
    }
}

#[test]
fn who_works_on_what_and_what_each_gained_is_said_and_silenced() {
    let world = unpaid();
    let output = world.ok("assign 0 --beacon random");
    assert!(
        talk(&output).contains("round 0: ann train-0") && talk(&output).contains(", bob train-0"),
        "{}",
        talk(&output)
    );
    assert!(output.stdout.is_empty());
    train_all(&world, 0);
    world.ok("replay 0 --all");
    let output = world.ok("score 0 --beacon random");
    let said = talk(&output);
    for who in WORKERS {
        assert!(said.contains(&format!("l402: round 0: {who} gains 0.")), "{said}");
    }
    assert!(said.contains(" nats a byte\n") && said.contains("round 0: 3 of 3 updates count"), "{said}");
    assert!(!said.contains("msat") && output.stdout.is_empty(), "{said}");
    for quiet in ["-q assign 0 --force", "-q score 0 --force"] {
        assert_eq!(talk(&world.ok(quiet)), "", "{quiet}");
    }
    world.ok("aggregate 0");
    // And why, where nobody is paid.
    let page = world.text("explain 0 ann");
    assert!(page.contains("ann passed every gate of round 0: its update counts, and the run pays nothing."), "{page}");
    // The columns of what is not offered say nothing, and are not there.
    let page = world.text("status");
    assert!(!page.contains("offered") && page.contains("3 of 3, 3 exact"), "{page}");
    // A run folder's own recipe needs no name.
    world.expect("recipe check", 0, "run.toml: a recipe, run ");
    assert!(world.text("recipe show").contains("round_msat = 0"));
    let audit = talk(&world.ok("audit"));
    assert!(
        audit.contains("no key is pinned, and coordinator.pub in the folder says")
            && audit.contains("--coordinator KEY"),
        "{audit}"
    );
}

#[test]
fn a_state_that_is_not_beside_its_update_is_named_before_the_round_that_misses_it() {
    let world = unpaid();
    world.ok("assign 0 --beacon random");
    train_all(&world, 0);
    fs::remove_file(world.path("round-0/bob.moments")).unwrap();
    let missing =
        "round-0/bob.moments: no such file: the update may count, but nobody can replay what its worker makes next";
    world.expect("replay 0 bob", 0, missing);
    assert!(!talk(&world.ok("replay 0 ann")).contains("no such file"));
    world.ok("replay 0 cy");
    let said = talk(&world.expect("score 0 --beacon random", 0, missing));
    assert!(!said.contains("ann.moments") && !said.contains("ann.feedback"), "{said}");
}

#[test]
fn a_commitment_that_nobody_opened_is_said_to_be_one() {
    let world = unpaid();
    world.ok("assign 0 --beacon random");
    train_all(&world, 0);
    fs::remove_file(world.path("round-0/bob.reveal")).unwrap();
    world.ok("replay 0 --all");
    world.expect("score 0 --beacon random", 0, "does not count: update of bob: its commitment was never opened");
    // Shown after that, the scores are older: whoever looks is told, and how to make them again.
    world.ok("commit 0 bob --reveal");
    let page = world.text("status");
    assert!(
        page.contains("round 0: the scores are older than what 1 of those who were in time have shown since"),
        "{page}"
    );
    assert!(page.contains("l402 score 0 --force"), "{page}");
    world.ok("score 0 --force");
    assert!(!world.text("status").contains("older"));
    // An update that is none was not made.
    world.ok("aggregate 0");
    world.ok("assign 1 --beacon random");
    world.write("round-1/ann.update", b"rubbish");
    world.write("round-1/bob.update", &world.bytes("round-0/bob.update"));
    let page = world.text("status");
    for who in WORKERS {
        assert!(page.contains(&format!("l402 train 1 {who}")), "{page}");
    }
}

#[test]
fn a_status_fits_into_a_terminal_of_eighty_columns() {
    let mut papers = Papers::new(&WORKERS);
    for round in 0..3 {
        papers.play(round, &[Act::Honest, Act::Liar, Act::Late]);
    }
    let page = papers.world.text("status run");
    assert!(page.lines().all(|line| line.chars().count() <= 80), "{page}");
    for column in ["assigned", "committed", "closed", "replayed", "offered", "locked", "settled", "claimed"] {
        assert!(page.lines().any(|line| line.contains("round ") && line.contains(column)), "{column}: {page}");
    }
}
