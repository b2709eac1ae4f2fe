//! A paid round: one altered byte, a lie that was judged, and what proves nothing.

use std::fs;

use l402::artifact::record::{self, Line};
use l402::pay::{Offer, Report, State, Verdict};
use lightning::bitcoin::hashes::{Hash, sha256};
use serde_json::{Value, json};

use crate::bytes::same_recipe;
use crate::common::devnet::Devnet;
use crate::common::escrow::{Pair, ROUND_MSAT, Socket, Table};
use crate::common::{World, beacon, records, talk};
use crate::folder::{audit, equal, files, flips, names, places};
use crate::hand::{exact, forged, lie};

/// A paid round of ann's, as it is published. `false_scores` changes the scores before they are judged.
pub fn paid(pair: &Pair, table: &Table, name: &str, false_scores: Option<fn(&str) -> String>) {
    let (world, round) = (&table.world, table.round(pair, name));
    let honest = world.bytes("0.scores.jsonl");
    round.up_to("open");
    if let Some(change) = false_scores {
        world.write("0.scores.jsonl", change(std::str::from_utf8(&honest).unwrap()).as_bytes());
    }
    ["settle", "claim"].iter().for_each(|step| drop(round.ok(step)));
    pair.payer.quiet();
    publish(pair, table, name);
    world.write("0.scores.jsonl", &honest);
}

/// The run folder of a try at ann's round, with the lists that there are.
pub fn publish(pair: &Pair, table: &Table, name: &str) {
    let (world, round) = (&table.world, table.round(pair, name));
    let _ = fs::remove_dir_all(world.path("pub"));
    fs::create_dir_all(world.path("pub/round-0")).unwrap();
    let rungs = format!("invoice status --round 0 --json --escrow {name}.judge {}", pair.payer.arg());
    world.ok(&format!("{rungs} -o pub/round-0/rungs.jsonl"));
    let copy = |from: &str, to: &str| world.write(&format!("pub/{to}"), &world.bytes(from));
    copy("r.toml", "run.toml");
    copy("roster.jsonl", "roster.jsonl");
    world.write("pub/ann.pub", format!("{}\n", table.worker).as_bytes());
    world.write("pub/coordinator.pub", format!("{}\n", world.coordinator).as_bytes());
    world.write("pub/round-0/beacon-a", format!("{}\n", beacon("first")).as_bytes());
    world.write("pub/round-0/beacon-b", format!("{}\n", beacon("second")).as_bytes());
    ["shards", "theta-0"].iter().for_each(|folder| world.copy_folder(folder, &format!("pub/{folder}")));
    for list in ["assignments", "findings", "scores"] {
        copy(&format!("0.{list}.jsonl"), &format!("round-0/{list}.jsonl"));
    }
    let lists = ["offers", "invoices", "held", "closing", "verdicts", "claimed"];
    for list in lists.iter().filter(|list| world.has(&format!("{name}.{list}.jsonl"))) {
        copy(&format!("{name}.{list}.jsonl"), &format!("round-0/{list}.jsonl"));
    }
    let commitments = [world.bytes(&round.file("commitments.jsonl")), world.bytes(&round.file("openings.jsonl"))];
    world.write("pub/round-0/commitments.jsonl", &commitments.concat());
    ["update", "feedback"].iter().for_each(|kind| copy(&format!("ann.0.{kind}"), &format!("round-0/ann.{kind}")));
    let _ = fs::remove_dir_all(world.path("theta-1"));
    world.ok(&(world.aggregate(0, &["ann.0.update"]) + " -o theta-1"));
    world.copy_folder("theta-1", "pub/theta-1");
}

/// Signs a record, whatever stands in it, by a node.
pub fn sign(record: &mut Value, node: &Socket) {
    record.as_object_mut().unwrap().remove("sig");
    let kind = record["type"].as_str().unwrap_or_default().to_owned();
    let hash = sha256::Hash::hash(l402::artifact::canonical::json(record).as_bytes());
    let message = format!("l402/1/{kind}/{}", hex::encode(hash.to_byte_array()));
    record["sig"] = node.ask("signmessage", json!({"message": message}))["zbase"].clone();
}

