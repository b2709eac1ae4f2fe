//! `l402 status`: what has happened, by every list and part, and what is next, by whom.

mod common;

use std::fs;

use common::papers::{Act, Papers};
use serde_json::Value;

const WORKERS: [&str; 3] = ["ann", "bob", "cy"];

fn json(papers: &Papers) -> (Vec<Value>, Vec<Value>) {
    let text = papers.world.text("status run --json");
    let all = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    all.partition(|record| record["type"] == "round_status")
}

/// The commands that are next.
fn commands(papers: &Papers) -> Vec<String> {
    json(papers).1.iter().map(|next| next["command"].as_str().unwrap().to_owned()).collect()
}

fn each(command: &str) -> Vec<String> {
    WORKERS.map(|who| command.replace("WHO", who)).to_vec()
}

#[test]
fn a_round_that_is_taken_back_step_by_step_says_each_time_what_is_next() {
    let mut papers = Papers::new(&WORKERS);
    assert_eq!(commands(&papers), ["l402 assign 0 --beacon HEX"]);
    papers.play(0, &[Act::Honest; 3]);
    let (rounds, _) = json(&papers);
    let round = &rounds[0];
    for field in [
        "assigned",
        "offered",
        "held",
        "committed",
        "in_time",
        "revealed",
        "updates",
        "replayed",
        "exact",
        "counting",
        "settled",
        "paid",
        "claimed",
    ] {
        assert_eq!(round[field], 3, "{field}: {round}");
    }
    assert_eq!((&round["closed_at"], &round["lock_by"], &round["claim_by"]), (&105.into(), &118.into(), &478.into()));
    assert_eq!(commands(&papers), ["l402 assign 1 --beacon HEX"]);

    let gone = |name: &str| fs::remove_file(papers.path(&format!("round-0/{name}"))).unwrap();
    fs::remove_dir_all(papers.path("theta-1")).unwrap();
    assert_eq!(commands(&papers), ["l402 aggregate 0"]);
    gone("claimed.jsonl");
    assert_eq!(commands(&papers), [each("l402 settle --claim 0 WHO"), vec!["l402 aggregate 0".into()]].concat());
    gone("verdicts.jsonl");
    assert_eq!(commands(&papers), ["l402 settle 0", "l402 aggregate 0"]);
    gone("scores.jsonl");
    assert_eq!(commands(&papers), ["l402 score 0 --beacon HEX"]);
    gone("findings.jsonl");
    assert_eq!(commands(&papers), each("l402 replay 0 WHO"));
    let text = papers.read(0, "commitments.jsonl");
    let (signed, shown): (Vec<&str>, Vec<&str>) =
        text.lines().partition(|line| line.contains("\"type\":\"commitment\""));
    papers.text(0, "commitments.jsonl", &signed.iter().map(|l| format!("{l}\n")).collect::<String>());
    assert_eq!(commands(&papers), each("l402 commit 0 WHO --reveal"));
    // What opens one lies as a file of its own.
    papers.text(0, "bob.reveal", &format!("{}\n", shown[1]));
    assert_eq!(commands(&papers), ["l402 commit 0 ann --reveal", "l402 commit 0 cy --reveal"]);
    gone("closing.jsonl");
    assert_eq!(commands(&papers), ["l402 commit --close 0"]);
    papers.text(0, "commitments.jsonl", &format!("{}\n", signed[0]));
    gone("cy.update");
    assert_eq!(commands(&papers), ["l402 train 0 cy", "l402 commit 0 bob"]);
    gone("commitments.jsonl");
    ["ann.update", "bob.update", "bob.reveal"].iter().for_each(|name| gone(name));
    assert_eq!(commands(&papers), each("l402 train 0 WHO"));
    let held = papers.read(0, "held.jsonl");
    papers.text(0, "held.jsonl", "");
    assert_eq!(commands(&papers), each("l402 invoice issue 0 WHO"));
    papers.text(0, "held.jsonl", &held);
    gone("held.jsonl");
    gone("offers.jsonl");
    assert_eq!(commands(&papers), ["l402 invoice offer 0"]);
    gone("assignments.jsonl");
    assert_eq!(commands(&papers), ["l402 assign 0 --beacon HEX"]);
}

#[test]
fn people_read_a_table_the_deadlines_and_the_commands() {
    let mut papers = Papers::new(&WORKERS);
    papers.play(0, &[Act::Honest, Act::Liar, Act::Late]);
    papers.play(1, &[Act::Honest, Act::Honest, Act::Idle]);
    fs::remove_file(papers.path("round-1/claimed.jsonl")).unwrap();
    let page = papers.world.text("status run");
    let lines: Vec<&str> = page.lines().collect();
    assert!(lines[0].ends_with("\"test\", 3 on the roster, 2 rounds begun"), "{page}");
    let table: Vec<&&str> = lines.iter().skip_while(|line| !line.contains("assigned")).take(3).collect();
    let length = table[0].len();
    assert!(table.iter().all(|line| line.len() == length), "{page}");
    assert!(
        table[1].contains("2 at 105") && table[1].contains("3 of 3, 2 exact") && table[1].contains("1 count"),
        "{page}"
    );
    assert!(page.contains("round 1 by block height: all locked by 138, committed and closed by 282"), "{page}");
    assert!(page.contains("l402 settle --claim 1 ann") && page.contains("by ann, until height 498"), "{page}");
    let short = papers.world.text("status run --last 1");
    assert!(short.contains("rounds 0 to 0 are not looked at") && !short.contains("2 at 105"), "{short}");
}

#[test]
fn forgeries_and_rubbish_move_nothing() {
    let mut papers = Papers::new(&WORKERS);
    papers.play(0, &[Act::Honest; 3]);
    let (before, _) = json(&papers);
    let forged =
        papers.read(0, "commitments.jsonl").lines().next().unwrap().replace("\"worker\":\"ann\"", "\"worker\":\"bob\"");
    for list in ["commitments", "held", "claimed", "invoices"] {
        let old = if list == "invoices" { String::new() } else { papers.read(0, &format!("{list}.jsonl")) };
        papers.text(0, &format!("{list}.jsonl"), &format!("{forged}\nx\n{old}{{\"type\":\"<script>\",\"v\":1}}\n"));
    }
    let (after, _) = json(&papers);
    let bare = |round: &Value| {
        let mut round = round.clone();
        round["malformed"] = 0.into();
        round
    };
    assert_eq!(bare(&after[0]), bare(&before[0]));
    assert!(after[0]["malformed"].as_u64().unwrap() >= 8, "{}", after[0]);
    papers.world.expect("status nowhere", 66, "nowhere");
    papers.world.expect("status", 2, "no run.toml here or in a folder above");
}
