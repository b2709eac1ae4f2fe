//! Findings as their validators' word: `replay --key`, what counts of them, and what two that contradict each other prove.

mod common;

use std::fs;

use common::{FULL, WORKERS, World, beacon, records, talk};
use l402::artifact::key::SigningKey;
use l402::artifact::record::{self, Line};
use l402::artifact::{Header, Meta, Reader, Writer};
use l402::fsio::Source;
use l402::verify::{Finding, Verdict};

const VALIDATORS: [&str; 2] = ["val-a", "val-b"];

fn key(world: &World, who: &str) -> SigningKey {
    SigningKey::load(&world.path(&format!("../world-private/{who}/key"))).unwrap()
}

/// A round whose updates are there, under a recipe with these validators; bob's tensors are ann's.
fn worked(validators: &[&str]) -> World {
    let world = World::new(FULL);
    let mut recipe = String::from_utf8(world.bytes("r.toml")).unwrap();
    for who in VALIDATORS.iter().chain(&["mallory"]) {
        fs::create_dir_all(world.path(&format!("../world-private/{who}"))).unwrap();
        let key = world.text(&format!("key ../world-private/{who}/key"));
        if validators.contains(who) {
            recipe += &format!("[[score.validators]]\nkey = \"{}\"\n", key.trim());
        }
    }
    fs::remove_file(world.path("r.toml")).unwrap();
    world.write("run.toml", recipe.as_bytes());
    world.begin_run();
    world.ok(&format!("assign 0 --beacon {}", beacon("first 0")));
    WORKERS.iter().for_each(|who| drop(world.ok(&format!("train 0 {who}"))));
    let open = |who: &str| Reader::open(Source::open(&world.path(&format!("round-0/{who}.update"))).unwrap()).unwrap();
    let (meta, mut stolen) = (Meta(open("bob").header().metadata.clone()), open("ann"));
    let mut lie = Writer::new("lie", Vec::new(), Header::new(meta.0, stolen.header().tensors.clone())).unwrap();
    while let Some((info, data)) = stolen.next_tensor().unwrap() {
        lie.bytes(&info.name, &data).unwrap();
    }
    world.write("round-0/bob.update", &lie.finish().unwrap().0);
    // Of what it leaves an honest worker shows nothing; of a liar the audit has nothing either.
    WORKERS.iter().for_each(|who| drop(world.ok(&format!("commit 0 {who}"))));
    WORKERS.iter().for_each(|who| drop(world.ok(&format!("commit 0 {who} --reveal"))));
    world.ok(&format!("beacon {} -o round-0/beacon-b", beacon("second 0")));
    world
}

/// The worker's finding as this validator signs it.
fn found(world: &World, who: &str, validator: &str) -> Finding {
    let output = world.run(&format!("replay 0 {who} {validator} -o {who}.found --force"));
    assert_eq!(output.status.code(), Some(i32::from(who == "bob")), "{}", talk(&output));
    read(&world.bytes(&format!("{who}.found")))
}

fn read(line: &[u8]) -> Finding {
    Line::parse("found", std::str::from_utf8(line).unwrap().trim_end()).unwrap().get().unwrap().unwrap()
}

/// What bob would like to be found of him.
fn wished(finding: &Finding) -> Finding {
    let (differs, expected, found, validator, sig) = (None, None, None, None, None);
    Finding { finding: Verdict::Exact, differs, expected, found, validator, sig, ..finding.clone() }
}

fn signed(world: &World, mut finding: Finding, who: &str) -> Finding {
    finding.sign(&key(world, who)).unwrap();
    finding
}

fn list(world: &World, findings: &[&Finding]) {
    let lines: String = findings.iter().map(|finding| record::line(*finding).unwrap()).collect();
    world.write("round-0/findings.jsonl", lines.as_bytes());
}

/// Who counts by these findings, and what is said of it.
fn counts(world: &World, more: &str) -> (Vec<String>, String) {
    let val = "--val shards/val-00000.safetensors --assignments round-0/assignments.jsonl --shards shards";
    let updates = WORKERS.map(|who| format!("round-0/{who}.update")).join(" ");
    let beacon = beacon("second 0");
    let score = format!(
        "score --recipe run.toml --model theta-0 {val} --beacon {beacon} --findings round-0/findings.jsonl {more} {updates}"
    );
    let output = world.ok(&score);
    let scores = records(&output.stdout, "score");
    let counting = scores.iter().filter(|s| s["counts"] == true).map(|s| s["worker"].as_str().unwrap().to_owned());
    (counting.collect(), talk(&output))
}