/// Whether rungs differ in what was sent for them alone, and that covers the amount.
fn same_but_fees(whole: &[u8], bent: &[u8]) -> bool {
    let parse = |bytes: &[u8]| -> Option<Vec<Report>> {
        let lines = std::str::from_utf8(bytes).ok()?.lines();
        lines.map(|line| Line::parse("rungs", line).ok()?.get().ok()?).collect()
    };
    let (Some(whole), Some(bent)) = (parse(whole), parse(bent)) else { return false };
    let bare = |r: &Report| record::line(&Report { sent_msat: None, ..r.clone() }).unwrap();
    let covers = |r: &Report| r.sent_msat.is_none_or(|sent| sent >= r.msat && r.state == State::Claimed);
    whole.len() == bent.len() && whole.iter().zip(&bent).all(|(a, b)| bare(a) == bare(b) && covers(b))
}

/// The same scores with half of what ann earned.
fn halved(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let mut record: Value = serde_json::from_str(line).unwrap();
        let field = if record["type"] == "score" { "entitled_msat" } else { "returned_msat" };
        let msat = record[field].as_u64().unwrap();
        record[field] = if field == "entitled_msat" { msat / 2 } else { (msat + ROUND_MSAT).div_ceil(2) }.into();
        l402::artifact::canonical::json(&record) + "\n"
    });
    lines.collect()
}

#[test]
fn a_paid_run_is_equal_and_one_altered_byte_names_its_artifact() {
    let devnet = Devnet::up(2, "");
    let pair = devnet.pair(1, 2);
    let table = Table::new(&pair);
    paid(&pair, &table, "honest", None);
    let world = &table.world;
    let said = equal(world, "--replay all");
    let verdict = &records(&world.bytes("pub/round-0/verdicts.jsonl"), "verdict")[0];
    assert!(said.contains(&format!("{} msat paid", verdict["paid_msat"])), "{said}");
    let mut flipped = 0;
    for file in files(world) {
        let whole = world.bytes(&format!("pub/{file}"));
        flipped += flips(world, &file, 8, "", |bent| match file.as_str() {
            "run.toml" => same_recipe(&whole, bent),
            // What was sent for a rung, fees among it, is the word of the payer's node alone.
            "round-0/rungs.jsonl" => same_but_fees(&whole, bent),
            // The workers' word, which anybody could have written: named all the same, and no difference.
            "round-0/invoices.jsonl" | "round-0/claimed.jsonl" => true,
            _ => false,
        });
    }
    assert!(flipped > 180, "{flipped}");
    for file in ["round-0/invoices.jsonl", "round-0/claimed.jsonl"] {
        let whole = world.bytes(&format!("pub/{file}"));
        for (at, bit) in places(file, &whole, 8).into_iter().filter(|(at, _)| *at < whole.len() - 1) {
            let mut bent = whole.clone();
            bent[at] ^= 1 << bit;
            world.write(&format!("pub/{file}"), &bent);
            let said = equal(world, "");
            assert!(said.contains(&format!("{file}: passed over")), "{file} at {at}, bit {bit}: {said}");
        }
        world.write(&format!("pub/{file}"), &whole);
    }
    // Nor is a verdict for the altered scores of a table that nobody pinned a judge for.
    world.expect("audit pub", 0, "no key is pinned");
    let other = devnet.socket(2).id();
    world.expect(
        &format!("audit pub --coordinator {} --judge {other}", world.coordinator),
        1,
        "pub/round-0/offers.jsonl: ",
    );
}

