//! `l402 explain`: each gate that can be missed is the one that is named, with its figures, and nothing else is blamed.

mod common;

use std::fs;

use common::papers::{Act, Papers, ROUND_MSAT};
use common::{FULL, World, talk};
use serde_json::Value;

const WORKERS: [&str; 6] = ["ann", "bob", "cy", "dee", "eve", "fay"];

fn played() -> Papers {
    let mut papers = Papers::new(&WORKERS);
    papers.play(0, &[Act::Honest, Act::Liar, Act::Late, Act::Hidden, Act::Noise, Act::Idle]);
    papers.play(1, &[Act::Honest, Act::Honest, Act::Stale, Act::Honest, Act::Honest, Act::Honest]);
    papers.play(2, &[Act::Stale, Act::Honest, Act::Honest, Act::Honest, Act::Honest, Act::Honest]);
    papers
}

fn json(papers: &Papers, round: u64, who: &str) -> Value {
    let text = papers.world.text(&format!("explain run {round} {who} --json"));
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(&text).unwrap()
}

/// A gate's state and words.
fn gate(found: &Value, name: &str) -> (String, String) {
    let gates = found["gates"].as_array().unwrap();
    let gate = gates.iter().find(|gate| gate["gate"] == name).unwrap();
    (gate["state"].as_str().unwrap().to_owned(), gate["says"].as_str().unwrap().to_owned())
}

#[test]
fn an_honest_worker_passed_every_gate_and_is_told_what_it_earned() {
    let papers = played();
    let found = json(&papers, 0, "ann");
    let states: Vec<&str> = found["gates"].as_array().unwrap().iter().map(|g| g["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["passed"; 13], "{found}");
    assert!(found["failed"].is_null(), "{found}");
    let (entitled, paid) = (found["entitled_msat"].as_u64().unwrap(), found["paid_msat"].as_u64().unwrap());
    assert_eq!(entitled, ROUND_MSAT / 6);
    assert!(paid > 0 && paid <= entitled, "{found}");
    assert!(
        found["why"].as_str().unwrap().starts_with(&format!("ann earned {paid} of 20000000 msat in round 0")),
        "{found}"
    );
    assert!(
        gate(&found, "gain").1.starts_with("0.2000 nats/byte +- 0.0100, 20 standard errors, at least 2"),
        "{found}"
    );
    assert!(gate(&found, "offered").1.contains("claim by 478"), "{found}");
    let page = papers.world.text("explain run 0 ann");
    assert!(page.lines().all(|line| !line.starts_with('>')), "{page}");
    assert!(page.contains("nothing was computed again (that is `l402 audit`)"), "{page}");
    // The folder that one stands in is the run folder.
    let mut command = papers.world.command("explain 0 ann");
    let output = command.current_dir(papers.path("")).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), page, "{}", talk(&papers.world.ok("explain run 0 ann")));
}

#[test]
fn who_got_nothing_is_told_the_first_gate_and_what_to_do() {
    let papers = played();
    for (who, failed, says, why, advice) in [
        (
            "bob",
            "replayed",
            "mismatch: tensor lm_head.weight differs: expected aa11, found bb22",
            "did not give the bytes",
            "l402 replay 0 bob",
        ),
        (
            "cy",
            "committed",
            "late: not in the list that was closed at height 105",
            "could have been made from others'",
            "l402 commit 0 cy",
        ),
        ("dee", "revealed", "it was never revealed", "is what it committed to", "l402 commit 0 dee --reveal"),
        (
            "eve",
            "gain",
            "0.0010 nats/byte +- 0.0100, 0.1 standard errors, at least 2",
            "cannot be told from chance",
            "more held-out sequences",
        ),
        (
            "fay",
            "committed",
            "no commitment: the list was closed at height 105",
            "no commitment of it was in the list",
            "l402 commit 0 fay",
        ),
    ] {
        let found = json(&papers, 0, who);
        // The gain of noise comes after the gate that says that it does not count.
        let expected = if who == "eve" { "counts" } else { failed };
        assert_eq!(found["failed"], expected, "{who}: {found}");
        let (state, words) = gate(&found, failed);
        assert!(state == "failed" && words.contains(says), "{who}: {found}");
        assert_eq!(found["paid_msat"], 0, "{who}: {found}");
        let (sentence, doing) = (found["why"].as_str().unwrap(), found["advice"].as_str().unwrap());
        assert!(sentence.starts_with(&format!("{who} got nothing in round 0, because ")), "{sentence}");
        assert!(sentence.contains(why) && doing.contains(advice), "{who}: {sentence}\n{doing}");
        let page = papers.world.text(&format!("explain run 0 {who}"));
        let marked: Vec<&str> = page.lines().filter(|line| line.starts_with('>')).collect();
        assert!(marked.len() == 1 && marked[0].starts_with(&format!("> no  {expected}")), "{page}");
    }
}

