//! Short forms: inside a run folder `l402 train 3 alice` is the command line that names every file.

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::{FULL, Kind, WORKERS, World, beacon, records, talk};

/// A run folder before its first round; its keys are another's where one is given.
fn run_folder(kind: Kind, like: Option<&World>) -> World {
    let world = World::new(kind);
    if let Some(like) = like {
        for name in ["coordinator.key", "ann.key", "bob.key", "cy.key", "roster.jsonl"] {
            fs::copy(like.path(name), world.path(name)).unwrap();
        }
    }
    world.begin_run();
    world
}

/// A round by short forms, everybody honest.
fn play(world: &World, n: u64) {
    train_and_commit(world, n);
    for who in WORKERS {
        world.ok(&format!("replay {n} {who}"));
    }
    world.ok(&format!("score {n} --beacon {}", beacon(&format!("second {n}"))));
    world.ok(&format!("aggregate {n}"));
}

fn train_and_commit(world: &World, n: u64) {
    world.ok(&format!("assign {n} --beacon {}", beacon(&format!("first {n}"))));
    for who in WORKERS {
        world.ok(&format!("train {n} {who}"));
        world.ok(&format!("commit {n} {who}"));
    }
    for who in WORKERS {
        world.ok(&format!("commit {n} {who} --reveal"));
    }
}

#[test]
fn a_run_by_short_forms_is_the_run_by_flags_to_the_byte() {
    for kind in [FULL, Kind { state: "reset", codec: "dense", grad_groups: 2 }] {
        let long = World::new(kind);
        let short = run_folder(kind, Some(&long));
        for n in 0..2 {
            long.play(n);
            play(&short, n);
            for list in ["assignments", "commitments", "findings", "scores"] {
                let (file, other) = (format!("round-{n}/{list}.jsonl"), format!("{n}.{list}.jsonl"));
                assert_eq!(short.bytes(&file), long.bytes(&other), "{file}");
            }
            for who in WORKERS {
                for state in ["update", "feedback", "moments"] {
                    let (file, other) = (format!("round-{n}/{who}.{state}"), format!("{who}.{n}.{state}"));
                    assert_eq!(short.has(&file), long.has(&other), "{file}");
                    if short.has(&file) {
                        assert_eq!(short.bytes(&file), long.bytes(&other), "{file}");
                    }
                }
            }
            assert_eq!(short.tree(&format!("theta-{}", n + 1)), long.tree(&format!("theta-{}", n + 1)));
        }
        ["config.json", "corpus.txt"].iter().for_each(|name| fs::remove_file(short.path(name)).unwrap());
        let said = talk(&short.expect("audit", 0, "equal: "));
        assert!(!said.contains("not part of a run folder"), "what the short forms leave is the layout: {said}");
    }
}

#[test]
fn the_run_folder_is_named_or_the_nearest_upwards() {
    let world = run_folder(FULL, None);
    let root = world.path("").display().to_string();
    let begun = format!("assign 0 --beacon {}", beacon("first 0"));
    world.ok(&begun);
    let made = world.bytes("round-0/assignments.jsonl");
    // The same again says the same, from wherever it is asked.
    let elsewhere = tempfile::tempdir().unwrap();
    let asked = |args: &str, place: &Path, variable: Option<&str>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_l402"));
        command.args(args.split_whitespace()).current_dir(place).env_remove("L402_RUN");
        command.envs(variable.map(|value| ("L402_RUN", value))).output().unwrap()
    };
    for (args, place, variable) in [
        (begun.clone(), world.path("round-0"), None),
        (format!("--run {root} {begun}"), elsewhere.path().to_owned(), None),
        (format!("{begun} -C {root}"), elsewhere.path().to_owned(), None),
        (begun.clone(), elsewhere.path().to_owned(), Some(root.as_str())),
        (format!("{begun} -C {root}"), elsewhere.path().to_owned(), Some("/nowhere")),
    ] {
        let output = asked(&args, &place, variable);
        assert_eq!(output.status.code(), Some(0), "{args}: {}", talk(&output));
        assert!(talk(&output).contains("up to date"), "{args}: {}", talk(&output));
    }
    assert_eq!(world.bytes("round-0/assignments.jsonl"), made);
    for args in [
        format!("status -C {root}"),
        format!("--run {root} status"),
        format!("status {root}"),
        format!("audit -C {root}"),
    ] {
        let output = asked(&args, elsewhere.path(), None);
        assert_eq!(output.status.code(), Some(0), "{args}: {}", talk(&output));
    }
    for (args, variable, code, says) in [
        ("assign 0", None, 2, "round 0: no run.toml here or in a folder above"),
        ("assign 0", Some("/nowhere"), 66, "/nowhere/run.toml: no such file: expected a run folder"),
        ("--run /nowhere assign 0", None, 66, "/nowhere/run.toml: no such file"),
        ("audit", None, 2, "<RUN>"),
    ] {
        let output = asked(args, elsewhere.path(), variable);
        assert_eq!(output.status.code(), Some(code), "{args}: {}", talk(&output));
        assert!(talk(&output).contains(says), "{args}: {}", talk(&output));
    }
    // Outside of a run a file may be named like a round.
    fs::write(elsewhere.path().join("7"), "").unwrap();
    let output = asked("commit 7 --round 0 --worker ann --key k", elsewhere.path(), None);
    assert!(talk(&output).contains("7: "), "{}", talk(&output));
    assert_eq!(output.status.code(), Some(65), "{}", talk(&output));
}

