//! Several validators: `score --key`, `score --consensus`, and what an audit makes of a lie among them.

mod common;

use std::fs;

use common::{FULL, WORKERS, World, beacon, records, talk};
use l402::artifact::Digest;
use l402::artifact::key::SigningKey;
use l402::artifact::record::{self, Line};
use l402::score::{Endorsement, RoundScore, Score, Scores, endorse};
use l402::verify::Finding;

const VALIDATORS: [&str; 3] = ["val-a", "val-b", "val-c"];

/// A round that everybody played, and each validator's signed scores.
fn scored() -> World {
    let world = World::new(FULL);
    let seats = VALIDATORS.map(|who| {
        let key = world.text(&format!("key {who}.key"));
        format!("[[score.validators]]\nkey = \"{}\"\n", key.trim())
    });
    let recipe = String::from_utf8(world.bytes("r.toml")).unwrap() + &seats.concat();
    world.write("r.toml", recipe.as_bytes());
    world.assign(0);
    WORKERS.iter().for_each(|who| world.work(0, who));
    world.commit_all(0);
    world.replay_all(0);
    sign_findings(&world, "val-a");
    let updates = WORKERS.map(|who| format!("{who}.0.update"));
    let score = world.score(0, &updates.each_ref().map(String::as_str));
    VALIDATORS.iter().for_each(|who| drop(world.ok(&format!("{score} --key {who}.key -o {who}.scored"))));
    world.ok(&format!("{score} -o alone.jsonl"));
    world
}

/// The findings, as a validator signs what it has replayed.
fn sign_findings(world: &World, who: &str) {
    let key = SigningKey::load(&world.path(&format!("{who}.key"))).unwrap();
    let found = lines(world, "0.findings.jsonl");
    let signed = found.iter().map(|line| {
        let mut finding: Finding = line.get().unwrap().unwrap();
        finding.sign(&key).unwrap();
        record::line(&finding).unwrap()
    });
    world.write("0.findings.jsonl", signed.collect::<String>().as_bytes());
}

fn lines(world: &World, name: &str) -> Vec<Line> {
    let text = String::from_utf8(world.bytes(name)).unwrap();
    text.lines().map(|line| Line::parse(name, line).unwrap()).collect()
}

/// A validator's scores as it would rather have them, signed again by its own key.
fn lie(world: &World, who: &str, change: impl Fn(&mut [Score], &mut RoundScore), to: &str) {
    let mut all = Scores::of_lines(&lines(world, &format!("{who}.scored"))).unwrap();
    change(&mut all.scores, &mut all.round);
    sign(world, who, &all, to);
}

/// Scores, signed by a validator's key.
fn sign(world: &World, who: &str, all: &Scores, to: &str) {
    let key = SigningKey::load(&world.path(&format!("{who}.key"))).unwrap();
    let mut made: Endorsement = endorse(all, &key.public()).unwrap();
    record::sign(&mut made, &key).unwrap();
    let text = all.text().unwrap() + &record::line(&made).unwrap();
    world.write(to, text.as_bytes());
}

/// All of it to ann.
fn greedy(scores: &mut [Score], round: &mut RoundScore) {
    let all: u64 = scores.iter().map(|s| s.entitled_msat).sum();
    scores.iter_mut().for_each(|s| s.entitled_msat = if s.worker == "ann" { all + round.returned_msat } else { 0 });
    round.returned_msat = 0;
}

/// Other words about the same, and less of it.
fn words(scores: &mut [Score], _: &mut RoundScore) {
    for score in scores {
        (score.gain_q32, score.after_q32, score.bytes) = (Some("1".into()), Some("-5".into()), 1);
    }
}

/// A validator's scores with one that nobody else has: a second update of ann's, stolen.
fn extra(world: &World, who: &str, to: &str) {
    let mut all = Scores::of_lines(&lines(world, &format!("{who}.scored"))).unwrap();
    let ann = all.scores.iter().find(|s| s.worker == "ann").unwrap();
    let reason = Some("ann sent a second, stolen update".into());
    let update = Digest([0xab; 32]);
    all.scores.push(Score { update, reason, counts: false, entitled_msat: 0, ..ann.clone() });
    sign(world, who, &all, to);
}

/// Worker and msat, of merged scores.
fn paid(text: &[u8]) -> Vec<(String, u64)> {
    let of = |s: &serde_json::Value| (s["worker"].as_str().unwrap().to_owned(), s["entitled_msat"].as_u64().unwrap());
    records(text, "score").iter().map(of).collect()
}

