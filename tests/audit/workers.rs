//! What only a worker controls is never the run's fault: it is said, with the worker's name, and the run is equal.

use std::fs;

use l402::artifact::key::SigningKey;
use l402::artifact::{Commitment, Digest, canonical, commit, record};
use l402::pay::{Closing, hash_of};
use serde_json::{Value, json};

use crate::common::devnet::Devnet;
use crate::common::escrow::Table;
use crate::common::{WORKERS, World, beacon, records, talk};
use crate::folder::{audit, equal, names};
use crate::hand::Hand;
use crate::paid::{publish, sign};

/// The run is equal, and these are said.
#[track_caller]
fn said(world: &World, more: &str, what: &[&str]) {
    let said = equal(world, more);
    assert!(what.iter().all(|what| said.contains(what)), "expected {what:?} in\n{said}");
}

/// A moment; always true.
fn pause() -> bool {
    std::thread::sleep(std::time::Duration::from_millis(50));
    true
}

#[test]
fn a_worker_that_cancels_what_it_earned_harms_itself_alone() {
    let devnet = Devnet::up(2, "");
    let pair = devnet.pair(1, 2);
    let table = Table::new(&pair);
    let round = table.round(&pair, "c");
    round.up_to("settle");
    let (offer, verdict) = (&round.records("offers.jsonl", "offer")[0], &round.records("verdicts.jsonl", "verdict")[0]);
    assert!(verdict["paid_msat"].as_u64().unwrap() > 0);
    for hash in offer["hashes"].as_array().unwrap() {
        pair.payee.ask("cancelholdinvoice", json!({"payment_hash": hash}));
    }
    pair.payer.quiet();
    // The payer's node learns of each in its time.
    let status = format!("invoice status --round 0 --json --escrow c.judge {}", pair.payer.arg());
    let all_back = || records(&table.world.run(&status).stdout, "rung").iter().all(|rung| rung["state"] == "cancelled");
    assert!((0..600).any(|_| all_back() || !pause()));
    publish(&pair, &table, "c");
    assert!(!table.world.has("pub/round-0/claimed.jsonl"));
    let rungs = records(&table.world.bytes("pub/round-0/rungs.jsonl"), "rung");
    assert!(rungs.iter().all(|rung| rung["state"] == "cancelled"), "{rungs:?}");
    said(&table.world, "--replay all", &["round-0/rungs.jsonl", "ann", "came back"]);
    // Nor does it matter where the payer's books say that it never came about, or have never heard of the offer.
    let expired: String = rungs.iter().map(|r| canonical::json(r).replace("cancelled", "expired") + "\n").collect();
    for text in [expired, String::new()] {
        table.world.write("pub/round-0/rungs.jsonl", text.as_bytes());
        said(&table.world, "", &["round-0/rungs.jsonl", "ann"]);
    }
}