#[test]
fn a_flag_stays_what_it_says_and_the_whole_line_is_shown_on_request() {
    let world = run_folder(FULL, None);
    world.ok("assign 0 --beacon random");
    let output = world.ok("-v train 0 ann --state-out own.moments -o own.delta");
    let shown = talk(&output);
    for part in ["--recipe=run.toml", "--model=theta-0", "--shard=shards/train-", "--output=own.delta", "--worker=ann"]
    {
        assert!(shown.contains(part), "expected {part} in {shown}");
    }
    assert!(world.has("own.moments") && world.has("own.delta") && world.has("round-0/ann.leaves"));
    assert!(!world.has("round-0/ann.update") && !world.has("round-0/ann.moments"));
    // And a delta becomes the update that training makes at once.
    world.ok("compress 0 ann own.delta");
    let by_hand = world.bytes("round-0/ann.update");
    fs::remove_file(world.path("round-0/ann.update")).unwrap();
    fs::remove_file(world.path("round-0/ann.feedback")).unwrap();
    world.ok("train 0 ann");
    assert_eq!(world.bytes("round-0/ann.update"), by_hand);
    world.expect("train 0 ann", 0, "up to date: round-0/ann.update was made from the same inputs");
    world.expect("train 0 nobody", 66, "nobody");
    world.expect("train 0", 2, "expected a worker: `l402 train 0 WORKER`");
    world.expect("train 0 Ann", 2, "Ann: expected ");
    world.expect("train 0 ann more", 2, "unexpected argument 'more'");
}

#[test]
fn half_of_what_training_leaves_is_made_again() {
    let world = run_folder(FULL, None);
    world.ok("assign 0 --beacon random");
    world.ok("train 0 ann");
    for kind in ["update", "feedback", "moments", "leaves"] {
        let file = format!("round-0/ann.{kind}");
        let whole = world.bytes(&file);
        fs::remove_file(world.path(&file)).unwrap();
        world.ok("train 0 ann");
        assert_eq!(world.bytes(&file), whole, "{file}");
    }
    // What is in the way stays.
    world.write("round-0/bob.update", b"something else");
    world.expect("train 0 bob", 73, "round-0/bob.update: exists, with other content");
    assert_eq!(world.bytes("round-0/bob.update"), b"something else");
}

#[test]
fn a_beacon_stays_the_one_that_was_drawn() {
    let world = run_folder(FULL, None);
    world.expect("assign 0", 66, "round-0/beacon-a: no such file");
    world.ok("assign 0 --beacon random");
    let drawn = world.bytes("round-0/beacon-a");
    world.ok("assign 0 --beacon random");
    world.ok("assign 0");
    assert_eq!(world.bytes("round-0/beacon-a"), drawn);
    world.expect(&format!("assign 0 --beacon {}", beacon("another")), 73, "round-0/beacon-a: exists: expected ");
    world.expect("assign 0 --beacon today", 2, "--beacon: ");
    assert_eq!(world.bytes("round-0/beacon-a"), drawn);
    // Nothing is drawn for a round that cannot begin.
    world.expect("assign 1 --beacon random", 66, "theta-1: no such file: round 1 begins with it");
    assert!(!world.has("round-1"));
}

#[test]
fn a_list_that_pay_depends_on_is_left_out_aloud_or_not_at_all() {
    let world = run_folder(FULL, None);
    train_and_commit(&world, 0);
    let score = format!("score 0 --beacon {}", beacon("second 0"));
    world.expect(&score, 1, "round-0/findings.jsonl: no such file: pay depends on it");
    world.ok("replay 0 ann");
    world.ok("replay 0 bob");
    world.expect(&score, 1, "expected a finding on round-0/cy.update, found none");
    assert!(!world.has("round-0/scores.jsonl"));
    world.expect(&format!("{score} --without findings"), 0, "does not count: update of cy");
    world.expect(
        &format!("{score} --without luck"),
        2,
        "--without luck: expected one of closing, commitments, findings, held",
    );
    world.expect(
        "score --recipe run.toml --model theta-0 --val v --without findings",
        2,
        "expected a round of a run folder",
    );
    fs::remove_file(world.path("round-0/scores.jsonl")).unwrap();
    world.ok("replay 0 cy");
    world.ok("score 0");
    let scores = world.bytes("round-0/scores.jsonl");
    assert!(records(&scores, "score").iter().all(|score| score["counts"] == true));
    // Commitments too.
    let other = run_folder(FULL, None);
    other.ok("assign 0 --beacon random");
    for who in WORKERS {
        other.ok(&format!("train 0 {who}"));
        other.ok(&format!("replay 0 {who}"));
    }
    other.expect("score 0 --beacon random", 1, "round-0/commitments.jsonl: no such file: pay depends on it");
    other.expect("score 0 --beacon random --without commitments", 0, "scored without commitments");
}