#[test]
fn a_forged_finding_is_not_taken_as_a_validators() {
    let world = worked(&VALIDATORS);
    let [ann, bob, cy] = WORKERS.map(|who| found(&world, who, "val-a"));
    assert!(bob.differs.as_deref().unwrap().starts_with("tensor "), "{bob:?}");
    list(&world, &[&ann, &bob, &cy]);
    assert_eq!(counts(&world, "").0, ["ann", "cy"]);

    let (validator, wish) = (ann.validator.clone(), wished(&bob));
    let mallory = signed(&world, wish.clone(), "mallory");
    let forged = [
        (wish.clone(), "no validator of the recipe has signed it"),
        (mallory.clone(), "is no validator of this recipe"),
        // Another's signature, and the validator's own on something else, under its name.
        (Finding { validator: validator.clone(), ..mallory }, " did not sign it"),
        (Finding { validator: validator.clone(), sig: ann.sig.clone(), ..wish.clone() }, " did not sign it"),
        (Finding { validator: validator.clone(), sig: bob.sig.clone(), ..wish.clone() }, " did not sign it"),
        (Finding { validator, ..wish.clone() }, "a signature and whose it is belong together"),
        (Finding { sig: ann.sig.clone(), ..wish.clone() }, "a signature and whose it is belong together"),
        (Finding { validator: Some("02ab".into()), sig: ann.sig.clone(), ..wish }, "expected 66 hex digits"),
    ];
    for (forged, why) in &forged {
        list(&world, &[&ann, forged, &cy]);
        let (counting, said) = counts(&world, "");
        assert_eq!(counting, ["ann", "cy"], "{forged:?}");
        assert!(said.contains("left out: a finding on bob in round 0") && said.contains(why), "{why}: {said}");
        // The next model is not made of it either, nor does an accusation that is forged take anything.
        let updates = "round-0/ann.update round-0/bob.update";
        let aggregate =
            format!("aggregate --recipe run.toml --model theta-0 --findings round-0/findings.jsonl {updates} -o out");
        let output = world.ok(&aggregate);
        assert!(talk(&output).contains("round-0/bob.update: it was not replayed"), "{}", talk(&output));
        fs::remove_dir_all(world.path("out")).unwrap();
        let accused =
            Finding { worker: "ann".into(), update: ann.update, finding: Verdict::Mismatch, ..forged.clone() };
        list(&world, &[&ann, &accused, &cy]);
        assert_eq!(counts(&world, "").0, ["ann", "cy"], "{accused:?}");
    }
    // Whoever signs is told where it does not count.
    let said = |args: &str| talk(&world.ok(&format!("replay 0 ann {args} -o - ")));
    assert!(said("mallory").contains("who is no validator of this recipe: it does not count"));
    assert!(said("").contains("not signed: the recipe names validators"));
    world.expect("replay 0 ann No/One", 2, "No/One: expected");
    world.expect("replay 0 ann nobody", 66, "world-private/nobody: expected lightning-rpc");
}

#[test]
fn signing_is_for_whoever_wants_to_and_changes_nothing_else() {
    let world = worked(&[]);
    let plain = world.text("replay 0 ann -o -");
    let named = |text: &str| text.contains("\"validator\"") || text.contains("\"sig\"");
    assert!(!named(&plain), "{plain}");
    let signed_by = |who: &str| world.text(&format!("replay 0 ann {who} -o -"));
    let text = signed_by("val-a");
    let finding = read(text.as_bytes());
    assert_eq!(finding.signer().unwrap(), Some(key(&world, "val-a").public()));
    assert_eq!(record::line(&Finding { validator: None, sig: None, ..finding.clone() }).unwrap(), plain);
    // The same each time, by whichever flag.
    assert_eq!(signed_by("val-a"), text);
    assert_eq!(signed_by("--key ../world-private/val-a/key"), text);
    assert_ne!(signed_by("val-b"), text);
    // What nobody signed counts beside it; what is forged does not, though nobody asked for signatures.
    let [bob, cy] = ["bob", "cy"].map(|who| read(&world.run(&format!("replay 0 {who} -o -")).stdout));
    let accused = signed(&world, Finding { worker: "cy".into(), update: cy.update, ..bob.clone() }, "val-b");
    let forged = Finding { validator: finding.validator.clone(), ..accused };
    list(&world, &[&finding, &bob, &cy, &forged]);
    let (counting, said) = counts(&world, "");
    assert_eq!(counting, ["ann", "cy"]);
    assert!(said.contains("left out: a finding on cy in round 0: ") && said.contains(" did not sign it"), "{said}");
}