#[test]
fn a_claim_that_is_rubbish_false_or_of_something_else_is_said() {
    let devnet = Devnet::up(2, "");
    let pair = devnet.pair(1, 2);
    let table = Table::new(&pair);
    let world = &table.world;
    table.round(&pair, "a").up_to("claim");
    pair.payer.quiet();
    publish(&pair, &table, "a");
    let file = "pub/round-0/claimed.jsonl";
    let honest: Value = serde_json::from_slice(&world.bytes(file)).unwrap();
    let signed = |change: fn(&mut Value)| {
        let mut claimed = honest.clone();
        change(&mut claimed);
        sign(&mut claimed, &pair.payee);
        canonical::json(&claimed) + "\n"
    };
    let unsigned = canonical::json(&honest).replace("\"claimed_msat\":", "\"claimed_msat\":1");
    let rubbish = [
        signed(|c| c["verdict"] = json!("00".repeat(32))),
        signed(|c| c["claimed_msat"] = json!(1)),
        signed(|c| c["rungs"] = json!([0, 1, 2, 3, 4])),
        signed(|c| c["task"]["offer"] = json!("00".repeat(32))),
        signed(|c| c["task"]["attempt"] = json!(9)),
        unsigned + "\n",
        "rubbish\n".to_owned(),
        String::from_utf8(world.bytes("pub/round-0/held.jsonl")).unwrap(),
    ];
    for bent in rubbish {
        world.write(file, bent.as_bytes());
        said(world, "", &["round-0/claimed.jsonl"]);
        world.write(file, (bent + &canonical::json(&honest) + "\n").as_bytes());
        said(world, "", &["round-0/claimed.jsonl"]);
    }
    world.write(file, signed(|c| c["task"]["offer"] = json!("00".repeat(32))).as_bytes());
    said(world, "", &["a record for worker \"ann\": its offer is none of the round's"]);
    world.write(file, b"\xff\xfe\n");
    said(world, "", &["round-0/claimed.jsonl"]);
    fs::remove_file(world.path(file)).unwrap();
    said(world, "", &["equal"]);
    // Of what was never held nothing is decided, and nothing can be claimed.
    world.write(file, (canonical::json(&honest) + "\n").as_bytes());
    for list in ["held", "verdicts", "rungs"] {
        fs::remove_file(world.path(&format!("pub/round-0/{list}.jsonl"))).unwrap();
    }
    said(world, "", &["claimed by ann: there is no verdict"]);
}

#[test]
fn a_closing_among_the_commitments_is_one() {
    let devnet = Devnet::up(2, "");
    let pair = devnet.pair(1, 2);
    let table = Table::new(&pair);
    let world = &table.world;
    table.round(&pair, "m").up_to("claim");
    pair.payer.quiet();
    publish(&pair, &table, "m");
    // A second commitment, after the list was closed.
    let file = "pub/round-0/commitments.jsonl";
    let mut late = records(&world.bytes(file), "commitment")[0].clone();
    late["commitment"] = json!("00".repeat(32));
    sign(&mut late, &pair.payee);
    let closing = world.bytes("pub/round-0/closing.jsonl");
    let all = [&world.bytes(file)[..], &closing, canonical::json(&late).as_bytes(), b"\n"].concat();
    world.write(file, &all);
    said(world, "", &["equal"]);
    fs::remove_file(world.path("pub/round-0/closing.jsonl")).unwrap();
    said(world, "", &["equal"]);
    // What somebody else closes decides nothing, and is said.
    let mut forged = records(&closing, "closing")[0].clone();
    forged["commitments"] = json!([]);
    sign(&mut forged, &pair.payee);
    world.write(file, &[&all[..], canonical::json(&forged).as_bytes(), b"\n"].concat());
    said(world, "", &["a closing"]);
}

