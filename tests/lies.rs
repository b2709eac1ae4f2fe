//! Lies: flipped bits, other inputs, work that was not done. Each is found, named, and earns nothing.

mod common;

use std::process::Output;

use common::{FULL, Kind, WORKERS, World, beacon, draw, records, talk};
use l402::artifact::{Header, Meta, Reader, Writer};
use l402::fsio::Source;
use l402::model::ModelConfig;

/// Round 0 played, and everyone's work of round 1, whose replay takes both kinds of states.
fn world(kind: Kind) -> World {
    let world = World::new(kind);
    world.play(0);
    world.assign(1);
    WORKERS.iter().for_each(|who| world.work(1, who));
    world
}

/// Where to flip bits in a tensor file: (byte, bit) in the length, the header, its metadata and the payload.
fn positions(name: &str, bytes: &[u8]) -> Vec<(usize, u8)> {
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let metadata = bytes.windows(12).position(|w| w == b"__metadata__").map_or(8, |at| at + 12);
    let regions = [(0, 8, 3), (8, header, 10), (metadata, (metadata + 700).min(header), 8), (header, bytes.len(), 12)];
    let mut all = Vec::new();
    for (i, (from, to, count)) in regions.into_iter().enumerate() {
        for k in 0..count {
            let what = format!("{name} {i} {k}");
            all.push((from + draw(&what, to - from), draw(&format!("{what} bit"), 8) as u8));
        }
    }
    all.push((bytes.len() - 1, 7));
    all.push((header, 0));
    all
}

fn flipped(bytes: &[u8], (at, bit): (usize, u8)) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1 << bit;
    bytes
}

/// A mismatch or malformed data, never a success, and a line that names it.
#[track_caller]
fn refused(output: &Output, what: &str, names: &[&str]) {
    let said = talk(output);
    assert!(matches!(output.status.code(), Some(1 | 65)), "{what}: {:?}\n{said}", output.status);
    assert!(names.iter().any(|name| said.contains(name)), "{what}: expected one of {names:?} in\n{said}");
}

#[test]
fn one_flipped_bit_of_an_update_is_found() {
    for kind in [FULL, Kind { codec: "dense", ..FULL }, Kind { codec: "l402", ..FULL }] {
        let world = world(kind);
        world.ok(&world.replay(1, "ann", "ann.1.update"));
        let bytes = world.bytes("ann.1.update");
        for position in positions("update", &bytes) {
            world.write("bent", &flipped(&bytes, position));
            let output = world.run(&world.replay(1, "ann", "bent"));
            refused(&output, &format!("update {position:?}"), &["bent: "]);
        }
    }
}

#[test]
fn one_flipped_bit_of_a_shard_is_found() {
    let world = world(FULL);
    let file = format!("shards/{}", world.shard_of(1, "ann"));
    let bytes = world.bytes(&file);
    for position in positions("shard", &bytes) {
        world.write(&file, &flipped(&bytes, position));
        let output = world.run(&world.replay(1, "ann", "ann.1.update"));
        refused(&output, &format!("shard {position:?}"), &[&file]);
    }
    world.write(&file, &bytes);
    world.ok(&world.replay(1, "ann", "ann.1.update"));
}

#[test]
fn one_flipped_bit_of_a_state_is_found() {
    let world = world(FULL);
    for kind in ["moments", "feedback"] {
        let name = format!("ann.0.{kind}");
        let bytes = world.bytes(&name);
        for position in positions(kind, &bytes) {
            world.write(&name, &flipped(&bytes, position));
            let output = world.run(&world.replay(1, "ann", "ann.1.update"));
            refused(&output, &format!("{kind} {position:?}"), &["state", &name]);
        }
        world.write(&name, &bytes);
    }
    world.ok(&world.replay(1, "ann", "ann.1.update"));
}