#[test]
fn a_list_is_put_together_of_what_each_has_sent_and_nobodys_rubbish_costs_another() {
    let world = run_folder(FULL, None);
    train_and_commit(&world, 0);
    // What stands in the list stays first.
    world.write("round-0/commitments.jsonl", &world.bytes("round-0/cy.commitment"));
    let mut flooded = String::from("rubbish\n");
    for n in 0..40 {
        flooded += &format!("{{\"type\":\"commitment\",\"v\":1,\"x\":{n}}}\n");
    }
    let own = String::from_utf8(world.bytes("round-0/bob.commitment")).unwrap();
    world.write("round-0/bob.commitment", (own + &flooded).as_bytes());
    world.write("round-0/mallory.commitment", &vec![b'x'; 3 << 20]);
    std::os::unix::fs::symlink("/dev/zero", world.path("round-0/zero.commitment")).unwrap();
    WORKERS.iter().for_each(|who| drop(world.ok(&format!("replay 0 {who}"))));
    let said = talk(&world.ok("score 0 --beacon random"));
    for says in [
        "bob.commitment:2: not a JSON record",
        "bob.commitment: expected at most 8 records, found 41",
        "mallory.commitment",
    ] {
        assert!(said.contains(says), "expected {says:?} in {said}");
    }
    let list = world.bytes("round-0/commitments.jsonl");
    let commitments = records(&list, "commitment");
    let workers: Vec<&str> = commitments.iter().filter_map(|record| record["worker"].as_str()).collect();
    assert_eq!(workers, ["cy", "ann", "bob"]);
    assert_eq!(records(&list, "reveal").len(), 3);
    let scores = world.bytes("round-0/scores.jsonl");
    assert!(records(&scores, "score").iter().all(|score| score["counts"] == true));
}

#[test]
fn a_worker_goes_on_from_its_last_update_that_counted() {
    let world = run_folder(FULL, None);
    play(&world, 0);
    // bob's second update does not count: nobody finds it exact.
    train_and_commit(&world, 1);
    world.ok("replay 1 ann");
    world.ok("replay 1 cy");
    world.ok("score 1 --beacon random --without findings");
    world.ok("aggregate 1");
    train_and_commit(&world, 2);
    let shown = |args: &str| talk(&world.ok(&format!("-v {args}")));
    let said = shown("replay 2 bob");
    for state in ["--previous=round-0/bob.update", "--state=round-0/bob.moments", "--state=round-0/bob.feedback"] {
        assert!(said.contains(state), "expected {state} in {said}");
    }
    assert!(said.contains("exact: round-2/bob.update"), "{said}");
    let said = shown("replay 2 ann");
    assert!(said.contains("--previous=round-1/ann.update") && said.contains("exact: "), "{said}");
    // Who has never counted begins from zero, and that is said to be so, not assumed.
    let scores = String::from_utf8(world.bytes("round-0/scores.jsonl")).unwrap();
    world.write("round-0/scores.jsonl", scores.replace("\"counts\":true", "\"counts\":false").as_bytes());
    let output = world.run("-v replay 2 bob -o -");
    assert!(talk(&output).contains("--from-zero"), "{}", talk(&output));
    assert_eq!(output.status.code(), Some(1), "{}", talk(&output));
    fs::remove_file(world.path("round-0/scores.jsonl")).unwrap();
    world.expect("train 2 bob --force", 66, "round-0/scores.jsonl: no such file: which state does round 2 begin with?");
}

#[test]
fn validators_score_by_their_names_and_anybody_merges() {
    let world = run_folder(FULL, None);
    let mut recipe = String::from_utf8(world.bytes("run.toml")).unwrap();
    for name in ["val1", "val2"] {
        fs::create_dir_all(world.path(&format!("../world-private/{name}"))).unwrap();
        let key = world.text(&format!("key ../world-private/{name}/key"));
        recipe += &format!("[[score.validators]]\nkey = \"{}\"\n", key.trim());
    }
    world.write("run.toml", recipe.replace("[pay]\nround_msat = 1000000\n", "").as_bytes());
    world.ok("recipe check run.toml");
    train_and_commit(&world, 0);
    WORKERS.iter().for_each(|who| drop(world.ok(&format!("replay 0 {who}"))));
    world.expect("score 0 --consensus", 66, "no scores of a validator");
    world.ok(&format!("score 0 val1 --beacon {}", beacon("second 0")));
    world.ok("score 0 val2");
    world.expect("score 0 nobody", 66, "world-private/nobody: expected lightning-rpc");
    world.ok("score 0 --consensus");
    assert_eq!(records(&world.bytes("round-0/scores.jsonl"), "score").len(), 3);
    world.ok("aggregate 0");
    world.expect("audit", 0, "equal: ");
}