#[test]
fn a_commitment_after_the_closing_harms_nobody_where_the_judge_is_not_the_coordinator() {
    let hand = Hand::new();
    hand.assign(0);
    WORKERS.iter().for_each(|who| hand.work(0, who, None));
    hand.commit(0, &WORKERS);
    hand.replay(0, &WORKERS, None);
    let world = &hand.world;
    let judge = world.text("key judge.key").trim().to_owned();
    let list = "pub/round-0/commitments.jsonl";
    let all: Vec<Commitment> = record::read(&world.path(list)).unwrap();
    let mut commitments: Vec<_> = all.iter().map(|c| hash_of(c).unwrap()).collect();
    commitments.sort_unstable();
    let (run, judged) = (all[0].run, judge.parse().unwrap());
    let mut closing = Closing {
        run,
        round: 0,
        attempt: 0,
        height: 9,
        commitments,
        arrivals: None,
        block: None,
        judge: judged,
        sig: None,
    };
    record::sign(&mut closing, &SigningKey::load(&world.path("judge.key")).unwrap()).unwrap();
    world.write("pub/round-0/closing.jsonl", record::line(&closing).unwrap().as_bytes());
    let (mut late, _) = commit(run, 0, "bob", Digest::of(b"another"), Digest::of(b"nonce"));
    record::sign(&mut late, &SigningKey::load(&world.path("bob.key")).unwrap()).unwrap();
    hand.edit(list, |text| text + &record::line(&late).unwrap());
    let score = |more: &str| {
        world.ok(&format!(
            "score --recipe pub/run.toml --model pub/theta-0 --val pub/shards/val-00000.safetensors --beacon {} --findings \
             pub/round-0/findings.jsonl --assignments pub/round-0/assignments.jsonl --coordinator {} --commitments {list} \
             --commitments pub/round-0/closing.jsonl {more} -o pub/round-0/scores.jsonl --force pub/round-0/ann.update \
             pub/round-0/bob.update pub/round-0/cy.update",
            beacon("second 0"),
            world.coordinator
        ));
        records(&world.bytes("pub/round-0/scores.jsonl"), "score").iter().filter(|s| s["counts"] == true).count()
    };
    assert_eq!((score(""), score(&format!("--judge {judge}"))), (2, 3));
    hand.aggregate(0, &WORKERS);
    said(world, &format!("--judge {judge}"), &["3 of them count"]);
    // Commitments that were forgotten would cost everybody's pay.
    world.expect(
        &format!(
            "score --recipe pub/run.toml --model pub/theta-0 --val pub/shards/val-00000.safetensors --beacon {} --assignments \
             pub/round-0/assignments.jsonl --coordinator {} --commitments pub/round-0/closing.jsonl --judge {judge} \
             pub/round-0/ann.update",
            beacon("second 0"),
            world.coordinator
        ),
        66,
        "the closing of round 0 lists 3 commitments, and none of them was read",
    );
}

/// A round of ann's, bob's and cy's in which bob's update counts for nothing.
fn without_bob(hand: &Hand) {
    hand.replay(0, &["ann", "cy"], None);
    hand.finish(0, &["ann", "cy"]);
}

#[test]
fn an_update_that_was_shown_and_never_sent_is_said() {
    let hand = Hand::new();
    hand.assign(0);
    WORKERS.iter().for_each(|who| hand.work(0, who, None));
    hand.commit(0, &WORKERS);
    fs::remove_file(hand.world.path("pub/round-0/bob.update")).unwrap();
    without_bob(&hand);
    for depth in ["", "--replay all", "--replay 1"] {
        said(&hand.world, depth, &["round-0/bob.update", "bob"]);
    }
    // What the scores are of must be there.
    fs::remove_file(hand.world.path("pub/round-0/cy.update")).unwrap();
    assert_eq!(audit(&hand.world, "").status.code(), Some(66));
}

