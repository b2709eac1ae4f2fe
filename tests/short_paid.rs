//! A paid round by short forms, the payer apart from the judge: what pay depends on is asked for, step by step.

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use common::devnet::Devnet;
use common::escrow::ROUND_MSAT;
use common::{FULL, World, records};

/// A run of one worker alone: n1 pays, n2 is the worker's, n3 coordinates and judges. Their sockets lie in the private folders.
fn begin(devnet: &Devnet, worker: &str) -> World {
    let mut world = World::new(FULL);
    let recipe = String::from_utf8(world.bytes("r.toml")).unwrap();
    world.write("run.toml", recipe.replace("round_msat = 1000000", &format!("round_msat = {ROUND_MSAT}")).as_bytes());
    for (party, n) in [("payer", 1), (worker, 2), ("coordinator", 3)] {
        let private = world.path(&format!("../world-private/{party}"));
        fs::create_dir_all(&private).unwrap();
        symlink(devnet.socket(n).0, private.join("lightning-rpc")).unwrap();
        world.write(&format!("{party}.pub"), devnet.socket(n).id().as_bytes());
    }
    world.coordinator = devnet.socket(3).id();
    let key = devnet.socket(2).id();
    world.write(
        "roster.jsonl",
        format!("{{\"key\":\"{key}\",\"type\":\"roster\",\"v\":1,\"worker\":\"{worker}\"}}\n").as_bytes(),
    );
    world
}

#[test]
fn a_paid_round_asks_for_what_pay_depends_on_and_ends_with_the_money_there() {
    let devnet = Devnet::up(3, "");
    let world = begin(&devnet, "ann");
    let before = devnet.socket(2).quiet();
    world.ok("assign 0 --beacon random");
    world.ok("invoice offer 0");
    world.ok("invoice issue 0 ann");
    world.expect("train 0 ann", 1, "the round is paid, and nothing says that the pay is locked");
    world.expect("settle 0", 66, "round-0/held.jsonl: no such file");
    let budget = 3 * ROUND_MSAT;
    world.expect("invoice lock 0", 2, "--budget-msat");
    world.ok(&format!("invoice lock 0 --budget-msat {budget}"));
    world.ok("invoice status 0 ann --wait=30");
    world.ok("train 0 ann");
    world.ok("commit 0 ann");
    world.expect("commit 0 ann --reveal", 75, "the list of commitments is not closed");
    // What anybody calls a closing is none.
    let forged = format!(
        "{{\"attempt\":0,\"commitments\":[],\"height\":1,\"judge\":\"{}\",\"round\":0,\"type\":\"closing\",\"v\":1}}\n",
        world.coordinator
    );
    for closing in ["{}", &forged] {
        world.write("round-0/closing.jsonl", closing.as_bytes());
        world.expect("commit 0 ann --reveal", 75, "no closing of the judge with ann's commitment in it");
        fs::remove_file(world.path("round-0/closing.jsonl")).unwrap();
    }
    // Nobody has replayed it: in a paid round it does not count, whatever is left out.
    world.expect(
        "score 0 --beacon random --without findings --without closing --without reveals -o -",
        0,
        "does not count: update of ann",
    );
    fs::remove_file(world.path("round-0/findings.jsonl")).unwrap();
    world.ok("replay 0 ann");
    world.expect("score 0 --without reveals", 1, "round-0/closing.jsonl: no such file: the round is paid");
    world.ok("commit --close 0");
    world.ok("commit 0 ann --reveal");
    world.ok("score 0 --beacon random");
    world.expect("settle --claim 0 ann", 66, "ann.0.0.reveal: no such file: the judge sends it");
    world.ok("settle 0");
    world.ok("settle --claim 0 ann --wait=30");
    world.ok("invoice status 0");
    world.ok("aggregate 0");
    let paid = records(&world.bytes("round-0/verdicts.jsonl"), "verdict")[0]["paid_msat"].as_u64().unwrap();
    assert!(paid > 0);
    assert_eq!(devnet.socket(2).quiet(), before + paid);
    let rungs = records(&world.bytes("round-0/rungs.jsonl"), "rung");
    let claimed: u64 = rungs.iter().filter(|r| r["state"] == "claimed").map(|r| r["msat"].as_u64().unwrap()).sum();
    assert_eq!(claimed, paid, "{rungs:?}");
    world.expect("audit --replay all", 0, "equal: ");
    // Nothing that anybody keeps to itself is in the run.
    let names = world.listing("round-0");
    assert!(!names.iter().any(|name| name.contains("key") || name.contains("escrow") || name.ends_with(".0.reveal")));
    // And every step again does nothing twice.
    for step in [
        "invoice offer 0",
        "invoice issue 0 ann",
        "commit 0 ann",
        "settle 0",
        "settle --claim 0 ann",
        "invoice status 0",
    ] {
        world.ok(step);
    }
    world.ok(&format!("invoice lock 0 --budget-msat {budget}"));
    assert_eq!(devnet.socket(2).quiet(), before + paid);
    // A party whose node and key are not there is told where they are looked for.
    fs::remove_file(world.path("../world-private/ann/lightning-rpc")).unwrap();
    world.expect("invoice status 0 ann", 66, "world-private/ann: expected lightning-rpc");
}

/// What README says of pay, line by line; between them what it says of the work.
#[test]
fn readmes_paid_round_goes_as_it_stands() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let paid = readme.split("## With pay").nth(1).unwrap().split("```").nth(1).unwrap();
    let lines: Vec<&str> = paid.lines().skip(1).map(|line| line.split('#').next().unwrap().trim()).collect();
    assert_eq!(lines.len(), 7, "{lines:?}");
    let devnet = Devnet::up(3, "");
    let world = begin(&devnet, "alice");
    let work = |n: u64| {
        world.ok(&format!("train {n} alice"));
        world.ok(&format!("commit {n} alice"));
    };
    let score = |n: u64| {
        world.ok(&format!("commit {n} alice --reveal"));
        world.ok(&format!("replay {n} alice"));
        world.ok(&format!("score {n} --beacon random"));
    };
    // The rounds before it in the same words.
    for n in 0..=3 {
        world.ok(&format!("assign {n} --beacon random"));
        let before = devnet.socket(2).quiet();
        for line in &lines {
            let typed = line.strip_prefix("l402 ").unwrap_or_else(|| panic!("{line}"));
            world.ok(&format!("{typed} ").replace(" 3 ", &format!(" {n} ")));
            match line {
                _ if line.starts_with("l402 invoice status") => work(n),
                _ if line.starts_with("l402 commit --close") => score(n),
                _ => {}
            }
        }
        let verdicts = records(&world.bytes(&format!("round-{n}/verdicts.jsonl")), "verdict");
        assert_eq!(devnet.socket(2).quiet(), before + verdicts[0]["paid_msat"].as_u64().unwrap());
        world.ok(&format!("aggregate {n}"));
        world.ok(&format!("invoice status {n}"));
    }
    world.expect("audit", 0, "equal: ");
}