#[test]
fn a_verdict_on_false_scores_is_printed_as_evidence() {
    let devnet = Devnet::up(2, "");
    let pair = devnet.pair(1, 2);
    let table = Table::new(&pair);
    paid(&pair, &table, "false", Some(halved));
    let output = audit(&table.world, "--json");
    names(&output, "round-0/scores.jsonl", "false scores");
    let evidence = &records(&output.stdout, "evidence")[0];
    assert_eq!((&evidence["artifact"], &evidence["worker"]), (&"round-0/verdicts.jsonl".into(), &"ann".into()));
    let rule = evidence["rule"].as_str().unwrap();
    assert!(rule.starts_with("the scores are what the round's files make them: "), "{rule}");
    assert!(rule.contains("entitled_msat"), "{rule}");
    assert_eq!(evidence["recomputed"]["entitled_msat"].as_u64().unwrap(), table.earned);
    assert_eq!(evidence["signed"]["entitled_msat"].as_u64().unwrap(), table.earned / 2);
    // The signed record stands there whole: anybody can check who signed it.
    let line = l402::artifact::canonical::json(&evidence["signed"]);
    let verdict: Verdict = Line::parse("evidence", &line).unwrap().get().unwrap().unwrap();
    let offer: Offer = record::read(&table.world.path("pub/round-0/offers.jsonl")).unwrap().remove(0);
    verdict.verify(&offer).unwrap();
    let difference = &records(&output.stdout, "difference")[0];
    assert_eq!(difference["artifact"], "round-0/scores.jsonl");
    // What was altered afterwards, by whoever has the folder, proves nothing against the judge.
    let scores = "pub/round-0/scores.jsonl";
    table.world.write(scores, halved(&String::from_utf8(table.world.bytes(scores)).unwrap()).as_bytes());
    let output = audit(&table.world, "--json");
    names(&output, "round-0/scores.jsonl", "altered scores");
    assert!(records(&output.stdout, "evidence").is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn a_verdict_on_a_false_finding_is_printed_as_evidence_where_the_training_is_done_again() {
    let devnet = Devnet::up(2, "");
    let pair = devnet.pair(1, 2);
    let mut table = Table::new(&pair);
    let world = &table.world;
    lie(world, "ann", ["r.toml", "theta-0", "shards", "0.assignments.jsonl"], "ann.0.update");
    let finding = String::from_utf8(world.run(&world.replay(0, "ann", "ann.0.update")).stdout).unwrap();
    assert!(finding.contains("mismatch"), "{finding}");
    world.write("0.findings.jsonl", format!("{}\n", exact(finding.trim_end())).as_bytes());
    world.ok(&format!(
        "score --recipe r.toml --model theta-0 --val shards/val-00000.safetensors --beacon {} --findings \
         0.findings.jsonl --assignments 0.assignments.jsonl --coordinator {} -o 0.scores.jsonl --force ann.0.update",
        beacon("second"),
        world.coordinator
    ));
    let scores = records(&world.bytes("0.scores.jsonl"), "score");
    table.earned = scores[0]["entitled_msat"].as_u64().unwrap();
    paid(&pair, &table, "lazy", None);
    equal(&table.world, "");
    let output = audit(&table.world, "--replay all --json");
    names(&output, "round-0/findings.jsonl", "a false finding");
    let evidence = &records(&output.stdout, "evidence")[0];
    assert_eq!(evidence["signed"]["entitled_msat"].as_u64().unwrap(), table.earned);
    assert_eq!(evidence["recomputed"]["entitled_msat"], 0);
    let reason = evidence["recomputed"]["reason"].as_str().unwrap();
    assert!(reason.contains("replay differs"), "{reason}");
}

/// No evidence, and this artifact named.
#[track_caller]
fn proves_nothing(world: &World, artifact: &str, why: &str) {
    let output = audit(world, "--json");
    names(&output, artifact, why);
    assert!(records(&output.stdout, "evidence").is_empty(), "{why}: {}", String::from_utf8_lossy(&output.stdout));
}

/// The run differs, and it is said how.
#[track_caller]
fn differs(world: &World, what: &str) {
    let output = audit(world, "");
    assert_eq!(output.status.code(), Some(1), "{}", talk(&output));
    assert!(talk(&output).contains(what), "expected {what:?} in\n{}", talk(&output));
}

#[test]
fn what_was_altered_after_an_honest_verdict_proves_nothing_against_the_judge() {
    let devnet = Devnet::up(2, "");
    let pair = devnet.pair(1, 2);
    let table = Table::new(&pair);
    paid(&pair, &table, "honest", None);
    let world = &table.world;
    let keep = |file: &str| world.bytes(&format!("pub/round-0/{file}"));
    let (findings, scores, commitments) = (keep("findings.jsonl"), keep("scores.jsonl"), keep("commitments.jsonl"));
    let put = |file: &str, bytes: &[u8]| world.write(&format!("pub/round-0/{file}"), bytes);

    // A mismatch that somebody appends; and scores made to fit it.
    let text = String::from_utf8(findings.clone()).unwrap();
    put("findings.jsonl", format!("{text}{}\n", forged(text.trim_end(), "mismatch")).as_bytes());
    proves_nothing(world, "round-0/findings.jsonl", "an appended finding");
    world.ok(&format!(
        "score --recipe r.toml --model theta-0 --val shards/val-00000.safetensors --beacon {} --findings \
         pub/round-0/findings.jsonl --assignments 0.assignments.jsonl --coordinator {} -o pub/round-0/scores.jsonl \
         --force ann.0.update",
        beacon("second"),
        world.coordinator
    ));
    proves_nothing(world, "round-0/findings.jsonl", "an appended finding and scores that fit it");
    put("findings.jsonl", &findings);
    put("scores.jsonl", &scores);

    // A second commitment of the worker's own, after the list was closed, counts for nothing.
    lie(world, "ann", ["r.toml", "theta-0", "shards", "0.assignments.jsonl"], "other.update");
    let second =
        world.text(&format!("commit other.update --round 0 --worker ann --escrow honest.worker {}", pair.payee.arg()));
    let grown = format!("{}{second}", String::from_utf8(commitments.clone()).unwrap());
    put("commitments.jsonl", grown.as_bytes());
    equal(world, "");
    world.write("grown.jsonl", &[grown.as_bytes(), &keep("closing.jsonl")].concat());
    let score = |list: &str| {
        world.text(&format!(
            "score --recipe r.toml --model theta-0 --val shards/val-00000.safetensors --beacon {} --findings \
             0.findings.jsonl --assignments 0.assignments.jsonl --coordinator {} --commitments {list} ann.0.update",
            beacon("second"),
            world.coordinator
        ))
    };
    assert_eq!(score("grown.jsonl").as_bytes(), scores);
    assert!(score("pub/round-0/commitments.jsonl").contains("two commitments"));
    // Without the closing it is the list that is not what it was.
    let closing = keep("closing.jsonl");
    fs::remove_file(world.path("pub/round-0/closing.jsonl")).unwrap();
    proves_nothing(world, "round-0/commitments.jsonl", "a list that has grown, without its closing");
    put("commitments.jsonl", &commitments);
    proves_nothing(world, "round-0/closing.jsonl", "a closing that was taken away");
    differs(world, "closing.jsonl: expected the closed list, as the verdict on the ");
    put("closing.jsonl", &closing);
    // What opened the commitment is taken away.
    let shut: String = std::str::from_utf8(&commitments)
        .unwrap()
        .lines()
        .filter(|l| !l.contains("reveal"))
        .map(|l| format!("{l}\n"))
        .collect();
    put("commitments.jsonl", shut.as_bytes());
    proves_nothing(world, "round-0/commitments.jsonl", "a reveal that was taken away");
    put("commitments.jsonl", &commitments);
    // A list of one more, which is not there, signed by the judge; in order and out of it.
    for (at, what) in [
        (0, "commitments.jsonl: expected the commitment 0000"),
        (1, "closing.jsonl: closing of round 0: commitments: expected them in ascending order"),
    ] {
        let mut more = records(&closing, "closing")[0].clone();
        more["commitments"].as_array_mut().unwrap().insert(at, json!("00".repeat(32)));
        sign(&mut more, pair.judge());
        put("closing.jsonl", (l402::artifact::canonical::json(&more) + "\n").as_bytes());
        differs(world, what);
    }
    put("closing.jsonl", &closing);
    // No verdict on what was held; and less sent than was claimed.
    let verdicts = keep("verdicts.jsonl");
    put("verdicts.jsonl", b"");
    differs(world, "verdicts.jsonl: expected a verdict on the task of ann, whose pay was held");
    put("verdicts.jsonl", &verdicts);
    let rungs = keep("rungs.jsonl");
    let mut less = records(&rungs, "rung");
    less.iter_mut().filter(|rung| rung["state"] == "claimed").for_each(|rung| rung["sent_msat"] = json!(1));
    let less: String = less.iter().map(|rung| l402::artifact::canonical::json(rung) + "\n").collect();
    put("rungs.jsonl", less.as_bytes());
    differs(world, "sent_msat: expected the amount at least, of what was claimed");
    put("rungs.jsonl", &rungs);
    equal(world, "");
}