#[test]
fn a_commitment_to_what_another_sent_is_no_fault_of_the_other_or_the_run() {
    let hand = Hand::new();
    hand.assign(0);
    ["ann", "cy"].iter().for_each(|who| hand.work(0, who, None));
    hand.commit(0, &["ann", "cy"]);
    let world = &hand.world;
    let run: Digest = records(&world.bytes("pub/round-0/commitments.jsonl"), "commitment")[0]["run"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let digest = world.digest("pub/round-0/ann.update").parse().unwrap();
    let (mut stolen, reveal) = commit(run, 0, "bob", digest, Digest::of(b"nonce"));
    record::sign(&mut stolen, &SigningKey::load(&world.path("bob.key")).unwrap()).unwrap();
    hand.edit("pub/round-0/commitments.jsonl", |text| {
        text + &record::line(&stolen).unwrap() + &record::line(&reveal).unwrap()
    });
    without_bob(&hand);
    said(world, "--replay all", &["2 of them count"]);
    // With a file of its own that it has not committed to.
    hand.work(0, "bob", None);
    hand.finish(0, &WORKERS);
    said(world, "", &["2 of them count"]);
}

#[test]
fn an_update_that_one_worker_sends_as_another_is_no_fault_of_the_run() {
    let hand = Hand::new();
    hand.assign(0);
    WORKERS.iter().for_each(|who| hand.work(0, who, None));
    hand.commit(0, &["ann", "bob"]);
    // Bob has shown what it committed to, sends rubbish, and cy sends bob's work.
    let world = &hand.world;
    world.write("pub/round-0/cy.update", &world.bytes("pub/round-0/bob.update"));
    world.write("pub/round-0/bob.update", b"rubbish");
    hand.replay(0, &WORKERS, None);
    hand.finish(0, &WORKERS);
    said(world, "", &["1 of them count", "round-0/cy.update", "bob"]);
    said(world, "--replay all", &["1 of them count"]);
}

#[test]
fn leaves_that_are_not_what_an_update_says_are_said() {
    let hand = Hand::new();
    hand.play(0);
    for leaves in [&b"rubbish"[..], b"", b"\xff\xfe\n", b"{\"type\":\"leaf\",\"v\":1}\n"] {
        hand.world.write("pub/round-0/bob.leaves", leaves);
        said(&hand.world, "", &["round-0/bob.leaves"]);
    }
}

#[test]
fn an_update_that_is_no_file_of_ours_in_any_way_stops_no_audit() {
    let hand = Hand::new();
    hand.assign(0);
    ["ann", "cy"].iter().for_each(|who| hand.work(0, who, None));
    hand.commit(0, &["ann", "cy"]);
    let whole = hand.world.bytes("pub/round-0/ann.update");
    let packed = zstd::encode_all(&whole[..], 3).unwrap();
    let magic = [0x28, 0xb5, 0x2f, 0xfd];
    let rubbish = [
        Vec::new(),
        magic.to_vec(),
        [&magic[..], &[0xff; 64]].concat(),
        packed[..packed.len() / 2].to_vec(),
        [&packed[..], &magic, &[0xff; 8]].concat(),
        [&u64::MAX.to_le_bytes()[..], b"{}"].concat(),
    ];
    hand.replay(0, &["ann", "cy"], None);
    hand.finish(0, &["ann", "cy"]);
    for bytes in rubbish {
        hand.world.write("pub/round-0/bob.update", &bytes);
        said(&hand.world, "--replay all", &["3 updates, 2 of them count"]);
    }
}

#[test]
fn a_state_that_a_worker_keeps_to_itself_costs_the_worker_and_makes_no_finding_false() {
    let hand = Hand::new();
    hand.play(0);
    hand.assign(1);
    WORKERS.iter().for_each(|who| hand.work(1, who, Some((who, 0))));
    hand.commit(1, &WORKERS);
    let world = &hand.world;
    hand.replay(1, &["ann", "cy"], Some(0));
    // What the worker shows of it is not what its update left.
    let mut forged = world.bytes("pub/round-0/bob.feedback");
    let last = forged.len() - 4;
    forged[last..].copy_from_slice(&1f32.to_le_bytes());
    world.write("forged.feedback", &forged);
    let output = world.run(&format!(
        "replay --recipe pub/run.toml --model pub/theta-1 --worker bob --assignments pub/round-1/assignments.jsonl \
         --coordinator {} --shards pub/shards --update pub/round-1/bob.update --previous pub/round-0/bob.update \
         --state pub/round-0/bob.moments --state forged.feedback",
        world.coordinator
    ));
    let finding = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(finding.contains("mismatch") && finding.contains("state"), "{}", talk(&output));
    let without = world.bytes("pub/round-1/findings.jsonl");
    hand.edit("pub/round-1/findings.jsonl", |text| text + &finding);
    hand.finish(1, &WORKERS);
    said(world, "", &["5 of them count"]);
    // Whoever had the state, and says it was another, has found falsely.
    names(&audit(world, "--replay all"), "round-1/findings.jsonl", "the state is there");
    ["feedback", "moments"].iter().for_each(|kind| {
        fs::remove_file(world.path(&format!("pub/round-0/bob.{kind}"))).unwrap();
    });
    said(world, "--replay all", &["5 of them count", "bob", "state"]);
    said(world, "--replay 3", &["5 of them count", "bob", "state"]);
    // Or nobody could replay it at all.
    world.write("pub/round-1/findings.jsonl", &without);
    hand.finish(1, &WORKERS);
    said(world, "--replay all", &["5 of them count", "bob", "state"]);
}