#[test]
fn another_state_than_the_last_one_is_found() {
    let world = world(FULL);
    world.commit_all(1);
    world.replay_all(1);
    let without = world.replay_with(1, "ann", "r.toml", "theta-1", "1.assignments.jsonl", "ann.1.update");
    let (moments, feedback) = ("--state ann.0.moments", "--state ann.0.feedback");
    world.expect(&without, 1, "state (inner optimiser)");
    let chained = format!("{without} --previous ann.0.update");
    world.expect(&format!("{chained} {feedback}"), 2, "--state: expected the inner optimiser's moments");
    world.expect(&format!("{chained} {moments}"), 2, "--state: expected the error feedback");
    // Another's, and those of the same round: what was found, and never a no without a finding.
    for other in ["bob.0.moments", "ann.1.moments"] {
        let output = world.expect(&format!("{chained} --state {other} {feedback}"), 1, "state (inner optimiser)");
        let finding = String::from_utf8(output.stdout).unwrap();
        assert!(finding.contains(r#""differs":"state (inner optimiser)""#), "{finding}");
    }
    let from_another = format!("{without} --previous bob.0.update --state bob.0.moments --state bob.0.feedback");
    world.expect(&from_another, 65, "expected an update of ann from a round before 1, found one of bob");
    world.expect(&format!("{chained} {moments} --state bob.0.feedback"), 1, "state (error feedback)");
    world.expect(&format!("{chained} {moments} {moments}"), 2, "a second state");
    world.ok(&format!("{chained} {feedback} {moments}"));
}

/// Whether a model file still says the same: tensors, kind, run, round, digest. Where its weights came from is
/// provenance, which no digest of the model covers.
fn same_model(bent: &[u8], bytes: &[u8]) -> bool {
    let open = |bytes: &[u8]| Reader::open(Source::bytes("x", bytes.to_vec()).unwrap());
    let Ok(reader) = open(bent) else { return false };
    let truth = open(bytes).unwrap();
    let content = |reader: &Reader| {
        let mut header: Header = reader.header().clone();
        let provenance = ["l402.theta", "l402.workers", "l402.seed", "l402.config", "format"];
        // A name with a flipped bit is no name of ours.
        header.metadata.retain(|key, _| truth.header().metadata.contains_key(key));
        header.metadata.retain(|key, _| !provenance.contains(&key.as_str()));
        header
    };
    content(&reader) == content(&truth) && bent.ends_with(&bytes[bytes.len() - truth.header().data_len() as usize..])
}

#[test]
fn one_flipped_bit_of_the_models_weights_is_found() {
    let world = world(FULL);
    let bytes = world.bytes("theta-1/model.safetensors");
    world.copy_folder("theta-1", "bent");
    let replay = |model: &str| {
        let states = "--state ann.0.moments --state ann.0.feedback --previous ann.0.update";
        world.replay_with(1, "ann", "r.toml", model, "1.assignments.jsonl", "ann.1.update") + " " + states
    };
    world.ok(&replay("bent"));
    for position in positions("model", &bytes) {
        let bent = flipped(&bytes, position);
        world.write("bent/model.safetensors", &bent);
        let output = world.run(&replay("bent"));
        if same_model(&bent, &bytes) {
            assert_eq!(output.status.code(), Some(0), "{position:?}: {}", talk(&output));
        } else {
            refused(&output, &format!("model {position:?}"), &["model", "bent"]);
        }
    }
}

#[test]
fn one_flipped_bit_of_the_models_configuration_is_found() {
    let world = world(FULL);
    let bytes = world.bytes("theta-1/config.json");
    let truth = ModelConfig::parse(std::str::from_utf8(&bytes).unwrap()).unwrap();
    world.copy_folder("theta-1", "bent");
    let mut found = 0;
    for k in 0..60 {
        let position = (draw(&format!("config {k}"), bytes.len()), draw(&format!("config bit {k}"), 8) as u8);
        let bent = flipped(&bytes, position);
        world.write("bent/config.json", &bent);
        let output = world.run(
            &(world.replay_with(1, "ann", "r.toml", "bent", "1.assignments.jsonl", "ann.1.update")
                + " --state ann.0.moments --state ann.0.feedback --previous ann.0.update"),
        );
        // White space, and names that no engine reads, are no content.
        let same = std::str::from_utf8(&bent).is_ok_and(|text| ModelConfig::parse(text).is_ok_and(|c| c == truth));
        if same {
            assert_eq!(output.status.code(), Some(0), "{position:?}: {}", talk(&output));
        } else {
            refused(&output, &format!("config {position:?}"), &["config.json", "model"]);
            found += 1;
        }
    }
    assert!(found > 20, "{found} of 60 flips hit content");
}

#[test]
fn one_changed_value_of_the_recipe_is_found() {
    let world = world(FULL);
    let recipe = String::from_utf8(world.bytes("r.toml")).unwrap();
    let (arithmetic, other) = match common::arithmetic() {
        1 => ("arithmetic = 1", "arithmetic = 2"),
        _ => ("arithmetic = 2", "arithmetic = 1"),
    };
    let changes = [
        (arithmetic, other),
        ("name = \"test\"", "name = \"tess\""),
        ("seed = 7", "seed = 8"),
        ("seq_len = 16", "seq_len = 17"),
        ("tokenizer = \"bytes\"", "tokenizer = \"words\""),
        ("steps = 3", "steps = 2"),
        ("batch = 4", "batch = 8"),
        ("grad_groups = 1", "grad_groups = 2"),
        ("lr = 5e-3", "lr = 5.0000001e-3"),
        ("schedule = \"cosine\"", "schedule = \"constant\""),
        ("warmup = 2", "warmup = 1"),
        ("decay_steps = 40", "decay_steps = 41"),
        ("min_lr_ratio = 0.1", "min_lr_ratio = 0.2"),
        ("weight_decay = 0.1", "weight_decay = 0.0"),
        ("state = \"carry\"", "state = \"reset\""),
        ("name = \"sparseloco\"", "name = \"dense\""),
        ("top_k = 256", "top_k = 257"),
        ("[codec]", "[codec]\nfeedback = 0.5"),
        ("[codec]", "[outer]\nlr = 0.5\n[codec]"),
        ("sequences = 24", "sequences = 25"),
        ("round_msat = 1000000", "round_msat = 1000001"),
        ("theta_0 = \"", "theta_0 = \"\" #"),
        ("[inner]", "[inner]\nbeta1 = 0.91"),
        ("[inner]", "[inner]\nbeta2 = 0.96"),
        ("[inner]", "[inner]\neps = 1e-7"),
        ("[inner]", "[inner]\nclip = 2.0"),
    ];
    for (from, to) in changes {
        assert!(recipe.contains(from), "{from}");
        world.write("bent.toml", recipe.replacen(from, to, 1).as_bytes());
        let output = world.run(&world.replay(1, "ann", "ann.1.update").replace("r.toml", "bent.toml"));
        refused(&output, to, &["recipe", "bent.toml"]);
        let train = world.run(&world.train(1, "ann").replace("r.toml", "bent.toml"));
        refused(&train, to, &["recipe", "bent.toml", "run"]);
        assert!(train.stdout.is_empty(), "{to}");
    }
    world.write("bent.toml", recipe.replace("\nname", "\n\n# a remark\nname").as_bytes());
    world.ok(&world.replay(1, "ann", "ann.1.update").replace("r.toml", "bent.toml"));
}

#[test]
fn one_changed_field_of_an_assignment_is_found() {
    let world = world(FULL);
    let text = String::from_utf8(world.bytes("1.assignments.jsonl")).unwrap();
    let line = text.lines().next().unwrap();
    let record: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).unwrap();
    assert_eq!(record["worker"], "ann");
    for (field, value) in &record {
        let quoted = value.to_string();
        let mut bent = quoted.clone().into_bytes();
        let last = bent.len() - if quoted.ends_with('"') { 2 } else { 1 };
        bent[last] = if bent[last] == b'1' { b'2' } else { b'1' };
        let bent = String::from_utf8(bent).unwrap();
        let changed = line.replace(&format!("\"{field}\":{quoted}"), &format!("\"{field}\":{bent}"));
        assert_ne!(changed, line, "{field}");
        for changed in [changed, line.replace(&format!("\"{field}\":{quoted}"), "")] {
            world.write("bent.jsonl", text.replace(line, &changed).as_bytes());
            let output =
                world.run(&world.replay(1, "ann", "ann.1.update").replace("1.assignments.jsonl", "bent.jsonl"));
            if changed.contains("\"type\":\"assignmen1\"") {
                // A record of an unknown type is passed over: then there is none for this worker.
                assert_eq!(output.status.code(), Some(66));
                assert!(talk(&output).contains("bent.jsonl"), "{}", talk(&output));
                continue;
            }
            refused(&output, field, &["bent.jsonl"]);
        }
    }
    // An assignment of one's own making, signed by oneself.
    let own = world.text("key own.key");
    world.ok(&format!(
        "assign --recipe r.toml --round 1 --shards shards --workers ./roster.jsonl --beacon {} --key own.key -o own.jsonl",
        beacon("own")
    ));
    let replay = world.replay(1, "ann", "ann.1.update").replace("1.assignments.jsonl", "own.jsonl");
    world.expect(&replay, 1, "field coordinator");
    world.expect(&replay.replace(&world.coordinator, own.trim()), 1, "assignment");
}

// ---- Cheats ----

/// A copy of an update with other metadata, as a liar would write it.
fn relabelled(world: &World, update: &str, change: impl Fn(&mut Meta)) -> Vec<u8> {
    let mut reader = Reader::open(Source::open(&world.path(update)).unwrap()).unwrap();
    let header = reader.header().clone();
    let mut meta = Meta(header.metadata);
    change(&mut meta);
    let mut writer = Writer::new("lie", Vec::new(), Header::new(meta.0, header.tensors)).unwrap();
    while let Some((info, data)) = reader.next_tensor().unwrap() {
        writer.bytes(&info.name, &data).unwrap();
    }
    writer.finish().unwrap().0
}

/// What everyone would like to claim of work done in `n` as `who`, taken from the honest update of that round.
fn claim(world: &World, n: u64, who: &str, meta: &mut Meta) {
    let honest = Reader::open(Source::open(&world.path(&format!("{who}.{n}.update"))).unwrap()).unwrap();
    let honest = Meta(honest.header().metadata.clone());
    meta.copy(&honest, &["run", "round", "worker", "theta", "assignment", "shard", "inner_in", "feedback_in"]);
}

/// Submits `bob.1.lie` for bob in round 1 beside two honest updates, and asserts that it was found, that the named
/// thing differs, and that bob's share went back to the payer to the msat.
#[track_caller]
fn earns_nothing(world: &World, lie: &[u8], differs: &str) {
    let honest = world.bytes("bob.1.update");
    world.write("bob.1.update", lie);
    world.commit_all(1);
    world.replay_all(1);
    let findings = records(&world.bytes("1.findings.jsonl"), "finding");
    let of = |list: &[serde_json::Value], who: &str| list.iter().find(|r| r["worker"] == who).unwrap().clone();
    assert_eq!(of(&findings, "bob")["finding"], "mismatch", "{findings:?}");
    let found = of(&findings, "bob")["differs"].as_str().unwrap().to_owned();
    assert!(found.contains(differs), "expected {differs:?} to differ, found {found:?}");
    let scores = world.ok(&world.score(1, &["ann.1.update", "bob.1.update", "cy.1.update"])).stdout;
    let round = records(&scores, "round_score")[0].clone();
    let scores = records(&scores, "score");
    assert_eq!(of(&scores, "bob")["counts"], false);
    assert_eq!(of(&scores, "bob")["entitled_msat"], 0);
    assert_eq!(of(&scores, "bob")["reason"], format!("replay differs: {found}"));
    let msat = |who: &str| of(&scores, who)["entitled_msat"].as_u64().unwrap();
    assert!(msat("ann") > 0 && msat("cy") > 0);
    // A third of the round was bob's task: it goes back, and to nobody else.
    assert_eq!(msat("ann") + msat("cy"), 666_666);
    assert_eq!(round["returned_msat"], 333_334);
    world.write("bob.1.update", &honest);
}

#[test]
fn a_worker_that_takes_fewer_steps_earns_nothing() {
    let world = world(FULL);
    let recipe = String::from_utf8(world.bytes("r.toml")).unwrap();
    world.write("lazy.toml", recipe.replace("steps = 3", "steps = 2").as_bytes());
    // The same assignment is for another run then; the order it draws does not matter to who takes fewer steps.
    world.copy_folder("theta-0", "lazy-theta");
    let shard = world.shard_of(1, "bob");
    world.ok(&format!(
        "train --recipe lazy.toml --model lazy-theta --shard shards/{shard} --round 0 --worker bob -o lazy"
    ));
    world.ok("compress --recipe lazy.toml lazy -o lazy.update");
    let lie = relabelled(&world, "lazy.update", |meta| claim(&world, 1, "bob", meta));
    earns_nothing(&world, &lie, "tensor ");
}

#[test]
fn a_worker_that_works_on_other_data_than_assigned_earns_nothing() {
    let world = world(FULL);
    let assigned = world.shard_of(1, "bob");
    let other = world.shard_of(1, "ann");
    assert_ne!(assigned, other);
    // With the assignment, train refuses; without it, the update says what it was made from.
    world.expect(&world.train(1, "bob").replace(&assigned, &other), 1, "shard: expected digest");
    world.ok(&format!(
        "train --recipe r.toml --model theta-1 --shard shards/{other} --round 1 --worker bob --state bob.0.moments -o other"
    ));
    world.ok("compress --recipe r.toml --state bob.0.feedback other -o other.update");
    earns_nothing(&world, &world.bytes("other.update"), "assignment");
    // And where it lies about it, its tensors do not match.
    let lie = relabelled(&world, "other.update", |meta| claim(&world, 1, "bob", meta));
    earns_nothing(&world, &lie, "tensor ");
}

#[test]
fn a_worker_that_copies_earns_nothing() {
    let world = world(FULL);
    let renamed = relabelled(&world, "ann.1.update", |meta| {
        meta.set("worker", "bob");
    });
    earns_nothing(&world, &renamed, "assignment");
    let disguised = relabelled(&world, "ann.1.update", |meta| claim(&world, 1, "bob", meta));
    earns_nothing(&world, &disguised, "tensor ");
}

#[test]
fn an_old_update_sent_again_earns_nothing() {
    let world = world(FULL);
    let old = relabelled(&world, "bob.0.update", |meta| {
        meta.set("round", 1);
    });
    earns_nothing(&world, &old, "model");
    let disguised = relabelled(&world, "bob.0.update", |meta| claim(&world, 1, "bob", meta));
    earns_nothing(&world, &disguised, "tensor ");
}

#[test]
fn metadata_that_was_made_up_around_the_right_tensors_earns_nothing() {
    let world = world(FULL);
    for key in ["feedback_out", "inner_out", "delta", "theta", "shard", "note"] {
        let lie = relabelled(&world, "bob.1.update", |meta| {
            meta.set(key, beacon("made up"));
        });
        earns_nothing(&world, &lie, if ["theta"].contains(&key) { "model" } else { key });
    }
}

// ---- What counts ----

/// What the score says of one update, with these lists changed.
fn verdict(world: &World, who: &str, updates: &[&str]) -> (bool, String, u64) {
    let scores = world.ok(&world.score(1, updates)).stdout;
    let round = records(&scores, "round_score")[0].clone();
    let scores = records(&scores, "score");
    let paid: u64 = scores.iter().map(|s| s["entitled_msat"].as_u64().unwrap()).sum();
    assert_eq!(paid + round["returned_msat"].as_u64().unwrap(), 1_000_000);
    let own = scores.iter().find(|s| s["worker"] == who).unwrap();
    let reason = own["reason"].as_str().unwrap_or("").to_owned();
    (own["counts"] == true, reason, own["entitled_msat"].as_u64().unwrap())
}

const ALL: [&str; 3] = ["ann.1.update", "bob.1.update", "cy.1.update"];

#[test]
fn what_was_not_committed_to_or_not_replayed_does_not_count() {
    let world = world(FULL);
    world.commit_all(1);
    world.replay_all(1);
    let list = String::from_utf8(world.bytes("1.commitments.jsonl")).unwrap();
    let findings = String::from_utf8(world.bytes("1.findings.jsonl")).unwrap();
    let without = |text: &str, parts: &[&str]| -> String {
        text.lines().filter(|l| !parts.iter().all(|p| l.contains(p))).map(|l| format!("{l}\n")).collect()
    };
    let commitments = |text: &str| world.write("1.commitments.jsonl", text.as_bytes());
    let (bob, committed, reveal) = ("\"worker\":\"bob\"", "\"type\":\"commitment\"", "\"type\":\"reveal\"");
    assert!(verdict(&world, "bob", &ALL).0);
    let nothing = |reason: &str| (false, reason.to_owned(), 0);

    commitments(&without(&list, &[bob, committed]));
    assert_eq!(verdict(&world, "bob", &ALL), nothing("no commitment"));
    commitments(&without(&list, &[bob, reveal]));
    assert_eq!(verdict(&world, "bob", &ALL), nothing("its commitment was never opened"));

    // Committed to one update, showed another: also when what is shown is right.
    let other = relabelled(&world, "bob.1.update", |meta| {
        meta.set("note", "other");
    });
    world.write("other", &other);
    let second = world.commit(1, "bob", "other", false);
    commitments(&(without(&list, &[bob, committed]) + &second));
    assert_eq!(verdict(&world, "bob", &ALL), nothing("does not match its commitment"));
    commitments(&(list.clone() + &second));
    assert_eq!(verdict(&world, "bob", &ALL), nothing("two commitments"));
    // The same commitment twice is one.
    commitments(&(list.clone() + &list));
    assert!(verdict(&world, "bob", &ALL).0);

    // Signed by another: neither for nor against.
    let forged = world.text("commit other --round 1 --worker bob --key cy.key");
    commitments(&(list.clone() + &forged));
    assert!(verdict(&world, "bob", &ALL).0);
    commitments(&(without(&list, &[bob, committed]) + &forged));
    assert_eq!(verdict(&world, "bob", &ALL), nothing("the commitment is not signed by the worker"));

    commitments(&list);
    world.write("1.findings.jsonl", without(&findings, &[bob]).as_bytes());
    assert_eq!(verdict(&world, "bob", &ALL), nothing("not replayed"));
    // A finding about another update of bob's says nothing about this one.
    let stale = findings.replace(&world.digest("bob.1.update"), &beacon("another update"));
    world.write("1.findings.jsonl", stale.as_bytes());
    assert_eq!(verdict(&world, "bob", &ALL), nothing("not replayed"));
    world.write("1.findings.jsonl", findings.as_bytes());
    assert!(verdict(&world, "bob", &ALL).0);
    world.write("1.findings.jsonl", b"");
    assert!(WORKERS.iter().all(|who| verdict(&world, who, &ALL) == nothing("not replayed")));
}

#[test]
fn who_was_not_assigned_does_not_count() {
    let world = world(FULL);
    let stranger = relabelled(&world, "bob.1.update", |meta| {
        meta.set("worker", "mallory");
    });
    world.write("mallory.1.update", &stranger);
    world.commit_all(1);
    world.replay_all(1);
    let updates = ["ann.1.update", "bob.1.update", "cy.1.update", "mallory.1.update"];
    assert_eq!(verdict(&world, "mallory", &updates), (false, "no assignment".into(), 0));
    assert!(verdict(&world, "bob", &updates).0);
    assert_eq!(verdict(&world, "bob", &updates).2, verdict(&world, "bob", &ALL).2);
}

#[test]
fn rubbish_among_the_updates_does_not_stop_the_round_of_the_others() {
    let world = world(FULL);
    world.commit_all(1);
    world.replay_all(1);
    let honest = world.ok(&world.score(1, &["ann.1.update", "cy.1.update"])).stdout;
    world.write("1.scores.jsonl", &honest);
    world.ok(&format!("{} -o two", world.aggregate(1, &["ann.1.update", "cy.1.update"])));
    let bob = world.bytes("bob.1.update");
    let poisoned = {
        let header = 8 + u64::from_le_bytes(bob[..8].try_into().unwrap()) as usize;
        let mut bytes = bob.clone();
        bytes[header..header + 64].fill(0xff);
        bytes
    };
    let rubbish = [
        Vec::new(),
        b"rubbish".to_vec(),
        bob[..bob.len() - 1].to_vec(),
        [bob.as_slice(), b"x"].concat(),
        poisoned,
        world.bytes("bob.0.update"),
        world.bytes("bob.1.feedback"),
        world.bytes("theta-1/model.safetensors"),
        zstd::encode_all(&bob[..bob.len() / 2], 3).unwrap(),
        world.bytes("ann.1.update"),
    ];
    for (i, rubbish) in rubbish.iter().enumerate() {
        world.write("bob.1.update", rubbish);
        let scored = world.ok(&world.score(1, &ALL));
        let counting = |text: &[u8]| {
            let all = records(text, "score").into_iter().filter(|s| s["counts"] == true);
            all.map(|s| (s["worker"].clone(), s["entitled_msat"].clone())).collect::<Vec<_>>()
        };
        assert_eq!(counting(&scored.stdout), counting(&honest), "{i}: {}", talk(&scored));
        world.ok(&format!("{} -o two", world.aggregate(1, &ALL)));
    }
}

#[test]
fn the_next_model_is_made_of_what_counts_alone() {
    let world = world(FULL);
    let honest = world.bytes("bob.1.update");
    let lie = relabelled(&world, "ann.1.update", |meta| claim(&world, 1, "bob", meta));
    world.write("bob.1.update", &lie);
    world.commit_all(1);
    world.replay_all(1);
    world.ok(&format!("{} -o 1.scores.jsonl", world.score(1, &ALL)));
    world.ok(&format!("{} -o by-scores", world.aggregate(1, &ALL)));
    let findings = "aggregate --recipe r.toml --model theta-1 --findings 1.findings.jsonl";
    world.ok(&format!("{findings} {} -o by-findings", ALL.join(" ")));
    world.ok("aggregate --recipe r.toml --model theta-1 ann.1.update cy.1.update -o by-hand");
    assert_eq!(world.tree("by-scores"), world.tree("by-hand"));
    assert_eq!(world.tree("by-findings"), world.tree("by-hand"));
    // Scores of another round decide nothing here.
    let other = world.aggregate(0, &ALL).replace("0.scores", "1.scores");
    world.expect(&format!("{other} -o other"), 1, "another run or round");
    // Another content under the name that counts does not count, and a model without what counts is none of the run's.
    world.write("ann.1.update", &honest);
    world.expect(
        &format!("{} -o of-one", world.aggregate(1, &ALL)),
        66,
        "of worker ann: expected it among the updates",
    );
    world.ok(&format!("{findings} {} -o of-one", ALL.join(" ")));
    world.ok("aggregate --recipe r.toml --model theta-1 cy.1.update -o cy-alone");
    assert_eq!(world.tree("of-one"), world.tree("cy-alone"));
}

#[test]
fn a_commitment_to_what_is_not_ones_own_is_refused() {
    let world = world(FULL);
    world.expect("commit ann.1.update --round 1 --worker bob --key bob.key", 1, "worker: expected bob, found ann");
    world.expect("commit ann.1.update --round 2 --worker ann --key ann.key", 1, "round: expected 2, found 1");
    world.expect("commit ann.1.feedback --round 1 --worker ann --key ann.key", 65, "expected update");
}

#[test]
fn a_state_that_the_last_counting_update_did_not_leave_is_found() {
    let world = world(FULL);
    // ann's own state of round 0, with one value changed: well formed, of the right run, worker and round.
    let mut forged = world.bytes("ann.0.feedback");
    let last = forged.len() - 4;
    forged[last..].copy_from_slice(&1f32.to_le_bytes());
    world.write("forged.feedback", &forged);
    let shard = records(&world.bytes("1.assignments.jsonl"), "assignment")[0]["shard"].as_str().unwrap().to_owned();
    world.ok(&format!(
        "train --recipe r.toml --model theta-1 --shard shards/{shard} --round 1 --worker ann --assignments 1.assignments.jsonl \
         --state ann.0.moments -o again.delta"
    ));
    world.ok("compress --recipe r.toml --state forged.feedback again.delta -o forged.update");
    let replay = |update: &str, states: &str| {
        world.replay_with(1, "ann", "r.toml", "theta-1", "1.assignments.jsonl", update) + " " + states
    };
    let moments = "--state ann.0.moments";
    let honest = format!("{moments} --state ann.0.feedback --previous ann.0.update");
    world.ok(&replay("ann.1.update", &honest));
    let forged = format!("{moments} --state forged.feedback --previous ann.0.update");
    world.expect(&replay("forged.update", &forged), 1, "state (error feedback)");
    world.expect(&replay("forged.update", &honest), 1, "state (error feedback)");
    // Nor does a state come from nowhere, from another worker's update, or from none where there was one.
    world.expect(&replay("forged.update", "--state forged.feedback"), 2, "--previous");
    world.expect(&replay("ann.1.update", &honest.replace("ann.0.update", "bob.0.update")), 65, "found one of bob");
    world.expect(&replay("ann.1.update", ""), 1, "state");
}

#[test]
fn an_update_of_rubbish_is_a_finding_and_stops_nobody() {
    let world = world(FULL);
    world.write("rubbish", b"rubbish");
    let output = world.expect(
        &world.replay_with(0, "ann", "r.toml", "theta-0", "0.assignments.jsonl", "rubbish"),
        1,
        "malformed",
    );
    let finding = String::from_utf8(output.stdout).unwrap();
    assert!(finding.contains("\"finding\":\"mismatch\"") && finding.contains("malformed"), "{finding}");
}