#[test]
fn states_that_do_not_go_on_from_the_last_counting_update_are_named() {
    let papers = played();
    // cy's round 0 did not count, so zero is right; ann's did.
    let cy = json(&papers, 1, "cy");
    assert_eq!(cy["failed"], "update", "{cy}");
    assert!(gate(&cy, "update").1.contains("expected zero, nothing counted before"), "{cy}");
    let ann = json(&papers, 2, "ann");
    assert_eq!(ann["failed"], "update", "{ann}");
    let left: String = l402::artifact::Digest::of(b"ann 1 feedback").to_string().chars().take(8).collect();
    assert!(gate(&ann, "update").1.contains(&format!("expected {left}, what round 1 left")), "{ann}");
    assert!(ann["why"].as_str().unwrap().contains("does not go on from the states"), "{ann}");
    let honest = json(&papers, 1, "ann");
    assert!(gate(&honest, "update").1.contains("as round 0 left it"), "{honest}");
}

#[test]
fn a_list_that_is_not_there_is_said_and_blames_nobody() {
    let papers = played();
    fs::remove_file(papers.path("round-0/findings.jsonl")).unwrap();
    let found = json(&papers, 0, "ann");
    assert_eq!(gate(&found, "replayed"), ("unknown".into(), "no findings: nobody replayed".into()));
    assert!(found["failed"].is_null(), "{found}");
    for list in ["offers", "held", "verdicts", "claimed"] {
        fs::remove_file(papers.path(&format!("round-0/{list}.jsonl"))).unwrap();
    }
    let found = json(&papers, 0, "ann");
    assert_eq!(gate(&found, "offered"), ("unknown".into(), "no offers: the round was scored without escrow".into()));
    assert!(found["why"].as_str().unwrap().contains("is entitled to 10000000 msat by the scores"), "{found}");
    for list in ["scores", "closing", "commitments"] {
        fs::remove_file(papers.path(&format!("round-0/{list}.jsonl"))).unwrap();
    }
    let found = json(&papers, 0, "bob");
    assert_eq!(gate(&found, "counts").0, "waiting");
    assert!(found["why"].as_str().unwrap().contains("round 0 goes on"), "{found}");
}

#[test]
fn parts_that_lie_as_files_of_their_own_are_taken_as_the_lists() {
    let papers = played();
    let whole = json(&papers, 0, "ann");
    for (list, ending) in
        [("commitments", "commitment"), ("findings", "finding"), ("held", "held"), ("claimed", "claimed")]
    {
        let text = papers.read(0, &format!("{list}.jsonl"));
        let (own, others): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.contains("\"worker\":\"ann\""));
        papers.text(0, &format!("{list}.jsonl"), &others.iter().map(|l| format!("{l}\n")).collect::<String>());
        papers.text(0, &format!("ann.{ending}"), &own.iter().map(|l| format!("{l}\n")).collect::<String>());
    }
    assert_eq!(json(&papers, 0, "ann"), whole);
}

#[test]
fn what_is_not_there_is_66_and_what_makes_no_sense_2() {
    let papers = played();
    papers.world.expect("explain run 9 ann", 66, "round 9: not in this run folder");
    papers.world.expect("explain run 0 zoe", 66, "expected one of ann, bob, cy, dee, eve, fay");
    papers.world.expect("explain run x ann", 2, "ROUND: expected a whole number, found \"x\"");
    papers.world.expect("explain 0", 2, "");
    papers.world.expect("explain nowhere 0 ann", 66, "nowhere");
    papers.world.expect("explain 0 ann", 2, "no run.toml here or in a folder above");
}

#[test]
fn lists_of_rubbish_cost_nobody_their_explanation() {
    let papers = played();
    let before = json(&papers, 0, "ann");
    for list in ["commitments", "held", "claimed", "findings"] {
        let text = papers.read(0, &format!("{list}.jsonl"));
        papers.text(0, &format!("{list}.jsonl"), &format!("rubbish\n{text}{{\"type\":\"x\",\"v\":1}}\n{{\"a\":"));
    }
    assert_eq!(json(&papers, 0, "ann"), before);
    fs::write(papers.path("round-0/ann.update"), b"rubbish").unwrap();
    let found = json(&papers, 0, "ann");
    assert_eq!(found["failed"], "update", "{found}");
    fs::write(papers.path("round-0/scores.jsonl"), vec![b'x'; 1 << 25]).unwrap();
    assert_eq!(gate(&json(&papers, 0, "bob"), "counts").0, "waiting");
}

#[test]
fn a_round_of_real_work_is_explained_as_well() {
    let world = World::new(FULL);
    world.play(0);
    fs::create_dir_all(world.path("run/round-0")).unwrap();
    for (from, to) in [("r.toml", "run.toml"), ("roster.jsonl", "roster.jsonl")] {
        world.write(&format!("run/{to}"), &world.bytes(from));
    }
    ["theta-0", "theta-1"].iter().for_each(|theta| world.copy_folder(theta, &format!("run/{theta}")));
    for list in ["assignments", "commitments", "findings", "scores"] {
        world.write(&format!("run/round-0/{list}.jsonl"), &world.bytes(&format!("0.{list}.jsonl")));
    }
    world.write("run/round-0/ann.update", &world.bytes("ann.0.update"));
    let found: Value = serde_json::from_str(&world.text("explain run 0 ann --json")).unwrap();
    assert!(found["failed"].is_null(), "{found}");
    assert!(gate(&found, "replayed").1.starts_with("exact: 3 steps run again"), "{found}");
    assert!(gate(&found, "update").1.contains(&world.digest("ann.0.update")[..8]), "{found}");
    let page = world.text("status run");
    assert!(page.contains("3 of 3, 3 exact") && page.contains("l402 assign 1"), "{page}");
}