/// The run folder as it is published.
fn publish(world: &World, scored: &[&str]) {
    let _ = fs::remove_dir_all(world.path("pub"));
    fs::create_dir_all(world.path("pub/round-0")).unwrap();
    let put = |from: &str, to: &str| world.write(&format!("pub/{to}"), &world.bytes(from));
    put("r.toml", "run.toml");
    put("roster.jsonl", "roster.jsonl");
    world.copy_folder("shards", "pub/shards");
    world.copy_folder("theta-0", "pub/theta-0");
    world.copy_folder("theta-1", "pub/theta-1");
    world.write("pub/round-0/beacon-a", format!("{}\n", beacon("first 0")).as_bytes());
    world.write("pub/round-0/beacon-b", format!("{}\n", beacon("second 0")).as_bytes());
    for list in ["assignments", "commitments", "findings", "scores"] {
        put(&format!("0.{list}.jsonl"), &format!("round-0/{list}.jsonl"));
    }
    for who in WORKERS {
        put(&format!("{who}.0.update"), &format!("round-0/{who}.update"));
    }
    scored.iter().for_each(|name| put(name, &format!("round-0/{name}")));
}

#[test]
fn honest_validators_sign_the_same_bytes_and_a_lone_liar_changes_nothing() {
    let world = scored();
    let without = |name: &str| -> Vec<String> {
        let text = String::from_utf8(world.bytes(name)).unwrap();
        text.lines().filter(|line| !line.contains("\"endorsement\"")).map(str::to_owned).collect()
    };
    assert!(VALIDATORS.iter().all(|who| without(&format!("{who}.scored")) == without("alone.jsonl")));

    let merge = "score --recipe r.toml --consensus val-a.scored val-b.scored";
    let honest = world.ok(&format!("{merge} val-c.scored")).stdout;
    let truth = paid(&world.bytes("alone.jsonl"));
    assert!(truth.iter().any(|(_, msat)| *msat > 0));
    assert_eq!(paid(&honest), truth);
    let consensus = &records(&honest, "consensus")[0];
    assert_eq!((consensus["of"].as_u64(), consensus["votes"].as_array().unwrap().len()), (Some(3), 3));
    // The order of the files is nobody's business.
    assert_eq!(world.ok("score --recipe r.toml --consensus val-c.scored val-b.scored val-a.scored").stdout, honest);

    lie(&world, "val-c", greedy, "greedy.scored");
    let output = world.ok(&format!("{merge} greedy.scored"));
    assert_eq!(paid(&output.stdout), truth);
    assert!(talk(&output).contains("its scores are not those of the others"), "{}", talk(&output));
    // Nor do other words for the same, or what nobody else has heard of, whoever comes first. And it is the liar who is named.
    let honest_scores = |text: &[u8]| -> Vec<String> {
        String::from_utf8_lossy(text).lines().filter(|l| !l.contains("\"consensus\"")).map(str::to_owned).collect()
    };
    for liar in VALIDATORS {
        let others = VALIDATORS.iter().filter(|who| **who != liar).map(|who| format!("{who}.scored "));
        let others = others.collect::<String>();
        lie(&world, liar, words, "words.scored");
        extra(&world, liar, "extra.scored");
        let key = world.text(&format!("key {liar}.key"));
        for file in ["words.scored", "extra.scored"] {
            let output = world.ok(&format!("score --recipe r.toml --consensus {others}{file}"));
            assert_eq!(honest_scores(&output.stdout), honest_scores(&honest), "{liar} {file}");
            let named = format!("{}: its scores are not those of the others", key.trim());
            let said = talk(&output);
            assert!(said.contains(&named) && said.matches("are not those of").count() == 1, "{liar} {file}: {said}");
        }
    }
    // Two of three who agree decide; one alone never does, nor do two that disagree raise anybody.
    assert_eq!(paid(&world.ok(merge).stdout), truth);
    world.expect("score --recipe r.toml --consensus val-a.scored", 1, "expected the same measurement by 500001 ppm");
    let two = paid(&world.ok("score --recipe r.toml --consensus val-a.scored greedy.scored").stdout);
    assert!(two.iter().zip(&truth).all(|(found, truth)| found.1 <= truth.1), "{two:?} {truth:?}");
}

