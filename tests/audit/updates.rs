//! Updates that are lies, rubbish, stolen, left out or in the wrong place.

use std::fs;

use crate::common::{WORKERS, talk};
use crate::folder::{audit, equal, flips, names};
use crate::hand::{Hand, exact, forged, in_line, lie};

#[test]
fn a_worker_that_lied_and_was_found_out_does_not_make_the_run_dishonest() {
    let hand = Hand::new();
    hand.assign(0);
    ["ann", "cy"].iter().for_each(|who| hand.work(0, who, None));
    let inputs = ["pub/run.toml", "pub/theta-0", "pub/shards", "pub/round-0/assignments.jsonl"];
    lie(&hand.world, "bob", inputs, "pub/round-0/bob.update");
    hand.commit(0, &WORKERS);
    hand.replay(0, &WORKERS, None);
    // And somebody who wrote rubbish into the common list.
    hand.edit("pub/round-0/commitments.jsonl", |text| text + "rubbish\n");
    hand.finish(0, &WORKERS);
    for depth in ["", "--replay all", "--replay 2"] {
        let said = equal(&hand.world, depth);
        assert!(said.contains("3 updates, 2 of them count") && said.contains("passed over"), "{said}");
    }
    // Bytes of the liar's files name them all the same.
    for file in ["round-0/bob.update", "round-0/findings.jsonl", "round-0/scores.jsonl"] {
        flips(&hand.world, file, 6, "", |_| false);
    }

    // The coordinator counts it all the same: by false scores, or by a false finding.
    let honest = hand.world.bytes("pub/round-0/scores.jsonl");
    hand.edit("pub/round-0/findings.jsonl", |text| in_line(&text, "mismatch", exact));
    hand.finish(0, &WORKERS);
    let said = equal(&hand.world, "");
    assert!(said.contains("3 of them count"), "what was recorded is believed without --replay: {said}");
    names(&audit(&hand.world, "--replay all"), "round-0/findings.jsonl", "a false finding");
    hand.replay(0, &WORKERS, None);
    names(&audit(&hand.world, ""), "round-0/findings.jsonl", "scores that rest on another finding");
    hand.world.write("pub/round-0/scores.jsonl", &honest);
    names(&audit(&hand.world, ""), "theta-1/model.safetensors", "an update in theta that does not count");
}

#[test]
fn an_update_that_cannot_be_read_does_not_make_the_run_dishonest_and_its_finding_is_made_again() {
    let hand = Hand::new();
    hand.assign(0);
    ["ann", "cy"].iter().for_each(|who| hand.work(0, who, None));
    hand.world.write("pub/round-0/bob.update", b"rubbish that nobody can read, and no update");
    hand.commit(0, &["ann", "cy"]);
    hand.replay(0, &WORKERS, None);
    hand.finish(0, &WORKERS);
    let said = equal(&hand.world, "--replay all");
    assert!(said.contains("3 updates, 2 of them count"), "{said}");
    for file in ["round-0/bob.update", "round-0/findings.jsonl"] {
        flips(&hand.world, file, 12, "", |_| false);
    }
}

#[test]
fn an_update_that_counted_and_was_left_out_is_found() {
    let hand = Hand::new();
    hand.play(0);
    equal(&hand.world, "--replay all");
    hand.finish(0, &["ann", "cy"]);
    names(&audit(&hand.world, ""), "round-0/scores.jsonl", "left out of the scores");
    let without = hand.world.tree("pub/theta-1");
    hand.finish(0, &WORKERS);
    without.iter().for_each(|(file, bytes)| hand.world.write(&format!("pub/theta-1/{file}"), bytes));
    names(&audit(&hand.world, ""), "theta-1/model.safetensors", "left out of the sum");
    fs::remove_file(hand.world.path("pub/round-0/bob.update")).unwrap();
    let gone = audit(&hand.world, "");
    assert_eq!(gone.status.code(), Some(66));
    assert!(talk(&gone).contains("round-0/bob.update"), "{}", talk(&gone));
}

#[test]
fn an_update_that_counts_lies_under_its_workers_name() {
    let hand = Hand::new();
    hand.play(0);
    let (ann, bob) = (hand.world.bytes("pub/round-0/ann.update"), hand.world.bytes("pub/round-0/bob.update"));
    // Where no replay of bob's would look.
    hand.world.write("pub/round-0/zed.update", &bob);
    hand.world.write("pub/round-0/bob.update", &ann);
    hand.finish(0, &["ann", "bob", "cy", "zed"]);
    for depth in ["", "--replay all"] {
        names(&audit(&hand.world, depth), "round-0/zed.update", "counts under another name");
    }
    // Nor is it hidden there by a finding that nobody compares.
    hand.edit("pub/round-0/findings.jsonl", |text| {
        in_line(&text, "\"worker\":\"bob\"", |line| forged(line, "mismatch"))
    });
    hand.finish(0, &["ann", "bob", "cy", "zed"]);
    names(&audit(&hand.world, "--replay all"), "round-0/zed.update", "hidden under another name");
    fs::remove_file(hand.world.path("pub/round-0/bob.update")).unwrap();
    assert_eq!(audit(&hand.world, "").status.code(), Some(66));
}

#[test]
fn a_stolen_update_under_an_earlier_name_is_no_fault_of_the_runs() {
    let hand = Hand::new();
    hand.assign(0);
    ["ann", "cy"].iter().for_each(|who| hand.work(0, who, None));
    hand.world.write("pub/round-0/bob.update", &hand.world.bytes("pub/round-0/cy.update"));
    hand.commit(0, &["ann", "cy"]);
    hand.replay(0, &WORKERS, None);
    hand.finish(0, &WORKERS);
    let said = equal(&hand.world, "--replay all");
    assert!(said.contains("2 of them count") && said.contains("steps replayed"), "{said}");
}
