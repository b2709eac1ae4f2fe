//! Assignments, commitments, findings and scores that are false, forged or not there.

use std::fs;

use l402::artifact::key::SigningKey;
use l402::artifact::{Digest, record};
use l402::data::Assignment;
use l402::model::{ModelFolder, model_digest, write_flat};

use crate::common::{WORKERS, beacon, records, talk};
use crate::folder::{audit, equal, names};
use crate::hand::{Hand, forged, in_line};

#[test]
fn assignments_that_the_coordinator_chose_are_printed_as_evidence() {
    let hand = Hand::new();
    hand.play(0);
    let file = "pub/round-0/assignments.jsonl";
    let mut chosen: Vec<Assignment> = record::read(&hand.world.path(file)).unwrap();
    let (first, second) = (chosen[0].clone(), chosen[1].clone());
    (chosen[0].shard, chosen[0].shard_digest) = (second.shard, second.shard_digest);
    (chosen[1].shard, chosen[1].shard_digest) = (first.shard, first.shard_digest);
    let key = SigningKey::load(&hand.world.path("coordinator.key")).unwrap();
    chosen.iter_mut().for_each(|assignment| assignment.sign(&key).unwrap());
    let lines: String = chosen.iter().map(|assignment| record::line(assignment).unwrap()).collect();
    hand.world.write(file, lines.as_bytes());
    let output = audit(&hand.world, "--json");
    names(&output, "round-0/assignments.jsonl", "shards that nobody drew");
    let evidence = &records(&output.stdout, "evidence")[0];
    assert_eq!(evidence["signed"]["shard"], chosen[0].shard.as_str());
    assert_ne!(evidence["recomputed"]["shard"], evidence["signed"]["shard"]);
}

#[test]
fn a_wrong_score_and_a_nudged_theta_are_found() {
    let hand = Hand::new();
    hand.play(0);
    hand.play(1);
    let scores = "pub/round-0/scores.jsonl";
    let honest = hand.world.bytes(scores);
    hand.edit(scores, |text| {
        in_line(&text, "\"worker\":\"ann\"", |line| {
            let record = &records(line.as_bytes(), "score")[0];
            let msat = record["entitled_msat"].as_u64().unwrap();
            line.replace(&format!("\"entitled_msat\":{msat}"), &format!("\"entitled_msat\":{}", msat + 1))
        })
    });
    names(&audit(&hand.world, ""), "round-0/scores.jsonl", "a wrong score");
    hand.world.write(scores, &honest);

    // A theta that is whole in itself, and not the one that the updates make.
    let theta = ModelFolder::load(&hand.world.path("pub/theta-1")).unwrap();
    let mut parameters = theta.parameters.to_vec().unwrap();
    parameters[1000] *= 1.5;
    let mut meta = theta.meta.clone();
    meta.set("model", model_digest(&theta.config, &theta.layout, &parameters));
    let nudged = write_flat("theta", Vec::new(), meta, &theta.layout, &parameters).unwrap().0;
    drop(theta);
    hand.world.write("pub/theta-1/model.safetensors", &nudged);
    names(&audit(&hand.world, ""), "theta-1/model.safetensors", "a nudged theta");
}

#[test]
fn a_forged_state_that_was_carried_is_found_though_its_finding_says_exact() {
    let hand = Hand::new();
    hand.play(0);
    hand.assign(1);
    hand.work(1, "ann", Some(("ann", 0)));
    hand.work(1, "cy", Some(("cy", 0)));
    // Bob begins from zero again, which forgets what his error feedback owes.
    hand.work(1, "bob", None);
    hand.commit(1, &WORKERS);
    hand.replay(1, &["ann", "cy"], Some(0));
    // Replayed as if nothing had been before, it is exact.
    let forged = hand.finding(1, "bob", None);
    assert!(forged.contains("\"exact\""), "{forged}");
    hand.edit("pub/round-1/findings.jsonl", |text| text + &forged);
    hand.finish(1, &WORKERS);
    names(&audit(&hand.world, ""), "round-1/findings.jsonl", "a chain that is broken");
    names(&audit(&hand.world, "--replay all"), "round-1/findings.jsonl", "a chain that is broken");
}