#[test]
fn what_is_not_a_validators_word_is_left_out() {
    let world = scored();
    let truth = paid(&world.bytes("alone.jsonl"));
    let merge = "score --recipe r.toml --consensus val-a.scored val-b.scored";
    // Another's signature, altered scores, no signature, rubbish, a stranger's, another measurement, two of one validator.
    let text = String::from_utf8(world.bytes("val-c.scored")).unwrap();
    world.write("altered.scored", text.replacen("\"counts\":true", "\"counts\":false", 1).as_bytes());
    world.write("rubbish.scored", b"\xff\xfe not JSON\n{}\n");
    world.ok("key mallory.key");
    world.write("stranger.scored", &world.bytes("val-c.scored"));
    lie(&world, "val-c", |_, round| round.tokens += 1, "other.scored");
    fs::copy(world.path("val-c.key"), world.path("kept.key")).unwrap();
    fs::copy(world.path("mallory.key"), world.path("stranger.key")).unwrap();
    lie(&world, "stranger", |_, _| (), "stranger.scored");
    fs::create_dir(world.path("folder.scored")).unwrap();
    for (file, why) in [
        ("folder.scored", "found a directory"),
        ("altered.scored", "expected the scores that were signed"),
        ("alone.jsonl", "expected one endorsement, found 0"),
        ("rubbish.scored", "not UTF-8"),
        ("stranger.scored", "is no validator of this recipe"),
        ("other.scored", "it measured something else"),
    ] {
        let output = world.ok(&format!("{merge} {file}"));
        assert!(talk(&output).contains("left out") && talk(&output).contains(why), "{file}: {}", talk(&output));
        assert_eq!(paid(&output.stdout), truth, "{file}");
        assert_eq!(records(&output.stdout, "consensus")[0]["votes"].as_array().unwrap().len(), 2, "{file}");
    }
    lie(&world, "val-c", greedy, "greedy.scored");
    let output = world.ok(&format!("{merge} val-c.scored greedy.scored"));
    assert!(talk(&output).contains("left out: it signed 2 different scores"), "{}", talk(&output));
    world.expect("score --recipe r.toml --consensus altered.scored rubbish.scored", 1, "found 0 votes");
    world.expect("score --recipe r.toml --model theta-0 --consensus val-a.scored", 2, "cannot be used with");
}

#[test]
fn an_audit_recomputes_the_consensus_and_proves_a_validators_lie() {
    let world = scored();
    lie(&world, "val-c", greedy, "greedy.scored");
    let updates = WORKERS.map(|who| format!("{who}.0.update"));
    let updates = updates.each_ref().map(String::as_str);
    let audit = || world.run(&format!("audit pub --json --coordinator {}", world.coordinator));
    let merge = |files: &str| world.ok(&format!("score --recipe r.toml --consensus {files} -o 0.scores.jsonl --force"));

    merge("val-a.scored val-b.scored greedy.scored");
    world.ok(&format!("{} -o theta-1", world.aggregate(0, &updates)));
    publish(&world, &["val-a.scored", "val-b.scored", "greedy.scored"]);
    let output = audit();
    assert_eq!(output.status.code(), Some(0), "{}", talk(&output));
    assert!(talk(&output).contains("greedy.scored: validator"), "{}", talk(&output));
    // Without one of the files the consensus is another.
    publish(&world, &["val-a.scored", "val-b.scored"]);
    let output = audit();
    assert_eq!(output.status.code(), Some(1), "{}", talk(&output));
    assert!(talk(&output).contains("pub/round-0/scores.jsonl"), "{}", talk(&output));

    // Without any, or with one alone, there are no scores, whatever the coordinator writes.
    world.write("0.scores.jsonl", &world.bytes("alone.jsonl"));
    for files in [&[][..], &["val-a.scored"]] {
        publish(&world, files);
        let output = audit();
        assert_eq!(output.status.code(), Some(1), "{files:?}: {}", talk(&output));
        assert!(talk(&output).contains("expected the same measurement"), "{}", talk(&output));
    }
    let aggregate = world.aggregate(0, &updates);
    world.expect(&format!("{aggregate} -o theta-2"), 1, "no majority of validators");
    // A validator stops nobody by signing nothing.
    merge("val-a.scored val-b.scored");
    publish(&world, &["val-a.scored", "val-b.scored"]);
    world.write("pub/round-0/z.scored", b"rubbish\n");
    let output = audit();
    assert_eq!(output.status.code(), Some(0), "{}", talk(&output));
    assert!(talk(&output).contains("z.scored: passed over"), "{}", talk(&output));

    // One altered byte of a signed file is that file's.
    merge("val-a.scored val-b.scored val-c.scored");
    publish(&world, &["val-a.scored", "val-b.scored", "val-c.scored"]);
    let mut bytes = world.bytes("pub/round-0/val-a.scored");
    let place = String::from_utf8_lossy(&bytes).find("entitled_msat").unwrap() + 16;
    bytes[place] = if bytes[place] == b'1' { b'2' } else { b'1' };
    world.write("pub/round-0/val-a.scored", &bytes);
    let output = audit();
    assert_eq!(output.status.code(), Some(1), "{}", talk(&output));
    assert!(talk(&output).contains("pub/round-0/val-a.scored"), "{}", talk(&output));

    // A majority that lies decides what is paid, and cannot deny it.
    lie(&world, "val-b", greedy, "too.scored");
    merge("val-a.scored too.scored greedy.scored");
    publish(&world, &["val-a.scored", "too.scored", "greedy.scored"]);
    let output = audit();
    assert_eq!(output.status.code(), Some(1), "{}", talk(&output));
    let found = records(&output.stdout, "evidence");
    let files: Vec<&str> = found.iter().map(|e| e["artifact"].as_str().unwrap()).collect();
    assert_eq!(files, ["round-0/greedy.scored", "round-0/too.scored"], "{}", talk(&output));
}