/// The round is scored by val-b, merged and aggregated.
fn finish(world: &World) {
    for who in VALIDATORS {
        world.ok(&format!("score 0 {who}"));
    }
    world.ok("score 0 --consensus");
    world.ok("aggregate 0");
}

#[test]
fn two_findings_of_one_validator_that_contradict_each_other_count_for_nothing_and_are_evidence() {
    let world = worked(&VALIDATORS);
    let [ann, bob, cy] = WORKERS.map(|who| found(&world, who, "val-a"));
    let sold = signed(&world, wished(&bob), "val-a");
    // The one who found it twice over is not heard on it; without another nobody has replayed it.
    list(&world, &[&ann, &bob, &sold, &cy]);
    world.expect("score 0 val-a", 1, "round-0/findings.jsonl: expected a finding on");
    let (counting, said) = counts(&world, "");
    assert_eq!(counting, ["ann", "cy"]);
    assert!(said.contains("has signed that it is exact, and that it is not"), "{said}");
    // Honest work is not lost by a validator's two words, where another has one.
    let foul = signed(&world, Finding { worker: "ann".into(), update: ann.update, ..bob.clone() }, "val-a");
    let other = found(&world, "ann", "val-b");
    list(&world, &[&ann, &foul, &other, &bob, &cy]);
    assert_eq!(counts(&world, "").0, ["ann", "cy"]);

    list(&world, &[&ann, &bob, &sold, &cy, &found(&world, "bob", "val-b")]);
    finish(&world);
    let proves = |args: &str| {
        let output = world.ok(&format!("{args} --json"));
        assert!(talk(&output).contains("evidence against who signed round-0/findings.jsonl"), "{}", talk(&output));
        let evidence = records(&output.stdout, "evidence");
        assert_eq!((evidence.len(), records(&output.stdout, "audit").len()), (1, 1));
        assert_eq!(evidence[0]["worker"], key(&world, "val-a").public().to_string());
        assert_eq!(evidence[0]["rule"], "a validator finds one thing of one work");
        // Both records are there, each with its signature: nothing else is needed to check them.
        let of = |field: &str| read(l402::artifact::canonical::json(&evidence[0][field]).as_bytes());
        let (one, two) = (of("signed"), of("against"));
        assert_eq!((one.finding, two.finding), (Verdict::Exact, Verdict::Mismatch));
        assert!(one.signer().unwrap() == two.signer().unwrap() && one.signer().unwrap().is_some());
    };
    for args in ["audit", "audit --work ../audited", "audit --work ../audited", "audit --replay all"] {
        proves(args);
    }
    assert!(talk(&world.ok("audit")).contains("--json prints the evidence"));

    // The same twice, and what was drawn by whatever beacon, is no contradiction.
    let drawn = |beacon: &str| {
        let sample = l402::verify::Sample {
            beacon: common::beacon(beacon).parse().unwrap(),
            segments: vec![2],
            of_segments: 3,
            chunks: 1,
            of_chunks: 1,
            opened_bytes: 0,
            missed_ppm: vec![],
            missed_chunks_ppm: vec![],
        };
        signed(&world, Finding { finding: Verdict::Sampled, sample: Some(sample), ..wished(&bob) }, "val-a")
    };
    list(&world, &[&ann, &ann, &bob, &bob, &drawn("one"), &drawn("two"), &cy]);
    let output = world.run("audit --json");
    assert!(records(&output.stdout, "evidence").is_empty(), "{}", talk(&output));
    let (counting, said) = counts(&world, "");
    assert_eq!(counting, ["ann", "cy"]);
    assert!(!said.contains("left out"), "{said}");
}