#[test]
fn a_forged_mismatch_beside_a_true_finding_is_found() {
    let hand = Hand::new();
    hand.play(0);
    let (file, honest) = ("pub/round-0/findings.jsonl", hand.world.bytes("pub/round-0/findings.jsonl"));
    let text = String::from_utf8(honest).unwrap();
    let line = text.lines().find(|l| l.contains("\"worker\":\"bob\"")).unwrap();
    // Before the true one or after it: a mismatch decides.
    for lines in [format!("{}\n{text}", forged(line, "mismatch")), format!("{text}{}\n", forged(line, "mismatch"))] {
        hand.world.write(file, lines.as_bytes());
        hand.finish(0, &WORKERS);
        let said = equal(&hand.world, "");
        assert!(said.contains("2 of them count"), "{said}");
        names(&audit(&hand.world, "--replay all"), "round-0/findings.jsonl", "a forged mismatch");
        names(&audit(&hand.world, "--replay 3"), "round-0/findings.jsonl", "a forged mismatch");
    }
}

#[test]
fn a_weaker_finding_that_costs_exact_work_its_pay_is_found() {
    let hand = Hand::new();
    hand.play(0);
    hand.edit("pub/round-0/findings.jsonl", |text| in_line(&text, "\"worker\":\"bob\"", |line| forged(line, "near")));
    hand.finish(0, &WORKERS);
    let said = equal(&hand.world, "");
    assert!(said.contains("2 of them count"), "{said}");
    let output = audit(&hand.world, "--replay all");
    names(&output, "round-0/findings.jsonl", "a weaker finding");
    assert!(talk(&output).contains("near, not exact"), "{}", talk(&output));
}

#[test]
fn rounds_without_findings_and_commitments_are_said() {
    let hand = Hand::new();
    hand.play(0);
    ["findings", "commitments"]
        .iter()
        .for_each(|list| fs::remove_file(hand.world.path(&format!("pub/round-0/{list}.jsonl"))).unwrap());
    let updates: Vec<String> = WORKERS.iter().map(|who| hand.file(0, &format!("{who}.update"))).collect();
    hand.world.ok(&format!(
        "score --recipe pub/run.toml --model pub/theta-0 --val pub/shards/val-00000.safetensors --beacon {} \
         --assignments {} --coordinator {} -o {} --force {}",
        beacon("second 0"),
        hand.file(0, "assignments.jsonl"),
        hand.world.coordinator,
        hand.file(0, "scores.jsonl"),
        updates.join(" ")
    ));
    hand.aggregate(0, &WORKERS);
    let said = equal(&hand.world, "");
    assert!(said.contains("nobody replayed") && said.contains("no commitments: "), "{said}");
    let summary = &records(&audit(&hand.world, "--json").stdout, "audit")[0];
    let totals = &summary["totals"];
    assert_eq!((&totals["without_findings"], &totals["without_commitments"]), (&1.into(), &1.into()));
}

#[test]
fn many_forged_lines_among_the_commitments_cost_little_and_are_counted() {
    let hand = Hand::new();
    hand.play(0);
    let text = String::from_utf8(hand.world.bytes("pub/round-0/commitments.jsonl")).unwrap();
    let of = |kind: &str| records(text.as_bytes(), kind)[0].clone();
    let (mut commitment, mut reveal, mut lines) = (of("commitment"), of("reveal"), text.clone());
    for i in 0..4000 {
        let hex = Digest::of(format!("forged {i}").as_bytes()).to_string();
        (commitment["commitment"], reveal["nonce"]) = (hex.clone().into(), hex.into());
        [&commitment, &reveal].iter().for_each(|r| lines += &(l402::artifact::canonical::json(r) + "\n"));
    }
    hand.world.write("pub/round-0/commitments.jsonl", lines.as_bytes());
    let said = equal(&hand.world, "");
    assert!(said.contains("and 7980 more") && said.matches("passed over").count() == 21, "{said}");
}