#[test]
fn two_scores_of_one_validator_are_evidence_whichever_are_the_true_ones() {
    let world = worked(&VALIDATORS);
    let findings = WORKERS.map(|who| found(&world, who, "val-a"));
    list(&world, &findings.each_ref());
    finish(&world);
    // What val-a signs to somebody else: as if cy's update had not been there.
    let beacon = beacon("second 0");
    world.ok(&format!(
        "score --recipe run.toml --model theta-0 --val shards/val-00000.safetensors --beacon {beacon} --findings \
         round-0/findings.jsonl --assignments round-0/assignments.jsonl --key ../world-private/val-a/key -o \
         round-0/told.scored round-0/ann.update"
    ));
    let output = world.run("audit --json");
    let mut evidence = records(&output.stdout, "evidence");
    evidence.retain(|e| e["rule"] == "a validator signs one list of scores of a round");
    assert_eq!(evidence.len(), 1, "{}", talk(&output));
    for signed in ["signed", "against"] {
        assert_eq!(evidence[0][signed]["validator"], key(&world, "val-a").public().to_string());
    }
    assert_ne!(evidence[0]["signed"]["scores"], evidence[0]["against"]["scores"]);
    // The same file twice is one word.
    world.write("round-0/told.scored", &world.bytes("round-0/val-a.scored"));
    assert!(records(&world.ok("audit --json").stdout, "evidence").is_empty());
}

#[test]
fn a_signed_finding_that_a_replay_contradicts_is_evidence() {
    let world = worked(&VALIDATORS);
    let [ann, bob, cy] = WORKERS.map(|who| found(&world, who, "val-a"));
    let sold = signed(&world, wished(&bob), "val-a");
    list(&world, &[&ann, &sold, &cy]);
    finish(&world);
    world.ok("audit");
    let output = world.expect("audit --replay all --json", 1, "round-0/findings.jsonl: finding of bob");
    let evidence = records(&output.stdout, "evidence");
    let of = |field: &str| read(l402::artifact::canonical::json(&evidence[0][field]).as_bytes());
    assert_eq!(of("signed"), sold);
    assert_eq!((of("recomputed").finding, of("recomputed").differs), (Verdict::Mismatch, bob.differs));
}

#[test]
fn findings_of_before_that_nobody_signed_are_audited_as_they_were_and_the_audit_says_so() {
    let world = worked(&VALIDATORS);
    let signed = WORKERS.map(|who| found(&world, who, "val-a"));
    list(&world, &signed.each_ref());
    finish(&world);
    assert!(!talk(&world.ok("audit")).contains("no validator has signed"));

    // Scores as they were made before findings could be signed: the same, by findings that are not.
    let plain = signed.map(|finding| Finding { validator: None, sig: None, ..finding });
    let digest = |finding: &Finding| l402::score::finding_digest(finding).unwrap().to_string();
    let signed = WORKERS.map(|who| found(&world, who, "val-a"));
    let mut scores = String::from_utf8(world.bytes("round-0/val-a.scored")).unwrap();
    for (now, before) in signed.iter().zip(&plain) {
        scores = scores.replace(&digest(now), &digest(before));
    }
    let lines: Vec<Line> = scores.lines().map(|line| Line::parse("scores", line).unwrap()).collect();
    let all = l402::score::Scores::of_lines(&lines).unwrap();
    for who in VALIDATORS {
        let mut made = l402::score::endorse(&all, &key(&world, who).public()).unwrap();
        record::sign(&mut made, &key(&world, who)).unwrap();
        let text = all.text().unwrap() + &record::line(&made).unwrap();
        world.write(&format!("round-0/{who}.scored"), text.as_bytes());
    }
    list(&world, &plain.each_ref());
    world.ok("score 0 --consensus --force");
    let output = world.expect("audit --json", 0, "no validator has signed the findings of 1 of 1 rounds");
    assert_eq!(records(&output.stdout, "audit")[0]["totals"]["unsigned_findings"], 1);
    world.expect("audit --replay all", 0, "but this audit has replayed them");
    // Nobody makes new ones of them, and one that is signed is held to what all are.
    assert!(counts(&world, "").0.is_empty());
    list(&world, &[&signed[0], &plain[1], &plain[2]]);
    world.expect("audit", 1, "round-0/findings.jsonl");
}
